"""Train by a file that is a node of a Hydra configuration, and so is changed on Hydra's command line.

    python samples/hosts/with_hydra.py
    python samples/hosts/with_hydra.py optim=adamw lr=3e-3
    python samples/hosts/with_hydra.py optim.optimizer.weight_decay=0.1 +optim.rules.1.lr=2x
    python samples/hosts/with_hydra.py 'optim.schedule.lr="warmup(5%) -> linear(to=0x)"'
    python samples/hosts/with_hydra.py folder=runs stop=3
    python samples/hosts/with_hydra.py folder=runs resume=true

Rules go by their place, counted from 0; what is not there yet is added with a `+`; a policy is a text in quotes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import torch
from reading import Perceptron, load, report
from torch import nn

import optplan

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Train by `config.optim`, and say how well the network reads."""
    torch.set_num_threads(1)  # a network this small has no work for two
    digits, network = load(), Perceptron()
    try:
        plan = optplan.plan(config.optim, network)
    except optplan.ConfigError as error:
        raise SystemExit(str(error)) from None
    print(plan, end="\n\n")
    compiled = plan.bind(network)
    parts = {"network": network, "optimizer": compiled.optimizer, "scheduler": compiled.scheduler}
    if config.resume:
        for name, state in torch.load(Path(config.folder) / "last.pt", weights_only=True).items():
            parts[name].load_state_dict(state)
    for _ in range(compiled.scheduler.last_epoch // plan.horizon.steps_per_epoch, config.stop):
        for images, labels in digits.loader():
            compiled.step(nn.functional.cross_entropy(network(images), labels))
    if config.stop < config.epochs:
        Path(config.folder).mkdir(parents=True, exist_ok=True)
        torch.save({name: part.state_dict() for name, part in parts.items()}, Path(config.folder) / "last.pt")
    print(f"{compiled.scheduler.last_epoch} updates")
    report(digits, network)


if __name__ == "__main__":
    main()
