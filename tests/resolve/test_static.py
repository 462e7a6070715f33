"""What is said of a document without a network, and what waits for one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

import optplan
from optplan.diagnostics import Collector
from tests.resolve.making import document, net


def checked(**parts: Any) -> list[tuple[str, str]]:
    """Code and severity of what `check` says."""
    collector = Collector()
    optplan.api.read(document(**parts) | {"optimizer": parts.get("optimizer", {"type": "adamw"})}, collector)
    return [(each.code, each.severity) for each in collector.diagnostics]


RULE = {"where": "all"}

TABLE: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    # numbers that need no parameter are evaluated, and held against their range
    ({"optimizer": {"type": "adamw", "lr": "1 / 0"}}, [("OP303", "error")]),
    ({"optimizer": {"type": "adamw", "lr": "1 - 2"}}, [("OP305", "error")]),
    ({"optimizer": {"type": "adamw", "betas": [0.9, "2 / 1"]}}, [("OP305", "error")]),
    ({"rules": [RULE | {"lr": "1 / 0"}]}, [("OP303", "error")]),
    ({"rules": [RULE | {"betas[0]": "1 + 1"}]}, [("OP305", "error")]),
    ({"let": {"a": "1 / 0"}}, [("OP303", "error")]),
    ({"let": {"a": "b", "b": "a"}}, [("OP114", "error")]),
    # what needs one waits
    ({"rules": [RULE | {"lr": "1 / numel"}]}, []),
    ({"rules": [RULE | {"lr": "base - 5"}]}, []),
    ({"optimizer": {"type": "adamw", "lr": "1 / (ndim - 1)"}}, []),
    ({"rules": [RULE | {"schedule": {"lr": "hold(ndim - 5, at=0x) over base"}}]}, []),
    ({"rules": [RULE | {"schedule": {"lr": "cosine(to=1x / layers)"}}]}, []),
    # settings that no optimizer of the file has
    ({"rules": [RULE | {"momentum": 0.9}]}, [("OP113", "error")]),
    ({"rules": [RULE | {"momentum": 0.9}], "optimizers": {"o": {"type": "sgd"}}}, [("OP116", "warning")]),
    # policies for what can have none
    ({"schedule": {"momentum": "hold()"}}, [("OP406", "error")]),
    ({"schedule": {"betas": "hold()"}}, [("OP406", "error")]),
    ({"schedule": {"amsgrad": "hold()"}}, [("OP406", "error")]),
    ({"schedule": {"betas[0]": "hold()"}}, []),
    ({"schedule": {"momentum": "hold()"}, "optimizers": {"o": {"type": "sgd"}}}, [("OP116", "warning")]),
    ({"rules": [RULE | {"schedule": {"momentum": "hold()"}}]}, [("OP406", "error")]),
    # a horizon that is missing is a note, one that contradicts itself an error
    ({"schedule": {"lr": "cosine()"}}, [("OP408", "note")]),
    ({"schedule": {"lr": "warmup(5 epochs) -> hold()"}, "horizon": {"steps": 100}}, [("OP408", "note")]),
    ({"schedule": {"lr": "cosine()"}, "horizon": {"steps": 100}}, []),
    ({"horizon": {"steps": 100, "epochs": 3, "steps_per_epoch": 7}}, [("OP407", "error")]),
    # and then it is not missing too
    (
        {"schedule": {"lr": "cosine()"}, "horizon": {"steps": 100, "epochs": 3, "steps_per_epoch": 7}},
        [("OP407", "error")],
    ),
    (
        {"schedule": {"lr": "warmup(0 - 5) -> cosine()"}, "horizon": {"steps": 9, "epochs": 3, "steps_per_epoch": 7}},
        [("OP407", "error"), ("OP403", "error")],
    ),
    ({"schedule": {"lr": "warmup(200) -> hold()"}, "horizon": {"steps": 100}}, [("OP404", "error")]),
    ({"schedule": {"lr": "warmup(-1) -> hold()"}}, [("OP403", "error")]),
    (
        {"rules": [RULE | {"schedule": {"lr": "hold(200, at=0x) -> base"}}], "horizon": {"steps": 9}},
        [("OP404", "error")],
    ),
    ({"rules": [RULE | {"schedule": {"lr": "hold(2, at=0x) -> base"}}]}, []),
    # several faults, one message each
    (
        {
            "let": {"a": 2},
            "rules": [RULE | {"lr": "1 / 0", "momentum": 1}],
            "schedule": {"lr": "warmup(a - 3) -> hold()"},
        },
        [("OP303", "error"), ("OP113", "error"), ("OP403", "error")],
    ),
]


@pytest.mark.parametrize(("parts", "expected"), TABLE, ids=[str(each[0]) for each in TABLE])
def test_check(parts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert sorted(checked(**parts)) == sorted(expected)


def test_plan_needs_the_horizon_that_check_only_missed() -> None:
    config = optplan.load(document(schedule={"lr": "cosine()"}))
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(config, net())
    assert [each.code for each in caught.value.diagnostics] == ["OP407"]
    assert optplan.plan(config, net(), steps=100).value("token", "lr", 50) == pytest.approx(0.005)
    assert optplan.plan(config, net(), epochs=10, steps_per_epoch=10).value("token", "lr", 50) == pytest.approx(0.005)


NOT_NUMBERS: list[Any] = ["x", float("nan"), float("inf"), True, None, [1], 10**5000]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=range(len(NOT_NUMBERS)))
def test_a_caller_may_give_let_only_numbers(value: Any) -> None:
    config = optplan.load(document(let={"a": 5}, schedule={"lr": "warmup(a) -> hold()"}))
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(config, net(), let={"a": value})
    assert [each.code for each in caught.value.diagnostics] == ["OP104"]


def test_a_caller_may_give_only_names_that_the_file_has() -> None:
    config = optplan.load(document(let={"batch": 5}))
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(config, net(), let={"bach": 3})
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("OP302", "did you mean `batch`?")


def test_the_callers_numbers_go_into_what_is_made_of_them() -> None:
    config = optplan.load(
        document(let={"batch": 512, "scale": "batch / 512"}, rules=[{"where": "all", "lr": "scale * base"}])
    )
    assert optplan.plan(config, net()).parameter("token").settings["lr"] == 0.01
    assert optplan.plan(config, net(), let={"batch": 1024}).parameter("token").settings["lr"] == 0.02


def test_a_number_of_another_library_is_a_number() -> None:
    numpy = pytest.importorskip("numpy")
    written = document(let={"a": 5}, rules=[{"where": "all", "lr": "a * base"}])
    pairs: list[tuple[float, Any]] = [(0.5, numpy.float32(0.5)), (0.5, Fraction(1, 2)), (2, numpy.int64(2))]
    for mine, other in pairs:
        for source in (written, optplan.load(written)):
            made = optplan.plan(source, net(), let={"a": other})
            assert made == optplan.plan(source, net(), let={"a": mine})
            assert type(made.parameter("token").settings["lr"]) is float
