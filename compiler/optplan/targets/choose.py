"""Whether the native classes can take what a plan asks, and which class carries each group out.

Data from the catalog, no framework: the same answers come from a live model, a manifest and a checkpoint's header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.diagnostics import Diagnostic
from optplan.resolve.value import Attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.catalog import Catalog, Lowering, OptimizerType
    from optplan.diagnostics import Collector
    from optplan.resolve.network import Network
    from optplan.resolve.plan import Group, Plan


def lowering(group: Group, target: str, catalog: Catalog) -> Lowering | None:
    """The native class for a group, with its reason; None where the target has none."""
    return catalog.optimizers[group.optimizer].lowerings.get(target)


def check(plan: Plan, network: Network, catalog: Catalog, collector: Collector) -> None:
    """Report groups that their optimizer cannot take: by rule, parameter and reason (OP501, OP504)."""
    target = plan.target or "torch"
    types = {group.optimizer for group in plan.groups}
    sparse = _sparse(network)
    for group in plan.groups:
        kind = catalog.optimizers[group.optimizer]
        if target not in kind.lowerings:
            _refuse(plan, group, f"`{kind.name}` cannot be carried out on {target}", collector)
            continue
        _check_parameters(plan, group, kind, network, sparse, collector)
        _check_options(plan, group, kind.lowerings[target], collector)
        if kind.requirements.alone and len(types) > 1:
            others = ", ".join(f"`{name}`" for name in sorted(types - {kind.name}))
            _refuse(plan, group, f"`{kind.name}` stands alone: it cannot be used beside {others}", collector)
    for name in types:
        groups = [group for group in plan.groups if group.optimizer == name]
        requirements = catalog.optimizers[name].requirements
        if requirements.one_group and len(groups) > 1:
            second = groups[1]
            what = f"`{name}` takes one group, and the plan has {len(groups)} of it: `{second.parameters[0]}` differs"
            _refuse(plan, second, what, collector, _differing(plan, second))
        for key in requirements.shared:
            values = {group.settings.get(key) for group in groups}
            if len(values) > 1:
                second = next(g for g in groups if g.settings.get(key) != groups[0].settings.get(key))
                what = f"`{key}` of `{name}` is one for all groups, and `{second.parameters[0]}` has another"
                _refuse(plan, second, what, collector, _differing(plan, second))


def _check_parameters(
    plan: Plan, group: Group, kind: OptimizerType, network: Network, sparse: dict[str, bool | None], collector: Collector
) -> None:
    needs = kind.requirements
    if needs.parameters:
        for name, attributes in _attributes(network, group):
            values = {key: attributes.get(key) for key in ("ndim", "numel", "fan_in", "fan_out")}
            for condition in needs.parameters:
                if not condition.holds(values):
                    shape = list(attributes.shape)
                    what = f"`{kind.name}` takes only parameters with {condition}, and `{name}` has shape {shape}"
                    _refuse(plan, group, what, collector, group.origin, f"add `and {condition}` to the rule's filter")
                    return
    if not sparse:
        return
    allowed = kind.requirements.gradients
    values = {**group.settings, **group.options_of("torch")}
    for name in group.parameters:
        gradient = sparse.get(name)
        if allowed == "sparse" and gradient is False:
            what = f"`{kind.name}` takes only sparse gradients, and `{name}` has dense ones"
            cure = "use `adam`, or make the embedding with `sparse=True`"
        elif gradient and (allowed == "dense" or not all(each.holds(values) for each in needs.sparse)):
            what = f"`{kind.name}` with these settings takes only dense gradients, and `{name}` has sparse ones"
            cure = "use `sparse_adam`, `sgd` or `adagrad` for it, or make the embedding with `sparse=False`"
        else:
            continue
        _refuse(plan, group, what, collector, group.origin, cure)
        return


def _check_options(plan: Plan, group: Group, by: Lowering, collector: Collector) -> None:
    for _, message in by.check_together({**group.settings, **group.options_of(by.target)}):
        _refuse(plan, group, f"{message}, for `{group.parameters[0]}`", collector, code="OP504")


def _attributes(network: Network, group: Group) -> Iterator[tuple[str, Attributes]]:
    index = dict(zip(network.names, range(len(network)), strict=True))
    for name in group.parameters:
        number = index[name]
        kind = network.kinds[network.module_kinds[network.owners[number]]]
        yield name, Attributes(network.shapes[number], kind.transposed)


def _sparse(network: Network) -> dict[str, bool | None]:
    """Whether each parameter's gradient is sparse, where that is known."""
    by_kind = [kind.sparse for kind in network.kinds]
    if all(each is None for each in by_kind):
        return {}
    kinds = network.module_kinds
    return {name: by_kind[kinds[owner]] for name, owner in zip(network.names, network.owners, strict=True)}


def _differing(plan: Plan, group: Group) -> int | None:
    """The last rule that matches the first parameter of a group: what made it differ."""
    rules = plan.cases[plan.case_of[plan.names.index(group.parameters[0])]].rules
    return rules[-1] if rules else group.origin


def _refuse(
    plan: Plan,
    group: Group,
    message: str,
    collector: Collector,
    origin: int | None = None,
    cure: str | None = None,
    code: str = "OP501",
) -> None:
    place = group.origin if origin is None else origin
    at = plan.origins[place] if place is not None and place < len(plan.origins) else None
    if at is None:
        collector.add(Diagnostic(code, "error", message, help=cure))
        return
    lead = f"rule `{at.rule}`: " if place is not None and place < len(plan.origins) - 1 else ""
    collector.add(
        Diagnostic(
            code,
            "error",
            lead + message,
            at.source,
            at.line,
            at.column,
            at.end_line,
            at.end_column,
            cure,
            excerpt=at.text if at.line else None,
        )
    )
