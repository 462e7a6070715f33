"""What is trained on several devices, by which files, and the same training in one process as one writes it by hand.

A process has its part of each batch, so that the mean of their gradients is the gradient of the whole batch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import optplan
from tests.targets.networks import CLASSES, Pictures, document, seeded

if TYPE_CHECKING:
    from torch import Tensor, nn

UPDATES = 15
# More rows than a matrix has: fewer leave a gradient without full rank, and Muon makes much of the rounding there.
BATCH = 32
# The batch in which one process has an overflow, where there is a loss scale.
OVERFLOW = 4

NO_DECAY = {"where": "norm or bias", "weight_decay": 0}
SEVERAL = {
    "optimizers": {
        "head": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
        "norms": {"type": "rmsprop", "lr": 1e-3},
    },
    "rules": [{"where": "head", "use": "head"}, {"where": "norm", "use": "norms"}, NO_DECAY],
}
ADAMW = {"type": "adamw", "lr": 1e-2, "weight_decay": 0.1}
SGD = {"type": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}
SCHEDULE = {"lr": "warmup(3) -> cosine(to=0.1x)"}

OTHERS = ("adam", "nadam", "radam", "adamax", "adagrad", "adadelta", "rmsprop", "asgd")
OTHER_NAMES = [f"{part}.{name}" for part in ("stem", "norm", "final", "head") for name in ("weight", "bias")]

CASES: dict[str, dict[str, Any]] = {
    "sgd": document(SGD, rules=[NO_DECAY], schedule=SCHEDULE),
    "adamw": document(ADAMW, rules=[NO_DECAY], schedule=SCHEDULE),
    "several": document(ADAMW, schedule=SCHEDULE, **SEVERAL),
    "several, clipped and scaled": document(
        ADAMW, schedule=SCHEDULE, clip="norm(0.5)", loss_scale="dynamic(init=256, every=5)", **SEVERAL
    ),
    "sgd, clipped by value, fixed scale": document(SGD, clip="value(0.02)", loss_scale="fixed(128)"),
    "adamw, accumulated": document(ADAMW, schedule=SCHEDULE, clip="norm(0.5)", accumulate=3),
    "adamw without the stem": document(ADAMW, rules=[{"where": "stem", "freeze": True}], schedule=SCHEDULE),
    "eight others": document(
        ADAMW,
        optimizers={f"its_{kind}": {"type": kind, "lr": 1e-3} for kind in OTHERS},
        rules=[{"where": name, "use": f"its_{kind}"} for name, kind in zip(OTHER_NAMES, OTHERS, strict=True)],
        schedule=SCHEDULE,
    ),
    "muon and adamw": document(
        ADAMW,
        optimizers={"matrices": {"type": "muon", "lr": 0.02}},
        rules=[{"where": "body.weight", "use": "matrices"}],
        schedule={"lr": "cosine(to=0.1x)"},
    ),
}


class Trained(NamedTuple):
    """A training in one process: the weights at its end, and of each update the norm, the scale, and if it was made."""

    weights: dict[str, Tensor]
    norms: list[float]
    scales: list[float]
    updated: list[bool]


def planned(case: str) -> optplan.Plan:
    """The plan of a case, from the whole network on no device."""
    with torch.device("meta"):
        blueprint = Pictures()
    return optplan.plan(CASES[case], blueprint, steps=UPDATES)


def overflows(plan: optplan.Plan, batch: int, rank: int, world: int) -> bool:
    """Whether the loss of this process is infinite: in one batch, and in the last process only."""
    return plan.loss_scale is not None and batch == OVERFLOW and rank == world - 1


def loss_of(model: Any, batch: int, rank: int = 0, world: int = 1) -> Tensor:
    """The mean loss of this process's part of a batch."""
    generator = torch.Generator().manual_seed(batch)
    pictures = torch.randn(BATCH, 1, 6, 6, generator=generator)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    return functional.cross_entropy(model(pictures[part]), labels[part])


@cache
def in_one_process(case: str) -> Trained:
    """The training by torch's own clipping and GradScaler, written out; every batch whole."""
    model = seeded(Pictures)
    plan = planned(case)
    optimizer, scheduler = plan.bind(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    scale = plan.loss_scale
    fixed = scale is not None and scale.kind == "fixed"
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    if scale is not None:
        rule = (1.0 + 1e-9, 1e-9, 1_000_000) if fixed else (scale.growth, scale.backoff, scale.every)
        scaler = torch.amp.GradScaler("cpu", scale.init, *rule)
    norms, scales, updated = [], [], []
    for update in range(UPDATES):
        optimizer.zero_grad()
        for number in range(plan.accumulate):
            batch = update * plan.accumulate + number
            loss = loss_of(model, batch) / plan.accumulate
            scaled = scaler.scale(loss * torch.inf if overflows(plan, batch, 0, 1) else loss)
            scaled.backward()  # type: ignore[no-untyped-call]  # torch's own
        scales.append(scaler.get_scale())
        scaler.unscale_(optimizer)
        # A limit that none exceeds, to know the norm.
        limit = plan.clip.limit if plan.clip is not None and plan.clip.kind == "norm" else torch.inf
        norms.append(clip_grad_norm_(trained, limit).item())
        if plan.clip is not None and plan.clip.kind == "value":
            clip_grad_value_(trained, plan.clip.limit)
        overflow = not all(torch.isfinite(p.grad).all() for p in trained if p.grad is not None)
        scaler.step(optimizer)
        if fixed:
            scaler.update(scale.init if scale is not None else None)
        else:
            scaler.update()
        updated.append(not overflow)
        if scheduler is not None and not overflow:
            scheduler.step()
    return Trained(whole_weights(model), norms, scales, updated)


def difference(weights: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two sets of weights, tensor by tensor relative to the largest weight there."""
    assert weights.keys() == other.keys()
    return max(((weights[n] - other[n]).abs().max() / other[n].abs().max()).item() for n in other)


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights by their own names, those that are sharded put together; every process must ask."""
    found = {}
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
        found[name.removeprefix("module.")] = whole.detach().clone()
    return found
