"""Train with `mindspore.train.Model` and a `mindspore.dataset`: the optimizer of a file where one of MindSpore's goes.

python samples/mindspore/high_level_model.py
python samples/mindspore/high_level_model.py --mode graph
"""

from __future__ import annotations

from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Callback, Model
from task import BATCH, EPOCHS, FILE, Perceptron, begin, load

import optplan


class PrintLosses(Callback):
    """Print the mean loss of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_step_end(self, run_context: object) -> None:
        """Note the loss of the step."""
        self.losses.append(float(run_context.original_args().net_outputs))  # type: ignore[attr-defined]  # MindSpore's

    def on_train_epoch_end(self, run_context: object) -> None:
        """Print the mean, and begin anew."""
        epoch = run_context.original_args().cur_epoch_num  # type: ignore[attr-defined]  # as above
        print(f"epoch {epoch}: loss {sum(self.losses) / len(self.losses):.4f}")
        self.losses.clear()


def main() -> None:
    """Train by the file beside this program and print the loss of each epoch."""
    begin("Train with mindspore.train.Model.")
    digits = load()
    batches = NumpySlicesDataset((digits.images, digits.labels), shuffle=True).batch(BATCH, drop_remainder=True)
    test = NumpySlicesDataset((digits.test_images, digits.test_labels), shuffle=False).batch(len(digits.test_labels))
    network = Perceptron()
    compiled = optplan.compile(FILE, network, epochs=EPOCHS, steps_per_epoch=batches.get_dataset_size())
    # The schedule is inside the optimizer: no callback changes the learning rate
    model = Model(network, nn.CrossEntropyLoss(), compiled.optimizer, metrics={"accuracy"})
    model.train(EPOCHS, batches, callbacks=[PrintLosses()], dataset_sink_mode=False)
    print(f"test accuracy {100 * model.eval(test, dataset_sink_mode=False)['accuracy']:.2f} %")


if __name__ == "__main__":
    main()
