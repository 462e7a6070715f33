"""Loss scale and clipping: the pieces between a loss, its gradients and an update.

A loss scaler multiplies a loss, takes the scale out of gradients, and adjusts itself.  Which one a plan has:

    fixed, overflows dropped    `amp.StaticLossScaler`, or `FixedScaler` for a scale below 1
    fixed, none dropped         `CarriedScaler`: the optimizer takes the scale out, which was made with it
    dynamic                     `amp.DynamicLossScaler` where that computes the same, else `DynamicScaler`

Clipping looks at all gradients of all optimizers together, by the formulas of `torch.nn.utils.clip_grad_norm_` and
`clip_grad_value_`.
"""

from __future__ import annotations

from math import frexp
from typing import TYPE_CHECKING, Any

from mindspore import Parameter, Tensor, amp, jit, nn, ops
from mindspore import dtype as mstype
from mindspore.common.sparse_tensor import RowTensorInner
from mindspore.ops import functional as F  # noqa: N812 - its usual name
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.state.saved import SavedScaler

if TYPE_CHECKING:
    from optplan.resolve.training import Clip, LossScale
    from optplan.targets.mindspore.update import Tensors

__all__ = [
    "CarriedScaler",
    "ClipGradients",
    "DynamicScaler",
    "FixedScaler",
    "carried_scale",
    "make_scaler",
    "put_scale",
    "scale_of",
    "unscaled",
]

_square_sum = MultitypeFuncGraph("square_sum")
_times = MultitypeFuncGraph("times")
_bounded = MultitypeFuncGraph("bounded")
_without = MultitypeFuncGraph("without")


@_square_sum.register("Tensor")
def _square_sum_of(gradient: Tensor) -> Tensor:
    return ops.sum(ops.square(ops.cast(gradient, mstype.float32)))


@_square_sum.register("RowTensor")
def _square_sum_of_rows(gradient: Any) -> Tensor:
    # A row that was looked up twice has the sum of two
    rows = ops.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
    return ops.sum(ops.square(ops.cast(rows, mstype.float32)))


@_times.register("Tensor", "RowTensor")
def _times_rows(factor: Tensor, gradient: Any) -> Any:
    values = gradient.values * ops.cast(factor, gradient.values.dtype)
    return RowTensorInner(gradient.indices, values, gradient.dense_shape)


@_times.register("Tensor", "Tensor")
def _times_tensor(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient * ops.cast(factor, gradient.dtype)


@_bounded.register("Tensor", "Tensor")
def _bounded_tensor(limit: Tensor, gradient: Tensor) -> Tensor:
    # Comparisons, since a nan has to stay one
    most = ops.cast(limit, gradient.dtype)
    return ops.where(gradient > most, most, ops.where(gradient < -most, -most, gradient))


@_without.register("Tensor", "Tensor")
def _without_scale(scale: Tensor, gradient: Tensor) -> Tensor:
    # Divided, and in float32 or more: the inverse of a scale can be too small for a normal number
    return ops.cast(gradient / scale, gradient.dtype)


_each = ops.HyperMap()


@jit
def unscaled(scale: Tensor, gradients: Any) -> Any:
    """Gradients, a tensor or a tuple of tensors, without `scale`, a float32 scalar as large as any."""
    return _each(F.partial(_without, scale), gradients)


class FixedScaler(amp.StaticLossScaler):
    """`amp.StaticLossScaler` for any scale above 0; that one refuses what is below 1."""

    def __init__(self, scale: float) -> None:
        self.scale_value = Parameter(Tensor(scale, mstype.float32), name="scale_value", requires_grad=False)

    def unscale(self, inputs: Any) -> Any:
        """Gradients without the scale."""
        return unscaled(self.scale_value, amp.mutable(inputs))


class CarriedScaler(FixedScaler):
    """A fixed scale that the optimizer takes out of the gradients, as its argument `loss_scale`.

    So `unscale` gives gradients back as they are: taken out here too, it would be taken out twice.
    """

    def unscale(self, inputs: Any) -> Any:
        """The gradients, still scaled, as the optimizer wants them."""
        return inputs


class DynamicScaler(amp.LossScaler):
    """The rule of `torch.amp.GradScaler` for any growth and backoff, without a floor.

    State: `scale_value`, float32, and `counter`, int32, how many updates in a row had finite gradients.
    """

    def __init__(self, init: float, growth: float, backoff: float, every: int) -> None:
        self.scale_value = Parameter(Tensor(init, mstype.float32), name="scale_value", requires_grad=False)
        self.counter = Parameter(Tensor(0, mstype.int32), name="counter", requires_grad=False)
        # A float32 scale times a float64 factor, rounded once, as PyTorch has it
        self.growth, self.backoff = Tensor(growth, mstype.float64), Tensor(backoff, mstype.float64)
        self.every = every

    def scale(self, inputs: Any) -> Any:
        """The loss, or a tuple of tensors, times the scale."""
        return amp._grad_scale_map(self.scale_value, amp.mutable(inputs))  # noqa: SLF001 - as its documentation says

    def unscale(self, inputs: Any) -> Any:
        """Gradients without the scale."""
        return unscaled(self.scale_value, amp.mutable(inputs))

    def adjust(self, grads_finite: Tensor) -> bool:
        """Fit the scale to whether the gradients of an update were finite, a bool scalar."""
        scale = ops.cast(self.scale_value, mstype.float64)
        grown = ops.cast(scale * self.growth, mstype.float32)
        full = self.counter == self.every - 1
        larger = ops.select(ops.logical_and(full, ops.isfinite(grown)), grown, self.scale_value)
        smaller = ops.cast(scale * self.backoff, mstype.float32)
        counter = ((self.counter + 1) % self.every) * ops.cast(grads_finite, mstype.int32)
        ops.assign(self.scale_value, ops.select(grads_finite, larger, smaller))
        ops.assign(self.counter, counter)
        return True


def carried_scale(loss_scale: LossScale | None) -> float:
    """The `loss_scale` that optimizers are made with: the scale that nothing else takes out of gradients, or 1."""
    if loss_scale is None or loss_scale.drops:
        return 1.0
    return loss_scale.init


def make_scaler(loss_scale: LossScale | None) -> amp.LossScaler | None:
    """The loss scaler of a plan; None without one."""
    if loss_scale is None:
        return None
    init, growth = loss_scale.init, loss_scale.growth
    if loss_scale.kind == "dynamic":
        # By a power of two both compute without rounding
        if init >= 1 and growth.is_integer() and frexp(growth)[0] == 0.5 and loss_scale.backoff == 1 / growth:
            return amp.DynamicLossScaler(init, int(growth), loss_scale.every)
        return DynamicScaler(init, growth, loss_scale.backoff, loss_scale.every)
    if not loss_scale.drop_overflow:
        return CarriedScaler(init)
    return amp.StaticLossScaler(init) if init >= 1 else FixedScaler(init)


def scale_of(scaler: amp.LossScaler | None) -> SavedScaler | None:
    """What a loss scaler has come to; None without one."""
    if scaler is None:
        return None
    counter = getattr(scaler, "counter", None)
    return SavedScaler(_read(scaler.scale_value), 0 if counter is None else int(_read(counter)))


def put_scale(
    scaler: amp.LossScaler | None, saved: SavedScaler | None, loss_scale: LossScale | None
) -> amp.LossScaler | None:
    """The scaler that goes on from what was saved, or begins anew where nothing was; of a fixed one the scale stands.

    It is the `scaler` of `loss_scale` itself, but for a saved scale below the floor of `amp.DynamicLossScaler`.
    """
    counter = getattr(scaler, "counter", None)
    if scaler is None or counter is None or loss_scale is None:
        return scaler
    if saved is None:
        saved = SavedScaler(loss_scale.init, 0)
    every = loss_scale.every
    if saved.scale < 1 and isinstance(scaler, amp.DynamicLossScaler):
        # It would raise the scale to 1 after an overflow
        scaler = DynamicScaler(loss_scale.init, loss_scale.growth, loss_scale.backoff, every)
        counter = scaler.counter
    ops.assign(scaler.scale_value, Tensor(saved.scale, mstype.float32).reshape(scaler.scale_value.shape))
    ops.assign(counter, Tensor(saved.good % every, mstype.int32).reshape(counter.shape))
    return scaler


def _read(value: Tensor | float) -> float:
    return float(value.asnumpy().reshape(-1)[0]) if isinstance(value, Tensor) else float(value)


class ClipGradients(nn.Cell):
    """What a plan's `clip` makes of gradients, and their norm; without one, only the norm.

    `carried` is the scale that the gradients still have, which `loss_scale` of the optimizer will take out: limits grow
    with it, and the norm is told without it.  `sparse` says that some gradients may be sparse, in a compiled step, and
    `count` how many there are, which a call outside of a compiled one is held against.
    """

    def __init__(
        self, clip: Clip | None, carried: float = 1.0, *, sparse: bool = False, count: int | None = None
    ) -> None:
        super().__init__()
        self.count = count
        self.map_ = ops.HyperMap()
        self.by_norm, self.by_value = (
            clip is not None and clip.kind == "norm",
            clip is not None and clip.kind == "value",
        )
        self.sparse = sparse
        limit = 1.0 if clip is None else clip.limit
        self.limit = Tensor(limit, mstype.float32)
        self.bound = Tensor(limit * carried, mstype.float32)
        self.uncarried = Tensor(1.0 / carried, mstype.float32)
        self.one = Tensor(1.0, mstype.float32)

    def __call__(self, *gradients: Any) -> Any:
        """As `construct`; TypeError or ValueError for what are not the gradients of the trained parameters."""
        how = "`clip_gradients(gradients)` takes all that `value_and_grad(forward, None, compiled.parameters)` gives"
        if len(gradients) != 1 or not isinstance(gradients[0], (tuple, list)):
            what = "nothing" if not gradients else "not one tuple"
            raise TypeError(f"{how}, and this is {what}")
        if self.count is not None and len(gradients[0]) != self.count:
            raise ValueError(f"{how}, {self.count}, and this is {len(gradients[0])}")
        return super().__call__(tuple(gradients[0]))

    @jit
    def construct(self, gradients: Tensors) -> tuple[Tensors, Tensor]:
        """The gradients clipped, and their 2-norm before that, a float32 scalar."""
        norm = self.norm(gradients)
        return self.clipped(gradients, norm), norm

    def norm(self, gradients: Tensors) -> Tensor:
        """The 2-norm of all gradients together, without the scale that they carry."""
        sums = self.map_(_square_sum, gradients)
        if self.sparse:
            # Nothing is known of them yet when a graph with a sparse gradient is first looked at: `addn` refuses that
            total = sums[0]
            for each in sums[1:]:
                total = total + each
        else:
            total = ops.addn(sums)
        return ops.sqrt(total) * self.uncarried

    def clipped(self, gradients: Tensors, norm: Tensor) -> Tensors:
        """The gradients as the clip has them; `norm` is theirs."""
        if self.by_norm:
            factor = self.limit / (norm + 1e-6)
            # A comparison, since a nan has to stay one
            factor = ops.where(factor > 1.0, self.one, factor)
            if self.sparse:
                # Nor does a function bind what is not known yet
                gradients = self.map_(_times, (factor,) * len(gradients), gradients)
            else:
                gradients = self.map_(F.partial(_times, factor), gradients)
        if self.by_value:
            gradients = self.map_(F.partial(_bounded, self.bound), gradients)
        return gradients
