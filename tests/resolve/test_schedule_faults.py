"""What is said of policies that cannot be: code, severity, marked text, and the words that tell how long the run is."""

from __future__ import annotations

import json
from math import cos, pi
from typing import TYPE_CHECKING, Any

import pytest

from optplan.resolve.curve_record import from_data
from tests.resolve.making import curve, faults, resolved

if TYPE_CHECKING:
    from tests.resolve.making import Fault

RUN: dict[str, Any] = {"steps": 1000}
EPOCHS: dict[str, Any] = {"epochs": 90, "steps_per_epoch": 10}


FAULTS: list[tuple[str, dict[str, Any], list[Fault]]] = [
    # durations
    ("warmup(-5) -> hold()", {}, [("OP403", "error", "-5")]),
    ("warmup(4 - 5) -> hold()", {}, [("OP403", "error", "4 - 5")]),
    ("warmup(w) -> hold()", {"let": {"w": -1}}, [("OP403", "error", "w")]),
    ("warmup(0.1) -> hold()", {}, [("OP403", "warning", "0.1")]),
    ("warmup(0.1) over cosine()", RUN, [("OP403", "warning", "0.1")]),
    ("onecycle(up=0.3)", RUN, [("OP403", "warning", "0.3")]),
    ("cosine(0.9, to=0x) -> hold()", RUN, [("OP403", "error", "0.9")]),
    ("cosine(0.9, to=0.1x) -> hold()", RUN, [("OP403", "warning", "0.9")]),
    ("multistep(at=[0.5, 0.75], gamma=0.1)", RUN, [("OP403", "warning", "0.5"), ("OP403", "warning", "0.75")]),
    ("multistep(at=[0, 10], gamma=0.1)", RUN, []),
    ("decay(gamma=0.9, every=0.5)", {}, []),
    ("warmup(0.5 epochs) -> hold()", EPOCHS, []),
    ("(warmup(0.5) -> hold()) per epoch", EPOCHS, []),
    ("step(every=0, gamma=0.1)", {}, [("OP403", "error", "0")]),
    ("warmup(1 / 0) -> hold()", {}, [("OP303", "error", "1 / 0")]),
    ("warmup(1 / (3 - 3)) -> hold()", {}, [("OP303", "error", "1 / (3 - 3)")]),
    ("warmup(1e200 * 1e200) -> hold()", {}, [("OP403", "error", "1e200 * 1e200")]),
    ("warmup(1e300) -> hold()", {}, [("OP403", "error", "1e300")]),
    ("step(every=1e-200 * 1e-200, gamma=0.1)", {}, [("OP403", "error", "1e-200 * 1e-200")]),
    ("step(every=0, gamma=0.1)", {}, [("OP403", "error", "0")]),
    ("multistep(at=[5, 5], gamma=0.1)", {}, [("OP403", "error", "5")]),
    ("multistep(at=[5, 4], gamma=0.1)", {}, [("OP403", "error", "4")]),
    ("multistep(at=[-5, 4], gamma=0.1)", {}, [("OP403", "error", "-5")]),
    # a horizon that is not there
    ("cosine(to=0x)", {}, [("OP407", "error", "cosine(to=0x)")]),
    ("warmup(10) -> cosine(to=0x)", {}, [("OP407", "error", "cosine(to=0x)")]),
    ("warmup(10%) -> hold()", {}, [("OP407", "error", "10%")]),
    ("warmup(5 epochs) -> hold()", {"steps": 100}, [("OP407", "error", "5 epochs")]),
    ("cosine(to=0x)", {"epochs": 90}, [("OP407", "error", "cosine(to=0x)")]),
    ("warmup(10) per epoch -> hold()", {"steps": 100}, [("OP407", "error", "warmup(10) per epoch")]),
    ("hold() -> linear(10, to=0x)", {}, [("OP407", "error", "hold()")]),
    ("step(every=30, gamma=1.1)", {}, [("OP407", "error", "step(every=30, gamma=1.1)")]),
    # phases that do not fit
    ("warmup(1000) -> cosine(to=0x)", {"steps": 100}, [("OP404", "error", "warmup(1000)")]),
    ("warmup(1000) -> hold()", {"steps": 100}, [("OP404", "error", "warmup(1000)")]),
    ("warmup(1000)", {"steps": 100}, [("OP404", "error", "warmup(1000)")]),
    ("warmup(101%) -> hold()", {"steps": 100}, [("OP404", "error", "warmup(101%)")]),
    ("hold(200, at=0x) -> base", {"steps": 100}, [("OP404", "error", "hold(200, at=0x)")]),
    ("warmup(60) -> linear(60, to=0x)", {"steps": 100}, [("OP404", "error", "linear(60, to=0x)")]),
    ("warmup(60) -> linear(60, to=0x) -> hold()", {"steps": 100}, [("OP404", "error", "linear(60, to=0x)")]),
    ("warmup(50) -> hold(50) -> cosine()", {"steps": 100}, [("OP404", "error", "cosine()")]),
    ("warmup(100) -> cosine()", {"steps": 100}, [("OP404", "error", "cosine()")]),
    ("hold() -> warmup(100)", {"steps": 100}, [("OP404", "error", "hold()")]),
    ("warmup(100 epochs) per epoch -> hold()", EPOCHS, [("OP404", "error", "warmup(100 epochs) per epoch")]),
    ("(warmup(100) -> hold()) per epoch", EPOCHS, [("OP404", "error", "warmup(100)")]),
    ("hold(5 epochs) -> ((warmup(86) -> hold()) per epoch)", EPOCHS, [("OP404", "error", "warmup(86)")]),
    # values
    ("exp(to=0x)", RUN, [("OP405", "error", "0x")]),
    ("exp(to=0)", RUN, [("OP405", "error", "0")]),
    ("exp(to=0.1x, from=0x)", RUN, [("OP405", "error", "0x")]),
    ("hold(10, at=0x) -> exp(to=0.1x)", RUN, [("OP405", "error", "exp")]),
    ("warmup(10, shape=exp) -> hold()", {}, [("OP405", "error", "warmup")]),
    ("hold(10, at=0x) -> cosine()", RUN, [("OP405", "warning", "cosine")]),
    ("hold(10, at=0x) -> linear(to=0x)", RUN, [("OP405", "warning", "linear")]),
    ("hold(10, at=0x) -> poly()", RUN, [("OP405", "warning", "poly")]),
    ("hold(10, at=0x) -> step(every=5, gamma=0.1)", {}, [("OP405", "warning", "step")]),
    ("hold(10, at=0x) -> multistep(at=[5], gamma=0.1)", {}, [("OP405", "warning", "multistep")]),
    ("hold(10, at=0x) -> linear(10, to=1x) -> hold()", {}, []),
    ("hold(at=-1x)", {}, [("OP405", "error", "-1x")]),
    ("hold(at=1x - 2x)", {}, [("OP405", "error", "1x - 2x")]),
    ("hold(at=-1e-5)", {}, [("OP405", "error", "-1e-5")]),
    ("hold(at=1x / 0)", {}, [("OP303", "error", "1x / 0")]),
    ("hold(at=1 / 0)", {}, [("OP303", "error", "1 / 0")]),
    ("hold(at=1e200 * 1e200x)", {}, [("OP303", "error", "1e200 * 1e200x")]),
    ("hold(at=sqrt(0 - 1))", {}, [("OP303", "error", "sqrt(0 - 1)")]),
    ("poly(power=p)", RUN | {"let": {"p": 0}}, [("OP405", "error", "p")]),
    ("poly(power=p)", RUN | {"let": {"p": -1}}, [("OP405", "error", "p")]),
    ("step(every=1, gamma=g)", {"let": {"g": -1}}, [("OP405", "error", "g")]),
    ("warmup(5, start=s) -> hold()", {"let": {"s": -1}}, [("OP405", "error", "s")]),
    ("base per epoch", EPOCHS, [("OP403", "error", "base")]),
]


@pytest.mark.parametrize(("text", "options", "expected"), FAULTS, ids=[f"{each[0]}-{each[1]}" for each in FAULTS])
def test_faults(text: str, options: dict[str, Any], expected: list[Fault]) -> None:
    assert faults(text, **options) == expected


WITHOUT = [each for each in FAULTS if any(code == "OP407" for code, _, _ in each[2])]


@pytest.mark.parametrize(("text", "options", "expected"), WITHOUT, ids=[each[0] for each in WITHOUT])
def test_a_check_only_notes_that_the_horizon_is_missing(
    text: str, options: dict[str, Any], expected: list[Fault]
) -> None:
    assert faults(text, strict=False, **options) == [("OP408", "note", marked) for _, _, marked in expected]


def test_messages_say_how_long_the_run_is() -> None:
    for text, message, cure in (
        (
            "warmup(1000) -> hold()",
            "the warm-up of 1,000 updates is longer than the horizon",
            "the horizon is 900 updates",
        ),
        (
            "hold(890) -> linear(20, to=0x)",
            "`linear` ends at 910 updates, after the horizon",
            "the horizon is 900 updates",
        ),
        ("hold(900) -> cosine()", "nothing is left of the horizon for `cosine`", "the horizon is 900 updates"),
        (
            "hold(5 epochs) -> ((warmup(86) -> hold()) per epoch)",
            "the warm-up of 86 epochs is longer than the horizon",
            "the phases before leave 85 epochs of the horizon",
        ),
    ):
        _, diagnostics = resolved(text, **EPOCHS)
        assert [(each.message, each.help) for each in diagnostics] == [(message, cure)]
    _, (fault,) = resolved("hold(2)", steps=1)
    assert (fault.message, fault.help) == ("`hold` ends at 2 updates, after the horizon", "the horizon is 1 update")


def test_a_phase_may_fill_the_run_to_its_end() -> None:
    for text in ("warmup(100) -> hold()", "warmup(100%) -> hold()", "hold(30) -> linear(70, to=0x)", "hold(100)"):
        assert faults(text, steps=100) == []


def test_thirds_of_a_run_are_thirds() -> None:
    """100 updates in 3 epochs: an epoch is 33 1/3 updates, and three of them are the run."""
    assert faults("hold(3 epochs)", steps=100, epochs=3) == []
    found = curve("hold(2 epochs) -> hold(1 epoch, at=2x)", steps=100, epochs=3)
    assert [found.value(t, 1.0) for t in (66, 67)] == [1.0, 2.0]
    # 33 1/3 epochs of 3 updates
    assert faults("hold(100%) per epoch", steps=100, steps_per_epoch=3) == []


def test_phases_that_begin_where_others_happen_to_end_are_bounded() -> None:
    """Each holds the curve before it, for an absolute value has no multiple to go on from: Python's stack is short."""
    phase = "restarts(9, period=4, to=1e-5)"
    assert faults(" -> ".join([phase] * 40)) == []
    (fault,) = faults(" -> ".join([phase] * 200))
    assert fault == ("OP006", "error", phase)


def test_phases_of_ratios_follow_each_other_without_end() -> None:
    found = curve(" -> ".join(["restarts(9, period=4)"] * 400))
    assert from_data(json.loads(json.dumps(found.to_data()))) == found
    assert found.value(9 * 399, 0.1) == pytest.approx(0.1 * ((1 + cos(pi / 4)) / 2) ** 399, rel=1e-9)
