"""A plan inside a host, a library that runs the training loop: whether what the host does is what the plan says.

Lightning and transformers clip gradients, gather them over batches and scale the loss themselves, by arguments of their
own.  What they do is a `Loop`; what the plan says and the loop does not do is a fault, never left out in silence.
Nothing here imports a host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat

from torch.optim.lr_scheduler import LRScheduler

from optplan.compiled import Compiled
from optplan.diagnostics import ConfigError, Diagnostic
from optplan.resolve.plan import Plan
from optplan.resolve.training import LossScale
from optplan.targets.torch.scaler import PlanScaler

if TYPE_CHECKING:
    from torch import Tensor
    from torch.amp.grad_scaler import GradScaler

    from optplan.resolve.plan import Origin
    from optplan.resolve.training import Clip
    from optplan.targets.torch.schedule import PlanScheduler


@dataclass(frozen=True, slots=True)
class Loop:
    """What a host does between a loss and an update: `host` is its name in messages, `cure` how it is told."""

    host: str
    cure: str
    clip: Clip | None
    accumulate: int
    loss_scale: LossScale | None


def check_loop(plan: Plan, loop: Loop) -> None:
    """ConfigError (OP506) with everything that the plan says of a step and `loop` does otherwise.

    What the plan leaves out is the host's own affair.
    """
    faults = []
    if plan.clip is not None and loop.clip != plan.clip:
        does = "does not clip" if loop.clip is None else f"by `{loop.clip}`"
        faults.append(_fault(plan.clip.origin, loop, f"the plan clips gradients by `{plan.clip}`", does))
    if plan.accumulate not in (1, loop.accumulate):
        batches = "each batch" if loop.accumulate == 1 else f"{loop.accumulate} batches"
        faults.append(_fault(None, loop, f"the plan makes an update from {plan.accumulate} batches", f"from {batches}"))
    if plan.loss_scale is not None and loop.loss_scale != plan.loss_scale:
        does = "does not scale it" if loop.loss_scale is None else f"by `{loop.loss_scale}`"
        faults.append(_fault(plan.loss_scale.origin, loop, f"the plan scales the loss by `{plan.loss_scale}`", does))
    if faults:
        raise ConfigError(faults)


def plan_of(given: object, function: str) -> Plan:
    """The plan that is given, or that what is given is bound to; TypeError for anything else."""
    if isinstance(given, Compiled):
        return given.plan
    if not isinstance(given, Plan):
        raise TypeError(f"`{function}` takes a plan, or what `plan.bind(model)` gives, and not a `{_kind(given)}`")
    return given


def compiled_of(given: object, function: str) -> Compiled:
    """What is given, if a plan is bound to a model in it; TypeError else."""
    if not isinstance(given, Compiled):
        what = "a plan" if isinstance(given, Plan) else f"a `{_kind(given)}`"
        raise TypeError(f"`{function}` takes what `plan.bind(model)` gives, and this is {what}")
    return given


def _kind(given: object) -> str:
    return type(given).__name__


def _fault(origin: Origin | None, loop: Loop, says: str, does: str) -> Diagnostic:
    return placed(origin, f"{says}, and {loop.host} {does}", loop.cure)


def placed(origin: Origin | None, message: str, cure: str) -> Diagnostic:
    """A fault of a host (OP506), at the place in the file that asks for what it does not do."""
    if origin is None:
        return Diagnostic("OP506", "error", message, help=cure)
    where = (origin.source, origin.line, origin.column, origin.end_line, origin.end_column)
    return Diagnostic("OP506", "error", message, *where, cure, excerpt=origin.text if origin.line else None)


def scale_of(scaler: GradScaler | None) -> LossScale | None:
    """What a scaler does, as a plan says it; None for none, or one that is switched off."""
    if scaler is None or not scaler.is_enabled():
        return None
    if isinstance(scaler, PlanScaler):
        return scaler.rule
    growth, backoff = scaler.get_growth_factor(), scaler.get_backoff_factor()
    return LossScale("dynamic", scaler._init_scale, True, growth, backoff, scaler.get_growth_interval())  # noqa: SLF001 - once there is a scale, `get_scale()` is the one of now


class UnlessSkipped(LRScheduler):
    """A plan's scheduler for a host that steps it after each update, dropped or not: then it stays where it is.

    Whether an update was dropped `scaler` knows: a `PlanScaler` says so, any other has a smaller scale after it.
    """

    def __init__(self, scheduler: PlanScheduler, scaler: GradScaler) -> None:
        # As in `PlanScheduler`, the constructor of LRScheduler is not called.
        self._scheduler = scheduler
        self._scaler = scaler
        self._scale: float | None = None
        self.optimizer = scheduler.optimizer

    def step(self, epoch: int | None = None, **metrics: SupportsFloat) -> None:
        """Advance to the next update, unless the last one was dropped; `metrics` are reported either way."""
        if not self._skipped():
            self._scheduler.step(epoch, **metrics)
        elif metrics:
            self._scheduler.report(**metrics)

    def _skipped(self) -> bool:
        if isinstance(self._scaler, PlanScaler):
            return self._scaler.skipped
        before = self._scaler._init_scale if self._scale is None else self._scale  # noqa: SLF001 - as above
        self._scale = self._scaler.get_scale()
        return self._scale < before

    def get_last_lr(self) -> list[float | Tensor]:
        """The learning rate of each group, as the plan's scheduler has it."""
        return self._scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """The state of the plan's scheduler: the one is loaded where the other was saved."""
        return {**self._scheduler.state_dict(), "scale": self._scale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the update that was saved."""
        self._scale = state_dict.get("scale", self._scaler.get_scale())
        self._scheduler.load_state_dict(state_dict)

    def __getattr__(self, name: str) -> Any:
        if name == "_scheduler":  # not there while a copy is being made
            raise AttributeError(name)
        return getattr(self._scheduler, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._scheduler!r})"
