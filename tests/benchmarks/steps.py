"""One training step, measured side by side: `make bench`.

`compiled.step(loss)` against the same loop written by hand in PyTorch, on a network of 300 tensors, forward and
backward included, A B A B ..., each on a copy of its own.  `compiled.step` gives the norm of the gradients unless told
otherwise, which a loop that does not clip has no need of: one that computes it is there too, and one that does not.
"""

from __future__ import annotations

import gc
import statistics
from copy import deepcopy
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim.lr_scheduler import LambdaLR

import optplan

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS, WIDTH, BATCH = 150, 128, 32
ROUNDS, CALLS = 31, 4
STEPS = (ROUNDS + 1) * CALLS
LIMIT = 1.0
INIT = 1024.0


class Network(nn.Module):
    """Matrices and biases, one after the other, with what came in added: 2 tensors a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))

    def forward(self, rows: Tensor) -> Tensor:
        """`(n, WIDTH)` to as many."""
        for layer in self.layers:
            rows = rows + layer(rows).relu() / LAYERS
        return rows


class Variant(NamedTuple):
    """What a step does beside the update; `norm` and `theirs` say where its norm is told without clipping."""

    name: str
    clip: bool = False
    scaler: bool = False
    accumulate: int = 1
    norm: bool = True
    theirs: bool = True


VARIANTS = (
    Variant("plain, without the norm", norm=False, theirs=False),
    Variant("plain, with the norm"),
    Variant("plain, the norm in ours only", theirs=False),
    Variant("clipped", clip=True),
    Variant("clipped, scaled", clip=True, scaler=True),
    Variant("clipped, scaled, 4 batches", clip=True, scaler=True, accumulate=4),
)


def document(variant: Variant, fused: bool) -> dict[str, object]:
    """AdamW with two groups and a schedule, and what the variant has."""
    return {
        "optplan": 1,
        "optimizer": {"type": "adamw", "lr": 1e-3, "weight_decay": 0.05, "torch": {"fused": fused}},
        "rules": [{"where": "bias", "weight_decay": 0}],
        "schedule": {"lr": "cosine(to=0.1x)"},
        "clip": f"norm({LIMIT})" if variant.clip else "none",
        "loss_scale": f"dynamic(init={INIT})" if variant.scaler else "none",
        "accumulate": variant.accumulate,
    }


def ours(network: nn.Module, rows: Tensor, variant: Variant, fused: bool) -> Callable[[], object]:
    """`compiled.step`, once."""
    compiled = optplan.compile(document(variant, fused), network, steps=STEPS)
    norm = variant.norm
    return lambda: compiled.step(network(rows).square().mean(), norm=norm)


def by_hand(network: nn.Module, rows: Tensor, variant: Variant, fused: bool) -> Callable[[], object]:
    """The same, as people write it."""
    named = list(network.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in named if not n.endswith("bias")]},
        {"params": [p for n, p in named if n.endswith("bias")], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05, fused=fused)
    curve = dict(optplan.plan(document(variant, fused), network, steps=STEPS).groups[0].curves)["lr"]
    scheduler = LambdaLR(optimizer, curve.factor)
    scaler = torch.amp.GradScaler("cpu", init_scale=INIT, enabled=variant.scaler)
    batch = 0

    def step() -> Tensor:
        nonlocal batch
        loss: Tensor = network(rows).square().mean()
        scaled: Any = scaler.scale(loss / variant.accumulate if variant.accumulate > 1 else loss)
        scaled.backward()
        batch += 1
        if batch % variant.accumulate:
            return loss.detach()
        if variant.clip:
            scaler.unscale_(optimizer)
            clip_grad_norm_(network.parameters(), LIMIT)
        elif variant.theirs:
            get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() >= before:
            scheduler.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def step_figures() -> None:
    """Each variant, each way of updating: medians of both, and of the ratio of neighbours."""
    torch.manual_seed(0)
    network, rows = Network(), torch.randn(BATCH, WIDTH)
    tensors = len(list(network.parameters()))
    print(f"compiled.step(loss) against the loop written by hand, {tensors} tensors, AdamW, forward included")
    print(f"  {'':<40} {'ms':>8} {'by hand, ms':>12} {'ratio':>7}")
    for fused in (False, True):
        for variant in VARIANTS:
            works = [make(deepcopy(network), rows, variant, fused) for make in (ours, by_hand)]
            times: list[tuple[float, float]] = []
            for number in range(ROUNDS + 1):
                pair = []
                for work in works:
                    gc.collect()
                    begin = perf_counter()
                    for _ in range(CALLS):
                        work()
                    pair.append((perf_counter() - begin) / CALLS)
                if number:
                    times.append((pair[0], pair[1]))
            mine, theirs = (statistics.median(each[place] for each in times) for place in (0, 1))
            ratio = statistics.median(one / other for one, other in times)
            name = variant.name + (", fused" if fused else "")
            print(f"  {name:<40} {mine * 1e3:>8.2f} {theirs * 1e3:>12.2f} {ratio:>7.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    step_figures()
