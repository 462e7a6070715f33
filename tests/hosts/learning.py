"""What the tests of hosts share: a small task, documents to train it by, and the same training without a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import optplan

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCHES, SIZE = 7, 4  # an odd number, so that an epoch ends with an update from one batch

# A norm and a bias without decay, Muon beside AdamW, a warm-up: no two updates, and hardly two groups, are alike
DOCUMENT: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "optimizers": {"hidden": {"type": "muon", "lr": 0.02}},
    "rules": [
        {"where": "norm or bias", "weight_decay": 0},
        {"where": ".0 and ndim == 2", "use": "hidden"},
    ],
    "horizon": {"epochs": 4, "steps_per_epoch": 4},
    "schedule": {"lr": "warmup(25%) -> cosine(to=0.01x)"},
    "accumulate": 2,
}
UNSCHEDULED = {key: value for key, value in DOCUMENT.items() if key != "schedule"}
EPOCHS, UPDATES = 4, 16


def network() -> nn.Sequential:
    """A network from (n, 6) to (n, 3), with the same weights at every call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))


def rows() -> TensorDataset:
    """Inputs (28, 6) and their classes (28,), the same at every call."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(BATCHES * SIZE, 6, generator=generator)
    return TensorDataset(inputs, inputs[:, :3].argmax(dim=1))


def loader() -> DataLoader[tuple[Tensor, ...]]:
    """Seven batches of four rows, in the same order in every epoch."""
    return DataLoader(rows(), SIZE)


def train_alone(document: dict[str, Any], *, last: int = 2) -> tuple[list[Tensor], list[float]]:
    """The weights after training by `compiled.step`, without a host, and the first group's rate in each update.

    The loss of the last batch of an epoch, which makes an update alone, is divided by `last`.
    """
    model = network()
    compiled = optplan.compile(document, model)
    rates = []
    for _ in range(EPOCHS):
        for number, (inputs, classes) in enumerate(loader(), start=1):
            rate = next(iter(compiled.lr().values()))
            loss = nn.functional.cross_entropy(model(inputs), classes)
            how: dict[str, Any] = {"accumulate": last, "update": True} if number == BATCHES else {}
            if compiled.step(loss, **how).updated:
                rates.append(rate)
    return weights(model), rates


def weights(model: nn.Module) -> list[Tensor]:
    """Copies of the parameters, in the order of the network."""
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(one: Iterable[Tensor], other: Iterable[Tensor]) -> bool:
    """Whether they are bit-equal, one by one."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
