"""accelerate: the Accelerator's arguments for a plan.

```python
accelerator = Accelerator(**accelerator_arguments(plan))
compiled = plan.bind(model)
model, optimizer, batches = accelerator.prepare(model, compiled.optimizer, batches)
accelerator.register_for_checkpointing(compiled.scheduler)
```

The optimizer is prepared, the scheduler is not: accelerate steps one that it prepared once for each process.  A
schedule counts updates, so the loop steps it after each, unless accelerate's scaler dropped it:

```python
if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
    compiled.scheduler.step()
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelerate.utils import GradScalerKwargs

from optplan.diagnostics import ConfigError
from optplan.targets.torch.hosted import placed, plan_of
from optplan.targets.torch.notice import hand_over

if TYPE_CHECKING:
    from optplan.compiled import Compiled
    from optplan.resolve.plan import Plan

__all__ = ["accelerator_arguments"]


def accelerator_arguments(plan: Plan | Compiled) -> dict[str, Any]:
    """The arguments by which an `Accelerator` gathers gradients and scales the loss as `plan` says.

    `gradient_accumulation_steps`, and with a `loss_scale` `mixed_precision="fp16"`, the only one in which accelerate
    scales the loss, with the plan's numbers in `kwargs_handlers`.  Clipping is a call of the loop:
    `accelerator.clip_grad_norm_(model.parameters(), plan.clip.limit)`, or `clip_grad_value_`; nothing checks that it
    is there.

    ConfigError (OP506) for a fixed loss scale, which accelerate cannot be told.
    """
    plan = plan_of(plan, "accelerator_arguments")
    hand_over(plan)
    arguments: dict[str, Any] = {"gradient_accumulation_steps": plan.accumulate}
    scale = plan.loss_scale
    if scale is not None:
        if scale.kind == "fixed":
            message = "accelerate's `Accelerator` scales the loss by a dynamic scale only"
            cure = "write `dynamic(...)`, or leave the loss scale out and call `compiled.step(loss)`"
            raise ConfigError([placed(scale.origin, message, cure)])
        handler = GradScalerKwargs(
            init_scale=scale.init,
            growth_factor=scale.growth,
            backoff_factor=scale.backoff,
            growth_interval=scale.every,
        )
        arguments |= {"mixed_precision": "fp16", "kwargs_handlers": [handler]}
    return arguments
