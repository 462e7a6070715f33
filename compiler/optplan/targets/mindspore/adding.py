"""New parts of a network taken into training that goes on.

An optimizer of MindSpore cannot be given more parameters: a new one takes the state over, with groups of their own for
what is new.  Everything is checked and made before anything is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import nn

from optplan.catalog import catalog
from optplan.targets.choose import require
from optplan.targets.fit import check_groups, gradients_by_rule
from optplan.targets.growing import fault, grown
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
    whole = grown(compiled.plan, plan, seen.network, were, now, view(module).parameters, "cell")
    check_groups(whole)
    require(whole, seen.network, "mindspore", catalog())
    check_carried(whole, dict(zip(seen.network.names, seen.network.dtypes, strict=True)))
    check_names([now[name] for group in whole.groups for name in group.parameters])
    compiled.grow(whole, in_order(now, compiled.cell), sparse=has_sparse(seen.network, whole))
    for name, on in gradients_by_rule(whole).items():
        now[name].requires_grad = on
