"""Round numbers along an axis, and where a number lies on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optplan.report.scales import Scale, count_text, ticks_between

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 1000, 5, (0, 200, 400, 600, 800, 1000)),
        (0, 1000, 4, (0, 500, 1000)),
        (0, 7.7, 5, (0, 2, 4, 6)),
        (0, 0.003, 5, (0, 0.001, 0.002, 0.003)),
        (0.85, 0.95, 2, (0.85, 0.9, 0.95)),
        (-1, 1, 4, (-1, -0.5, 0, 0.5, 1)),
    ],
)
def test_ticks_are_round_and_between_the_ends(low: float, high: float, most: int, ticks: tuple[float, ...]) -> None:
    assert ticks_between(low, high, most) == ticks


def test_ticks_may_enclose_the_ends_or_be_whole() -> None:
    assert ticks_between(0.13, 0.38, 4, outwards=True) == (0.1, 0.2, 0.3, 0.4)
    assert ticks_between(0, 2, 8, whole=True) == (0, 1, 2)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.0, 0.003], (0, 0.003)),
        ([1e-5, 1e-3], (0, 1e-3)),  # from 0, unless the numbers are far from it
        ([0.85, 0.95], (0.84, 0.96)),
        ([0.5], (0.2, 0.8)),  # one number lies in the middle
        ([0.0], (0, 1)),
        ([], (0, 1)),
        ([-1.0, 2.0], (-1, 2)),
    ],
)
def test_a_linear_scale(values: list[float], ends: tuple[float, float]) -> None:
    scale = Scale.of(values, most=5)
    assert (scale.low, scale.high) == pytest.approx(ends)
    assert (scale.log, scale.remark) == (False, "")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1e-5, 1e-3], (1e-5, 1e-4, 1e-3)),
        ([2e-5, 3e-3], (1e-5, 1e-4, 1e-3, 1e-2)),
        ([0.2, 0.9], (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ([0.85, 0.9], (0.85, 0.86, 0.87, 0.88, 0.89, 0.9)),
        ([1e-12, 1.0], (1e-12, 1e-9, 1e-6, 1e-3, 1.0)),
    ],
)
def test_a_logarithmic_scale(values: list[float], ticks: tuple[float, ...]) -> None:
    scale = Scale.of(values, log=True, most=5)
    assert scale.ticks == pytest.approx(ticks)
    assert (scale.log, scale.remark) == (True, "")


def test_what_has_no_place_on_a_logarithmic_scale() -> None:
    scale = Scale.of([0.0, 1e-3, 1e-1], log=True)
    assert scale.remark == "what is 0 or below is left out"
    assert (scale.low, scale.has(0.0), scale.row(1e-1, 10), scale.row(1e-3, 10)) == (1e-3, False, 0, 9)
    scale = Scale.of([0.0, -1.0], log=True)
    assert (scale.log, scale.remark) == (False, "linear: no value is above 0")


def test_a_row_counts_from_the_top() -> None:
    scale = Scale.of([0.0, 1.0], most=5)
    assert [scale.row(value, 5) for value in (1.0, 0.75, 0.5, 0.25, 0.0)] == [0, 1, 2, 3, 4]
    assert [scale.has(value) for value in (0.0, float("inf"), float("nan"))] == [True, False, False]


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.booleans(), st.integers(2, 8))
def test_every_number_has_a_place_within_the_ends(values: list[float], log: bool, most: int) -> None:
    scale = Scale.of(values, log=log, most=most)
    assert scale.low < scale.high
    assert list(scale.ticks) == sorted(set(scale.ticks))
    for value in values:
        assert scale.has(value) is not (scale.log and value <= 0)
        if scale.has(value):
            assert 0 <= scale.row(value, 20) < 20
        if scale.has(value) and (not scale.log or value > 1e-300):
            assert -1e-6 <= scale.place(value) <= 1 + 1e-6


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (12000.0, "12,000"), (2.5, "2.5")])
def test_counts(value: float, text: str) -> None:
    assert count_text(value) == text
