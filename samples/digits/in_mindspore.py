"""The digits under MindSpore: a compiled training step, with what a plan is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, nn
from resnet_mindspore import ResidualNetwork
from vit_mindspore import VisionTransformer

if TYPE_CHECKING:
    from collections.abc import Callable

    from data import Images, Labels

    import optplan

NETWORKS: dict[str, Callable[[], nn.Cell]] = {"vit": VisionTransformer, "resnet": ResidualNetwork}


def build(name: str, seed: int) -> nn.Cell:
    """Make the network `name`, its weights drawn by `seed`."""
    ms.set_seed(seed)
    return NETWORKS[name]()


def learner(model: nn.Cell, compiled: optplan.Compiled) -> Callable[[Images, Labels], float]:
    """Return what makes one update of `model` with a batch, and gives its loss."""
    optimizer, _ = compiled  # an nn.Optimizer; the schedule is inside it
    cross_entropy = nn.CrossEntropyLoss()
    model.set_train()

    def forward(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(model(images), labels)

    gradients = ms.value_and_grad(forward, None, optimizer.parameters)

    @ms.jit
    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss, grads = gradients(images, labels)
        optimizer(grads)
        return loss

    def learn(images: Images, labels: Labels) -> float:
        return float(step(Tensor(images), Tensor(labels, ms.int32)).asnumpy())

    return learn


def accuracy(model: nn.Cell, images: Images, labels: Labels) -> float:
    """Return the share of `images` that `model` reads right, in percent."""
    model.set_train(False)
    read = model(Tensor(images)).asnumpy().argmax(axis=1)
    return 100 * float((read == labels).mean())
