"""One scheduler for every scheduled key of every group.

A real `LRScheduler`, so that hosts take it, whose values are those of the plan's curves at update t, whatever the
order or number of calls: it accumulates nothing.  One evaluation of a curve of ratios serves all groups under it.
"""

from __future__ import annotations

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


class _Slot(NamedTuple):
    """A number that a curve drives: group's place, key, place in a list (None for a number), own value."""

    group: int
    key: str
    place: int | None
    own: float


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
        slots: dict[Curve, list[_Slot]] = {}
        for number, group in enumerate(groups):
            for key, curve in group.curves:
                name, _, rest = key.partition("[")
                place = int(rest.rstrip("]")) if rest else None
                slots.setdefault(curve, []).append(_Slot(number, name, place, group.own(key)))
        self._slots = {curve: tuple(each) for curve, each in slots.items()}
        self._watches = {curve: Watch.of(curve.waits[1]) for curve in slots if curve.waits is not None}
        self._sort()
        self.last_epoch = 0
        self._apply()

    def _sort(self) -> None:
        """Which curves one evaluation serves, and which need one for each own value; reduced as they are by now."""
        now = [
            (reduced(curve, self._watches[curve].reductions) if curve in self._watches else curve, slots)
            for curve, slots in self._slots.items()
        ]
        self._shared = [(curve, slots) for curve, slots in now if curve.relative]
        self._single = [(curve, slots) for curve, slots in now if not curve.relative]

    def step(self, epoch: int | None = None, **metrics: float) -> None:
        """Advance to the next update, or to update `epoch`; `metrics` are reported first, as by `report`."""
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
        for curve, slots in self._shared:
            factor = curve.factor(t)
            for number, key, place, own in slots:
                group = groups[number]
                if place is None and type(group[key]) is float:
                    group[key] = own * factor
                else:
                    _put(group, key, place, own * factor)
        for curve, slots in self._single:
            for number, key, place, own in slots:
                _put(groups[number], key, place, curve.value(t, own))
        self._last_lr = [_number(group["lr"]) for group in groups]

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
        curves = len(self._slots)
        return f"{type(self).__name__}(update {self.last_epoch}, {curves} curves)"


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
