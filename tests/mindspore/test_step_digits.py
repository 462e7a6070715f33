"""Digits, read in both frameworks by one file, with batches that overflow: the loss scale goes the same way in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types

import optplan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.mindspore

TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 5e-3, weight_decay: 0.05}
optimizers: {outer: {type: sgd, lr: 0.05, momentum: 0.9}}
rules: [{where: head, use: outer}, {where: bias, weight_decay: 0}]
horizon: {steps: %d}
schedule: {lr: warmup(10%%) -> cosine(to=0.1x)}
clip: norm(1.0)
loss_scale: dynamic(init=1024, every=%d)
"""
PIXELS, INNER, CLASSES, BATCH = 64, 32, 10, 64


class Reader(nn.Cell):
    """Two layers between pixels and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Dense(PIXELS, INNER)
        self.head = nn.Dense(INNER, CLASSES)

    def construct(self, images: Tensor) -> Tensor:
        """Logits (n, CLASSES) for images (n, PIXELS)."""
        return self.head(ops.relu(self.body(images)))


class ReaderInTorch(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(PIXELS, INNER)
        self.head = torch.nn.Linear(INNER, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As there."""
        found: torch.Tensor = self.head(torch.relu(self.body(images)))
        return found


def pair() -> tuple[Reader, ReaderInTorch]:
    """Both, with the same weights."""
    torch.manual_seed(0)
    model, cell = ReaderInTorch(), Reader()
    values = {name: parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}
    for parameter in cell.get_parameters():
        parameter.set_data(Tensor(values[parameter.name]))
    return cell, model


def batches(count: int, bad: frozenset[int]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    """Batches of digits in an order that is always the same; one in `bad` has an infinity in one of its images."""
    pixels, classes = load_digits(return_X_y=True)
    generator = np.random.default_rng(1)
    for number in range(count):
        chosen = generator.integers(0, len(classes), BATCH)
        images = (pixels[chosen] / 8 - 1).astype(np.float32)
        if number in bad:
            images[number % BATCH, 5] = np.inf
        yield images, classes[chosen].astype(np.int32)


def rule(count: int, every: int, bad: frozenset[int]) -> list[float]:
    """The scale of each batch by the rule that torch's documentation states."""
    scale, row, found = 1024.0, 0, []
    for number in range(count):
        found.append(scale)
        row = 0 if number in bad else row + 1
        if number in bad:
            scale *= 0.5
        elif row == every:
            scale, row = 2 * scale, 0
    return found


@pytest.mark.parametrize(
    ("every", "count", "bad"),
    [
        (7, 130, {0, 1, 12, 19, 33, 34, 35, 70, 71, 100}),
        (20, 150, {5, 26, 46, 67, 90, 91, 140}),
        pytest.param(2000, 4100, {0, 3, 2004, 2005, 4010}, marks=pytest.mark.long),
    ],
    ids=["7", "20", "2000"],
)
def test_scales_are_identical(every: int, count: int, bad: set[int]) -> None:
    """And so are the updates that are skipped, which neither the schedule nor the weights see."""
    overflowing = frozenset(bad)
    cell, model = pair()
    config = optplan.loads(TEXT % (count - len(bad), every))
    compiled: Any = optplan.compile(config, cell)
    other = optplan.compile(config, model)
    step = compiled.train_step(cell, nn.CrossEntropyLoss(), jit=True)
    scales, scales_in_torch, skipped = [], [], []
    for number, (images, labels) in enumerate(batches(count, overflowing)):
        found = step(Tensor(images), Tensor(labels))
        logits = model(torch.from_numpy(images))
        wanted = other.step(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long()))
        scales.append(found.scale)
        scales_in_torch.append(wanted.scale)
        if found.skipped:
            skipped.append(number)
        assert found.skipped == wanted.skipped
        if number == min(count, 150) - 1:
            for parameter, values in zip(cell.get_parameters(), model.parameters(), strict=True):
                there = values.detach().numpy()
                np.testing.assert_allclose(parameter.asnumpy(), there, rtol=0, atol=1e-5 * np.abs(there).max())
    assert skipped == sorted(bad)
    assert scales == scales_in_torch == rule(count, every, overflowing)
    assert len(set(scales)) > 2
    assert compiled.updates == count - len(bad)
    assert compiled.lr() == other.lr()
    images, labels = next(batches(1, frozenset()))
    read = cell(Tensor(images)).asnumpy().argmax(1)
    assert np.mean(read == labels) > 0.9
