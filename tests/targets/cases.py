"""Every optimizer with several settings, on a network that it takes, with three groups."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch

from tests.targets.networks import Matrices, Pictures, Tables, document, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from torch.optim import Optimizer

UPDATES = 20
WARMUP = 5
FLOOR = 0.1
SCHEDULE = "warmup(5) -> cosine(to=0.1x)"


def factor(update: int) -> float:
    """`SCHEDULE` in a user's own words: what multiplies the rate at an update, from 0."""
    if update < WARMUP:
        return update / WARMUP
    progress = (update - WARMUP) / (UPDATES - WARMUP)
    return FLOOR + (1 - FLOOR) * (1 + cos(pi * progress)) / 2


class Case(NamedTuple):
    """An optimizer's settings, torch's class, and the network."""

    type: str
    cls: Callable[..., Optimizer]
    settings: dict[str, Any]
    build: Callable[[], nn.Module]

    @property
    def decays(self) -> bool:
        """Whether it has a weight decay to take away."""
        return bool(self.settings.get("weight_decay"))

    def document(self, **rest: Any) -> dict[str, Any]:
        """No decay on norms and biases (here: another rate, where there is no decay), another rate for the head."""
        if self.type == "lbfgs":
            rules = []
        elif self.decays:
            rules = [{"where": SPARED[self.build], "weight_decay": 0}, {"where": "head.weight", "lr": "0.1x"}]
        else:
            rules = [{"where": SPARED[self.build], "lr": "0.5x"}, {"where": "head.weight", "lr": "0.1x"}]
        written = {key: list(value) if isinstance(value, tuple) else value for key, value in self.settings.items()}
        return document({"type": self.type, **written}, rules=rules, **rest)

    def by_hand(self, model: nn.Module) -> tuple[Optimizer, list[float]]:
        """The same in plain torch, and the rate of each group."""
        lr = self.settings["lr"]
        if self.type == "lbfgs":
            return self.cls(model.parameters(), **self.settings), [lr]
        names = [name for name, _ in model.named_parameters()]
        if self.build is Pictures:
            spared = {name for name in names if name.endswith("bias") or name.startswith(("norm.", "final."))}
        else:
            spared = {"stem.weight"}
        plain = [p for n, p in model.named_parameters() if n in spared]
        head = [p for n, p in model.named_parameters() if n == "head.weight"]
        rest = [p for n, p in model.named_parameters() if n not in spared and n != "head.weight"]
        lrs = [lr, lr if self.decays else lr * 0.5, lr * 0.1]
        groups = [{"params": rest}, {"params": plain, "lr": lrs[1]}, {"params": head, "lr": lrs[2]}]
        if self.decays:
            groups[1]["weight_decay"] = 0.0
        return self.cls(groups, **self.settings), lrs


# What each network spares the decay.
SPARED: dict[Any, str] = {Pictures: "norm or bias", Matrices: "stem", Tables: "stem"}


def _cases() -> list[Any]:
    optim = torch.optim
    table: list[tuple[str, Callable[..., Optimizer], Callable[[], nn.Module], list[dict[str, Any]]]] = [
        (
            "sgd",
            optim.SGD,
            Pictures,
            [
                {"lr": 0.1},
                {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
                {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
                {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
                {"lr": 0.01, "momentum": 0.5, "maximize": True},
            ],
        ),
        (
            "adam",
            optim.Adam,
            Pictures,
            [
                {"lr": 1e-2},
                {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01, "amsgrad": True},
                {"lr": 3e-3, "weight_decay": 0.1, "decoupled_weight_decay": True},
                {"lr": 1e-3, "weight_decay": 0.01, "maximize": True},
            ],
        ),
        (
            "adamw",
            optim.AdamW,
            Pictures,
            [
                {"lr": 1e-2, "weight_decay": 0.05},
                {"lr": 5e-3, "betas": (0.85, 0.98), "eps": 1e-7, "weight_decay": 0.2, "amsgrad": True},
                {"lr": 1e-3, "weight_decay": 0.01, "maximize": True},
            ],
        ),
        (
            "adamax",
            optim.Adamax,
            Pictures,
            [{"lr": 1e-2}, {"lr": 1e-2, "betas": (0.8, 0.9), "weight_decay": 0.01}, {"lr": 2e-3, "maximize": True}],
        ),
        (
            "nadam",
            optim.NAdam,
            Pictures,
            [
                {"lr": 1e-2, "momentum_decay": 0.01},
                {"lr": 1e-2, "weight_decay": 0.01, "betas": (0.8, 0.99)},
                {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True},
                {"lr": 1e-3, "maximize": True},
            ],
        ),
        (
            "radam",
            optim.RAdam,
            Pictures,
            [
                {"lr": 1e-2},
                {"lr": 1e-2, "weight_decay": 0.01, "betas": (0.8, 0.9)},
                {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True},
                {"lr": 1e-3, "maximize": True},
            ],
        ),
        (
            "adagrad",
            optim.Adagrad,
            Pictures,
            [
                {"lr": 1e-2},
                {"lr": 1e-2, "lr_decay": 0.1, "weight_decay": 0.01},
                {"lr": 1e-1, "initial_accumulator_value": 0.5, "eps": 1e-6, "weight_decay": 0.1},
                {"lr": 1e-3, "maximize": True},
            ],
        ),
        (
            "adadelta",
            optim.Adadelta,
            Pictures,
            [{"lr": 1.0}, {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.01}, {"lr": 0.5, "maximize": True}],
        ),
        (
            "rmsprop",
            optim.RMSprop,
            Pictures,
            [
                {"lr": 1e-3},
                {"lr": 1e-3, "alpha": 0.9, "momentum": 0.9, "weight_decay": 0.01},
                {"lr": 1e-3, "centered": True, "momentum": 0.5, "weight_decay": 0.1},
                {"lr": 1e-4, "centered": True, "eps": 1e-6, "maximize": True},
            ],
        ),
        (
            "rprop",
            optim.Rprop,
            Pictures,
            [{"lr": 1e-2}, {"lr": 1e-2, "etas": (0.4, 1.3), "step_sizes": (1e-5, 0.1)}, {"lr": 1e-3, "maximize": True}],
        ),
        (
            "asgd",
            optim.ASGD,
            Pictures,
            [
                {"lr": 1e-2},
                {"lr": 1e-1, "lambd": 1e-2, "alpha": 0.5, "t0": 4.0, "weight_decay": 0.01},
                {"lr": 1e-2, "maximize": True},
            ],
        ),
        (
            "adafactor",
            optim.Adafactor,
            Pictures,
            [
                {"lr": 1e-2},
                {"lr": 1e-2, "beta2_decay": -0.5, "eps": (1e-20, 1e-2), "d": 2.0, "weight_decay": 0.01},
                {"lr": 1e-2, "eps": (None, 1e-2), "weight_decay": 0.1},
                {"lr": 1e-3, "maximize": True},
            ],
        ),
        (
            "muon",
            optim.Muon,
            Matrices,
            [
                {"lr": 1e-2, "weight_decay": 0.1},
                {"lr": 1e-2, "weight_decay": 0.01, "momentum": 0.8, "nesterov": False, "ns_steps": 3},
                {"lr": 1e-3, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw", "eps": 1e-5},
                {"lr": 1e-2, "weight_decay": 0.0, "adjust_lr_fn": "original", "ns_coefficients": (3.0, -4.0, 2.0)},
            ],
        ),
        (
            "sparse_adam",
            optim.SparseAdam,
            Tables,
            [{"lr": 1e-2}, {"lr": 1e-2, "betas": (0.8, 0.9), "eps": 1e-6}, {"lr": 1e-2, "maximize": True}],
        ),
        ("sgd", optim.SGD, Tables, [{"lr": 1e-1, "momentum": 0.9}]),
        ("adagrad", optim.Adagrad, Tables, [{"lr": 1e-1, "initial_accumulator_value": 0.1}]),
        (
            "lbfgs",
            optim.LBFGS,
            Pictures,
            [
                {"lr": 0.1},
                {"lr": 0.5, "max_iter": 3, "history_size": 4},
                {"lr": 1.0, "max_iter": 4, "max_eval": 6, "line_search_fn": "strong_wolfe", "tolerance_grad": 1e-9},
            ],
        ),
    ]
    return [
        pytest.param(Case(kind, cls, settings, build), id=f"{kind}-{build.__name__}-{number}")
        for kind, cls, build, each in table
        for number, settings in enumerate(each)
    ]


CASES = _cases()
every_case = pytest.mark.parametrize("case", CASES)


def network(case: Case) -> nn.Module:
    """A case's network, the same every time."""
    return seeded(case.build)
