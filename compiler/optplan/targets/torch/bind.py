"""A plan and the model as it is now, to native objects.

Parameters change identity when a model is sharded, moved or wrapped, so the plan is held against a fresh view of the
model: names and shapes must be those that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from optplan.catalog import catalog
from optplan.diagnostics import ConfigError
from optplan.targets.choose import refused_at, require
from optplan.targets.fit import check_groups, check_network
from optplan.targets.torch.compiled import Compiled
from optplan.targets.torch.optimizer import MultiOptimizer, build
from optplan.targets.torch.scaler import PlanScaler
from optplan.targets.torch.schedule import PlanScheduler
from optplan.targets.torch.shards import check_sharded, options_of_mixed, switch_gradients, whole
from optplan.targets.torch.step import needs_closure
from optplan.targets.torch.view import FULLY_SHARDED, view

if TYPE_CHECKING:
    from torch import nn

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.torch.view import View


def bind(plan: Plan, module: nn.Module, seen: View | None = None) -> Compiled:
    """The native objects of `plan` for `module`; ConfigError (OP502) where the module is not the one planned for.

    ConfigError too where PyTorch has no class for an optimizer of the plan (OP501), and where the module is sharded or
    wrapped in a way that the plan cannot be carried out in (OP504, OP507, OP508).  `seen` is the view of the module
    where the caller has just taken it.
    """
    if seen is None:
        seen = view(module, sharded=True)
        check_network(plan, whole(plan, seen))
    check_groups(plan)
    require(plan, seen.network, "torch", catalog())
    parameters = dict(zip(seen.network.names, seen.parameters, strict=True))
    check_sharded(plan, parameters)
    switch_gradients(plan, parameters, seen.wrappers)
    several = len({group.optimizer for group in plan.groups}) > 1
    groups = [native_group(plan, group, parameters, several=several) for group in plan.groups]
    optimizer = MultiOptimizer(groups) if several else build(plan.groups[0].optimizer, groups)
    scheduled = any(group.curves for group in plan.groups)
    scheduler = PlanScheduler(optimizer, plan.groups, plan.horizon.last) if scheduled else None
    scaler, scale = None, plan.loss_scale
    if scale is not None:
        if needs_closure(type(optimizer)):
            what = f"`{type(optimizer).__name__}` evaluates the loss itself, and no loss scale can be taken out there"
            raise ConfigError([refused_at(scale.origin, what, "leave `loss_scale` out, or use another optimizer")])
        scaler = PlanScaler(scale, groups[0]["params"][0].device.type)
    pieces = FULLY_SHARDED in seen.wrappers
    return Compiled(plan, optimizer, scheduler, scaler, parameters, module, pieces=pieces)


def native_group(plan: Plan, group: Group, parameters: dict[str, nn.Parameter], *, several: bool) -> dict[str, Any]:
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
    native.update(options_of_mixed(plan, group, native["params"]))
    rate = native["lr"]
    native["initial_lr"] = rate
    if tensor:
        native["lr"] = torch.tensor(rate, dtype=torch.float32, device=native["params"][0].device)
    return native
