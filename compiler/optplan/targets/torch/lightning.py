"""What Lightning asks of `configure_optimizers`, checked against what its Trainer does; nothing of it is imported."""

from __future__ import annotations

from logging import getLogger
from math import isfinite
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import ConfigError
from optplan.resolve.training import Clip
from optplan.targets.choose import refused_at
from optplan.targets.torch.hosted import Loop, UnlessSkipped, check_loop, scale_of
from optplan.targets.torch.notice import hand_over

if TYPE_CHECKING:
    from torch import nn

    from optplan.resolve.plan import Plan
    from optplan.targets.torch.compiled import Compiled

UNFUSED = (
    "write `torch: {fused: false}`, or set `self.automatic_optimization = False`, leave `gradient_clip_val` out "
    "and call `compiled.step`"
)
CURE = "pass `**optplan.hosts.lightning.trainer_arguments(plan)` to `Trainer`"


def configuration(compiled: Compiled, module: nn.Module, trainer: Any) -> tuple[dict[str, Any], nn.Module | None]:
    """What `configure_optimizers` returns, and the LightningModule; see `Compiled.lightning`.

    `module` is what the plan is bound to.
    """
    if trainer is None:
        trainer = _trainer_of(module)
    scaler = None if trainer is None else getattr(trainer.precision_plugin, "scaler", None)
    if trainer is None:
        _warn(compiled)
    elif _automatic(trainer):
        check_loop(compiled.plan, loop_of(trainer, compiled))
        check_clipped(compiled.plan, trainer)
        _check_length(compiled.plan, trainer)
    if trainer is None or _automatic(trainer):
        hand_over(compiled.plan)
    found: dict[str, Any] = {"optimizer": compiled.optimizer}
    if compiled.scheduler is not None:
        scheduler = compiled.scheduler if scaler is None else UnlessSkipped(compiled.scheduler, scaler)
        found["lr_scheduler"] = {"scheduler": scheduler, "interval": "step"}
    return found, None if trainer is None else trainer.lightning_module


def check_manual(module: Any) -> None:
    """RuntimeError where Lightning trains `module`, and makes the updates itself."""
    trainer = _trainer_of(module)
    if trainer is not None and trainer.training and module.automatic_optimization:
        raise RuntimeError(
            "Lightning makes the updates of this module itself, and `compiled.step` would make others: set "
            "`self.automatic_optimization = False`, or return the loss from `training_step` instead"
        )


def check_fused(plan: Plan, *, clips: bool, scales: bool) -> None:
    """ConfigError (OP506) where Lightning clips and scales, and the one optimizer is fused.

    Lightning leaves it to a fused optimizer to take the scale out, within the update, where it is too late to clip.
    """
    optimizers = {group.optimizer for group in plan.groups}
    fused = any(group.options_of("torch").get("fused") for group in plan.groups)
    if clips and scales and fused and len(optimizers) == 1:
        what = f"Lightning does not clip under a loss scale for a fused optimizer, and `{optimizers.pop()}` is fused"
        raise ConfigError([refused_at(None if plan.clip is None else plan.clip.origin, what, UNFUSED, "OP506")])


def check_clipped(plan: Plan, trainer: Any) -> None:
    """As `check_fused`, by what `trainer` does."""
    clips = bool(trainer.gradient_clip_val) and not _clips_itself(trainer.lightning_module)
    check_fused(plan, clips=clips, scales=getattr(trainer.precision_plugin, "scaler", None) is not None)


def _check_length(plan: Plan, trainer: Any) -> None:
    """Log where Lightning makes another number of updates than the plan is for."""
    last = plan.horizon.last
    if last is None or not trainer.training:
        return
    try:
        updates = trainer.estimated_stepping_batches
    except Exception:  # noqa: BLE001 - where Lightning cannot tell, it has an exception of its own
        return
    if isfinite(updates) and updates != last + 1:
        words = "the plan is for %d updates, and Lightning's `Trainer` makes %d: %s"
        cure = "plan in `configure_optimizers`, with `steps=self.trainer.estimated_stepping_batches`"
        getLogger("optplan").warning(words, last + 1, updates, cure)


def loop_of(trainer: Any, compiled: Compiled) -> Loop:
    """What `trainer` does between a loss and an update."""
    clip = None
    if _clips_itself(trainer.lightning_module):
        clip = compiled.plan.clip
    elif trainer.gradient_clip_val:
        kind = trainer.gradient_clip_algorithm
        clip = Clip(getattr(kind, "value", None) or "norm", float(trainer.gradient_clip_val))
    scale = scale_of(getattr(trainer.precision_plugin, "scaler", None))
    return Loop("Lightning's `Trainer`", CURE, clip, trainer.accumulate_grad_batches, scale)


def _automatic(trainer: Any) -> bool:
    """Whether Lightning makes the updates, and not the module's own `training_step`."""
    return trainer.lightning_module is None or bool(trainer.lightning_module.automatic_optimization)


def _clips_itself(module: Any) -> bool:
    """Whether the module has a `configure_gradient_clipping` of its own, which may do anything."""
    own = getattr(type(module), "configure_gradient_clipping", None)
    return own is not None and own.__module__.partition(".")[0] not in {"lightning", "pytorch_lightning"}


def _trainer_of(module: nn.Module) -> Any:
    try:
        return module.trainer
    except (AttributeError, RuntimeError):  # no LightningModule, or not with a Trainer yet
        return None


def _warn(compiled: Compiled) -> None:
    plan = compiled.plan
    said = [f"`clip: {plan.clip}`"] if plan.clip is not None else []
    said += [f"`accumulate: {plan.accumulate}`"] if plan.accumulate != 1 else []
    said += [f"`loss_scale: {plan.loss_scale}`"] if plan.loss_scale is not None else []
    if said:
        words = "%s of the plan is for Lightning to do, and was not checked: %s, and call `compiled.lightning(trainer)`"
        getLogger("optplan").warning(words, ", ".join(said), CURE)
