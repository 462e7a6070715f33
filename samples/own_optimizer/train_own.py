"""Train a small network by an optimizer and a policy of one's own, in PyTorch or in MindSpore, by the same file.

    python samples/own_optimizer/train_own.py torch
    python samples/own_optimizer/train_own.py mindspore

Both begin with the same weights and see the same data, so both print the same losses.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import own  # noqa: F401 - it registers what the file names

import optplan

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("own.optim.yaml")
STEPS = 200

_numbers = np.random.default_rng(0)
INPUTS = _numbers.standard_normal((256, 8)).astype(np.float32)
TARGETS = np.sin(INPUTS).sum(axis=1, keepdims=True)
WEIGHTS = {
    name: (_numbers.standard_normal(shape) * 0.3).astype(np.float32)
    for name, shape in {"0.weight": (32, 8), "0.bias": (32,), "2.weight": (1, 32), "2.bias": (1,)}.items()
}


def train_with_torch() -> Iterator[float]:
    """Yield the loss before each update."""
    import torch  # noqa: PLC0415 - only the framework that is asked for
    from torch import nn  # noqa: PLC0415 - as above

    network = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
    network.load_state_dict({name: torch.tensor(value) for name, value in WEIGHTS.items()})
    inputs, targets = torch.tensor(INPUTS), torch.tensor(TARGETS)
    optimizer, scheduler = optplan.compile(FILE, network)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        optimizer.step()
        scheduler.step()
        yield loss.item()


def train_with_mindspore() -> Iterator[float]:
    """Yield the loss before each update."""
    import mindspore as ms  # noqa: PLC0415 - as above
    from mindspore import nn  # noqa: PLC0415 - as above

    network = nn.SequentialCell(nn.Dense(8, 32), nn.Tanh(), nn.Dense(32, 1))
    ms.load_param_into_net(network, {name: ms.Parameter(value, name=name) for name, value in WEIGHTS.items()})
    optimizer, _ = optplan.compile(FILE, network)
    step = nn.TrainOneStepCell(nn.WithLossCell(network, nn.MSELoss()), optimizer)
    step.set_train()
    for _ in range(STEPS):
        yield float(step(ms.Tensor(INPUTS), ms.Tensor(TARGETS)).asnumpy())


def main() -> None:
    """Train with the framework that the command line names, and print some of the losses."""
    parser = argparse.ArgumentParser(description="Train by an optimizer of one's own.")
    parser.add_argument("framework", choices=["torch", "mindspore"])
    train = {"torch": train_with_torch, "mindspore": train_with_mindspore}[parser.parse_args().framework]
    for t, loss in enumerate(train()):
        if t % 20 == 0 or t == STEPS - 1:
            print(f"update {t:3}: loss {loss:.5f}")


if __name__ == "__main__":
    main()
