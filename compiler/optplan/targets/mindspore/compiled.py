"""What the user holds: the native optimizer of a plan, and answers about it."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, ops

from optplan import compiled
from optplan.targets.mindspore.managers import make_manager
from optplan.targets.mindspore.scaling import ClipGradients, carried_scale, make_scaler
from optplan.targets.mindspore.step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mindspore import Parameter, amp, nn

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.mindspore.members import Member
    from optplan.targets.mindspore.reports import Reports


class Compiled(compiled.Compiled):
    """A plan's native objects: `optimizer, scheduler = compiled`.

    `optimizer` is a `mindspore.nn.Optimizer`, a stock class where one suffices; schedules are inside it, so `scheduler`
    is None.  `parameters` has the trained parameters in the order in which the optimizer takes gradients, which is the
    network's.  `scaler` is an `amp.LossScaler`, or None without a loss scale.

    `clip_gradients(gradients)` gives the gradients as the plan's `clip` has them, and their 2-norm before that.  It
    takes them as `scaler.unscale` gives them, and can be called in a `jit` function.
    """

    def __init__(
        self,
        plan: Plan,
        optimizer: nn.Optimizer,
        members: list[Member],
        parameters: dict[str, Parameter],
        cell: nn.Cell,
        reports: Reports,
        *,
        sparse: bool,
    ) -> None:
        super().__init__(plan, parameters, {parameter.name: parameter for parameter in cell.get_parameters()})
        self.optimizer = optimizer
        self._members = members
        self.reports = reports
        self.scaler = make_scaler(plan.loss_scale)
        self.clip_gradients = ClipGradients(plan.clip, carried_scale(plan.loss_scale), sparse=sparse)

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

    def report(self, **metrics: float) -> None:
        """Tell each `plateau` of the plan the metric that it goes by: see `optplan.Compiled.report`."""
        self.reports.take(metrics, self.updates if metrics else 0)

    def train_step(
        self,
        network: nn.Cell,
        loss_fn: Callable[..., Tensor] | None = None,
        *,
        accumulate: int | None = None,
        norm: bool = True,
        jit: bool = False,
    ) -> TrainStep:
        """What trains `network` with one batch: `result = step(*inputs)`, in PyNative and in Graph mode.

        The last input is the label: the loss is `loss_fn(network(*inputs[:-1]), inputs[-1])`.  Without a `loss_fn` it
        is `network(*inputs)`, or the first of what that gives.  `accumulate` says of how many batches an update is
        made, where that is not what the file says; without `norm` no norm is computed that clipping does not need.
        With `jit` the step is one graph in PyNative mode too, as sparse gradients need it.
        The network is put in training mode now; after an evaluation, `network.set_train()` does it again.

        ValueError where a trained parameter is not the network's.
        """
        count = self.plan.accumulate if accumulate is None else accumulate
        return TrainStep(self, network, loss_fn, count, norm=norm, jit=jit)

    def loss_scale_manager(self) -> amp.LossScaleManager | None:
        """The `loss_scale_manager` for `Model(network, loss_fn, compiled.optimizer, ...)`; None without a loss scale.

        ConfigError (OP501) for what the training network that `Model` builds does not do: on CPU it drops no update,
        and it neither clips nor accumulates anywhere.  `Model(compiled.train_step(network, loss_fn).cell)` does.
        """
        return make_manager(self.plan)

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
        """What update `t` uses, if nothing is reported before it."""
        curve, last = group.schedule.get(key), self.plan.horizon.last
        if curve is None:
            return group.own(key)
        if curve.endless and last is not None:
            t = min(t, last)
        return self.reports.now(curve).value(t, group.own(key))
