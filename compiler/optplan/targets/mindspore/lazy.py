"""SparseAdam by PyTorch's formula, for the sparse gradients of `nn.EmbeddingLookup`.

Averages and weights move only in the rows that a batch looked up, while t counts every update:

    p = p - lr * sqrt(c2) / c1 * m / (sqrt(v) + eps),    c1 = 1 - beta1^t,  c2 = 1 - beta2^t

with eps as it is.  `nn.LazyAdam` has this formula, but makes an update for each time that a row was looked up, where
the gradients of one row have to be added first; the kernel of its host mode, which is used here, adds them.  It runs on
the CPU, on every device.

A sparse gradient lives within one compiled step, as a RowTensor.  Handed out of it, as by `value_and_grad` called by
itself, it is in PyNative mode its values alone, and which rows they belong to is lost; in Graph mode it is a tuple that
counts as a constant, for which each update is compiled anew.  Both, as any dense gradient, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindspore import Tensor, jit, ops
from mindspore import dtype as mstype
from mindspore.ops import functional as F  # noqa: N812 - its usual name
from mindspore.ops.composite import MultitypeFuncGraph
from mindspore.ops.operations import FusedSparseLazyAdam

from optplan.targets.mindspore.adam import log_beta
from optplan.targets.mindspore.table import cell
from optplan.targets.mindspore.update import Update, remainder

if TYPE_CHECKING:
    from optplan.targets.mindspore.table import Number

__all__ = ["SparseAdam"]

_NOT_SPARSE = (
    "`sparse_adam` takes only sparse gradients, as `nn.EmbeddingLookup` gives within a compiled step: "
    "`TrainOneStepCell` or `Model` in Graph mode, or one `mindspore.jit` function with gradients and optimizer in it"
)

_kernel = FusedSparseLazyAdam(use_locking=False, use_nesterov=False)
_kernel.set_device("CPU")
_rows = MultitypeFuncGraph("rows")
_values = MultitypeFuncGraph("values")
_sparse_adam = MultitypeFuncGraph("sparse_adam")


@_rows.register("RowTensor")
def _rows_of_row_tensor(gradient: Any) -> Tensor:
    return ops.cast(gradient.indices, mstype.int32)


@_rows.register("Tensor")
def _rows_of_tensor(gradient: Tensor) -> Tensor:  # noqa: ARG001 - it has none
    raise TypeError(_NOT_SPARSE)


@_rows.register("Tuple")
def _rows_of_tuple(gradient: Any) -> Tensor:  # noqa: ARG001 - they would be constants
    raise TypeError(_NOT_SPARSE)


@_values.register("Tensor", "RowTensor")
def _values_of_row_tensor(scale: Tensor, gradient: Any) -> Tensor:
    return gradient.values * scale


@_sparse_adam.register(*["Tensor"] * 10)
def _sparse_adam_update(
    none: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    rate: Tensor,
    parameter: Tensor,
    m: Tensor,
    v: Tensor,
    rows: Tensor,
    values: Tensor,
) -> bool:
    # `none` stands for the powers of the betas: the corrections are in the rate.
    _kernel(parameter, m, v, none, none, rate, beta1, beta2, eps, values, rows)
    return True


class SparseAdam(Update):
    """`torch.optim.SparseAdam`: arguments as there, `learning_rate` for lr; each number may be a `Table`.

    State: `moment1` and `moment2`, in the shapes of the parameters, and `global_step`.  The first update raises
    TypeError where a gradient is dense, as every gradient is in PyNative mode outside a `jit` step.
    ValueError for a group with `grad_centralization`.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        maximize: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(learning_rate, params, loss_scale=loss_scale)
        if self.is_group and any(self.grad_centralization_flags):
            raise ValueError("`sparse_adam` does not take `grad_centralization`: its gradients are some rows only")
        self.beta1_at, self.beta2_at, self.eps_at = cell(betas[0]), cell(betas[1]), cell(eps)
        self.log_beta1_at, self.log_beta2_at = cell(betas[0], log_beta), cell(betas[1], log_beta)
        self.moment1 = self._parameters.clone(prefix="moment1", init="zeros")
        self.moment2 = self._parameters.clone(prefix="moment2", init="zeros")
        self.maximize = maximize
        sign = -1.0 if maximize else 1.0
        self.scale = Tensor(sign / self.loss_scale, mstype.float32)
        self.none = Tensor(0.0, mstype.float32)

    @jit
    def construct(self, gradients: Any) -> Any:
        """One update with `gradients`, sparse ones, in the order of `parameters`."""
        # Maps, not hyper-maps: a gradient that is a tuple comes to its refusal whole.
        rows = self.map_(_rows, gradients)
        values = self.map_(F.partial(_values, self.scale), gradients)
        lr = self.get_lr()
        now = self.global_step
        beta1, beta2, eps = self.beta1_at(now), self.beta2_at(now), self.eps_at(now)
        log_beta1, log_beta2 = self.log_beta1_at(now), self.log_beta2_at(now)
        t = self.advanced()
        rate = self.scaled(ops.sqrt(remainder(t * log_beta2)) / remainder(t * log_beta1), lr)
        own = (self._parameters, self.moment1, self.moment2)
        return self.each(_sparse_adam, (self.none, beta1, beta2, eps), rate, *own, rows, values)
