"""Whether a loop of one's own carries out what a plan says of a step: looked at once, after the first update.

An update with rates and gradients of 0, by which `torch.distributed.checkpoint` has state made, is none.

`optimizer.step()` alone knows nothing of `clip`, `accumulate` and `loss_scale`.  Who leaves one of them out is told so
by a warning to the logger `optplan`.  Where gradients are within the limit of `clip` nobody can tell: nothing is said.
"""

from __future__ import annotations

from logging import getLogger
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch

from optplan.targets.torch.clipping import total_norm
from optplan.targets.torch.counting import is_rehearsal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer

    from optplan.resolve.plan import Plan
    from optplan.targets.torch.scaler import PlanScaler

__all__ = ["Notice", "hand_over"]

_HANDED_OVER: WeakValueDictionary[int, Plan] = WeakValueDictionary()
_CURE = (
    "call `compiled.step(loss)` in place of the backward pass, `optimizer.step()`, `scheduler.step()`, `zero_grad()`"
)
# How far above the limit gradients may be that somebody has brought to it: as far as bfloat16 rounds
_CLOSE = 2.0**-8


def hand_over(plan: Plan) -> None:
    """Know that a host has been told to carry out the step of this very plan, and look no more."""
    _HANDED_OVER[id(plan)] = plan


class Notice:
    """Looks at the first update that `optimizer` makes, unless it is closed before; then it is gone.

    `clipped` is to be set where the plan's clip is carried out.
    """

    def __init__(
        self, plan: Plan, optimizer: Optimizer, scaler: PlanScaler | None, parameters: Sequence[nn.Parameter]
    ) -> None:
        self._plan, self._scaler, self._parameters = plan, scaler, parameters
        self.clipped = False
        # After the update, since the gradients may come from a closure
        self._handle = optimizer.register_step_post_hook(self._look) if _says_something(plan) else None

    @property
    def waits(self) -> bool:
        """Whether there has been no update yet that it has looked at, or would have."""
        return self._handle is not None

    def close(self) -> None:
        """Look no more; not to be called by a hook."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch._disable_dynamo  # type: ignore[attr-defined]  # noqa: SLF001 - as in `PlanScheduler`
    def _look(self, optimizer: Optimizer, *_: Any) -> None:
        if self._handle is None or (is_rehearsal(optimizer) and self._nothing()):
            return
        hooks = optimizer._optimizer_step_post_hooks  # noqa: SLF001 - torch goes through them now
        if next(reversed(hooks)) == self._handle.id:
            # Only the last may go: there the iteration is over, and before it a change would be an error
            self._handle.remove()
        self._handle = None
        plan = self._plan
        if _HANDED_OVER.get(id(plan)) is plan:
            return
        scaled = self._scaler is not None and self._scaler.used
        pieces = self.clipped or scaled
        ignored, cures = [], []
        if plan.clip is not None and not self.clipped and not self._within():
            ignored.append(f"`clip: {plan.clip}`")
            cures.append("`compiled.clip_gradients()` before the update")
        if plan.accumulate > 1 and not pieces and not self._gathered():
            ignored.append(f"`accumulate: {plan.accumulate}`")
            cures.append(f"an update after {plan.accumulate} batches, with each loss divided by {plan.accumulate}")
        if plan.loss_scale is not None and not scaled:
            ignored.append(f"`loss_scale: {plan.loss_scale}`")
            cures.append("`compiled.scaler`, as any `GradScaler`")
        if ignored:
            words = "%s of the plan: `optimizer.step()` alone does not carry this out; %s, or add %s"
            getLogger("optplan").warning(words, ", ".join(ignored), _CURE, ", ".join(cures))

    def _nothing(self) -> bool:
        """Whether all gradients are 0."""
        return not any(bool(each.grad.any()) for each in self._parameters if each.grad is not None)

    def _within(self) -> bool:
        """Whether the gradients are no larger than clipping leaves them, by whatever means; a nan stays one."""
        clip = self._plan.clip
        if clip is None:
            return True
        if clip.kind == "norm":
            size = float(total_norm(self._parameters))
        else:
            gradients = [each for parameter in self._parameters if (each := parameter.grad) is not None]
            sizes = [float(each.abs().max()) for each in gradients if not each.is_sparse and each.numel()]
            size = max(sizes, default=0.0)
        return not size > clip.limit * (1 + _CLOSE)

    def _gathered(self) -> bool:
        """Whether the gradients may be of as many batches: each but the first has been written into them."""
        gradients = [each for parameter in self._parameters if (each := parameter.grad) is not None]
        # Of the sums of others, sparse or sharded, nobody knows
        dense = [each._version for each in gradients if type(each) is torch.Tensor and not each.is_sparse]  # noqa: SLF001 - how often it was written into
        return not dense or max(dense) >= self._plan.accumulate - 1


def _says_something(plan: Plan) -> bool:
    return plan.clip is not None or plan.accumulate > 1 or plan.loss_scale is not None
