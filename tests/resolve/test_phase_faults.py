"""What is said of decays, cycles and pieces that cannot be: code, severity, marked text, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.resolve.making import faults, resolved

if TYPE_CHECKING:
    from tests.resolve.making import Fault

RUN: dict[str, Any] = {"steps": 1000}


FAULTS: list[tuple[str, dict[str, Any], list[Fault]]] = [
    ("sqrt()", {}, [("OP407", "error", "sqrt()")]),
    ("onecycle()", {}, [("OP407", "error", "onecycle()")]),
    ("decay(gamma=1.1)", {}, [("OP407", "error", "decay(gamma=1.1)")]),
    ("inverse_sqrt(timescale=10%)", {}, [("OP407", "error", "10%")]),
    ("restarts(period=2 epochs)", {}, [("OP407", "error", "2 epochs")]),
    # what could go on for ever, before something else, takes what is left
    ("decay(gamma=0.9) -> linear(10, to=0x)", {}, [("OP407", "error", "decay(gamma=0.9)")]),
    ("restarts(period=10) -> linear(10, to=0x)", {}, [("OP407", "error", "restarts(period=10)")]),
    ("decay(200, gamma=0.9)", {"steps": 100}, [("OP404", "error", "decay(200, gamma=0.9)")]),
    ("decay(gamma=0.9, every=0)", {}, [("OP403", "error", "0")]),
    ("decay(gamma=g)", {"let": {"g": -1}}, [("OP405", "error", "g")]),
    ("inverse_time(rate=r)", {"let": {"r": -1}}, [("OP405", "error", "r")]),
    ("natural_exp(rate=r)", {"let": {"r": -0.5}}, [("OP405", "error", "r")]),
    ("inverse_sqrt(timescale=-1)", {}, [("OP403", "error", "-1")]),
    ("noam(d_model=d, warmup=5)", {"let": {"d": 0}}, [("OP405", "error", "d")]),
    ("noam(d_model=5, warmup=0)", {}, [("OP403", "error", "0")]),
    ("piecewise(at=[5, 6], values=[1x, 2x])", {}, [("OP405", "error", "[1x, 2x]")]),
    ("piecewise(at=[5%], values=[1x])", {}, [("OP405", "error", "[1x]")]),
    ("piecewise(at=[5, 4], values=[1x, 2x, 3x])", {}, [("OP403", "error", "4")]),
    ("piecewise(at=[5], values=[1x, -2x])", {}, [("OP405", "error", "-2x")]),
    ("restarts(period=0)", {}, [("OP403", "error", "0")]),
    ("restarts(period=5, mult=m)", {"let": {"m": 0.5}}, [("OP405", "error", "m")]),
    ("restarts(period=5, to=-1x)", {}, [("OP405", "error", "-1x")]),
    ("cycle(low=0x, high=1x, up=0)", {}, [("OP403", "error", "0")]),
    ("cycle(low=0x, high=1x, up=5, down=-1)", {}, [("OP403", "error", "-1")]),
    ("cycle(low=-1, high=1x, up=5)", {}, [("OP405", "error", "-1")]),
    ("cycle(low=0x, high=1x, up=5, shape=exp_range)", {}, [("OP402", "error", "exp_range")]),
    ("cycle(low=0x, high=1x, up=5, gamma=0.9)", {}, [("OP402", "error", "gamma=0.9")]),
    ("cycle(low=0x, high=1x, up=5, shape=exp_range, gamma=g)", {"let": {"g": 2}}, [("OP405", "error", "g")]),
    ("onecycle(div=d)", RUN | {"let": {"d": 0}}, [("OP405", "error", "d")]),
    ("onecycle(final_div=d)", RUN | {"let": {"d": 0}}, [("OP405", "error", "d")]),
    ("onecycle(phases=p)", RUN | {"let": {"p": 2.5}}, [("OP405", "error", "p")]),
    ("onecycle(phases=p)", RUN | {"let": {"p": 4}}, [("OP405", "error", "p")]),
    ("onecycle(up=100%)", RUN, [("OP404", "error", "100%")]),
    ("onecycle(up=60%, phases=3)", RUN, [("OP404", "error", "60%")]),
    ("hold(500) -> onecycle(up=500)", RUN, [("OP404", "error", "500")]),
    ("hold(10, at=0x) -> sqrt()", RUN, [("OP405", "warning", "sqrt")]),
    ("hold(10, at=0x) -> decay(gamma=0.9)", {}, [("OP405", "warning", "decay")]),
    ("hold(10, at=0x) -> inverse_sqrt(timescale=5)", {}, [("OP405", "warning", "inverse_sqrt")]),
    ("hold(10, at=0x) -> restarts(period=5)", {}, [("OP405", "warning", "restarts")]),
    ("hold(10, at=0x) -> restarts(period=5, to=1x)", {}, []),
]


@pytest.mark.parametrize(("text", "options", "expected"), FAULTS, ids=[f"{each[0]}-{each[1]}" for each in FAULTS])
def test_faults(text: str, options: dict[str, Any], expected: list[Fault]) -> None:
    assert faults(text, **options) == expected


def test_what_needs_no_horizon_is_told_without_one() -> None:
    for text, marked in (
        ("warmup(10%) -> piecewise(at=[5%], values=[1x])", "[1x]"),
        ("sqrt() -> onecycle(5%, div=d)", "d"),
        ("warmup(10%) -> piecewise(at=[5%], values=[1x, -2x])", "-2x"),
    ):
        assert faults(text, strict=False, let={"d": 0}) == [("OP405", "error", marked)]


def test_messages_name_the_numbers() -> None:
    for text, message, cure in (
        (
            "piecewise(at=[5], values=[1x])",
            "`values` has 1 value for 1 time",
            "give one value more than times: the first stands until the first time",
        ),
        (
            "onecycle(up=600, phases=3)",
            "`onecycle` rises and falls for 1,199 and lasts 1,000: nothing is left of it for the end",
            None,
        ),
    ):
        _, diagnostics = resolved(text, **RUN)
        assert [(each.message, each.help) for each in diagnostics] == [(message, cure)]
