"""What a `plateau` has come to know goes on with the curve that it is of, wherever that stands."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optplan
from optplan import ConfigError

SLOW = "plateau(metric=loss, patience=5, factor=0.5)"
QUICK = "plateau(metric=loss, patience=1, factor=0.5)"
SCORE = "plateau(metric=score, mode=max, patience=1, factor=0.5)"


def compiled(first: str, second: str) -> Any:
    """A network of two layers, each by a policy of its own."""
    model = torch.nn.ModuleDict({"one": torch.nn.Linear(2, 2), "two": torch.nn.Linear(2, 2)})
    document = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 1.0},
        "rules": [
            {"where": "one", "schedule": {"lr": first}},
            {"where": "two", "schedule": {"lr": second}},
        ],
    }
    return optplan.compile(document, model, steps=100)


def reported(*policies: str) -> Any:
    """After three reports of the same loss and score."""
    run = compiled(*policies)
    for _ in range(3):
        run.report(**{name: 1.0 for name in ("loss", "score") if any(name in each for each in policies)})
    return run


@pytest.mark.parametrize(("first", "second"), [(QUICK, SLOW), (QUICK, SCORE), (SCORE, QUICK)])
def test_each_tells_its_own_metric_and_curve(first: str, second: str) -> None:
    told = reported(first, second).state_dict()["reports"]
    assert [each["metric"] for each in told] == ["score" if "score" in each else "loss" for each in (first, second)]
    assert [f"patience={each}" in told[0]["curve"] for each in (1, 5)] == [first != SLOW, first == SLOW]


def test_policies_that_have_changed_places_keep_what_they_know() -> None:
    old = reported(QUICK, SLOW)
    assert old.lr_of("one.weight") == 0.5
    assert old.lr_of("two.weight") == 1.0
    new = compiled(SLOW, QUICK)
    new.load_state_dict(old.state_dict())
    assert new.lr_of("one.weight") == 1.0
    assert new.lr_of("two.weight") == 0.5


def test_a_policy_that_was_changed_keeps_what_its_metric_came_to() -> None:
    old = reported(SCORE, QUICK)
    new = compiled(QUICK.replace("factor=0.5", "factor=0.1"), SCORE)
    new.load_state_dict(old.state_dict())
    assert new.lr_of("one.weight") == 0.1
    assert new.lr_of("two.weight") == old.lr_of("one.weight")


def test_other_metrics_are_told_by_name() -> None:
    with pytest.raises(ConfigError, match="reports of 2 `plateau`s by `loss`, and the plan has 2 by `loss`, `score`"):
        compiled(SCORE, QUICK).load_state_dict(reported(QUICK, SLOW).state_dict())


def test_what_tells_no_curve_goes_by_its_place() -> None:
    state = reported(QUICK, SLOW).state_dict()
    for each in state["reports"]:
        del each["curve"], each["metric"]
    new = compiled(QUICK, SLOW)
    new.load_state_dict(state)
    assert new.lr_of("one.weight") == 0.5
    assert new.lr_of("two.weight") == 1.0
