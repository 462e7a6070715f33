"""Train with Lightning: the optimizer and the schedule of a file where `configure_optimizers` returns them.

python samples/hosts/with_lightning.py
python samples/hosts/with_lightning.py --folder runs --stop 3
python samples/hosts/with_lightning.py --folder runs --resume
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
from reading import EPOCHS, FILE, Perceptron, begin, load, report
from torch import Tensor, nn

import optplan
from optplan.hosts.lightning import trainer_arguments


class Reader(lightning.LightningModule):
    """The network with its loss, and the plan by which it is trained; training ends early after `stop` epochs."""

    def __init__(self, stop: int) -> None:
        super().__init__()
        self.stop = stop
        self.network = Perceptron()
        self.plan = optplan.plan(FILE, self)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Give the loss of one batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def on_train_epoch_end(self) -> None:
        """End training early where that is asked for."""
        if self.current_epoch + 1 == self.stop < EPOCHS:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> Any:
        """Give the optimizer, and the scheduler that moves on with each update."""
        return self.plan.bind(self).lightning()


def main() -> None:
    """Train by the file beside this program, and say how well the network reads."""
    called = begin("Train with Lightning.")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it says which devices there are
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # the data is in memory
    warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's, about a name of PyTorch that it uses
    digits, reader = load(), Reader(called.stop)
    with TemporaryDirectory() as temporary:
        folder = called.folder or Path(temporary)
        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer_arguments(reader.plan),  # what Lightning does itself: to clip, to accumulate, to scale the loss
        )
        trainer.fit(reader, digits.loader(), ckpt_path=folder / "last.ckpt" if called.resume else None)
        if called.stop < EPOCHS:
            trainer.save_checkpoint(folder / "last.ckpt")
    print(f"{trainer.global_step} updates")
    report(digits, reader.network)


if __name__ == "__main__":
    main()
