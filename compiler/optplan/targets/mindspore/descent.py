"""SGD, ASGD and Rprop by PyTorch's formulas, where the stock classes do not reach.

`nn.SGD` is exact, but knows neither `maximize` nor a schedule of anything but lr.  `nn.ASGD` and `nn.Rprop` compute the
formula too, but branch for each parameter: with 161 of them `nn.Rprop` compiles for half a minute and `nn.ASGD` not at
all, where these take 3 to 4 seconds.  Here a choice that depends on the update is a `where`, and no branch.

With t = 1 at the first update, g the gradient after `maximize` and decay, and p the parameter:

    SGD    b = g at the first update with momentum, then momentum * b + (1 - dampening) * g
           p = p - lr * b, with nesterov p - lr * (g + momentum * b), and without momentum p - lr * g
    ASGD   p = (1 - lambd * eta) * p - eta * g,  ax = ax + mu * (p - ax), then for the next update
           eta = lr / (1 + lambd * lr * t) ** alpha,  mu = 1 / max(1, t - t0);  at first eta = lr and mu = 1
    Rprop  s = s * (etas[1] where g * previous g > 0, etas[0] where < 0), kept within step_sizes; at first s = lr
           g = 0 where it turned its sign,  p = p - sign(g) * s
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, jit, ops
from mindspore import dtype as mstype
from mindspore.ops import functional as F  # noqa: N812 - its usual name
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.table import Table, cell
from optplan.targets.mindspore.update import Tensors, Update

if TYPE_CHECKING:
    from optplan.targets.mindspore.table import Number

__all__ = ["ASGD", "SGD", "Rprop"]

_kernel = ops.SGD(0.0, 0.0, False)
_nesterov_kernel = ops.SGD(0.0, 0.0, True)
_sgd = MultitypeFuncGraph("sgd")
_sgd_nesterov = MultitypeFuncGraph("sgd_nesterov")
_damp = MultitypeFuncGraph("damp")
_asgd = MultitypeFuncGraph("asgd")
_eta = MultitypeFuncGraph("eta")
_next_eta = MultitypeFuncGraph("next_eta")
_rprop = MultitypeFuncGraph("rprop")


@_sgd.register(*["Tensor"] * 6)
def _sgd_update(
    momentum: Tensor, rate: Tensor, parameter: Tensor, accum: Tensor, stat: Tensor, gradient: Tensor
) -> bool:
    _kernel(parameter, gradient, rate, accum, momentum, stat)
    return True


@_sgd_nesterov.register(*["Tensor"] * 6)
def _sgd_nesterov_update(
    momentum: Tensor, rate: Tensor, parameter: Tensor, accum: Tensor, stat: Tensor, gradient: Tensor
) -> bool:
    _nesterov_kernel(parameter, gradient, rate, accum, momentum, stat)
    return True


@_damp.register(*["Tensor"] * 4)
def _damp_gradient(momentum: Tensor, share: Tensor, stat: Tensor, gradient: Tensor) -> Tensor:
    # All of it counts without momentum, and where it makes the buffer
    return ops.where(ops.logical_or(momentum <= 0.0, stat > 0.0), gradient, share * gradient)


@_asgd.register(*["Tensor"] * 6)
def _asgd_update(lambd: Tensor, mu: Tensor, eta: Tensor, parameter: Tensor, mean: Tensor, gradient: Tensor) -> bool:
    # As torch rounds it: the factor is one float32, the same for all elements, and its error adds up over updates.
    moved = parameter * (1.0 - lambd * eta) - eta * gradient
    ops.assign(mean, ops.where(mu == 1.0, moved, mean + (moved - mean) * mu))
    ops.assign(parameter, moved)
    return True


@_eta.register("Tensor", "Tensor", "Tensor")
def _eta_now(first: Tensor, rate: Tensor, eta: Tensor) -> Tensor:
    return ops.where(first, rate, eta)


@_next_eta.register(*["Tensor"] * 5)
def _eta_after(lambd: Tensor, alpha: Tensor, t: Tensor, rate: Tensor, eta: Tensor) -> bool:
    ops.assign(eta, rate * ops.exp(-alpha * ops.log1p(lambd * rate * t)))
    return True


@_rprop.register(*["Tensor"] * 10)
def _rprop_update(
    first: Tensor,
    shrink: Tensor,
    grow: Tensor,
    least: Tensor,
    most: Tensor,
    rate: Tensor,
    parameter: Tensor,
    previous: Tensor,
    step: Tensor,
    gradient: Tensor,
) -> bool:
    agreement = gradient * previous
    turned = agreement < 0.0
    factor = ops.where(turned, shrink, ops.where(agreement > 0.0, grow, ops.ones_like(gradient)))
    # In this order: where the least is above the most, the most counts.
    size = ops.minimum(ops.maximum(ops.where(first, rate, step) * factor, least), most)
    kept = ops.where(turned, ops.zeros_like(gradient), gradient)
    ops.assign(step, size)
    ops.assign(previous, kept)
    ops.assign(parameter, parameter - ops.sign(kept) * size)
    return True


class SGD(Update):
    """`torch.optim.SGD`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    The kernel and the state, `accum` and `stat`, are those of `nn.SGD`; dampening is worked into the gradients, as the
    kernel has it only as a constant.  Raises ValueError where `nesterov` meets a dampening other than 0, as torch does.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        momentum: Number = 0.0,
        dampening: Number = 0.0,
        weight_decay: Number = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.damps = bool(np.any(dampening.reach if isinstance(dampening, Table) else dampening))
        if nesterov and self.damps:
            raise ValueError("`nesterov` needs `dampening` to be 0")
        self.maximize = maximize
        self.nesterov = nesterov
        self.momentum_at = cell(momentum)
        self.share_at = cell(dampening, lambda damped: 1.0 - damped)
        self.accum = self._parameters.clone(prefix="accum", init="zeros")
        self.stat = self._parameters.clone(prefix="stat", init="ones")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        momentum = self.momentum_at(now)
        if self.damps:
            gradients = self.mapped(_damp, (momentum, self.share_at(now)), self.stat, gradients)
        self.advanced()
        update = _sgd_nesterov if self.nesterov else _sgd
        columns = (self._parameters, self.accum, self.stat, gradients)
        return self.each(update, (momentum,), lr, *columns)


class ASGD(Update):
    """`torch.optim.ASGD`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    As there, a changed lr, alpha or t0 takes effect one update later.  State: the mean of the parameters, `ax`, in
    their shapes, and the scalars `mu` and `eta`, the latter one for each parameter where groups differ in lr.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-2,
        lambd: Number = 1e-4,
        alpha: Number = 0.75,
        t0: Number = 1e6,
        weight_decay: Number = 0.0,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.lambd_at, self.alpha_at, self.t0_at = cell(lambd), cell(alpha), cell(t0)
        self.ax = self._parameters.clone(prefix="ax", init="zeros")
        self.mu = Parameter(Tensor(1.0, mstype.float32), name="mu")
        if self.is_group_lr:
            names = [f"eta.{parameter.name}" for parameter in self._parameters]
            self.eta = ParameterTuple([Parameter(Tensor(0.0, mstype.float32), name=name) for name in names])
        else:
            self.eta = Parameter(Tensor(0.0, mstype.float32), name="eta")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        lambd, alpha, t0 = self.lambd_at(now), self.alpha_at(now), self.t0_at(now)
        t = self.advanced()
        first = t == 1.0
        eta = self.map_(F.partial(_eta, first), lr, self.eta) if self.is_group_lr else _eta(first, lr, self.eta)
        done = self.each(_asgd, (lambd, self.mu), eta, self._parameters, self.ax, gradients)
        if self.is_group_lr:
            self.map_(F.partial(_next_eta, lambd, alpha, t), lr, self.eta)
        else:
            _next_eta(lambd, alpha, t, lr, self.eta)
        ops.assign(self.mu, 1.0 / ops.maximum(t - t0, 1.0))
        return done


class Rprop(Update):
    """`torch.optim.Rprop`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    Only the first update reads lr.  State: `prev`, the gradient before, and `step_size`, in the shapes of the
    parameters.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-2,
        etas: tuple[Number, Number] = (0.5, 1.2),
        step_sizes: tuple[Number, Number] = (1e-6, 50.0),
        maximize: bool = False,
        weight_decay: Number = 0.0,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.shrink_at, self.grow_at = cell(etas[0]), cell(etas[1])
        self.least_at, self.most_at = cell(step_sizes[0]), cell(step_sizes[1])
        self.prev = self._parameters.clone(prefix="prev", init="zeros")
        self.step_size = self._parameters.clone(prefix="step_size", init="zeros")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        numbers = (self.shrink_at(now), self.grow_at(now), self.least_at(now), self.most_at(now))
        first = self.advanced() == 1.0
        return self.each(_rprop, (first, *numbers), lr, self._parameters, self.prev, self.step_size, gradients)
