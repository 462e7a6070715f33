"""Adam's kin by PyTorch's formula: Adamax, NAdam and RAdam.

With t = 1 at the first update, m and v the running averages of the gradient g and of its square, c1 = 1 - beta1^t and
c2 = 1 - beta2^t, PyTorch moves a parameter by

    Adamax    lr / c1 * m / u,    u = max(beta2 * u, |g| + eps)
    NAdam     lr * ((1 - mu_t) / (1 - P_t) * g + mu_(t+1) / (1 - P_t * mu_(t+1)) * m) / (sqrt(v / c2) + eps),
              mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2),    P_t = mu_1 * ... * mu_t
    RAdam     lr / c1 * m * rect * sqrt(c2) / (sqrt(v) + eps) where rho_t > 5, else lr / c1 * m,
              rect = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t)),
              rho = 2 / (1 - beta2) - 1,    rho_t = rho - 2 t beta2^t / c2

What these subtract would cost float32 its digits, so it is written without: c from t * log(beta), 1 - mu_t as
(1 - beta1) + beta1 * 0.96^(t * momentum_decay) / 2, and rho_t, with q = -log(beta2) and L(y) = coth(y) - 1/y, as
t * (1 - L(t * q / 2)) + L(q / 2).

Sources: `torch.optim.Adamax`, `NAdam`, `RAdam`; Kingma and Ba, arXiv 1412.6980; Dozat, ICLR 2016 workshop; Liu et al.,
arXiv 1908.03265.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Parameter, Tensor, jit, ops
from mindspore import dtype as mstype
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.adam import log_beta
from optplan.targets.mindspore.table import cell
from optplan.targets.mindspore.update import Tensors, Update, remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optplan.targets.mindspore.table import Number

_kernel = ops.Adam()
_adamax = MultitypeFuncGraph("adamax")
_nadam = MultitypeFuncGraph("nadam")
_radam = MultitypeFuncGraph("radam")

# A divisor beside which the root of v vanishes, up to gradients of 1e16; a power of two, so it cancels without a trace.
_DROWNING = 2.0**80


def toward(old: Tensor, new: Tensor, gain: Tensor) -> Tensor:
    """The running average after `new`, which counts `gain`: as exact for a gain of 0.001 as for one of 1."""
    return (old - gain * old) + gain * new


# `gain` is 1 - beta1, `keep` is beta2.
@_adamax.register(*["Tensor"] * 8)
def _adamax_update(
    gain: Tensor,
    keep: Tensor,
    eps: Tensor,
    rate: Tensor,
    parameter: Tensor,
    average: Tensor,
    largest: Tensor,
    gradient: Tensor,
) -> bool:
    average_now = toward(average, gradient, gain)
    largest_now = ops.maximum(largest * keep, ops.abs(gradient) + eps)
    ops.assign(average, average_now)
    ops.assign(largest, largest_now)
    ops.assign(parameter, parameter - rate * (average_now / largest_now))
    return True


# The gains are 1 - beta1 and 1 - beta2, `eps` is eps * sqrt(c2), `own` the factor of the gradient, `ahead` that of its
# average.
@_nadam.register(*["Tensor"] * 11)
def _nadam_update(
    gain: Tensor,
    keep_square: Tensor,
    gain_square: Tensor,
    eps: Tensor,
    own: Tensor,
    ahead: Tensor,
    rate: Tensor,
    parameter: Tensor,
    average: Tensor,
    squares: Tensor,
    gradient: Tensor,
) -> bool:
    average_now = toward(average, gradient, gain)
    squares_now = keep_square * squares + gain_square * ops.square(gradient)
    ops.assign(average, average_now)
    ops.assign(squares, squares_now)
    direction = (own * gradient + ahead * average_now) / (ops.sqrt(squares_now) + eps)
    ops.assign(parameter, parameter - rate * direction)
    return True


@_radam.register(*["Tensor"] * 9)
def _radam_update(
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    none: Tensor,
    rate: Tensor,
    parameter: Tensor,
    average: Tensor,
    squares: Tensor,
    gradient: Tensor,
) -> bool:
    _kernel(parameter, average, squares, none, none, rate, beta1, beta2, eps, gradient)
    return True


def rest(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - beta, in double precision."""
    return 1.0 - beta


def _log(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(beta); of 0 a number that leaves nothing of it."""
    logarithm: NDArray[np.float64] = np.log(np.maximum(beta, 1e-30))
    return logarithm


def _half_rate(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of q, which is -log(beta)."""
    return -0.5 * _log(beta)


def _langevin_of_half_rate(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """L(q / 2)."""
    half = _half_rate(beta)
    return 1.0 / np.tanh(half) - 1.0 / half


def _constant_of_rect(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of rect stays the same, rho / ((rho - 4) (rho - 2)), where there is a rectification at all."""
    rho = np.maximum((1.0 + beta) / (1.0 - beta), 5.0)
    return rho / ((rho - 4.0) * (rho - 2.0))


def _one_minus_langevin(y: Tensor) -> Tensor:
    """1 - L(y) for y > 0: by its series where coth(y) and 1/y would cancel."""
    square = y * y
    series = 1.0 - y * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square * (1 / 4725 - square * (2 / 93555)))))
    return ops.select(y < 0.5, series, 1.0 / y - 2.0 / ops.expm1(2.0 * y))


class Adamax(Update):
    """`torch.optim.Adamax`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `exp_avg` and `exp_inf`, in the shapes of the parameters, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.gain_at, self.log_beta1_at = cell(betas[0], rest), cell(betas[0], _log)
        self.beta2_at, self.eps_at = cell(betas[1]), cell(eps)
        self.exp_avg = self._parameters.clone(prefix="exp_avg", init="zeros")
        self.exp_inf = self._parameters.clone(prefix="exp_inf", init="zeros")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.decayed(gradients)
        lr = self.get_lr()
        now = self.global_step
        numbers = (self.gain_at(now), self.beta2_at(now), self.eps_at(now))
        log_beta1 = self.log_beta1_at(now)
        t = self.advanced()
        rate = self.scaled(1.0 / remainder(t * log_beta1), lr)
        return self.each(_adamax, numbers, rate, self._parameters, self.exp_avg, self.exp_inf, gradients)


class NAdam(Update):
    """`torch.optim.NAdam`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `exp_avg` and `exp_avg_sq`, in the shapes of the parameters, `mu_product`, which is P_t, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        momentum_decay: Number = 4e-3,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.decoupled = decoupled_weight_decay
        self.beta1_at, self.gain1_at = cell(betas[0]), cell(betas[0], rest)
        self.beta2_at, self.gain2_at, self.log_beta2_at = cell(betas[1]), cell(betas[1], rest), cell(betas[1], _log)
        self.eps_at = cell(eps)
        self.fading_at = cell(momentum_decay, lambda decay: decay * np.log(0.96))
        self.exp_avg = self._parameters.clone(prefix="exp_avg", init="zeros")
        self.exp_avg_sq = self._parameters.clone(prefix="exp_avg_sq", init="zeros")
        self.mu_product = Parameter(Tensor(1.0, mstype.float32), name="mu_product", requires_grad=False)

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.plain(gradients) if self.decoupled else self.decayed(gradients)
        lr = self.get_lr()
        if self.decoupled:
            self.shrink(lr, self.get_weight_decay())
        now = self.global_step
        beta1, gain1 = self.beta1_at(now), self.gain1_at(now)
        beta2, gain2, log_beta2 = self.beta2_at(now), self.gain2_at(now), self.log_beta2_at(now)
        eps, fading = self.eps_at(now), self.fading_at(now)
        t = self.advanced()
        root = ops.sqrt(remainder(t * log_beta2))
        missing = 0.5 * beta1 * ops.exp(t * fading)
        mu_next = beta1 - 0.5 * beta1 * ops.exp((t + 1.0) * fading)
        product = self.mu_product * (beta1 - missing)
        ops.assign(self.mu_product, product)
        own = root * (gain1 + missing) / (1.0 - product)
        ahead = root * mu_next / (1.0 - product * mu_next)
        numbers = (gain1, beta2, gain2, eps * root, own, ahead)
        return self.each(_nadam, numbers, lr, self._parameters, self.exp_avg, self.exp_avg_sq, gradients)


class RAdam(Update):
    """`torch.optim.RAdam`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    The kernel of `nn.Adam` subtracts rate * m / (sqrt(v) + eps), which is rate / eps * m for an eps large enough.

    State: `exp_avg` and `exp_avg_sq`, in the shapes of the parameters, and `global_step`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        self.decoupled = decoupled_weight_decay
        self.beta1_at, self.beta2_at, self.eps_at = cell(betas[0]), cell(betas[1]), cell(eps)
        self.log_beta1_at, self.log_beta2_at = cell(betas[0], log_beta), cell(betas[1], log_beta)
        self.half_rate_at, self.langevin_at = cell(betas[1], _half_rate), cell(betas[1], _langevin_of_half_rate)
        self.constant_at = cell(betas[1], _constant_of_rect)
        self.none = Tensor(0.0, mstype.float32)
        self.drowning = Tensor(_DROWNING, mstype.float32)
        self.exp_avg = self._parameters.clone(prefix="exp_avg", init="zeros")
        self.exp_avg_sq = self._parameters.clone(prefix="exp_avg_sq", init="zeros")

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.plain(gradients) if self.decoupled else self.decayed(gradients)
        lr = self.get_lr()
        if self.decoupled:
            self.shrink(lr, self.get_weight_decay())
        now = self.global_step
        beta1, beta2, eps = self.beta1_at(now), self.beta2_at(now), self.eps_at(now)
        log_beta1, log_beta2 = self.log_beta1_at(now), self.log_beta2_at(now)
        half_rate, langevin, constant = self.half_rate_at(now), self.langevin_at(now), self.constant_at(now)
        t = self.advanced()
        rho = t * _one_minus_langevin(t * half_rate) + langevin
        adaptive = rho > 5.0
        enough = ops.maximum(rho, 5.0)
        rect = ops.sqrt((enough - 4.0) * (enough - 2.0) / enough * constant)
        root = ops.sqrt(remainder(t * log_beta2))
        factor = ops.select(adaptive, rect * root, self.drowning) / remainder(t * log_beta1)
        numbers = (beta1, beta2, ops.select(adaptive, eps, self.drowning), self.none)
        rate = self.scaled(factor, lr)
        return self.each(_radam, numbers, rate, self._parameters, self.exp_avg, self.exp_avg_sq, gradients)
