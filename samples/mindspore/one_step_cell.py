"""Train with `nn.TrainOneStepCell`: the optimizer of a file in the Cell that MindSpore has for one training step.

python samples/mindspore/one_step_cell.py
python samples/mindspore/one_step_cell.py --scale          with a loss scale, by another file
python samples/mindspore/one_step_cell.py --mode graph
"""

from __future__ import annotations

import numpy as np
from mindspore import nn
from task import EPOCHS, FILE, FIXED_SCALE, Perceptron, begin, load

import optplan


def main() -> None:
    """Train by the file beside this program and print the loss of each epoch."""
    arguments = begin("Train with nn.TrainOneStepCell.", "--scale")
    digits = load()
    network = Perceptron()
    compiled = optplan.compile(FIXED_SCALE if arguments.scale else FILE, network, steps=digits.steps)
    # The schedule is inside the optimizer: nothing else takes a step
    with_loss = nn.WithLossCell(network, nn.CrossEntropyLoss())
    # The optimizer divides by the loss scale of the file, so the step multiplies by it
    loss_scale = compiled.plan.loss_scale
    step = nn.TrainOneStepCell(with_loss, compiled.optimizer, sens=loss_scale.init if loss_scale else 1.0)
    step.set_train()
    for epoch in range(EPOCHS):
        losses = [float(step(images, labels)) for images, labels in digits.batches(epoch)]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    print(f"test accuracy {digits.accuracy(network):.2f} %")


if __name__ == "__main__":
    main()
