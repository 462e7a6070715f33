"""What the user holds: the native optimizer of a plan, and answers about it."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any, SupportsFloat
from weakref import WeakSet

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from optplan import compiled
from optplan.diagnostics import Collector, ConfigError, diagnostic
from optplan.resolve.watches import Watches
from optplan.state.checkpoint import MOST, TOO_MANY
from optplan.state.saved import Saved, SavedGroup, number
from optplan.targets.mindspore.managers import make_manager
from optplan.targets.mindspore.members import Member
from optplan.targets.mindspore.native import carry_out
from optplan.targets.mindspore.retired import Retired
from optplan.targets.mindspore.scaling import ClipGradients, carried_scale, make_scaler, put_scale, scale_of
from optplan.targets.mindspore.state import array_of, packed, rate_of
from optplan.targets.mindspore.step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mindspore import Parameter, amp, nn
    from numpy.typing import NDArray

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Group, Plan
    from optplan.state.compare import Placement
    from optplan.state.saved import Array
    from optplan.targets.mindspore.native import Native
    from optplan.targets.mindspore.state import Value


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
        native: Native,
        parameters: dict[str, Parameter],
        cell: nn.Cell,
        *,
        sparse: bool,
    ) -> None:
        super().__init__(plan, parameters, {parameter.name: parameter for parameter in cell.get_parameters()})
        self.optimizer, self._members, self._keepers, self.reports = native
        # The groups with the values that the optimizer was made with: the plan's, until a saved state brings others
        self._groups_now = plan.groups
        # By name, the update at which the state of a parameter began, where that is not the first
        self._born: dict[str, int] = {}
        self._retired = Retired()
        self._cell = cell
        self._steps: WeakSet[TrainStep] = WeakSet()
        self.scaler = make_scaler(plan.loss_scale)
        count = sum(len(group.parameters) for group in plan.groups)
        self.clip_gradients = ClipGradients(plan.clip, carried_scale(plan.loss_scale), sparse=sparse, count=count)

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
        self._retired.look()
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

    def report(self, *unnamed: Any, **metrics: SupportsFloat) -> None:
        """Tell each `plateau` of the plan the metric that it goes by: see `optplan.Compiled.report`."""
        self.reports.check_named(unnamed, metrics)
        self.reports.take(metrics, self.updates)

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
        made = TrainStep(self, network, loss_fn, count, norm=norm, jit=jit)
        self._steps.add(made)
        return made

    def loss_scale_manager(self) -> amp.LossScaleManager | None:
        """The `loss_scale_manager` for `Model(network, loss_fn, compiled.optimizer, ...)`; None without a loss scale.

        ConfigError (OP501) for what the training network that `Model` builds does not do: on CPU it drops no update,
        and it neither clips nor accumulates anywhere.  `Model(compiled.train_step(network, loss_fn).cell)` does.
        """
        return make_manager(self.plan)

    def _made(self, parameter: Parameter, value: Any) -> NDArray[Any]:
        array = array_of(value)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        if array.dtype.kind not in ("biufc" if parameter.is_complex() else "biuf"):
            raise TypeError(f"they are `{array.dtype}`")
        # MindSpore takes none of another byte order, nor wider numbers
        dtype = np.dtype(np.float64) if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
        return array.astype(dtype, order="C", copy=False).reshape(parameter.shape)

    def _same(self, parameter: Parameter, one: NDArray[Any], other: NDArray[Any]) -> bool:
        first, second = (array_of(Tensor(each, parameter.dtype)) for each in (one, other))
        return np.array_equal(first, second, equal_nan=True)

    def _write(self, parameter: Parameter, made: NDArray[Any]) -> None:
        ops.assign(parameter, Tensor(made, parameter.dtype))

    # State

    def _saved(self) -> Saved:
        """All that training has come to; arrays are copies."""
        groups = []
        for (name, settings), (_, group) in zip(self.settings().items(), self._groups(), strict=True):
            own = {key: group.own(key) for key in group.schedule}
            groups.append(SavedGroup(name, group.optimizer, settings, own, group.parameters))
        return Saved(
            "mindspore",
            self.plan.fingerprint,
            self.updates,
            tuple(groups),
            self._kept(),
            scale_of(self.scaler),
            tuple(self.reports.named),
        )

    def _put(self, placed: Placement, *, strict: bool) -> tuple[Diagnostic, ...]:
        """Go on from what `placed` says, all of it or none; what could not be carried, where that is allowed."""
        found = Collector()
        groups, born = self._settled(placed.settings), self._births(placed.state, placed.updates)
        native = None
        if self._must_renew(groups, born):
            # Whatever is refused is refused here, where nothing has been changed
            native = carry_out(replace(self.plan, groups=groups), self._parameters, born)
        keepers = self._keepers if native is None else native.keepers
        lacks = [lack for keeper in keepers for lack in keeper.lacks(placed.state, placed.updates)]
        for names, field, why, otherwise in lacks:
            told = ", ".join(f"`{name}`" for name in names[:5]) + ("" if len(names) <= 5 else ", ...")
            what = f"the saved `{field}` cannot be carried for {told}: {why}"
            if strict:
                found.error("OP708", what, help=f"with `strict=False` {otherwise}")
            else:
                found.warning("OP708", f"{what}; {otherwise}")
        self._check_counts(placed)
        if strict:
            found.check()
        self._groups_now, self._born = groups, born
        if native is not None:
            self._go_over(native)
        else:
            self._settle()
        self.scaler = put_scale(self.scaler, placed.scaler, self.plan.loss_scale)
        self._go_on(placed.state, placed.updates)
        self.reports.restore(Watches(self.plan.groups).state if placed.reports is None else placed.reports)
        return found.diagnostics

    def _check_counts(self, placed: Placement) -> None:
        """ConfigError (OP708) for counts that MindSpore has no number for."""
        counts = [placed.updates, *(fields.get("step") for fields in placed.state.values())]
        if any(value is not None and (number(value) or 0) > MOST for value in counts):
            raise ConfigError([diagnostic("OP708", TOO_MANY, help="PyTorch counts further")])

    def _packed(self, value: Value) -> Array:
        return packed(value)

    def _kept(self) -> dict[str, dict[str, Value]]:
        """The state of each parameter by field, copied: numbers and arrays."""
        found: dict[str, dict[str, Value]] = {}
        for keeper in self._keepers:
            found |= keeper.read()
        return {name: found[name] for group in self.plan.groups for name in group.parameters}

    def _go_on(self, state: Mapping[str, Mapping[str, Any]], updates: int) -> None:
        """Go on from a state at update `updates`: each member, the whole, and what gathers gradients for it."""
        for keeper in self._keepers:
            keeper.write(state, updates)
        ops.assign(self.optimizer.global_step, Tensor([updates], mstype.int32))
        for step in self._steps:
            step.begin_anew()

    def _settled(self, own: Mapping[str, Mapping[str, Any]]) -> tuple[Group, ...]:
        """The groups with the own values that `own` gives by group and key."""
        return tuple(
            replace(group, values=tuple((key, own.get(group.name, {}).get(key, value)) for key, value in group.values))
            for group in self._groups_now
        )

    def _births(self, state: Mapping[str, Mapping[str, Any]], updates: int) -> dict[str, int]:
        """By name, the update at which the state of a parameter began, where its formula counts."""
        return {
            name: updates - int(number(state.get(name, {}).get("step")) or 0)
            for keeper in self._keepers
            if keeper.counts
            for name in keeper.names
        }

    def _must_renew(self, groups: Sequence[Group], born: Mapping[str, int]) -> bool:
        """Whether other optimizers must carry the groups out.

        A rate that is fixed is written into an optimizer as it is; all else is part of what is compiled.  And one
        optimizer has one count, so that parameters whose state began at different updates are not in one.
        """
        if any(len({born.get(name, 0) for name in keeper.names}) > 1 for keeper in self._keepers):
            return True
        now = {group.name: group for group in groups}
        for member in self._members:
            for group in member.groups:
                pairs = zip(now[group.name].values, group.values, strict=True)
                changed = {key for (key, value), (_, was) in pairs if value != was}
                if changed and not (changed == {"lr"} and len(member.groups) == 1 and "lr" not in group.schedule):
                    return True
        return False

    def _settle(self) -> None:
        """Have the members the own values of the groups as they are now, of which no more than fixed rates differ."""
        now = {group.name: group.values for group in self._groups_now}
        self._members = [
            Member(optimizer, tuple(replace(group, values=now[group.name]) for group in groups))
            for optimizer, groups in self._members
        ]
        self._put_rates({group.name: group.settings["lr"] for group in self._groups_now})

    def _put_rates(self, rates: Mapping[str, Any]) -> None:
        """Write fixed rates, by group, into the optimizers that have one each."""
        for optimizer, (group, *others) in self._members:
            rate = rates.get(group.name)
            if not others and "lr" not in group.schedule and rate is not None:
                ops.assign(rate_of(optimizer), Tensor(rate, mstype.float32))

    def _go_over(self, native: Native) -> None:
        """Go over to other optimizers; they have no state yet."""
        self._retired.add(self.optimizer)
        self.optimizer, self._members, self._keepers, self.reports = native

    def add_group(self, module: nn.Cell, *, plan: Plan | None = None) -> None:
        """Take in the parameters of `module`, a part of the network: see `optplan.Compiled.add_group`.

        An optimizer of MindSpore cannot be given more: `optimizer` is a new one after this, which has taken the state
        over.  Steps of `train_step` go on with it; what else was made with the old one is to be made anew.
        """
        from optplan.targets.mindspore.adding import add  # noqa: PLC0415 - few programs do

        add(self, module, plan)

    @property
    def cell(self) -> nn.Cell:
        """What the plan is bound to."""
        return self._cell

    def parameter(self, name: str) -> Parameter:
        """The parameter of a canonical name, trained or not; KeyError if there is none."""
        found: Parameter = self._parameters[name]
        return found

    def grow(self, plan: Plan, parameters: dict[str, Parameter], *, sparse: bool) -> None:
        """Go on by a plan of more parameters, whose new groups stand behind those that are there; for `add_group`."""
        state, updates, reported = self._kept(), self.updates, list(self.reports.state)
        now = {group.name: group for group in self._groups_now}
        rates = self.lr()
        groups = tuple(
            replace(each, values=now[each.name].values) if each.name in now else each for each in plan.groups
        )
        fresh = [name for group in groups if group.name not in now for name in group.parameters]
        born = self._born | dict.fromkeys(fresh, updates)
        # Whatever is refused is refused here, where nothing has been changed
        native = carry_out(replace(plan, groups=groups), parameters, born)
        self._go_over(native)
        self.plan, self._parameters, self._groups_now, self._born = plan, parameters, groups, born
        self._beside = {parameter.name: parameter for parameter in self._cell.get_parameters()}
        count = sum(len(group.parameters) for group in groups)
        self.clip_gradients = ClipGradients(plan.clip, carried_scale(plan.loss_scale), sparse=sparse, count=count)
        owns = {group.name: group.settings["lr"] for group in groups}
        self._put_rates({name: rate for name, rate in rates.items() if owns[name] not in (None, rate)})
        self.reports.restore([*reported, *Watches(plan.groups).state[len(reported) :]])
        self._go_on(state, updates)

    def _groups(self) -> Iterator[tuple[Member, Group]]:
        # One of them, where several carry out a group
        by_name = {group.name: member for member in self._members for group in member.groups}
        for group in self._groups_now:
            yield by_name[group.name], group

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
