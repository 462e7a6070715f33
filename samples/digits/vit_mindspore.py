"""The small vision transformer of `vit_torch.py`, in MindSpore: the same computation under the same names.

Images `(batch, 1, 8, 8)` go in, logits `(batch, 10)` come out.  Where MindSpore's own names differ (`norm1.gamma` for
`norm1.weight`), `digits.optim.yaml` matches either.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Normal, initializer

EPSILON = 1e-5  # PyTorch's default; MindSpore's own is 1e-7


class Embeddings(nn.Cell):
    """Patches as vectors, each with what the network learns about its place."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, kernel_size=patch, stride=patch, pad_mode="valid", has_bias=True)
        self.position = Parameter(initializer(Normal(1.0), ((size // patch) ** 2, width), ms.float32))
        self.width = width

    def construct(self, images: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for `(batch, 1, size, size)`."""
        patches = self.patch(images)
        return patches.reshape((patches.shape[0], self.width, -1)).transpose((0, 2, 1)) + self.position


class Attention(nn.Cell):
    """Self-attention with several heads; query, key and value are layers of their own, each one matrix to Muon."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Dense(width, width)
        self.key = nn.Dense(width, width)
        self.value = nn.Dense(width, width)
        self.out = nn.Dense(width, width)

    def apart(self, tokens: Tensor) -> Tensor:
        """Give `(batch, heads, tokens, width / heads)` for `(batch, tokens, width)`."""
        batch, count, width = tokens.shape
        return tokens.reshape((batch, count, self.heads, width // self.heads)).transpose((0, 2, 1, 3))

    def construct(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        query, key = self.apart(self.query(tokens)), self.apart(self.key(tokens))
        value = self.apart(self.value(tokens))
        shares = ops.softmax(ops.matmul(query * self.scale, key.transpose((0, 1, 3, 2))), axis=-1)
        mixed = ops.matmul(shares, value).transpose((0, 2, 1, 3))
        return self.out(mixed.reshape(tokens.shape))


class Mlp(nn.Cell):
    """Two linear layers around a GELU, for each token by itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Dense(width, hidden)
        self.gelu = nn.GELU(approximate=False)
        self.fc2 = nn.Dense(hidden, width)

    def construct(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        return self.fc2(self.gelu(self.fc1(tokens)))


class Block(nn.Cell):
    """Attention, then the MLP, each added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm((width,), epsilon=EPSILON)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm((width,), epsilon=EPSILON)
        self.mlp = Mlp(width, 2 * width)

    def construct(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Encoder(nn.Cell):
    """The blocks, one after the other."""

    def __init__(self, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.CellList([Block(width, heads) for _ in range(depth)])

    def construct(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class VisionTransformer(nn.Cell):
    """Embeddings, the encoder, a last norm and a linear head."""

    def __init__(self, depth: int = 3, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.embeddings = Embeddings(size=8, patch=2, width=width)
        self.encoder = Encoder(depth, width, heads)
        self.norm = nn.LayerNorm((width,), epsilon=EPSILON)
        self.head = nn.Dense(width, 10)

    def construct(self, images: Tensor) -> Tensor:
        """Give logits `(batch, 10)` for `(batch, 1, 8, 8)`."""
        tokens = self.encoder(self.embeddings(images))
        return self.head(self.norm(tokens).mean(axis=1))
