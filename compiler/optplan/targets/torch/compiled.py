"""What the user holds: the native optimizer and scheduler of a plan, and answers about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from optplan import compiled
from optplan.resolve.watches import Watches
from optplan.targets.torch.optimizer import MultiOptimizer, arguments
from optplan.targets.torch.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from optplan.resolve.plan import Plan
    from optplan.step import StepResult
    from optplan.targets.torch.scaler import PlanScaler
    from optplan.targets.torch.schedule import PlanScheduler

# What a group dict holds beside settings.
_BESIDE = frozenset({"params", "name", "optimizer", "initial_lr", "param_names"})


class Compiled(compiled.Compiled):
    """A plan's native objects: `optimizer, scheduler = compiled`.

    `optimizer` is a stock class of `torch.optim` where one suffices, else a `MultiOptimizer`; `scheduler` is a real
    `LRScheduler`, or None where nothing is scheduled; `scaler` is a `torch.amp.GradScaler`, or None without a loss
    scale.  `parameters` has the trained parameters in the order of the groups.
    """

    optimizer: Optimizer
    scheduler: PlanScheduler | None
    scaler: PlanScaler | None

    def __init__(
        self,
        plan: Plan,
        optimizer: Optimizer,
        scheduler: PlanScheduler | None,
        scaler: PlanScaler | None,
        parameters: dict[str, nn.Parameter],
        module: nn.Module,
        *,
        pieces: bool = False,
    ) -> None:
        super().__init__(plan, parameters, dict(module.named_buffers()))
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scaler = scaler
        self._module = module
        # By the network's order, in which also people who write `model.parameters()` add up the norm
        chosen = {name for group in plan.groups for name in group.parameters}
        self._trained = [parameter for name, parameter in parameters.items() if name in chosen]
        self._class = type(optimizer)
        self._pieces = pieces
        self._step = Step(plan, optimizer, scheduler, scaler, self._trained, pieces=pieces)

    def step(
        self,
        loss: Tensor | Callable[[], Tensor],
        *,
        accumulate: int | None = None,
        update: bool | None = None,
        norm: bool = True,
    ) -> StepResult:
        """One training step from the loss of one batch: gradients, and where one is due an update.

        The loss is scaled by `scaler`, divided by the plan's `accumulate`, and backpropagated.  Every `accumulate`th
        batch the gradients are unscaled and clipped, the optimizer makes its update and the schedule advances, unless
        the update is dropped for an infinity or a nan; then the gradients are cleared.

        `accumulate` here counts for this batch instead of the plan's.  `update` says that an update is due after this
        batch, or that none is, whatever the count: `update=True` for the last batch of an epoch.  `norm=False` spares
        the norm of the gradients where clipping does not need it.

        Gradients that are there before are part of the update, as everywhere in PyTorch; under a loss scale they must
        be scaled too.  A function that gives the loss may stand for it, and must where the optimizer (L-BFGS)
        evaluates the loss several times; the result is then of the first time.

        TypeError or ValueError for what cannot be backpropagated: no tensor, not one number, without a gradient.  Where
        anything fails later, in the backward pass or in the update, the gradients are cleared.
        """
        return self._step(loss, accumulate, update, norm)

    @property
    def gathered(self) -> int:
        """How many batches `step` has backpropagated since the last update; 0 after loading a checkpoint too."""
        return self._step.gathered

    def clip_gradients(self) -> Tensor:
        """Clip the gradients as the plan says, if it says so; their norm before.

        For a loop that calls `backward` itself: between that and `optimizer.step()` or `scaler.step(optimizer)`.
        Gradients that `scaler` has scaled are unscaled first, as by `scaler.unscale_(optimizer)`.
        """
        return self._step.clip()

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The trained parameters, group by group."""
        return tuple(self._parameters[name] for group in self.plan.groups for name in group.parameters)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """New group dicts as they stand, for a host that builds the optimizer: `optimizer_class(param_groups)`."""
        return [
            {**group, "params": list(group["params"]), **{k: _plain(v) for k, v in group.items() if k == "lr"}}
            for group in self.optimizer.param_groups
        ]

    @property
    def optimizer_class(self) -> type[Optimizer]:
        """The class that builds the optimizer from `param_groups` and `defaults`."""
        return self._class

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments for `optimizer_class` beside the groups, which carry all settings; none for several optimizers.

        They are what a stock class asks in its constructor, such as options that concern the whole.
        """
        if issubclass(self._class, MultiOptimizer):
            return {}
        return arguments(self.plan.groups[0].optimizer, self.optimizer.param_groups)

    def adopt(self, optimizer: Optimizer) -> None:
        """Go on with an optimizer made from `optimizer_class`, `param_groups` and `defaults`, in the place of the own.

            made = ZeroRedundancyOptimizer(compiled.param_groups, compiled.optimizer_class, **compiled.defaults)
            compiled.adopt(made)

        The scheduler, `step`, `lr()` and all else go by it then.  ValueError where its groups are not the plan's.
        """
        mine, theirs = self.optimizer.param_groups, optimizer.param_groups
        for place, group in enumerate(mine):
            other = theirs[place] if place < len(theirs) else {"params": ()}
            if [id(p) for p in group["params"]] != [id(p) for p in other["params"]]:
                raise ValueError(f"the optimizer does not have the parameters of group {group['name']!r} at its place")
        if len(theirs) > len(mine):
            raise ValueError(f"the optimizer has {len(theirs)} groups, and the plan {len(mine)}")
        self.optimizer = optimizer
        if self.scheduler is not None:
            self.scheduler.optimizer = optimizer
        self._step = Step(self.plan, optimizer, self.scheduler, self.scaler, self._trained, pieces=self._pieces)

    def lr(self) -> dict[str, float]:
        """The learning rate that the next update uses, by group."""
        return {group["name"]: _number(group["lr"]) for group in self.optimizer.param_groups}

    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting that the next update uses, by group."""
        return {
            group["name"]: {key: _number(value) for key, value in group.items() if key not in _BESIDE}
            for group in self.optimizer.param_groups
        }

    def lightning(self, trainer: Any = None) -> dict[str, Any]:
        """What `configure_optimizers` of a LightningModule returns: the optimizer, and the scheduler by step.

        Lightning clips, accumulates and scales the loss itself, by arguments of its Trainer, which
        `optplan.hosts.lightning.trainer_arguments(plan)` gives.  Where `trainer` does otherwise than the plan says this
        is a ConfigError (OP506); left out it is the Trainer of the module that the plan is bound to, and where that
        has none, what was not checked is logged.  A module that makes its updates itself, by `step`, is not checked.

        Lightning steps a scheduler after an update that its scaler dropped, too: the one returned then stays.
        """
        from optplan.targets.torch.lightning import configuration  # noqa: PLC0415 - only inside Lightning

        return configuration(self, self._module, trainer)

    def report(self, **metrics: float) -> None:
        """Tell each `plateau` of the plan the metric that it goes by: see `optplan.Compiled.report`."""
        if self.scheduler is None:
            Watches(()).report(metrics, 0)
        else:
            self.scheduler.report(**metrics)

    @torch.no_grad()
    def _write(self, parameter: nn.Parameter, value: Any) -> None:
        parameter.copy_(torch.as_tensor(value).reshape(parameter.shape))


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


def _plain(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
