"""One of two processes of transformers' Trainer: `python -m tests.hosts.two_trainers FOLDER`.

Leaves in FOLDER, by the number of the process, the first group's rate in each update, the scheduler's t, the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed

import optplan
from tests.hosts.learning import weights
from tests.hosts.test_transformers import HALVED, ROWS, Classifier, Note, Rows, by_plan


def main() -> None:
    """See the head of the module."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    model, note = Classifier(), Note()
    trainer = by_plan(folder, model, optplan.plan(HALVED, model), note, train=Rows(ROWS))
    trainer.train()
    assert trainer.lr_scheduler is not None
    found = {"rates": note.rates, "t": trainer.lr_scheduler.last_epoch, "weights": weights(model)}
    number, processes = distributed.get_rank(), distributed.get_world_size()
    torch.save({**found, "processes": processes}, folder / f"{number}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
