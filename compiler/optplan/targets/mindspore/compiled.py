"""What the user holds: the native optimizer of a plan, and answers about it."""

from __future__ import annotations

from math import ceil, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, ops

from optplan import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mindspore import Parameter, nn

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.mindspore.members import Member


class Compiled(compiled.Compiled):
    """A plan's native objects: `optimizer, scheduler = compiled`.

    `optimizer` is a `mindspore.nn.Optimizer`, a stock class where one suffices; schedules are inside it, so `scheduler`
    is None, and `scaler` is None.  `parameters` has the trained parameters in the order in which the optimizer takes
    gradients, which is the network's.
    """

    def __init__(
        self,
        plan: Plan,
        optimizer: nn.Optimizer,
        members: list[Member],
        parameters: dict[str, Parameter],
        cell: nn.Cell,
    ) -> None:
        super().__init__(plan, parameters, {parameter.name: parameter for parameter in cell.get_parameters()})
        self.optimizer = optimizer
        self._members = members

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The trained parameters, in the network's order."""
        return tuple(self.optimizer.parameters)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups as they stand, to be looked at: no program builds an optimizer of MindSpore from such dicts."""
        several = len({group.optimizer for group in self.plan.groups}) > 1
        found = []
        for (name, settings), group in zip(self.settings().items(), self.plan.groups, strict=True):
            entry: dict[str, Any] = {"params": [self._parameters[each] for each in group.parameters], "name": name}
            found.append(entry | ({"optimizer": group.optimizer} if several else {}) | settings)
        return found

    @property
    def updates(self) -> int:
        """How many updates the optimizer has made: t of the next one."""
        return int(self.optimizer.global_step.asnumpy()[0])

    def lr(self) -> dict[str, float]:
        """The learning rate that the next update uses, by group; nan where the optimizer chooses it itself."""
        return {group.name: self._lr(member, group) for member, group in self._groups()}

    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting that the next update uses, by group."""
        t = self.updates
        found = {}
        for member, group in self._groups():
            found[group.name] = {key: self._at(group, key, value, t) for key, value in group.values}
            found[group.name]["lr"] = self._lr(member, group)
        return found

    def _write(self, parameter: Parameter, value: Any) -> None:
        array = value.asnumpy() if isinstance(value, Tensor) else np.asarray(value)
        ops.assign(parameter, Tensor(array.reshape(parameter.shape), parameter.dtype))

    def _groups(self) -> Iterator[tuple[Member, Group]]:
        by_name = {group.name: (member, group) for member in self._members for group in member.groups}
        for group in self.plan.groups:
            yield by_name[group.name]

    def _lr(self, member: Member, group: Group) -> float:
        if "lr" in group.schedule or len(member.groups) > 1:
            return self._value(group, "lr", self.updates)
        if group.settings["lr"] is None:
            return nan
        # Not its `learning_rate`: of LARS that is 0, beside the rate of the momentum in it.
        rate = float(member.optimizer.get_lr().asnumpy())
        own = group.own("lr")
        # A rate that nobody has changed is the one that the file says, which float32 rounds.
        return own if np.float32(own) == rate else rate

    def _at(self, group: Group, key: str, value: Any, t: int) -> Any:
        if isinstance(value, tuple):
            return tuple(self._at(group, f"{key}[{place}]", each, t) for place, each in enumerate(value))
        return self._value(group, key, t) if key in group.schedule else value

    def _value(self, group: Group, key: str, t: int) -> float:
        """What update `t` uses: a curve that never settles has a table that ends with the horizon."""
        curve, steps = group.schedule.get(key), self.plan.horizon.steps
        if curve is not None and curve.settled is None and steps is not None:
            t = min(t, ceil(steps) - 1)
        return group.value(key, t)
