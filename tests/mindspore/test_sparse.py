"""Embeddings whose gradients are sparse, beside layers whose gradients are dense.

A sparse gradient lives within one compiled step, and while MindSpore compiles that step, much of what is usual in it
does not hold: each optimizer is tried there, beside `sparse_adam`, against PyTorch with the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

import optplan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

pytestmark = pytest.mark.mindspore

WORDS, WIDTH, INNER, CLASSES, UPDATES = 10, 4, 6, 3, 5
INPUTS = np.array([[1, 2, 2], [5, 1, 7]])
LABELS = np.array([0, 2])

SETTINGS = {
    "adam": "{type: adam, weight_decay: 0.1}",
    "adam, amsgrad": "{type: adam, amsgrad: true, maximize: true}",
    "adam, step by step": "{type: adam, betas: [0, 0.9]}",
    "adamw": "{type: adamw, weight_decay: 0.1}",
    "adamw, amsgrad": "{type: adamw, weight_decay: 0.1, amsgrad: true}",
    "adamax": "{type: adamax, weight_decay: 0.1}",
    "nadam": "{type: nadam, weight_decay: 0.1, decoupled_weight_decay: true}",
    "radam": "{type: radam, weight_decay: 0.1}",
    "adagrad": "{type: adagrad, lr_decay: 0.1, weight_decay: 0.1}",
    "adadelta": "{type: adadelta, lr: 1, weight_decay: 0.1}",
    "adadelta, maximize": "{type: adadelta, lr: 1, maximize: true}",
    "rmsprop": "{type: rmsprop}",
    "rmsprop, all of it": "{type: rmsprop, momentum: 0.9, centered: true, weight_decay: 0.1}",
    "rprop": "{type: rprop}",
    "sgd": "{type: sgd, momentum: 0.9, weight_decay: 0.1}",
    "sgd, dampening": "{type: sgd, momentum: 0.9, dampening: 0.5, maximize: true}",
    "asgd": "{type: asgd, t0: 2, weight_decay: 0.1}",
    "adafactor": "{type: adafactor, weight_decay: 0.1}",
    "muon": "{type: muon}",
    "muon without nesterov": "{type: muon, nesterov: false}",
}
# Two groups of matrices, so that one member decays and one does not, and biases by a third optimizer
TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 0.01, weight_decay: 0.01}
optimizers:
  rows: {type: sparse_adam, lr: 0.01}
  own: %s
schedule: {lr: "warmup(3, from=0.1) -> cosine()"}
horizon: {steps: 10}
rules:
  - {where: embedding, use: rows}
  - {where: linear and not bias, use: own}
  - {where: head and not bias, lr: 0.5x}
"""


class Words(nn.Cell):
    """The mean of some rows of a table, and layers over it, of which two have one shape but for a turn."""

    def __init__(self, *, sparse: bool = True) -> None:
        super().__init__()
        self.table = nn.EmbeddingLookup(WORDS, WIDTH) if sparse else nn.Embedding(WORDS, WIDTH)
        self.up = nn.Dense(WIDTH, INNER)
        self.down = nn.Dense(INNER, WIDTH, has_bias=False)
        self.head = nn.Dense(WIDTH, CLASSES)

    def construct(self, words: Tensor) -> Tensor:
        """Logits (n, CLASSES) for words (n, any)."""
        return self.head(ops.tanh(self.down(ops.tanh(self.up(self.table(words).mean(1))))))


class WordsInTorch(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(WORDS, WIDTH, sparse=True)
        self.up = torch.nn.Linear(WIDTH, INNER)
        self.down = torch.nn.Linear(INNER, WIDTH, bias=False)
        self.head = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """As there."""
        found: torch.Tensor = self.head(torch.tanh(self.down(torch.tanh(self.up(self.table(words).mean(1))))))
        return found


def named(cell: Words) -> dict[str, Any]:
    return {each.name.replace("embedding_table", "weight"): each for each in cell.get_parameters()}


def beginning() -> dict[str, NDArray[np.float32]]:
    """The weights that training starts from."""
    generator = np.random.default_rng(3)
    shapes = {name: parameter.shape for name, parameter in WordsInTorch().named_parameters()}
    return {name: generator.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def filled(cell: Words) -> Words:
    parameters = named(cell)
    for name, values in beginning().items():
        parameters[name].set_data(Tensor(values))
    return cell


def by_torch(config: Any) -> Mapping[str, NDArray[np.float32]]:
    """The weights after `UPDATES` in PyTorch, with exact gradients."""
    model = WordsInTorch()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(beginning()[name]))
    compiled = optplan.compile(config, model)
    for _ in range(UPDATES):
        compiled.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(INPUTS)), torch.from_numpy(LABELS)).backward()  # type: ignore[no-untyped-call]  # torch's own
        compiled.optimizer.step()
        assert compiled.scheduler is not None
        compiled.scheduler.step()
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
