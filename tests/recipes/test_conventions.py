"""Two warm-up updates, then a line to 0 at 10: five curves in five projects, and two more that are near.

Each is written as its project computes it, and must come out to the last bit but one, from the plan as from the
optimizer that PyTorch steps.  The learning rate is 1e-3; the second parameter has twice that.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from torch import nn
from torch.optim.lr_scheduler import LinearLR

import optplan

if TYPE_CHECKING:
    from collections.abc import Callable

WARM, TOTAL, LR = 2, 10, 1e-3
UPDATES = range(TOTAL + 1)


def line(t: int) -> Fraction:
    """From 1 at the end of the warm-up to 0 at the end of all."""
    return Fraction(TOTAL - t, TOTAL - WARM)


def transformers_rule(t: int) -> Fraction:
    return Fraction(t, WARM) if t < WARM else line(t)


def torchtitan_rule(t: int) -> Fraction:
    return Fraction(t + 1, WARM) if t < WARM else line(t)


def nanogpt_rule(t: int) -> Fraction:
    return Fraction(t + 1, WARM + 1) if t < WARM else line(t)


def linspace_rule(t: int) -> Fraction:
    return Fraction(t, WARM - 1) if t < WARM else line(t)


RULES: dict[str, tuple[str, Callable[[int], Fraction], list[float]]] = {
    "transformers": ("warmup(2) -> linear(to=0x)", transformers_rule, [0, 0.5, 1, 0.875]),
    "torchtitan": ("warmup(2, start=1) -> linear(to=0x)", torchtitan_rule, [0.5, 1, 1, 0.875]),
    "nanogpt": ("warmup(2, from=1x / 3) -> linear(to=0x)", nanogpt_rule, [1 / 3, 2 / 3, 1, 0.875]),
    "linspace": ("warmup(2 - 1) -> hold(1) -> linear(to=0x)", linspace_rule, [0, 1, 1, 0.875]),
}
EVERY = pytest.mark.parametrize(("policy", "rule", "first"), RULES.values(), ids=RULES)


def planned(policy: str, **horizon: int) -> optplan.Plan:
    """A parameter with the learning rate and one with twice that, under one schedule."""
    document: dict[str, Any] = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": LR},
        "rules": [{"where": "bias", "lr": "2x"}],
        "horizon": horizon or {"steps": TOTAL},
        "schedule": {"lr": policy},
    }
    return optplan.plan(document, nn.Linear(2, 2))


def exactly(value: float) -> Any:
    """But for the last bits, in which `1 / 3 + 2 / 3 * t / 2` and `(t + 1) / 3` may part."""
    return pytest.approx(value, rel=5e-16, abs=0.0)


@EVERY
def test_the_plan_has_the_projects_curve(policy: str, rule: Callable[[int], Fraction], first: list[float]) -> None:
    plan = planned(policy)
    assert [float(rule(t)) for t in range(4)] == first, "the rule itself"
    for t in UPDATES:
        assert plan.value("weight", "lr", t) == exactly(LR * float(rule(t))), t
        assert plan.value("bias", "lr", t) == exactly(2 * LR * float(rule(t))), t


@EVERY
def test_the_optimizer_has_it_at_every_update(policy: str, rule: Callable[[int], Fraction], first: list[float]) -> None:
    network = nn.Linear(2, 2)
    compiled = planned(policy).bind(network)
    optimizer, scheduler = compiled
    found = []
    for _ in UPDATES:
        found.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        scheduler.step()
    assert found[:4] == exactly_all(first)
    assert found == exactly_all([float(rule(t)) for t in UPDATES])


def exactly_all(values: list[float]) -> list[Any]:
    return [exactly(value) for value in values]


def test_stairs_by_epoch_as_mindcv_with_lr_epoch_stair() -> None:
    """The rule counts epochs, of seven updates here: each value seven times."""
    plan = planned("(warmup(2) -> linear(to=0x)) per epoch", epochs=TOTAL, steps_per_epoch=7)
    for t in range(7 * TOTAL):
        assert plan.value("weight", "lr", t) == exactly(LR * float(transformers_rule(t // 7))), t


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_stairs_are_those_of_mindcv_itself() -> None:
    from mindcv.scheduler import create_scheduler  # noqa: PLC0415  only where MindSpore is wanted

    plan = planned("(warmup(2) -> linear(to=0x)) per epoch", epochs=TOTAL, steps_per_epoch=7)
    stock = create_scheduler(
        7,
        "polynomial_decay",
        lr=LR,
        warmup_epochs=WARM,
        num_epochs=TOTAL,
        decay_epochs=TOTAL - WARM,
        decay_rate=1.0,
        lr_epoch_stair=True,
    )
    assert [plan.value("weight", "lr", t) for t in range(7 * TOTAL)] == pytest.approx(stock, rel=1e-15)


def stock_values(scheduler: Callable[[torch.optim.Optimizer], Any], updates: int) -> list[float]:
    """What a scheduler of another library gives, update by update."""
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=LR)
    stock = scheduler(optimizer)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stock.step()
    return found


def test_the_first_is_that_of_transformers_itself() -> None:
    def stock(optimizer: torch.optim.Optimizer) -> Any:
        # transformers leaves it untyped
        return transformers.get_linear_schedule_with_warmup(optimizer, WARM, TOTAL)  # type: ignore[no-untyped-call]

    plan = planned(RULES["transformers"][0])
    assert [plan.value("weight", "lr", t) for t in UPDATES] == exactly_all(stock_values(stock, TOTAL + 1))


def test_a_longer_linspace_is_that_of_pytorchs_own_ramp() -> None:
    """That of mmengine with `end=W` takes W - 1 updates, as does PyTorch's `LinearLR(total_iters=W - 1)`."""

    def stock(optimizer: torch.optim.Optimizer) -> Any:
        return LinearLR(optimizer, start_factor=0.25, total_iters=5 - 1)

    plan = planned("warmup(5 - 1, from=0.25x) -> hold()")
    found = [plan.value("weight", "lr", t) for t in range(7)]
    # PyTorch goes from value to value, and so collects rounding
    assert found == pytest.approx(stock_values(stock, 7), rel=1e-14)


def test_a_ramp_from_an_absolute_rate_as_in_olmo_core() -> None:
    """The same start for every group, whatever its own rate."""
    plan = planned("warmup(2, from=1e-4) -> linear(to=0x)")
    for t in UPDATES:
        for name, own in (("weight", LR), ("bias", 2 * LR)):
            expected = 1e-4 + (own - 1e-4) * t / WARM if t < WARM else own * float(line(t))
            assert plan.value(name, "lr", t) == exactly(expected), (name, t)


def test_a_decay_that_runs_under_the_warm_up_as_in_timm() -> None:
    """Without `warmup_prefix` the line to 0 has run for two updates when it comes to light."""
    plan = planned("warmup(2) over linear(to=0x)")
    factors = [Fraction(t, WARM) if t < WARM else Fraction(TOTAL - t, TOTAL) for t in UPDATES]
    assert [float(factor) for factor in factors[:4]] == [0, 0.5, 0.8, 0.7]
    for t in UPDATES:
        assert plan.value("weight", "lr", t) == exactly(LR * float(factors[t])), t
