"""Small networks, batches that depend on the update alone, and a plain training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch.optim import Optimizer

# Tensors of a few dozen elements gain nothing from threads, which wait for each other on a busy machine.
torch.set_num_threads(1)
# torch warns until someone says whether sparse gradients are to be checked.
torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]  # torch's own

CLASSES = 3
BATCH = 8


class Pictures(nn.Module):
    """A convolution, norms of two kinds, a matrix and biases: every rank that optimizers tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.body = nn.Linear(64, 12)
        self.final = nn.LayerNorm(12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(n, 1, 6, 6)` to `(n, 3)`."""
        seen = self.norm(self.stem(pictures)).relu().flatten(1)
        logits: Tensor = self.head(self.final(self.body(seen)).relu())
        return logits

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """The inputs and labels of an update."""
        generator = torch.Generator().manual_seed(update)
        pictures = torch.randn(BATCH, 1, 6, 6, generator=generator)
        return pictures, torch.randint(CLASSES, (BATCH,), generator=generator)


class Matrices(nn.Module):
    """Weights of two dimensions only, which Muon asks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 10, bias=False)
        self.body = nn.Linear(10, 8, bias=False)
        self.head = nn.Linear(8, CLASSES, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """`(n, 6)` to `(n, 3)`."""
        logits: Tensor = self.head(self.body(self.stem(rows).relu()).relu())
        return logits

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """The inputs and labels of an update."""
        generator = torch.Generator().manual_seed(update)
        return torch.randn(BATCH, 6, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)


class Tables(nn.Module):
    """Three embeddings with sparse gradients and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(20, CLASSES, sparse=True)
        self.body = nn.Embedding(20, CLASSES, sparse=True)
        self.head = nn.Embedding(20, CLASSES, sparse=True)

    def forward(self, words: Tensor) -> Tensor:
        """`(n, length)` to `(n, 3)`."""
        logits: Tensor = self.stem(words).sum(1) + self.body(words).mean(1) * self.head(words).mean(1)
        return logits

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """The inputs and labels of an update."""
        generator = torch.Generator().manual_seed(update)
        words = torch.randint(20, (BATCH, 5), generator=generator)
        return words, torch.randint(CLASSES, (BATCH,), generator=generator)


class Words(nn.Module):
    """A sparse embedding under dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 6, sparse=True)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        """`(n, length)` to `(n, 3)`."""
        logits: Tensor = self.head(self.norm(self.table(words).mean(1)))
        return logits

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """The inputs and labels of an update."""
        generator = torch.Generator().manual_seed(update)
        words = torch.randint(20, (BATCH, 5), generator=generator)
        return words, torch.randint(CLASSES, (BATCH,), generator=generator)


class Attentive(nn.Module):
    """Every layer of torch whose parameters have names of their own, and containers in containers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, enable_nested_tensor=False)
        self.recurrent = nn.LSTM(4, 3, num_layers=2, bidirectional=True)
        self.parts = nn.ParameterDict({"b": nn.Parameter(torch.zeros(2)), "a": nn.Parameter(torch.zeros(1))})
        self.rest = nn.ModuleList([nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)), nn.PReLU()])
        self.nothing = None
        self.register_parameter("absent", None)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """The network, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def loss_of(model: Any, update: int) -> Tensor:
    """The loss of an update's batch."""
    inputs, labels = model.batch(update)
    return functional.cross_entropy(model(inputs), labels)


def advance(model: nn.Module, optimizers: Iterable[Optimizer], update: int) -> None:
    """One update by every optimizer; L-BFGS gets its closure."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    if any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in optimizers):
        for optimizer in optimizers:
            optimizer.step(lambda: _evaluate(model, optimizer, update))  # noqa: B023 - called at once
        return
    loss_of(model, update).backward()  # type: ignore[no-untyped-call]  # torch's own
    for optimizer in optimizers:
        optimizer.step()


def _evaluate(model: nn.Module, optimizer: Optimizer, update: int) -> float:
    optimizer.zero_grad()
    loss = loss_of(model, update)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    return loss.item()


def train(model: nn.Module, compiled: Any, updates: Iterable[int]) -> None:
    """Updates as a user's loop makes them."""
    optimizer, scheduler = compiled
    for update in updates:
        advance(model, [optimizer], update)
        if scheduler is not None:
            scheduler.step()


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether all parameters have the same bits."""
    mine, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def document(optimizer: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """A document as a mapping."""
    return {"optplan": 1, "optimizer": dict(optimizer), **rest}
