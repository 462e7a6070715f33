"""What the programs share: handwritten digits, a small network to read them, and how a program is called."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FILE = Path(__file__).with_name("digits.optim.yaml")
FIXED_SCALE = FILE.with_name("fixed_scale.optim.yaml")
WHOLE_STEP = FILE.with_name("whole_step.optim.yaml")
BATCH = 64
EPOCHS = 8


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (n, 64) in float32 and their labels (n,) in int32, to learn from and to be tested on."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int32]

    @property
    def steps(self) -> int:
        """How many batches a program trains with, whole ones, in all epochs: as many updates, one for each."""
        return EPOCHS * (len(self.labels) // BATCH)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches of images (64, 64) and labels (64,), in an order that the number of the epoch settles."""
        order = np.random.default_rng(epoch).permutation(len(self.labels))
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[begin : begin + BATCH]
            yield Tensor(self.images[batch]), Tensor(self.labels[batch])

    def accuracy(self, network: nn.Cell) -> float:
        """The share of held-out digits that `network` reads right, in percent."""
        network.set_train(mode=False)
        read = network(Tensor(self.test_images)).asnumpy().argmax(axis=1)
        return 100 * float(np.mean(read == self.test_labels))


class Perceptron(nn.Cell):
    """Two hidden layers with norms between 64 pixels and 10 logits."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.hidden1 = nn.Dense(64, width)
        self.norm1 = nn.LayerNorm((width,))
        self.hidden2 = nn.Dense(width, width)
        self.norm2 = nn.LayerNorm((width,))
        self.head = nn.Dense(width, 10)

    def construct(self, images: Tensor) -> Tensor:
        """Give logits (batch, 10) for images (batch, 64)."""
        features = ops.relu(self.norm1(self.hidden1(images)))
        features = ops.relu(self.norm2(self.hidden2(features)))
        return self.head(features)


def load() -> Digits:
    """Return scikit-learn's 1797 digits; a fifth of each class, always the same, is held out."""
    pixels, classes = load_digits(return_X_y=True)
    split = train_test_split(pixels / 8 - 1, classes, test_size=0.2, stratify=classes, random_state=0)
    images, test_images = (part.astype(np.float32) for part in split[:2])
    labels, test_labels = (part.astype(np.int32) for part in split[2:])
    return Digits(images, labels, test_images, test_labels)


def begin(description: str, *switches: str) -> argparse.Namespace:
    """Read the command line, with a flag for each of `switches`, and set MindSpore's mode, once for the process."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mode", choices=["pynative", "graph"], default="pynative", help="MindSpore's mode")
    for switch in switches:
        parser.add_argument(switch, action="store_true")
    arguments = parser.parse_args()
    ms.set_context(mode=ms.GRAPH_MODE if arguments.mode == "graph" else ms.PYNATIVE_MODE)
    ms.set_seed(0)
    return arguments
