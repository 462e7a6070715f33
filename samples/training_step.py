"""Train in half precision by a file that says all of a training step, once by `compiled.step`, once by its pieces.

    python samples/training_step.py

Both make the same weights.  The pieces are PyTorch's own: the scaler is a `torch.amp.GradScaler`, the optimizer a class
of `torch.optim`, the scheduler an `LRScheduler`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import optplan

FILE = Path(__file__).with_name("whole_step.optim.yaml")
UPDATES = 150


def build() -> nn.Module:
    """Return a network from `(batch, 8)` to `(batch, 1)`, the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 1))


def loss_of(model: nn.Module, batch: int) -> Tensor:
    """Return how far `model` is from adding up its inputs, computed in float16 where that is enough."""
    inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(batch))
    with torch.autocast("cpu", torch.float16):
        outputs = model(inputs)
    return functional.mse_loss(outputs.float(), inputs.sum(dim=1, keepdim=True))


def train_by_step(model: nn.Module) -> None:
    """Give each batch's loss to `compiled.step`, and print what it says."""
    compiled = optplan.compile(FILE, model, steps=UPDATES)
    dropped = 0
    for batch in range(UPDATES * compiled.plan.accumulate):
        result = compiled.step(loss_of(model, batch))
        dropped += result.skipped
        # There is a norm where the gradients of four batches were enough for an update
        if result.grad_norm is not None and compiled.scheduler.last_epoch % 50 == 1:
            loss, norm = result.loss.item(), result.grad_norm.item()
            print(f"batch {batch + 1}: loss {loss:.4f}, norm of the gradients {norm:.2f}, loss scale {result.scale:g}")
    print(f"updates: {compiled.scheduler.last_epoch}, dropped: {dropped}")


def train_by_pieces(model: nn.Module) -> None:
    """Do the same in a loop of one's own, as in PyTorch's documentation of `GradScaler`."""
    compiled = optplan.compile(FILE, model, steps=UPDATES)
    (optimizer, scheduler), scaler, accumulate = compiled, compiled.scaler, compiled.plan.accumulate
    for batch in range(UPDATES * accumulate):
        loss = loss_of(model, batch) / accumulate
        scaler.scale(loss).backward()
        if (batch + 1) % accumulate:
            continue
        compiled.clip_gradients()  # unscales them first
        scaler.step(optimizer)
        scaler.update()
        if not scaler.skipped:
            scheduler.step()
        optimizer.zero_grad()


def main() -> None:
    """Train two copies of one network, and compare them."""
    torch.set_num_threads(1)  # a network this small has no work for two
    whole, pieces = build(), build()
    train_by_step(whole)
    train_by_pieces(pieces)
    same = all(map(torch.equal, whole.parameters(), pieces.parameters()))
    print("the same weights by the pieces" if same else "other weights by the pieces")


if __name__ == "__main__":
    main()
