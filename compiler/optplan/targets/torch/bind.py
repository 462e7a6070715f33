"""A plan and the model as it is now, to native objects.

Parameters change identity when a model is sharded, moved or wrapped, so the plan is held against a fresh view of the
model: names and shapes must be those that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError, Diagnostic, diagnostic, suggestion
from optplan.targets.torch.compiled import Compiled
from optplan.targets.torch.optimizer import MultiOptimizer, build
from optplan.targets.torch.schedule import PlanScheduler
from optplan.targets.torch.view import view

if TYPE_CHECKING:
    from torch import nn

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.torch.view import View

_NAMED = 5


def bind(plan: Plan, module: nn.Module, seen: View | None = None) -> Compiled:
    """The native objects of `plan` for `module`; ConfigError (OP502) where the module is not the one planned for.

    `seen` is the view of the module where the caller has just taken it.
    """
    if seen is None:
        seen = view(module)
        _check(plan, seen)
    if not plan.groups:
        raise ConfigError([diagnostic("OP502", "the plan trains no parameter", help="every parameter is frozen")])
    _check_known(plan)
    parameters = dict(zip(seen.network.names, seen.parameters, strict=True))
    for name in plan.frozen:
        parameters[name].requires_grad_(False)
    for name in plan.thawed:
        parameters[name].requires_grad_(True)
    several = len({group.optimizer for group in plan.groups}) > 1
    groups = [_native(group, parameters, several=several) for group in plan.groups]
    optimizer = MultiOptimizer(groups) if several else build(plan.groups[0].optimizer, groups)
    scheduler = PlanScheduler(optimizer, plan.groups) if any(group.curves for group in plan.groups) else None
    return Compiled(plan, optimizer, scheduler, parameters)


def _check_known(plan: Plan) -> None:
    """Refuse a plan, read from JSON, say, that asks for an optimizer which this release does not have."""
    known = catalog().optimizers
    unknown = sorted({group.optimizer for group in plan.groups if group.optimizer not in known})
    if unknown:
        message = f"the plan asks for the optimizer `{unknown[0]}`, which this release does not have"
        raise ConfigError([diagnostic("OP502", message, help=suggestion(unknown[0], known))])


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


def _check(plan: Plan, seen: View) -> None:
    """Report what differs between the plan and the model."""
    network = seen.network
    if plan.names == network.names and plan.shapes == network.shapes:
        return
    collector = Collector()
    planned = dict(zip(plan.names, plan.shapes, strict=True))
    there = dict(zip(network.names, network.shapes, strict=True))
    missing = [name for name in planned if name not in there]
    extra = [name for name in there if name not in planned]
    shapes = [name for name in planned if name in there and there[name] != planned[name]]
    cure = "make the plan from this model: `optplan.plan(config, model)`"
    for title, names in (("lacks", missing), ("has beside those of the plan", extra)):
        if names:
            some = ", ".join(f"`{name}`" for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            near = suggestion(names[0], extra if names is missing else ())
            count = "1 parameter" if len(names) == 1 else f"{len(names)} parameters"
            message = f"the model is not the one planned for: it {title} {count}: {some}"
            collector.add(Diagnostic("OP502", "error", message, help=near or cure))
    for name in shapes[:_NAMED]:
        was, now = list(planned[name]), list(there[name])
        message = f"parameter `{name}` has shape {now}, and was planned with {was}"
        zero = 0 in now and 0 not in was
        help_ = "this is a shard: bind before sharding, or shard with `fully_shard`" if zero else cure
        collector.add(Diagnostic("OP502", "error", message, help=help_))
    # The same parameters in another order are the same plan.
    collector.check()
