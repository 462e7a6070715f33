"""One scheduler for every scheduled key of every group.

A real `LRScheduler`, so that hosts take it, whose values are those of the plan's curves at update t, whatever the
order or number of calls: it accumulates nothing.  One evaluation of a curve of ratios serves all groups under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.optim.lr_scheduler import LRScheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    that are tensors stay the same tensors.
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
        self._shared = [(curve, tuple(each)) for curve, each in slots.items() if curve.relative]
        self._single = [(curve, tuple(each)) for curve, each in slots.items() if not curve.relative]
        self.last_epoch = 0
        self._apply()

    def step(self, epoch: int | None = None) -> None:
        """Advance to the next update, or to update `epoch`."""
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._apply()

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
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count, "_last_lr": self.get_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the update that was saved, and put its values into the groups; KeyError if it says none."""
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict.get("_step_count", self.last_epoch + 1)
        self._apply()

    def __repr__(self) -> str:
        curves = len(self._shared) + len(self._single)
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
