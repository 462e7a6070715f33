"""What our own optimizers share: how gradients, rates and decay come to a formula.

An optimizer here is a `mindspore.nn.Optimizer` over groups, as any other, whose numeric hyper-parameters are constants
or tables, and whose `construct` maps one function over all its parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import functional as F  # noqa: N812 - its usual name
from mindspore.ops.composite import MultitypeFuncGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.targets.mindspore.table import Number

Tensors = tuple[Tensor, ...]

_negative = MultitypeFuncGraph("negative")


@_negative.register("Tensor")
def _negative_tensor(gradient: Tensor) -> Tensor:
    return ops.neg(gradient)


_times = MultitypeFuncGraph("times")


@_times.register("Tensor", "Tensor")
def _times_tensor(factor: Tensor, value: Tensor) -> Tensor:
    return factor * value


_shrink = MultitypeFuncGraph("shrink")


@_shrink.register(*["Tensor"] * 4)
def _shrink_update(unscaled: Tensor, rate: Tensor, decay: Tensor, parameter: Tensor) -> bool:
    ops.assign(parameter, parameter * (1.0 - rate * (decay * unscaled)))
    return True


def picked(values: tuple[Any, ...], places: tuple[int, ...]) -> tuple[Any, ...]:
    """The values at these places.

    Some at a time: a loop compiles in a time that grows with the square of its length.
    """
    found: tuple[Any, ...] = ()
    for start in range(0, len(places), 16):
        found += _some(values, places[start : start + 16])
    return found


def _some(values: tuple[Any, ...], places: tuple[int, ...]) -> tuple[Any, ...]:
    found: tuple[Any, ...] = ()
    for place in places:
        found += (values[place],)
    return found


def remainder(exponent: Tensor) -> Tensor:
    """1 - exp(exponent), for an exponent of at most 0, to a few roundings of float32.

    `ops.expm1` and `ops.exp` are off by 1e-6 and more on CPU.  So it is a series at an eighth of the exponent, doubled
    three times by 1 - e^(2x) = (1 - e^x) (2 - (1 - e^x)), which cancels nothing.
    """
    part = exponent * 0.125
    series = 1.0 + part / 7.0
    for term in (6.0, 5.0, 4.0, 3.0, 2.0):
        series = 1.0 + (part / term) * series
    near = -part * series
    for _ in range(3):
        near = near * (2.0 - near)
    return ops.where(exponent > -2.8, near, 1.0 - ops.exp(exponent))


class Update(nn.Optimizer):
    """Base of the optimizers of this package: a subclass sets `maximize` and writes `construct`.

    `parameters` are groups, as `nn.Optimizer` takes them; the learning rate, a group's `lr` and the weight decay are
    numbers or tables.

    State: `global_step`, by which schedules go, and `begun`, the update at which the state of the parameters began: 0,
    unless they were added to a run that had made updates before.
    """

    def __init__(
        self, learning_rate: Number, parameters: Any, weight_decay: Number = 0.0, loss_scale: float = 1.0
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, loss_scale)
        self.maximize = False
        self.begun = Parameter(Tensor([0], mstype.int32), name="begun", requires_grad=False)
        # The base class multiplies decay by the loss scale, for L2; a decoupled decay wants it as it was.
        self.unscaled = Tensor(1.0 / self.loss_scale, mstype.float32)
        # One decay for all is one number in the graph, not one for each parameter.
        self.one_decay = len({each if isinstance(each, float) else id(each) for each in self.group_weight_decay}) == 1

    def uphill(self, gradients: Tensors) -> Tensors:
        """The gradients, negated where the objective is to be maximized."""
        if self.maximize:
            gradients = self.map_(_negative, gradients)
        return gradients

    def plain(self, gradients: Tensors) -> Tensors:
        """What a formula without decay, or with a decoupled one, starts from: signs, means and loss scale settled."""
        settled: Tensors = self.scale_grad(self.gradients_centralization(self.uphill(gradients)))
        return settled

    def decayed(self, gradients: Tensors) -> Tensors:
        """What a formula with L2 decay starts from: as `plain`, with weight_decay * parameter added."""
        settled: Tensors = self.scale_grad(self.gradients_centralization(self.decay_weight(self.uphill(gradients))))
        return settled

    def advanced(self) -> Tensor:
        """The t of the formulas, 1 at the first update, as a float32 scalar; counts this update in `global_step`."""
        step = self.global_step + 1 - self.begun
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        return ops.cast(step, mstype.float32).reshape(())

    def scaled(self, factor: Tensor, rate: Any) -> Any:
        """`factor` times the rate, or times each where groups differ in it."""
        if self.is_group_lr:
            return self.map_(F.partial(_times, factor), rate)
        return factor * rate

    def mapped(self, update: Callable[..., Any], numbers: tuple[Any, ...], *columns: Any) -> Any:
        """`update(*numbers, *column)` for each parameter, with up to ten `numbers`."""
        # One by one, as stock classes bind them: in a step with a sparse gradient in it, of another optimizer's
        # parameter perhaps, what a tuple holds that `F.partial` binds turns into integer zeros.  And spelt out: neither
        # a star in it, nor a partial of a partial, nor a partial that a function gives back compiles.
        count = len(numbers)
        if count == 0:
            return self.map_(update, *columns)
        if count == 1:
            (a,) = numbers
            return self.map_(F.partial(update, a), *columns)
        if count == 2:
            a, b = numbers
            return self.map_(F.partial(update, a, b), *columns)
        if count == 3:
            a, b, c = numbers
            return self.map_(F.partial(update, a, b, c), *columns)
        if count == 4:
            a, b, c, d = numbers
            return self.map_(F.partial(update, a, b, c, d), *columns)
        if count == 5:
            a, b, c, d, e = numbers
            return self.map_(F.partial(update, a, b, c, d, e), *columns)
        if count == 6:
            a, b, c, d, e, f = numbers
            return self.map_(F.partial(update, a, b, c, d, e, f), *columns)
        if count == 7:
            a, b, c, d, e, f, g = numbers
            return self.map_(F.partial(update, a, b, c, d, e, f, g), *columns)
        if count == 8:
            a, b, c, d, e, f, g, h = numbers
            return self.map_(F.partial(update, a, b, c, d, e, f, g, h), *columns)
        if count == 9:
            a, b, c, d, e, f, g, h, i = numbers
            return self.map_(F.partial(update, a, b, c, d, e, f, g, h, i), *columns)
        a, b, c, d, e, f, g, h, i, j = numbers
        return self.map_(F.partial(update, a, b, c, d, e, f, g, h, i, j), *columns)

    def each(self, update: Callable[..., bool], numbers: tuple[Any, ...], rate: Any, *columns: Any) -> Any:
        """`update(*numbers, rate, *column)` for each parameter; `rate` is a number, or one for each by groups."""
        if self.is_group_lr:
            return self.mapped(update, numbers, rate, *columns)
        return self.mapped(update, (*numbers, rate), *columns)

    def each_decayed(
        self, update: Callable[..., bool], numbers: tuple[Any, ...], rate: Any, decay: Any, *columns: Any
    ) -> Any:
        """`update(*numbers, rate, decay, *column)` for each parameter, with `decay` from `get_weight_decay()`."""
        if self.is_group_lr:
            return self.mapped(update, numbers, rate, decay, *columns)
        if self.one_decay:
            return self.mapped(update, (*numbers, rate, decay[0]), *columns)
        return self.mapped(update, (*numbers, rate), decay, *columns)

    def shrink(self, rate: Any, decay: Any) -> None:
        """Multiply each parameter by 1 - rate * weight decay, the decoupled decay, where there is any."""
        if self.exec_weight_decay:
            self.each_decayed(_shrink, (self.unscaled,), rate, decay, self._parameters)
