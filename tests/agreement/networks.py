"""The networks in PyTorch: one of each kind twice over, for ordinary gradients and for mixed ones.

Gradients are put in by hand, so that none of them computes anything.
"""

from __future__ import annotations

from torch import nn

CHANNELS, INNER, OUTER, WORDS, WIDTH = 4, 6, 5, 20, 3
NARROW, BROAD = 24, 32


class Layers(nn.Module):
    """A tensor of four dimensions, a norm's scale and bias, matrices and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, CHANNELS, 3, bias=False)
        self.norm = nn.GroupNorm(2, CHANNELS)
        self.body = nn.Linear(INNER, OUTER)
        self.head = nn.Linear(OUTER, WIDTH, bias=False)


class Matrices(nn.Module):
    """A high, a wide and a square matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(NARROW, BROAD, bias=False)
        self.body = nn.Linear(BROAD, NARROW, bias=False)
        self.head = nn.Linear(BROAD, BROAD, bias=False)


class Tables(nn.Module):
    """Embeddings whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(WORDS, WIDTH, sparse=True)
        self.body = nn.Embedding(WORDS, WIDTH, sparse=True)
        self.head = nn.Embedding(WORDS, WIDTH, sparse=True)


KINDS = {"layers": Layers, "matrices": Matrices, "tables": Tables}


class Twice(nn.Module):
    """The network of this kind, once for ordinary and once for mixed gradients."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.plain = KINDS[kind]()
        self.mixed = KINDS[kind]()
