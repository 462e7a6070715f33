"""One of several processes of MindSpore: `python -m tests.devices.mindspore_worker MODE WORLD FOLDER`.

Under `msrun` data parallel, with WORLD 1 alone; saves the weights of every case, and what each update said.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.communication import get_rank, init

import optplan

UPDATES = 8
BATCH = 16
OVERFLOW = 3
ONE_STEP = "TrainOneStepCell"

ADAMW = {"type": "adamw", "lr": 2e-2, "weight_decay": 0.1}
REST = {"rules": [{"where": "norm or bias", "weight_decay": 0}], "schedule": {"lr": "cosine(to=0.1x)"}}
SEVERAL = {
    "optimizers": {"head": {"type": "sgd", "lr": 0.05, "momentum": 0.9}},
    "rules": [{"where": "head", "use": "head"}],
    "schedule": {"lr": "cosine(to=0.1x)"},
    "clip": "norm(0.5)",
    "loss_scale": "dynamic(init=256, every=3)",
}
CASES: dict[str, dict[str, Any]] = {
    "adamw": {"optplan": 1, "optimizer": ADAMW, **REST},
    "several, clipped and scaled": {"optplan": 1, "optimizer": ADAMW, **SEVERAL},
    "accumulated": {"optplan": 1, "optimizer": ADAMW, "clip": "norm(0.5)", "accumulate": 2, **REST},
}


def numbers(seed: int, *shape: int) -> Tensor:
    """Normal numbers, the same in every process."""
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Small(nn.Cell):
    """Two layers with a norm between, the same in every process."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Dense(6, 12, weight_init=numbers(0, 12, 6) * 0.3, bias_init="zeros")
        self.norm = nn.LayerNorm((12,))
        self.head = nn.Dense(12, 3, weight_init=numbers(1, 3, 12) * 0.3, bias_init="zeros")

    def construct(self, rows: Tensor) -> Tensor:
        """`(n, 6)` to `(n, 3)`."""
        return self.head(ops.relu(self.norm(self.stem(rows))))


def batch_of(number: int) -> tuple[Tensor, Tensor]:
    """Rows and labels of a batch."""
    labels = np.random.default_rng(number).integers(0, 3, BATCH).astype(np.int32)
    return numbers(100 + number, BATCH, 6), Tensor(labels)


def weights(network: nn.Cell) -> dict[str, Any]:
    """The weights as arrays; names as the optimizer has left them."""
    return {f"weights.{number}": p.asnumpy() for number, p in enumerate(network.get_parameters())}


def train(case: str, rank: int, world: int) -> dict[str, Any]:
    """The weights in the end, and the norm and the scale of each update and whether it was made."""
    network = Small()
    compiled = optplan.compile(CASES[case], network, steps=UPDATES)
    step = compiled.train_step(network, nn.CrossEntropyLoss())
    results = []
    for batch in range(UPDATES * compiled.plan.accumulate):
        rows, labels = batch_of(batch)
        if compiled.plan.loss_scale is not None and batch == OVERFLOW:
            # In the last row of all, which only the last process has
            rows = ops.cat((rows[:-1], rows[-1:] * float("inf")))
        part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
        results.append(step(rows[part], labels[part]))
    due = [each for each in results if each.updated or each.skipped]
    found = weights(network)
    found["norms"] = np.array([each.grad_norm.asnumpy() for each in due if each.updated])
    found["scales"] = np.array([each.scale for each in due])
    found["updated"] = np.array([each.updated for each in due])
    return found


def train_by_one_step_cell(rank: int, world: int) -> dict[str, Any]:
    """The weights in the end by MindSpore's own training cell, which sees to the other processes itself."""
    network = Small()
    compiled = optplan.compile(CASES["adamw"], network, steps=UPDATES)
    step = nn.TrainOneStepCell(nn.WithLossCell(network, nn.CrossEntropyLoss()), compiled.optimizer).set_train()
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    for batch in range(UPDATES):
        step(*(each[part] for each in batch_of(batch)))
    return weights(network)


def main() -> None:
    """See the head of the module."""
    mode, world, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    rank = 0
    if world > 1:
        init("mccl")
        rank = get_rank()
        ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True)
    found = {f"{case}/{key}": value for case in CASES for key, value in train(case, rank, world).items()}
    found |= {f"{ONE_STEP}/{key}": value for key, value in train_by_one_step_cell(rank, world).items()}
    np.savez(folder / f"{rank}of{world}.npz", **found)


if __name__ == "__main__":
    main()
