"""One small network in both frameworks, with the same weights, and batches to train it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import torch
from mindspore import Tensor, nn, ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.float32], NDArray[np.int32]]

INNER, CLASSES, BATCH, WIDTH = 12, 5, 16, 8
SHAPES = {"up.weight": (INNER, WIDTH), "up.bias": (INNER,), "head.weight": (CLASSES, INNER), "head.bias": (CLASSES,)}


class Net(nn.Cell):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Dense(WIDTH, INNER)
        self.head = nn.Dense(INNER, CLASSES)

    def construct(self, inputs: Tensor) -> Tensor:
        """Logits (n, CLASSES) for inputs (n, WIDTH)."""
        return self.head(ops.tanh(self.up(inputs)))


class NetWithLoss(nn.Cell):
    """The same, that gives its loss first and its logits second, as many networks do that know their loss."""

    def __init__(self, network: Net) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits."""
        logits = self.network(inputs)
        return ops.cross_entropy(logits, labels), logits


class NetInTorch(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(WIDTH, INNER)
        self.head = torch.nn.Linear(INNER, CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """As there."""
        found: torch.Tensor = self.head(torch.tanh(self.up(inputs)))
        return found


def summed(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss of one number for each sample: no loss to train with."""
    return ops.cross_entropy(logits, labels, reduction="none")


def in_one_element(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss of shape (1,)."""
    return ops.cross_entropy(logits, labels).reshape((1,))


def beginning() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(3)
    return {name: 0.3 * generator.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def network() -> Net:
    made = Net()
    for parameter in made.get_parameters():
        parameter.set_data(Tensor(beginning()[parameter.name]))
    return made


def network_in_torch() -> NetInTorch:
    made = NetInTorch()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.from_numpy(beginning()[name]))
    return made


def batch(number: int, *, bad: bool = False) -> Arrays:
    """Batch `number`; a `bad` one has an infinity in it, and so have all gradients."""
    generator = np.random.default_rng(1000 + number)
    inputs = generator.standard_normal((BATCH, WIDTH)).astype(np.float32)
    if bad:
        inputs[0, 0] = np.inf
    return inputs, generator.integers(0, CLASSES, BATCH).astype(np.int32)


def tensors(arrays: Arrays) -> tuple[Tensor, Tensor]:
    return Tensor(arrays[0]), Tensor(arrays[1])


def loss_in_torch(model: NetInTorch, arrays: Arrays) -> torch.Tensor:
    inputs, labels = arrays
    return torch.nn.functional.cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels).long())


def weights(cell: Any) -> dict[str, NDArray[np.float32]]:
    """Copies of the weights, by name."""
    if isinstance(cell, torch.nn.Module):
        return {name: parameter.detach().numpy().copy() for name, parameter in cell.named_parameters()}
    return {each.name.rpartition("network.")[2]: each.asnumpy().copy() for each in cell.get_parameters()}


def same(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in SHAPES)


def state(optimizer: nn.Optimizer) -> dict[str, NDArray[Any]]:
    """Copies of all that an optimizer keeps, and of what it trains."""
    return {each.name: each.asnumpy().copy() for each in optimizer.get_parameters()}


def half() -> Net:
    """The network with its arithmetic, not its weights, in float16."""
    made = network()
    made.to_float(ms.float16)
    return made
