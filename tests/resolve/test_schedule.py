"""Policies by the formulas that they stand for: the right-hand sides are those of the papers and of PyTorch."""

from __future__ import annotations

from math import ceil, cos, floor, pi
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.optim import lr_scheduler

from tests.resolve.making import curve

if TYPE_CHECKING:
    from collections.abc import Callable


RUN: dict[str, Any] = {"steps": 1000}
EPOCHS: dict[str, Any] = {"epochs": 90, "steps_per_epoch": 10}


def near(value: float) -> Any:
    """What differs from `value` by rounding only."""
    return pytest.approx(value, rel=1e-13, abs=1e-18)


# Every update of 1000, for a parameter whose own learning rate is 5e-4.

FORMULAS: list[tuple[str, dict[str, int], Callable[[int], float]]] = [
    ("hold()", {}, lambda _: 5e-4),
    ("hold(at=0.1x)", {}, lambda _: 5e-5),
    ("hold(at=1e-6)", {}, lambda _: 1e-6),
    ("warmup(100) -> hold()", {}, lambda t: 5e-4 * min(t / 100, 1)),
    # a phase of no updates is at its end at once
    ("warmup(0) -> hold()", {}, lambda _: 5e-4),
    ("warmup(0) -> cosine()", RUN, lambda t: 5e-4 * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(0, to=0.5x) -> hold()", {}, lambda _: 2.5e-4),
    ("hold(0, at=0x) -> hold(at=1x)", {}, lambda _: 5e-4),
    ("warmup(100, start=1) -> hold()", {}, lambda t: 5e-4 * min((t + 1) / 100, 1)),
    ("warmup(101, start=1) -> hold()", {}, lambda t: 5e-4 * min((t + 1) / 101, 1)),
    ("warmup(2.5) -> hold()", {}, lambda t: 5e-4 * min(t / 2.5, 1)),
    ("warmup(100, from=0.1x) -> hold()", {}, lambda t: 5e-4 * (0.1 + 0.9 * min(t / 100, 1))),
    ("warmup(100, from=1e-6) -> hold()", {}, lambda t: 1e-6 + (5e-4 - 1e-6) * min(t / 100, 1)),
    ("warmup(100, shape=linear) -> hold()", {}, lambda t: 5e-4 * min(t / 100, 1)),
    ("warmup(100, shape=cosine) -> hold()", {}, lambda t: 5e-4 * (1 - cos(pi * min(t / 100, 1))) / 2),
    ("warmup(100, shape=exp, from=0.01x) -> hold()", {}, lambda t: 5e-4 * 0.01 ** (1 - min(t / 100, 1))),
    ("linear(to=0x)", RUN, lambda t: 5e-4 * (1 - t / 1000)),
    ("linear(1000, to=0x)", {}, lambda t: 5e-4 * (1 - t / 1000)),
    ("linear(for=1000, to=0x)", {}, lambda t: 5e-4 * (1 - t / 1000)),
    ("linear(to=0.1x, from=2x)", RUN, lambda t: 5e-4 * (2 - 1.9 * t / 1000)),
    ("linear(to=1e-5)", RUN, lambda t: 5e-4 + (1e-5 - 5e-4) * t / 1000),
    ("cosine()", RUN, lambda t: 5e-4 * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=0x)", RUN, lambda t: 5e-4 * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=0.01x)", RUN, lambda t: 5e-6 + (5e-4 - 5e-6) * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=1e-5)", RUN, lambda t: 1e-5 + (5e-4 - 1e-5) * (1 + cos(pi * t / 1000)) / 2),
    # a floor under a ratio: a hundredth would be 5e-6, a half is 2.5e-4
    ("cosine(to=max(0.01x, 1e-5))", RUN, lambda t: 1e-5 + (5e-4 - 1e-5) * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=max(0.5x, 1e-5))", RUN, lambda t: 2.5e-4 + 2.5e-4 * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=1e-5, from=1e-3)", RUN, lambda t: 1e-5 + (1e-3 - 1e-5) * (1 + cos(pi * t / 1000)) / 2),
    ("cosine(to=3x)", RUN, lambda t: 5e-4 * (3 - 2 * (1 + cos(pi * t / 1000)) / 2)),
    ("poly()", RUN, lambda t: 5e-4 * (1 - t / 1000)),
    ("poly(power=0.9)", RUN, lambda t: 5e-4 * (1 - t / 1000) ** 0.9),
    ("poly(to=0.1x, power=2)", RUN, lambda t: 5e-4 * (0.1 + 0.9 * (1 - t / 1000) ** 2)),
    ("exp(to=0.01x)", RUN, lambda t: 5e-4 * 0.01 ** (t / 1000)),
    ("exp(to=1e-6)", RUN, lambda t: 5e-4 * (1e-6 / 5e-4) ** (t / 1000)),
    ("step(every=300, gamma=0.1)", {}, lambda t: 5e-4 * 0.1 ** (t // 300)),
    ("step(every=2.5, gamma=0.9)", {}, lambda t: 5e-4 * 0.9 ** floor(t / 2.5)),
    ("step(every=300, gamma=0.1, from=0.5x)", {}, lambda t: 2.5e-4 * 0.1 ** (t // 300)),
    ("step(650, every=300, gamma=0.1) -> hold()", {}, lambda t: 5e-4 * 0.1 ** min(t // 300, 2)),
    ("multistep(at=[300, 600], gamma=0.1)", {}, lambda t: 5e-4 * 0.1 ** ((t >= 300) + (t >= 600))),
    ("multistep(at=[30%, 60%], gamma=0.1)", RUN, lambda t: 5e-4 * 0.1 ** ((t >= 300) + (t >= 600))),
    (
        "warmup(100) -> cosine(to=0x)",
        RUN,
        lambda t: 5e-4 * (t / 100 if t < 100 else (1 + cos(pi * (t - 100) / 900)) / 2),
    ),
    ("warmup(10%) -> cosine()", RUN, lambda t: 5e-4 * (t / 100 if t < 100 else (1 + cos(pi * (t - 100) / 900)) / 2)),
    # The phase without a duration takes what is left, wherever it stands
    ("cosine() -> hold(10%)", RUN, lambda t: 5e-4 * (1 + cos(pi * min(t / 900, 1))) / 2),
    (
        "warmup(10%) -> hold() -> linear(20%, to=0x)",
        RUN,
        lambda t: 5e-4 * (t / 100 if t < 100 else 1 if t < 800 else (1000 - t) / 200),
    ),
    ("warmup() -> hold(90%)", RUN, lambda t: 5e-4 * min(t / 100, 1)),
    # Each begins where the one before ended
    (
        "hold(500, at=0.5x) -> cosine(500, to=0x)",
        {},
        lambda t: 2.5e-4 * (1 if t < 500 else (1 + cos(pi * (t - 500) / 500)) / 2),
    ),
    ("linear(500, to=0.5x) -> hold()", {}, lambda t: 5e-4 * (1 - 0.5 * min(t / 500, 1))),
    (
        "linear(500, to=0.5x) -> step(every=250, gamma=0.1)",
        {},
        lambda t: 5e-4 * (1 - 0.5 * t / 500 if t < 500 else 0.5 * 0.1 ** ((t - 500) // 250)),
    ),
    # before update 600 stairs have fallen once: what falls at 600 falls no more
    ("step(600, every=300, gamma=0.1) -> hold()", {}, lambda t: 5e-4 * (1 if t < 300 else 0.1)),
    ("multistep(600, at=[300, 600], gamma=0.1) -> hold()", {}, lambda t: 5e-4 * (1 if t < 300 else 0.1)),
    (
        "step(650, every=300, gamma=0.1) -> linear(350, to=0x)",
        {},
        lambda t: 5e-4 * (0.1 ** (t // 300) if t < 650 else 0.01 * (1000 - t) / 350),
    ),
    ("hold(500, at=1e-5) -> hold()", {}, lambda _: 1e-5),
    ("hold(500, at=0x) -> hold(at=1x)", {}, lambda t: 0 if t < 500 else 5e-4),
    ("(hold(100) -> linear(100, to=0.5x)) -> hold()", {}, lambda t: 5e-4 * (1 - 0.5 * min(max(t - 100, 0) / 100, 1))),
]


@pytest.mark.parametrize(("text", "lengths", "formula"), FORMULAS, ids=[each[0] for each in FORMULAS])
def test_every_update(text: str, lengths: dict[str, int], formula: Callable[[int], float]) -> None:
    found = curve(text, **lengths)
    for t in range(1001):
        assert found.value(t, 5e-4) == near(formula(t)), t


# Stairs without a duration have no end; every other policy above ends within the 1000 updates.
ENDING = [each for each in FORMULAS if not (each[0].rpartition("-> ")[2].startswith("step(every"))]


@pytest.mark.parametrize(("text", "lengths", "formula"), ENDING, ids=[each[0] for each in ENDING])
def test_after_its_end_a_policy_holds_its_last_value(
    text: str, lengths: dict[str, int], formula: Callable[[int], float]
) -> None:
    found = curve(text, **lengths)
    last = found.value(1000, 5e-4)
    assert last == near(formula(1000))
    assert {found.value(t, 5e-4) for t in (1001, 1002, 5000, 10**9, 10**15)} == {last}


# A few values, worked out by hand: for an own value of 1, what updates use.

VALUES: list[tuple[str, dict[str, Any], dict[int, float]]] = [
    # torchtitan: with `start=1` two updates of warm-up are 1/2 and 2/2
    ("warmup(2, start=1) -> hold()", {}, {0: 0.5, 1: 1.0, 2: 1.0}),
    ("warmup(2, start=1) -> linear(2, to=0x)", {}, {0: 0.5, 1: 1.0, 2: 1.0, 3: 0.5, 4: 0.0}),
    # nanoGPT: (t + 1) / (W + 1) with W = 3, and the decay from update 3 on
    ("warmup(3, from=1x / 4) -> linear(4, to=0x)", {}, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 0.75, 7: 0.0}),
    ("warmup(4, start=1) -> hold()", {}, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 4: 1.0}),
    ("warmup(4, start=2.5) -> hold()", {}, {0: 0.625, 1: 0.875, 2: 1.0, 3: 1.0}),
    ("warmup(1) -> hold()", {}, {0: 0.0, 1: 1.0}),
    ("warmup(1, start=1) -> hold()", {}, {0: 1.0, 1: 1.0}),
    # a phase governs begin <= t < begin + duration
    ("warmup(2.5) -> hold(at=3x)", {}, {0: 0.0, 1: 0.4, 2: 0.8, 3: 3.0}),
    ("hold(2.5, at=5x) -> linear(2.5, from=1x, to=0x)", {}, {2: 5.0, 3: 0.8, 4: 0.4, 5: 0.0}),
    ("hold(3, at=5x) -> hold(at=7x)", {}, {2: 5.0, 3: 7.0}),
    ("hold(0.5, at=5x) -> hold(at=7x)", {}, {0: 5.0, 1: 7.0}),
    # 7 % of 100 is 7, though 0.07 * 100 is 7.000000000000001 in doubles
    ("hold(7%, at=5x) -> hold(at=7x)", {"steps": 100}, {6: 5.0, 7: 7.0}),
    ("hold(29%, at=5x) -> hold(at=7x)", {"steps": 100}, {28: 5.0, 29: 7.0}),
    ("hold(0.1 * 3 * 10, at=5x) -> hold(at=7x)", {}, {2: 5.0, 3: 7.0}),
    ("hold(10% + 5 epochs, at=5x) -> hold(at=7x)", EPOCHS, {139: 5.0, 140: 7.0}),
    ("hold(min(5 epochs, 10%), at=5x) -> hold(at=7x)", EPOCHS, {49: 5.0, 50: 7.0}),
    ("hold(max(5 epochs, 10%), at=5x) -> hold(at=7x)", EPOCHS, {89: 5.0, 90: 7.0}),
    ("hold(warm * 2, at=5x) -> hold(at=7x)", {"let": {"warm": 1.5}}, {2: 5.0, 3: 7.0}),
    ("hold(1 epoch, at=5x) -> hold(at=7x)", EPOCHS, {9: 5.0, 10: 7.0}),
    ("hold(100% - 899, at=5x) -> hold(at=7x)", EPOCHS, {0: 5.0, 1: 7.0}),
    ("hold(floor(33%), at=5x) -> hold(at=7x)", {"steps": 10}, {2: 5.0, 3: 7.0}),
    ("hold(ceil(33%), at=5x) -> hold(at=7x)", {"steps": 10}, {3: 5.0, 4: 7.0}),
    ("hold(round(25%), at=5x) -> hold(at=7x)", {"steps": 10}, {1: 5.0, 2: 7.0}),
    ("hold(1k, at=5x) -> hold(at=7x)", {}, {999: 5.0, 1000: 7.0}),
    # three tenths of an epoch thrice: boundaries that no double hits
    ("step(every=1 / 3, gamma=0.5)", {}, {0: 1.0, 1: 0.125, 2: 0.5**6}),
    ("step(every=10 / 3, gamma=0.5)", {}, {9: 0.25, 10: 0.125, 20: 0.5**6, 99: 0.5**29, 100: 0.5**30}),
    ("hold(1 / 3) -> step(every=1 / 3, gamma=0.5)", {}, {1: 0.25, 2: 0.5**5, 10: 0.5**29}),
    ("hold(1 / 3) -> multistep(at=[2 / 3, 5 / 3], gamma=0.5)", {}, {0: 1.0, 1: 0.5, 2: 0.25}),
    # levels
    ("hold(at=0.5 * 1x)", {}, {0: 0.5}),
    ("hold(at=1x / 4 + 0.5x)", {}, {0: 0.75}),
    ("hold(at=min(0.5x, 2x))", {}, {0: 0.5}),
    ("hold(at=max(0.5x, 2x))", {}, {0: 2.0}),
    ("hold(at=0.5 * max(0.5x, 2x))", {}, {0: 1.0}),
    ("hold(at=max(0.5, 2))", {}, {0: 2.0}),
    ("hold(at=floor_ * 1x)", {"let": {"floor_": 0.25}}, {0: 0.25}),
    ("hold(at=2 - 1.5)", {}, {0: 0.5}),
    ("hold(at=--0.5x)", {}, {0: 0.5}),
    ("hold(at=3x - 2.5x)", {}, {0: 0.5}),
    # stairs that rise end with the run
    ("step(every=30, gamma=2)", {"steps": 90}, {29: 1.0, 30: 2.0, 89: 4.0, 90: 4.0, 10**9: 4.0}),
    ("multistep(at=[10, 20], gamma=3)", {}, {9: 1.0, 10: 3.0, 20: 9.0}),
    ("step(every=5, gamma=0)", {}, {4: 1.0, 5: 0.0}),
    ("multistep(at=[0, 5], gamma=0.5)", {}, {0: 0.5, 4: 0.5, 5: 0.25}),
]


@pytest.mark.parametrize(("text", "options", "values"), VALUES, ids=[each[0] for each in VALUES])
def test_values(text: str, options: dict[str, Any], values: dict[int, float]) -> None:
    found = curve(text, **options)
    assert {t: found.value(t, 1.0) for t in values} == pytest.approx(values, rel=1e-14, abs=0)


@pytest.mark.parametrize("every", [f"{top} / {bottom}" for top in range(1, 40, 3) for bottom in (3, 7, 9, 10, 11)])
def test_stairs_are_where_they_are_written(every: str) -> None:
    top, bottom = map(int, every.split(" / "))
    found = curve(f"hold(1 / {bottom}) -> step(every={every}, gamma=0.5)")
    for t in range(1, 200):
        assert found.value(t, 1.0) == 0.5 ** ((t * bottom - 1) // top), t


def test_values_do_not_depend_on_the_order_in_which_they_are_asked() -> None:
    found = curve("warmup(10%) -> step(every=70, gamma=0.9)", **RUN)
    forth = [found.value(t, 0.3) for t in range(1000)]
    back = [found.value(t, 0.3) for t in reversed(range(1000))]
    assert forth == back[::-1]
    assert found.value(500, 0.3) == forth[500]


# Per epoch: whole epochs of the run, of ten updates each

PER_EPOCH: list[tuple[str, Callable[[int], float]]] = [
    ("cosine(to=0x) per epoch", lambda t: (1 + cos(pi * (t // 10) / 90)) / 2),
    ("linear(to=0x) per epoch", lambda t: 1 - (t // 10) / 90),
    ("step(every=30, gamma=0.1) per epoch", lambda t: 0.1 ** (t // 300)),
    ("step(every=30 epochs, gamma=0.1) per epoch", lambda t: 0.1 ** (t // 300)),
    ("step(every=30 epochs, gamma=0.1)", lambda t: 0.1 ** (t // 300)),
    ("multistep(at=[30, 60 epochs], gamma=0.1) per epoch", lambda t: 0.1 ** ((t >= 300) + (t >= 600))),
    ("(warmup(5 epochs) -> hold()) per epoch", lambda t: min(t // 10 / 5, 1)),
    ("warmup(5 epochs) per epoch -> hold()", lambda t: min(t // 10 / 5, 1)),
    ("(warmup(5 epochs, start=1) -> hold()) per epoch", lambda t: min((t // 10 + 1) / 5, 1)),
    ("warmup(5 epochs, start=1) per epoch -> hold()", lambda t: min((t // 10 + 1) / 5, 1)),
    ("warmup(5, start=1) per epoch -> hold()", lambda t: min((t // 10 + 1) / 5, 1)),
    ("(warmup(10%) -> hold()) per epoch", lambda t: min(t // 10 / 9, 1)),
    ("(warmup(2.5) -> hold()) per epoch", lambda t: min(t // 10 / 2.5, 1)),
    (
        "warmup(5 epochs) -> (cosine(to=0x) per epoch)",
        lambda t: t / 50 if t < 50 else (1 + cos(pi * (t // 10 - 5) / 85)) / 2,
    ),
    (
        "warmup(5 epochs) -> cosine(to=0x) per epoch",
        lambda t: t / 50 if t < 50 else (1 + cos(pi * (t // 10 - 5) / 85)) / 2,
    ),
    # a ramp is at `to` at its end, a stepping one too: the decay begins at the peak
    (
        "warmup(5 epochs) per epoch -> cosine(to=0x)",
        lambda t: t // 10 / 5 if t < 50 else (1 + cos(pi * (t - 50) / 850)) / 2,
    ),
    # a phase that begins within an epoch: the epochs are still those of the run
    (
        "hold(55) -> (linear(to=0x) per epoch)",
        lambda t: 1 - max(0, t // 10 - 5.5) / 84.5,
    ),
    (
        "hold(5 epochs) -> ((linear(to=0.5x) -> hold(10)) per epoch)",
        lambda t: 1 - 0.5 * min(max(0, t // 10 - 5) / 75, 1),
    ),
    ("((hold(2) -> hold(3)) -> hold(5, at=2x)) per epoch -> hold()", lambda t: 1 if t < 50 else 2),
    ("hold(5) per epoch -> step(every=20, gamma=0.5) per epoch", lambda t: 0.5 ** max(0, (t // 10 - 5) // 20)),
    ("(step(25, every=10, gamma=0.5) per epoch) -> hold()", lambda t: 0.5 ** min(t // 100, 2)),
    ("(step(20, every=10, gamma=0.5) per epoch) -> hold()", lambda t: 0.5 ** min(t // 100, 1)),
]


@pytest.mark.parametrize(("text", "formula"), PER_EPOCH, ids=[each[0] for each in PER_EPOCH])
def test_per_epoch(text: str, formula: Callable[[int], float]) -> None:
    found = curve(text, **EPOCHS)
    for t in range(900):
        assert found.value(t, 1.0) == near(formula(t)), t


@pytest.mark.parametrize("length", [1, 2, 3, 7, 11, 13, 49, 1251])
@pytest.mark.parametrize("begin", ["1", "5", "2.5", "1 / 3", "0.1", "7%"])
def test_epochs_begin_where_the_run_has_them(length: int, begin: str) -> None:
    found = curve(f"hold({begin}) -> (linear(to=0x) per epoch)", epochs=40, steps_per_epoch=length)
    changes = [t for t in range(1, 40 * length) if found.value(t, 1.0) != found.value(t - 1, 1.0)]
    assert changes
    assert [t for t in changes if t % length] == []
    assert len(changes) >= 39 - ceil(0.07 * 40 + 5 / length)


# PyTorch's own schedulers, where they compute in closed form

TORCH: list[tuple[str, dict[str, int], Any]] = [
    ("step(every=30, gamma=0.1)", {}, lambda o: lr_scheduler.StepLR(o, 30, 0.1)),
    ("multistep(at=[30, 80], gamma=0.2)", {}, lambda o: lr_scheduler.MultiStepLR(o, [30, 80], 0.2)),
    ("step(every=1, gamma=0.97)", {}, lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    ("exp(100, to=0.97 ** 100 * 1x)", {}, lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    ("cosine(to=1e-3)", {"steps": 100}, lambda o: lr_scheduler.CosineAnnealingLR(o, 100, 1e-3)),
    ("poly(power=2)", {"steps": 100}, lambda o: lr_scheduler.PolynomialLR(o, 100, 2.0)),
    ("linear(20, from=0.25x, to=1x)", {}, lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 20)),
    ("linear(50, to=0x)", {}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, 50)),
    ("hold(30, at=0.1x) -> hold(at=1x)", {}, lambda o: lr_scheduler.ConstantLR(o, 0.1, 30)),
    ("warmup(10) -> hold()", {}, lambda o: lr_scheduler.LambdaLR(o, lambda t: min(t / 10, 1.0))),
]


@pytest.mark.parametrize(("text", "lengths", "make"), TORCH, ids=[each[0] for each in TORCH])
def test_agrees_with_pytorch(text: str, lengths: dict[str, int], make: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(optimizer)
    found = curve(text, **lengths)
    for t in range(101 if "cosine" not in text else 100):
        # theirs multiply one update after the other
        assert found.value(t, 0.3) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9, abs=1e-15), t
        optimizer.step()
        scheduler.step()


# `base`: the policy that stood before, from its own start

BEFORE = "warmup(100) -> cosine(to=0x)"


def _before(t: float) -> float:
    return t / 100 if t < 100 else (1 + cos(pi * min((t - 100) / 900, 1))) / 2


BASES: list[tuple[str, Callable[[int], float]]] = [
    ("base", _before),
    ("hold(20, at=0x) -> base", lambda t: 0 if t < 20 else _before(t - 20)),
    ("hold(2%, at=0x) -> base", lambda t: 0 if t < 20 else _before(t - 20)),
    # cut where 300 updates remain; what follows begins where it stands there
    ("base -> linear(300, to=0x)", lambda t: _before(t) if t < 700 else _before(700) * (1000 - t) / 300),
    ("base -> hold(300)", lambda t: _before(min(t, 700))),
    ("base -> hold(950)", lambda t: _before(min(t, 50))),
    ("(hold(10, at=0x) -> base) -> hold(500)", lambda t: 0 if t < 10 else _before(min(t - 10, 490))),
]


@pytest.mark.parametrize(("text", "formula"), BASES, ids=[each[0] for each in BASES])
def test_base_is_the_policy_that_stood_before(text: str, formula: Callable[[int], float]) -> None:
    found = curve(text, before=curve(BEFORE, **RUN), **RUN)
    for t in range(1001):
        assert found.value(t, 0.2) == near(0.2 * formula(t)), t


def test_base_is_the_own_value_where_no_policy_stood() -> None:
    found = curve("hold(2, at=0x) -> base", **RUN)
    assert [found.value(t, 0.3) for t in range(4)] == [0.0, 0.0, 0.3, 0.3]


def test_a_base_of_stairs_is_cut_at_the_stair_that_it_has_reached() -> None:
    found = curve("base -> hold(50)", before=curve("step(every=30, gamma=0.5)"), steps=100)
    assert [found.value(t, 1.0) for t in (29, 30, 49, 50, 99)] == [1.0, 0.5, 0.5, 0.5, 0.5]


def test_the_epochs_of_a_base_are_those_of_the_run_even_where_it_begins_within_one() -> None:
    before = curve("linear(to=0x) per epoch", **EPOCHS)
    found = curve("hold(5, at=0x) -> base", before=before, **EPOCHS)
    # half an epoch late, so that at update 10 half an epoch has gone by
    for t in range(5, 900):
        assert found.value(t, 1.0) == near(1 - max(0, t // 10 - 0.5) / 90), t


def test_bases_of_bases_do_not_pile_up() -> None:
    found = curve("cosine(to=0x)", steps=10_000)
    for _ in range(600):
        found = curve("hold(1, at=0x) -> base", before=found, steps=10_000)
    assert found.value(599, 1.0) == 0.0
    assert found.value(7000, 1.0) == near((1 + cos(pi * 6400 / 10_000)) / 2)
    hash(found)
    str(found)


def test_many_stairs_do_not_pile_up() -> None:
    text = " -> ".join(["step(2, every=1, gamma=0.5)"] * 40) + " -> hold()"
    found = curve(text)
    assert found.value(10**6, 1.0) == 0.5**40
