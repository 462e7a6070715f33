"""Train with `mindspore.train.Model` and a `mindspore.dataset`: the optimizer of a file where one of MindSpore's goes.

python samples/mindspore/high_level_model.py
python samples/mindspore/high_level_model.py --scale          with a loss scale manager, by another file
python samples/mindspore/high_level_model.py --step           with our training step, by a third
python samples/mindspore/high_level_model.py --mode graph
"""

from __future__ import annotations

from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Callback, Model
from task import BATCH, EPOCHS, FILE, FIXED_SCALE, WHOLE_STEP, Perceptron, begin, load

import optplan


class PrintLosses(Callback):
    """Print the mean loss of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_step_end(self, run_context: object) -> None:
        """Note the loss of the step."""
        outputs = run_context.original_args().net_outputs  # type: ignore[attr-defined]  # MindSpore's
        self.losses.append(float(outputs[0] if isinstance(outputs, tuple) else outputs))

    def on_train_epoch_end(self, run_context: object) -> None:
        """Print the mean, and begin anew."""
        epoch = run_context.original_args().cur_epoch_num  # type: ignore[attr-defined]  # as above
        print(f"epoch {epoch}: loss {sum(self.losses) / len(self.losses):.4f}")
        self.losses.clear()


def main() -> None:
    """Train by the file beside this program and print the loss of each epoch."""
    arguments = begin("Train with mindspore.train.Model.", "--scale", "--step")
    digits = load()
    batches = NumpySlicesDataset((digits.images, digits.labels), shuffle=True).batch(BATCH, drop_remainder=True)
    test = NumpySlicesDataset((digits.test_images, digits.test_labels), shuffle=False).batch(len(digits.test_labels))
    network = Perceptron()
    file = WHOLE_STEP if arguments.step else FIXED_SCALE if arguments.scale else FILE
    # Two batches make an update in the third file, and a schedule counts updates
    updates = batches.get_dataset_size() // (2 if arguments.step else 1)
    compiled = optplan.compile(file, network, epochs=EPOCHS, steps_per_epoch=updates)
    # The schedule is inside the optimizer: no callback changes the learning rate
    loss_fn = nn.CrossEntropyLoss()
    if arguments.step:
        # `Model` itself neither clips nor accumulates, nor does it drop an update on CPU: the step does
        model = Model(compiled.train_step(network, loss_fn).cell)
    else:
        manager = compiled.loss_scale_manager()
        model = Model(network, loss_fn, compiled.optimizer, loss_scale_manager=manager)
    model.train(EPOCHS, batches, callbacks=[PrintLosses()], dataset_sink_mode=False)
    read = Model(network, loss_fn, metrics={"accuracy"}).eval(test, dataset_sink_mode=False)
    print(f"test accuracy {100 * read['accuracy']:.2f} %")


if __name__ == "__main__":
    main()
