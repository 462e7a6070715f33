"""Policies of all and policies of rules, and what they reach."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import pytest

import optplan
from optplan import ConfigError
from tests.resolve.making import net, planned, told

MATRIX = "blocks.0.linear.weight"


WARM = {"horizon": {"epochs": 10, "steps_per_epoch": 10}, "schedule": {"lr": "cosine(to=0x)"}}


def _cosine(t: float) -> float:
    return (1 + cos(pi * min(t, 100) / 100)) / 2


POLICIES: list[tuple[list[dict[str, Any]], dict[int, float]]] = [
    ([], {0: 0.01, 50: 0.005, 100: 0.0}),
    ([{"where": "linear", "lr": "10x"}], {0: 0.1, 50: 0.05}),
    ([{"where": "linear", "schedule": {"lr": "hold()"}}], {0: 0.01, 50: 0.01}),
    ([{"where": "linear", "schedule": {"weight_decay": "hold(at=0.5x)"}}], {0: 0.01, 50: 0.005}),
    # base counts from its own start
    ([{"where": "linear", "schedule": {"lr": "hold(2 epochs, at=0x) -> base"}}], {0: 0, 19: 0, 20: 0.01, 70: 0.005}),
    # over it, and as its factor, base has run from the start
    (
        [{"where": "linear", "schedule": {"lr": "hold(1 epoch, at=0x) over base"}}],
        {0: 0, 9: 0, 10: 0.01 * _cosine(10), 50: 0.005},
    ),
    ([{"where": "linear", "schedule": {"lr": "base * warmup(50)"}}], {0: 0, 25: 0.005 * _cosine(25), 50: 0.005}),
    (
        [
            {"where": "linear", "schedule": {"lr": "hold(20, at=0x) into base"}},
            {"where": "blocks", "schedule": {"lr": "hold(10, at=1e-3) over base * hold(at=2x)"}},
        ],
        {0: 1e-3, 9: 1e-3, 10: 0.01 * _cosine(10), 20: 0.02 * _cosine(20), 50: 0.01},
    ),
    # key by key, the later policy over the earlier
    (
        [
            {"where": "linear", "schedule": {"lr": "hold(10, at=0x) -> base"}},
            {"where": "blocks", "schedule": {"lr": "hold(5, at=2x) -> base"}},
        ],
        {4: 0.02, 5: 0.0, 14: 0.0, 15: 0.01, 65: 0.005},
    ),
    (
        [
            {"where": "linear", "schedule": {"lr": "hold(10, at=0x) -> base"}},
            {"where": "blocks", "schedule": {"lr": "linear(10, to=0x)"}},
        ],
        {0: 0.01, 5: 0.005, 10: 0.0},
    ),
    ([{"where": "linear", "lr": 0}], {0: 0, 50: 0}),
    ([{"where": "linear", "lr": 0, "schedule": {"lr": "hold(at=1e-3)"}}], {0: 1e-3, 50: 1e-3}),
    ([{"where": "linear", "lr": 0, "schedule": {"lr": "linear(10, from=0, to=1e-3)"}}], {0: 0, 5: 5e-4, 10: 1e-3}),
    ([{"where": "linear", "lr": 0, "schedule": {"lr": "hold(10, at=1e-3) -> base"}}], {0: 1e-3, 10: 0.0}),
]


@pytest.mark.parametrize(("rules", "values"), POLICIES, ids=[str(each[0]) for each in POLICIES])
def test_policies_of_rules(rules: list[dict[str, Any]], values: dict[int, float]) -> None:
    plan = planned(*rules, **WARM)
    found = {t: plan.value(MATRIX, "lr", t) for t in values}
    assert found == pytest.approx(values, rel=1e-13, abs=1e-17)
    # what the rules do not match goes by the policy of all
    assert [plan.value("token", "lr", t) for t in range(0, 101, 10)] == pytest.approx(
        [0.01 * _cosine(t) for t in range(0, 101, 10)], rel=1e-13, abs=1e-17
    )


LAYERED: dict[str, Any] = {"layers": ["token", "embeddings", "patch", "blocks.{i}", "**"], **WARM}
THAW = "hold((layers - 1 - layer) * 1 epoch, at=0x) over base"
DEPTHS = {"token": 0, "embeddings.weight": 1, "patch.bias": 2, MATRIX: 3, "blocks.10.norm.bias": 5, "head.weight": 6}


def test_a_layer_more_in_each_epoch() -> None:
    plan = planned({"where": "all", "schedule": {"lr": THAW}}, **LAYERED)
    for name, layer in DEPTHS.items():
        found = [plan.value(name, "lr", t) for t in range(101)]
        thawed = 10 * (6 - layer)
        assert found == pytest.approx([0.01 * _cosine(t) * (t >= thawed) for t in range(101)], rel=1e-13, abs=1e-17)


def test_groups_are_those_of_the_curves() -> None:
    """One for each layer; a duration of 0 leaves what stood before, and so the group of whoever has that."""
    plan = planned({"name": "thaw", "where": "all", "schedule": {"lr": THAW}}, **LAYERED)
    assert [group.name for group in plan.groups] == [f"thaw/layer={layer}" for layer in (0, 6, 1, 2, 3, 4, 5)]
    most = planned({"where": "not head", "schedule": {"lr": THAW}}, **LAYERED)
    (default,) = (group for group in most.groups if "head.weight" in group.parameters)
    assert "scale" in default.parameters
    assert dict(default.schedule) == dict(planned(**WARM).groups[0].schedule)


SAME = [
    ("hold(max(0, 4 - layers) * 1 epoch, at=0x) over base", 1),
    ("hold(0 * layer, at=0x) -> base", 1),
    ("base * warmup(layer - layer)", 1),
    ("linear(0 * layer, to=0.5x) over base", 1),
    # 3 and 4 layers from the top, and all others
    ("hold(max(0, 2 - layer) * 1 epoch, at=0x) over base", 3),
    ("hold(numel - numel + 5, at=0x) over base", 1),
    # as many groups as there are numbers of dimensions
    ("base * hold(at=0.5x * 0.9 ** ndim)", 5),
    ("decay(10%, gamma=ndim / (ndim + 1)) -> base", 5),
]


@pytest.mark.parametrize(("policy", "count"), SAME)
def test_equal_curves_are_one_group(policy: str, count: int) -> None:
    plan = planned({"where": "all", "schedule": {"lr": policy}}, **LAYERED)
    assert len(plan.groups) == count


def test_what_is_computed_is_computed_once_for_each_number() -> None:
    plan = planned({"where": "all", "schedule": {"lr": "hold(ndim * 10, at=0x) over base"}}, **LAYERED)
    # 0 to 4 dimensions; the frozen one is no case of a policy's
    assert len([case for case in plan.cases if case.group >= 0]) == 5


def test_numbers_of_the_caller_and_of_the_parameter() -> None:
    parts = LAYERED | {"let": {"each": 3}}
    plan = planned({"where": "all", "schedule": {"lr": "hold(each * layer, at=each * 1e-4) over base"}}, **parts)
    assert [plan.value(MATRIX, "lr", t) for t in (0, 8)] == pytest.approx([3e-4, 3e-4])
    assert plan.value(MATRIX, "lr", 9) == pytest.approx(0.01 * _cosine(9))


def test_what_a_parameter_lacks_is_said_once_with_its_name() -> None:
    rule = {"where": "all", "schedule": {"lr": "hold(fan_in, at=0x) over base"}}
    with pytest.raises(ConfigError) as caught:
        planned(rule, **WARM)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.message) == ("OP304", "there is no `fan_in`, for `scale`")
    planned({**rule, "where": "ndim >= 2"}, **WARM)


def test_a_floor_by_layer_above_the_peak() -> None:
    rule = {"where": "blocks", "schedule": {"lr": "cosine(to=layer * 3e-3)"}}
    (found,) = planned(rule, **LAYERED).diagnostics
    assert (found.code, found.severity) == ("OP405", "warning")
    assert found.message == "the policy ends at 0.012, above the 0.01 that it decays from, for `blocks.2.norm.weight`"


def test_a_weight_decay_that_rises_to_a_number_is_no_doubt() -> None:
    schedule = {"weight_decay": "cosine(to=0.4)", "betas[0]": "linear(to=0.95)"}
    assert told(horizon={"steps": 10}, schedule=schedule) == []
    assert told(horizon={"steps": 10}, schedule={"lr": "cosine(to=0.4)"}) == [("OP405", "warning")]


def test_base_is_the_own_value_where_nothing_is_scheduled() -> None:
    rule = {"where": "linear", "schedule": {"weight_decay": "hold(10, at=0x) -> base"}}
    plan = planned(rule, **WARM)
    assert [plan.value(MATRIX, "weight_decay", t) for t in (0, 9, 10, 99)] == [0.0, 0.0, 0.01, 0.01]
    assert plan.value("token", "weight_decay", 0) == 0.01


def test_an_absolute_policy_of_all_raises_nothing_that_is_zero() -> None:
    rules = [{"where": "norm", "lr": 0}]
    plan = planned(*rules, horizon={"steps": 100}, schedule={"lr": "hold(at=1e-3)"})
    assert plan.value("blocks.0.norm.weight", "lr", 50) == 0.0
    assert plan.value(MATRIX, "lr", 50) == 1e-3


def test_any_number_can_have_a_policy() -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "lr": 0.01},
        "optimizers": {"hidden": {"type": "sgd", "lr": 0.1, "momentum": 0.8}},
        "rules": [{"where": "linear", "use": "hidden"}],
        "horizon": {"steps": 100},
        "schedule": {
            "weight_decay": "cosine(to=2x)",
            "momentum": "linear(to=0.5x)",
            "betas[0]": "linear(to=0.5x)",
            "betas[1]": "hold(at=0.99)",
        },
    }
    plan = optplan.plan(document, net())
    assert plan.value(MATRIX, "momentum", 50) == pytest.approx(0.8 * 0.75)
    assert plan.value("token", "betas[0]", 50) == pytest.approx(0.9 * 0.75)
    assert plan.value("token", "betas[1]", 50) == 0.99
    assert plan.value("token", "weight_decay", 25) == pytest.approx(0.01 * (2 - (1 + cos(pi / 4)) / 2), rel=1e-14)
    assert "momentum" not in plan.parameter("token").schedule
    assert "betas[0]" not in plan.parameter(MATRIX).schedule
    assert plan.parameter("token").settings["betas"] == (0.9, 0.999)


REACHED: list[tuple[dict[str, str], list[tuple[str, str]]]] = [
    ({"betas[0]": "linear(to=2x)"}, [("OP305", "error")]),
    ({"betas[0]": "step(every=10, gamma=1.1)"}, [("OP305", "error")]),
    ({"betas[0]": "step(every=100, gamma=1.1)"}, []),
    ({"lr": "step(every=1, gamma=1e200)"}, [("OP305", "error")]),
    ({"eps": "hold(at=-0.5 + 1)"}, []),
    # a rate of 0 is no fault, where a policy begins or ends there
    ({"lr": "warmup(10) -> cosine()"}, []),
    ({"lr": "cosine(to=1e-1)"}, [("OP405", "warning")]),
    ({"lr": "cosine(to=1e-3)"}, []),
    ({"lr": "hold(10, at=0x) -> cosine()"}, [("OP405", "warning")]),
]


@pytest.mark.parametrize(("schedule", "expected"), REACHED, ids=[str(each[0]) for each in REACHED])
def test_what_a_policy_reaches(schedule: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert told(horizon={"steps": 100}, schedule=schedule) == expected


def test_a_floor_above_one_groups_peak_names_that_group() -> None:
    plan = planned(
        {"where": "head", "lr": 1e-6}, horizon={"steps": 100}, schedule={"lr": "warmup(10) -> cosine(to=1e-5)"}
    )
    (found,) = plan.diagnostics
    assert found.code == "OP405"
    assert "head.weight" in found.message
    assert plan.value("head.weight", "lr", 100) == 1e-5
