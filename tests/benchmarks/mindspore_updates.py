"""Optimizer calls of MindSpore, measured side by side: `make bench` runs this once in each mode.

    python tests/benchmarks/mindspore_updates.py pynative|graph

One call over 161 tensors, as many as ResNet-50 has, each of 64 x 64, so that what is measured is the calls and not the
arithmetic: what optplan makes of `adamw` (one group; two, with and without decay; twelve rates) against
`nn.AdamWeightDecay`, which leaves out the bias correction, and `experimental.optim.AdamW`.  Then the first call, which
compiles, by the number of groups.
"""

from __future__ import annotations

import statistics
import sys
from time import perf_counter
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn
from mindspore.experimental import optim as experimental

import optplan

TENSORS, WIDTH = 161, 64
ROUNDS, CALLS = 9, 10
GROUPS = (1, 2, 4, 8, 12, 16, 20, 40)


class Tensors(nn.Cell):
    """Nothing but parameters: `w.0` to `w.160`."""

    def __init__(self) -> None:
        super().__init__()
        fill = np.ones((WIDTH, WIDTH), np.float32)
        self.w = ParameterTuple([Parameter(Tensor(fill), name=f"w.{number}") for number in range(TENSORS)])


def compiled(groups: int, *, decayed: bool = True) -> Any:
    """The optimizer of a file with so many groups, which differ in their rate, or the last in its decay."""
    document: dict[str, Any] = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "lr": 1e-3, "weight_decay": 0.05},
        "schedule": {"lr": "warmup(100) -> cosine()"},
        "horizon": {"steps": 10_000},
    }
    bounds = [place * TENSORS // groups for place in range(groups + 1)]
    document["rules"] = [
        {
            "where": f"w.{{{bounds[place]}..{bounds[place + 1] - 1}}}",
            **({"lr": f"{1 - place / (2 * groups)}x"} if decayed else {"weight_decay": 0}),
        }
        for place in range(1, groups)
    ]
    made = optplan.compile(document, Tensors())
    if len(made.plan.groups) != groups:
        raise AssertionError(made.plan)
    return made.optimizer


def weights() -> list[Parameter]:
    """The parameters of a fresh network."""
    return list(Tensors().trainable_params())


def call_times(optimizers: dict[str, Any], gradients: tuple[Tensor, ...]) -> dict[str, list[float]]:
    """Seconds for one call of each, in turn, after calls that do not count."""
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for number in range(ROUNDS + 1):
        for name, optimizer in optimizers.items():
            begin = perf_counter()
            for _ in range(CALLS):
                optimizer(gradients)
            optimizer.parameters[-1].asnumpy()  # waits for what is under way
            if number:
                times[name].append((perf_counter() - begin) / CALLS)
    return times


def main() -> None:
    """Measure in the mode that the command line names."""
    mode = sys.argv[1]
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    generator = np.random.default_rng(0)
    gradients = tuple(Tensor(generator.standard_normal((WIDTH, WIDTH)), ms.float32) for _ in range(TENSORS))

    optimizers = {
        "adamw, 1 group": compiled(1),
        "adamw, 2 groups": compiled(2, decayed=False),
        "adamw, 12 groups": compiled(12),
        "nn.AdamWeightDecay": nn.AdamWeightDecay([{"params": weights()}], 1e-3, weight_decay=0.05),
        "experimental.optim.AdamW": experimental.AdamW(weights(), 1e-3),
    }
    times = call_times(optimizers, gradients)
    print(f"\n{mode}: one call over {TENSORS} tensors")
    print(f"{'':>28} {'ms':>7} {'/ AdamWeightDecay':>18} {'/ experimental':>15}")
    for name, own in times.items():
        ratios = [
            statistics.median(a / b for a, b in zip(own, times[other], strict=True))
            for other in ("nn.AdamWeightDecay", "experimental.optim.AdamW")
        ]
        print(f"{name:>28} {statistics.median(own) * 1e3:>7.1f} {ratios[0]:>18.2f} {ratios[1]:>15.2f}")

    print(f"\n{mode}: the first call, which compiles, by the number of groups")
    for groups in GROUPS:
        optimizer = compiled(groups)
        begin = perf_counter()
        optimizer(gradients)
        optimizer.parameters[-1].asnumpy()
        print(f"{groups:>4} groups {perf_counter() - begin:>6.2f} s, {type(optimizer).__name__}")


if __name__ == "__main__":
    main()
