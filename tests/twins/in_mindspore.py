"""The networks in MindSpore; `in_torch.py` has their twins: the same computation under the same names."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops

CLASSES, WORDS, WIDTH, HEADS, LENGTH = 5, 20, 8, 2, 6


class Block(nn.Cell):
    """x + pointwise(act(norm1(depthwise(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, pad_mode="pad", group=channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, has_bias=True)
        self.norm2 = nn.GroupNorm(2, channels)

    def construct(self, x: Tensor) -> Tensor:
        """Pictures (n, channels, height, width) to the same."""
        y = self.pointwise(self.act(self.norm1(self.depthwise(x))))
        return x + ops.relu(self.norm2(y))


class Residual(nn.Cell):
    """Convolutions of every kind, norms over batches and groups: pictures (n, 3, 8, 8) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1, pad_mode="pad", has_bias=True)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.blocks = nn.SequentialCell([Block(WIDTH) for _ in range(3)])
        self.up = nn.Conv2dTranspose(WIDTH, 4, 2, stride=2, has_bias=True)
        self.spread = nn.Conv2dTranspose(4, 4, 2, stride=2, group=4)
        self.head = nn.Dense(4, CLASSES)

    def construct(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.blocks(ops.relu(self.norm(self.stem(x))))
        return self.head(self.spread(self.up(x)).mean((2, 3)))


class Attention(nn.Cell):
    """Attention of layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Dense(WIDTH, WIDTH)
        self.key = nn.Dense(WIDTH, WIDTH, has_bias=False)
        self.value = nn.Dense(WIDTH, WIDTH)
        self.out = nn.Dense(WIDTH, WIDTH)

    def construct(self, x: Tensor) -> Tensor:
        """Sequences (n, length, width) to the same."""
        n, length, width = x.shape
        query = self.query(x).reshape(n, length, HEADS, width // HEADS).swapaxes(1, 2)
        key = self.key(x).reshape(n, length, HEADS, width // HEADS).swapaxes(1, 2)
        value = self.value(x).reshape(n, length, HEADS, width // HEADS).swapaxes(1, 2)
        weights = ops.softmax(ops.matmul(query, key.swapaxes(2, 3)) / (width // HEADS) ** 0.5, -1)
        return self.out(ops.matmul(weights, value).swapaxes(1, 2).reshape(n, length, width))


class Layer(nn.Cell):
    """Attention and two matrices, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm((WIDTH,), epsilon=1e-5)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm((WIDTH,), epsilon=1e-5)
        self.up = nn.Dense(WIDTH, 2 * WIDTH)
        self.down = nn.Dense(2 * WIDTH, WIDTH)

    def construct(self, x: Tensor) -> Tensor:
        """Sequences (n, length, width) to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.down(ops.relu(self.up(self.norm2(x))))


class Transformer(nn.Cell):
    """A tied table, a position that belongs to no layer, a frozen factor: words (n, length) to logits (.., words)."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Parameter(ops.zeros((1, LENGTH, WIDTH), ms.float32))
        self.temperature = Parameter(ops.ones((1,), ms.float32), requires_grad=False)
        self.table = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.CellList([Layer() for _ in range(3)])
        self.gather = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm = nn.LayerNorm((WIDTH,), epsilon=1e-5)
        self.head = nn.Dense(WIDTH, WORDS, has_bias=False)
        self.head.weight = self.table.embedding_table

    def construct(self, words: Tensor) -> Tensor:
        """The logits."""
        x = self.table(words) + self.position
        for layer in self.layers:
            x = layer(x)
        y, _ = self.gather(x, x, x)
        return self.head(self.norm(y)) * self.temperature


class Recurrent(nn.Cell):
    """Recurrence of two kinds, over a convolution: words (n, length) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, WIDTH)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, pad_mode="pad", has_bias=True)
        self.slide = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, pad_mode="pad", group=WIDTH)
        self.encoder = nn.LSTM(WIDTH, WIDTH, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = nn.GRU(2 * WIDTH, WIDTH, num_layers=2, batch_first=True)
        self.last = nn.GRUCell(WIDTH, WIDTH)
        self.head = nn.Dense(WIDTH, CLASSES)

    def construct(self, words: Tensor) -> Tensor:
        """The logits."""
        x = self.slide(self.mix(self.table(words).swapaxes(1, 2))).swapaxes(1, 2)
        x, _ = self.encoder(x)
        x, _ = self.decoder(x)
        return self.head(self.last(x[:, -1], x[:, 0]))


class RMSNorm(nn.Cell):
    """A norm of one's own, known by its name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = Parameter(ops.ones((width,), ms.float32))

    def construct(self, x: Tensor) -> Tensor:
        """Rows divided by their root mean square."""
        return self.gamma * x * ops.rsqrt((x * x).mean(-1, keep_dims=True) + 1e-6)


class Bags(nn.Cell):
    """Two tables and a small network over their sum: words (n, length) to logits (n, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.norm = RMSNorm(WIDTH)
        self.mlp = nn.SequentialCell(
            mint.nn.Linear(WIDTH, 2 * WIDTH), mint.nn.GroupNorm(4, 2 * WIDTH), nn.PReLU(), nn.Dense(2 * WIDTH, WIDTH)
        )
        self.head = nn.Dense(WIDTH, CLASSES, has_bias=False)

    def construct(self, words: Tensor) -> Tensor:
        """The logits."""
        bag = self.words(words) + self.places(ops.arange(LENGTH))
        return self.head(self.mlp(self.norm(bag.mean(1))))


NETWORKS: dict[str, type[nn.Cell]] = {
    "residual": Residual,
    "transformer": Transformer,
    "recurrent": Recurrent,
    "embedding": Bags,
}
