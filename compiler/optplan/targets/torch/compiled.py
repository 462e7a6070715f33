"""What the user holds: the native optimizer and scheduler of a plan, and answers about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

import torch

from optplan import compiled
from optplan.resolve.watches import Watches
from optplan.state.saved import Saved, SavedGroup, SavedScaler
from optplan.targets.torch import state
from optplan.targets.torch.counting import Count
from optplan.targets.torch.optimizer import MultiOptimizer, arguments
from optplan.targets.torch.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Plan
    from optplan.state.compare import Placement
    from optplan.state.saved import Array
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
        # The LightningModule that `lightning()` was asked for
        self._hosted: nn.Module | None = None
        # Updates, where neither a scheduler nor the optimizer's own state counts them
        self._counted = Count()
        self._count()
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
        batch, or that none is, whatever the count: `update=True` for the last batch of an epoch.  Each loss is divided
        all the same, so that an update from k batches in place of n has k/n of the gradients of their mean; where it
        is known beforehand, pass `accumulate=k` for these batches.  `norm=False` spares the norm of the gradients where
        clipping does not need it.

        Gradients that are there before are part of the update, as everywhere in PyTorch; under a loss scale they must
        be scaled too.  A function that gives the loss may stand for it, and must where the optimizer (L-BFGS)
        evaluates the loss several times; the result is then of the first time.

        TypeError or ValueError for what cannot be backpropagated: no tensor, not one number, without a gradient, or of
        another model.  RuntimeError where gathered gradients have been cleared or unscaled by others, and where
        Lightning makes the update.  Where anything fails in the backward pass or in the update, the gradients are
        cleared.
        """
        if self._hosted is not None:
            from optplan.targets.torch.lightning import check_manual  # noqa: PLC0415 - only inside Lightning

            check_manual(self._hosted)
        made = self._counted.made
        result = self._step(loss, accumulate, update, norm)
        # What is counted by then may be an update that a fused optimizer has dropped
        self._counted.made = made + result.updated
        return result

    @property
    def gathered(self) -> int:
        """How many batches `step` backpropagated since the last update; 0 in copies and after loading a checkpoint."""
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
        self._begin_step()

    def _count(self) -> None:
        """Count the updates of the optimizer as it is now, if nothing else does."""
        if self.scheduler is None and not any(state.counts(group.optimizer) for group in self.plan.groups):
            self._counted.follow(self.optimizer)
        else:
            self._counted.leave()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._count()

    def _begin_step(self) -> None:
        """Make the step anew, by all that it works on now."""
        self._count()
        before = self._step.notice
        waits = before is not None and before.waits
        if before is not None:
            before.close()
        self._step = Step(self.plan, self.optimizer, self.scheduler, self.scaler, self._trained, pieces=self._pieces)
        if not waits and self._step.notice is not None:
            self._step.notice.close()

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

        found, self._hosted = configuration(self, self._module, trainer)
        return found

    def report(self, *unnamed: Any, **metrics: SupportsFloat) -> None:
        """Tell each `plateau` of the plan the metric that it goes by: see `optplan.Compiled.report`."""
        if self.scheduler is None:
            watches = Watches(())
            watches.check_named(unnamed, metrics)
            watches.report(metrics, 0)
        else:
            self.scheduler.report(*unnamed, **metrics)

    def add_group(self, module: nn.Module, *, plan: Plan | None = None) -> None:
        """Take in the parameters of `module`, a part of the network: see `optplan.Compiled.add_group`.

        The optimizer and the scheduler stay the same objects.  The groups are added by `add_param_group`.
        """
        from optplan.targets.torch.adding import add  # noqa: PLC0415 - few programs do

        add(self, module, plan)

    @property
    def module(self) -> nn.Module:
        """What the plan is bound to."""
        return self._module

    @property
    def pieces(self) -> bool:
        """Whether parameters are pieces in one dimension, under `FullyShardedDataParallel`."""
        return self._pieces

    def parameter(self, name: str) -> nn.Parameter:
        """The parameter of a canonical name, trained or not; KeyError if there is none."""
        found: nn.Parameter = self._parameters[name]
        return found

    def grow(self, plan: Plan, parameters: dict[str, nn.Parameter], scheduler: PlanScheduler | None) -> None:
        """Go on by a plan of more parameters, which the optimizer has been given; for `add_group`."""
        waiting = self._step.gathered
        self.plan, self._parameters, self.scheduler = plan, parameters, scheduler
        self._beside = dict(self._module.named_buffers())
        chosen = {name for group in plan.groups for name in group.parameters}
        self._trained = [parameter for name, parameter in parameters.items() if name in chosen]
        self._begin_step()
        self._step.gathered = waiting

    @property
    def updates(self) -> int:
        """How many updates have been made: t of the next one.

        Where nothing is scheduled, the most that the optimizer's state tells of a parameter, or what is counted here.
        """
        if self.scheduler is not None:
            return self.scheduler.last_epoch
        return max(self._counted.made, state.steps(self.optimizer.state.values()))

    def save(self, path: str | PathLike[str]) -> None:
        """Write `state_dict()` into one safetensors file: see `optplan.Compiled.save`."""
        saved = self._saved()
        if state.sharded(saved):
            state.write_together(path, saved)
        else:
            super().save(path)

    def _saved(self) -> Saved:
        state.check_reachable(self.optimizer, pieces=self._pieces)
        owns = self.scheduler.owns if self.scheduler is not None else [{} for _ in self.plan.groups]
        groups = tuple(
            SavedGroup(
                group.name,
                group.optimizer,
                {key: value for key, value in settings.items() if key in group.settings},
                own,
                group.parameters,
            )
            for group, settings, own in zip(self.plan.groups, self.settings().values(), owns, strict=True)
        )
        return Saved(
            "torch",
            self.plan.fingerprint,
            self.updates,
            groups,
            state.read(self.optimizer, self._names),
            None if self.scaler is None else SavedScaler(*self.scaler.now),
            () if self.scheduler is None else tuple(self.scheduler.reports),
        )

    @property
    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for name, parameter in self._parameters.items()}

    # What is made in inference mode no update could write into
    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _put(self, placed: Placement, *, strict: bool) -> Sequence[Diagnostic]:  # noqa: ARG002 - PyTorch's classes can carry all
        state.check_reachable(self.optimizer, pieces=self._pieces)
        state.check(placed.state, self._parameters)
        anew = any(name not in placed.state for group in self.plan.groups for name in group.parameters)
        fresh = self._class(self.param_groups, **self.defaults).state if anew else {}
        state.put(self.optimizer, placed.state, fresh, self._names, self.plan)
        owns = [placed.settings.get(group.name, {}) for group in self.plan.groups]
        for group, own in zip(self.optimizer.param_groups, owns, strict=True):
            _settle(group, own)
        if self.scheduler is not None:
            self.scheduler.settle([_elements(own) for own in owns])
            self.scheduler.go_to(placed.updates, placed.reports)
        if self.scaler is not None:
            self.scaler.go_on(placed.scaler)
        self._counted.made = placed.updates
        if self._step.gathered:
            self.optimizer.zero_grad()
        self._begin_step()
        return ()

    def _packed(self, value: Tensor) -> Array:
        return state.packed(value)

    @torch.no_grad()
    def _made(self, parameter: nn.Parameter, value: Any) -> Tensor:
        made = state.tensor_of(value)
        state.check_made(made, parameter)
        return made.reshape(parameter.shape)

    @torch.no_grad()
    def _same(self, parameter: nn.Parameter, one: Tensor, other: Tensor) -> bool:
        first, second = (state.gathered(each).to(parameter.device, parameter.dtype) for each in (one, other))
        return torch.allclose(first, second, rtol=0.0, atol=0.0, equal_nan=True)

    @torch.no_grad()
    def _write(self, parameter: nn.Parameter, made: Tensor) -> None:
        parameter.copy_(made)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


def _plain(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _settle(group: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Have a group these own values; one that it does not have it computes itself."""
    for key, value in own.items():
        if key not in group:
            continue
        if isinstance(group[key], torch.Tensor):
            group[key].fill_(value)
        else:
            group[key] = value
        if key == "lr":
            group["initial_lr"] = value


def _elements(own: Mapping[str, Any]) -> dict[str, float]:
    """Own values by the keys that a curve can drive: `lr`, `betas[0]`."""
    found: dict[str, float] = {}
    for key, value in own.items():
        parts = (
            {f"{key}[{place}]": each for place, each in enumerate(value)} if isinstance(value, tuple) else {key: value}
        )
        found.update((name, each) for name, each in parts.items() if isinstance(each, (int, float)))
    return found
