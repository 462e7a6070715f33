"""Lightning: the Trainer's arguments for a plan; what `configure_optimizers` returns is `compiled.lightning()`.

```python
trainer = Trainer(max_epochs=8, **trainer_arguments(plan))

def configure_optimizers(self):
    return self.plan.bind(self).lightning()
```
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from optplan.targets.torch.hosted import plan_of
from optplan.targets.torch.lightning import check_fused
from optplan.targets.torch.scaler import PlanScaler

if TYPE_CHECKING:
    from optplan.compiled import Compiled
    from optplan.resolve.plan import Plan

__all__ = ["trainer_arguments"]


def trainer_arguments(plan: Plan | Compiled, *, device: str = "cpu") -> dict[str, Any]:
    """The arguments by which Lightning's `Trainer` clips, accumulates and scales the loss as `plan` says.

    `gradient_clip_val` and `gradient_clip_algorithm`, `accumulate_grad_batches`, and with a `loss_scale` in
    `plugins` a `MixedPrecision` with the plan's scaler: 16-mixed on `device` ("cuda"), Lightning scales the loss in no
    other precision.  What the plan says nothing of is left out.  Lightning's last update of an epoch may be made from
    fewer batches than the others; it counts as one update in the schedule.

    They are for automatic optimization, in which `training_step` returns the loss; with
    `automatic_optimization = False` Lightning refuses to clip and to accumulate: leave them out there.

    ConfigError (OP506) for a plan of one fused optimizer with a `clip` and a `loss_scale`, which Lightning refuses.
    """
    plan = plan_of(plan, "trainer_arguments")
    check_fused(plan, clips=plan.clip is not None, scales=plan.loss_scale is not None)
    arguments: dict[str, Any] = {}
    if plan.clip is not None:
        arguments |= {"gradient_clip_val": plan.clip.limit, "gradient_clip_algorithm": plan.clip.kind}
    if plan.accumulate != 1:
        arguments["accumulate_grad_batches"] = plan.accumulate
    if plan.loss_scale is not None:
        scaler = PlanScaler(plan.loss_scale, device=device)
        arguments["plugins"] = [_mixed_precision()("16-mixed", device, scaler)]
    return arguments


def _mixed_precision() -> Any:
    """The class of the one of Lightning's two packages that the program uses: their classes are not each other's."""
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning.plugins import MixedPrecision as Other  # noqa: PLC0415 - only where it is the one used

        return Other
    from lightning.pytorch.plugins import MixedPrecision  # noqa: PLC0415 - as above

    return MixedPrecision
