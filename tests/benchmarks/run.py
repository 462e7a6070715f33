"""Speed, measured side by side: `make bench`.

What is compared runs in turn, A B A B ..., in one process (or one process each, for whole commands), so that a machine
that is busy is busy for both; figures are medians, and ratios are medians of the ratios of neighbours.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import nn

import optplan

Work = Callable[[], object]


class Result(NamedTuple):
    """Medians in seconds, and the median of the ratios."""

    ours: float
    theirs: float
    ratio: float


def side_by_side(ours: Work, theirs: Work, rounds: int) -> Result:
    """Time both in turn, after one round that does not count."""
    times: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        pair = []
        for work in (ours, theirs):
            gc.collect()
            begin = perf_counter()
            kept = work()
            pair.append(perf_counter() - begin)
            del kept
        if number:
            times.append((pair[0], pair[1]))
    return Result(
        statistics.median(each[0] for each in times),
        statistics.median(each[1] for each in times),
        statistics.median(each[0] / each[1] for each in times),
    )


# A network of as many parameters as asked: transformer layers of 16 tensors, on the meta device.


class Attention(nn.Module):
    """Four projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.o_proj = nn.Linear(width, width), nn.Linear(width, width)


class Layer(nn.Module):
    """A layer of an encoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.ModuleDict({"up": nn.Linear(width, 2 * width), "down": nn.Linear(2 * width, width)})


class Network(nn.Module):
    """An encoder between an embedding and a head: 16 parameters a layer and 3 more."""

    def __init__(self, parameters: int, width: int = 8) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(32, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(parameters // 16))
        self.head = nn.Linear(width, 10)


# Twenty rules as people write them: families, paths, types, shapes, sets, elements and ratios.
TWENTY = """\
optplan: 1
let: {batch: 1024}
optimizer: {type: adamw, lr: 5e-4 * batch / 512, weight_decay: 0.05}
sets:
  no_decay: norm or bias
  projections: .q_proj or .k_proj or .v_proj or .o_proj
rules:
  - {where: no_decay, weight_decay: 0}
  - {where: embedding, weight_decay: 0.01}
  - {name: heads, where: head, lr: 2x}
  - {where: head and bias, lr: 0.5x}
  - {where: "layers.{0..3}", lr: 0.5x}
  - {where: "layers.{4..7}", lr: 0.7x}
  - {where: projections and not bias, weight_decay: 0.1}
  - {where: .q_proj or .k_proj, "betas[1]": 0.99}
  - {where: "layers.*.mlp", weight_decay: 1.5x}
  - {where: .mlp.down and ndim == 2, lr: 0.9x}
  - {where: type(LayerNorm) and scale, lr: 0.8x}
  - {where: inside(Attention) and bias, lr: 1.1x}
  - {where: linear and fan_in > 8, eps: 1e-7}
  - {where: numel > 10000, lr: 0.3x, optional: true}
  - {where: "shape[0] == 10", lr: 1.5x}
  - {where: not (norm or bias or embedding) and ndim == 2, amsgrad: true}
  - {where: "layers.**.norm1", lr: 1.05x}
  - {where: dtype == float16, eps: 1e-6, optional: true}
  - {where: .norm2.bias, "betas[0]": 0.95}
  - {where: frozen, freeze: true, optional: true}
horizon: {epochs: 90, steps_per_epoch: 1251}
schedule: {lr: warmup(5%) -> cosine(to=0.01x)}
"""

FOUR = """\
optplan: 1
optimizer: {type: adamw, lr: 1e-3, weight_decay: 0.05}
rules:
  - {where: norm or bias, weight_decay: 0}
  - {where: embeddings, lr: 0.1x}
  - {where: head, lr: 10x}
"""


def by_hand(network: nn.Module) -> torch.optim.Optimizer:
    """What FOUR says, as people write it."""
    rest = [
        (name, parameter)
        for name, parameter in network.named_parameters()
        if not name.startswith(("embeddings.", "head."))
    ]
    groups = [
        {"params": [p for n, p in rest if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for n, p in rest if p.ndim <= 1], "weight_decay": 0.0},
        {"params": [p for n, p in network.named_parameters() if n.startswith("embeddings.")], "lr": 1e-4},
        {"params": [p for n, p in network.named_parameters() if n == "head.weight"], "lr": 1e-2},
        {"params": [p for n, p in network.named_parameters() if n == "head.bias"], "lr": 1e-2, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05)


def plan_figures() -> None:
    """Making a plan against listing the parameters."""
    print("a plan with 20 rules, history included, against list(model.named_parameters())")
    print(f"{'parameters':>12} {'groups':>7} {'plan, ms':>10} {'list, ms':>10} {'ratio':>7}")
    config = optplan.loads(TWENTY)
    for parameters, rounds in ((1_000, 21), (10_000, 15), (100_000, 7)):
        with torch.device("meta"):
            network = Network(parameters)
        made = optplan.plan(config, network)
        result = side_by_side(
            lambda network=network: optplan.plan(config, network),  # type: ignore[misc]  # bound now, as the loop goes on
            lambda network=network: list(network.named_parameters()),  # type: ignore[misc]  # as above
            rounds,
        )
        print(
            f"{len(made.names):>12,} {len(made.groups):>7} {result.ours * 1e3:>10.2f} "
            f"{result.theirs * 1e3:>10.2f} {result.ratio:>7.2f}"
        )


def compile_figures() -> None:
    """From a config to an optimizer, against comprehensions written by hand."""
    network = Network(10_000)
    config = optplan.loads(FOUR)
    result = side_by_side(lambda: optplan.compile(config, network), lambda: by_hand(network), 15)
    print("\nconfig to optimizer at 10,000 parameters, against hand-written comprehensions")
    print(f"  {result.ours * 1e3:.2f} ms against {result.theirs * 1e3:.2f} ms, ratio {result.ratio:.2f}")


def long_document() -> str:
    """A document of 200 lines: TWENTY's rules again and again, under other names."""
    head, rules = TWENTY.split("rules:\n")
    body, tail = rules.split("horizon:")
    lines = [line for line in body.splitlines() if "name:" not in line]
    room = 200 - len(head.splitlines()) - 1 - len(tail.splitlines())
    repeated = [lines[number % len(lines)] for number in range(room)]
    return "\n".join([head + "rules:", *repeated, "horizon:" + tail])


def check_figures() -> None:
    """`optplan check` as a whole process, against importing torch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.optim.yaml")
        path.write_text(long_document(), encoding="utf-8")
        count = len(path.read_text(encoding="utf-8").splitlines())
        check = [sys.executable, "-m", "optplan", "check", str(path)]
        bare = [sys.executable, "-c", "import torch"]
        # an installed package has its modules compiled, so ours shall not be compiled anew each time
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

        def run(command: list[str]) -> object:
            return subprocess.run(command, check=True, capture_output=True, env=environment)

        result = side_by_side(lambda: run(check), lambda: run(bare), 11)
    print(f"\noptplan check of a file of {count} lines, against python -c 'import torch'")
    print(f"  {result.ours * 1e3:.0f} ms against {result.theirs * 1e3:.0f} ms, ratio {result.ratio:.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    plan_figures()
    compile_figures()
    check_figures()
