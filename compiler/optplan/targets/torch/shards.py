"""What wrapping and sharding mean for a plan that is bound after them.

`fully_shard`                 parameters are `DTensor`s, with the names and shapes of the whole network.  All works but
                              what PyTorch has no operations for, which would fail at the first update: refused.
`DistributedDataParallel`     keeps the parameters, and settles which gradients are averaged when it is made: what a
                              rule with `freeze` switches must be switched by then.
`FullyShardedDataParallel`    with `use_orig_params=True` parameters are pieces in one dimension, some without elements.
                              Optimizers that look at each element by itself work on them.  What looks at more than
                              that sees a piece only: Muon and the like, the norm of a clip, the overflows of a loss
                              scale.  These are refused, and a step tells no norm.
a mixture                     one operation of PyTorch takes no plain tensors beside `DTensor`s, nor those of several
                              meshes: a group that mixes them is updated parameter by parameter.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError, Diagnostic, diagnostic
from optplan.targets.choose import refusal, set_by
from optplan.targets.fit import gradients_by_rule
from optplan.targets.torch.view import DATA_PARALLEL, FULLY_SHARDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from optplan.resolve.network import Network, Shape
    from optplan.resolve.plan import Group, Origin, Plan
    from optplan.targets.torch.view import View

# Of PyTorch's own optimizers those whose update of an element depends on others.
_WHOLE = frozenset({"muon", "adafactor", "lbfgs"})
# Of PyTorch's own optimizers those with operations that `DTensor`s do not have, and those whose fused one they do not.
_NOT_SHARDED = frozenset({"rprop", "adafactor", "lbfgs"})
_FUSED_NOT_SHARDED = frozenset({"sgd", "adagrad"})
_CURE = "shard with `fully_shard`, which keeps the parameters whole"


def whole(plan: Plan, seen: View) -> Network:
    """The network as it was before FSDP1 cut it up, as far as the pieces are those of the plan's parameters.

    ConfigError (OP507) where the plan asks what cannot be done piece by piece.
    """
    if FULLY_SHARDED not in seen.wrappers:
        return seen.network
    collector = Collector()
    for group in plan.groups:
        kind = catalog().optimizers.get(group.optimizer)
        own = kind is None or not kind.lowerings["torch"][0].class_name.startswith("torch.optim.")
        if own or group.optimizer in _WHOLE:
            does = "may look" if own else "looks"
            message = f"`{group.optimizer}` {does} at whole parameters, and of `{group.parameters[0]}` there is a piece"
            collector.add(refusal(plan, message, group.origin, _CURE, code="OP507"))
    wrapper = "`FullyShardedDataParallel`"
    if plan.clip is not None and plan.clip.kind == "norm":
        message = f"`{plan.clip}` needs the norm of all gradients, and under {wrapper} each process has pieces"
        cure = f"{_CURE}, or leave `clip` out and call `model.clip_grad_norm_(...)` before the update"
        collector.add(_placed(plan.clip.origin, message, cure))
    if plan.loss_scale is not None:
        message = f"an overflow in one process must be known in all, and under {wrapper} each looks at its pieces"
        cure = f"{_CURE}, or leave `loss_scale` out and use `ShardedGradScaler`"
        collector.add(_placed(plan.loss_scale.origin, message, cure))
    collector.check()
    planned = dict(zip(plan.names, plan.shapes, strict=True))
    named = zip(seen.network.names, seen.network.shapes, strict=True)
    return replace(seen.network, shapes=tuple(_before(planned.get(name), shape) for name, shape in named))


def _before(planned: Shape | None, shape: Shape) -> Shape:
    """The planned shape where `shape` may be a piece of it."""
    return planned if planned is not None and len(shape) == 1 and shape[0] <= prod(planned) else shape


def _placed(origin: Origin | None, message: str, cure: str) -> Diagnostic:
    if origin is None:
        return Diagnostic("OP507", "error", message, help=cure)
    where = (origin.source, origin.line, origin.column, origin.end_line, origin.end_column)
    return Diagnostic("OP507", "error", message, *where, cure, excerpt=origin.text if origin.line else None)


def switch_gradients(plan: Plan, parameters: Mapping[str, nn.Parameter], wrappers: frozenset[str]) -> None:
    """Switch what rules with `freeze` name; ConfigError (OP508) where a wrapper has settled it already."""
    late = sorted(wrappers & {DATA_PARALLEL, FULLY_SHARDED})
    switched = [(parameters[name], name, on) for name, on in gradients_by_rule(plan).items()]
    for parameter, name, on in switched:
        if late and parameter.requires_grad is not on:
            wrapper = late[0].rpartition(".")[2]
            what = f"`freeze: {str(not on).lower()}` switches the gradient of `{name}`"
            message = f"{what}, and `{wrapper}` has settled when it was made which gradients there are"
            cure = "bind the plan to the bare model, wrap that, and bind again where the parameters are others then"
            raise ConfigError([diagnostic("OP508", message, help=cure)])
    for parameter, _, on in switched:
        parameter.requires_grad_(on)


def check_sharded(plan: Plan, parameters: Mapping[str, nn.Parameter]) -> None:
    """ConfigError where a group has DTensors that its optimizer (OP507) or its `fused` (OP504) cannot update."""
    collector = Collector()
    for group in plan.groups:
        sharded = next((name for name in group.parameters if hasattr(parameters[name], "device_mesh")), None)
        if sharded is None:
            continue
        name = group.optimizer
        if name in _NOT_SHARDED:
            message = f"PyTorch's `{name}` does not update shards, and `{sharded}` is sharded"
            cure = "use `adamw` or another, or keep its parameters whole: `fully_shard(model, ignored_params=...)`"
            collector.add(refusal(plan, message, group.origin, cure, code="OP507"))
        elif name in _FUSED_NOT_SHARDED and group.options_of("torch").get("fused"):
            message = f"`fused` of PyTorch's `{name}` does not update shards, and `{sharded}` is sharded"
            place = set_by(plan, group, "torch.fused".__eq__)
            collector.add(refusal(plan, message, place, "leave `fused` out", code="OP504"))
    collector.check()


def options_of_mixed(plan: Plan, group: Group, parameters: Iterable[nn.Parameter]) -> dict[str, Any]:
    """Options that a group needs which mixes kinds of tensors: `foreach: false`, without which PyTorch may fail.

    ConfigError (OP504) where the file asks for `foreach` or `fused`; nothing where all tensors are of one kind.
    """
    by_mesh: dict[Any, str] = {}
    for name, parameter in zip(group.parameters, parameters, strict=True):
        by_mesh.setdefault(getattr(parameter, "device_mesh", None), name)
    if len(by_mesh) <= 1:
        return {}
    one, other = list(by_mesh.values())[:2]
    options = group.options_of("torch")
    for option in ("foreach", "fused"):
        if options.get(option):
            message = f"`{option}` takes tensors that are sharded alike, and `{one}` and `{other}` are not"
            cure = f"leave `{option}` out, or set `torch: {{{option}: false}}` in a rule for one of the two"
            place = set_by(plan, group, f"torch.{option}".__eq__)
            raise ConfigError([refusal(plan, message, place, cure, code="OP504")])
    return {"foreach": False} if "foreach" in catalog().optimizers[group.optimizer].options("torch") else {}
