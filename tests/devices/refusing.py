"""One of several processes that try what is refused: `python -m tests.devices.refusing RANK WORLD FOLDER`.

Saves what each attempt came to: the faults as code, message and cure, or what it gave.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy, fully_shard
from torch.nn.parallel import DistributedDataParallel

import optplan
from tests.devices.cases import ADAMW, CASES
from tests.targets.networks import Pictures, document, seeded

if TYPE_CHECKING:
    from collections.abc import Callable


def attempt(what: Callable[[], Any]) -> Any:
    """The faults of a call, or its result."""
    try:
        return what()
    except optplan.ConfigError as error:
        return [(fault.code, fault.message, fault.help) for fault in error.diagnostics]


def fsdp1(*, flat: bool = False, whole: bool = False) -> nn.Module:
    """FSDP of the first generation: with parameters of its own or the network's, cut up or not."""
    strategy = ShardingStrategy.NO_SHARD if whole else ShardingStrategy.FULL_SHARD
    device = torch.device("cpu")
    return FullyShardedDataParallel(
        seeded(Pictures), use_orig_params=not flat, sharding_strategy=strategy, device_id=device
    )


def local_shards() -> nn.Module:
    """What this process has of a network under `fully_shard`, as plain parameters."""
    model, sharded = seeded(Pictures), seeded(Pictures)
    fully_shard(sharded)
    for name, parameter in sharded.named_parameters():
        owner, _, local = name.rpartition(".")
        setattr(model.get_submodule(owner), local, nn.Parameter(_local(parameter)))
    return model


def _local(parameter: Any) -> torch.Tensor:
    local: torch.Tensor = parameter.to_local().detach().clone()
    return local


def partly_sharded() -> nn.Module:
    """With a stem that stays whole in every process."""
    model = seeded(Pictures)
    fully_shard(model, ignored_params=set(model.get_submodule("stem").parameters()))
    return model


def options(**torch_options: bool) -> optplan.Plan:
    """A plan of one group with these options, which stem and rest share."""
    return optplan.plan(document(ADAMW | {"torch": torch_options}), Pictures())


def bound_kind(kind: str, stem: str | None = None, **torch_options: bool) -> Any:
    """How many groups an optimizer has, for all or but for the stem, which is not sharded where it has its own."""
    rest: dict[str, Any] = {}
    model = partly_sharded()
    if stem is None:
        model = seeded(Pictures)
        fully_shard(model)
    else:
        rest = {"optimizers": {"of_stem": {"type": stem}}, "rules": [{"where": "stem", "use": "of_stem"}]}
    plan = optplan.plan(document({"type": kind, "torch": torch_options}, **rest), Pictures())
    return len(plan.bind(model).optimizer.param_groups)


def bound_options(**torch_options: bool) -> Any:
    """What a group that mixes plain tensors and DTensors has."""
    (group,) = options(**torch_options).bind(partly_sharded()).optimizer.param_groups
    return {key: group[key] for key in ("foreach", "fused")}


def apart() -> Any:
    """The cure for a group that mixes: two groups by a rule."""
    rules = [{"where": "stem", "torch": {"foreach": False}}]
    plan = optplan.plan(document(ADAMW | {"torch": {"foreach": True}}, rules=rules), Pictures())
    return [group["foreach"] for group in plan.bind(partly_sharded()).optimizer.param_groups]


def switched(*, freeze: bool, before: bool) -> Any:
    """Gradients that a rule switches, bound to DDP; `before` wrapping too, as the cure says."""
    model = seeded(Pictures)
    model.get_submodule("stem").requires_grad_(freeze)
    plan = optplan.plan(document(ADAMW, rules=[{"where": "stem", "freeze": freeze}]), model)
    if before:
        plan.bind(model)
    return len(plan.bind(DistributedDataParallel(model)).parameters)


def main() -> None:
    """See the head of the module."""
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    plan = optplan.plan(CASES["adamw"], Pictures(), steps=15)
    clipped, muon, scaled = (
        optplan.plan(document(ADAMW, **rest), Pictures())
        for rest in (
            {"clip": "norm(1.0)"},
            {
                "optimizers": {"matrices": {"type": "muon"}},
                "rules": [{"where": "body.weight", "use": "matrices"}],
            },
            {"loss_scale": "fixed(128)"},
        )
    )
    attempts: dict[str, Callable[[], Any]] = {
        "plan from FSDP1, flat": lambda: optplan.plan(CASES["adamw"], fsdp1(flat=True)),
        "plan from FSDP1": lambda: optplan.plan(CASES["adamw"], fsdp1()),
        "compile with FSDP1": lambda: optplan.compile(CASES["adamw"], fsdp1()),
        "plan from FSDP1 that cuts nothing": lambda: (
            optplan.plan(CASES["adamw"], fsdp1(whole=True), steps=15).fingerprint == plan.fingerprint
        ),
        "plan from fully_shard": lambda: (
            optplan.plan(CASES["adamw"], partly_sharded(), steps=15).fingerprint == plan.fingerprint
        ),
        "plan from local shards": lambda: optplan.plan(document(ADAMW), local_shards()).fingerprint,
        "bind to FSDP1, flat": lambda: plan.bind(fsdp1(flat=True)),
        "bind Muon to FSDP1": lambda: muon.bind(fsdp1()),
        "bind a clip to FSDP1": lambda: clipped.bind(fsdp1()),
        "bind a clip to FSDP1 that cuts nothing": lambda: clipped.bind(fsdp1(whole=True)).plan.clip == clipped.clip,
        "bind a loss scale to FSDP1": lambda: scaled.bind(fsdp1()),
        "bind to local shards": lambda: plan.bind(local_shards()),
        "bind freeze to DDP": lambda: switched(freeze=True, before=False),
        "bind freeze before DDP": lambda: switched(freeze=True, before=True),
        "bind thaw to DDP": lambda: switched(freeze=False, before=False),
        "bind thaw before DDP": lambda: switched(freeze=False, before=True),
        **{f"bind {kind} to fully_shard": partial(bound_kind, kind) for kind in ("rprop", "adafactor", "lbfgs")},
        **{f"bind fused {kind} to fully_shard": partial(bound_kind, kind, fused=True) for kind in ("sgd", "adamw")},
        "bind rprop to what stays whole": lambda: bound_kind("adamw", stem="rprop"),
        "mixed": bound_options,
        "mixed, foreach": lambda: bound_options(foreach=True),
        "mixed, fused": lambda: bound_options(fused=True),
        "mixed, foreach, apart": apart,
    }
    found = {name: attempt(what) for name, what in attempts.items()}
    torch.save(found, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
