"""Train with `nn.TrainOneStepCell`: the optimizer of a file in the Cell that MindSpore has for one training step.

python samples/mindspore/one_step_cell.py
python samples/mindspore/one_step_cell.py --mode graph
"""

from __future__ import annotations

import numpy as np
from mindspore import nn
from task import EPOCHS, FILE, Perceptron, begin, load

import optplan


def main() -> None:
    """Train by the file beside this program and print the loss of each epoch."""
    begin("Train with nn.TrainOneStepCell.")
    digits = load()
    network = Perceptron()
    compiled = optplan.compile(FILE, network, steps=digits.steps)
    # The schedule is inside the optimizer: nothing else takes a step
    with_loss = nn.WithLossCell(network, nn.CrossEntropyLoss())
    step = nn.TrainOneStepCell(with_loss, compiled.optimizer)
    step.set_train()
    for epoch in range(EPOCHS):
        losses = [float(step(images, labels)) for images, labels in digits.batches(epoch)]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    print(f"test accuracy {digits.accuracy(network):.2f} %")


if __name__ == "__main__":
    main()
