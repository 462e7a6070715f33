"""Scikit-learn's handwritten digits as arrays, and the batches in which they are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Images = NDArray[np.float32]
    Labels = NDArray[np.int64]

BATCH = 128


@dataclass(frozen=True, slots=True)
class Digits:
    """Images `(n, 1, 8, 8)` and their labels `(n,)`, to learn from and to be tested on."""

    images: Images
    labels: Labels
    test_images: Images
    test_labels: Labels

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches there are to learn from."""
        return len(self.labels) // BATCH

    def batches(self, epochs: int, seed: int) -> Iterator[tuple[Images, Labels]]:
        """Give the batches of `epochs` passes, each in an order of its own that `seed` decides."""
        generator = np.random.default_rng(seed)
        for _ in range(epochs):
            order = generator.permutation(len(self.labels))[: self.steps_per_epoch * BATCH]
            for batch in order.reshape(-1, BATCH):
                yield self.images[batch], self.labels[batch]


def load() -> Digits:
    """Return the 1797 digits; a fifth of each class, always the same, is held out."""
    pixels, classes = load_digits(return_X_y=True)
    split = train_test_split(pixels, classes, test_size=0.2, stratify=classes, random_state=0)
    images, test_images = (part.astype(np.float32).reshape(-1, 1, 8, 8) for part in split[:2])
    labels, test_labels = (part.astype(np.int64) for part in split[2:])
    mean, deviation = images.mean(), images.std(ddof=1)
    return Digits((images - mean) / deviation, labels, (test_images - mean) / deviation, test_labels)
