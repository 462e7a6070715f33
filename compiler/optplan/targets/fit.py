"""Whether a plan fits what it is bound to: the model, and the classes that are there.

Parameters change identity, and names and shapes must not; what carries a registered optimizer out is found by its name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError, Diagnostic, diagnostic, suggestion

if TYPE_CHECKING:
    from optplan.catalog import Lowering, OptimizerType
    from optplan.resolve.network import Network
    from optplan.resolve.plan import Plan

_NAMED = 5


def check_network(plan: Plan, network: Network) -> None:
    """ConfigError (OP502) with what differs between the plan and the model; another order of parameters is the same."""
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
    collector.check()


def find_optimizer(name: str) -> OptimizerType | None:
    """The optimizer of this name, one that an installed package offers too; None where there is none."""
    found = catalog().optimizers.get(name)
    if found is None:
        from optplan.registry.mention import Mention  # noqa: PLC0415 - few names come from elsewhere
        from optplan.registry.registration import take_in  # noqa: PLC0415 - as above

        take_in([Mention("optimizer", name)], Collector())
    return catalog().optimizers.get(name)


def class_of(by: Lowering, name: str) -> Any:
    """The native class that carries the optimizer `name` out; ConfigError (OP603) where it cannot be imported."""
    module, _, attribute = by.class_name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as fault:
        message = f"`{name}` is carried out by `{by.class_name}`, which cannot be imported: {fault}"
        cure = "correct the name where it is registered, or install what has the class"
        raise ConfigError([diagnostic("OP603", message, help=cure)]) from fault


def check_groups(plan: Plan) -> None:
    """ConfigError where nothing is trained (OP502), or by what is not registered here (OP505, OP603)."""
    if not plan.groups:
        raise ConfigError([diagnostic("OP502", "the plan trains no parameter", help="every parameter is frozen")])
    names = sorted({group.optimizer for group in plan.groups})
    if any(name not in catalog().optimizers for name in names):
        from optplan.registry.mention import Mention  # noqa: PLC0415 - few plans are made elsewhere
        from optplan.registry.registration import require  # noqa: PLC0415 - as above

        require(Mention("optimizer", name) for name in names)
    for group in plan.groups:
        for key, curve in group.curves:
            curve.value(0, group.own(key))
