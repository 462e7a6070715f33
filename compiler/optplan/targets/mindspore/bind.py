"""A plan and the Cell as it is now, to native objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.targets.choose import require
from optplan.targets.fit import check_groups, check_network, gradients_by_rule
from optplan.targets.mindspore.checking import check_carried, check_names, has_sparse, in_order
from optplan.targets.mindspore.compiled import Compiled
from optplan.targets.mindspore.native import carry_out
from optplan.targets.mindspore.view import view

if TYPE_CHECKING:
    from mindspore import nn

    from optplan.resolve.plan import Plan
    from optplan.targets.mindspore.view import View


def bind(plan: Plan, cell: nn.Cell, seen: View | None = None) -> Compiled:
    """The native objects of `plan` for `cell`; ConfigError (OP502) where the cell is not the one planned for.

    `seen` is the view of the cell where the caller has just taken it.  ConfigError (OP501) where a class does not run
    on the device that is set, or nothing carries out what the plan asks.
    """
    if seen is None:
        seen = view(cell)
        check_network(plan, seen.network)
    check_groups(plan)
    require(plan, seen.network, "mindspore", catalog())
    parameters = in_order(dict(zip(seen.network.names, seen.parameters, strict=True)), cell)
    check_carried(plan, dict(zip(seen.network.names, seen.network.dtypes, strict=True)))
    check_names([parameters[name] for group in plan.groups for name in group.parameters])
    for name, on in gradients_by_rule(plan).items():
        parameters[name].requires_grad = on
    return Compiled(plan, carry_out(plan, parameters), parameters, cell, sparse=has_sparse(seen.network, plan))
