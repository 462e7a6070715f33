"""Train by a file, stop half-way and go on with new objects: the weights are those of a run without the stop.

    python samples/train_and_resume.py

A checkpoint is what it always is in PyTorch: the state dicts of model, optimizer and scheduler.  The plan goes along as
text, for the state of an optimizer is kept by place: it tells whether an edited file still has the same groups.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

import optplan

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

FILE = Path(__file__).with_name("no_decay.optim.yaml")
STEPS = 200


def build() -> nn.Module:
    """Return a network from `(batch, 8)` to `(batch, 1)`, the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 1))


def make_plan(model: nn.Module, *edits: str) -> optplan.Plan:
    """Return the plan for `model`, with a learning rate for so short a run; `edits` change single values."""
    return optplan.plan(FILE, model, steps=STEPS, overrides=["optimizer.lr=1e-2", *edits])


def train(model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, updates: range) -> None:
    """Train `model` in place to add up its inputs, each update with a batch of its own."""
    for t in updates:
        inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(t))
        optimizer.zero_grad()
        loss = functional.mse_loss(model(inputs), inputs.sum(dim=1, keepdim=True))
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        optimizer.step()
        scheduler.step()


def train_half(path: Path) -> None:
    """Do the first half of the updates and leave a checkpoint at `path`."""
    model = build()
    plan = make_plan(model)
    optimizer, scheduler = plan.bind(model)
    train(model, optimizer, scheduler, range(STEPS // 2))
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save({**states, "plan": plan.to_json()}, path)


def resume(path: Path, *edits: str) -> nn.Module:
    """Do the second half from the checkpoint at `path`; with `edits`, by the edited file's settings."""
    saved = torch.load(path, weights_only=True)
    model = build()
    model.load_state_dict(saved["model"])
    plan = make_plan(model, *edits)
    compiled = plan.bind(model)
    optimizer, scheduler = compiled
    if edits:
        before = optplan.Plan.from_json(saved["plan"])
        if [group.parameters for group in plan.groups] != [group.parameters for group in before.groups]:
            raise SystemExit("the edited file has other groups: the optimizer's state does not fit them")
        # The saved groups would bring the old settings back
        saved["optimizer"]["param_groups"] = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    decay = compiled.settings()["default"]["weight_decay"]
    print(f"resumed at update {scheduler.last_epoch}: lr {compiled.lr()['default']:.6f}, weight decay {decay}")
    train(model, optimizer, scheduler, range(STEPS // 2, STEPS))
    return model


def main() -> None:
    """Train once without a stop, once with one, and once with a stop and another weight decay after it."""
    torch.set_num_threads(1)  # a network this small has no work for two
    whole = build()
    optimizer, scheduler = make_plan(whole).bind(whole)
    train(whole, optimizer, scheduler, range(STEPS))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "half.pt"
        train_half(path)
        resumed = resume(path)
        same = all(map(torch.equal, whole.parameters(), resumed.parameters()))
        print("the same weights as without the stop" if same else "other weights than without the stop")
        resume(path, "optimizer.weight_decay=0.1")


if __name__ == "__main__":
    main()
