"""New parts of a network taken into training that goes on.

An optimizer of MindSpore cannot be given more parameters: a new one takes the state over, with groups of their own for
what is new.  Everything is checked and made before anything is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import nn

from optplan.catalog import catalog
from optplan.targets.choose import require
from optplan.targets.fit import check_groups, check_network, gradients_by_rule
from optplan.targets.growing import check_same, fault, joined, new_names, some
from optplan.targets.mindspore.checking import check_carried, check_names, has_sparse, in_order
from optplan.targets.mindspore.view import view

if TYPE_CHECKING:
    from optplan.resolve.plan import Plan
    from optplan.targets.mindspore.compiled import Compiled


def add(compiled: Compiled, module: nn.Cell, plan: Plan | None) -> None:
    """See `Compiled.add_group`; `plan` is that of the whole network, None for the one made as the first was."""
    if not isinstance(module, nn.Cell):
        raise fault(f"a `{type(module).__name__}` is no Cell", "pass the new part of the network")
    seen = view(compiled.cell)
    now = dict(zip(seen.network.names, seen.parameters, strict=True))
    were = {name: compiled.parameter(name) for name in compiled.plan.names}
    new = new_names(were, now, view(module).parameters)
    if plan is None:
        again = getattr(compiled.plan, "again", None)
        if again is None:
            cure = "pass `plan=optplan.plan(config, cell, ...)`, made from the network as it is now"
            raise fault("this plan was read from JSON, or copied, and knows no file to go by", cure)
        plan = again(seen.network)
    else:
        check_network(plan, seen.network)
    check_same(compiled.plan, plan, new)
    whole = joined(compiled.plan, plan, new)
    if len(whole.groups) == len(compiled.plan.groups):
        raise fault(f"nothing new in the module is trained: {some(new)}", "a rule freezes it, or its own gradients")
    check_groups(whole)
    require(whole, seen.network, "mindspore", catalog())
    check_carried(whole, dict(zip(seen.network.names, seen.network.dtypes, strict=True)))
    check_names([now[name] for group in whole.groups for name in group.parameters])
    compiled.grow(whole, in_order(now, compiled.cell), sparse=has_sparse(seen.network, whole))
    for name, on in gradients_by_rule(whole).items():
        now[name].requires_grad = on
