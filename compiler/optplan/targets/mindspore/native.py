"""What carries a plan out: one optimizer, of several members where one class does not suffice, and what it knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from optplan.catalog import catalog
from optplan.targets.choose import lowering
from optplan.targets.mindspore.members import Tables, make
from optplan.targets.mindspore.reports import Reports
from optplan.targets.mindspore.several import MultiOptimizer
from optplan.targets.mindspore.state import Keeper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mindspore import Parameter, nn

    from optplan.catalog import Lowering
    from optplan.resolve.plan import Group, Plan
    from optplan.targets.mindspore.members import Member

__all__ = ["Native", "carry_out", "lowered"]


class Native(NamedTuple):
    """An optimizer, the members that it has or is, what keeps their state, and what is reported to their tables."""

    optimizer: nn.Optimizer
    members: list[Member]
    keepers: list[Keeper]
    reports: Reports


def lowered(group: Group) -> Lowering:
    """The class that carries a group out, of a plan that MindSpore has been found to carry out."""
    by = lowering(group, "mindspore", catalog())
    if by is None:
        raise AssertionError(group)
    return by


def carry_out(plan: Plan, parameters: Mapping[str, Parameter], born: Mapping[str, int] | None = None) -> Native:
    """The optimizer of `plan`, new; `parameters` are the network's by canonical name, in MindSpore's order.

    `born` has by name the update at which the state of a parameter began, where that is not the first.  ConfigError
    (OP501, OP603) where a class refuses what it is given, or cannot be imported.
    """
    born = born or {}
    shapes = dict(zip(plan.names, plan.shapes, strict=True))
    flat = frozenset(id(each) for name, each in parameters.items() if len(shapes[name]) < each.ndim)
    tables = Tables(plan.horizon)
    groups = [(part, lowered(group)) for group in plan.groups for part in _parts(group, born)]
    members = make(groups, dict(parameters), tables, flat, plan.loss_scale, born)
    names = {id(parameter): name for name, parameter in parameters.items()}
    # Before several stand behind one, which renames what belongs to no parameter
    keepers = [Keeper(each.optimizer, each.groups, lowered(each.groups[0]), names, shapes) for each in members]
    if len(members) == 1:
        optimizer = members[0].optimizer
    else:
        trained = {name for group in plan.groups for name in group.parameters}
        ordered = [parameter for name, parameter in parameters.items() if name in trained]
        called = [f"member{number}" for number in range(len(members))]
        optimizer = MultiOptimizer([member.optimizer for member in members], called, ordered)
    return Native(optimizer, members, keepers, Reports(plan, tables))


def _parts(group: Group, born: Mapping[str, int]) -> list[Group]:
    """The group, in as many as there are updates at which the state of its parameters began."""
    by_birth: dict[int, list[str]] = {}
    for name in group.parameters:
        by_birth.setdefault(born.get(name, 0), []).append(name)
    return [group] if len(by_birth) == 1 else [replace(group, parameters=tuple(each)) for each in by_birth.values()]
