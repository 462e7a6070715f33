"""Train each digits network under both frameworks, from the same weights and batches, and draw both losses.

    python samples/digits/twins.py                    both networks; the picture is twins.png
    python samples/digits/twins.py -o losses.svg      the picture elsewhere, in another format

One file and one network, written once for each framework, give the same groups, the same learning rates and the same
losses, up to what float32 leaves of them.  How much that is, PyTorch alone tells: its own losses once more, from
weights that are one step of float32 away.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import data
import in_mindspore
import in_torch
import matplotlib as mpl
import numpy as np
import torch

import optplan

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Losses = NDArray[np.float64]

FILE = Path(__file__).with_name("digits.optim.yaml")
EPOCHS, COMPARED = 15, 50


def losses(name: str, config: optplan.Config, updates: int) -> tuple[Losses, Losses, Losses]:
    """Return the losses of the network `name` under PyTorch, under MindSpore, and under PyTorch from one step away."""
    digits = data.load()
    one, other, beside = in_torch.build(name, 0), in_mindspore.build(name, 0), in_torch.build(name, 0)
    with torch.no_grad():
        for parameter in beside.parameters():
            parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))
    compiled, twin, third = (
        optplan.compile(config, model, epochs=EPOCHS, steps_per_epoch=digits.steps_per_epoch)
        for model in (one, other, beside)
    )
    if compiled.plan.groups != twin.plan.groups:
        raise SystemExit(f"the plans of {name} differ:\n{compiled.plan}\n{twin.plan}")
    twin.load_weights({key: parameter.detach().numpy() for key, parameter in one.named_parameters()})
    learners = [in_torch.learner(one, compiled), in_mindspore.learner(other, twin), in_torch.learner(beside, third)]
    batches = list(islice(digits.batches(EPOCHS, seed=0), updates))
    first, second, last = (np.array([learn(*batch) for batch in batches]) for learn in learners)
    return first, second, last


def apart(one: Losses, other: Losses) -> str:
    """Say how far apart two runs are, relative to the loss: at the first updates, and at all of them."""
    difference = np.abs(one - other) / np.abs(one)
    return f"{difference[:COMPARED].max():.1e} over {COMPARED} updates, {difference.max():.1e} over {len(one)}"


def main() -> None:
    """Train the twins, print how far apart their losses are, and draw them."""
    parser = argparse.ArgumentParser(description="Train the digits networks under PyTorch and MindSpore side by side.")
    parser.add_argument("--config", type=Path, default=FILE)
    parser.add_argument("--updates", type=int, default=EPOCHS * data.load().steps_per_epoch)
    parser.add_argument("-o", "--output", type=Path, default=Path("twins.png"))
    arguments = parser.parse_args()

    config = optplan.load(arguments.config)
    figure, axes = plt.subplots(1, len(in_torch.NETWORKS), figsize=(11, 4), sharey=True, layout="constrained")
    for name, axis in zip(in_torch.NETWORKS, axes, strict=True):
        one, other, beside = losses(name, config, arguments.updates)
        print(f"{name}: the largest relative difference of the losses")
        print(f"  PyTorch and MindSpore                     {apart(one, other)}")
        print(f"  PyTorch and PyTorch, weights one ulp off  {apart(one, beside)}")
        axis.semilogy(one, label="PyTorch", linewidth=3, alpha=0.4)
        axis.semilogy(other, label="MindSpore", linewidth=1)
        axis.set(title=f"{name}, {arguments.config.name}", xlabel="update")
    axes[0].set_ylabel("loss")
    axes[0].legend()
    figure.savefig(arguments.output, dpi=120)
    print(f"both curves: {arguments.output}")


if __name__ == "__main__":
    main()
