"""The three numbers of a horizon: what any two make, and what the caller's do to the file's."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from optplan import config
from optplan.diagnostics import Collector
from optplan.resolve.horizon import Horizon, resolve_horizon

Three = tuple[Any, Any, Any]


def resolved(written: Three, given: Three = (None, None, None)) -> tuple[Horizon, list[str]]:
    collector = Collector()
    steps, epochs, steps_per_epoch = given
    found = resolve_horizon(
        config.Horizon(*written), collector, steps=steps, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    return found, [each.code for each in collector.diagnostics]


NO = None

TABLE: list[tuple[Three, Three, Three]] = [
    # file, caller, result: steps, epochs, steps per epoch
    ((NO, NO, NO), (NO, NO, NO), (NO, NO, NO)),
    ((100, NO, NO), (NO, NO, NO), (100, NO, NO)),
    ((NO, 90, NO), (NO, NO, NO), (NO, 90, NO)),
    ((NO, NO, 1251), (NO, NO, NO), (NO, NO, 1251)),
    ((NO, 90, 1251), (NO, NO, NO), (112_590, 90, 1251)),
    ((100, 4, NO), (NO, NO, NO), (100, 4, 25)),
    ((100, NO, 25), (NO, NO, NO), (100, 4, 25)),
    ((100, 4, 25), (NO, NO, NO), (100, 4, 25)),
    ((NO, 2.5, 10), (NO, NO, NO), (25, 2.5, 10)),
    ((NO, 0.1, 30), (NO, NO, NO), (3, 0.1, 30)),
    ((NO, 0.7, 10), (NO, NO, NO), (7, 0.7, 10)),
    # the caller's replace the file's key by key
    ((NO, 90, 1251), (NO, 10, NO), (12_510, 10, 1251)),
    ((NO, 90, 1251), (NO, NO, 100), (9_000, 90, 100)),
    ((100, NO, NO), (200, NO, NO), (200, NO, NO)),
    ((NO, NO, NO), (NO, 3, 7), (21, 3, 7)),
    # his steps also remove the file's epochs
    ((NO, 90, 1251), (5_004, NO, NO), (5_004, 4, 1251)),
    ((NO, 90, NO), (100, NO, NO), (100, NO, NO)),
    # but not his own
    ((NO, 90, NO), (100, 4, NO), (100, 4, 25)),
    ((NO, 90, 1251), (100, 4, 25), (100, 4, 25)),
]


@pytest.mark.parametrize(("written", "given", "expected"), TABLE)
def test_two_make_the_third(written: Three, given: Three, expected: Three) -> None:
    found, codes = resolved(written, given)
    assert (found.steps, found.epochs, found.steps_per_epoch) == expected
    assert codes == []


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ((100, 4, 26), (NO, NO, NO)),
        ((1000, NO, 100), (NO, 5, NO)),
        ((NO, 90, 1251), (100, 4, NO)),
        ((NO, NO, NO), (100, 3, 7)),
    ],
)
def test_values_that_disagree(written: Three, given: Three) -> None:
    assert resolved(written, given) == (Horizon(), ["OP407"])


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ((NO, 1e308, 10**308), (NO, NO, NO)),
        ((NO, NO, NO), (NO, 1e308, 10**308)),
        ((10**308, 1e-10, NO), (NO, NO, NO)),
        ((100, 1e308, 10**308), (NO, NO, NO)),
    ],
)
def test_beyond_every_double(written: Three, given: Three) -> None:
    assert resolved(written, given) == (Horizon(), ["OP407"])


NO_LENGTHS: list[Three] = [
    *((steps, NO, NO) for steps in (0, -1, 1.5, True, "5", 10**400, 10**5000)),
    *((steps, NO, NO) for steps in (np.bool_(1), torch.tensor(data=True), torch.tensor(2.5), np.float32(2))),
    *((NO, epochs, NO) for epochs in (0, -0.5, float("nan"), float("inf"), "5")),
    *((NO, epochs, NO) for epochs in (np.bool_(1), torch.tensor(2.5), np.float32("nan"))),
    *((NO, NO, length) for length in (0, 2.5, False)),
]


@pytest.mark.parametrize("given", NO_LENGTHS)
def test_what_is_no_length(given: Three) -> None:
    assert resolved((NO, NO, NO), given) == (Horizon(), ["OP104"])


SEEN: list[tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]] = [
    # file, caller, result: samples and tokens that an update sees
    ((NO, NO), (NO, NO), (NO, NO)),
    ((256, 1.5e6), (NO, NO), (256, 1.5e6)),
    ((256, 1.5e6), (512, NO), (512, 1.5e6)),
    ((256, NO), (NO, np.int64(4096)), (256, 4096)),
]


@pytest.mark.parametrize(("written", "given", "expected"), SEEN)
def test_what_an_update_sees(written: tuple[Any, Any], given: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    collector = Collector()
    file = config.Horizon(100, None, None, *written)
    found = resolve_horizon(file, collector, samples_per_step=given[0], tokens_per_step=given[1])
    assert (found, collector.diagnostics) == (Horizon(100, NO, NO, *expected), ())
    seen = {name: value for name, value in zip(("samples_per_step", "tokens_per_step"), expected, strict=True) if value}
    assert found.to_data() == {"steps": 100, "epochs": None, "steps_per_epoch": None, **seen}
    assert Horizon(**found.to_data()) == found


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "5"])
def test_what_an_update_cannot_see(value: Any) -> None:
    collector = Collector()
    assert resolve_horizon(config.Horizon(), collector, tokens_per_step=value) == Horizon()
    assert [each.message.split(",")[0] for each in collector.diagnostics] == [
        "`tokens_per_step` must be a number above 0"
    ]


def test_integers_of_other_libraries_count() -> None:
    given = (np.int64(100), NO, np.int32(4))
    assert resolved((NO, NO, NO), given) == (Horizon(100, 25, 4), [])
    assert resolved((NO, NO, NO), (torch.tensor(100), NO, NO)) == (Horizon(100), [])


def test_epochs_of_other_libraries_count() -> None:
    for epochs in (np.float32(2), np.float64(2), np.int64(2), Fraction(2)):
        found, codes = resolved((NO, NO, NO), (NO, epochs, 10))
        assert (found, codes) == (Horizon(20, 2, 10), [])
        assert type(found.epochs) is int


EXACT: list[tuple[Three, tuple[Fraction, Fraction, Fraction]]] = [
    ((100, NO, 3), (Fraction(100), Fraction(100, 3), Fraction(3))),
    ((100, 3, NO), (Fraction(100), Fraction(3), Fraction(100, 3))),
    ((NO, 0.1, 7), (Fraction(7, 10), Fraction(1, 10), Fraction(7))),
    ((NO, 90, 1251), (Fraction(112_590), Fraction(90), Fraction(1251))),
]


@pytest.mark.parametrize(("written", "expected"), EXACT)
def test_what_a_division_makes_stays_exact(written: Three, expected: tuple[Fraction, Fraction, Fraction]) -> None:
    found, codes = resolved(written)
    assert codes == []
    assert (found.total, found.rounds, found.length) == expected


@pytest.mark.parametrize(
    ("horizon", "text"),
    [
        (Horizon(), "unknown"),
        (Horizon(112_590, 90, 1251), "112,590 updates = 90 epochs"),
        (Horizon(steps=100), "100 updates"),
        (Horizon(steps_per_epoch=10), "10 updates an epoch"),
        (Horizon(samples_per_step=1024), "1,024 samples an update"),
        (Horizon(100, samples_per_step=1024, tokens_per_step=0.5), "100 updates"),
    ],
)
def test_shown(horizon: Horizon, text: str) -> None:
    assert str(horizon) == text
