"""What two plans do differently, and what does not count as a difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import optplan
from optplan.report.differences import compare, difference_text
from optplan.resolve.network import from_names
from tests.report.networks import DOCUMENT, PARAMETERS, network


def plan(text: str = DOCUMENT, *, overrides: list[str] | None = None) -> optplan.Plan:
    return optplan.plan(optplan.loads(text, name="net.optim.yaml", overrides=overrides or []), network())


def text(first: optplan.Plan, second: optplan.Plan) -> str:
    return difference_text(compare(first, second), first, second)


def test_a_plan_does_what_it_does() -> None:
    assert compare(plan(), plan()).same
    assert text(plan(), plan()) == ""


def test_names_of_rules_and_the_order_of_rules_that_commute_do_not_count() -> None:
    first = "optplan: 1\noptimizer: {type: adamw}\nrules: [{where: head, lr: 0.5}, {where: bias, weight_decay: 0}]\n"
    second = (
        "optplan: 1\noptimizer: {type: adamw}\n"
        "rules: [{name: b, where: bias, weight_decay: 0}, {name: h, where: head, lr: 0.5}]\n"
    )
    assert compare(plan(first), plan(second)).same


def test_parameters_that_change_alike_are_told_once() -> None:
    assert text(plan(), plan(overrides=["optimizers.hidden.lr=0.2", "rules.slow.lr=0.25x"])) == (
        "1 parameter: layers.0.attn.bias\n"
        "  lr  0.0005 -> 0.00025\n"
        "\n"
        "2 parameters: layers.{1..2}.attn.weight\n"
        "  lr  0.1 -> 0.2"
    )


def test_a_module_whose_every_parameter_changes_is_named_alone() -> None:
    first = plan("optplan: 1\noptimizer: {type: adamw}\n")
    second = plan("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: 'layers.{0..1}', amsgrad: true}]\n")
    assert text(first, second) == "4 parameters: layers.{0..1}\n  amsgrad  false -> true"


def test_everything_is_all() -> None:
    first, second = (plan(f"optplan: 1\noptimizer: {{type: adamw, lr: {lr}}}\n") for lr in (0.1, 0.2))
    assert text(first, second) == "9 parameters: all\n  lr  0.1 -> 0.2"


def test_another_optimizer_tells_what_both_have() -> None:
    first = plan("optplan: 1\noptimizer: {type: adamw, weight_decay: 0}\n")
    second = plan("optplan: 1\noptimizer: {type: sgd, momentum: 0.9}\n")
    assert text(first, second) == "9 parameters: all\n  optimizer  adamw -> sgd"


def test_freezing_is_a_difference() -> None:
    second = plan("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: head.bias, freeze: true}]\n")
    assert text(plan("optplan: 1\noptimizer: {type: adamw}\n"), second) == (
        "1 parameter: head.bias\n  frozen     false -> true\n  optimizer  adamw -> none"
    )


def test_policies_that_differ_are_told_in_their_own_words() -> None:
    assert "  schedule.lr  warmup(10%) -> cosine(to=0.01x) -> warmup(10%) -> linear(to=0x)" in text(
        plan(), plan(overrides=["schedule.lr=warmup(10%) -> linear(to=0x)"])
    )


def test_the_same_words_over_another_horizon_are_told_as_curves() -> None:
    found = text(plan(), plan(overrides=["horizon.steps=2000"]))
    assert "linear(100, from=0x, to=1x)" in found
    assert "linear(200, from=0x, to=1x)" in found


def test_networks_that_differ() -> None:
    first = plan("optplan: 1\noptimizer: {type: adamw}\n")
    others = [("head.weight", (3, 8)) if name == "head.weight" else (name, shape) for name, shape in PARAMETERS]
    others = [each for each in others if each[0] != "embed.weight"] + [("tail", (1,))]
    second = optplan.plan(
        optplan.loads("optplan: 1\noptimizer: {type: adamw}\n"),
        from_names([(name, shape, "float32") for name, shape in others], target="torch"),
    )
    assert text(first, second) == (
        "1 parameter: head.weight\n"
        "  shape  [2, 8] -> [3, 8]\n"
        "\n"
        "1 parameter only in the first: embed.weight\n"
        "\n"
        "1 parameter only in the second: tail"
    )


def test_json() -> None:
    assert compare(plan(), plan(overrides=["optimizers.hidden.lr=0.2", "rules.slow.lr=0.25x"])).to_data() == {
        "format": "optplan.difference/1",
        "same": False,
        "differences": [
            {"parameters": ["layers.0.attn.bias"], "changes": [{"key": "lr", "before": 5e-4, "after": 2.5e-4}]},
            {
                "parameters": ["layers.1.attn.weight", "layers.2.attn.weight"],
                "changes": [{"key": "lr", "before": 0.1, "after": 0.2}],
            },
        ],
        "plan": [],
        "removed": [],
        "added": [],
    }


@given(
    st.lists(st.sampled_from(["lr=0.5", "weight_decay=0.5", "lr=0.25"]), max_size=2), st.sampled_from(["", "lr=0.5"])
)
def test_plans_are_the_same_exactly_when_every_value_is(before: list[str], after: str) -> None:
    """Held against a look at each parameter by itself."""
    first = plan(overrides=[f"optimizer.{each}" for each in before])
    second = plan(overrides=[f"optimizer.{after}"] if after else [])
    differing = [n for n in first.names if first.parameter(n).settings != second.parameter(n).settings]
    found = compare(first, second)
    assert [name for name in first.names if any(name in each.parameters for each in found.parameters)] == differing
    assert found.same is (differing == [])
