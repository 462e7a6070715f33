"""The numbers behind the pictures: which keys, which groups share a line, how long, the very doubles of the plan."""

from __future__ import annotations

import csv
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optplan
from optplan.report.curves import curves_of, drawable_keys, extent, spread, table, unknown_key, usual_keys
from tests.report.networks import DOCUMENT, network

if TYPE_CHECKING:
    from optplan import Plan

# up in a line over 4 updates, down in a line over the other 4
TRIANGLE = [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25]
HEAD = "optplan: 1\noptimizer: {type: adamw, lr: 1, weight_decay: 0.5, betas: [0.9, 0.95]}\n"
UP_AND_DOWN = f"{HEAD}schedule: {{lr: 'warmup(4) -> linear(to=0x)'}}\n"
RULES = "rules: [{name: half, where: bias, lr: 0.5x}, {name: embed, where: embed, weight_decay: 0}]\n"


def plan(text: str, **given: float) -> Plan:
    return optplan.plan(optplan.loads(text), network(), **given)  # type: ignore[arg-type]  # steps is whole where a test gives it


def lines(text: str, *keys: str, steps: int = 8) -> dict[str, list[tuple[tuple[str, ...], list[float]]]]:
    """By key the groups of each line and its values."""
    made = plan(text, steps=steps)
    curves = curves_of(made, keys or usual_keys(made), extent(made, keys))
    return {panel.key: [(line.groups, list(line.values)) for line in panel.lines] for panel in curves.panels}


def test_a_line_is_what_each_update_uses() -> None:
    assert lines(UP_AND_DOWN) == {"lr": [(("default",), TRIANGLE)]}


def test_groups_with_equal_numbers_share_a_line() -> None:
    """Those of `embed` differ in weight decay only."""
    assert lines(UP_AND_DOWN + RULES) == {
        "lr": [(("embed", "default"), TRIANGLE), (("half",), [value / 2 for value in TRIANGLE])]
    }


def test_it_is_the_numbers_that_are_equal_not_the_formulas() -> None:
    """An absolute value is the same whatever the own one is."""
    text = f"{HEAD}{RULES}schedule: {{lr: 'hold(2, at=0.25) -> hold(at=0.125)'}}\n"
    assert lines(text, steps=4) == {"lr": [(("embed", "default", "half"), [0.25, 0.25, 0.125, 0.125])]}


def test_a_group_without_the_policy_keeps_its_number() -> None:
    text = f"{HEAD}rules: [{{name: half, where: bias, lr: 0.5x, schedule: {{lr: linear(to=0x)}}}}]\n"
    assert lines(text, steps=2) == {"lr": [(("default",), [1.0, 1.0]), (("half",), [0.5, 0.25])]}


def test_lr_and_what_is_scheduled_is_drawn_and_only_of_groups_that_have_it() -> None:
    text = DOCUMENT.replace("warmup(10%) -> cosine(to=0.01x)", "linear(to=0x)")
    text += "  momentum: linear(to=0.5x)\n  betas[0]: linear(to=0.8)\n"
    made = plan(text, steps=2)
    assert usual_keys(made) == ["lr", "momentum", "betas[0]"]
    found = lines(text, *usual_keys(made), steps=2)
    assert found["momentum"] == [(("matrices+slow", "matrices"), [0.9, 0.675])]
    [(groups, values)] = found["betas[0]"]
    assert groups == ("bias+slow", "bias", "default")
    assert values == [0.9, pytest.approx(0.85, rel=1e-15)]


def test_any_number_can_be_drawn() -> None:
    made = plan(UP_AND_DOWN, steps=8)
    assert {"lr", "weight_decay", "betas[0]", "betas[1]", "eps"} == set(drawable_keys(made))
    assert lines(UP_AND_DOWN + RULES, "weight_decay") == {
        "weight_decay": [(("embed",), [0.0] * 8), (("default", "half"), [0.5] * 8)]
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lr", None),
        ("betas[1]", None),
        ("lrr", "error: no group has a number `lrr`\n   = help: did you mean `lr`?"),
        ("amsgrad", "error: no group has a number `amsgrad`\n   = help: there are `lr`, `betas[0]`, `betas[1]`, `eps`"),
        ("betas", "error: no group has a number `betas`\n   = help: did you mean `betas[1]` or `betas[0]`?"),
    ],
)
def test_a_key_that_no_group_has(key: str, said: str | None) -> None:
    found = unknown_key(plan(UP_AND_DOWN, steps=8), ["lr", key])
    assert (found or "").startswith(said or "")
    assert (found is None) is (said is None)


# How long


def test_a_run_is_as_long_as_its_horizon() -> None:
    made = plan(UP_AND_DOWN, epochs=2.5, steps_per_epoch=3)
    assert made.horizon.total == Fraction(15, 2)
    curves = curves_of(made, ["lr"], extent(made, ["lr"]))
    assert (curves.end, curves.epoch, list(curves.updates)) == (8, 3.0, list(range(8)))
    assert curves.title == "1 group; 8 updates = 2.66667 epochs"


def test_what_is_asked_for_goes_before_the_horizon() -> None:
    assert extent(plan(UP_AND_DOWN, steps=8), ["lr"], 3) == 3


def test_without_a_horizon_it_lasts_until_nothing_changes() -> None:
    made = plan(f"{HEAD}schedule: {{lr: 'warmup(4) -> linear(6, to=0x)', weight_decay: 'linear(20, to=0x)'}}\n")
    assert extent(made, ["lr"]) == 11  # update 10 is the first of the end value
    assert extent(made, ["lr", "weight_decay"]) == 21
    assert curves_of(made, ["lr"], 11).title == "1 group; 11 updates, the horizon is not known"
    assert made.value("head.bias", "lr", 10) == made.value("head.bias", "lr", 1000) == 0.0


def test_what_never_comes_to_rest_needs_a_number_of_updates() -> None:
    made = plan(f"{HEAD}schedule: {{lr: 'step(every=10, gamma=0.5)'}}\n")
    with pytest.raises(optplan.ConfigError) as caught:
        extent(made, ["lr"])
    assert str(caught.value) == (
        "error[OP407]: the horizon is missing: `lr` of group `default` never comes to rest\n"
        "   = help: say how many updates to draw: `--steps N`"
    )
    assert extent(made, ["lr"], 30) == 30
    assert extent(made, ["weight_decay"]) == 1


@given(st.integers(1, 10**7), st.integers(1, 300))
def test_updates_are_spread_from_the_first_to_the_last(end: int, most: int) -> None:
    found = spread(end, most)
    assert len(found) == min(end, most)
    assert found[0] == 0
    assert found[-1] == (end - 1 if most > 1 else 0)
    steps = [after - before for before, after in pairwise(found)]
    assert all(step > 0 for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1


# The table


def test_a_table_has_a_column_for_each_key_and_group_and_a_row_for_each_update() -> None:
    made = plan(UP_AND_DOWN + RULES, steps=8, epochs=2)
    assert "".join(table(made, ["lr", "weight_decay"], range(8))) == (
        "update,epoch,lr:embed,lr:default,lr:half,weight_decay:embed,weight_decay:default,weight_decay:half\n"
        "0,0.0,0.0,0.0,0.0,0.0,0.5,0.5\n"
        "1,0.25,0.25,0.25,0.125,0.0,0.5,0.5\n"
        "2,0.5,0.5,0.5,0.25,0.0,0.5,0.5\n"
        "3,0.75,0.75,0.75,0.375,0.0,0.5,0.5\n"
        "4,1.0,1.0,1.0,0.5,0.0,0.5,0.5\n"
        "5,1.25,0.75,0.75,0.375,0.0,0.5,0.5\n"
        "6,1.5,0.5,0.5,0.25,0.0,0.5,0.5\n"
        "7,1.75,0.25,0.25,0.125,0.0,0.5,0.5\n"
    )


@pytest.mark.parametrize(
    "policy",
    ["warmup(10%) -> cosine(to=0.01x)", "warmup(10%) -> cosine(to=1e-5)", "poly(power=1.7, to=0.03x) per epoch"],
)
def test_a_table_has_the_very_doubles_of_the_plan(policy: str) -> None:
    text = DOCUMENT.replace("warmup(10%) -> cosine(to=0.01x)", policy)
    made = plan(text, steps=1000, epochs=7)
    keys = ["lr", "betas[1]"]
    head, *rows = csv.reader(table(made, keys, range(1000)))
    names = {group.name: group.parameters[0] for group in made.groups}
    assert len(rows) == 1000
    for t in range(0, 1000, 37):
        row = dict(zip(head, rows[t], strict=True))
        assert row.pop("update") == str(t)
        assert row.pop("epoch") == repr(t * 7 / 1000)
        for column, cell in row.items():
            key, _, group = column.partition(":")
            assert float(cell) == made.value(names[group], key, t)


def test_names_with_commas_are_quoted() -> None:
    text = f"{HEAD}rules: [{{where: 'path(\"a,b\") or bias', lr: 2}}]\n"
    head, *_ = csv.reader(table(plan(text), ["lr"], range(1)))
    assert set(head) == {"update", "lr:default", 'lr:path("a,b") or bias'}
