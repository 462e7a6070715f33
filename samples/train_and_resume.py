"""Train by a file, stop half-way and go on with new objects: the weights are those of a run without the stop.

    python samples/train_and_resume.py

`compiled.save` writes what the optimizer, the schedule and the scaler have come to; the network's weights are saved as
always.  State is kept by the parameters' names: the file may be edited in between, into other groups too.  Then its
settings hold, and what differs from the run that was saved is told.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torch.nn import functional

import optplan

FILE = Path(__file__).with_name("no_decay.optim.yaml")
STEPS = 200


def build() -> nn.Module:
    """Return a network from `(batch, 8)` to `(batch, 1)`, the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 1))


def compile_for(model: nn.Module, *edits: str) -> optplan.Compiled:
    """Return what trains `model`, with a learning rate for so short a run; `edits` change single values of the file."""
    return optplan.compile(FILE, model, steps=STEPS, overrides=["optimizer.lr=1e-2", *edits])


def train(model: nn.Module, compiled: optplan.Compiled, updates: range) -> None:
    """Train `model` in place to add up its inputs, each update with a batch of its own."""
    for t in updates:
        inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(t))
        compiled.step(functional.mse_loss(model(inputs), inputs.sum(dim=1, keepdim=True)))


def train_half(folder: Path) -> None:
    """Do the first half of the updates and leave the weights and what training has come to in `folder`."""
    model = build()
    compiled = compile_for(model)
    train(model, compiled, range(STEPS // 2))
    torch.save(model.state_dict(), folder / "weights.pt")
    compiled.save(folder / "state.safetensors")


def resume(folder: Path, *edits: str) -> nn.Module:
    """Do the second half from what is in `folder`; with `edits`, by the edited file."""
    model = build()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    compiled = compile_for(model, *edits)
    print(compiled.restore(folder / "state.safetensors"))
    updates = compiled.state_dict()["updates"]
    print(f"resumed at update {updates}, lr {compiled.lr_of('0.weight'):.6f}")
    train(model, compiled, range(updates, STEPS))
    return model


def main() -> None:
    """Train once without a stop, once with one, and once with a stop and an edited file after it."""
    torch.set_num_threads(1)  # a network this small has no work for two
    whole = build()
    train(whole, compile_for(whole), range(STEPS))
    with TemporaryDirectory() as name:
        folder = Path(name)
        train_half(folder)
        resumed = resume(folder)
        same = all(map(torch.equal, whole.parameters(), resumed.parameters()))
        print("the same weights as without the stop" if same else "other weights than without the stop")
        resume(folder, "optimizer.weight_decay=0.1", "rules.0.where=norm")


if __name__ == "__main__":
    main()
