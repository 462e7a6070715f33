"""Clip and loss scale of a plan: evaluated, with the numbers of the caller, and with their places."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optplan
from optplan.diagnostics import ConfigError
from optplan.report.differences import compare, difference_text
from optplan.report.plans import plan_table
from optplan.resolve.network import Network, from_names
from optplan.resolve.training import Clip, LossScale

TEXT = """\
optplan: 1
let: {S: 1024, limit: 1 / 2}
optimizer: {type: sgd, lr: 0.1}
accumulate: 4
clip: norm(limit)
loss_scale: dynamic(init=S * 2, every=S - 24)
"""
NETWORK = from_names([("a.weight", (2, 3), "float32"), ("b.weight", (3,), "float32")])


def planned(text: str = TEXT, network: Network = NETWORK, **given: Any) -> optplan.Plan:
    return optplan.plan(optplan.loads(text, name="net.optim.yaml"), network, **given)


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("clip: none", None),
        ("clip: norm(1)", Clip("norm", 1.0)),
        ("clip: value(1 / 4)", Clip("value", 0.25)),
        ("loss_scale: none", None),
        ("loss_scale: 1024", LossScale("fixed", 1024.0)),
        ("loss_scale: S / 3", LossScale("fixed", 1024 / 3)),
        ("loss_scale: fixed(1, drop_overflow=false)", LossScale("fixed", 1.0, drop_overflow=False)),
        ("loss_scale: dynamic()", LossScale("dynamic", 65536.0, growth=2.0, backoff=0.5, every=2000)),
        (
            "loss_scale: dynamic(init=3, growth=3, backoff=1/3, every=7)",
            LossScale("dynamic", 3.0, growth=3.0, backoff=1 / 3, every=7),
        ),
    ],
)
def test_it_is_evaluated(written: str, meaning: object) -> None:
    plan = planned(f"optplan: 1\nlet: {{S: 1024}}\noptimizer: {{type: sgd, lr: 0.1}}\n{written}\n")
    assert getattr(plan, written.partition(":")[0]) == meaning


def test_numbers_are_of_one_type() -> None:
    scale = planned().loss_scale
    assert scale is not None
    assert [type(each) for each in (scale.init, scale.growth, scale.backoff, scale.every)] == [float, float, float, int]
    assert type(planned().accumulate) is int


def test_the_numbers_of_the_caller_count() -> None:
    plan = planned(let={"S": 31, "limit": 3})
    assert plan.clip == Clip("norm", 3.0)
    assert plan.loss_scale == LossScale("dynamic", 62.0, every=7)


@pytest.mark.parametrize("number", [24, 0, -1])
def test_the_numbers_of_the_caller_are_held_against_the_ranges(number: int) -> None:
    with pytest.raises(ConfigError) as raised:
        planned(let={"S": number})
    assert {each.code for each in raised.value.diagnostics} == {"OP305"}
    assert all(each.line == 6 for each in raised.value.diagnostics)


def test_each_says_where_it_stands() -> None:
    plan = planned()
    assert plan.clip is not None
    assert plan.clip.origin == ("clip", "net.optim.yaml", 5, 7, 5, 18, "clip: norm(limit)")
    assert plan.loss_scale is not None
    assert plan.loss_scale.origin is not None
    assert plan.loss_scale.origin[:4] == ("loss_scale", "net.optim.yaml", 6, 13)


def test_one_number_written_in_two_ways_is_one_plan() -> None:
    head = "optplan: 1\noptimizer: {type: sgd, lr: 0.1}\n"
    plans = [
        planned(f"{head}loss_scale: {text}\n")
        for text in ("1024", "1k + 24", "fixed(1024)", "fixed(scale=2 ** 10, drop_overflow=true)")
    ]
    assert all(plan == plans[0] and plan.fingerprint == plans[0].fingerprint for plan in plans)
    assert all(compare(plan, plans[0]).same for plan in plans)


def test_what_differs_is_told() -> None:
    other = planned(TEXT.replace("norm(limit)", "value(limit)").replace("accumulate: 4", "accumulate: 1"))
    text = difference_text(compare(planned(), other), planned(), other)
    assert text.split("\n") == [
        "the whole plan",
        "  clip        norm(0.5) -> value(0.5)",
        "  accumulate  4 -> 1",
    ]
    assert planned().fingerprint != other.fingerprint


def test_the_table_has_a_line_for_each() -> None:
    assert plan_table(planned()).split("\n")[-3:] == [
        "accumulate  4 batches make one update",
        "clip        norm(0.5), by the norm of all gradients together",
        "loss scale  dynamic(init=2048, growth=2, backoff=0.5, every=1000)",
    ]


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("1024", None),
        ("fixed(1024, drop_overflow=false)", "the optimizer itself takes it out"),
        ("dynamic()", "a floor of 1, where PyTorch has none"),
        ("dynamic(backoff=0.25)", "a scaler of our own"),
        ("dynamic(growth=1.5, backoff=1/1.5)", "a scaler of our own"),
        ("dynamic(init=0.5)", "a scaler of our own"),
    ],
)
def test_what_mindspore_does_otherwise_is_said_in_its_plans(scale: str, words: str | None) -> None:
    text = f"optplan: 1\noptimizer: {{type: sgd, lr: 0.1}}\nloss_scale: {scale}\n"
    line = " ".join(plan_table(planned(text, replace(NETWORK, target="mindspore"))).partition("loss scale")[2].split())
    assert (words or "drop_overflow=true)") in line
    assert line.count(";") == (words is not None)
    assert ";" not in plan_table(planned(text, replace(NETWORK, target="torch"))).partition("loss scale")[2]


positive = st.floats(1e-30, 3e38)
clips = st.none() | st.builds(Clip, st.sampled_from(["norm", "value"]), positive)
scales = st.one_of(
    st.none(),
    st.builds(LossScale, st.just("fixed"), positive, st.booleans()),
    st.builds(
        LossScale,
        st.just("dynamic"),
        positive,
        growth=st.floats(1, 1e9, exclude_min=True),
        backoff=st.floats(0, 1, exclude_min=True, exclude_max=True),
        every=st.integers(1, 10**9),
    ),
)


@given(clip=clips, scale=scales, accumulate=st.integers(1, 10**6))
def test_a_plan_goes_through_json_and_its_words_through_a_document(
    clip: Clip | None, scale: LossScale | None, accumulate: int
) -> None:
    plan = replace(planned(), clip=clip, loss_scale=scale, accumulate=accumulate)
    assert optplan.Plan.from_json(plan.to_json()) == plan
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}, "accumulate": accumulate}
    document |= {"clip": str(clip or "none"), "loss_scale": str(scale or "none")}
    again = optplan.plan(document, NETWORK)
    assert (again.clip, again.loss_scale, again.accumulate) == (clip, scale, accumulate)
    assert optplan.Plan.from_json(again.to_json()) == again


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("clip", {"kind": "half"}),
        ("clip", {"limit": 0}),
        ("clip", {"limit": -1.0}),
        ("clip", {"limit": "1"}),
        ("loss_scale", {"kind": "half"}),
        ("loss_scale", {"init": 0}),
        ("loss_scale", {"init": 1e39}),
        ("loss_scale", {"growth": 1}),
        ("loss_scale", {"backoff": 1}),
        ("loss_scale", {"every": 0}),
        ("loss_scale", {"every": 1.5}),
        ("loss_scale", {"drop_overflow": 1}),
    ],
)
def test_data_that_says_what_no_document_can_is_no_plan(key: str, change: dict[str, Any]) -> None:
    data = planned().to_data()
    data[key] = {**data[key], **change}
    with pytest.raises(ValueError, match="not a plan"):
        optplan.Plan.from_json(json.dumps(data))
