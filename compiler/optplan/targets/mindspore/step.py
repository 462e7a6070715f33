"""One training step: loss, gradients, and an update when one is due, in one Cell.

By the functional route, which runs in both modes and on every device: `value_and_grad` of a scaled loss, in data
parallelism the gradients of all processes, then the scale taken out, the norm, the check for infinities and nans, the
clip, the optimizer and the scale's adjustment.
"""

from __future__ import annotations

import re
from inspect import signature
from typing import TYPE_CHECKING, Any

from mindspore import (
    PYNATIVE_MODE,
    ParallelMode,
    Parameter,
    Tensor,
    amp,
    get_auto_parallel_context,
    get_context,
    jit,
    nn,
    ops,
    value_and_grad,
)
from mindspore import dtype as mstype
from mindspore.common.api import _pynative_executor
from mindspore.communication import get_group_size
from mindspore.ops.composite import MultitypeFuncGraph

from optplan.step import StepResult
from optplan.targets.mindspore.scaling import unscaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.targets.mindspore.compiled import Compiled
    from optplan.targets.mindspore.scaling import ClipGradients
    from optplan.targets.mindspore.update import Tensors

__all__ = ["StepCell", "TrainStep"]

_gathered = MultitypeFuncGraph("gathered")
_cleared = MultitypeFuncGraph("cleared")

# What `StepCell` says of a loss, in the midst of what MindSpore adds
_SHAPE = re.compile(r"the loss is one number, and this has shape [(\[][^)\]]*[)\]]")
_ORDER = "`compiled.train_step(network, loss_fn)`"

# The largest `accumulate`: the schema's, far below where int32 ends, in which batches are counted
_MOST = 1_000_000

# What the caller says about the update of a call.
_COUNT, _NOW, _LATER = 0, 1, -1


@_gathered.register("Tensor", "Tensor")
def _gather(total: Tensor, gradient: Tensor) -> Tensor:
    now = total + gradient
    ops.assign(total, now)
    return now


@_cleared.register("Tensor")
def _clear(total: Tensor) -> bool:
    ops.assign(total, ops.zeros_like(total))
    return True


class _Loss(nn.Cell):
    """A network with its loss: what is differentiated, and beside it the loss as it is, in float32."""

    def __init__(self, network: nn.Cell, loss_fn: Callable[..., Tensor] | None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss_fn = loss_fn

    def construct(self, factor: Tensor, *inputs: Any) -> tuple[Tensor, Tensor]:
        """The loss times `factor`, and the loss."""
        if self.loss_fn is None:
            found = self.network(*inputs)
        else:
            given = self.network(*inputs[:-1])
            if isinstance(given, Tensor) and given.dtype in (mstype.float16, mstype.bfloat16):
                # As `Model` has it, and PyTorch's autocast
                given = ops.cast(given, mstype.float32)
            found = self.loss_fn(given, inputs[-1])
        if isinstance(found, (tuple, list)):
            found = found[0]
        loss = ops.cast(found, mstype.float32)
        return loss * factor, loss


class StepCell(nn.Cell):
    """A training step, as `Model(cell)` and a loop can call it.

    Gives the loss, the norm of the gradients of an update, the scale that the loss had, whether an update was made and
    whether one was dropped: five scalars.  The norm is 0 where there is none.
    """

    def __init__(
        self,
        network: nn.Cell,
        loss_fn: Callable[..., Tensor] | None,
        optimizer: nn.Optimizer,
        clip: ClipGradients,
        scaler: amp.LossScaler | None,
        *,
        checks: bool,
        norm: bool,
        accumulate: int = 1,
        gathers: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.map_ = ops.HyperMap()
        self.loss = _Loss(network, loss_fn)
        self.optimizer, self.clip = optimizer, clip
        self.scaler: Any = scaler
        self.scaled, self.checks, self.norm, self.gathers = scaler is not None, checks, norm, gathers
        self.gradients_of = value_and_grad(self.loss, None, optimizer.parameters, has_aux=True)
        self.one, self.none = Tensor(1.0, mstype.float32), Tensor(0.0, mstype.float32)
        self.yes, self.no = Tensor(True), Tensor(False)
        # In data parallelism, as `TrainOneStepCell` does it: over all processes the mean, or the sum
        parallel = get_auto_parallel_context("parallel_mode")
        self.reduces = parallel in (ParallelMode.DATA_PARALLEL, ParallelMode.HYBRID_PARALLEL)
        if self.reduces:
            mean = get_auto_parallel_context("gradients_mean")
            self.reduce = nn.DistributedGradReducer(optimizer.parameters, mean, get_group_size())
        self.share = Tensor(1.0 / accumulate, mstype.float32)
        self.accumulate = accumulate
        if gathers:
            self.sums = optimizer.parameters.clone(prefix="gathered", init="zeros")
            for each in self.sums:
                each.requires_grad = False
            self.count = Parameter(Tensor(0, mstype.int32), name="gathered.count", requires_grad=False)
            self.says = Parameter(Tensor(_COUNT, mstype.int32), name="gathered.says", requires_grad=False)

    def __call__(self, *inputs: Any) -> Any:
        """As `construct`.  After an exception, an interrupt too, the next call trains as if there had been none."""
        try:
            return super().__call__(*inputs)
        except BaseException:
            # PyNative mode keeps what it recorded of a forward pass, and finds no gradient in those that follow
            if get_context("mode") == PYNATIVE_MODE:
                _pynative_executor.clear_res()
            raise

    def construct(self, *inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Loss, norm, scale, updated, skipped."""
        # A copy: adjusting writes into the parameter
        scale = self.scaler.scale_value * 1.0 if self.scaled else self.one
        (_, loss), gradients = self.gradients_of(scale * self.share, *inputs)
        # Not where it is made: PyNative mode does not get over an exception in what it differentiates
        if loss.size != 1:
            raise ValueError(f"the loss is one number, and this has shape {loss.shape}")
        loss = loss.reshape(())
        if not self.gathers:
            norm, updated, skipped = self.updated(gradients)
            return loss, norm, scale, updated, skipped
        gradients = self.map_(_gathered, self.sums, gradients)
        count = self.count + 1
        if ops.logical_or(self.says == _NOW, ops.logical_and(count >= self.accumulate, self.says == _COUNT)):
            norm, updated, skipped = self.updated(gradients)
            self.map_(_cleared, self.sums)
            ops.assign(self.count, 0)
        else:
            norm, updated, skipped = self.none, self.no, self.no
            ops.assign(self.count, count)
        return loss, norm, scale, updated, skipped

    def updated(self, gradients: Tensors) -> tuple[Tensor, Tensor, Tensor]:
        """The norm of scaled gradients; whether an update was made of them, and whether it was dropped."""
        if self.reduces:
            gradients = self.reduce(gradients)
        gradients, norm, finite = self.settled(gradients)
        if not self.checks:
            self.optimizer(gradients)
            return norm, self.yes, self.no
        if finite:
            self.optimizer(gradients)
        self.scaler.adjust(finite)
        return norm, finite, ops.logical_not(finite)

    @jit
    def settled(self, gradients: Tensors) -> tuple[Tensors, Tensor, Tensor]:
        """Gradients as the optimizer takes them, their norm, and whether all are finite.

        Where no update is dropped, the optimizer takes the scale out itself.
        """
        finite, norm = self.yes, self.none
        if self.checks:
            # Not by the scaler's `unscale`: the inverse of a scale above 2**126 is 0 in MindSpore's float32
            gradients = unscaled(self.scaler.scale_value, gradients)
            finite = amp.all_finite(gradients)
        if self.norm:
            norm = self.clip.norm(gradients)
        return self.clip.clipped(gradients, norm), norm, finite


class TrainStep:
    """One training step of a network: `result = step(*inputs)`.

    `cell` is the Cell that does it, for `mindspore.train.Model(step.cell)`; its first output is the loss.
    """

    def __init__(
        self,
        compiled: Compiled,
        network: nn.Cell,
        loss_fn: Callable[..., Tensor] | None,
        accumulate: int,
        *,
        norm: bool = True,
        jit: bool = False,
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"an update is made of 1 batch or more, not of {accumulate}")
        if accumulate > _MOST:
            raise ValueError(f"an update is made of {_MOST} batches at most, not of {accumulate}")
        if not isinstance(network, nn.Cell):
            raise TypeError(f"the network comes first, {_ORDER}, and this is a `{type(network).__name__}`")
        if loss_fn is not None and not callable(loss_fn):
            raise TypeError(f"the loss function comes second, {_ORDER}, and this is a `{type(loss_fn).__name__}`")
        if isinstance(loss_fn, type):
            raise TypeError(f"`{loss_fn.__name__}` is a class, and no loss function: build one, `{loss_fn.__name__}()`")
        theirs = {id(parameter) for parameter in network.get_parameters()}
        for parameter in compiled.parameters:
            if id(parameter) not in theirs:
                if isinstance(loss_fn, nn.Cell) and any(id(each) == id(parameter) for each in loss_fn.get_parameters()):
                    raise TypeError(f"the network comes first, {_ORDER}: these two are the other way round")
                raise ValueError(f"the network does not have the parameter {parameter.name!r}, which is trained")
        if not network.training:
            network.set_train()
        self._compiled, self._network, self._loss_fn = compiled, network, loss_fn
        self._accumulate, self._norm, self._jit = accumulate, norm, jit
        self._scale_of = compiled.plan.loss_scale
        self.cell = self._made(gathers=accumulate > 1)
        self._says = _COUNT
        self._fitting: set[int] = set()  # numbers of inputs

    def _made(self, *, gathers: bool) -> StepCell:
        plan, compiled = self._compiled.plan, self._compiled
        if gathers and compiled.clip_gradients.sparse:
            raise ValueError("sparse gradients cannot be gathered over several batches on mindspore")
        checks = plan.loss_scale is not None and plan.loss_scale.drops
        cell = StepCell(
            self._network,
            self._loss_fn,
            compiled.optimizer,
            compiled.clip_gradients,
            compiled.scaler,
            checks=checks,
            norm=self._norm or (plan.clip is not None and plan.clip.kind == "norm"),
            accumulate=self._accumulate,
            gathers=gathers,
        )
        # Without the network, whose parts need not all be in one mode
        cell.training = True
        if self._jit:
            cell.construct = jit(cell.construct)  # type: ignore[method-assign]  # as its documentation does
        return cell

    def __call__(self, *inputs: Any, update: bool | None = None) -> StepResult:
        """Train with one batch: gradients, and an update with those gathered once `accumulate` batches are in.

        The last of `inputs` is the label where the step has a loss function.  `update` says whether to update now
        instead, as at the end of an epoch whose last batches are too few.
        """
        if len(inputs) not in self._fitting:
            self._check_inputs(len(inputs))
        if update is False and not self.cell.gathers:
            self.cell = self._made(gathers=True)
        self._say(_COUNT if update is None else _NOW if update else _LATER)
        try:
            loss, norm, scale, updated, skipped = self.cell(*inputs)
        except ValueError as error:
            found = _SHAPE.search(str(error))
            if found is None:
                raise
            cure = f"or give a loss function, {_ORDER}" if self._loss_fn is None else "or of `reduction='mean'`"
            raise ValueError(f"{found.group()}; take its mean or its sum, {cure}") from None
        always = not (self.cell.gathers or self.cell.checks)
        made = always or bool(updated)
        dropped = self.cell.checks and not made and bool(skipped)
        return StepResult(
            loss, norm if self.cell.norm and (made or dropped) else None, self._scale(scale), made, dropped
        )

    def _check_inputs(self, count: int) -> None:
        """TypeError where the network does not take as many inputs as are left for it."""
        labelled = self._loss_fn is not None
        given = max(count - labelled, 0)
        try:
            signature(self._network.construct).bind(*range(given))
        except TypeError:
            how = "step(inputs, label)`, the last is the label, which `loss_fn` takes"
            if not labelled:
                how = f"step(*inputs)`, all are the network's; with a label beside them, {_ORDER}"
            takes = f"`{type(self._network).__name__}` does not take the {given} that are left"
            raise TypeError(f"`{how}; of {count} given {takes}") from None
        except ValueError:  # one without a signature
            return
        self._fitting.add(count)

    @property
    def gathered(self) -> int:
        """How many batches wait for an update."""
        return int(self.cell.count) if self.cell.gathers else 0

    def begin_anew(self) -> None:
        """Forget what was gathered, and go on with the optimizer and the scaler that the plan has now."""
        compiled = self._compiled
        if self.cell.optimizer is not compiled.optimizer or self.cell.scaler is not compiled.scaler:
            self.cell = self._made(gathers=self.cell.gathers)
        elif self.cell.gathers:
            for each in self.cell.sums:
                ops.assign(each, ops.zeros_like(each))
            ops.assign(self.cell.count, Tensor(0, mstype.int32))

    def _say(self, says: int) -> None:
        if self.cell.gathers and says != self._says:
            ops.assign(self.cell.says, Tensor(says, mstype.int32))
            self._says = says

    def _scale(self, scale: Tensor) -> float:
        if self._scale_of is None:
            return 1.0
        return self._scale_of.init if self._scale_of.kind == "fixed" else float(scale)
