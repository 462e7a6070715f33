"""The cascade, sentence by sentence: rules over parameters, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

import optplan
from optplan import ConfigError
from tests.resolve.making import NAMES, document, lr, net, planned, told

HIDDEN = {"optimizers": {"hidden": {"type": "sgd", "lr": 0.1, "momentum": 0.9}}}
TWO = {"optimizers": {**HIDDEN["optimizers"], "third": {"type": "adamw", "lr": 0.5}}}
MATRIX = "blocks.0.linear.weight"
TRAINED = [name for name in NAMES if name != "buffer"]


def settings(plan: optplan.Plan, name: str = MATRIX) -> dict[str, Any]:
    return plan.parameter(name).settings


# The values of rules in order, for `blocks.0.linear.weight`, whose lr is 0.01 at first

CHAINS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([], {"lr": 0.01, "weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}),
    ([{"where": "linear", "lr": 0.5}], {"lr": 0.5, "weight_decay": 0.01}),
    ([{"where": "linear", "lr": "0.5x"}, {"where": "blocks", "lr": "0.5x"}], {"lr": 0.0025}),
    ([{"where": "linear", "lr": "0.5x"}, {"where": "blocks", "lr": 3}], {"lr": 3.0}),
    ([{"where": "linear", "lr": 3}, {"where": "blocks", "lr": "base / 2 + 1"}], {"lr": 2.5}),
    # decay rules and lr rules never disturb each other
    ([{"where": "linear", "lr": 3}, {"where": "blocks", "weight_decay": 0}], {"lr": 3.0, "weight_decay": 0.0}),
    ([{"where": "linear", "betas[0]": 0.95}], {"betas": (0.95, 0.999)}),
    ([{"where": "linear", "betas[0]": "0.5x"}], {"betas": (0.45, 0.999)}),
    ([{"where": "linear", "betas[0]": "0.5x", "betas[1]": "0.5x"}], {"betas": (0.45, 0.4995)}),
    ([{"where": "linear", "betas": ["0.5x", 0.99]}], {"betas": (0.45, 0.99)}),
    ([{"where": "linear", "betas": [0.5, "base / 2"]}], {"betas": (0.5, 0.4995)}),
    ([{"where": "linear", "betas[0]": 0.5}, {"where": "blocks", "betas": [0.1, 0.2]}], {"betas": (0.1, 0.2)}),
    ([{"where": "linear", "betas": [0.1, 0.2]}, {"where": "blocks", "betas[1]": "0.5x"}], {"betas": (0.1, 0.1)}),
    ([{"where": "linear and ndim == 2", "lr": "fan_in / numel"}], {"lr": 6 / 36}),
    ([{"where": "linear", "lr": "1 / shape[-1]"}], {"lr": 1 / 6}),
    ([{"where": "linear", "amsgrad": True}], {"amsgrad": True}),
    ([{"where": "norm", "lr": 3}], {"lr": 0.01}),
]


@pytest.mark.parametrize(("rules", "expected"), CHAINS, ids=[str(each[0]) for each in CHAINS])
def test_every_matching_rule_applies_in_order(rules: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    found = settings(planned(*rules))
    assert {key: found[key] for key in expected} == expected
    assert [type(found[key]) for key in expected] == [type(value) for value in expected.values()]


def test_a_setting_left_out_has_pytorchs_default() -> None:
    import torch  # noqa: PLC0415 - only here

    defaults = torch.optim.AdamW([torch.zeros(1)]).defaults
    found = settings(optplan.plan({"optplan": 1, "optimizer": {"type": "adamw"}}, net()))
    assert found == {key: defaults[key] for key in found}


# Which optimizer

CHOICES: list[tuple[list[dict[str, Any]], str, float]] = [
    ([{"where": "linear", "use": "hidden"}], "sgd", 0.1),
    ([{"where": "linear", "use": "hidden"}, {"where": "blocks", "use": "third"}], "adamw", 0.5),
    ([{"where": "linear", "use": "hidden"}, {"where": "blocks", "use": "optimizer"}], "adamw", 0.01),
    # values start from the deciding optimizer's settings, whatever stood before
    ([{"where": "linear", "lr": "2x"}, {"where": "blocks", "use": "hidden"}], "sgd", 0.2),
    ([{"where": "linear", "use": "hidden", "lr": "2x"}, {"where": "blocks", "use": "third"}], "adamw", 1.0),
    ([{"where": "linear", "use": "hidden"}, {"where": "blocks", "lr": "2x"}], "sgd", 0.2),
    ([{"where": "blocks", "lr": "2x"}, {"where": "linear", "use": "hidden"}, {"where": "all", "lr": "3x"}], "sgd", 0.6),
]


@pytest.mark.parametrize(("rules", "optimizer", "rate"), CHOICES, ids=[str(each[0]) for each in CHOICES])
def test_the_last_matching_use_decides(rules: list[dict[str, Any]], optimizer: str, rate: float) -> None:
    plan = planned(*rules, **TWO)
    assert plan.parameter(MATRIX).optimizer == optimizer
    assert lr(plan, MATRIX) == pytest.approx(rate, rel=1e-15)
    assert lr(plan, "token") == pytest.approx(0.03 if rules[-1]["where"] == "all" else 0.01)


# A plain value above the deciding `use`

LEFT_BEHIND: list[tuple[list[dict[str, Any]], int]] = [
    ([{"where": "blocks", "lr": 0.3}, {"where": "linear", "use": "hidden"}], 1),
    ([{"where": "blocks", "lr": 0.3, "weight_decay": 0.2}, {"where": "linear", "use": "hidden"}], 2),
    ([{"where": "blocks", "lr": "0.3x"}, {"where": "linear", "use": "hidden"}], 0),
    ([{"where": "blocks", "lr": "max(base, 0.5)"}, {"where": "linear", "use": "hidden"}], 0),
    ([{"where": "blocks", "lr": "1 / numel"}, {"where": "linear and not bias", "use": "hidden"}], 1),
    ([{"where": "linear", "use": "hidden"}, {"where": "blocks", "lr": 0.3}], 0),
    ([{"where": "linear", "use": "hidden", "lr": 0.3}], 0),
    # a rule that applies to none of them
    ([{"where": "norm", "lr": 0.3}, {"where": "linear", "use": "hidden"}], 0),
    # meant for an optimizer that is not the one: the main one may be the one that takes over, too
    ([{"where": "linear", "use": "hidden", "lr": 0.3}, {"where": "head", "use": "optimizer"}], 1),
    ([{"where": "linear", "use": "hidden", "lr": 0.3}, {"where": "head", "use": "third"}], 1),
    # meant for that very optimizer, of which a later rule says it again
    (
        [{"where": "linear", "use": "hidden"}, {"where": "head", "lr": 0.3}, {"where": "head.weight", "use": "hidden"}],
        0,
    ),
    ([{"where": "head", "lr": 0.3}, {"where": "head", "use": "optimizer", "weight_decay": 0.3}], 0),
]


@pytest.mark.parametrize(("rules", "count"), LEFT_BEHIND, ids=[str(each[0]) for each in LEFT_BEHIND])
def test_a_plain_value_above_the_deciding_use_is_a_warning(rules: list[dict[str, Any]], count: int) -> None:
    reported = told(*rules, **TWO)
    assert reported.count(("OP210", "warning")) == count
    assert {severity for _, severity in reported} <= {"warning"}


# Settings that an optimizer does not have


def test_a_setting_that_only_some_can_take_is_left_out_with_a_note() -> None:
    plan = planned({"where": "linear", "use": "hidden"}, {"name": "slow", "where": "blocks", "momentum": 0.5}, **HIDDEN)
    assert settings(plan)["momentum"] == 0.5
    norm = plan.parameter("blocks.0.norm.weight")
    assert "momentum" not in norm.settings
    assert [(touch.rule, touch.note) for touch in norm.history if touch.key == "momentum"] == [
        ("slow", "left out: `adamw` has no `momentum`")
    ]
    assert plan.parameter("blocks.0.norm.weight").group == "default"


UNTAKEN: list[tuple[dict[str, Any], str]] = [
    ({"where": "norm", "momentum": 0.5}, "momentum"),
    ({"where": "norm", "schedule": {"momentum": "linear(10, to=0.5x)"}}, "schedule.momentum"),
]


@pytest.mark.parametrize(("rule", "key"), UNTAKEN)
def test_a_setting_that_none_can_take_is_an_error_that_names_both(rule: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned({"where": "linear", "use": "hidden"}, {"name": "slow", **rule}, **HIDDEN)
    (found,) = caught.value.diagnostics
    assert (found.code, found.severity) == ("OP113", "error")
    assert "`slow`" in found.message
    assert f"`{key}`" in found.message


# Frozen parameters


def test_the_last_matching_freeze_wins() -> None:
    plan = planned(
        {"where": "blocks", "freeze": True},
        {"where": "blocks.2", "freeze": False},
        {"where": "blocks.2.linear", "freeze": True},
        {"where": "buffer", "freeze": False},
    )
    out = [name for name in TRAINED if name.startswith("blocks.") and not name.startswith("blocks.2.norm")]
    assert list(plan.frozen) == out
    assert plan.thawed == ("buffer",)
    assert plan.parameter("blocks.2.norm.weight").group is not None
    assert plan.parameter("buffer").group is not None
    assert plan.parameter(MATRIX).group is None
    assert plan.parameter(MATRIX).settings == {}
    with pytest.raises(KeyError, match="frozen"):
        plan.value(MATRIX, "lr", 0)


@pytest.mark.parametrize("t", [-1, 2.5])
def test_what_is_no_number_of_an_update_has_no_value(t: float) -> None:
    with pytest.raises(ValueError, match=f"`t` is a whole number of at least 0, not {t}"):
        planned().value(MATRIX, "lr", t)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "value", ["1 / (numel - 36) ** 2", "layer", "fan_in", "10 ** (numel * 10)", "1 - numel", "shape[3]"]
)
def test_nothing_is_computed_for_a_frozen_parameter(value: str) -> None:
    rule = {"where": "blocks", "lr": value}
    assert [severity for _, severity in told(rule)] == ["error"]
    assert told(rule, {"where": "blocks", "freeze": True}) == [("OP205", "warning")]
    assert told({"where": "blocks", "freeze": True}, rule) == [("OP205", "warning")]


# Rules without effect

EFFECTS: list[tuple[list[dict[str, Any]], list[tuple[str, str]]]] = [
    ([{"where": "buffer", "lr": 1}], [("OP205", "warning")]),
    ([{"where": "buffer", "lr": 1}, {"where": "buffer", "freeze": False}], []),
    ([{"where": "frozen", "freeze": True}], []),
    # frozen by a rule, above or below
    ([{"where": "norm", "freeze": True}, {"where": "norm", "lr": 1}], [("OP205", "warning")]),
    ([{"where": "norm", "lr": 1}, {"where": "norm", "freeze": True}], [("OP205", "warning")]),
    ([{"where": "norm", "lr": 1}, {"where": "blocks", "freeze": True}], [("OP205", "warning")]),
    ([{"where": "norm", "lr": 1}, {"where": "all", "lr": 2}], [("OP206", "warning")]),
    ([{"where": "norm", "lr": 1}, {"where": "all", "lr": "2x"}], []),
    ([{"where": "norm", "lr": 1, "eps": 1e-5}, {"where": "all", "lr": 2}], []),
    ([{"where": "norm", "lr": 1}, {"where": "norm and bias", "lr": 2}], []),
    ([{"where": "norm", "betas[0]": 0.5}, {"where": "norm", "betas": [0.1, 0.2]}], [("OP206", "warning")]),
    ([{"where": "norm", "betas": [0.1, 0.2]}, {"where": "norm", "betas[0]": 0.5}], []),
    ([{"where": "norm", "use": "hidden"}, {"where": "norm", "use": "third"}], [("OP206", "warning")]),
    ([{"where": "norm", "freeze": True}, {"where": "norm", "freeze": False}], [("OP206", "warning")]),
    ([{"where": "norm", "freeze": True}, {"where": "norm and bias", "freeze": False}], []),
    (
        [{"where": "norm", "schedule": {"lr": "linear(5, to=0x)"}}, {"where": "norm", "schedule": {"lr": "hold()"}}],
        [("OP206", "warning")],
    ),
    (
        [
            {"where": "norm", "schedule": {"lr": "linear(5, to=0x)"}},
            {"where": "norm", "schedule": {"lr": "hold(1) -> base"}},
        ],
        [],
    ),
    ([{"where": "norm", "lr": "1x"}], []),
    ([{"where": "nothing", "lr": 1}], [("OP203", "error")]),
    ([{"where": "nothing", "lr": 1, "optional": True}], []),
    ([{"where": "norm and conv", "lr": 1}], [("OP203", "error")]),
    ([{"where": "norm or nothing", "lr": 1}], [("OP203", "warning")]),
    ([{"where": "norm or nothing", "lr": 1, "optional": True}], []),
]


@pytest.mark.parametrize(("rules", "expected"), EFFECTS, ids=[str(each[0]) for each in EFFECTS])
def test_rules_without_effect(rules: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    assert told(*rules, **TWO) == expected


# Values that a setting cannot have, for some parameter

FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"lr": "1 / (numel - 36) ** 2"}, "OP303", MATRIX),
    ({"lr": "layer"}, "OP304", "token"),
    ({"lr": "fan_in"}, "OP304", "scale"),
    ({"lr": "shape[2]"}, "OP304", "scale"),
    ({"lr": "1 - numel"}, "OP305", "token"),
    ({"lr": "sqrt(6 - numel)"}, "OP303", "embeddings.weight"),
    ({"betas[0]": "numel"}, "OP305", "token"),
    ({"eps": "-1 * base"}, "OP305", "token"),
]


@pytest.mark.parametrize(("setting", "code", "name"), FAULTS, ids=[str(each[0]) for each in FAULTS])
def test_faults_name_the_parameter(setting: dict[str, Any], code: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned({"where": "all", **setting})
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert f"`{name}`" in found.message


def test_an_integer_setting_refuses_a_fraction() -> None:
    muon = {"type": "muon", "lr": 0.02}
    rules = [{"where": "not (linear and ndim == 2)", "freeze": True}]
    plan = optplan.plan(
        {
            "optplan": 1,
            "optimizer": muon,
            "rules": [*rules, {"where": "linear and ndim == 2", "ns_steps": "fan_in / 2"}],
        },
        net(),
    )
    assert repr(settings(plan)["ns_steps"]) == "3"
    with pytest.raises(ConfigError) as caught:
        optplan.plan(
            {
                "optplan": 1,
                "optimizer": muon,
                "rules": [*rules, {"where": "linear and ndim == 2", "ns_steps": "fan_in / 4"}],
            },
            net(),
        )
    assert [each.code for each in caught.value.diagnostics] == ["OP305"]


# Options of one framework


def test_options_come_from_the_top_the_optimizer_and_rules() -> None:
    plan = optplan.plan(
        {
            "optplan": 1,
            "torch": {"foreach": True},
            "optimizer": {"type": "adamw", "torch": {"capturable": True}},
            "optimizers": {"hidden": {"type": "sgd", "lr": 0.1}},
            "rules": [{"where": "linear", "use": "hidden"}, {"where": "head", "torch": {"foreach": False}}],
        },
        net(),
    )
    found = {name: plan.group_of(name) for name in ("token", MATRIX, "head.weight")}
    assert {name: group and group.options_of("torch") for name, group in found.items()} == {
        "token": {"capturable": True, "foreach": True},
        MATRIX: {"foreach": True},
        "head.weight": {"foreach": False},
    }


# History


def test_history_tells_each_touch_in_order() -> None:
    plan = planned(
        {"name": "a", "where": "linear", "lr": "0.5x", "weight_decay": 0},
        {"name": "b", "where": "blocks", "lr": 3, "betas[0]": 0.5},
    )
    history = plan.parameter(MATRIX).history
    assert [(touch.key, touch.before, touch.after, touch.rule) for touch in history] == [
        ("lr", 0.001, 0.01, "optimizer"),
        ("lr", 0.01, 0.005, "a"),
        ("weight_decay", 0.01, 0.0, "a"),
        ("lr", 0.005, 3.0, "b"),
        ("betas[0]", 0.9, 0.5, "b"),
    ]


def test_history_of_a_text_has_line_and_column() -> None:
    text = """\
optplan: 1
optimizer: {type: adamw, lr: 0.1}
rules:
  - where: linear
    lr: 0.5x
"""
    plan = optplan.plan(optplan.loads(text, name="a.optim.yaml"), net())
    places = [(touch.rule, touch.source, touch.line, touch.column) for touch in plan.parameter(MATRIX).history]
    assert places == [("optimizer", "a.optim.yaml", 2, 26), ("linear", "a.optim.yaml", 5, 5)]


def test_an_unknown_filter_name_is_marked_alone() -> None:
    text = """\
optplan: 1
optimizer: {type: adamw}
rules:
  - where: linear and blocs.0 and not bias
    lr: 0.5x
"""
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text), net())
    (found,) = caught.value.diagnostics
    assert (found.code, found.line, found.column, found.end_column) == ("OP203", 4, 23, 30)
    assert "blocks" in str(found.help)


def test_documents_of_this_file_are_sound() -> None:
    assert optplan.load(document()).optimizer.type == "adamw"
