"""Decays, cycles and pieces by the formulas of their sources."""

from __future__ import annotations

import json
from math import cos, exp, pi, sqrt
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optplan.resolve.curve_record import from_data
from tests.resolve.making import curve

if TYPE_CHECKING:
    from collections.abc import Callable

RUN: dict[str, Any] = {"steps": 1000}
EPOCHS: dict[str, Any] = {"epochs": 90, "steps_per_epoch": 10}


def near(value: float) -> Any:
    """What differs from `value` by rounding only."""
    return pytest.approx(value, rel=1e-12, abs=1e-18)


def _up_down(p: float, up: float, down: float) -> float:
    return p / up if p <= up else (up + down - p) / down


def _cos(a: float, b: float, w: float) -> float:
    return b + (a - b) * (1 + cos(pi * w)) / 2


def _pieces(t: int) -> float:
    return 5e-4 if t < 100 else 2e-4 if t < 250 else 1e-6


# Every update of 1000, for a parameter whose own learning rate is 5e-4.

FORMULAS: list[tuple[str, dict[str, Any], Callable[[int], float]]] = [
    ("sqrt()", RUN, lambda t: 5e-4 * (1 - sqrt(t / 1000))),
    ("sqrt(1000)", {}, lambda t: 5e-4 * (1 - sqrt(t / 1000))),
    ("sqrt(to=0.1x)", RUN, lambda t: 5e-4 * (0.1 + 0.9 * (1 - sqrt(t / 1000)))),
    ("sqrt(to=1e-6, from=1e-3)", RUN, lambda t: 1e-6 + (1e-3 - 1e-6) * (1 - sqrt(t / 1000))),
    # warm-up, stable, decay
    (
        "warmup(10%) -> hold() -> sqrt(20%)",
        RUN,
        lambda t: 5e-4 * (t / 100 if t < 100 else 1 if t < 800 else 1 - sqrt((t - 800) / 200)),
    ),
    ("decay(gamma=0.99)", {}, lambda t: 5e-4 * 0.99**t),
    ("decay(gamma=0.9, every=30)", {}, lambda t: 5e-4 * 0.9 ** (t / 30)),
    ("decay(gamma=0.9, every=5%)", RUN, lambda t: 5e-4 * 0.9 ** (t / 50)),
    ("decay(gamma=0.9, every=30, from=1e-3)", {}, lambda t: 1e-3 * 0.9 ** (t / 30)),
    ("decay(100, gamma=0.97) -> hold()", {}, lambda t: 5e-4 * 0.97 ** min(t, 100)),
    ("decay(100, gamma=0.97)", {}, lambda t: 5e-4 * 0.97 ** min(t, 100)),
    ("decay(gamma=1.01) -> hold(10%)", RUN, lambda t: 5e-4 * 1.01 ** min(t, 900)),
    ("hold(500, at=0.2x) -> decay(gamma=0.99)", {}, lambda t: 1e-4 * 0.99 ** max(0, t - 500)),
    (
        "decay(100, gamma=0.97) -> linear(900, to=0x)",
        {},
        lambda t: 5e-4 * (0.97**t if t < 100 else 0.97**100 * (1000 - t) / 900),
    ),
    ("inverse_time(rate=0.5)", {}, lambda t: 5e-4 / (1 + 0.5 * t)),
    ("inverse_time(rate=2, every=100)", {}, lambda t: 5e-4 / (1 + 2 * t / 100)),
    ("inverse_time(200, rate=2, every=100) -> hold()", {}, lambda t: 5e-4 / (1 + 2 * min(t, 200) / 100)),
    ("natural_exp(rate=0.01)", {}, lambda t: 5e-4 * exp(-0.01 * t)),
    ("natural_exp(rate=0.9, every=100, from=2x)", {}, lambda t: 1e-3 * exp(-0.9 * t / 100)),
    ("inverse_sqrt(timescale=100)", {}, lambda t: 5e-4 * sqrt(100 / (t + 100))),
    ("inverse_sqrt(timescale=10%)", RUN, lambda t: 5e-4 * sqrt(100 / (t + 100))),
    # T5: 1 / sqrt(max(n, 100)) of the rate that stands at n = 100
    ("hold(100) -> inverse_sqrt(timescale=100)", {}, lambda t: 5e-4 * sqrt(100 / max(t, 100))),
    (
        "warmup(100) -> inverse_sqrt(500, timescale=100) -> hold()",
        {},
        lambda t: 5e-4 * (t / 100 if t < 100 else sqrt(100 / min(t, 600))),
    ),
    ("noam(d_model=512, warmup=400)", {}, lambda t: 5e-4 * 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 400**-1.5)),
    (
        "noam(500, d_model=64, warmup=0.5) -> hold()",
        {},
        lambda t: 5e-4 * 64**-0.5 * (min(t, 500) + 1) ** -0.5,
    ),
    ("piecewise(at=[100, 25%], values=[1x, 0.4x, 1e-6])", RUN, _pieces),
    ("piecewise(at=[100, 250], values=[5e-4, 2e-4, 1e-6])", {}, _pieces),
    ("piecewise(at=[0], values=[7x, 2x])", {}, lambda _: 1e-3),
    # what changes at 250 changes no more
    ("piecewise(250, at=[100, 250], values=[1x, 0.4x, 7x]) -> hold()", {}, lambda t: 5e-4 if t < 100 else 2e-4),
    (
        "hold(100) -> piecewise(at=[1.5, 150], values=[0.1x, 0.4x, 1e-6])",
        {},
        lambda t: 5e-4 if t < 100 else 5e-5 if t < 102 else _pieces(t),
    ),
    ("restarts(period=100)", {}, lambda t: _cos(5e-4, 0, t % 100 / 100)),
    ("restarts(period=100, to=0.1x)", {}, lambda t: _cos(5e-4, 5e-5, t % 100 / 100)),
    ("restarts(period=10%, to=1e-5, from=1e-3)", RUN, lambda t: _cos(1e-3, 1e-5, t % 100 / 100)),
    (
        "restarts(period=100, mult=2)",
        {},
        lambda t: (
            _cos(5e-4, 0, t / 100 if t < 100 else (t - 100) / 200 if t < 300 else (t - 300) / 400 % 1)
            if t < 700
            else _cos(5e-4, 0, (t - 700) / 800)
        ),
    ),
    # a phase that ends with a period is at `to`
    (
        "restarts(300, period=100, mult=2) -> hold()",
        {},
        lambda t: _cos(5e-4, 0, t / 100 if t < 100 else (t - 100) / 200) if t < 300 else 0.0,
    ),
    ("restarts(250, period=100) -> hold()", {}, lambda t: _cos(5e-4, 0, min(t, 250) % 100 / 100)),
    ("cycle(low=0.1x, high=1x, up=50)", {}, lambda t: 5e-4 * (0.1 + 0.9 * _up_down(t % 100, 50, 50))),
    ("cycle(low=1e-5, high=1e-3, up=50, down=20)", {}, lambda t: 1e-5 + 99e-5 * _up_down(t % 70, 50, 20)),
    (
        "cycle(low=1e-5, high=1x, up=5%, shape=triangular2)",
        RUN,
        lambda t: 1e-5 + 49e-5 * _up_down(t % 100, 50, 50) * 0.5 ** (t // 100),
    ),
    (
        "cycle(low=0x, high=1x, up=50, shape=exp_range, gamma=0.999)",
        {},
        lambda t: 5e-4 * _up_down(t % 100, 50, 50) * 0.999**t,
    ),
    # a momentum, which falls while the rate rises
    ("cycle(low=0.95, high=0.85, up=50)", {}, lambda t: 0.95 - 0.1 * _up_down(t % 100, 50, 50)),
    ("cycle(130, low=0x, high=1x, up=50) -> hold()", {}, lambda t: 5e-4 * _up_down(min(t, 130) % 100, 50, 50)),
    (
        "onecycle()",
        RUN,
        lambda t: _cos(2e-5, 5e-4, t / 299) if t < 299 else _cos(5e-4, 2e-9, min(1, (t - 299) / 700)),
    ),
    (
        "onecycle(500, peak=1e-3, up=100, div=10, final_div=100, shape=linear)",
        {},
        lambda t: 1e-4 + 9e-4 * t / 99 if t < 99 else 1e-3 + (1e-6 - 1e-3) * min(1, (t - 99) / 400),
    ),
    (
        "onecycle(500, up=100, div=10, final_div=100, phases=3)",
        {},
        lambda t: (
            _cos(5e-5, 5e-4, t / 99)
            if t < 99
            else _cos(5e-4, 5e-5, (t - 99) / 99)
            if t < 198
            else _cos(5e-5, 5e-7, min(1, (t - 198) / 301))
        ),
    ),
    # begun at its peak
    ("onecycle(100, up=1)", {}, lambda t: _cos(5e-4, 2e-9, min(1, t / 99))),
    (
        "onecycle(101, up=51, shape=linear, div=2, final_div=2) -> linear(100, to=0x)",
        {},
        lambda t: (
            2.5e-4 + 2.5e-4 * t / 50
            if t < 50
            else 5e-4 - 3.75e-4 * (t - 50) / 50
            if t < 101
            else 1.25e-4 * max(0, 201 - t) / 100
        ),
    ),
]


@pytest.mark.parametrize(("text", "lengths", "formula"), FORMULAS, ids=[each[0] for each in FORMULAS])
def test_every_update(text: str, lengths: dict[str, Any], formula: Callable[[int], float]) -> None:
    found = curve(text, **lengths)
    for t in range(1001):
        assert found.value(t, 5e-4) == near(formula(t)), t


ENDING = [each for each in FORMULAS if curve(each[0], **each[1]).settled is not None]


@pytest.mark.parametrize(("text", "lengths"), [each[:2] for each in ENDING], ids=[each[0] for each in ENDING])
def test_after_its_end_a_policy_holds_its_last_value(text: str, lengths: dict[str, Any]) -> None:
    found = curve(text, **lengths)
    settled = found.settled
    assert settled is not None
    assert settled <= 1000
    last = found.value(1000, 5e-4)
    assert {found.value(t, 5e-4) for t in (int(settled), int(settled) + 1, 1001, 10**9, 10**15)} == {last}
    assert "-> hold()" in text or settled == 0 or found.value(int(settled) - 1, 5e-4) != last


@pytest.mark.parametrize(("text", "lengths"), [each[:2] for each in FORMULAS], ids=[each[0] for each in FORMULAS])
def test_a_curve_goes_through_json_exactly(text: str, lengths: dict[str, Any]) -> None:
    found = curve(text, **lengths)
    again = from_data(json.loads(json.dumps(found.to_data(), allow_nan=False)))
    assert again == found == curve(text.replace(" ", "  "), **lengths)
    assert hash(again) == hash(found)
    assert str(again) == str(found)
    assert [again.value(t, 0.3) for t in range(0, 1001, 7)] == [found.value(t, 0.3) for t in range(0, 1001, 7)]


@pytest.mark.parametrize(("text", "lengths"), [each[:2] for each in FORMULAS], ids=[each[0] for each in FORMULAS])
def test_values_lie_between_the_extremes(text: str, lengths: dict[str, Any]) -> None:
    found = curve(text, **lengths)
    low, high = min(found.extremes(5e-4)), max(found.extremes(5e-4))
    values = [found.value(t, 5e-4) for t in range(1001)]
    assert max(values) <= high * (1 + 1e-15)
    # one without an end falls for ever
    assert min(values) >= low * (1 - 1e-15) or found.settled is None


@pytest.mark.parametrize(("text", "lengths"), [each[:2] for each in FORMULAS], ids=[each[0] for each in FORMULAS])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 7.0])
def test_ratios_follow_the_own_value(text: str, lengths: dict[str, Any], scale: float) -> None:
    found = curve(text, **lengths)
    absolute = "e-" in text or "0.95" in text
    assert found.relative is not absolute or text.startswith("onecycle(500, peak")
    for t in range(0, 1001, 13):
        if found.relative:
            assert found.value(t, scale) == scale * found.factor(t)
        assert found.value(t, scale) == near(found.raw(t, scale))


# Per epoch: the same by the epochs done

PER_EPOCH: list[tuple[str, Callable[[int], float]]] = [
    ("sqrt() per epoch", lambda e: 1 - sqrt(e / 90)),
    ("decay(gamma=0.9) per epoch", lambda e: 0.9**e),
    ("inverse_time(rate=0.1, every=2) per epoch", lambda e: 1 / (1 + 0.05 * e)),
    ("natural_exp(rate=0.1) per epoch", lambda e: exp(-0.1 * e)),
    ("inverse_sqrt(timescale=5) per epoch", lambda e: sqrt(5 / (e + 5))),
    ("noam(d_model=16, warmup=4) per epoch", lambda e: 0.25 * min((e + 1) ** -0.5, (e + 1) / 8)),
    ("piecewise(at=[30, 60], values=[1x, 0.1x, 0.01x]) per epoch", lambda e: 0.1 ** (e // 30)),
    ("restarts(period=10) per epoch", lambda e: _cos(1, 0, e % 10 / 10)),
    ("cycle(low=0x, high=1x, up=5) per epoch", lambda e: _up_down(e % 10, 5, 5)),
    (
        "onecycle(up=10, div=2, final_div=2, shape=linear) per epoch",
        lambda e: 0.5 + 0.5 * e / 9 if e < 9 else 1 - 0.75 * (e - 9) / 80,
    ),
]


@pytest.mark.parametrize(("text", "formula"), PER_EPOCH, ids=[each[0] for each in PER_EPOCH])
def test_per_epoch(text: str, formula: Callable[[int], float]) -> None:
    found = curve(text, **EPOCHS)
    late = curve(f"hold(5 epochs) -> ({text.replace('(', '(50, ', 1)})", epochs=95, steps_per_epoch=10)
    for t in range(900):
        assert found.value(t, 1.0) == near(formula(t // 10)), t
        if t < 500 and "sqrt()" not in text and "onecycle" not in text:
            assert late.value(t + 50, 1.0) == near(formula(t // 10)), t


# Laws

PERIODS = st.floats(0.5, 300)


@given(period=PERIODS, mult=st.floats(1, 4), t=st.integers(0, 10**6))
def test_restarts_find_their_period(period: float, mult: float, t: int) -> None:
    found = curve("restarts(period=p, mult=m)", let={"p": period, "m": mult})
    begin, length = 0.0, period
    if mult == 1:
        begin = t // period * period
    else:
        while mult > 1.01 and begin + length <= t:
            begin, length = begin + length, length * mult
    value = found.value(t, 1.0)
    assert 0 <= value <= 1
    if mult == 1 or mult > 1.01:
        # at a restart itself the value jumps, where rounding decides
        distance = min(t - begin, begin + length - t)
        assert distance < 1e-3 or value == pytest.approx(_cos(1, 0, (t - begin) / length), abs=1e-5)


@pytest.mark.parametrize("mult", [1.5, 2, 3, 7])
def test_a_restart_is_at_its_update_however_late(mult: float) -> None:
    found = curve("restarts(period=16, mult=m)", let={"m": mult})
    length, begin = 16.0, 0.0
    while begin < 1e13:
        if begin.is_integer():
            assert found.value(int(begin), 1.0) == 1.0
            assert found.before(begin, 1.0) == (0.0 if begin else 1.0)
            assert begin == 0 or found.value(int(begin) - 1, 1.0) < 0.01
        begin, length = begin + length, length * mult


@given(up=PERIODS, down=PERIODS, t=st.integers(0, 10**6))
def test_cycles_stay_between_their_levels_and_come_back(up: float, down: float, t: int) -> None:
    found = curve("cycle(low=0.1x, high=1x, up=u, down=d)", let={"u": up, "d": down})
    assert 0.1 <= found.value(t, 1.0) <= 1
    assert found.raw(t + up + down, 1.0) == pytest.approx(found.raw(t, 1.0), abs=1e-4)


def test_many_phases_do_not_pile_up() -> None:
    text = " -> ".join(["decay(2, gamma=0.5)", "inverse_sqrt(3, timescale=1)"] * 40) + " -> hold()"
    found = curve(text)
    assert found.value(10**6, 1.0) == near(0.25**40 * 0.5**40)
    assert len(json.dumps(found.to_data())) < 20_000


# A floor above a group's peak

RISING = [
    ("sqrt(to=1e-5)", 1e-6, 1e-5),
    ("sqrt(to=1e-5)", 1e-4, None),
    ("restarts(period=5, to=1e-5)", 1e-6, 1e-5),
    ("restarts(period=5, to=2x)", 1e-6, None),
    ("onecycle(peak=1e-3)", 1e-6, None),
]


@pytest.mark.parametrize(("text", "own", "rise"), RISING)
def test_a_floor_above_the_peak(text: str, own: float, rise: float | None) -> None:
    assert curve(text, **RUN).rising(own) == rise


# Data that is none of these curves

ONE = {"kind": "level", "ratio": 1.0, "absolute": 0.0}
DECAY = {"kind": "decay", "origin": ONE, "duration": None, "gamma": 0.5, "every": 1.0}
RAMP = {"kind": "ramp", "origin": ONE, "to": ONE, "duration": 5.0, "shape": "exp", "start": 0.0}
CYCLE = {
    "kind": "cycle",
    "low": ONE,
    "high": ONE,
    "up": 1.0,
    "down": 1.0,
    "shape": "triangular",
    "gamma": 1.0,
    "duration": None,
}
ONECYCLE = {
    "kind": "onecycle",
    "peak": ONE,
    "up": 5.0,
    "div": 25.0,
    "final_div": 1e4,
    "duration": 10.0,
    "shape": "cosine",
    "phases": 2,
}


@pytest.mark.parametrize("data", [DECAY, RAMP, CYCLE, ONECYCLE])
def test_data_that_is_one(data: dict[str, Any]) -> None:
    assert from_data(data).to_data() == data


@pytest.mark.parametrize(
    "data",
    [
        DECAY | {"every": 0.0},
        DECAY | {"kind": "fading"},
        RAMP | {"shape": "wavy"},
        CYCLE | {"shape": "sine"},
        ONECYCLE | {"shape": "exp"},
        {"kind": "chain", "phases": [RAMP, DECAY], "begins": [1.0, 5.0]},
        {"kind": "inversesqrt", "origin": ONE, "duration": None, "timescale": 0.0},
        {"kind": "noam", "d_model": 0.0, "warmup": 5.0, "duration": None},
        {"kind": "pieces", "at": [5.0], "values": [ONE], "duration": None},
        {"kind": "pieces", "at": [5.0, 4.0], "values": [ONE] * 3, "duration": None},
        {"kind": "restarts", "origin": ONE, "to": ONE, "period": 5.0, "mult": 0.5, "duration": None},
        CYCLE | {"down": 0.0},
        CYCLE | {"gamma": 2.0},
        ONECYCLE | {"up": 10.0},
        ONECYCLE | {"phases": 4},
        ONECYCLE | {"phases": 2.0},
        ONECYCLE | {"div": 0.0},
    ],
)
def test_other_data_is_no_curve(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_data(data)


# What is worth a look

BREAKS: list[tuple[str, list[float]]] = [
    ("restarts(100, period=10, mult=2)", [0, 10, 30, 70, 100]),
    ("restarts(100, period=10, mult=1e200)", [0, 10, 100]),
    ("cycle(60, low=0x, high=1x, up=10, down=20)", [0, 10, 30, 40, 60]),
    ("onecycle(100, up=20, phases=3)", [0, 19, 38, 99]),
    ("piecewise(at=[5, 10], values=[1x, 2x, 3x])", [0, 5, 10]),
    ("noam(100, d_model=4, warmup=20)", [0, 19, 100]),
    ("decay(50, gamma=0.9)", [0, 50]),
    ("sqrt(50)", [0, 50]),
]


@pytest.mark.parametrize(("text", "breaks"), BREAKS, ids=[each[0] for each in BREAKS])
def test_breakpoints(text: str, breaks: list[float]) -> None:
    assert curve(text).breaks == breaks
