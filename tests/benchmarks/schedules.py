"""Schedules, measured side by side: `make bench`.

One `scheduler.step()` against PyTorch's own and a plain loop, all in turn, A B C ..., over groups whose rates differ;
then what the length of the run costs: in a plan nothing, and in MindSpore, which looks each value up in a table, the
table.  Figures are medians, and ratios are medians of the ratios of neighbours.
"""

from __future__ import annotations

import gc
import os
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

import optplan

os.environ.setdefault("GLOG_v", "3")  # MindSpore's log: errors only

ROUNDS, CALLS = 21, 100
GROUPS = (1, 12, 300)
HORIZON = (ROUNDS + 1) * CALLS + 1
HORIZONS = (1_000, 1_000_000)
LAYERS = 12

Work = Callable[[], object]


class Layers(nn.Module):
    """As many matrices as asked, each a group of its own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(count))


def document(count: int) -> dict[str, Any]:
    """A warm-up and a cosine over groups whose rates are all different."""
    return {
        "optplan": 1,
        "optimizer": {"type": "adamw", "lr": 1e-3},
        "layers": ["layers.{i}"],
        "rules": [{"where": "all", "lr": f"base * (1 + layer / {count})"}],
        "schedule": {"lr": "warmup(5%) -> cosine(to=0.01x)"},
    }


def in_turn(works: dict[str, Work], rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds for one call of each, in turn, after a round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            gc.collect()
            begin = perf_counter()
            for _ in range(calls):
                work()
            if number:
                times[name].append((perf_counter() - begin) / calls)
    return times


def plain_loop(optimizer: torch.optim.Optimizer, factors: list[float]) -> Work:
    """What people write by hand: a table of factors, and each group's own rate."""
    update = 0

    def step() -> None:
        nonlocal update
        update += 1
        factor = factors[update]
        for group in optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]

    return step


def step_figures() -> None:
    """One step of four schedulers, each of which drives an optimizer of its own."""
    print("one scheduler.step(), and how often a plain loop's time it takes")
    print(f"{'groups':>8} {'':>22} {'us':>9} {'/ plain loop':>13} {'/ LambdaLR':>11} {'/ OneCycleLR':>13}")
    for count in GROUPS:
        made = [optplan.compile(document(count), Layers(count), steps=HORIZON) for _ in range(4)]
        if any(len(each.optimizer.param_groups) != count for each in made) or made[0].scheduler is None:
            raise AssertionError(made[0].plan)
        curve = dict(made[0].plan.groups[0].curves)["lr"]
        factors = [curve.factor(t) for t in range(HORIZON)]
        rates = [group["initial_lr"] for group in made[2].optimizer.param_groups]
        stock = LambdaLR(made[1].optimizer, factors.__getitem__)
        cycle = OneCycleLR(made[2].optimizer, rates, total_steps=HORIZON)
        for each in made[1:3]:  # PyTorch warns of a scheduler that is stepped before its optimizer
            each.optimizer.step()
        times = in_turn(
            {
                "optplan": made[0].scheduler.step,
                "LambdaLR": stock.step,
                "OneCycleLR": cycle.step,
                "a plain loop": plain_loop(made[3].optimizer, factors),
            },
            ROUNDS,
            CALLS,
        )
        for name, own in times.items():
            ratios = [
                statistics.median(a / b for a, b in zip(own, times[other], strict=True))
                for other in ("a plain loop", "LambdaLR", "OneCycleLR")
            ]
            print(
                f"{count:>8} {name:>22} {statistics.median(own) * 1e6:>9.2f} "
                f"{ratios[0]:>13.2f} {ratios[1]:>11.2f} {ratios[2]:>13.2f}"
            )


def horizon_figures() -> None:
    """A plan, and binding it under PyTorch, by the length of the run."""
    network = Layers(LAYERS)
    plans = {steps: optplan.plan(document(LAYERS), network, steps=steps) for steps in HORIZONS}
    works: dict[str, Work] = {}
    for steps in HORIZONS:
        works[f"plan, {steps:,} updates"] = lambda steps=steps: optplan.plan(document(LAYERS), network, steps=steps)  # type: ignore[misc]  # bound now, as the loop goes on
    for steps, plan in plans.items():
        works[f"bind, {steps:,} updates"] = lambda plan=plan: plan.bind(network)  # type: ignore[misc]  # as above
    print_pairs(f"PyTorch, {LAYERS} groups, by the horizon", in_turn(works, 15, 3))


def mindspore_figures() -> None:
    """Binding under MindSpore by the length of the run: a table of float32 for each group."""
    import mindspore as ms  # noqa: PLC0415  PyTorch's figures are taken in a process without its threads

    class Cells(ms.nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.layers = ms.nn.CellList([ms.nn.Dense(2, 2, has_bias=False) for _ in range(LAYERS)])

    network = Cells()
    plans = {steps: optplan.plan(document(LAYERS), network, steps=steps) for steps in HORIZONS}
    works: dict[str, Work] = {
        f"bind, {steps:,} updates": lambda plan=plan: plan.bind(network)  # type: ignore[misc]  # as above
        for steps, plan in plans.items()
    }
    print_pairs(f"MindSpore, {LAYERS} groups, by the horizon", in_turn(works, 3, 1))


def print_pairs(title: str, times: dict[str, list[float]]) -> None:
    """Each work's time, and its ratio to the one before it, which is the same with a shorter run."""
    print(f"\n{title}")
    names = list(times)
    for place, name in enumerate(names):
        own = times[name]
        line = f"  {name:<24} {statistics.median(own) * 1e3:>10.2f} ms"
        if place % 2:
            ratio = statistics.median(a / b for a, b in zip(own, times[names[place - 1]], strict=True))
            line += f", ratio {ratio:.2f}"
        print(line)


if __name__ == "__main__":
    torch.set_num_threads(1)
    step_figures()
    horizon_figures()
    mindspore_figures()
