"""A small network for the reports, as flat names, and documents for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.resolve.network import from_names

if TYPE_CHECKING:
    from optplan import Network

PARAMETERS = [
    ("embed.weight", (100, 8)),
    ("layers.0.attn.weight", (8, 8)),
    ("layers.0.attn.bias", (8,)),
    ("layers.1.attn.weight", (8, 8)),
    ("layers.1.attn.bias", (8,)),
    ("layers.2.attn.weight", (8, 8)),
    ("layers.2.attn.bias", (8,)),
    ("head.weight", (2, 8)),
    ("head.bias", (2,)),
]


def network() -> Network:
    """Embeddings, three layers, a head; 1,034 elements."""
    return from_names([(name, shape, "float32") for name, shape in PARAMETERS], target="torch")


DOCUMENT = """\
optplan: 1
optimizer:
  type: adamw
  lr: 1e-3
  weight_decay: 0.05
  betas: [0.9, 0.95]
optimizers:
  hidden: {type: sgd, lr: 0.1, momentum: 0.9}
rules:
  - where: bias
    weight_decay: 0
  - name: matrices
    where: layers and ndim == 2
    use: hidden
  - name: slow
    where: layers.0
    lr: 0.5x
  - where: embed
    freeze: true
horizon: {steps: 1000}
schedule:
  lr: warmup(10%) -> cosine(to=0.01x)
"""
