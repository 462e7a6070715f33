"""Train with accelerate: the optimizer of a file is prepared, its scheduler is not.

    python samples/hosts/with_accelerate.py
    python samples/hosts/with_accelerate.py --folder runs --stop 3
    python samples/hosts/with_accelerate.py --folder runs --resume
    torchrun --nproc-per-node 2 samples/hosts/with_accelerate.py

accelerate takes it that a scheduler counts the batches of all processes, and steps one that was prepared once for each
process.  A schedule here counts updates: it goes to no `prepare`, and is stepped after each update.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from accelerate import Accelerator, PartialState
from reading import EPOCHS, FILE, Perceptron, begin, load, report
from torch import nn

import optplan
from optplan.hosts.accelerate import accelerator_arguments


def main() -> None:
    """Train by the file beside this program, and say how well the network reads."""
    called = begin("Train with accelerate.")
    digits, network = load(), Perceptron()
    # Each process has its part of the batches, so that an epoch has fewer updates
    plan = optplan.plan(FILE, network, steps_per_epoch=22 // PartialState(cpu=True).num_processes)
    accelerator = Accelerator(cpu=True, **accelerator_arguments(plan))
    compiled = plan.bind(network)
    scheduler = compiled.scheduler
    model, optimizer, batches = accelerator.prepare(network, compiled.optimizer, digits.loader())
    accelerator.register_for_checkpointing(scheduler)
    with TemporaryDirectory() as temporary:
        folder = str(called.folder or Path(temporary))
        if called.resume:
            accelerator.load_state(folder)
        for _ in range(scheduler.last_epoch // plan.horizon.steps_per_epoch, called.stop):
            for images, labels in batches:
                with accelerator.accumulate(model):
                    accelerator.backward(nn.functional.cross_entropy(model(images), labels))
                    if accelerator.sync_gradients and plan.clip is not None:
                        accelerator.clip_grad_norm_(model.parameters(), plan.clip.limit)
                    optimizer.step()
                    if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
                        scheduler.step()
                    optimizer.zero_grad()
        if called.stop < EPOCHS:
            accelerator.save_state(folder)
    if accelerator.is_main_process:
        print(f"{scheduler.last_epoch} updates")
        report(digits, network)


if __name__ == "__main__":
    main()
