"""Steps divided by the root of summed or averaged squares, by PyTorch's formula: Adagrad, Adadelta and RMSprop.

With t = 1 at the first update and g the gradient, PyTorch moves a parameter by

    Adagrad     lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps),    s = s + g^2
    Adadelta    lr * d,    d = sqrt(u + eps) / sqrt(v + eps) * g,    with u the running average of d^2 up to then
    RMSprop     lr * g / (sqrt(v) + eps), or with momentum lr * b,    b = momentum * b + g / (sqrt(v) + eps)

where v is the running average of g^2, and in RMSprop, centered, that less the square of the running average of g.

Nothing undoes the start of these averages from 0, so they take beta and 1 - beta as torch's kernels do, each rounded to
float32 by itself.

Sources: `torch.optim.Adagrad`, `Adadelta`, `RMSprop`; Duchi et al., JMLR 12, 2011; Zeiler, arXiv 1212.5701; Graves,
arXiv 1308.0850.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import jit, ops
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.adaptive import rest, toward
from optplan.targets.mindspore.table import Table, cell
from optplan.targets.mindspore.update import Tensors, Update

if TYPE_CHECKING:
    from mindspore import Tensor

    from optplan.targets.mindspore.table import Number

_adagrad = MultitypeFuncGraph("adagrad")
_adadelta = MultitypeFuncGraph("adadelta")
_step = MultitypeFuncGraph("step")
_push = MultitypeFuncGraph("push")
_push_at_times = MultitypeFuncGraph("push_at_times")
_move = MultitypeFuncGraph("move")


@_adagrad.register(*["Tensor"] * 5)
def _adagrad_update(eps: Tensor, rate: Tensor, parameter: Tensor, total: Tensor, gradient: Tensor) -> bool:
    total_now = total + ops.square(gradient)
    ops.assign(total, total_now)
    ops.assign(parameter, parameter - rate * (gradient / (ops.sqrt(total_now) + eps)))
    return True


# `keep` is rho, `gain` 1 - rho.
@_adadelta.register(*["Tensor"] * 8)
def _adadelta_update(
    keep: Tensor,
    gain: Tensor,
    eps: Tensor,
    rate: Tensor,
    parameter: Tensor,
    squares: Tensor,
    steps: Tensor,
    gradient: Tensor,
) -> bool:
    squares_now = keep * squares + gain * ops.square(gradient)
    delta = ops.sqrt(steps + eps) / ops.sqrt(squares_now + eps) * gradient
    ops.assign(squares, squares_now)
    ops.assign(steps, keep * steps + gain * ops.square(delta))
    ops.assign(parameter, parameter - rate * delta)
    return True


# Of RMSprop, `keep` is alpha and `gain` 1 - alpha.
@_step.register(*["Tensor"] * 5)
def _step_of(keep: Tensor, gain: Tensor, eps: Tensor, squares: Tensor, gradient: Tensor) -> Tensor:
    squares_now = keep * squares + gain * ops.square(gradient)
    ops.assign(squares, squares_now)
    return gradient / (ops.sqrt(squares_now) + eps)


@_step.register(*["Tensor"] * 6)
def _centered_step(keep: Tensor, gain: Tensor, eps: Tensor, squares: Tensor, mean: Tensor, gradient: Tensor) -> Tensor:
    squares_now = keep * squares + gain * ops.square(gradient)
    mean_now = toward(mean, gradient, gain)
    ops.assign(squares, squares_now)
    ops.assign(mean, mean_now)
    return gradient / (ops.sqrt(squares_now - ops.square(mean_now)) + eps)


@_push.register(*["Tensor"] * 3)
def _push_on(momentum: Tensor, buffer: Tensor, step: Tensor) -> Tensor:
    step = momentum * buffer + step
    ops.assign(buffer, step)
    return step


@_push_at_times.register(*["Tensor"] * 3)
def _push_where_momentum(momentum: Tensor, buffer: Tensor, step: Tensor) -> Tensor:
    step = momentum * buffer + step
    # An update without momentum leaves torch's buffer as it was.
    ops.assign(buffer, ops.select(momentum > 0.0, step, buffer))
    return step


@_move.register(*["Tensor"] * 3)
def _move_by(rate: Tensor, parameter: Tensor, step: Tensor) -> bool:
    ops.assign(parameter, parameter - rate * step)
    return True


class Adagrad(Update):
    """`torch.optim.Adagrad`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    What the sum starts with is no `Table`: it counts once.

    State: `sum`, in the shapes of the parameters, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-2,
        lr_decay: Number = 0.0,
        weight_decay: Number = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: Number = 1e-10,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.lr_decay_at, self.eps_at = cell(lr_decay), cell(eps)
        self.square_sum = self._parameters.clone(prefix="sum", init=float(initial_accumulator_value))

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        lr_decay, eps = self.lr_decay_at(now), self.eps_at(now)
        t = self.advanced()
        rate = self.scaled(1.0 / (1.0 + (t - 1.0) * lr_decay), lr)
        return self.each(_adagrad, (eps,), rate, self._parameters, self.square_sum, gradients)


class Adadelta(Update):
    """`torch.optim.Adadelta`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `square_avg` and `acc_delta`, in the shapes of the parameters, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1.0,
        rho: Number = 0.9,
        eps: Number = 1e-6,
        weight_decay: Number = 0.0,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.rho_at, self.gain_at, self.eps_at = cell(rho), cell(rho, rest), cell(eps)
        self.square_avg = self._parameters.clone(prefix="square_avg", init="zeros")
        self.acc_delta = self._parameters.clone(prefix="acc_delta", init="zeros")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        numbers = (self.rho_at(now), self.gain_at(now), self.eps_at(now))
        self.advanced()
        return self.each(_adadelta, numbers, lr, self._parameters, self.square_avg, self.acc_delta, gradients)


class RMSprop(Update):
    """`torch.optim.RMSprop`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `square_avg`, with `centered` `grad_avg`, with momentum `momentum_buffer`, in the shapes of the parameters,
    and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-2,
        alpha: Number = 0.99,
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        momentum: Number = 0.0,
        centered: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.alpha_at, self.gain_at, self.eps_at = cell(alpha), cell(alpha, rest), cell(eps)
        self.momentum_at = cell(momentum)
        self.centered = centered
        momenta = momentum.reach if isinstance(momentum, Table) else np.array([momentum])
        self.moving = bool((momenta > 0).any())
        self.pausing = self.moving and bool((momenta == 0).any())
        self.square_avg = self._parameters.clone(prefix="square_avg", init="zeros")
        if centered:
            self.grad_avg = self._parameters.clone(prefix="grad_avg", init="zeros")
        if self.moving:
            self.momentum_buffer = self._parameters.clone(prefix="momentum_buffer", init="zeros")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        numbers = (self.alpha_at(now), self.gain_at(now), self.eps_at(now))
        momentum = self.momentum_at(now)
        self.advanced()
        averages = (self.square_avg, self.grad_avg) if self.centered else (self.square_avg,)
        steps = self.mapped(_step, numbers, *averages, gradients)
        if self.moving:
            push = _push_at_times if self.pausing else _push
            steps = self.mapped(push, (momentum,), self.momentum_buffer, steps)
        return self.each(_move, (), lr, self._parameters, steps)
