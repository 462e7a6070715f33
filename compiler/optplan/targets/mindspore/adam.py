"""Adam and AdamW by PyTorch's formula, as subclasses of `nn.Adam`.

With t = 1 at the first update, c1 = 1 - beta1^t and c2 = 1 - beta2^t, PyTorch moves a parameter by

    lr / c1 * m / (sqrt(v / c2) + eps) = r * m / (sqrt(v) + eps * sqrt(c2)),    r = lr * sqrt(c2) / c1

where `nn.Adam` adds a bare eps.  So the kernels get r as their rate, eps * sqrt(c2) as their eps, and no correction of
their own.  AdamW's factor 1 - lr * weight_decay is what the kernel of `nn.AdamWeightDecay`, which subtracts
r * (... + w * parameter), makes of w = weight_decay * lr / r: one kernel per parameter.

c is computed from t * log(beta), without loss near t = 1, with the beta that the kernels see: 0.999 is not a
float32, and moments and their correction must agree on what stands for it.

The kernels write an average as v + (g^2 - v) * (1 - beta), which cancels where beta is near 0, and AMSGrad's refuses
parameters without a dimension; there the same formula is computed step by step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, jit, nn, ops
from mindspore import dtype as mstype
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.table import Table, cell
from optplan.targets.mindspore.update import Tensors, Update, remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optplan.targets.mindspore.table import Number

_kernel = ops.Adam()
_amsgrad_kernel = ops.ApplyAdamWithAmsgradV2()
_adamw_kernel = ops.AdamWeightDecay()
_adam = MultitypeFuncGraph("adam")
_amsgrad = MultitypeFuncGraph("amsgrad")
_adamw = MultitypeFuncGraph("adamw")
_by_steps = MultitypeFuncGraph("by_steps")

# Below this a kernel's average loses more digits than float32 has to spare.
_LOW = 0.1


# In the functions below beta1, beta2 and eps are what the kernels take.


@_adam.register(*["Tensor"] * 9)
def _adam_update(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    none: Tensor,
    rate: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    gradient: Tensor,
) -> bool:
    _kernel(parameter, m, v, none, none, rate, beta1, beta2, eps, gradient)
    return True


@_amsgrad.register(*["Tensor"] * 10)
def _amsgrad_update(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    none: Tensor,
    rate: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    largest: Tensor,
    gradient: Tensor,
) -> bool:
    _amsgrad_kernel(parameter, m, v, largest, none, none, rate, beta1, beta2, eps, gradient)
    return True


@_adamw.register(*["Tensor"] * 10)
def _adamw_update(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    ratio: Tensor,
    rate: Tensor,
    decay: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    gradient: Tensor,
) -> bool:
    _adamw_kernel(parameter, m, v, rate, beta1, beta2, eps, decay * ratio, gradient)
    return True


def _averages(beta1: Tensor, beta2: Tensor, m: Tensor, v: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    mean = beta1 * m + (1.0 - beta1) * gradient
    square = beta2 * v + (1.0 - beta2) * ops.square(gradient)
    ops.assign(m, mean)
    ops.assign(v, square)
    return mean, square


@_by_steps.register(*["Tensor"] * 8)
def _adam_by_steps(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    rate: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    gradient: Tensor,
) -> bool:
    mean, square = _averages(beta1, beta2, m, v, gradient)
    ops.assign(parameter, parameter - rate * (mean / (ops.sqrt(square) + eps)))
    return True


@_by_steps.register(*["Tensor"] * 9)
def _amsgrad_by_steps(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    rate: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    largest: Tensor,
    gradient: Tensor,
) -> bool:
    mean, square = _averages(beta1, beta2, m, v, gradient)
    most = ops.maximum(largest, square)
    ops.assign(largest, most)
    ops.assign(parameter, parameter - rate * (mean / (ops.sqrt(most) + eps)))
    return True


def log_beta(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(beta), in double precision, of the float32 that the kernels see; of 0 a number that leaves nothing of it."""
    seen = beta.astype(np.float32).astype(np.float64)
    logs: NDArray[np.float64] = np.log(np.maximum(seen, 1e-30))
    return logs


class Adam(nn.Adam, Update):
    """`torch.optim.Adam`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `moment1`, `moment2` and, with `amsgrad`, `vhat`, in the shapes of the parameters, and `global_step`.
    """

    decoupled = False

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        # Numbers that `nn.Adam` allows: it knows neither a beta of 0 nor an eps of 0, which the formula does.
        super().__init__(params, learning_rate, weight_decay=weight_decay, use_amsgrad=amsgrad, loss_scale=loss_scale)  # type: ignore[call-arg]  # nn.Adam has no types
        del self.beta1_power, self.beta2_power, self.beta1, self.beta2, self.eps
        self.maximize = maximize
        self.beta1_at, self.beta2_at, self.eps_at = cell(betas[0]), cell(betas[1]), cell(eps)
        self.log_beta1_at, self.log_beta2_at = cell(betas[0], log_beta), cell(betas[1], log_beta)
        self.none = Tensor(0.0, mstype.float32)
        low = any(np.min(beta.reach if isinstance(beta, Table) else beta) < _LOW for beta in betas)
        self.by_steps = low or (amsgrad and any(parameter.ndim == 0 for parameter in self.parameters))
        # AdamW in one kernel, decay included.
        self.fused = self.decoupled and self.exec_weight_decay and not (self.by_steps or amsgrad)

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.plain(gradients) if self.decoupled else self.decayed(gradients)
        lr = self.get_lr()
        decay = self.get_weight_decay()
        now = self.global_step
        beta1, beta2, eps = self.beta1_at(now), self.beta2_at(now), self.eps_at(now)
        log_beta1, log_beta2 = self.log_beta1_at(now), self.log_beta2_at(now)
        t = self.advanced()
        root = ops.sqrt(remainder(t * log_beta2))
        ratio = remainder(t * log_beta1) / root
        eps = eps * root
        rate = self.scaled(1.0 / ratio, lr)
        own = (self._parameters, self.moment1, self.moment2)
        numbers = (beta1, beta2, eps)
        if self.decoupled and not self.fused:
            self.shrink(lr, decay)
        if self.by_steps:
            state = (self.moment1, self.moment2, self.vhat) if self.use_amsgrad else (self.moment1, self.moment2)
            return self.each(_by_steps, numbers, rate, self._parameters, *state, gradients)
        if self.use_amsgrad:
            return self.each(_amsgrad, (*numbers, self.none), rate, *own, self.vhat, gradients)
        if self.fused:
            return self.each_decayed(_adamw, (*numbers, ratio * self.unscaled), rate, decay, *own, gradients)
        return self.each(_adam, (*numbers, self.none), rate, *own, gradients)


class AdamW(Adam):
    """`torch.optim.AdamW`: arguments as there, `learning_rate` for lr; each number may be a `Table`."""

    decoupled = True

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(params, learning_rate, betas, eps, weight_decay, amsgrad, maximize, loss_scale)
