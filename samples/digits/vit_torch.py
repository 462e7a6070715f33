"""A small vision transformer for 8x8 images, in PyTorch.

Images `(batch, 1, 8, 8)` go in, logits `(batch, 10)` come out.  Sixteen patches of 2x2 pixels are the tokens, blocks
normalise first, and the mean over the tokens takes the place of a class token.

The names are the usual ones, for names are what `digits.optim.yaml` speaks of:

    embeddings.patch           embeddings.position
    encoder.layers.{i}.norm1   encoder.layers.{i}.attention.{query,key,value,out}
    encoder.layers.{i}.norm2   encoder.layers.{i}.mlp.{fc1,fc2}
    norm                       head
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Embeddings(nn.Module):
    """Patches as vectors, each with what the network learns about its place."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, kernel_size=patch, stride=patch)
        # As large as the patches' own vectors: at the usual 0.02 these few images take far longer to tell places apart.
        self.position = nn.Parameter(torch.randn((size // patch) ** 2, width))

    def forward(self, images: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for `(batch, 1, size, size)`."""
        patches: Tensor = self.patch(images)
        return patches.flatten(2).transpose(1, 2) + self.position


class Attention(nn.Module):
    """Self-attention with several heads; query, key and value are layers of their own, each one matrix to Muon."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        query, key, value = (
            project(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result


class Mlp(nn.Module):
    """Two linear layers around a GELU, for each token by itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result


class Block(nn.Module):
    """Attention, then the MLP, each added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 2 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        tokens = tokens + self.attention(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class Encoder(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Give `(batch, tokens, width)` for the same."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class VisionTransformer(nn.Module):
    """Embeddings, the encoder, a last norm and a linear head."""

    def __init__(self, depth: int = 3, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.embeddings = Embeddings(size=8, patch=2, width=width)
        self.encoder = Encoder(depth, width, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits `(batch, 10)` for `(batch, 1, 8, 8)`."""
        tokens = self.encoder(self.embeddings(images))
        logits: Tensor = self.head(self.norm(tokens).mean(dim=1))
        return logits
