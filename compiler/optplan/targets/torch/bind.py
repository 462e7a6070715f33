"""A plan and the model as it is now, to native objects.

Parameters change identity when a model is sharded, moved or wrapped, so the plan is held against a fresh view of the
model: names and shapes must be those that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from optplan.catalog import catalog
from optplan.targets.choose import require
from optplan.targets.fit import check_groups, check_network
from optplan.targets.torch.compiled import Compiled
from optplan.targets.torch.optimizer import MultiOptimizer, build
from optplan.targets.torch.schedule import PlanScheduler
from optplan.targets.torch.view import view

if TYPE_CHECKING:
    from torch import nn

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.torch.view import View


def bind(plan: Plan, module: nn.Module, seen: View | None = None) -> Compiled:
    """The native objects of `plan` for `module`; ConfigError (OP502) where the module is not the one planned for.

    ConfigError (OP501) too where PyTorch has no class for an optimizer of the plan.  `seen` is the view of the module
    where the caller has just taken it.
    """
    if seen is None:
        seen = view(module)
        check_network(plan, seen.network)
    check_groups(plan)
    require(plan, seen.network, "torch", catalog())
    parameters = dict(zip(seen.network.names, seen.parameters, strict=True))
    for name in plan.frozen:
        parameters[name].requires_grad_(False)
    for name in plan.thawed:
        parameters[name].requires_grad_(True)
    several = len({group.optimizer for group in plan.groups}) > 1
    groups = [_native(group, parameters, several=several) for group in plan.groups]
    optimizer = MultiOptimizer(groups) if several else build(plan.groups[0].optimizer, groups)
    scheduler = PlanScheduler(optimizer, plan.groups) if any(group.curves for group in plan.groups) else None
    return Compiled(plan, optimizer, scheduler, parameters, module)


def _native(group: Group, parameters: dict[str, nn.Parameter], *, several: bool) -> dict[str, Any]:
    """The group dict that torch is given."""
    options = group.options_of("torch")
    tensor = options.pop("tensor_lr", False)
    native: dict[str, Any] = {"params": [parameters[name] for name in group.parameters], "name": group.name}
    if several:
        native["optimizer"] = group.optimizer
    defaults = catalog().optimizers[group.optimizer].defaults
    # A null that is the default says that the class computes the value itself.
    native.update((key, v) for key, v in group.settings.items() if v is not None or defaults[key] is not None)
    native.update(options)
    rate = native["lr"]
    native["initial_lr"] = rate
    if tensor:
        native["lr"] = torch.tensor(rate, dtype=torch.float32, device=native["params"][0].device)
    return native
