"""The Trainer of transformers, with the optimizer and the schedule of a plan.

```python
arguments = TrainingArguments(folder, **training_arguments(plan))
trainer = Trainer(model, arguments, optimizers=optimizers(plan.bind(model)), callbacks=[PlanCallback(plan)])
```

Where `optimizers=` is not allowed (FSDP, DeepSpeed, `model_init`) the plan, made from the whole network before, is
bound when the Trainer makes its optimizer:

```python
trainer = PlanTrainer(model, arguments, plan=plan)
```
"""

from __future__ import annotations

from logging import getLogger
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback

from optplan.diagnostics import ConfigError
from optplan.resolve.training import Clip
from optplan.resolve.watches import Watches
from optplan.targets.torch.hosted import Loop, check_loop, compiled_of, placed, plan_of, scale_of
from optplan.targets.torch.notice import hand_over
from optplan.targets.torch.schedule import PlanScheduler

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from optplan.binding import Plan
    from optplan.compiled import Compiled

__all__ = ["PlanCallback", "PlanMixin", "PlanTrainer", "optimizers", "training_arguments"]

HOST = "the `Trainer` of transformers"
ARGUMENTS = "pass `**optplan.hosts.transformers.training_arguments(plan)` to `TrainingArguments`"
OPTIMIZERS = "pass `optimizers=optplan.hosts.transformers.optimizers(compiled)`, or use `PlanTrainer`"


def training_arguments(plan: Plan | Compiled) -> dict[str, Any]:
    """The arguments by which `TrainingArguments` has the Trainer do what `plan` says.

    `max_grad_norm`, 0 where the plan does not clip by norm, for the Trainer's default is 1;
    `gradient_accumulation_steps`; `max_steps` where the plan has a horizon; a constant `lr_scheduler_type` where
    nothing is scheduled, for the Trainer's default is a line down to 0.  In the last update of an epoch, which may be
    made from fewer batches than the others, the Trainer divides by as many as there are.
    """
    made = plan_of(plan, "training_arguments")
    by_norm = made.clip is not None and made.clip.kind == "norm"
    arguments: dict[str, Any] = {
        "max_grad_norm": made.clip.limit if made.clip is not None and by_norm else 0.0,
        "gradient_accumulation_steps": made.accumulate,
    }
    if made.horizon.last is not None:
        arguments["max_steps"] = made.horizon.last + 1
    if not any(group.curves for group in made.groups):
        arguments |= {"lr_scheduler_type": "constant", "warmup_steps": 0}
    return arguments


def optimizers(compiled: Compiled) -> tuple[Optimizer, Any]:
    """The optimizer and the scheduler for `Trainer(optimizers=...)`.

    `tuple(compiled)`, but where nothing is scheduled with a scheduler that changes nothing instead of None, in whose
    place the Trainer puts one of its own.
    """
    compiled = compiled_of(compiled, "optimizers")
    return compiled.optimizer, compiled.scheduler or PlanScheduler(compiled.optimizer, compiled.plan.groups)


class PlanCallback(TrainerCallback):
    """Holds a Trainer to a plan: says before the first update where they differ, and clips by value.

    ConfigError (OP506) for what the plan says and the Trainer does otherwise; a warning to the logger `optplan` for
    what the Trainer does by its own defaults, and for a run of another length.

    What the Trainer finds when it evaluates during training is reported to each `plateau` of the plan: `eval_loss` to
    one with `metric=loss`, or with `metric=eval_loss`.
    """

    def __init__(self, plan: Plan | Compiled) -> None:
        self.plan = plan_of(plan, "PlanCallback")
        # Those that nothing has been reported of are told, once
        self._metrics = Watches(self.plan.groups).metrics
        self._missed: set[str] = set()
        self._training = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the Trainer gives it
        **objects: Any,
    ) -> None:
        """Check what the Trainer is about to do."""
        plan, own = self.plan, _bare(objects["optimizer"])
        names = [group.get("name") for group in own.param_groups]
        if names != [group.name for group in plan.groups]:
            message = f"{HOST} has an optimizer of its own, not the plan's"
            raise ConfigError([placed(None, message, OPTIMIZERS)])
        _check_model(own, objects.get("model"))
        scheduler = objects["lr_scheduler"]
        if not isinstance(scheduler, PlanScheduler):
            drives = sorted({key for group in plan.groups for key, _ in group.curves})
            if drives or str(getattr(args.lr_scheduler_type, "value", "")) != "constant":
                says = f"schedules {', '.join(f'`{key}`' for key in drives)}" if drives else "schedules nothing"
                message = f"the plan {says}, and {HOST} has a schedule of its own"
                raise ConfigError([placed(None, message, OPTIMIZERS)])
        check_loop(plan, self._loop(args, objects["optimizer"]))
        log = getLogger("optplan").warning
        if plan.clip is None and args.max_grad_norm:
            log("the plan does not clip, and %s does, by norm(%g): %s", HOST, args.max_grad_norm, ARGUMENTS)
        if plan.horizon.last is not None and state.max_steps != plan.horizon.last + 1:
            words = "the plan is for %d updates, and %s makes %d: %s"
            log(words, plan.horizon.last + 1, HOST, state.max_steps, ARGUMENTS)
        if self._metrics and str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "no":
            self._miss(self._metrics, "without an `eval_strategy` nothing reports it")
        hand_over(plan)
        self._training = True

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """What is evaluated from now on is not reported."""
        self._training = False

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as above
        state: TrainerState,  # noqa: ARG002 - as above
        control: TrainerControl,  # noqa: ARG002 - as above
        metrics: dict[str, Any] | None = None,
        **objects: Any,
    ) -> None:
        """Report to the plan's scheduler what its policies go by."""
        scheduler = objects.get("lr_scheduler")
        if not self._training or not self._metrics or not isinstance(scheduler, PlanScheduler):
            return
        found = metrics or {}
        told = {name: found[key] for name in self._metrics for key in (name, f"eval_{name}") if key in found}
        if told:
            scheduler.report(**told)
        self._miss([name for name in self._metrics if name not in told], "the evaluation does not give it")

    def _miss(self, names: list[str], why: str) -> None:
        for name in names:
            if name not in self._missed:
                self._missed.add(name)
                words = "a `plateau` of the plan goes by `%s`, and %s: evaluate it, or call `compiled.report(%s=...)`"
                getLogger("optplan").warning(words, name, why, name)

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as above
        state: TrainerState,  # noqa: ARG002 - as above
        control: TrainerControl,  # noqa: ARG002 - as above
        **objects: Any,
    ) -> None:
        """Clip by value, which the Trainer cannot; the gradients are unscaled by now."""
        if self.plan.clip is not None and self.plan.clip.kind == "value":
            torch.nn.utils.clip_grad_value_(objects["model"].parameters(), self.plan.clip.limit)

    def _loop(self, args: TrainingArguments, optimizer: Any) -> Loop:
        clip = Clip("norm", float(args.max_grad_norm)) if args.max_grad_norm else None
        if clip is None and self.plan.clip is not None and self.plan.clip.kind == "value":
            clip = self.plan.clip
        scale = scale_of(getattr(optimizer, "scaler", None))
        cure = ARGUMENTS
        if self.plan.loss_scale is not None and scale != self.plan.loss_scale:
            cure = "use `PlanTrainer`, and `fp16=True`: the Trainer scales the loss in no other precision"
        return Loop(HOST, cure, clip, args.gradient_accumulation_steps, scale)


class PlanMixin:
    """For a Trainer class of any kind: its optimizer and scheduler are those of `plan`.

    The plan is bound when the Trainer makes its optimizer, so the model may be made, wrapped or sharded by then.  With
    `fp16` the Trainer scales the loss by the numbers of the plan's `loss_scale`.  A `PlanCallback` comes along.
    """

    # Of the Trainer that this is mixed into
    model: Any
    optimizer: Any
    lr_scheduler: Any
    accelerator: Any

    def __init__(self, *args: Any, plan: Plan, **kwargs: Any) -> None:
        if plan_of(plan, "plan") is not plan:
            raise TypeError(
                "`plan` is bound when the Trainer makes its optimizer, and this is bound already: give the plan, or "
                "use `Trainer(optimizers=optimizers(compiled), callbacks=[PlanCallback(compiled)])`"
            )
        self.plan = plan
        super().__init__(*args, **kwargs)
        self.add_callback(PlanCallback(plan))  # type: ignore[attr-defined]  # of the Trainer

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """The optimizer of the plan for `model`, or for the Trainer's own."""
        if self.optimizer is None:
            compiled = self.plan.bind(self.model if model is None else model)
            self.optimizer = compiled.optimizer
            if compiled.scaler is not None and self.accelerator.scaler is not None:
                self.accelerator.scaler = compiled.scaler
        made: Optimizer = self.optimizer
        return made

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:  # noqa: ARG002 - the plan has its own horizon
        """The scheduler of the plan, at its beginning; it changes nothing where nothing is scheduled."""
        if self.lr_scheduler is None:
            driven = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = PlanScheduler(_bare(driven), self.plan.groups, self.plan.horizon.last)
            self._created_lr_scheduler = True  # so that another call of `train` begins anew
        made: LRScheduler = self.lr_scheduler
        return made


class PlanTrainer(PlanMixin, Trainer):
    """A Trainer whose optimizer and scheduler are those of `plan`, given by this name; all else as for `Trainer`."""


def _check_model(optimizer: Any, model: nn.Module | None) -> None:
    """ConfigError (OP506) where no parameter of the optimizer is one of the model's."""
    if model is None or "deepspeed" in type(optimizer).__module__:  # which has copies of them
        return
    theirs = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in theirs for group in optimizer.param_groups for parameter in group["params"]):
        message = f"{HOST} trains another model than the one that the plan is bound to"
        cure = "bind the plan to the model that the Trainer is given, or use `PlanTrainer`"
        raise ConfigError([placed(None, message, cure)])


def _bare(optimizer: Any) -> Any:
    """The optimizer inside what accelerate made of it."""
    while type(optimizer).__name__ == "AcceleratedOptimizer":
        optimizer = optimizer.optimizer
    return optimizer
