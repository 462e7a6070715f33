"""One of two processes that train by accelerate: `python -m tests.hosts.two_processes FOLDER WHAT`.

WHAT is which of the two objects go to `prepare`: `optimizer` alone, as it should be, or `both`.  Leaves in FOLDER, by
the number of the process, the first group's rate in each update, the scheduler's t and the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Subset

import optplan
from optplan.hosts.accelerate import accelerator_arguments
from tests.hosts.learning import DOCUMENT, SIZE, network, rows, weights

EPOCHS, ROWS = 4, 24  # six batches an epoch, three for each process, which make two updates
ADAMW: dict[str, Any] = {
    **{key: DOCUMENT[key] for key in ("optplan", "optimizer", "schedule", "accumulate")},
    "rules": [{"where": "norm or bias", "weight_decay": 0}],
    "horizon": {"steps": 8},
    "clip": "norm(0.5)",
}


def train(what: str) -> dict[str, Any]:
    """Train, and give what happened."""
    model = network()
    plan = optplan.plan(ADAMW, model)
    accelerator = Accelerator(cpu=True, **accelerator_arguments(plan))
    compiled = plan.bind(model)
    batches = DataLoader(Subset(rows(), range(ROWS)), SIZE)
    wrapped, optimizer, batches = accelerator.prepare(model, compiled.optimizer, batches)
    scheduler = compiled.scheduler if what == "optimizer" else accelerator.prepare(compiled.scheduler)
    rates = []
    for _ in range(EPOCHS):
        for inputs, classes in batches:
            with accelerator.accumulate(wrapped):
                accelerator.backward(nn.functional.cross_entropy(wrapped(inputs), classes))
                if accelerator.sync_gradients:
                    assert plan.clip is not None
                    accelerator.clip_grad_norm_(wrapped.parameters(), plan.clip.limit)
                    rates.append(compiled.lr()["default"])
                optimizer.step()
                if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
                    scheduler.step()
                optimizer.zero_grad()
    made = {"rates": rates, "t": compiled.scheduler.last_epoch, "weights": weights(model)}
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return {**made, "processes": accelerator.num_processes, "number": accelerator.process_index}


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = train(sys.argv[2])
    torch.save(found, Path(sys.argv[1]) / f"{found['number']}.pt")
