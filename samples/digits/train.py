"""Train two small networks on handwritten digits, both by the rules of one file.

    python samples/digits/train.py                             both networks, five seeds each
    python samples/digits/train.py --model vit --seed 3        one network, one seed
    python samples/digits/train.py --config my.optim.yaml      the same by other rules

The program knows networks, data and a plain training loop.  Which parameter gets which optimizer, learning rate and
weight decay, and how these change over the run, is said in `digits.optim.yaml` and nowhere here.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from resnet_torch import ResidualNetwork
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional
from vit_torch import VisionTransformer

import optplan

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS: dict[str, Callable[[], nn.Module]] = {"vit": VisionTransformer, "resnet": ResidualNetwork}
BATCH = 128


@dataclass(frozen=True, slots=True)
class Digits:
    """Images `(n, 1, 8, 8)` and their labels `(n,)`, to learn from and to be tested on."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches there are to learn from."""
        return len(self.labels) // BATCH


def load() -> Digits:
    """Return scikit-learn's 1797 digits; a fifth of each class, always the same, is held out."""
    pixels, classes = load_digits(return_X_y=True)
    split = train_test_split(pixels, classes, test_size=0.2, stratify=classes, random_state=0)
    images, test_images = (torch.tensor(part, dtype=torch.float32).view(-1, 1, 8, 8) for part in split[:2])
    labels, test_labels = (torch.tensor(part) for part in split[2:])
    mean, deviation = images.mean(), images.std()
    return Digits((images - mean) / deviation, labels, (test_images - mean) / deviation, test_labels)


def train(model: nn.Module, plan: optplan.Plan, digits: Digits, epochs: int, *, progress: Progress, title: str) -> None:
    """Train `model` in place as `plan` says, and draw a bar called `title`."""
    compiled = plan.bind(model)
    optimizer, scheduler = compiled  # an Optimizer and an LRScheduler of PyTorch's: the loop is as ever
    bar = progress.add_task(title, total=epochs * digits.steps_per_epoch)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(digits.labels))[: digits.steps_per_epoch * BATCH]
        for batch in order.view(-1, BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(digits.images[batch]), digits.labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
            optimizer.step()
            if scheduler is not None:  # a file without a `schedule` needs none
                scheduler.step()
            highest = max(compiled.lr().values())
            progress.update(bar, advance=1, description=f"{title}, loss {loss.item():.3f}, highest lr {highest:.4f}")
    progress.remove_task(bar)


@torch.no_grad()
def accuracy(model: nn.Module, digits: Digits) -> float:
    """Return the share of held-out digits that `model` reads right, in percent."""
    model.eval()
    hits = model(digits.test_images).argmax(dim=1) == digits.test_labels
    return 100 * float(hits.float().mean())


def compare_seeds(name: str, config: optplan.Config, digits: Digits, epochs: int, seeds: list[int]) -> None:
    """Plan for the network `name` once, train it from each of `seeds`, print each accuracy and their median."""
    build = NETWORKS[name]
    plan = optplan.plan(config, build(), epochs=epochs, steps_per_epoch=digits.steps_per_epoch)
    print(f"{name}: the plan\n\n{plan}\n")

    console = Console()
    scores: list[float] = []
    begin = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for seed in seeds:
            torch.manual_seed(seed)
            model = build()  # a plan is data: made once, it binds to every network with these names and shapes
            train(model, plan, digits, epochs, progress=progress, title=f"{name}, seed {seed}")
            scores.append(accuracy(model, digits))
            print(f"{name}: seed {seed}, test accuracy {scores[-1]:.2f} %")
    print(f"{name}: median {median(scores):.2f} % of {len(scores)}, {time.perf_counter() - begin:.0f} s\n")


def main() -> None:
    """Read the command line and train what it asks for."""
    parser = argparse.ArgumentParser(description="Train two small networks on handwritten digits.")
    parser.add_argument("--model", choices=[*NETWORKS, "both"], default="both")
    count = parser.add_mutually_exclusive_group()
    count.add_argument("--seeds", type=int, default=5, metavar="N", help="train from seeds 0 to N - 1 (default 5)")
    count.add_argument("--seed", type=int, metavar="S", help="train from seed S only")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("digits.optim.yaml"))
    arguments = parser.parse_args()

    torch.set_num_threads(2)  # the time that README.md speaks of is that of two cores
    try:
        config = optplan.load(arguments.config)
        digits = load()
        for name in NETWORKS if arguments.model == "both" else [arguments.model]:
            seeds = list(range(arguments.seeds)) if arguments.seed is None else [arguments.seed]
            compare_seeds(name, config, digits, arguments.epochs, seeds)
    except optplan.ConfigError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
