"""What has been reported in a run: the only thing in a schedule that has a past, whatever the framework.

Takes the curves of a plan and, while the run goes on, metrics; gives each curve as it stands by now, and its past as
plain data, by which another run goes on.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from optplan.resolve.curve import reduced
from optplan.resolve.plateau import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Group


class Watches:
    """One `Watch` for each different curve of `groups` that ends in a `plateau`, in their order."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._begins: dict[Curve, float] = {}
        self._watches: dict[Curve, Watch] = {}
        for group in groups:
            for _, curve in group.curves:
                if curve.waits is not None and curve not in self._watches:
                    self._begins[curve], plateau = curve.waits
                    self._watches[curve] = Watch.of(plateau)

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def curves(self) -> list[Curve]:
        """The curve of each."""
        return list(self._watches)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that are waited for, each once."""
        return sorted({watch.plateau.metric for watch in self._watches.values()})

    def check_named(self, unnamed: Sequence[Any], metrics: Mapping[str, Any]) -> None:
        """TypeError for a report that names no metric: `report(0.31)`, `report()`."""
        if unnamed or not metrics:
            name = next((each for each in self.metrics if each.isidentifier()), "loss")
            raise TypeError(f"a metric is reported by its name, as a number: `report({name}=0.31)`")

    def report(self, metrics: Mapping[str, Any], t: int) -> bool:
        """Take `metrics` in, numbers by name, reported before update `t`; whether any of them makes a reduction.

        One that is reported before the update at which a `plateau` begins is to come does not count for it.
        ValueError for a metric that no policy goes by, or that is many numbers, TypeError for what is no number; then
        none of them has been taken in.
        """
        known = self.metrics
        for name in metrics:
            if name not in known:
                listed = ", ".join(f"`{each}`" for each in known) or "none"
                raise ValueError(f"no policy of this plan goes by `{name}`; the metrics are: {listed}")
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        fallen = False
        for curve, watch in self._watches.items():
            number = numbers.get(watch.plateau.metric)
            if number is not None and t >= self._begins[curve]:
                fallen = watch.report(number) or fallen
        return fallen

    def now(self, curve: Curve) -> Curve:
        """`curve` as the reports so far have left it."""
        watch = self._watches.get(curve)
        return curve if watch is None else reduced(curve, watch.reductions)

    @property
    def state(self) -> list[dict[str, float]]:
        """What each watch knows, as plain data."""
        return [watch.state for watch in self._watches.values()]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The same, each with the `metric` that it goes by and the `curve` that it is of: see `in_order`."""
        named = zip(self._watches.items(), self.state, strict=True)
        return [{**state, "metric": watch.plateau.metric, "curve": str(curve)} for (curve, watch), state in named]

    def in_order(self, reports: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
        """The reports of another run in the order of these watches; None if they are not of as many by these metrics.

        Each goes to the curve that it is of, wherever that stands now; those of curves that are no more go, in their
        order, to what else goes by their metric, as does what tells neither.
        """
        left = list(reports)
        found: dict[Curve, Mapping[str, Any]] = {}
        for exact in (True, False):
            for curve, watch in self._watches.items():
                metric = watch.plateau.metric
                fits = (
                    (each.get("metric"), each.get("curve")) == (metric, str(curve))
                    if exact
                    else each.get("metric", metric) == metric
                    for each in left
                )
                place = next((number for number, fit in enumerate(fits) if fit), None)
                if place is not None and curve not in found:
                    found[curve] = left.pop(place)
        return None if left or len(found) < len(self._watches) else [found[curve] for curve in self._watches]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Know what `state` says; ValueError if it is of another number of watches, KeyError if it says too little."""
        for watch, each in zip(self._watches.values(), [dict(each) for each in state], strict=True):
            watch.restore(each)


def _number(name: str, value: Any) -> float:
    """A number, or a tensor or array of one element, as a float."""
    shape = tuple(getattr(value, "shape", ()))
    if prod(shape) != 1:
        raise ValueError(f"`{name}` is one number, and this has shape {list(shape)}: report its mean")
    found = value.item() if callable(getattr(value, "item", None)) else value
    if not hasattr(found, "__float__"):
        raise TypeError(f"`{name}` is a number, and this is a `{type(found).__name__}`: `report({name}=0.31)`")
    return float(found)
