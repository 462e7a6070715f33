"""Curves as data: what they say of themselves, and their copies."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from optplan.resolve.curve import Chain, Epochs, Hold, Poly, Ramp
from optplan.resolve.curve_record import from_data
from optplan.resolve.level import Bound, Last, Level, times
from optplan.resolve.stairs import Stairs, Steps
from tests.resolve.making import curve

RUN = {"steps": 100}
EPOCHS = {"epochs": 10, "steps_per_epoch": 10}

POLICIES: list[tuple[str, dict[str, Any]]] = [
    ("hold(at=0.1x)", {}),
    ("hold(at=1e-6)", {}),
    ("warmup(10, start=1, shape=cosine) -> hold()", {}),
    ("warmup(1 / 3) -> cosine(to=1e-7)", RUN),
    ("exp(to=0.1x)", RUN),
    ("poly(power=0.9, to=0.3x)", RUN),
    ("step(35, every=10 / 3, gamma=0.1) -> linear(to=0x)", RUN),
    ("multistep(at=[20 / 7, 10], gamma=0.1)", {}),
    ("warmup(2 epochs) -> (cosine(to=0x) per epoch)", EPOCHS),
    ("(step(every=3, gamma=0.5) per epoch)", EPOCHS),
]


@pytest.mark.parametrize(("text", "options"), POLICIES, ids=[each[0] for each in POLICIES])
def test_a_curve_goes_through_json_exactly(text: str, options: dict[str, Any]) -> None:
    found = curve(text, **options)
    data = json.dumps(found.to_data(), allow_nan=False)
    again = from_data(json.loads(data))
    assert again == found
    assert hash(again) == hash(found)
    assert again is not found
    assert json.dumps(again.to_data()) == data
    assert [again.value(t, 0.3) for t in range(150)] == [found.value(t, 0.3) for t in range(150)]


@pytest.mark.parametrize(("text", "options"), POLICIES, ids=[each[0] for each in POLICIES])
def test_equal_policies_are_equal_curves(text: str, options: dict[str, Any]) -> None:
    found = curve(text, **options)
    assert found == curve(text.replace("0.1x", "1e-1 * 1x").replace(" ", "  "), **options)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - ours
    assert {found: 1}[curve(text, **options)] == 1


LEVELS: list[Last | Bound] = [
    Last(Ramp(Level(1.0), Level(), 10.0), 5.0, 0.5),
    Bound("max", (Level(0.1), Level(0.0, 1e-6))),
    Bound("min", (Last(Hold(Level(0.5)), None), Level(0.2, 0.3))),
]


@pytest.mark.parametrize("level", LEVELS)
def test_levels_go_through_json(level: Any) -> None:
    for found in (Hold(level), Poly(level, Level(), 5.0, 2.0), Stairs(level, 0.1, 2.0), Steps(level, 0.1, (1.0, 2.0))):
        assert from_data(json.loads(json.dumps(found.to_data()))) == found


ONE = {"kind": "level", "ratio": 1.0, "absolute": 0.0}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "nothing"},
        {"kind": "hold"},
        {"kind": "hold", "at": {"kind": "level"}, "more": 1},
        {"kind": "ramp", "origin": {"kind": "level"}},
        {"kind": []},
        [],
        "hold",
        {"kind": "level", "ratio": 1.0, "absolute": 0.0},
        {"kind": "hold", "at": {"kind": "level", "ratio": float("nan"), "absolute": 0.0}},
        {"kind": "hold", "at": {"kind": "level", "ratio": -1.0, "absolute": 0.0}},
        {"kind": "hold", "at": {"kind": "level", "ratio": "1", "absolute": 0.0}},
        {"kind": "stairs", "origin": ONE, "gamma": 0.5, "every": 0.0, "duration": None},
        {"kind": "epochs", "item": {"kind": "hold", "at": ONE}, "length": 0.0, "begin": 0.0},
        {"kind": "chain", "phases": [], "begins": []},
        {"kind": "chain", "phases": [{"kind": "hold", "at": ONE}], "begins": [0.0, 1.0]},
        {"kind": "chain", "phases": [{"kind": "hold", "at": ONE}] * 2, "begins": [1.0, 0.0]},
        {"kind": "chain", "phases": [ONE], "begins": [0.0]},
    ],
)
def test_other_data_is_no_curve(data: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_data(data)


# From when on the value stays what it is

SETTLED: list[tuple[str, dict[str, Any], float | None]] = [
    ("hold(at=0.1x)", {}, 0),
    ("warmup(10) -> hold()", {}, 10),
    ("linear(80, to=0x)", {}, 80),
    ("cosine(to=0x)", RUN, 100),
    ("poly()", RUN, 100),
    ("step(every=10, gamma=0.1)", {}, None),
    ("step(every=10, gamma=1)", {}, 0),
    ("step(every=10, gamma=0)", {}, 10),
    ("step(35, every=10, gamma=0.1)", {}, 30),
    ("step(30, every=10, gamma=0.1)", {}, 20),
    ("multistep(at=[10, 40], gamma=0.1)", {}, 40),
    ("multistep(at=[10, 40], gamma=1)", {}, 0),
    ("multistep(30, at=[10, 40], gamma=0.1)", {}, 10),
    ("multistep(5, at=[10, 40], gamma=0.1)", {}, 0),
    ("linear(7 epochs, to=0x) per epoch", EPOCHS, 70),
    ("hold(5) -> (linear(2 epochs, to=0x) per epoch)", EPOCHS, 30),
    ("(linear(2.5, to=0x)) per epoch", EPOCHS, 30),
    ("hold(5) -> (step(every=1, gamma=0.5) per epoch)", EPOCHS, None),
]


@pytest.mark.parametrize(("text", "options", "settled"), SETTLED, ids=[each[0] for each in SETTLED])
def test_settled(text: str, options: dict[str, Any], settled: float | None) -> None:
    found = curve(text, **options)
    assert found.settled == settled
    if settled is not None:
        after = {found.value(t, 0.3) for t in range(int(settled), 200)}
        assert len(after) == 1
        assert settled == 0 or found.value(int(settled) - 1, 0.3) not in after


def test_a_ramp_that_counts_from_one_is_settled_one_update_earlier() -> None:
    found = curve("warmup(10, start=1)")
    assert (found.settled, found.value(8, 1.0), found.value(9, 1.0)) == (9.0, 0.9, 1.0)


# What it reaches

EXTREMES: list[tuple[str, dict[str, Any], float, float]] = [
    ("hold(at=0.5x)", {}, 0.5, 0.5),
    ("warmup(10) -> cosine(to=0.1x)", RUN, 0.0, 1.0),
    ("warmup(10, from=2x) -> linear(to=3x)", RUN, 1.0, 3.0),
    ("step(every=30, gamma=2)", RUN, 1.0, 8.0),
    ("step(90, every=30, gamma=0.5)", RUN, 0.25, 1.0),
    ("multistep(at=[10, 20], gamma=3)", {}, 1.0, 9.0),
    ("(step(every=3, gamma=2) per epoch)", EPOCHS, 1.0, 8.0),
    ("poly(to=5e-1)", RUN, 0.5, 1.0),
]


@pytest.mark.parametrize(("text", "options", "low", "high"), EXTREMES, ids=[each[0] for each in EXTREMES])
def test_extremes(text: str, options: dict[str, Any], low: float, high: float) -> None:
    found = curve(text, **options)
    reached = found.extremes(1.0)
    assert (min(reached), max(reached)) == (low, high)
    values = [found.value(t, 1.0) for t in range(101)]
    assert (min(values), max(values)) == pytest.approx((low, high), rel=1e-15)


def test_what_is_beyond_a_double_is_infinite_and_raises_nothing() -> None:
    found = curve("step(every=1, gamma=1e300)", steps=10)
    assert max(found.extremes(1.0)) == float("inf")
    assert found.value(9, 1.0) == float("inf")
    assert times(Level(2.0, 0.0), 1e300, 3) == Level(float("inf"), 0.0)


RISING: list[tuple[str, float, float | None]] = [
    ("cosine(to=1e-5)", 1e-3, None),
    ("cosine(to=1e-5)", 1e-5, None),
    ("cosine(to=1e-5)", 1e-6, 1e-5),
    ("warmup(10) -> cosine(to=1e-5)", 1e-6, 1e-5),
    ("warmup(10) -> poly(to=1e-5)", 1e-6, 1e-5),
    ("exp(to=1e-5)", 1e-6, 1e-5),
    ("cosine(to=1e-5) per epoch", 1e-6, 1e-5),
    # a ratio follows, what is written out is meant, and a line is no decay by name
    ("cosine(to=2x)", 1e-6, None),
    ("cosine(from=1e-6, to=1e-5)", 1e-6, None),
    ("hold(10, at=1e-6) -> cosine(to=1e-5)", 1e-6, None),
    ("linear(to=1e-5)", 1e-6, None),
    ("warmup(10, from=1e-5) -> hold()", 1e-6, None),
    ("hold(at=1e-5)", 1e-6, None),
]


@pytest.mark.parametrize(("text", "own", "rise"), RISING)
def test_a_floor_above_the_peak(text: str, own: float, rise: float | None) -> None:
    assert curve(text, **EPOCHS).rising(own) == rise


NEUTRAL = [
    ("hold()", True),
    ("hold(at=1x)", True),
    ("hold(at=0.5x + 0.5x)", True),
    ("hold(10)", True),
    ("hold(at=1)", False),
    ("hold(at=0.5x)", False),
    ("warmup(1) -> hold()", False),
]


@pytest.mark.parametrize(("text", "neutral"), NEUTRAL)
def test_neutral(text: str, *, neutral: bool) -> None:
    assert curve(text).neutral is neutral


RELATIVE = [
    ("warmup(10) -> cosine(to=0.1x)", True),
    ("warmup(10) -> cosine(to=0)", True),
    ("warmup(10) -> cosine(to=1e-6)", False),
    ("warmup(10, from=1e-6) -> hold()", False),
    ("hold(10, at=1e-6) -> hold(at=1x)", False),
    ("step(every=5, gamma=0.1)", True),
    ("step(every=5, gamma=0.1, from=1e-3)", False),
]


@pytest.mark.parametrize(("text", "relative"), RELATIVE)
def test_a_curve_of_ratios_is_a_multiple(text: str, *, relative: bool) -> None:
    found = curve(text, **RUN)
    assert found.relative is relative
    for t in range(0, 101, 7):
        for own in (0.0, 1e-3, 0.3):
            if relative:
                assert found.value(t, own) == own * found.factor(t)
            assert found.value(t, own) == pytest.approx(found.raw(t, own), rel=1e-15)


def test_levels() -> None:
    assert Level(0.5).at(0.3) == 0.15
    assert Level(0.0, 1e-6).at(0.3) == 1e-6
    assert Level(0.5, 1e-6).at(2.0) == 1.000001
    floor = Bound("max", (Level(0.1), Level(0.0, 1e-5)))
    assert (floor.at(1e-3), floor.at(1e-5), floor.relative) == (1e-4, 1e-5, False)
    ceiling = Bound("min", (Level(0.1), Level(0.5)))
    assert (ceiling.at(1.0), ceiling.relative) == (0.1, True)
    assert times(floor, 0.5, 2) == Bound("max", (Level(0.025), Level(0.0, 2.5e-6)))
    last = Last(Ramp(Level(1.0), Level(), 10.0), 5.0)
    assert (last.at(0.4), times(last, 0.5, 1).at(0.4)) == (0.2, 0.1)


def test_a_floor_of_both_kinds() -> None:
    """`max(0.1x, 1e-5)`: each group's own tenth, but never less than 1e-5."""
    found = Ramp(Level(1.0), Bound("max", (Level(0.1), Level(0.0, 1e-5))), 10.0, "cosine")
    assert [found.value(10, own) for own in (1e-2, 1e-4, 1e-5)] == [1e-3, 1e-5, 1e-5]


def test_rounding_does_not_delay_a_phase() -> None:
    """Doubles make 41 - 115/3 a little less than 8/3: the update that a phase begins at is its own all the same."""
    found = curve("hold(115 / 3) -> linear(3, from=0.5x, to=2x) * (hold(8 / 3, at=0.5x) -> hold(at=0.1x))")
    line = 0.5 + 1.5 * (8 / 3) / 3
    assert [found.value(t, 1.0) for t in (38, 41, 42)] == pytest.approx([1, 0.1 * line, 0.2], rel=1e-12)
    assert found.before(41, 1.0) == pytest.approx(0.5 * line, rel=1e-12)


SHOWN = [
    (Hold(Level(0.1)), "hold(0.1x)"),
    (Chain((Hold(Level()), Hold(Level(0.0, 0.5))), (0.0, 2.0)), "hold(2, at=0x) -> hold(0.5)"),
    (Epochs(Hold(Level(1.0, 1.0)), 10.0), "hold(1x + 1) per epoch"),
    (Stairs(LEVELS[0], 0.1, 5.0), "step(5, from=current, gamma=0.1)"),
    (Hold(LEVELS[1]), "hold(max(0.1x, 1e-06))"),
]


@pytest.mark.parametrize(("found", "text"), SHOWN)
def test_shown(found: Any, text: str) -> None:
    assert str(found) == text
