"""What a Cell must be for a plan to be carried out: types, devices, names; and in which order its parameters stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms

from optplan.diagnostics import Collector, ConfigError, diagnostic
from optplan.targets.choose import refusal, set_by, unable
from optplan.targets.mindspore.native import lowered
from optplan.targets.mindspore.scaling import carried_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mindspore import Parameter, nn

    from optplan.resolve.network import Network
    from optplan.resolve.plan import Plan

# The types of parameters that optimizers take.
_TRAINED = frozenset({"float16", "bfloat16", "float32"})


def in_order(parameters: Mapping[str, Parameter], cell: nn.Cell) -> dict[str, Parameter]:
    """The parameters in the order in which gradients come: a view's is another one in recurrent networks."""
    place = {id(parameter): number for number, parameter in enumerate(cell.get_parameters())}
    return dict(sorted(parameters.items(), key=lambda each: place[id(each[1])]))


def has_sparse(network: Network, plan: Plan) -> bool:
    """Whether a parameter that is trained has sparse gradients."""
    trained = {name for group in plan.groups for name in group.parameters}
    owners = {owner for name, owner in zip(network.names, network.owners, strict=True) if name in trained}
    return any(network.kinds[network.module_kinds[owner]].sparse for owner in owners)


def check_carried(plan: Plan, types: dict[str, str]) -> None:
    """ConfigError (OP501) where a class of a group, or an option, does not run on the device that is set.

    Nor does every type of parameter, by `types`; a `Parameter` of whole numbers has its gradient on if nobody says no.
    """
    device = ms.get_context("device_target")
    collector = Collector()
    for group in plan.groups:
        by = lowered(group)
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
    collector.check()


def _cure(dtype: str) -> str:
    if dtype in {"float64", "bfloat16"}:
        return "MindSpore's optimizers compute in float32: make it `float32`"
    return "let a rule with `freeze: true` leave it out"


def check_names(parameters: list[Parameter]) -> None:
    """ConfigError (OP211) where two parameters call themselves the same, which MindSpore's optimizers refuse."""
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.name in seen:
            message = f"two parameters of the network have the name `{parameter.name}` in MindSpore"
            cure = "let the cell that has them be an attribute of the network: attaching it completes their names"
            raise ConfigError([diagnostic("OP211", message, help=cure)])
        seen.add(parameter.name)
