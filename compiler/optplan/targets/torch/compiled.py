"""What the user holds: the native optimizer and scheduler of a plan, and answers about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from optplan import compiled
from optplan.targets.torch.optimizer import MultiOptimizer, arguments

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from optplan.resolve.plan import Plan
    from optplan.targets.torch.schedule import PlanScheduler

# What a group dict holds beside settings.
_BESIDE = frozenset({"params", "name", "optimizer", "initial_lr", "param_names"})


class Compiled(compiled.Compiled):
    """A plan's native objects: `optimizer, scheduler = compiled`.

    `optimizer` is a stock class of `torch.optim` where one suffices, else a `MultiOptimizer`; `scheduler` is a real
    `LRScheduler`, or None where nothing is scheduled; `scaler` is None.  `parameters` has the trained parameters in
    the order of the groups.
    """

    optimizer: Optimizer
    scheduler: PlanScheduler | None

    def __init__(
        self,
        plan: Plan,
        optimizer: Optimizer,
        scheduler: PlanScheduler | None,
        parameters: dict[str, nn.Parameter],
        module: nn.Module,
    ) -> None:
        super().__init__(plan, parameters, dict(module.named_buffers()))
        self.optimizer = optimizer
        self.scheduler = scheduler

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
        return type(self.optimizer)

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments for `optimizer_class` beside the groups, which carry all settings; none for several optimizers.

        They are what a stock class asks in its constructor, such as options that concern the whole.
        """
        if isinstance(self.optimizer, MultiOptimizer):
            return {}
        return arguments(self.plan.groups[0].optimizer, self.optimizer.param_groups)

    def lr(self) -> dict[str, float]:
        """The learning rate that the next update uses, by group."""
        return {group["name"]: _number(group["lr"]) for group in self.optimizer.param_groups}

    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting that the next update uses, by group."""
        return {
            group["name"]: {key: _number(value) for key, value in group.items() if key not in _BESIDE}
            for group in self.optimizer.param_groups
        }

    @torch.no_grad()
    def _write(self, parameter: nn.Parameter, value: Any) -> None:
        parameter.copy_(torch.as_tensor(value).reshape(parameter.shape))


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


def _plain(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
