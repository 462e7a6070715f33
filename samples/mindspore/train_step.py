"""Train with `compiled.train_step`: a whole training step by a file, compiled or not.

python samples/mindspore/train_step.py
python samples/mindspore/train_step.py --jit           the step as one graph
python samples/mindspore/train_step.py --mode graph
"""

from __future__ import annotations

import numpy as np
from mindspore import nn
from task import EPOCHS, WHOLE_STEP, Perceptron, begin, load

import optplan


def main() -> None:
    """Train by `whole_step.optim.yaml` and print the loss of each epoch."""
    arguments = begin("Train with compiled.train_step.", "--jit")
    digits = load()
    network = Perceptron()
    # Two batches make an update, and a schedule counts updates
    compiled = optplan.compile(WHOLE_STEP, network, steps=digits.steps // 2)
    step = compiled.train_step(network, nn.CrossEntropyLoss(), jit=arguments.jit)
    for epoch in range(EPOCHS):
        results = [step(images, labels) for images, labels in digits.batches(epoch)]
        print(f"epoch {epoch + 1}: loss {np.mean([float(each.loss) for each in results]):.4f}")
    made, dropped = sum(each.updated for each in results), sum(each.skipped for each in results)
    print(f"last epoch: {made} updates, {dropped} dropped, loss scale {results[-1].scale:g}")
    print(f"test accuracy {digits.accuracy(network):.2f} %")


if __name__ == "__main__":
    main()
