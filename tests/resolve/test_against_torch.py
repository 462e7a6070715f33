"""Policies against the schedulers of PyTorch and transformers that they stand for: 500 updates, several settings each.

Where a scheduler computes in closed form, values agree to 1e-12; where it multiplies one update onto the last, to what
its own rounding leaves.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from torch.optim import lr_scheduler

from tests.resolve.making import curve

if TYPE_CHECKING:
    from collections.abc import Callable

UPDATES = 500
OWN = 0.3
CLOSED = 1e-12
# After 500 products, or recursions of the cosine.
CHAINED = 1e-11

Case = tuple[str, dict[str, Any], "Callable[[Any], Any]"]


def by(scheduler: Any, **arguments: Any) -> Callable[[Any], Any]:
    """What makes the scheduler for an optimizer."""
    return lambda optimizer: scheduler(optimizer, **arguments)


def values(make: Callable[[Any], Any], updates: int = UPDATES, key: str = "lr") -> list[float]:
    """What a scheduler gives each update, for a rate of 0.3 and a momentum of 0.9."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=OWN, momentum=0.9)
    with warnings.catch_warnings():
        # SequentialLR's own steps use what torch has deprecated.
        warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)
        scheduler = make(optimizer)
        found = []
        for _ in range(updates):
            found.append(float(optimizer.param_groups[0][key]))
            optimizer.step()
            scheduler.step()
    return found


def agree(text: str, options: dict[str, Any], expected: list[float], rel: float, own: float = OWN) -> None:
    """Whether each update's value is the expected one."""
    found = curve(text, **options)
    differing = {
        t: (value, found.value(t, own))
        for t, value in enumerate(expected)
        if found.value(t, own) != pytest.approx(value, rel=rel, abs=rel * 1e-3 * max(expected))
    }
    assert differing == {}


IN_CLOSED_FORM: list[Case] = [
    ("decay(gamma=0.97)", {}, by(lr_scheduler.LambdaLR, lr_lambda=lambda t: 0.97**t)),
    ("decay(gamma=0.5, every=77)", {}, by(lr_scheduler.LambdaLR, lr_lambda=lambda t: 0.5 ** (t / 77))),
    ("inverse_time(rate=0.05)", {}, by(lr_scheduler.LambdaLR, lr_lambda=lambda t: 1 / (1 + 0.05 * t))),
    (
        "noam(d_model=512, warmup=40)",
        {},
        by(lr_scheduler.LambdaLR, lr_lambda=lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 40**-1.5)),
    ),
    ("restarts(period=50)", {}, by(lr_scheduler.CosineAnnealingWarmRestarts, T_0=50)),
    ("restarts(period=7, mult=2)", {}, by(lr_scheduler.CosineAnnealingWarmRestarts, T_0=7, T_mult=2)),
    ("restarts(period=1, mult=3)", {}, by(lr_scheduler.CosineAnnealingWarmRestarts, T_0=1, T_mult=3)),
    (
        "restarts(period=20, mult=2, to=1e-3)",
        {},
        by(lr_scheduler.CosineAnnealingWarmRestarts, T_0=20, T_mult=2, eta_min=1e-3),
    ),
    (
        "cycle(low=0.01, high=0.1, up=60)",
        {},
        by(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=60),
    ),
    (
        "cycle(low=0.01, high=0.1, up=30, down=50)",
        {},
        by(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=30, step_size_down=50),
    ),
    (
        "cycle(low=0, high=0.1, up=33, down=20, shape=triangular2)",
        {},
        by(
            lr_scheduler.CyclicLR,
            base_lr=0.0,
            max_lr=0.1,
            step_size_up=33,
            step_size_down=20,
            mode="triangular2",
        ),
    ),
    (
        "cycle(low=0.01, high=0.1, up=25, shape=exp_range, gamma=0.99)",
        {},
        by(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=25, mode="exp_range", gamma=0.99),
    ),
    ("onecycle(peak=0.1)", {"steps": 500}, by(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=500)),
    ("onecycle(500, peak=0.1)", {}, by(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=500)),
    (
        "onecycle(peak=0.1, up=25%, div=10, final_div=1e5, shape=linear)",
        {"steps": 500},
        by(
            lr_scheduler.OneCycleLR,
            max_lr=0.1,
            total_steps=500,
            pct_start=0.25,
            div_factor=10.0,
            final_div_factor=1e5,
            anneal_strategy="linear",
        ),
    ),
    (
        "onecycle(peak=0.1, up=33.3%, phases=3)",
        {"steps": 500},
        by(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=500, pct_start=0.333, three_phase=True),
    ),
    (
        "onecycle(peak=0.1, up=45%, phases=3, shape=linear, final_div=10)",
        {"steps": 500},
        by(
            lr_scheduler.OneCycleLR,
            max_lr=0.1,
            total_steps=500,
            pct_start=0.45,
            three_phase=True,
            anneal_strategy="linear",
            final_div_factor=10.0,
        ),
    ),
]

CHAIN: list[Case] = [
    ("decay(gamma=0.99)", {}, by(lr_scheduler.ExponentialLR, gamma=0.99)),
    ("decay(gamma=0.9)", {}, by(lr_scheduler.ExponentialLR, gamma=0.9)),
    ("decay(gamma=0.95)", {}, by(lr_scheduler.MultiplicativeLR, lr_lambda=lambda _: 0.95)),
    ("step(every=30, gamma=0.5)", {}, by(lr_scheduler.StepLR, step_size=30, gamma=0.5)),
    ("step(every=7, gamma=0.9)", {}, by(lr_scheduler.StepLR, step_size=7, gamma=0.9)),
    ("multistep(at=[30, 80, 400], gamma=0.1)", {}, by(lr_scheduler.MultiStepLR, milestones=[30, 80, 400], gamma=0.1)),
    ("linear(20, from=0.25x, to=1x)", {}, by(lr_scheduler.LinearLR, start_factor=0.25, total_iters=20)),
    ("linear(300, to=0.1x)", {}, by(lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=300)),
    ("hold(30, at=0.1x) -> hold(at=1x)", {}, by(lr_scheduler.ConstantLR, factor=0.1, total_iters=30)),
    ("piecewise(at=[30], values=[0.1x, 1x])", {}, by(lr_scheduler.ConstantLR, factor=0.1, total_iters=30)),
    ("poly(400)", {}, by(lr_scheduler.PolynomialLR, total_iters=400)),
    ("poly(400, power=2)", {}, by(lr_scheduler.PolynomialLR, total_iters=400, power=2.0)),
    ("poly(450, power=0.9)", {}, by(lr_scheduler.PolynomialLR, total_iters=450, power=0.9)),
    ("cosine(to=1e-3)", {"steps": 500}, by(lr_scheduler.CosineAnnealingLR, T_max=500, eta_min=1e-3)),
    ("cosine(to=0.1)", {"steps": 500}, by(lr_scheduler.CosineAnnealingLR, T_max=500, eta_min=0.1)),
]

Schedules = transformers.optimization
STABLE = {"num_warmup_steps": 50, "num_stable_steps": 250, "num_decay_steps": 200}

OF_TRANSFORMERS: list[Case] = [
    ("hold()", {}, by(Schedules.get_constant_schedule)),
    ("warmup(50) -> hold()", {}, by(Schedules.get_constant_schedule_with_warmup, num_warmup_steps=50)),
    (
        "warmup(50) -> linear(to=0x)",
        {"steps": 500},
        by(Schedules.get_linear_schedule_with_warmup, num_warmup_steps=50, num_training_steps=500),
    ),
    (
        "warmup(50) -> cosine()",
        {"steps": 500},
        by(Schedules.get_cosine_schedule_with_warmup, num_warmup_steps=50, num_training_steps=500),
    ),
    (
        "warmup(50) -> restarts(period=150)",
        {"steps": 500},
        by(
            Schedules.get_cosine_with_hard_restarts_schedule_with_warmup,
            num_warmup_steps=50,
            num_training_steps=500,
            num_cycles=3,
        ),
    ),
    (
        "warmup(50) -> poly(to=1e-7, power=2)",
        {"steps": 500},
        by(
            Schedules.get_polynomial_decay_schedule_with_warmup,
            num_warmup_steps=50,
            num_training_steps=500,
            power=2.0,
        ),
    ),
    ("warmup(50) -> inverse_sqrt(timescale=50)", {}, by(Schedules.get_inverse_sqrt_schedule, num_warmup_steps=50)),
    (
        "warmup(50) -> inverse_sqrt(timescale=200)",
        {},
        by(Schedules.get_inverse_sqrt_schedule, num_warmup_steps=50, timescale=200),
    ),
    (
        "warmup(50) -> cosine(to=0.1x)",
        {"steps": 500},
        by(
            Schedules.get_cosine_with_min_lr_schedule_with_warmup,
            num_warmup_steps=50,
            num_training_steps=500,
            min_lr_rate=0.1,
        ),
    ),
    ("warmup(50) -> hold(250) -> cosine(200)", {}, by(Schedules.get_wsd_schedule, **STABLE)),
    (
        "warmup(50) -> hold(250) -> linear(200, to=0x)",
        {},
        by(Schedules.get_wsd_schedule, **STABLE, decay_type="linear"),
    ),
    ("warmup(50) -> hold(250) -> sqrt(200)", {}, by(Schedules.get_wsd_schedule, **STABLE, decay_type="1-sqrt")),
]


@pytest.mark.parametrize(("text", "options", "make"), IN_CLOSED_FORM, ids=[each[0] for each in IN_CLOSED_FORM])
def test_closed_forms(text: str, options: dict[str, Any], make: Callable[[Any], Any]) -> None:
    agree(text, options, values(make), CLOSED)


@pytest.mark.parametrize(("text", "options", "make"), CHAIN, ids=[each[0] for each in CHAIN])
def test_chained_forms(text: str, options: dict[str, Any], make: Callable[[Any], Any]) -> None:
    agree(text, options, values(make), CHAINED)


@pytest.mark.parametrize(("text", "options", "make"), OF_TRANSFORMERS, ids=[each[0] for each in OF_TRANSFORMERS])
def test_transformers(text: str, options: dict[str, Any], make: Callable[[Any], Any]) -> None:
    agree(text, options, values(make), CLOSED)


def test_one_after_the_other() -> None:
    def make(optimizer: Any) -> Any:
        parts = [
            lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=50),
            lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=100),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[50])

    agree("warmup(50, from=0.01x) -> restarts(period=100)", {}, values(make), CHAINED)


MOMENTA: list[Case] = [
    (
        "cycle(low=0.9, high=0.8, up=60)",
        {},
        by(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=60, base_momentum=0.8, max_momentum=0.9),
    ),
    (
        "cosine(30% - 1, from=0.95, to=0.85) -> cosine(70%, to=0.95) -> hold()",
        {"steps": 500},
        by(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=500),
    ),
]


@pytest.mark.parametrize(("text", "options", "make"), MOMENTA, ids=[each[0] for each in MOMENTA])
def test_momenta_against_the_rate(text: str, options: dict[str, Any], make: Callable[[Any], Any]) -> None:
    agree(text, options, values(make, key="momentum"), CLOSED, own=0.9)
