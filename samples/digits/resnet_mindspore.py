"""The small residual network of `resnet_torch.py`, in MindSpore: the same computation under the same names.

Images `(batch, 1, 8, 8)` go in, logits `(batch, 10)` come out.  Where MindSpore's own names differ (`stem.bn.gamma` for
`stem.bn.weight`), `digits.optim.yaml` matches either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import nn, ops

if TYPE_CHECKING:
    from mindspore import Tensor


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return a convolution that keeps the picture's size; no bias, as the norm behind it has one."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, pad_mode="pad", has_bias=False)


class Stem(nn.Cell):
    """From pixels to channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv3x3(1, width)
        self.bn = nn.BatchNorm2d(width)

    def construct(self, images: Tensor) -> Tensor:
        """Give `(batch, width, 8, 8)` for `(batch, 1, 8, 8)`."""
        return ops.silu(self.bn(self.conv(images)))


class Block(nn.Cell):
    """Two convolutions, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def construct(self, features: Tensor) -> Tensor:
        """Give `(batch, width, 8, 8)` for the same."""
        inner = ops.silu(self.bn1(self.conv1(features)))
        return ops.silu(features + self.bn2(self.conv2(inner)))


class ResidualNetwork(nn.Cell):
    """A stem, the blocks, the mean over the picture and a linear head."""

    def __init__(self, depth: int = 2, width: int = 32) -> None:
        super().__init__()
        self.stem = Stem(width)
        self.layers = nn.SequentialCell([Block(width) for _ in range(depth)])
        self.head = nn.Dense(width, 10)

    def construct(self, images: Tensor) -> Tensor:
        """Give logits `(batch, 10)` for `(batch, 1, 8, 8)`."""
        features = self.layers(self.stem(images))
        return self.head(features.mean(axis=(2, 3)))
