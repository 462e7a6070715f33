"""One of several processes: `python -m tests.devices.worker RANK WORLD FOLDER ENGINE`.

Trains every case under the engine and saves, by case, the weights and what each update said.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

from tests.devices.cases import CASES, UPDATES, loss_of, overflows, planned, whole_weights
from tests.targets.networks import Pictures, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import optplan
    from optplan.targets.torch.compiled import Compiled


def data_parallel(plan: optplan.Plan) -> tuple[nn.Module, Any]:
    """Wrapped, and bound after that; before where a rule switches gradients."""
    bare = seeded(Pictures)
    if plan.frozen:
        plan.bind(bare)
    model = DistributedDataParallel(bare)
    return model, plan.bind(model)


def fully_sharded(plan: optplan.Plan) -> tuple[nn.Module, Any]:
    """Two units, one in the other."""
    model = seeded(Pictures)
    fully_shard(model.get_submodule("body"))
    fully_shard(model)
    return model, plan.bind(model)


def redundancy(plan: optplan.Plan) -> tuple[nn.Module, Any]:
    """Every process updates its part of the parameters, and sends it to the others."""
    model, compiled = data_parallel(plan)
    made = ZeroRedundancyOptimizer(compiled.param_groups, compiled.optimizer_class, **compiled.defaults)
    compiled.adopt(made)
    return model, compiled


def partly_sharded(plan: optplan.Plan) -> tuple[nn.Module, Any]:
    """The stem and the final norm stay whole in every process, which average their gradients themselves."""
    model = seeded(Pictures)
    whole = [*model.get_submodule("stem").parameters(), *model.get_submodule("final").parameters()]
    fully_shard(model, ignored_params=set(whole))
    for parameter in whole:
        parameter.register_post_accumulate_grad_hook(_average)  # type: ignore[no-untyped-call]  # torch's own
    return model, plan.bind(model)


def _average(parameter: torch.Tensor) -> None:
    assert parameter.grad is not None
    distributed.all_reduce(parameter.grad)
    parameter.grad /= distributed.get_world_size()


def fsdp1(plan: optplan.Plan) -> tuple[nn.Module, Any]:
    """The first generation, with the parameters' own names."""
    model = FullyShardedDataParallel(seeded(Pictures), use_orig_params=True, device_id=torch.device("cpu"))
    return model, plan.bind(model)


ENGINES: dict[str, Callable[[optplan.Plan], tuple[nn.Module, Any]]] = {
    "DDP": data_parallel,
    "fully_shard": fully_sharded,
    "ZeRO": redundancy,
    "partly sharded": partly_sharded,
    "FSDP1": fsdp1,
}


@contextmanager
def waiting(engine: str, model: Any, *, update: bool) -> Iterator[None]:
    """Leave gradients in their process until an update is due, where the engine can; the others send every batch's."""
    if engine == "fully_shard":
        model.set_requires_gradient_sync(update)
    with model.no_sync() if engine == "DDP" and not update else nullcontext():
        yield


def train(engine: str, case: str, rank: int, world: int) -> dict[str, Any]:
    """Weights and results of one case under an engine."""
    plan = planned(case)
    model, compiled = ENGINES[engine](plan)
    results = []
    for batch in range(UPDATES * plan.accumulate):
        with waiting(engine, model, update=(batch + 1) % plan.accumulate == 0):
            loss = loss_of(model, batch, rank, world)
            results.append(compiled.step(loss * torch.inf if overflows(plan, batch, rank, world) else loss))
    due = [each for each in results if each.updated or each.skipped]
    return {
        "weights": _weights(model),
        "norms": [each.grad_norm.item() for each in due if each.grad_norm is not None],
        "scales": [each.scale for each in due],
        "updated": [each.updated for each in due],
        "plan": _plan(plan, compiled),
    }


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model):
            return {name: p.detach().clone() for name, p in model.module.named_parameters()}
    return whole_weights(model)


def _plan(plan: optplan.Plan, compiled: Compiled) -> list[Any]:
    """What must be the same in every process: the plan, and the groups by name, order, and the names in them."""
    names = {id(p): name for name, p in compiled._parameters.items()}  # noqa: SLF001 - no public way from a parameter to its name
    groups = [(group["name"], [names[id(p)] for p in group["params"]]) for group in compiled.optimizer.param_groups]
    return [plan.fingerprint, [[name, *members] for name, members in groups]]


def main() -> None:
    """See the head of the module."""
    rank, world, folder, engine, *cases = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    found = {case: train(engine, case, rank, world) for case in cases or CASES}
    torch.save(found, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
