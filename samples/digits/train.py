"""Train two small networks on handwritten digits, both by the rules of one file, under PyTorch or MindSpore.

    python samples/digits/train.py                             both networks, five seeds each, under PyTorch
    python samples/digits/train.py --framework mindspore       the same under MindSpore
    python samples/digits/train.py --model vit --seed 3        one network, one seed
    python samples/digits/train.py --config my.optim.yaml      the same by other rules

The program knows data and how to count; `in_torch.py` and `in_mindspore.py` know their frameworks' networks and
training loops.  Which parameter gets which optimizer, learning rate and weight decay, and how these change over the
run, is said in `digits.optim.yaml` and nowhere here.
"""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import data
from rich.console import Console
from rich.progress import Progress

import optplan

if TYPE_CHECKING:
    from data import Digits

MODELS = ("vit", "resnet")


def train(
    framework: Any, model: Any, plan: optplan.Plan, digits: Digits, seed: int, progress: Progress, title: str
) -> None:
    """Train `model` in place as `plan` says, for as many epochs, and draw a bar called `title`."""
    compiled = plan.bind(model)
    learn = framework.learner(model, compiled)
    epochs = int(plan.horizon.epochs or 1)
    bar = progress.add_task(title, total=epochs * digits.steps_per_epoch)
    for images, labels in digits.batches(epochs, seed):
        loss = learn(images, labels)
        highest = max(compiled.lr().values())
        progress.update(bar, advance=1, description=f"{title}, loss {loss:.3f}, highest lr {highest:.4f}")
    progress.remove_task(bar)


def compare_seeds(framework: Any, name: str, config: optplan.Config, epochs: int, seeds: list[int]) -> None:
    """Plan for the network `name` once, train it from each of `seeds`, print each accuracy and their median."""
    digits = data.load()
    plan = optplan.plan(config, framework.build(name, 0), epochs=epochs, steps_per_epoch=digits.steps_per_epoch)
    print(f"{name}: the plan\n\n{plan}\n")

    console = Console()
    scores: list[float] = []
    begin = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for seed in seeds:
            model = framework.build(name, seed)  # a plan is data: it binds to every network with these names and shapes
            train(framework, model, plan, digits, seed, progress, f"{name}, seed {seed}")
            scores.append(framework.accuracy(model, digits.test_images, digits.test_labels))
            print(f"{name}: seed {seed}, test accuracy {scores[-1]:.2f} %")
    print(f"{name}: median {median(scores):.2f} % of {len(scores)}, {time.perf_counter() - begin:.0f} s\n")


def main() -> None:
    """Read the command line and train what it asks for."""
    parser = argparse.ArgumentParser(description="Train two small networks on handwritten digits.")
    parser.add_argument("--framework", choices=["torch", "mindspore"], default="torch")
    parser.add_argument("--model", choices=[*MODELS, "both"], default="both")
    count = parser.add_mutually_exclusive_group()
    count.add_argument("--seeds", type=int, default=5, metavar="N", help="train from seeds 0 to N - 1 (default 5)")
    count.add_argument("--seed", type=int, metavar="S", help="train from seed S only")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("digits.optim.yaml"))
    arguments = parser.parse_args()

    framework = import_module(f"in_{arguments.framework}")
    try:
        config = optplan.load(arguments.config)
        for name in MODELS if arguments.model == "both" else [arguments.model]:
            seeds = list(range(arguments.seeds)) if arguments.seed is None else [arguments.seed]
            compare_seeds(framework, name, config, arguments.epochs, seeds)
    except optplan.ConfigError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
