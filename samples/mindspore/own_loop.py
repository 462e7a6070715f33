"""Train with the pieces of a step, one by one: `value_and_grad`, the loss scaler, the clip and the optimizer.

python samples/mindspore/own_loop.py
python samples/mindspore/own_loop.py --jit           the step as one graph
python samples/mindspore/own_loop.py --mode graph
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, nn
from task import EPOCHS, WHOLE_STEP, Perceptron, begin, load

import optplan


def main() -> None:
    """Train by `whole_step.optim.yaml`, but one batch an update, and print the loss of each epoch."""
    arguments = begin("Train with the pieces of a step.", "--jit")
    digits = load()
    network = Perceptron()
    network.set_train()
    config = optplan.load(WHOLE_STEP, overrides=["accumulate=1"])
    compiled = optplan.compile(config, network, steps=digits.steps)
    optimizer, scaler, clip_gradients = compiled.optimizer, compiled.scaler, compiled.clip_gradients
    loss_fn = nn.CrossEntropyLoss()

    def forward(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = loss_fn(network(images), labels)
        return scaler.scale(loss), loss

    # The first output is differentiated, the others come along
    loss_and_gradients = ms.value_and_grad(forward, None, compiled.parameters, has_aux=True)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        (_, loss), gradients = loss_and_gradients(images, labels)
        gradients = scaler.unscale(gradients)
        finite = amp.all_finite(gradients)
        gradients, _ = clip_gradients(gradients)
        # An update that is dropped does not advance the schedule, which counts calls of the optimizer
        if finite:
            optimizer(gradients)
        scaler.adjust(finite)
        return loss

    train = ms.jit(step) if arguments.jit else step
    for epoch in range(EPOCHS):
        losses = [float(train(images, labels)) for images, labels in digits.batches(epoch)]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    print(f"test accuracy {digits.accuracy(network):.2f} %")


if __name__ == "__main__":
    main()
