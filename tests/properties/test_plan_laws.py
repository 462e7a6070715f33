"""What holds for every plan, whatever the rules: its groups, its numbers over time, its copies."""

from __future__ import annotations

import itertools
import pickle
import re
from functools import cache
from math import cos, pi, prod
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import optplan
from tests.networks.architectures import BUILDERS, build

Document = dict[str, Any]


@cache
def network(architecture: str) -> optplan.Network:
    return optplan.network(build(architecture))


architectures = st.sampled_from(sorted(BUILDERS))

WHERE = [
    "all",
    "norm",
    "bias",
    "linear",
    "conv",
    "embedding",
    "frozen",
    "not bias",
    "ndim >= 2",
    "fan_in > 20",
    "numel < 50",
    "layer < 2",
    "layer == 5",
    "/[02468]/",
    ".{1..3}",
    "**.weight",
    "linear and not bias",
    "norm or embedding",
]
STEPS: list[Document] = [
    {"lr": 0.01},
    {"lr": "0.1x"},
    {"lr": "1x"},
    {"lr": "base * 0.5 ** (layers - 1 - layer)", "where": "layer >= 0"},
    {"lr": "base / numel"},
    {"weight_decay": 0},
    {"weight_decay": 0.05},
    {"betas[0]": 0.8, "betas[1]": 0.99},
    {"momentum": 0.8},
    {"freeze": True},
    {"freeze": False},
    {"use": "other"},
    {"use": "same"},
    {"use": "optimizer"},
    {"schedule": {"lr": "linear(50, to=0x)"}},
    {"schedule": {"lr": "hold(10, at=0x) -> base"}},
    {"schedule": {"lr": "hold(layer * 1%, at=0x) over base"}, "where": "layer >= 0"},
    {"schedule": {"lr": "base * hold(at=0.9x / ndim)"}, "where": "ndim > 0"},
    {"torch": {"foreach": True}},
]
TAIL = st.lists(st.sampled_from(STEPS), min_size=1, max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document with rules at random; `same` is the main optimizer under another name."""
    main = {"type": "adamw", "lr": 1e-3, "weight_decay": 0.1}
    rules = []
    for where, steps in draw(st.lists(st.tuples(st.sampled_from(WHERE), TAIL), max_size=6)):
        rule: Document = {"where": where, "optional": True}
        for step in steps:
            rule |= step
        # A setting that only one optimizer has may find nobody who takes it; that is an error of its own.
        if "momentum" in rule:
            rule["use"] = "other"
        if "betas[0]" in rule:
            rule["use"] = "same"
        rules.append(rule)
    document: Document = {
        "optplan": 1,
        "optimizer": main,
        "optimizers": {"other": {"type": "sgd", "lr": 0.1, "momentum": 0.9}, "same": main},
        "layers": ["*.embeddings", "**.{i}.*", "**"] if draw(st.booleans()) else ["**.{i}", "**"],
        "rules": [*rules],
        "horizon": {"steps": 100},
    }
    if draw(st.booleans()):
        document["schedule"] = {"lr": "warmup(10) -> cosine(to=0.1x)"}
    return document


def made(document: Document, architecture: str) -> optplan.Plan | None:
    """The plan, or None where the rules contradict each other or name what is not there."""
    try:
        return optplan.plan(document, network(architecture))
    except optplan.ConfigError as fault:
        # Settings that nobody takes, ties that are contradicted, and layers that cover nothing are possible here.
        if {each.code for each in fault.diagnostics if each.severity == "error"} <= {"OP113", "OP207", "OP208"}:
            return None
        raise


@given(document=documents(), architecture=architectures)
@settings(max_examples=200, deadline=None)
def test_groups_partition_what_is_trained(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    seen = network(architecture)
    members = [name for group in plan.groups for name in group.parameters]
    assert len(members) == len(set(members))
    before = {parameter.name for parameter in seen if parameter.trainable}
    assert set(members) == (before - set(plan.frozen)) | set(plan.thawed)
    assert set(plan.frozen) <= before
    assert not set(plan.thawed) & before
    for name in seen.names:
        group = plan.group_of(name)
        assert (group is not None) == (name in members)
        assert group is None or name in group.parameters


@given(document=documents(), architecture=architectures)
@settings(max_examples=200, deadline=None)
def test_a_plan_has_the_fewest_groups(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    for one, other in itertools.combinations(plan.groups, 2):
        assert one.name != other.name
        assert (one.optimizer, one.settings, one.schedule, one.options) != (
            other.optimizer,
            other.settings,
            other.schedule,
            other.options,
        )


@given(document=documents(), architecture=architectures)
@settings(max_examples=100, deadline=None)
def test_groups_and_their_members_stand_in_the_order_of_the_network(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    place = {name: number for number, name in enumerate(network(architecture).names)}
    shapes = {parameter.name: parameter.shape for parameter in network(architecture)}
    places = [[place[name] for name in group.parameters] for group in plan.groups]
    assert all(each == sorted(each) for each in places)
    assert [each[0] for each in places] == sorted(each[0] for each in places)
    for group in plan.groups:
        assert group.numel == sum(prod(shapes[name]) for name in group.parameters)


@given(document=documents(), architecture=architectures)
@settings(max_examples=100, deadline=None)
def test_a_group_is_named_by_rules_that_match_its_members(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    labels = {rule["where"] for rule in document["rules"]}
    for group in plan.groups:
        stem = re.sub(r"/(layer=)?\d+$", "", group.name)
        if stem == "default":
            continue
        names = stem.split("+")
        assert set(names) <= labels
        touched = {touch.rule for name in group.parameters for touch in plan.parameter(name).history}
        assert set(names) <= touched


@given(document=documents(), architecture=architectures)
@settings(max_examples=100, deadline=None)
def test_history_leads_to_the_values(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    for name in plan.names:
        treated = plan.parameter(name)
        last: dict[str, Any] = {}
        for touch in treated.history:
            if touch.note is None and not touch.key.startswith(("schedule.", "torch.")):
                assert touch.key not in last or touch.before == last[touch.key]
                last[touch.key] = touch.after
        trained = last.pop("freeze", None)
        assert trained is None or (trained is True) == (treated.group is None)
        used = last.pop("use", "optimizer")
        types = {"optimizer": "adamw", "same": "adamw", "other": "sgd"}
        assert treated.optimizer in {types[used], None}
        for key, value in last.items():
            if "[" not in key:
                elements = [each for each in last if each.startswith(f"{key}[")]
                assert elements or treated.settings[key] == value


@given(document=documents(), architecture=architectures)
@settings(max_examples=60, deadline=None)
def test_copies_are_equal(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    again = made(document, architecture)
    for other in (again, pickle.loads(pickle.dumps(plan)), optplan.Plan.from_json(plan.to_json())):  # noqa: S301 - ours
        assert other == plan
        assert hash(other) == hash(plan)
        assert other.fingerprint == plan.fingerprint
        assert other.to_json() == plan.to_json()


@given(document=documents(), architecture=architectures, where=st.sampled_from(WHERE))
@settings(max_examples=100, deadline=None)
def test_a_rule_that_changes_nothing_changes_no_group(document: Document, architecture: str, where: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    more = {**document, "rules": [*document["rules"], {"where": where, "optional": True, "lr": "1x"}]}
    other = optplan.plan(more, network(architecture))
    assert other.fingerprint == plan.fingerprint
    assert [group.parameters for group in other.groups] == [group.parameters for group in plan.groups]


ASKING = [
    "hold(NUMBER, at=0x) over base",
    "hold(min(NUMBER * 10%, 40), at=1e-4) -> base",
    "base * hold(at=1x * 0.5 ** NUMBER)",
    "linear(20, to=1x / (NUMBER + 1)) -> hold()",
    "multistep(at=[NUMBER + 1, NUMBER + 2], gamma=NUMBER / 100)",
]


@given(architecture=architectures, policy=st.sampled_from(ASKING), name=st.sampled_from(["ndim", "layer"]))
@settings(max_examples=60, deadline=None)
def test_a_policy_asks_for_each_parameters_own_number(architecture: str, policy: str, name: str) -> None:
    """It is as if there were a rule for each number, with that written out: the same curves, and as many groups."""

    def rule(where: str, number: str) -> Document:
        return {"where": where, "optional": True, "schedule": {"lr": policy.replace("NUMBER", number)}}

    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-3}, "layers": ["**.{i}", "**"]}
    head |= {"horizon": {"steps": 100}, "schedule": {"lr": "warmup(10) -> cosine(to=0.1x)"}}
    seen = network(architecture)
    asking = optplan.plan({**head, "rules": [rule("all", name)]}, seen)
    written = optplan.plan({**head, "rules": [rule(f"{name} == {k}", str(k)) for k in range(20)]}, seen)
    assert [group.parameters for group in asking.groups] == [group.parameters for group in written.groups]
    assert [group.schedule for group in asking.groups] == [group.schedule for group in written.groups]


@given(data=st.data(), architecture=architectures)
@settings(max_examples=60, deadline=None)
def test_sets_are_only_names(data: st.DataObject, architecture: str) -> None:
    """Filters named under `sets`, in any order and under any names, give the plan of the filters themselves."""
    wheres = data.draw(st.lists(st.sampled_from(WHERE[:8]), min_size=1, max_size=4))
    names = data.draw(st.permutations(["zebra", "apple", "mid", "other_one"]))[: len(wheres)]
    order = data.draw(st.permutations(list(zip(names, wheres, strict=True))))
    head = {"optplan": 1, "optimizer": {"type": "adamw"}}
    values = [{"weight_decay": place / 8, "optional": True} for place in range(len(wheres))]
    plain = [{"where": f"not ({where})", **value} for where, value in zip(wheres, values, strict=True)]
    named = [{"where": f"not {name}", **value} for name, value in zip(names, values, strict=True)]
    one, other = (
        _tolerant({**head, "rules": plain}, architecture),
        _tolerant({**head, "sets": dict(order), "rules": named}, architecture),
    )
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.fingerprint == other.fingerprint
        assert one.names == other.names


def _tolerant(document: Document, architecture: str) -> optplan.Plan | None:
    try:
        return optplan.plan(document, network(architecture))
    except optplan.ConfigError as fault:
        if "OP207" in {each.code for each in fault.diagnostics}:
            return None
        raise


def test_back_to_the_main_optimizer_is_named_by_what_is_set_on_the_way() -> None:
    """`use: optimizer` gives no value of its own; the rule's `lr` does."""
    plan = optplan.plan(
        {
            "optplan": 1,
            "optimizer": {"type": "adamw", "lr": 1e-3},
            "optimizers": {"hidden": {"type": "muon", "lr": 0.02}},
            "rules": [
                {"name": "matrices", "where": "linear and ndim == 2", "use": "hidden"},
                {"name": "head", "where": "lm_head", "use": "optimizer", "lr": "0.1x"},
                {"name": "first", "where": "model.layers.0.mlp", "use": "optimizer"},
            ],
        },
        network("llama"),
    )
    assert plan.parameter("lm_head.weight").group == "head"
    assert plan.parameter("model.layers.1.mlp.up_proj.weight").group == "matrices"
    assert plan.parameter("model.layers.0.mlp.up_proj.weight").group == "default"


def test_groups_that_share_a_name_are_numbered_by_layer_or_by_order() -> None:
    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1.0}, "layers": ["vit.layers.{i}"]}
    mlps = "vit.layers.*.mlp and not bias"
    by_layer = optplan.plan({**head, "rules": [{"name": "r", "where": mlps, "lr": "1 / (layer + 2)"}]}, network("vit"))
    assert [group.name for group in by_layer.groups] == ["default", *(f"r/layer={layer}" for layer in range(12))]
    rule = {"name": "r", "where": mlps, "lr": "1 / (layer + 1) / fan_in"}
    by_order = optplan.plan({**head, "rules": [rule]}, network("vit"))
    # 24 matrices of 12 layers, where 1/1/32 and 1/2/16 are the same rate, and so on.
    rates = {1 / (layer + 1) / fan_in for layer in range(12) for fan_in in (16, 32)}
    assert [group.name for group in by_order.groups] == ["default", *(f"r/{place}" for place in range(len(rates)))]


# Numbers over time


SCHEDULES: list[tuple[str, Any]] = [
    ("linear(80, to=0.5x)", lambda t, own: own * (1 - 0.5 * min(t, 80) / 80)),
    ("warmup(20) -> cosine(to=0.1x)", lambda t, own: own * _warm_cosine(t, 20, 100, 0.1)),
    ("warmup(20, from=0.2x) -> hold()", lambda t, own: own * (0.2 + 0.8 * min(t, 20) / 20)),
    # what has no end of its own stays where the horizon ends
    ("step(every=30, gamma=0.5)", lambda t, own: own * 0.5 ** (min(t, 99) // 30)),
    ("multistep(at=[10, 40], gamma=0.1)", lambda t, own: own * 0.1 ** ((t >= 10) + (t >= 40))),
    ("hold(10, at=0x) -> hold(at=1x)", lambda t, own: 0.0 if t < 10 else own),
    ("hold(50, at=1e-4) -> hold(at=2e-4)", lambda t, own: 0.0 if own == 0 else 1e-4 if t < 50 else 2e-4),
]


def _warm_cosine(t: int, warm: int, total: int, floor: float) -> float:
    if t < warm:
        return t / warm
    done = min(1.0, (t - warm) / (total - warm))
    return floor + (1 - floor) * (1 + cos(pi * done)) / 2


@pytest.mark.parametrize(("policy", "formula"), SCHEDULES, ids=[each[0] for each in SCHEDULES])
@given(architecture=architectures, t=st.integers(0, 300))
@example(architecture="vit", t=0)
@example(architecture="vit", t=100)
@settings(max_examples=40, deadline=None)
def test_a_policy_multiplies_each_parameters_own_value(policy: str, formula: Any, architecture: str, t: int) -> None:
    rules = [
        {"where": "norm", "optional": True, "lr": "0.1x"},
        {"where": "bias", "optional": True, "lr": 0},
        {"where": "linear", "optional": True, "lr": "base / 3"},
        {"where": "tied", "optional": True, "lr": 0.5},
    ]
    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 0.3}, "horizon": {"steps": 100}}
    plan = optplan.plan({**head, "rules": rules, "schedule": {"lr": policy}}, network(architecture))
    for group in plan.groups:
        own = group.settings["lr"]
        assert isinstance(own, float)
        expected = pytest.approx(formula(t, own), rel=1e-12, abs=0)
        assert t >= 100 or group.value("lr", t) == expected
        for name in group.parameters[:2]:
            assert plan.value(name, "lr", t) == expected
            assert plan.value(name, "eps", t) == 1e-8


@given(t=st.integers(0, 200), architecture=architectures)
@settings(max_examples=40, deadline=None)
def test_what_is_zero_stays_zero_but_for_a_rules_own_policy(t: int, architecture: str) -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "weight_decay": 0.1},
        "rules": [
            {"where": "norm or bias", "optional": True, "weight_decay": 0},
            {"where": "bias", "optional": True, "schedule": {"weight_decay": "linear(100, from=0, to=0.01)"}},
        ],
        "horizon": {"steps": 100},
        "schedule": {"weight_decay": "cosine(to=2x)"},
    }
    plan = optplan.plan(document, network(architecture))
    done = min(t, 100) / 100
    for parameter in network(architecture):
        if not parameter.trainable:
            continue
        name = parameter.name
        value = plan.value(name, "weight_decay", t)
        if name.endswith(".bias"):
            assert value == pytest.approx(0.01 * done, rel=1e-12, abs=0)
        elif plan.parameter(name).settings["weight_decay"] == 0:
            assert value == 0.0
        else:
            assert value == pytest.approx(0.1 * (2 - (1 + cos(pi * done)) / 2), rel=1e-12)


@given(document=documents(), architecture=architectures)
@settings(max_examples=60, deadline=None)
def test_members_of_a_group_follow_its_curve(document: Document, architecture: str) -> None:
    plan = made(document, architecture)
    if plan is None:
        return
    for group in plan.groups:
        for t in (0, 1, 9, 10, 50, 99, 100, 1000):
            value = group.value("lr", t)
            assert value >= 0
            assert plan.value(group.parameters[-1], "lr", t) == value
        if "lr" not in group.schedule:
            assert group.value("lr", 77) == group.settings["lr"]
