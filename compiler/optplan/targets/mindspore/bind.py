"""A plan and the Cell as it is now, to native objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms

from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError, diagnostic
from optplan.targets.choose import lowering, refusal, require, set_by, unable
from optplan.targets.fit import check_groups, check_network, gradients_by_rule
from optplan.targets.mindspore.compiled import Compiled
from optplan.targets.mindspore.members import Tables, make
from optplan.targets.mindspore.reports import Reports
from optplan.targets.mindspore.scaling import carried_scale
from optplan.targets.mindspore.several import MultiOptimizer
from optplan.targets.mindspore.view import view

if TYPE_CHECKING:
    from mindspore import Parameter, nn

    from optplan.catalog import Lowering
    from optplan.resolve.plan import Group, Plan
    from optplan.targets.mindspore.view import View

# The types of parameters that optimizers take.
_TRAINED = frozenset({"float16", "bfloat16", "float32"})


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
    # In MindSpore's own order, in which gradients come: the view's is another one in recurrent networks.
    place = {id(parameter): number for number, parameter in enumerate(cell.get_parameters())}
    named = zip(seen.network.names, seen.parameters, strict=True)
    parameters = dict(sorted(named, key=lambda each: place[id(each[1])]))
    groups = _carried_out(plan, dict(zip(seen.network.names, seen.network.dtypes, strict=True)))
    _check_names([parameters[name] for group in plan.groups for name in group.parameters])
    for name, on in gradients_by_rule(plan).items():
        parameters[name].requires_grad = on
    shaped = zip(seen.network.shapes, seen.parameters, strict=True)
    flat = frozenset(id(parameter) for shape, parameter in shaped if len(shape) < parameter.ndim)
    tables = Tables(plan.horizon)
    members = make(groups, parameters, tables, flat, plan.loss_scale)
    trained = {name for group in plan.groups for name in group.parameters}
    ordered = [parameter for name, parameter in parameters.items() if name in trained]
    if len(members) == 1:
        optimizer = members[0].optimizer
    else:
        names = [f"member{number}" for number in range(len(members))]
        optimizer = MultiOptimizer([member.optimizer for member in members], names, ordered)
    net = seen.network
    owners = {owner for name, owner in zip(net.names, net.owners, strict=True) if name in trained}
    sparse = any(net.kinds[net.module_kinds[owner]].sparse for owner in owners)
    return Compiled(plan, optimizer, members, parameters, cell, Reports(plan, tables), sparse=sparse)


def _carried_out(plan: Plan, types: dict[str, str]) -> list[tuple[Group, Lowering]]:
    """The class of each group; ConfigError (OP501) where it, or an option, does not run on the device that is set.

    Nor does every type of parameter, by `types`; a `Parameter` of whole numbers has its gradient on if nobody says no.
    """
    device = ms.get_context("device_target")
    collector = Collector()
    found = []
    for group in plan.groups:
        by = lowering(group, "mindspore", catalog())
        if by is None:
            raise AssertionError(group)
        if by.devices and device not in by.devices:
            cure = f"it runs on {' and '.join(by.devices)}"
            of = "".join(f" with `{each}`" for each in by.when)
            collector.add(refusal(plan, f"`{by.class_name}`{of} does not run on {device}", group.origin, cure))
        if device == "CPU" and group.options_of("mindspore").get("grad_centralization"):
            place = set_by(plan, group, "mindspore.grad_centralization".__eq__)
            message = f"`grad_centralization` does not run on CPU, and `{group.parameters[0]}` has it"
            collector.add(refusal(plan, message, place, "leave it out, or set another `device_target`"))
        for name in group.parameters:
            if types[name] not in _TRAINED or (device == "CPU" and types[name] == "bfloat16"):
                where = " on CPU" if types[name] == "bfloat16" else ""
                message = f"`{name}` cannot be trained{where}: it is of type {types[name]}"
                collector.add(refusal(plan, message, group.origin, _cure(types[name])))
                break
        halves = [name for name in group.parameters if types[name] == "float16"]
        if halves and by.class_name.startswith("optplan."):
            message = f"`{halves[0]}` cannot be trained by `{group.optimizer}` on mindspore: it is of type float16"
            cure = "keep weights in `float32`, as mixed precision does, or use an optimizer of MindSpore's own"
            collector.add(refusal(plan, message, group.origin, cure))
        if not by.loss_scale and carried_scale(plan.loss_scale) != 1:
            collector.add(unable(plan.loss_scale, group, by))
        found.append((group, by))
    collector.check()
    return found


def _cure(dtype: str) -> str:
    if dtype in {"float64", "bfloat16"}:
        return "MindSpore's optimizers compute in float32: make it `float32`"
    return "let a rule with `freeze: true` leave it out"


def _check_names(parameters: list[Parameter]) -> None:
    """ConfigError (OP211) where two parameters call themselves the same, which MindSpore's optimizers refuse."""
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.name in seen:
            message = f"two parameters of the network have the name `{parameter.name}` in MindSpore"
            cure = "let the cell that has them be an attribute of the network: attaching it completes their names"
            raise ConfigError([diagnostic("OP211", message, help=cure)])
        seen.add(parameter.name)
