"""One scheduler for every scheduled key of every group.

A real `LRScheduler`, so that hosts take it, whose values are those of the plan's curves at update t, whatever the
order or number of calls: it accumulates nothing.  One evaluation of a curve of ratios serves all groups under it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.optim.lr_scheduler import LRScheduler

from optplan.resolve.curve import reduced
from optplan.resolve.plateau import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch.optim import Optimizer

    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Group


class _Row(NamedTuple):
    """What a curve drives of one key: its place in a list (None for a number), groups by place, their own values."""

    key: str
    place: int | None
    groups: tuple[int, ...]
    owns: tuple[float, ...]


class PlanScheduler(LRScheduler):
    """Drives all scheduled keys of `optimizer`, whose groups are those of a plan in the same order.

    `last_epoch` is t, the number of the update to come, from 0; `step()` always advances it by one.  Learning rates
    that are tensors stay the same tensors.  Where a policy ends in `plateau`, the loop reports the metric, by
    `step(loss=0.31)` or, between two steps, `report(loss=0.31)`.
    """

    def __init__(self, optimizer: Optimizer, groups: Sequence[Group]) -> None:
        # The constructor of LRScheduler is not called: it would wrap `optimizer.step` to watch the order of calls,
        # which is not this scheduler's business, and set every lr from `initial_lr`.
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._step_count = 1
        driven: dict[Curve, dict[str, list[int]]] = {}
        for number, group in enumerate(groups):
            for key, curve in group.curves:
                driven.setdefault(curve, {}).setdefault(key, []).append(number)
        self._rows = {
            curve: tuple(_row(key, numbers, groups) for key, numbers in keys.items()) for curve, keys in driven.items()
        }
        self._watches = {curve: Watch.of(curve.waits[1]) for curve in driven if curve.waits is not None}
        self._sort()
        # For `get_last_lr`: the rates as last put, or the factor and own values from which they follow
        self._rates: list[float | torch.Tensor] | None = None
        self._common: tuple[float, tuple[float, ...]] | None = None
        self.last_epoch = 0
        self._apply()

    def _sort(self) -> None:
        """Which curves one evaluation serves, and which need one for each own value; reduced as they are by now."""
        now = [
            (reduced(curve, self._watches[curve].reductions) if curve in self._watches else curve, rows)
            for curve, rows in self._rows.items()
        ]
        self._shared = [(curve, rows) for curve, rows in now if curve.relative]
        self._single = [(curve, rows) for curve, rows in now if not curve.relative]

    def step(self, epoch: int | None = None, **metrics: float) -> None:
        """Advance to the next update, or to update `epoch`; `metrics` are reported first, as by `report`."""
        if metrics:
            self._report(metrics)
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._apply()

    def report(self, **metrics: float) -> None:
        """Tell each `plateau` of the plan the metric that it goes by; ValueError for one that none goes by.

        A report before the update at which a `plateau` begins does not count for it.
        """
        self._report(metrics)
        self._apply()

    def _report(self, metrics: Mapping[str, float]) -> None:
        known = {watch.plateau.metric for watch in self._watches.values()}
        for name, value in metrics.items():
            if name not in known:
                listed = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
                raise ValueError(f"no policy of this plan goes by `{name}`; the metrics are: {listed}")
            for curve, watch in self._watches.items():
                begin = curve.waits[0] if curve.waits is not None else 0.0
                if watch.plateau.metric == name and self.last_epoch >= begin and watch.report(float(value)):
                    self._sort()

    def _apply(self) -> None:
        """Put the values of update `last_epoch` into the groups."""
        t = self.last_epoch
        groups = self.optimizer.param_groups
        self._common = None
        for curve, rows in self._shared:
            factor = curve.factor(t)
            for row in rows:
                driven, key = self._driven(row), row.key
                if row.place is not None or not _floats(driven, key):
                    for group, own in zip(driven, row.owns, strict=True):
                        _put(group, key, row.place, own * factor)
                    continue
                for group, own in zip(driven, row.owns, strict=True):
                    group[key] = own * factor
                if driven is groups and key == "lr":
                    self._common = (factor, row.owns)
        for curve, rows in self._single:
            for row in rows:
                for group, own in zip(self._driven(row), row.owns, strict=True):
                    _put(group, row.key, row.place, curve.value(t, own))
        self._rates = None if self._common else self.get_lr()

    def _driven(self, row: _Row) -> list[dict[str, Any]]:
        groups = self.optimizer.param_groups
        return groups if len(row.groups) == len(groups) else [groups[number] for number in row.groups]

    @property
    def _last_lr(self) -> list[float | torch.Tensor]:  # type: ignore[override]  # torch has an attribute, not always read
        if self._rates is None and self._common is not None:
            factor, owns = self._common
            self._rates = [own * factor for own in owns]
        return self._rates or []

    def get_lr(self) -> list[float | torch.Tensor]:
        """The learning rate of each group as it stands."""
        return [_number(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Plain data: `torch.load(weights_only=True)` takes it."""
        state = {"last_epoch": self.last_epoch, "_step_count": self._step_count, "_last_lr": self.get_lr()}
        plateaus = [watch.state for watch in self._watches.values()]
        return state | {"plateaus": plateaus} if plateaus else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the update that was saved, and put its values into the groups; KeyError if it says none."""
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict.get("_step_count", self.last_epoch + 1)
        if self._watches:
            for watch, state in zip(self._watches.values(), state_dict["plateaus"], strict=True):
                watch.restore(state)
            self._sort()
        self._apply()

    def __repr__(self) -> str:
        curves = len(self._rows)
        return f"{type(self).__name__}(update {self.last_epoch}, {curves} curves)"


def _row(key: str, numbers: Sequence[int], groups: Sequence[Group]) -> _Row:
    name, _, rest = key.partition("[")
    place = int(rest.rstrip("]")) if rest else None
    return _Row(name, place, tuple(numbers), tuple(groups[number].own(key) for number in numbers))


def _floats(groups: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether all of them hold a float there: what anyone may have put a tensor into stays that tensor."""
    if type(groups[0][key]) is not float:
        return False
    try:
        return type(sum(map(itemgetter(key), groups))) is float  # with a tensor among them it is one: fastest by far
    except RuntimeError:  # tensors of several devices have no sum
        return False


def _put(group: dict[str, Any], key: str, place: int | None, value: float) -> None:
    if place is not None:
        whole = group[key]
        group[key] = (*whole[:place], value, *whole[place + 1 :])
    elif isinstance(group[key], torch.Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def _number(value: float | torch.Tensor) -> float | torch.Tensor:
    return value.clone() if isinstance(value, torch.Tensor) else value
