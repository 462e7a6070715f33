"""What the programs share: handwritten digits, a small network to read them, and how a program is called."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = Path(__file__).with_name("digits.optim.yaml")
BATCH = 32
EPOCHS = 8


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (n, 64) and their labels (n,), to learn from and to be tested on."""

    train: TensorDataset
    test: TensorDataset

    def loader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Whole batches of images (32, 64) and labels (32,): 44, in the same order in each epoch."""
        return DataLoader(self.train, BATCH, drop_last=True)

    def accuracy(self, network: nn.Module) -> float:
        """The share of held-out digits that `network` reads right, in percent."""
        images, labels = self.test.tensors
        with torch.no_grad():
            right: Tensor = network(images).argmax(dim=1) == labels
        return 100 * right.double().mean().item()


def load() -> Digits:
    """Return scikit-learn's 1797 digits; a fifth of each class, always the same, is held out."""
    pixels, classes = load_digits(return_X_y=True)
    split = train_test_split(pixels / 8 - 1, classes, test_size=0.2, stratify=classes, random_state=0)
    images, test_images = (torch.tensor(part.astype(np.float32)) for part in split[:2])
    labels, test_labels = (torch.tensor(part) for part in split[2:])
    return Digits(TensorDataset(images, labels), TensorDataset(test_images, test_labels))


class Perceptron(nn.Module):
    """Two hidden layers with norms between 64 pixels and 10 logits; the same weights at every call."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pixels = nn.Linear(64, width)
        self.norm1 = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (batch, 10) for images (batch, 64)."""
        features = torch.relu(self.norm1(self.pixels(images)))
        features = torch.relu(self.norm2(self.hidden(features)))
        logits: Tensor = self.head(features)
        return logits


def begin(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: where checkpoints go, when to stop, whether to go on from there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, help="where checkpoints are written; by default a temporary one")
    parser.add_argument("--stop", type=int, default=EPOCHS, metavar="N", help="stop after N of the epochs")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    read = parser.parse_args(arguments)
    if read.resume and read.folder is None:
        parser.error("--resume needs the --folder that a run with --stop has written to")
    torch.set_num_threads(1)  # a network this small has no work for two
    return read


def report(digits: Digits, network: nn.Module) -> None:
    """Print how well `network` reads, and a hash of its weights: equal for two runs that made the same ones."""
    weights = b"".join(weight.detach().numpy().tobytes() for weight in network.state_dict().values())
    print(f"test accuracy {digits.accuracy(network):.2f} %, weights {hashlib.sha256(weights).hexdigest()[:16]}")
