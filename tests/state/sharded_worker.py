"""One of several processes: `python -m tests.state.sharded_worker RANK WORLD FOLDER`.

For each case: restores, sharded, what the test saved from one process, saves that again; trains on; saves in every way
that there is; goes on from its own file in a new network; and saves the weights at the end.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.fsdp import fully_shard

import optplan
from tests.targets.networks import Pictures, document, loss_of, seeded

if TYPE_CHECKING:
    from torch import nn

STEPS, UPDATES = 20, 3

CASES: dict[str, dict[str, Any]] = {
    "adamw": document(
        {"type": "adamw", "lr": 0.01, "amsgrad": True},
        rules=[{"where": "norm or bias", "weight_decay": 0}],
        schedule={"lr": "warmup(5) -> cosine()"},
        loss_scale="dynamic(init=64, every=2)",
    ),
    "several": document(
        {"type": "sgd", "lr": 0.05, "momentum": 0.9},
        optimizers={"head": {"type": "nadam", "lr": 0.01}, "norms": {"type": "adagrad", "lr": 0.1}},
        rules=[{"where": "head", "use": "head"}, {"where": "norm", "use": "norms"}],
        schedule={"lr": "warmup(5) -> cosine()"},
    ),
}


def planned(name: str) -> optplan.Plan:
    return optplan.plan(CASES[name], seeded(Pictures), steps=STEPS)


def train(model: nn.Module, compiled: Any, updates: range) -> None:
    """The same batches in every process: the average of their gradients is that of one."""
    for update in updates:
        compiled.step(loss_of(model, update))


def sharded(name: str, weights: dict[str, torch.Tensor]) -> tuple[nn.Module, Any]:
    model = seeded(Pictures)
    model.load_state_dict(weights)
    fully_shard(model.get_submodule("body"))
    fully_shard(model)
    return model, planned(name).bind(model)


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: getattr(each, "full_tensor")().detach().clone() for name, each in model.named_parameters()}  # noqa: B009 - of a DTensor


def of(name: str, folder: Path) -> dict[str, Any]:
    """What a case comes to."""
    weights = torch.load(folder / f"{name}.weights.pt", weights_only=True)
    model, compiled = sharded(name, weights)
    differences = str(compiled.restore(folder / f"{name}.one.safetensors"))
    compiled.save(folder / f"{name}.again.safetensors")
    train(model, compiled, range(UPDATES, 2 * UPDATES))
    compiled.save(folder / f"{name}.two.safetensors")
    save({"optimizer": get_optimizer_state_dict(model, compiled.optimizer)}, checkpoint_id=str(folder / f"{name}.dcp"))
    full = get_optimizer_state_dict(
        model, compiled.optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    if distributed.get_rank() == 0:
        torch.save(full, folder / f"{name}.full.pt")
    middle = whole(model)
    other, resumed = sharded(name, middle)
    resumed.restore(folder / f"{name}.two.safetensors")
    third, shared = sharded(name, middle)
    shared.load_state_dict(compiled.state_dict())
    for each, by in ((model, compiled), (other, resumed), (third, shared)):
        train(each, by, range(2 * UPDATES, 3 * UPDATES))
    try:
        compiled.save(folder / "nowhere" / "state.safetensors")
        failed = "nothing"
    except OSError as error:
        failed = type(error).__name__
    return {
        "differences": differences,
        "middle": middle,
        "ends": [whole(each) for each in (model, other, third)],
        "failed": failed,
        "scaler": compiled.state_dict()["scaler"],
    }


def main() -> None:
    """See the head of the module."""
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    found = {name: of(name, folder) for name in CASES}
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
