"""Train with transformers' Trainer: the optimizer and the schedule of a file in place of its own.

python samples/hosts/with_transformers.py
python samples/hosts/with_transformers.py --folder runs --stop 3
python samples/hosts/with_transformers.py --folder runs --resume
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from reading import BATCH, EPOCHS, FILE, Perceptron, begin, load, report
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import optplan
from optplan.hosts.transformers import PlanCallback, optimizers, training_arguments

if TYPE_CHECKING:
    from reading import Digits


class Reader(nn.Module):
    """The network with its loss, as the Trainer calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Perceptron()

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Give loss and logits."""
        logits = self.network(images)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Rows(Dataset[dict[str, Tensor]]):
    """The digits to learn from, by the names of `Reader.forward`."""

    def __init__(self, digits: Digits) -> None:
        self.digits = digits.train

    def __len__(self) -> int:
        return len(self.digits) // BATCH * BATCH

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        image, label = self.digits[row]
        return {"images": image, "labels": label}


class StopAfter(TrainerCallback):
    """End the run after some of its epochs, as a crash would, with a checkpoint."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the Trainer gives it
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Save and stop once these epochs are over."""
        if round(state.epoch or 0) == self.epochs < EPOCHS:
            control.should_save = control.should_training_stop = True


def main() -> None:
    """Train by the file beside this program, and say how well the network reads."""
    called = begin("Train with transformers' Trainer.")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    digits, reader = load(), Reader()
    plan = optplan.plan(FILE, reader)
    with TemporaryDirectory() as temporary:
        arguments = TrainingArguments(
            str(called.folder or Path(temporary)),
            per_device_train_batch_size=BATCH,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **training_arguments(plan),  # what the Trainer does itself: to clip, to accumulate, to count updates
        )
        trainer = Trainer(
            reader,
            arguments,
            train_dataset=Rows(digits),
            optimizers=optimizers(plan.bind(reader)),
            callbacks=[PlanCallback(plan), StopAfter(called.stop)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=called.resume or None)
    print(f"{trainer.state.global_step} updates")
    report(digits, reader.network)


if __name__ == "__main__":
    main()
