"""Train with `value_and_grad` and `optimizer(gradients)`: a training step that is written out, compiled or not.

python samples/mindspore/single_steps.py
python samples/mindspore/single_steps.py --jit           the step as one graph
python samples/mindspore/single_steps.py --mode graph
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from task import EPOCHS, FILE, Perceptron, begin, load

import optplan


def main() -> None:
    """Train by the file beside this program and print the loss of each epoch."""
    arguments = begin("Train with value_and_grad and optimizer(gradients).", "--jit")
    digits = load()
    network = Perceptron()
    network.set_train()
    compiled = optplan.compile(FILE, network, steps=digits.steps)
    optimizer = compiled.optimizer
    loss_fn = nn.CrossEntropyLoss()

    def forward(images: Tensor, labels: Tensor) -> Tensor:
        return loss_fn(network(images), labels)

    # Gradients in the order in which the optimizer takes them
    loss_and_gradients = ms.value_and_grad(forward, None, compiled.parameters)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss, gradients = loss_and_gradients(images, labels)
        optimizer(gradients)
        return loss

    train = ms.jit(step) if arguments.jit else step
    for epoch in range(EPOCHS):
        losses = [float(train(images, labels)) for images, labels in digits.batches(epoch)]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    print(f"test accuracy {digits.accuracy(network):.2f} %")


if __name__ == "__main__":
    main()
