"""Adafactor by PyTorch's formula.

Factored over the last two dimensions where there are two, with t = 1 at the first update:

    w     = t ^ beta2_decay
    row   = (1 - w) * row + w * mean(g^2, last dimension)       col the same over the one before
    v     = row * col / max(mean(row), eps1)                    of a vector or a scalar: v = (1 - w) * v + w * g^2
    u     = g / sqrt(max(v, eps1^2))
    alpha = max(eps2, rms(parameter)) * min(lr, 1 / sqrt(t))
    parameter = (1 - lr * weight_decay) * parameter - alpha / max(1, rms(u) / d) * u

Dimensions are those that PyTorch has: of the weight (out, in, 1, kernel) of a `Conv1d`, the last two are in and kernel.

Source: `torch.optim.Adafactor`; Shazeer and Stern, arXiv 1804.04235.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, jit, ops
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.targets.mindspore.table import cell
from optplan.targets.mindspore.update import Tensors, Update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optplan.targets.mindspore.table import Number

_EPS = float(np.finfo(np.float32).eps)
_adafactor = MultitypeFuncGraph("adafactor")


def _rms(tensor: Tensor) -> Tensor:
    """The root mean square of a tensor of any shape, a float32 scalar."""
    squares = ops.square(tensor)
    # The CPU's kernel sums one dimension several times faster than all at once.
    while squares.ndim > 0:
        squares = ops.mean(squares, -1)
    return ops.sqrt(squares)


# `weight` is w, `rest` 1 - w, `limit` 1 / sqrt(t), `unscaled` 1 / loss scale.  A vector or a scalar has its `variance`
# for `row`, and itself, unused, for `col`.  `ops.maximum` gives the second of two where one is nan: a clamp hands nan
# on, as PyTorch's does, if its bound stands first.
@_adafactor.register(*["Tensor"] * 14)
def _adafactor_update(
    weight: Tensor,
    rest: Tensor,
    limit: Tensor,
    eps1: Tensor,
    eps1_squared: Tensor,
    eps2: Tensor,
    d: Tensor,
    unscaled: Tensor,
    rate: Tensor,
    decay: Tensor,
    parameter: Tensor,
    row: Tensor,
    col: Tensor,
    gradient: Tensor,
) -> bool:
    squares = ops.square(gradient)
    if gradient.ndim > 1:
        # The dimension before the last, or the one before that: where `col` has none of it
        before = -2
        if gradient.ndim > 2:  # noqa: SIM102 - a graph needs to know the first to look at the second
            if col.shape[-3] != gradient.shape[-3]:
                before = -3
        row_mean = rest * row + weight * ops.mean(squares, -1, True)
        col_mean = rest * col + weight * ops.mean(squares, before, True)
        ops.assign(row, row_mean)
        ops.assign(col, col_mean)
        # PyTorch multiplies before it divides; the product of two small means may be too small for float32.
        variance = row_mean / ops.maximum(eps1, ops.mean(row_mean, before, True)) * col_mean
    else:
        variance = rest * row + weight * squares
        ops.assign(row, variance)
    update = gradient * ops.rsqrt(ops.maximum(eps1_squared, variance))
    alpha = ops.maximum(_rms(parameter), eps2) * ops.minimum(rate, limit)
    step = alpha / ops.maximum(_rms(update) / d, 1.0)
    ops.assign(parameter, parameter * (1.0 - rate * (decay * unscaled)) - step * update)
    return True


def _squared(eps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square, but no subnormal float32: MindSpore's kernels take one for 0, and a gradient of 0 would give nan."""
    squares = np.square(eps)
    return np.where(squares.astype(np.float32) > 0, np.maximum(squares, np.finfo(np.float32).tiny), squares)


def _zeros(prefix: str, parameter: Parameter, shape: tuple[int, ...]) -> Parameter:
    """The state of that name of `parameter`."""
    return Parameter(ops.zeros(shape, parameter.dtype), name=f"{prefix}.{parameter.name}", requires_grad=False)


class Adafactor(Update):
    """`torch.optim.Adafactor`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    `eps` is (eps1, eps2), where None for eps1 is the distance from 1 to the next float32.  `flat` has the identities of
    the parameters that PyTorch keeps without the dimension of one before their last.

    State: `row_var` (..., n, 1) and `col_var` (..., 1, m) of a parameter (..., n, m), `row_var` (..., n, 1, 1) and
    `col_var` (..., 1, 1, m) of a flat one (..., n, 1, m), `variance` of a vector or a scalar in its own shape, and
    `global_step`.
    """

    takes_flat = True

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-2,
        beta2_decay: Number = -0.8,
        eps: tuple[Number | None, Number] = (None, 1e-3),
        d: Number = 1.0,
        weight_decay: Number = 0.0,
        maximize: bool = False,
        loss_scale: float = 1.0,
        flat: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        self.maximize = maximize
        eps1 = _EPS if eps[0] is None else eps[0]
        self.eps1_at, self.eps1_squared_at, self.eps2_at = cell(eps1), cell(eps1, _squared), cell(eps[1])
        self.beta2_decay_at, self.d_at = cell(beta2_decay), cell(d)
        rows, cols = [], []
        for each in self._parameters:
            if each.ndim > 1:
                means = 2 if id(each) in flat else 1
                rows.append(_zeros("row_var", each, (*each.shape[:-1], 1)))
                cols.append(_zeros("col_var", each, (*each.shape[: -means - 1], *[1] * means, each.shape[-1])))
            else:
                rows.append(_zeros("variance", each, each.shape))
                cols.append(each)
        self.row, self.col = ParameterTuple(rows), ParameterTuple(cols)

    @jit
    def construct(self, gradients: Tensors) -> Any:
        """One update with `gradients`, in the order of `parameters`."""
        gradients = self.plain(gradients)
        lr = self.get_lr()
        decay = self.get_weight_decay()
        now = self.global_step
        beta2_decay, d = self.beta2_decay_at(now), self.d_at(now)
        eps = (self.eps1_at(now), self.eps1_squared_at(now), self.eps2_at(now))
        t = self.advanced()
        weight = ops.pow(t, beta2_decay)
        numbers = (weight, 1.0 - weight, ops.rsqrt(t), *eps, d, self.unscaled)
        own = (self._parameters, self.row, self.col)
        return self.each_decayed(_adafactor, numbers, lr, decay, *own, gradients)
