"""A small residual network for 8x8 images, in PyTorch.

Images `(batch, 1, 8, 8)` go in, logits `(batch, 10)` come out.  The picture is small enough to keep its size up to the
mean before the head, so that no block needs a shortcut with weights of its own.  SiLU has no kink: behind a batch norm,
at the kink of a ReLU, the last bit of a float32 would grow into another loss within some twenty updates.

The names are the usual ones, for names are what `digits.optim.yaml` speaks of:

    stem.conv             stem.bn
    layers.{i}.conv1      layers.{i}.bn1
    layers.{i}.conv2      layers.{i}.bn2
    head
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return a convolution that keeps the picture's size; no bias, as the norm behind it has one."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)


class Stem(nn.Module):
    """From pixels to channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv3x3(1, width)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> Tensor:
        """Give `(batch, width, 8, 8)` for `(batch, 1, 8, 8)`."""
        return functional.silu(self.bn(self.conv(images)))


class Block(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Give `(batch, width, 8, 8)` for the same."""
        inner = functional.silu(self.bn1(self.conv1(features)))
        return functional.silu(features + self.bn2(self.conv2(inner)))


class ResidualNetwork(nn.Module):
    """A stem, the blocks, the mean over the picture and a linear head."""

    def __init__(self, depth: int = 2, width: int = 32) -> None:
        super().__init__()
        self.stem = Stem(width)
        self.layers = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits `(batch, 10)` for `(batch, 1, 8, 8)`."""
        features: Tensor = self.layers(self.stem(images))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits
