"""What runs at once: `over`, `into` and `*`, by values worked out by hand from the words that define them.

`a over b` is a for its duration, then b as if it had run from t = 0; `a into b` is a straight line from a to b over the
duration of a; `a * b` multiplies ratios.  The own value is 1 unless something else is said.
"""

from __future__ import annotations

import json
import pickle
from math import cos, pi
from typing import TYPE_CHECKING, Any

import pytest

from optplan import ConfigError
from optplan.resolve.compound import Blend, Overlay, Product
from optplan.resolve.curve import Chain, Epochs, Hold, Ramp
from optplan.resolve.curve_record import from_data
from optplan.resolve.level import Level
from tests.resolve.making import curve, faults, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.resolve.making import Fault

RUN: dict[str, Any] = {"steps": 100}
EPOCHS: dict[str, Any] = {"epochs": 10, "steps_per_epoch": 10}


def half(t: float, whole: float) -> float:
    """Half a cosine from 1 to 0."""
    return (1 + cos(pi * min(t / whole, 1))) / 2


Values = dict[int, float]

OVER: list[tuple[str, dict[str, Any], Values]] = [
    # the line that a cosine is under: at update 50 half of 100 has gone by, warm-up or not
    ("warmup(10) over cosine()", RUN, {0: 0, 5: 0.5, 9: 0.9, 10: half(10, 100), 50: 0.5, 100: 0, 200: 0}),
    ("warmup(10) over linear(100, to=0x)", {}, {0: 0, 9: 0.9, 10: 0.9, 11: 0.89, 50: 0.5, 100: 0, 1000: 0}),
    ("warmup(10%) over linear(to=0x)", RUN, {9: 0.9, 10: 0.9, 50: 0.5}),
    # stairs fall at 20 and 40 whatever is over them
    ("warmup(25) over step(every=20, gamma=0.5)", {}, {5: 0.2, 20: 0.8, 24: 0.96, 25: 0.5, 40: 0.25, 60: 0.125}),
    ("hold(3, at=5x) over hold(at=7x)", {}, {0: 5, 2: 5, 3: 7, 99: 7}),
    # as long as the longer, and after its end the last value
    ("hold(30, at=2x) over linear(20, to=0.5x)", {}, {0: 2, 29: 2, 30: 0.5, 31: 0.5}),
    ("hold(30, at=2x) over linear(20, to=0.5x) -> linear(10, to=0x)", {}, {29: 2, 30: 0.5, 35: 0.25, 40: 0}),
    # a duration that is not whole governs t < 2.5
    ("hold(2.5, at=5x) over linear(10, to=0x)", {}, {2: 5, 3: 0.7, 4: 0.6}),
    ("hold(0, at=5x) over linear(10, to=0x)", {}, {0: 1, 1: 0.9}),
    # groups to the right: each begins at 0 and the first that has not ended governs
    ("hold(2, at=5x) over hold(4, at=6x) over linear(10, to=0x)", {}, {1: 5, 2: 6, 3: 6, 4: 0.6, 5: 0.5}),
    ("hold(4, at=5x) over hold(2, at=6x) over linear(10, to=0x)", {}, {3: 5, 4: 0.6, 5: 0.5}),
    ("(hold(2, at=5x) over hold(4, at=6x)) over linear(10, to=0x)", {}, {1: 5, 2: 6, 3: 6, 4: 0.6}),
    # first is itself a chain: 3 + 2 updates
    ("(hold(3, at=5x) -> hold(2, at=6x)) over linear(10, to=0x)", {}, {2: 5, 3: 6, 4: 6, 5: 0.5}),
    # within a chain t = 0 is where the chain has come to, and so is the value that both begin at
    ("hold(10) -> warmup(10) over linear(20, to=0x)", {}, {9: 1, 10: 0, 15: 0.5, 20: 0.5, 25: 0.25, 30: 0}),
    ("hold(10, at=0.5x) -> hold(5, at=2x) over linear(10, to=0x)", {}, {9: 0.5, 10: 2, 14: 2, 15: 0.25, 20: 0}),
    # takes what is left: 80 updates for the cosine that began at 10
    ("hold(10) -> warmup(10) over cosine() -> hold(10, at=0.3x)", RUN, {10: 0, 20: half(10, 80), 50: 0.5, 90: 0.3}),
    ("hold(10) -> (warmup(10) over cosine())", RUN, {10: 0, 20: half(10, 90), 55: 0.5, 100: 0}),
    # epochs are those of the run, ten updates each
    ("warmup(15) over linear(to=0x) per epoch", EPOCHS, {5: 1 / 3, 14: 14 / 15, 15: 0.9, 19: 0.9, 20: 0.8, 99: 0.1}),
    ("(hold(2, at=5x) over linear(to=0x)) per epoch", EPOCHS, {0: 5, 19: 5, 20: 0.8, 29: 0.8, 30: 0.7}),
    ("hold(5) -> hold(5) over (linear(to=0x) per epoch)", EPOCHS, {9: 1, 10: 9 / 9.5, 19: 9 / 9.5, 20: 8 / 9.5}),
]

INTO: list[tuple[str, dict[str, Any], Values]] = [
    # a line onto a moving target: a quarter of the way from 0.1 to 0.95, half of it to 0.9
    ("hold(20, at=0.1x) into linear(100, to=0x)", {}, {0: 0.1, 5: 0.3125, 10: 0.5, 20: 0.8, 50: 0.5, 100: 0, 200: 0}),
    ("hold(20, at=0x) into linear(100, to=0x)", {}, {0: 0, 5: 0.2375, 10: 0.45, 19: 0.95 * 0.81, 20: 0.8}),
    # where nothing moves it is a ramp
    ("hold(4, at=0.2x) into hold(at=1x)", {}, {0: 0.2, 1: 0.4, 2: 0.6, 4: 1, 9: 1}),
    # both run: at 1 three quarters of 1 / 4 and a quarter of 7 / 8, at 2 half of 1 / 2 and half of 3 / 4
    ("linear(4, from=0x, to=1x) into linear(8, to=0x)", {}, {0: 0, 1: 0.40625, 2: 0.625, 4: 0.5, 8: 0}),
    ("hold(2.5, at=0x) into hold(at=5x)", {}, {0: 0, 1: 2, 2: 4, 3: 5}),
    ("hold(0, at=0x) into linear(10, to=0x)", {}, {0: 1, 5: 0.5}),
    # to the right: at 2 half of the way from 4 to what is itself a quarter of the way from 0 to 8
    ("hold(4, at=4x) into hold(8, at=0x) into hold(at=8x)", {}, {0: 4, 2: 3, 4: 4, 6: 6, 8: 8}),
    ("hold(4, at=0x) into (hold(6, at=4x) over hold(at=8x))", {}, {0: 0, 2: 2, 4: 4, 5: 4, 6: 8}),
    ("hold(2, at=5x) over hold(4, at=0x) into hold(at=8x)", {}, {1: 5, 2: 4, 3: 6, 4: 8}),
    # takes what is left
    ("hold(10) -> hold(10, at=0x) into linear(to=0x)", RUN, {9: 1, 10: 0, 15: 0.5 * 85 / 90, 20: 80 / 90, 100: 0}),
    ("hold(10, at=0.1x) into (linear(to=0x) per epoch)", EPOCHS, {0: 0.1, 5: 0.55, 9: 0.91, 10: 0.9, 19: 0.9, 20: 0.8}),
]

TIMES: list[tuple[str, dict[str, Any], Values]] = [
    ("warmup(10) * linear(100, to=0x)", {}, {0: 0, 5: 0.475, 10: 0.9, 50: 0.5, 100: 0}),
    ("warmup(4) * step(every=2, gamma=0.5)", {}, {1: 0.25, 2: 0.25, 3: 0.375, 4: 0.25, 6: 0.125}),
    ("hold(at=0.5x) * hold(at=0.5x)", {}, {0: 0.25}),
    # as long as the longer, after which the last value stands
    ("linear(10, to=0.5x) * linear(20, to=0.5x)", {}, {0: 1, 10: 0.5 * 0.75, 20: 0.25, 90: 0.25}),
    ("linear(10, to=0.5x) * linear(20, to=0.5x) -> linear(10, to=0x)", {}, {10: 0.375, 20: 0.25, 25: 0.125, 30: 0}),
    # binds closer than `over` and `->`
    ("hold(3, at=5x) over linear(10, to=0x) * hold(at=2x)", {}, {2: 5, 3: 1.4, 5: 1}),
    ("hold(3) * hold(at=5x, for=2) over linear(10, to=0x)", {}, {2: 5, 3: 0.7}),
    ("hold(5) -> hold(5) * hold(5, at=2x) -> hold(at=7x)", {}, {4: 1, 5: 2, 9: 2, 10: 7}),
    # and looser than `per epoch`
    ("hold(at=2x) * linear(to=0x) per epoch", EPOCHS, {0: 2, 9: 2, 10: 1.8, 19: 1.8, 95: 0.2}),
    # in a chain the first goes on from where the phase before ended, the others are factors
    ("hold(10, at=0.5x) -> linear(10, to=0x) * linear(10, to=0.5x)", {}, {9: 0.5, 10: 0.5, 15: 0.25 * 0.75, 20: 0}),
    # what is multiplied may have values that are no ratios
    ("linear(10, to=0.5) * warmup(5)", {}, {0: 0, 1: 0.95 * 0.2, 5: 0.75, 10: 0.5}),
    # takes what is left, each of them
    ("linear(to=0x) * linear(to=0.5x) -> hold(50)", RUN, {25: 0.5 * 0.75, 50: 0}),
]

UNITS: list[tuple[str, dict[str, Any], Values]] = [
    ("hold(5k tokens, at=5x) -> hold(at=7x)", {"tokens_per_step": 1000}, {4: 5, 5: 7}),
    ("hold(2B tokens, at=5x) -> hold(at=7x)", {"tokens_per_step": 0.5e9}, {3: 5, 4: 7}),
    ("hold(1M samples, at=5x) -> hold(at=7x)", {"samples_per_step": 100_000}, {9: 5, 10: 7}),
    # 1 / 0.1 is ten, and three times a third is one
    ("hold(1 samples, at=5x) -> hold(at=7x)", {"samples_per_step": 0.1}, {9: 5, 10: 7}),
    ("hold(10 samples * 3, at=5x) -> hold(at=7x)", {"samples_per_step": 3}, {9: 5, 10: 7}),
    ("hold(1k samples - 5, at=5x) -> hold(at=7x)", {"samples_per_step": 100}, {4: 5, 5: 7}),
    ("hold(max(1k samples, 6), at=5x) -> hold(at=7x)", {"samples_per_step": 200}, {5: 5, 6: 7}),
    ("hold(n * 2 samples, at=5x) -> hold(at=7x)", {"samples_per_step": 10, "let": {"n": 30}}, {5: 5, 6: 7}),
    ("step(every=1k samples, gamma=0.5)", {"samples_per_step": 250}, {3: 1, 4: 0.5, 8: 0.25}),
    # a thousand samples are an epoch of ten updates
    ("hold(2k samples, at=5x) per epoch -> hold(at=7x)", EPOCHS | {"samples_per_step": 100}, {19: 5, 20: 7}),
    ("hold(20 tokens) -> hold(50%, at=2x)", {"steps": 40, "tokens_per_step": 1}, {19: 1, 20: 2}),
]

ALL = OVER + INTO + TIMES + UNITS


@pytest.mark.parametrize(("text", "options", "values"), ALL, ids=[each[0] for each in ALL])
def test_values(text: str, options: dict[str, Any], values: Values) -> None:
    found = curve(text, **options)
    assert {t: found.value(t, 1.0) for t in values} == pytest.approx(values, rel=1e-14, abs=1e-16)


# Published warm-ups, over every update

PUBLISHED: list[tuple[str, dict[str, Any], Callable[[int], float]]] = [
    # detectron2: the warm-up multiplies what is under it
    (
        "multistep(at=[60, 80], gamma=0.1) * warmup(20, from=0.001x)",
        {},
        lambda t: 0.1 ** ((t >= 60) + (t >= 80)) * (0.001 * (1 - t / 20) + t / 20 if t < 20 else 1),
    ),
    # YOLOv5: numpy.interp(t, [0, n], [0.1, lr * f(epoch)])
    (
        "hold(20, at=0.1) into (linear(to=0.01x) per epoch)",
        EPOCHS,
        lambda t: 0.1 + (0.01 * ((1 - t // 10 / 10) * 0.99 + 0.01) - 0.1) * min(t / 20, 1),
    ),
    # timm: the decay has run from the start by the time at which the warm-up ends
    (
        "warmup(20, from=1e-6) over cosine(to=1e-5)",
        RUN,
        lambda t: 1e-6 + t * (0.01 - 1e-6) / 20 if t < 20 else 1e-5 + 0.5 * (0.01 - 1e-5) * (1 + cos(pi * t / 100)),
    ),
]


@pytest.mark.parametrize(("text", "options", "formula"), PUBLISHED, ids=[each[0] for each in PUBLISHED])
def test_published(text: str, options: dict[str, Any], formula: Callable[[int], float]) -> None:
    found = curve(text, **options)
    own = 0.01 if "1e-" in text or "at=0.1)" in text else 1.0
    for t in range(100):
        assert found.value(t, own) == pytest.approx(formula(t), rel=1e-13), t


# `base`: half a cosine from 1 to 0 in 100 updates

BASES: list[tuple[str, Callable[[int], float]]] = [
    ("hold(20, at=0x) over base", lambda t: 0 if t < 20 else half(t, 100)),
    ("base * warmup(20)", lambda t: half(t, 100) * min(t / 20, 1)),
    ("warmup(20) * base", lambda t: half(t, 100) * min(t / 20, 1)),
    ("base * base", lambda t: half(t, 100) ** 2),
    ("hold(20, at=0x) into base", lambda t: half(t, 100) * min(t / 20, 1)),
    # from its own start, 20 later
    ("hold(20) -> base * hold(at=2x)", lambda t: 1 if t < 20 else 2 * half(t - 20, 100)),
    ("hold(20) -> (hold(5, at=3x) over base)", lambda t: 1 if t < 20 else 3 if t < 25 else half(t - 20, 100)),
]


@pytest.mark.parametrize(("text", "formula"), BASES, ids=[each[0] for each in BASES])
def test_base(text: str, formula: Callable[[int], float]) -> None:
    found = curve(text, before=curve("cosine()", **RUN), **RUN)
    for t in range(101):
        assert found.value(t, 0.3) == pytest.approx(0.3 * formula(t), rel=1e-13, abs=1e-17), t


def test_a_base_with_absolute_values_can_be_multiplied() -> None:
    found = curve("base * warmup(10)", before=curve("linear(100, to=0.5)"), **RUN)
    assert [found.value(t, 2.0) for t in (0, 5, 10, 100)] == pytest.approx([0, 0.5 * (2 - 0.075), 1.85, 0.5])
    assert not found.relative


def test_bases_of_bases_do_not_pile_up() -> None:
    found = curve("cosine()", steps=1000)
    for _ in range(300):
        found = curve("hold(1, at=0x) over base", before=found, steps=1000)
        found = curve("base * hold(at=1x)", before=found, steps=1000)
    assert found == curve("hold(1, at=0x) over cosine()", steps=1000)
    for _ in range(300):
        found = curve("base * hold(at=0.99x)", before=found, steps=1000)
    assert found.value(500, 1.0) == pytest.approx(0.5 * 0.99**300, rel=1e-12)
    assert from_data(json.loads(json.dumps(found.to_data()))) == found


# What the curves say of themselves

SAID: list[tuple[str, dict[str, Any], bool, float | None, tuple[float, float]]] = [
    # relative, settled, least and greatest of what it comes to
    # a ramp is at its end, 1x, just before something else has its turn
    ("warmup(10) over linear(100, to=0x)", {}, True, 100, (0, 1)),
    ("hold(30, at=2x) over linear(20, to=0.5x)", {}, True, 30, (0.5, 2)),
    ("warmup(10) over cosine(to=1e-3)", RUN, False, 100, (0, 1)),
    ("hold(30, at=2) over linear(20, to=0.5x)", {}, False, 30, (0.5, 2)),
    ("warmup(25) over step(every=20, gamma=0.5)", {}, True, None, (0, 1)),
    ("hold(20, at=0.1x) into linear(100, to=0x)", {}, True, 100, (0, 0.8)),
    ("hold(20, at=0.1) into linear(100, to=0x)", {}, False, 100, (0, 0.8)),
    # 0.1 + (0.9 - 0.08 t) t / 20 is greatest at update 6
    ("hold(20, at=0.1) into linear(10, to=0.2x)", {}, False, 20, (0.1, 0.226)),
    # t (100 - t) / 2500 is greatest at 50, where neither begins nor ends
    ("linear(100, from=0x, to=2x) * linear(100, to=0x)", {}, True, 100, (0, 0.5)),
    ("linear(10, to=0.5) * warmup(5)", {}, False, 10, (0, 0.75)),
    ("hold(at=2x) * step(every=2, gamma=0.5)", {}, True, None, (0, 2)),
    # a spike of five updates in a million
    ("warmup(2) * (hold(5, at=3x) -> linear(1M, to=0x))", {}, True, 1_000_005, (0, 3)),
]


@pytest.mark.parametrize(("text", "options", "relative", "settled", "reach"), SAID, ids=[each[0] for each in SAID])
def test_what_a_curve_says_of_itself(
    text: str, options: dict[str, Any], relative: bool, settled: float | None, reach: tuple[float, float]
) -> None:
    found = curve(text, **options)
    assert (found.relative, found.settled, found.neutral) == (relative, settled, False)
    extremes = found.extremes(1.0)
    assert (min(extremes), max(extremes)) == pytest.approx(reach, rel=1e-14, abs=1e-12)
    if settled is not None:
        end = int(settled)
        assert len({found.value(t, 1.0) for t in (end, end + 1, end + 1000)}) == 1
        assert found.value(end - 1, 1.0) != found.value(end, 1.0)
    for own in (0.0, 0.3):
        if relative:
            assert [found.value(t, own) for t in range(50)] == [own * found.factor(t) for t in range(50)]
        assert max(found.extremes(own)) >= max(found.value(t, own) for t in range(120))


@pytest.mark.parametrize(("text", "options", "values"), ALL, ids=[each[0] for each in ALL])
def test_a_curve_goes_through_json_exactly(text: str, options: dict[str, Any], values: Values) -> None:
    found = curve(text, **options)
    data = json.dumps(found.to_data(), allow_nan=False)
    again = from_data(json.loads(data))
    assert again == found
    assert hash(again) == hash(found)
    assert json.dumps(again.to_data()) == data
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - ours
    assert [again.value(t, 1.0) for t in values] == [found.value(t, 1.0) for t in values]


ONE, HALF = Hold(Level(1.0)), Ramp(Level(1.0), Level(0.5), 10.0)
NO_CURVES: list[dict[str, Any]] = [
    Overlay((HALF,), ()).to_data(),
    Overlay((HALF, ONE), (5.0, 7.0)).to_data(),
    Overlay((HALF, ONE, HALF), (7.0, 5.0)).to_data(),
    Blend(HALF, ONE, 0.0).to_data(),
    Product((HALF, Hold(Level(0.0, 0.1)))).to_data(),
    Product(()).to_data(),
    {"kind": "product", "factors": [Level(1.0).__class__.__name__]},
]


@pytest.mark.parametrize("data", NO_CURVES)
def test_other_data_is_no_curve(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_data(json.loads(json.dumps(data)))


SAME: list[tuple[str, str]] = [
    # one curve, so that what means the same shares a group
    ("warmup(10) over hold()", "warmup(10) -> hold()"),
    ("warmup(10) * hold(at=1x)", "warmup(10)"),
    ("hold() * warmup(10) * hold()", "warmup(10)"),
    ("hold(5) * hold()", "hold()"),
    ("hold(10, at=0x) into hold()", "warmup(10)"),
    ("(warmup(10) * cosine(20)) * poly(30)", "warmup(10) * cosine(20) * poly(30)"),
    ("hold(5, at=0x) over hold(5, at=2x) over cosine(20)", "hold(5, at=0x) over cosine(20)"),
    ("hold(0, at=0x) over cosine(20)", "cosine(20)"),
    ("hold(0, at=0x) into cosine(20)", "cosine(20)"),
]


@pytest.mark.parametrize(("text", "same"), SAME)
def test_equal_curves(text: str, same: str) -> None:
    assert curve(text) == curve(same)


RISING: list[tuple[str, float, float | None]] = [
    ("warmup(10) over cosine(to=1e-5)", 1e-3, None),
    ("warmup(10) over cosine(to=1e-5)", 1e-6, 1e-5),
    ("hold(10, at=0x) into cosine(to=1e-5)", 1e-6, 1e-5),
    ("cosine(to=1e-5) * warmup(10)", 1e-6, 1e-5),
    ("cosine(to=1e-5) * warmup(10)", 1e-3, None),
    ("hold(at=1e-5) * warmup(10)", 1e-6, None),
]


@pytest.mark.parametrize(("text", "own", "rise"), RISING)
def test_a_floor_above_the_peak(text: str, own: float, rise: float | None) -> None:
    assert curve(text, **RUN).rising(own) == rise


def test_neutral() -> None:
    assert Overlay((ONE, ONE), (5.0,)).neutral
    assert Blend(ONE, ONE, 5.0).neutral
    assert not Overlay((ONE, HALF), (5.0,)).neutral
    assert not Blend(HALF, ONE, 5.0).neutral


SHOWN = [
    (Overlay((HALF, ONE), (5.0,)), "linear(10, from=1x, to=0.5x) over hold(1x)"),
    (Blend(Chain((ONE, HALF), (0.0, 2.0)), ONE, 5.0), "(hold(2, at=1x) -> linear(10, from=1x, to=0.5x)) into hold(1x)"),
    (Product((Epochs(HALF, 10.0), Overlay((ONE, ONE), (5.0,)))), "{} per epoch * (hold(5, at=1x) over hold(1x))"),
]


@pytest.mark.parametrize(("found", "text"), SHOWN)
def test_shown(found: Any, text: str) -> None:
    assert str(found) == text.format(HALF)


# What cannot be

FAULTS: list[tuple[str, dict[str, Any], list[Fault]]] = [
    ("warmup(200) over cosine()", RUN, [("OP404", "error", "warmup(200)")]),
    ("warmup(200) over cosine(50)", RUN, [("OP404", "error", "warmup(200)")]),
    ("warmup(50) over linear(120, to=0x)", RUN, [("OP404", "error", "linear(120, to=0x)")]),
    ("warmup(50) over (hold(50) -> linear(60, to=0x))", RUN, [("OP404", "error", "linear(60, to=0x)")]),
    ("warmup(50) over (hold(100) -> cosine())", RUN, [("OP404", "error", "cosine()")]),
    ("hold(60) -> warmup(50) over cosine()", RUN, [("OP404", "error", "warmup(50)")]),
    ("hold(60) -> warmup(50) over hold()", RUN, [("OP404", "error", "warmup(50)")]),
    ("hold(60) -> warmup(50) into cosine(30) -> hold()", RUN, [("OP404", "error", "warmup(50)")]),
    ("hold(60) -> (hold(5) over (hold(41) * hold()))", RUN, [("OP404", "error", "hold(41)")]),
    ("hold(100) -> cosine() * hold()", RUN, [("OP404", "error", "cosine() * hold()")]),
    ("warmup(11) per epoch over cosine()", EPOCHS, [("OP404", "error", "warmup(11) per epoch")]),
    ("(warmup(11) over cosine()) per epoch", EPOCHS, [("OP404", "error", "warmup(11)")]),
    ("warmup(-1) over cosine()", RUN, [("OP403", "error", "-1")]),
    ("warmup(0.1) over cosine()", RUN, [("OP403", "warning", "0.1")]),
    # ratios
    ("cosine() * hold(at=0.5)", RUN, [("OP405", "error", "0.5")]),
    ("cosine() * (warmup(5) -> cosine(to=1e-6))", RUN, [("OP405", "error", "1e-6")]),
    ("cosine() * hold(at=max(0.1x, 1e-6))", RUN, [("OP405", "error", "max(0.1x, 1e-6)")]),
    ("hold(at=0.5) * hold(at=0.5)", RUN, [("OP405", "error", "0.5")]),
    ("hold(at=0.5) * hold() over hold(at=0.5)", RUN, [("OP404", "error", "hold")]),
    ("cosine() * linear(10, to=0)", RUN, []),
    # the horizon that is needed
    ("warmup(10) over cosine()", {}, [("OP407", "error", "warmup(10) over cosine()")]),
    ("warmup(10) * cosine()", {}, [("OP407", "error", "warmup(10) * cosine()")]),
    ("warmup(10) over step(every=30, gamma=0.1)", {}, []),
    ("warmup(10) * step(every=30, gamma=0.1) * hold()", {}, []),
    ("hold(5k tokens)", RUN, [("OP407", "error", "5k tokens")]),
    ("hold(5k samples)", {"tokens_per_step": 5}, [("OP407", "error", "5k samples")]),
    ("hold(5 samples) per epoch", {"epochs": 5, "samples_per_step": 5}, [("OP407", "error", "5 samples")]),
    ("hold(300 samples)", RUN | {"samples_per_step": 2}, [("OP404", "error", "hold(300 samples)")]),
]


@pytest.mark.parametrize(("text", "options", "expected"), FAULTS, ids=[f"{each[0]}-{each[1]}" for each in FAULTS])
def test_faults(text: str, options: dict[str, Any], expected: list[Fault]) -> None:
    try:
        found = faults(text, **options)
    except ConfigError as fault:  # the front end has said it
        found = [(each.code, each.severity, text[each.column - 1 : each.end_column - 1]) for each in fault.diagnostics]
    assert found == expected


def test_what_is_multiplied_by_a_number_is_told_how() -> None:
    _, (fault,) = resolved("cosine() * hold(at=0.5)", **RUN)
    assert fault.message == "`*` multiplies by ratios, and `0.5` is none"
    assert fault.help is not None
    assert "`0.5x`" in fault.help


def test_nothing_turns_what_is_zero_into_something_else() -> None:
    """0 times a value beyond every double is 0."""
    found = curve("linear(10, to=0x) * step(every=1, gamma=1e300)", steps=20)
    assert [found.value(t, 1.0) for t in (0, 15)] == [1.0, 0.0]
