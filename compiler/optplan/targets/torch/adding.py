"""New parts of a network taken into training that goes on.

Takes a compiled plan and a plan of the network as it is now.  Guarantees that what is trained already goes on as it was
planned, and that whatever is refused leaves all as it was: everything is checked and made before anything is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from optplan.catalog import catalog
from optplan.targets.choose import require
from optplan.targets.fit import check_groups
from optplan.targets.growing import fault, grown, some
from optplan.targets.torch.bind import native_group
from optplan.targets.torch.optimizer import MultiOptimizer, arguments, optimizer_class
from optplan.targets.torch.schedule import PlanScheduler
from optplan.targets.torch.shards import check_sharded, switch_gradients
from optplan.targets.torch.state import check_reachable
from optplan.targets.torch.view import DATA_PARALLEL, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optplan.resolve.plan import Group, Plan
    from optplan.targets.torch.compiled import Compiled
    from optplan.targets.torch.view import View


def add(compiled: Compiled, module: nn.Module, plan: Plan | None) -> None:
    """See `Compiled.add_group`; `plan` is that of the whole network, None for the one made as the first was."""
    if not isinstance(module, nn.Module):
        raise fault(f"a `{type(module).__name__}` is no module", "pass the new part of the network")
    check_reachable(compiled.optimizer, pieces=compiled.pieces)
    seen = view(compiled.module, sharded=True)
    if DATA_PARALLEL in seen.wrappers:
        what = "`DistributedDataParallel` has settled when it was made which gradients are averaged"
        raise fault(what, "bind the bare model; wrap it anew once it has grown, and bind a plan of that")
    parameters = dict(zip(seen.network.names, seen.parameters, strict=True))
    were = {name: compiled.parameter(name) for name in compiled.plan.names}
    whole = grown(compiled.plan, plan, seen.network, were, parameters, module.parameters(), "model")
    added = whole.groups[len(compiled.plan.groups) :]
    _check_averaged(compiled.module, added, parameters)
    _take_in(compiled, whole, added, seen, parameters)


def _check_averaged(module: nn.Module, added: Sequence[Group], parameters: dict[str, nn.Parameter]) -> None:
    """ConfigError (OP709) for what `fully_shard` has not seen in a network that it shards."""
    if not any(cls.__name__ == "FSDPModule" for each in module.modules() for cls in type(each).__mro__):
        return
    whole = [name for group in added for name in group.parameters if not hasattr(parameters[name], "device_mesh")]
    if whole:
        what = f"`fully_shard` has not sharded {some(whole)}, and averages no gradients of what came after it"
        raise fault(what, "shard the new part by `fully_shard` before it is added")


def _take_in(
    compiled: Compiled, whole: Plan, added: Sequence[Group], seen: View, parameters: dict[str, nn.Parameter]
) -> None:
    """Check and make all, then change what is there."""
    check_groups(whole)
    require(whole, seen.network, "torch", catalog())
    check_sharded(whole, parameters)
    optimizer = compiled.optimizer
    several = isinstance(optimizer, MultiOptimizer)
    other = [group for group in added if group.optimizer != compiled.plan.groups[0].optimizer]
    if other and not several:
        kind = type(optimizer).__name__
        what = f"the optimizer is a `{kind}` alone, and `{other[0].parameters[0]}` takes `{other[0].optimizer}`"
        cure = "bind a plan of the whole network, and `load_state_dict(compiled.state_dict(), strict=False)` there"
        raise fault(what, cure)
    natives = [native_group(whole, group, parameters, several=several) for group in added]
    fresh: dict[Any, Any] = {}
    for group, native in zip(added, natives, strict=True):
        # Made of this group alone it checks it, and makes the state that some make at once.
        alone = optimizer_class(group.optimizer)([dict(native)], **arguments(group.optimizer, [native]))
        fresh.update(alone.state)
    count = len(optimizer.param_groups)
    try:
        for native in natives:
            optimizer.add_param_group(native)
    except BaseException:
        del optimizer.param_groups[count:]
        raise
    if not several:
        optimizer.state.update(fresh)
    switch_gradients(whole, parameters, seen.wrappers)
    scheduler = compiled.scheduler
    if scheduler is not None:
        scheduler.extend(whole.groups)
    elif any(group.curves for group in added):
        t = compiled.updates
        scheduler = PlanScheduler(optimizer, whole.groups, whole.horizon.last)
        scheduler.go_to(t, None)
    compiled.grow(whole, parameters, scheduler)
