"""What one training step says, whatever the framework."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["StepResult"]


class StepResult(NamedTuple):
    """What one call of `compiled.step(loss)`, or of a `compiled.train_step(...)`, did.

    `loss` is the loss of this batch as the loss function gave it, not scaled, not divided by `accumulate`: a scalar
    tensor of the framework without a graph.  `grad_norm` is the 2-norm of the gradients of the whole update, unscaled
    and before clipping: a scalar tensor, or None where this call made no update, or it was not asked for.  `scale` is
    the loss scale that this batch had, 1.0 without one.  `updated` says whether weights and schedule moved, `skipped`
    that an update was due and dropped for an infinity or a nan in a gradient; neither is true of a batch whose
    gradients are only gathered.
    """

    loss: Any
    grad_norm: Any
    scale: float
    updated: bool
    skipped: bool
