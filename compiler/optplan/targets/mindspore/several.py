"""Several optimizers behind one.

A `mindspore.nn.Optimizer` has one formula, one set of betas, and costs seconds of compiling where its groups differ in
their rate.  `MultiOptimizer` is one that hands each of its members its part of the gradients, so that whatever takes an
`nn.Optimizer` (`TrainOneStepCell`, `Model`, a `jit` step) sees one: `parameters` has all parameters in the network's
order, `construct` takes their gradients in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindspore import Parameter, Tensor, jit, nn

from optplan.targets.mindspore.update import picked

if TYPE_CHECKING:
    from collections.abc import Sequence


class MultiOptimizer(nn.Optimizer):
    """`members` behind one optimizer over `parameters`, each of which is a parameter of one member.

    `names` name the members in their own parameters (`global_step` is `NAME.global_step`), which must be unique.
    """

    def __init__(self, members: Sequence[nn.Optimizer], names: Sequence[str], parameters: Sequence[Parameter]) -> None:
        super().__init__(0.0, [{"params": list(parameters)}])
        # What the base class keeps for one rate; rates are the members' business.
        del self.learning_rate
        place = {id(parameter): number for number, parameter in enumerate(parameters)}
        for member, name in zip(members, names, strict=True):
            theirs = {id(parameter) for parameter in member.parameters}
            for parameter in member.get_parameters():
                if id(parameter) not in theirs and not _belongs(parameter, member):
                    parameter.name = f"{name}.{parameter.name}"
        self.members = nn.CellList(list(members), auto_prefix=False)
        self.places = tuple(tuple(place[id(parameter)] for parameter in member.parameters) for member in members)
        self.miscounted = (
            f"the optimizer takes {len(parameters)} gradients, one for each of its `parameters`, in their order: "
            "`value_and_grad(forward, None, optimizer.parameters)` gives them"
        )
        self._member_of = {id(parameter): member for member in members for parameter in member.parameters}

    @jit
    def construct(self, gradients: tuple[Tensor, ...]) -> Any:
        """One update of every member with `gradients`, in the order of `parameters`."""
        if len(gradients) != len(self.parameters):
            # With too many each member would take its part of them from the wrong places.
            raise ValueError(self.miscounted)
        done: Any = ()
        for number, member in enumerate(self.members):
            done += (member(picked(gradients, self.places[number])),)
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        return done

    def get_lr(self) -> tuple[Tensor, ...]:
        """The learning rate of the next update, of each parameter."""
        return tuple(_rate(self._member_of[id(parameter)], parameter) for parameter in self.parameters)

    def get_weight_decay(self) -> tuple[Any, ...]:
        """The weight decay of the next update, of each parameter."""
        return tuple(_decay(self._member_of[id(parameter)], parameter) for parameter in self.parameters)

    def get_lr_parameter(self, param: Parameter | list[Parameter]) -> Any:
        """What gives the learning rate of a parameter, or of each in a list: a `Parameter` or a schedule.

        ValueError for a parameter that is not this optimizer's.
        """
        if isinstance(param, list):
            return [self.get_lr_parameter(each) for each in param]
        member = self._member_of.get(id(param))
        if member is None:
            raise ValueError(f"the parameter {param.name} is not among this optimizer's")
        return member.get_lr_parameter(param)


def _belongs(state: Parameter, member: nn.Optimizer) -> bool:
    """Whether a parameter of an optimizer is the state of one weight, which its name ends with."""
    return any(state.name.endswith(f".{parameter.name}") for parameter in member.parameters)


def _rate(member: nn.Optimizer, parameter: Parameter) -> Tensor:
    rates = member.get_lr()
    if not member.is_group_lr:
        return rates
    return next(rate for rate, each in zip(rates, member.parameters, strict=True) if each is parameter)


def _decay(member: nn.Optimizer, parameter: Parameter) -> Any:
    decays = member.get_weight_decay()
    if not isinstance(decays, tuple):
        return decays
    return next(decay for decay, each in zip(decays, member.parameters, strict=True) if each is parameter)
