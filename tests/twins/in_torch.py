"""The networks in PyTorch; `in_mindspore.py` has their twins: the same computation under the same names.

Between them they have every kind of layer that a filter can ask for, tied and frozen parameters, and parameters that
belong to no layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES, WORDS, WIDTH, HEADS, LENGTH = 5, 20, 8, 2, 6


class Block(nn.Module):
    """x + pointwise(act(norm1(depthwise(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.GroupNorm(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) to the same."""
        y: Tensor = self.pointwise(self.act(self.norm1(self.depthwise(x))))
        return x + torch.relu(self.norm2(y))


class Residual(nn.Module):
    """Convolutions of every kind, norms over batches and groups: pictures (n, 3, 8, 8) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH) for _ in range(3)))
        self.up = nn.ConvTranspose2d(WIDTH, 4, 2, stride=2)
        self.spread = nn.ConvTranspose2d(4, 4, 2, stride=2, groups=4, bias=False)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        logits: Tensor = self.head(self.spread(self.up(x)).mean((2, 3)))
        return logits


class Attention(nn.Module):
    """Attention of layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (n, length, width) to the same."""
        n, length, width = x.shape
        query, key, value = (
            layer(x).reshape(n, length, HEADS, width // HEADS).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(2, 3) / (width // HEADS) ** 0.5, -1)
        y: Tensor = self.out((weights @ value).transpose(1, 2).reshape(n, length, width))
        return y


class Layer(nn.Module):
    """Attention and two matrices, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (n, length, width) to the same."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.down(torch.relu(self.up(self.norm2(x))))
        return y


class Transformer(nn.Module):
    """A tied table, a position that belongs to no layer, a frozen factor: words (n, length) to logits (.., words)."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, LENGTH, WIDTH))
        self.temperature = nn.Parameter(torch.ones(1), requires_grad=False)
        self.table = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList([Layer() for _ in range(3)])
        self.gather = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, words: Tensor) -> Tensor:
        """The logits."""
        x = self.table(words) + self.position
        for layer in self.layers:
            x = layer(x)
        y, _ = self.gather(x, x, x)
        logits: Tensor = self.head(self.norm(y)) * self.temperature
        return logits


class Recurrent(nn.Module):
    """Recurrence of two kinds, over a convolution: words (n, length) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, WIDTH)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.slide = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
        self.encoder = nn.LSTM(WIDTH, WIDTH, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = nn.GRU(2 * WIDTH, WIDTH, num_layers=2, batch_first=True)
        self.last = nn.GRUCell(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        """The logits."""
        x = self.slide(self.mix(self.table(words).transpose(1, 2))).transpose(1, 2)
        x, _ = self.encoder(x)
        x, _ = self.decoder(x)
        logits: Tensor = self.head(self.last(x[:, -1], x[:, 0]))
        return logits


class RMSNorm(nn.Module):
    """A norm of one's own, known by its name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Rows divided by their root mean square."""
        return self.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)


class Bags(nn.Module):
    """Two tables and a small network over their sum: words (n, length) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.norm = RMSNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GroupNorm(4, 2 * WIDTH), nn.PReLU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.head = nn.Linear(WIDTH, CLASSES, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        """The logits."""
        bag = self.words(words) + self.places(torch.arange(LENGTH))
        logits: Tensor = self.head(self.mlp(self.norm(bag.mean(1))))
        return logits


NETWORKS: dict[str, type[nn.Module]] = {
    "residual": Residual,
    "transformer": Transformer,
    "recurrent": Recurrent,
    "embedding": Bags,
}
