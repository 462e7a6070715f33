"""A deep network of residual blocks, and the four ways in which MindSpore's users train one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.train import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTH, CLASSES, BATCH = 8, 5, 16
USES = ("one_step_cell", "model", "value_and_grad", "jit")


class Block(nn.Cell):
    """x + Dense(relu(norm(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm((WIDTH,))
        self.fc = nn.Dense(WIDTH, WIDTH)

    def construct(self, x: Tensor) -> Tensor:
        return x + self.fc(ops.relu(self.norm(x)))


class Deep(nn.Cell):
    """`blocks` blocks and a head."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = nn.CellList([Block() for _ in range(blocks)])
        self.head = nn.Dense(WIDTH, CLASSES)

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def deep(blocks: int = 2) -> Deep:
    """A network with the same weights at every call."""
    network = Deep(blocks)
    generator = np.random.default_rng(1)
    for parameter in network.get_parameters():
        scale = 1.0 if parameter.ndim == 1 else WIDTH**-0.5
        parameter.set_data(Tensor(scale * generator.standard_normal(parameter.shape), ms.float32))
    return network


def batch() -> tuple[Tensor, Tensor]:
    """One batch, the same at every call."""
    generator = np.random.default_rng(2)
    inputs = Tensor(generator.standard_normal((BATCH, WIDTH)), ms.float32)
    return inputs, Tensor(generator.integers(0, CLASSES, BATCH), ms.int32)


def training(use: str, network: nn.Cell, optimizer: nn.Optimizer) -> Callable[[int], None]:
    """What makes a number of updates with `batch()`, in one of `USES`."""
    inputs, labels = batch()
    loss = nn.CrossEntropyLoss()
    if use == "one_step_cell":
        step: Any = nn.TrainOneStepCell(nn.WithLossCell(network, loss), optimizer).set_train()
    elif use == "model":
        model = Model(network, loss, optimizer)
        data = ds.NumpySlicesDataset((inputs.asnumpy(), labels.asnumpy()), shuffle=False).batch(BATCH)
        return lambda count: model.train(count, data, dataset_sink_mode=False)
    else:
        step = _step(network, loss, optimizer)
        if use == "jit":
            step = ms.jit(step)

    def train(count: int) -> None:
        for _ in range(count):
            step(inputs, labels)

    return train


def _step(network: nn.Cell, loss: nn.Cell, optimizer: nn.Optimizer) -> Any:
    def forward(inputs: Tensor, labels: Tensor) -> Tensor:
        return loss(network(inputs), labels)

    gradients = ms.value_and_grad(forward, None, optimizer.parameters)

    def step(inputs: Tensor, labels: Tensor) -> Tensor:
        value, grads = gradients(inputs, labels)
        optimizer(grads)
        return value

    return step


def weights(network: nn.Cell) -> list[NDArray[np.float32]]:
    """Copies of the network's weights, in its order."""
    return [parameter.asnumpy().copy() for parameter in network.get_parameters()]
