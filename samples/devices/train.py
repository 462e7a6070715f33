"""Train by several processes on this machine, each with its part of every batch: by any way the same weights.

python samples/devices/train.py                                             one process
torchrun --nproc-per-node 2 samples/devices/train.py                        DistributedDataParallel
torchrun --nproc-per-node 2 samples/devices/train.py --engine fully_shard   parameters, gradients and state sharded
torchrun --nproc-per-node 2 samples/devices/train.py --engine zero          only the optimizer's state sharded
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import optplan

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("digits.optim.yaml")
BATCH = 64
EPOCHS = 8
HELD_OUT = 357


class Perceptron(nn.Module):
    """Two layers with a norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 48)
        self.norm = nn.LayerNorm(48)
        self.head = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        """`(n, 64)` to `(n, 10)`."""
        logits: Tensor = self.head(self.norm(self.hidden(images)).relu())
        return logits


def spread(model: nn.Module, plan: optplan.Plan, engine: str) -> tuple[nn.Module, Any]:
    """The model over all processes, and the plan of the whole bound to what it has become."""
    if engine == "fully_shard":
        fully_shard(model)
        return model, plan.bind(model)
    if engine == "alone":
        return model, plan.bind(model)
    wrapped = DistributedDataParallel(model)
    compiled: Any = plan.bind(wrapped)
    if engine == "zero":
        made = ZeroRedundancyOptimizer(compiled.param_groups, compiled.optimizer_class, **compiled.defaults)
        compiled.adopt(made)
    return wrapped, compiled


def batches(images: Tensor, labels: Tensor, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The part of each batch that process `rank` has, in an order that is the same in all processes."""
    for epoch in range(EPOCHS):
        order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(labels)))
        for batch in order[: len(order) // BATCH * BATCH].reshape(-1, BATCH):
            part = batch.tensor_split(world)[rank]
            yield images[part], labels[part]


def learn(engine: str, rank: int, world: int) -> None:
    """Train as one of `world` processes; the first prints what was learned."""
    pixels, classes = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels / 8 - 1, dtype=torch.float32), torch.tensor(classes)

    torch.manual_seed(0)
    network = Perceptron()
    steps = EPOCHS * ((len(labels) - HELD_OUT) // BATCH)
    plan = optplan.plan(FILE, network, steps=steps)
    model, compiled = spread(network, plan, engine)
    norms = []
    for inputs, targets in batches(images[HELD_OUT:], labels[HELD_OUT:], rank, world):
        result = compiled.step(cross_entropy(model(inputs), targets))
        norms.append(float(result.grad_norm))
    with torch.no_grad():
        logits = model(images[:HELD_OUT])
    if rank == 0:
        right = (logits.argmax(dim=1) == labels[:HELD_OUT]).double().mean().item()
        print(f"{engine}, {world} processes: {steps} updates, loss scale {result.scale:g}")
        print(f"norm of the first gradient {norms[0]:.4f}, of the last {norms[-1]:.4f}")
        print(f"test loss {cross_entropy(logits, labels[:HELD_OUT]).item():.4f}, accuracy {100 * right:.2f} %")


def main() -> None:
    """Join the other processes, if there are any, and train."""
    parser = argparse.ArgumentParser(description="Train by several processes.")
    parser.add_argument("--engine", choices=["ddp", "fully_shard", "zero"], default="ddp")
    engine = parser.parse_args().engine
    if "WORLD_SIZE" not in os.environ:
        learn("alone", rank=0, world=1)
        return
    distributed.init_process_group("gloo")
    try:
        learn(engine, distributed.get_rank(), distributed.get_world_size())
    finally:
        # The wrapper is gone by now: were it the last to hold the group, it could wait for the group's threads for ever
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
