"""One scheduler for every scheduled key of every group.

A real `LRScheduler`, so that hosts take it, whose values are those of the plan's curves at update t, whatever the
order or number of calls: it accumulates nothing.  One evaluation of a curve of ratios serves all groups under it.
"""

from __future__ import annotations

from operator import index, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsFloat

import torch
from torch.optim.lr_scheduler import LRScheduler

from optplan.resolve.watches import Watches

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
    that are tensors stay the same tensors.  `last` is the run's last update, where its length is known: a policy that
    has no end holds the value of that one.  Where a policy ends in `plateau`, the loop reports the metric, by
    `step(loss=0.31)` or, after a step, `report(loss=0.31)`.

    `steps` counts the calls of `step()` without a number, which `compiled.step` compares; `told` says that it has
    warned of one that is not its own.
    """

    steps = 0
    told = False

    def __init__(self, optimizer: Optimizer, groups: Sequence[Group], last: int | None = None) -> None:
        # The constructor of LRScheduler is not called: it would wrap `optimizer.step` to watch the order of calls,
        # which is not this scheduler's business, and set every lr from `initial_lr`.
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._step_count = 1
        self._groups = tuple(groups)
        self._owns = [{key: group.own(key) for key, _ in group.curves} for group in groups]
        self._rows = self._driving()
        self._last = last
        self._watches = Watches(groups)
        self._sort()
        # For `get_last_lr`: the rates as last put, or the factor and own values from which they follow
        self._rates: list[float | torch.Tensor] | None = None
        self._common: tuple[float, tuple[float, ...]] | None = None
        self.last_epoch = 0
        self._apply()

    def _driving(self) -> dict[Curve, tuple[_Row, ...]]:
        """What each curve drives."""
        driven: dict[Curve, dict[str, list[int]]] = {}
        for number, group in enumerate(self._groups):
            for key, curve in group.curves:
                driven.setdefault(curve, {}).setdefault(key, []).append(number)
        return {
            curve: tuple(_row(key, numbers, self._owns) for key, numbers in keys.items())
            for curve, keys in driven.items()
        }

    def _sort(self) -> None:
        """Which curves one evaluation serves, and which need one for each own value; reduced as they are by now."""
        now = [
            (self._watches.now(curve), self._last if curve.endless else None, rows)
            for curve, rows in self._rows.items()
        ]
        self._shared = [each for each in now if each[0].relative]
        self._single = [each for each in now if not each[0].relative]

    def step(self, epoch: int | None = None, **metrics: SupportsFloat) -> None:
        """Advance to the next update, or to update `epoch`; `metrics` are reported then, as by `report`.

        TypeError for an `epoch` that is no whole number, such as a metric that is reported without its name.
        """
        t = self.last_epoch + 1 if epoch is None else _update(epoch)
        if metrics:
            self._report(metrics, t)
        if epoch is None:
            self.steps += 1
        self._step_count += 1
        self.last_epoch = t
        self._apply()

    def report(self, *unnamed: Any, **metrics: SupportsFloat) -> None:
        """Tell each `plateau` of the plan the metric that it goes by; ValueError for one that none goes by.

        A report does not count for a `plateau` that begins after the update to come.
        """
        self._watches.check_named(unnamed, metrics)
        self._report(metrics, self.last_epoch)
        self._apply()

    def _report(self, metrics: Mapping[str, SupportsFloat], t: int) -> None:
        if self._watches.report(metrics, t):
            self._sort()

    # Left out of compiled code, which would hold every value as a constant.  By the decorator that torch.optim uses:
    # the public one imports the compiler at once
    @torch._disable_dynamo  # type: ignore[attr-defined]  # noqa: SLF001
    def _apply(self) -> None:
        """Put the values of update `last_epoch` into the groups."""
        t = self.last_epoch
        groups = self.optimizer.param_groups
        self._common = None
        for curve, last, rows in self._shared:
            factor = curve.factor(t if last is None or t < last else last)
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
        for curve, last, rows in self._single:
            now = t if last is None or t < last else last
            for row in rows:
                for group, own in zip(self._driven(row), row.owns, strict=True):
                    _put(group, row.key, row.place, curve.value(now, own))
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
        return state | {"plateaus": self._watches.state} if self._watches else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the update that was saved, and put its values into the groups; KeyError if it says none."""
        for key in ("last_epoch", "plateaus") if self._watches else ("last_epoch",):
            if key not in state_dict:
                what = "the update to come" if key == "last_epoch" else "what was reported"
                raise KeyError(f"the state has no {key!r}, {what}: give what `scheduler.state_dict()` gave")
        t = _update(state_dict["last_epoch"])
        if self._watches:
            self._watches.restore(state_dict["plateaus"])
            self._sort()
        self.last_epoch = t
        self._step_count = state_dict.get("_step_count", t + 1)
        self._apply()

    @property
    def owns(self) -> list[dict[str, float]]:
        """By group, in their order, the own value that each curve starts from; a copy."""
        return [dict(each) for each in self._owns]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What has been reported for each `plateau`, as plain data, with its metric and its curve."""
        return self._watches.reports

    def settle(self, owns: Sequence[Mapping[str, float]]) -> None:
        """Start the curves of each group, in their order, from these own values; of keys left out, as before."""
        for mine, given in zip(self._owns, owns, strict=True):
            mine.update((key, value) for key, value in given.items() if key in mine)
        self._rows = self._driving()
        self._sort()
        self._apply()

    def go_to(self, t: int, reports: Sequence[Mapping[str, Any]] | None) -> None:
        """Go to update `t`, with what had been reported by then; None for nothing."""
        self._watches.restore(Watches(self._groups).state if reports is None else reports)
        self._sort()
        self.last_epoch = t
        self._step_count = t + 1
        self._apply()

    def extend(self, groups: Sequence[Group]) -> None:
        """Drive the groups that the optimizer has been given since, too; `groups` are all of them."""
        before = dict(zip(self._watches.curves, self._watches.state, strict=True))
        self.base_lrs = [group["initial_lr"] for group in self.optimizer.param_groups]
        self._owns += [{key: group.own(key) for key, _ in group.curves} for group in groups[len(self._groups) :]]
        self._groups = tuple(groups)
        self._watches = Watches(groups)
        fresh = zip(self._watches.curves, self._watches.state, strict=True)
        self._watches.restore([before.get(curve, state) for curve, state in fresh])
        self._rows = self._driving()
        self._sort()
        self._apply()

    def __repr__(self) -> str:
        curves = len(self._rows)
        return f"{type(self).__name__}(update {self.last_epoch}, {curves} curves)"


def _update(number: object) -> int:
    """The number of an update, 0 or more; TypeError or ValueError where `number` is none."""
    if isinstance(number, bool) or not hasattr(number, "__index__") or isinstance(number, torch.Tensor):
        metric = "a metric is reported by its name: `step(loss=0.31)`"
        raise TypeError(f"the number of an update is expected, not {number!r}; {metric}")
    t = index(number)
    if t < 0:
        raise ValueError(f"updates are counted from 0, and this is {t}")
    return t


def _row(key: str, numbers: Sequence[int], owns: Sequence[Mapping[str, float]]) -> _Row:
    name, _, rest = key.partition("[")
    place = int(rest.rstrip("]")) if rest else None
    return _Row(name, place, tuple(numbers), tuple(owns[number][key] for number in numbers))


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
