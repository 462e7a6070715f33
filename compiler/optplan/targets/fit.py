"""Whether a plan fits what it is bound to: the model, and the classes that are there.

Parameters change identity, and names and shapes must not; what carries a registered optimizer out is found by its name.

A plan is bound as often as one likes: each time makes an optimizer, scheduler and scaler of their own, which share the
parameters and nothing else.  Binding switches the gradients of what a rule with `freeze` names, each time anew, and no
other: where somebody else has switched them since the plan was made, so that the plan trains what has none or leaves
out what has one, the model is not the one planned for.
"""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError, Diagnostic, diagnostic, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from optplan.catalog import Lowering, OptimizerType
    from optplan.resolve.network import Network, Shape
    from optplan.resolve.plan import Plan

# How many names a message tells.
_NAMED = 5

_LEAD = "the model is not the one planned for: it"
_CURE = "make the plan from this model: `optplan.plan(config, model)`"
_OF_SHARDS = "make the plan before wrapping or sharding, and bind it after, to what `fully_shard(model)` has made"


def check_network(plan: Plan, network: Network) -> None:
    """ConfigError (OP502) with all that differs between the plan and the model: names, shapes, gradients.

    Another order of parameters is the same.  OP507 where the shapes are those of shards.
    """
    if plan.names != network.names or plan.shapes != network.shapes:
        collector = Collector()
        _check_names(plan, network, collector)
        _check_shapes(plan, network, collector)
        collector.check()
    _check_gradients(plan, network)


def _check_names(plan: Plan, network: Network, collector: Collector) -> None:
    planned, there = set(plan.names), set(network.names)
    missing = [name for name in plan.names if name not in there]
    extra = [name for name in network.names if name not in planned]
    notes: tuple[str, ...] = ()
    if plan.target != network.target and None not in (plan.target, network.target):
        notes = (f"the plan was made for {plan.target}, and the model is of {network.target}",)
    tied = {alias.name: network.names[number] for number, aliases in network.aliases.items() for alias in aliases}
    for title, names, cure in (
        ("lacks", missing, _renamed(missing, extra) or _tied(missing, tied, "in this model") or _CURE),
        ("has beside those of the plan", extra, _tied(extra, plan.aliases, "in the plan") or _CURE),
    ):
        if names:
            count = "1 parameter" if len(names) == 1 else f"{len(names)} parameters"
            message = f"{_LEAD} {title} {count}: {_some(names)}"
            collector.add(Diagnostic("OP502", "error", message, help=cure, notes=notes))


def _renamed(missing: Sequence[str], extra: Sequence[str]) -> str | None:
    """What the names that are missing are probably called in the model: all by one prefix, or some by their looks."""
    if not missing or not extra:
        return None
    known = set(extra)
    for name in extra:
        if name.endswith(f".{missing[0]}"):
            prefix = name.removesuffix(missing[0])
            if all(prefix + each in known for each in missing):
                return f"all names begin with `{prefix}` here: bind to `model.{prefix.removesuffix('.')}`"
        if missing[0].endswith(f".{name}"):
            prefix = missing[0].removesuffix(name)
            if all(each.startswith(prefix) and each.removeprefix(prefix) in known for each in missing):
                return f"the plan's names begin with `{prefix}`: bind it to the whole model that it was made from"
    pairs = [(name, close[0]) for name in missing[:_NAMED] if (close := nearest(name, extra, 1))]
    if len(missing) == 1 and pairs:
        return f"did you mean `{pairs[0][1]}`?"
    told = ", ".join(f"`{there}` for `{name}`" for name, there in pairs)
    return f"did you mean {told}?" if told else None


def _tied(names: Sequence[str], tied: Mapping[str, str], where: str) -> str | None:
    """What to do about names that belong to a tied parameter on the other side."""
    found = [name for name in names if name in tied]
    if not found:
        return None
    return f"`{found[0]}` is another name of `{tied[found[0]]}` {where}: tie the two in both, or in neither"


def _check_shapes(plan: Plan, network: Network, collector: Collector) -> None:
    there = dict(zip(network.names, network.shapes, strict=True))
    planned = zip(plan.names, plan.shapes, strict=True)
    other = [(name, was, there[name]) for name, was in planned if name in there and there[name] != was]
    if not other:
        return
    if _are_shards(other, len(plan.names)):
        count = "1 parameter" if len(other) == 1 else f"{len(other)} parameters"
        told = _listed(other, lambda name, was, now: f"`{name}` {list(now)} of {list(was)}")
        message = f"the model has a shard of {count} where the plan has the whole: {told}"
        collector.add(Diagnostic("OP507", "error", message, help=_OF_SHARDS))
    elif len(other) == 1:
        ((name, was, now),) = other
        message = f"parameter `{name}` has shape {list(now)}, and was planned with {list(was)}"
        collector.add(Diagnostic("OP502", "error", message, help=_CURE))
    else:
        told = _listed(other, lambda name, was, now: f"`{name}` {list(now)}, planned with {list(was)}")
        message = f"{_LEAD} has {len(other)} parameters of another shape: {told}"
        collector.add(Diagnostic("OP502", "error", message, help=_CURE))


def _are_shards(other: Collection[tuple[str, Shape, Shape]], total: int) -> bool:
    """Whether all these are pieces of what was planned, and no sign says that the model is merely a smaller one.

    A piece has fewer elements, in one dimension, or in all dimensions but one of the same length.  A narrower layer is
    one too; what gives shards away is a piece without elements, a flat one, or that most parameters are pieces.
    """
    flat = False
    for _, was, now in other:
        along = len(was) == len(now) and sum(a != b for a, b in zip(was, now, strict=True)) == 1
        if prod(now) >= prod(was) or not (len(now) == 1 or along):
            return False
        flat = flat or 0 in now or len(now) < len(was)
    return flat or 2 * len(other) > total


def gradients_by_rule(plan: Plan) -> dict[str, bool]:
    """The parameters that a rule with `freeze` names, whether true or false, and whether their gradients are on."""
    ruled = [any(touch.key == "freeze" for touch in case.history) for case in plan.cases]
    if not any(ruled):
        return {}
    return {
        name: plan.cases[case].group >= 0 for name, case in zip(plan.names, plan.case_of, strict=True) if ruled[case]
    }


def _check_gradients(plan: Plan, network: Network) -> None:
    """ConfigError (OP502) where gradients have been switched since the plan was made, and no rule switches them."""
    trained = [case.group >= 0 for case in plan.cases]
    if plan.names == network.names and tuple(map(trained.__getitem__, plan.case_of)) == network.trainable:
        return
    on = dict(zip(network.names, network.trainable, strict=True))
    ruled = gradients_by_rule(plan)
    switched = [
        (name, trained[case])
        for name, case in zip(plan.names, plan.case_of, strict=True)
        if on[name] != trained[case] and name not in ruled
    ]
    collector = Collector()
    for wanted_on, what in ((True, "off for {} that the plan trains"), (False, "on for {} that the plan leaves out")):
        names = [name for name, wanted in switched if wanted is wanted_on]
        if names:
            count = "1 parameter" if len(names) == 1 else f"{len(names)} parameters"
            message = f"{_LEAD} has gradients switched {what.format(count)}: {_some(names)}"
            cure = f"switch them back, {_CURE}, or let a rule say `freeze: {str(not wanted_on).lower()}`"
            collector.add(Diagnostic("OP502", "error", message, help=cure))
    collector.check()


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _listed(other: Sequence[tuple[str, Shape, Shape]], tell: Callable[[str, Shape, Shape], str]) -> str:
    return ", ".join(tell(*each) for each in other[:_NAMED]) + (", ..." if len(other) > _NAMED else "")


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
