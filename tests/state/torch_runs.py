"""Runs of every optimizer under PyTorch, and a process that goes on: `python -m tests.state.torch_runs FOLDER`.

For each run, by its number, FOLDER has `N.pt`, the weights, and `N.safetensors`, the state, after half of the updates;
the weights at the end are written to `N.after.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import optplan
from tests.targets.cases import CASES
from tests.targets.networks import Matrices, Pictures, Words, document, loss_of, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

HALF, WHOLE = 50, 100
SCHEDULE = "warmup(10) -> cosine(to=0.1x)"

_MATRIX = {"where": "body.weight", "use": "hidden"}

RUNS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    each.id: (case.build, case.document(schedule={"lr": SCHEDULE})) for each in CASES for case in [each.values[0]]
} | {
    "several, scaled, by reports": (
        Pictures,
        document(
            {"type": "adamw", "lr": 3e-3, "weight_decay": 0.1},
            optimizers={
                "hidden": {"type": "muon", "lr": 0.02},
                "head": {"type": "nadam", "lr": 1e-3, "betas": [0.8, 0.99]},
                "norms": {"type": "sgd", "lr": 1e-2, "momentum": 0.9, "dampening": 0.1},
            },
            rules=[
                _MATRIX,
                {"where": "head", "use": "head", "schedule": {"lr": "hold(5) -> plateau(metric=loss, patience=2)"}},
                {"where": "norm", "use": "norms", "schedule": {"lr": "plateau(metric=accuracy, mode=max, patience=3)"}},
            ],
            schedule={"lr": SCHEDULE, "weight_decay": "cosine(to=2x)", "betas[0]": "linear(to=0.8)"},
            loss_scale="dynamic(init=1024, every=7)",
            clip="norm(1.0)",
        ),
    ),
    "sparse beside dense": (
        Words,
        document(
            {"type": "adagrad", "lr": 1e-1, "initial_accumulator_value": 0.2},
            optimizers={"table": {"type": "sparse_adam", "lr": 2e-2}},
            rules=[{"where": "embedding", "use": "table"}],
            schedule={"lr": SCHEDULE},
        ),
    ),
    "without a schedule": (Matrices, document({"type": "adam", "lr": 1e-2, "amsgrad": True})),
    "gathered": (Pictures, document({"type": "rmsprop", "lr": 1e-3, "momentum": 0.9}, accumulate=2, loss_scale=256)),
    "fused": (Pictures, document({"type": "adamw", "lr": 1e-2}, torch={"fused": True}, schedule={"lr": SCHEDULE})),
}


def start(name: str) -> tuple[nn.Module, Any]:
    """A run before its first update."""
    build, config = RUNS[name]
    model = seeded(build)
    return model, optplan.compile(config, model, steps=WHOLE)


def train(model: nn.Module, compiled: Any, batches: range) -> None:
    """Batches as a user's loop has them, of which two overflow under a loss scale; what is reported stops falling."""
    metrics = {watched for watched in ("loss", "accuracy") if watched in compiled.plan.to_json()}
    plateaus = bool(compiled.scheduler is not None and compiled.scheduler.reports)
    for batch in batches:

        def loss(number: int = batch) -> torch.Tensor:
            found = loss_of(model, number)
            return found * float("inf") if compiled.plan.loss_scale is not None and number in (13, 64) else found

        compiled.step(loss)
        if plateaus and metrics:
            compiled.report(loss=1.0 / (1 + min(batch, 20)), accuracy=min(batch, 35) / 100)


def main() -> None:
    """See the head of the module."""
    folder = Path(sys.argv[1])
    for number, name in enumerate(RUNS):
        model, compiled = start(name)
        model.load_state_dict(torch.load(folder / f"{number}.pt", weights_only=True))
        found = compiled.restore(folder / f"{number}.safetensors")
        assert not found, (name, found)
        train(model, compiled, range(HALF, WHOLE))
        torch.save(model.state_dict(), folder / f"{number}.after.pt")


if __name__ == "__main__":
    main()
