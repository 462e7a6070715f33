"""Training that optplan compiles and training written by hand give the same weights, bit for bit."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING, Any

import pytest
import torch

import optplan
from tests.targets.cases import FLOOR, SCHEDULE, UPDATES, WARMUP, Case, every_case, factor, network
from tests.targets.networks import (
    Matrices,
    Pictures,
    Words,
    advance,
    document,
    same_weights,
    seeded,
    train,
    weights,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.optim import Optimizer


def train_by_hand(model: nn.Module, optimizers: Sequence[tuple[Optimizer, list[float]]], *, scheduled: bool) -> None:
    """The loop that a user would write."""
    for t in range(UPDATES):
        if scheduled:
            for optimizer, lrs in optimizers:
                for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                    group["lr"] = lr * factor(t)
        advance(model, [optimizer for optimizer, _ in optimizers], t)


@every_case
def test_an_optimizer_trains_as_under_a_scheduler_of_pytorch(case: Case) -> None:
    """LambdaLR with the same curve in another order of operations: a last digit of the rate changes no weight."""

    def rate(update: int) -> float:
        if update < WARMUP:
            return update / WARMUP
        return FLOOR + 0.5 * (1 - FLOOR) * (1.0 + cos(pi * (update - WARMUP) / (UPDATES - WARMUP)))

    mine, theirs = network(case), network(case)
    train(mine, optplan.compile(case.document(schedule={"lr": SCHEDULE}), mine, steps=UPDATES), range(UPDATES))
    optimizer, _ = case.by_hand(theirs)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for t in range(UPDATES):
        advance(theirs, [optimizer], t)
        scheduler.step()
    assert same_weights(mine, theirs)


@every_case
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
def test_an_optimizer_trains_as_by_hand(case: Case, *, scheduled: bool) -> None:
    mine, theirs = network(case), network(case)
    rest: dict[str, Any] = {"schedule": {"lr": SCHEDULE}} if scheduled else {}
    compiled = optplan.compile(case.document(**rest), mine, steps=UPDATES)
    assert type(compiled.optimizer) is case.cls
    assert len(compiled.optimizer.param_groups) == (1 if case.type == "lbfgs" else 3)
    assert (compiled.scheduler is not None) == scheduled
    before = weights(mine)
    train(mine, compiled, range(UPDATES))
    train_by_hand(theirs, [case.by_hand(theirs)], scheduled=scheduled)
    assert same_weights(mine, theirs)
    for name, parameter in mine.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name


@every_case
def test_the_class_alone_trains_as_the_plan(case: Case) -> None:
    mine, theirs = network(case), network(case)
    compiled = optplan.compile(case.document(), mine)
    built = optplan.compile(case.document(), theirs)
    host = built.optimizer_class(built.param_groups, **built.defaults)
    train(mine, compiled, range(UPDATES))
    train(theirs, (host, None), range(UPDATES))
    assert same_weights(mine, theirs)
    assert [without_parameters(group) for group in host.param_groups] == [
        without_parameters(group) for group in compiled.optimizer.param_groups
    ]


def without_parameters(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


MUON = document(
    {"type": "adamw", "lr": 3e-3, "betas": [0.9, 0.95], "weight_decay": 0.1},
    optimizers={"hidden": {"type": "muon", "lr": 0.02, "momentum": 0.9}},
    rules=[
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "linear and ndim == 2 and not head", "use": "hidden"},
    ],
    schedule={"lr": SCHEDULE},
)


def test_muon_beside_adamw_is_two_stock_optimizers() -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile(MUON, mine, steps=UPDATES)
    train(mine, compiled, range(UPDATES))
    spared = [p for n, p in theirs.named_parameters() if n.endswith("bias") or n.startswith(("norm.", "final."))]
    decayed = [p for n, p in theirs.named_parameters() if n in {"stem.weight", "head.weight"}]
    groups: list[dict[str, Any]] = [{"params": spared, "weight_decay": 0.0}, {"params": decayed}]
    adamw = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    muon = torch.optim.Muon([theirs.get_parameter("body.weight")], lr=0.02, momentum=0.9)
    train_by_hand(theirs, [(adamw, [3e-3, 3e-3]), (muon, [0.02])], scheduled=True)
    assert same_weights(mine, theirs)


def test_several_optimizers_of_one_class_are_one() -> None:
    model = seeded(Matrices)
    config = document(
        {"type": "adam", "lr": 1e-2},
        optimizers={"second": {"type": "adam", "lr": 1e-3, "betas": [0.5, 0.9]}},
        rules=[{"where": "head", "use": "second"}],
    )
    compiled = optplan.compile(config, model)
    assert type(compiled.optimizer) is torch.optim.Adam
    assert [group["betas"] for group in compiled.optimizer.param_groups] == [(0.9, 0.999), (0.5, 0.9)]


SECOND: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "adam": (torch.optim.Adam, {"lr": 1e-2, "amsgrad": True}),
    "adamax": (torch.optim.Adamax, {"lr": 1e-2}),
    "nadam": (torch.optim.NAdam, {"lr": 1e-2}),
    "radam": (torch.optim.RAdam, {"lr": 1e-2}),
    "adagrad": (torch.optim.Adagrad, {"lr": 1e-2, "initial_accumulator_value": 0.25}),
    "adadelta": (torch.optim.Adadelta, {"lr": 0.5}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-3, "momentum": 0.9, "centered": True}),
    "rprop": (torch.optim.Rprop, {"lr": 1e-2}),
    "asgd": (torch.optim.ASGD, {"lr": 1e-2, "t0": 3.0}),
    "adafactor": (torch.optim.Adafactor, {"lr": 1e-2}),
    "muon": (torch.optim.Muon, {"lr": 1e-2}),
}


@pytest.mark.parametrize("kind", SECOND)
def test_any_two_train_as_two_stock_optimizers(kind: str) -> None:
    cls, settings = SECOND[kind]
    mine, theirs = seeded(Matrices), seeded(Matrices)
    config = document(
        {"type": "adamw", "lr": 1e-2},
        optimizers={"second": {"type": kind, **settings}},
        rules=[{"where": "body", "use": "second"}],
        schedule={"lr": SCHEDULE},
    )
    compiled = optplan.compile(config, mine, steps=UPDATES)
    train(mine, compiled, range(UPDATES))
    first = torch.optim.AdamW([theirs.get_parameter("stem.weight"), theirs.get_parameter("head.weight")], lr=1e-2)
    second = cls([theirs.get_parameter("body.weight")], **settings)
    train_by_hand(theirs, [(first, [1e-2]), (second, [settings["lr"]])], scheduled=True)
    assert same_weights(mine, theirs)


def test_a_sparse_embedding_beside_dense_layers() -> None:
    mine, theirs = seeded(Words), seeded(Words)
    config = document(
        {"type": "adamw", "lr": 1e-2},
        optimizers={"table": {"type": "sparse_adam", "lr": 2e-2}},
        rules=[{"where": "embedding", "use": "table"}],
        schedule={"lr": SCHEDULE},
    )
    compiled = optplan.compile(config, mine, steps=UPDATES)
    train(mine, compiled, range(UPDATES))
    dense = torch.optim.AdamW([p for n, p in theirs.named_parameters() if n != "table.weight"], lr=1e-2)
    sparse = torch.optim.SparseAdam([theirs.get_parameter("table.weight")], lr=2e-2)
    train_by_hand(theirs, [(dense, [1e-2]), (sparse, [2e-2])], scheduled=True)
    assert same_weights(mine, theirs)


def test_every_scheduled_setting_is_driven() -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    config = document(
        {"type": "adamw", "lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.99]},
        schedule={"lr": SCHEDULE, "weight_decay": "cosine(to=2x)", "betas[0]": "linear(to=0.5)"},
    )
    compiled = optplan.compile(config, mine, steps=UPDATES)
    train(mine, compiled, range(UPDATES))
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1, betas=(0.9, 0.99))
    for t in range(UPDATES):
        (group,) = optimizer.param_groups
        group["lr"] = 1e-2 * factor(t)
        group["weight_decay"] = 0.1 * (2 + (1 - 2) * (1 + cos(pi * (t / UPDATES))) / 2)
        group["betas"] = (0.9 + (0.5 - 0.9) * (t / UPDATES), 0.99)
        advance(theirs, [optimizer], t)
    assert same_weights(mine, theirs)


def test_a_rate_per_layer() -> None:
    mine, theirs = seeded(Matrices), seeded(Matrices)
    config = document(
        {"type": "sgd", "lr": 0.5, "momentum": 0.9},
        layers=["stem", "body", "head"],
        rules=[{"where": "all", "lr": "base * 0.5 ** (layers - 1 - layer)"}],
        schedule={"lr": SCHEDULE},
    )
    train(mine, optplan.compile(config, mine, steps=UPDATES), range(UPDATES))
    lrs = [0.5 * 0.5**2, 0.5 * 0.5, 0.5]
    optimizer = torch.optim.SGD(
        [{"params": [p], "lr": lr} for p, lr in zip(theirs.parameters(), lrs, strict=True)], momentum=0.9
    )
    train_by_hand(theirs, [(optimizer, lrs)], scheduled=True)
    assert same_weights(mine, theirs)
