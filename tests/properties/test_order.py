"""The order of a document's keys never matters, the order of its rules does."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import optplan
from tests.networks.architectures import BUILDERS, build

if TYPE_CHECKING:
    from random import Random

NETWORKS = Path(__file__).parents[1] / "networks"
EVERY = pytest.mark.parametrize("architecture", BUILDERS)
LESS_OFTEN = settings(max_examples=20, deadline=None)


@cache
def network(architecture: str) -> optplan.Network:
    return optplan.network(build(architecture))


def document(architecture: str) -> dict[str, Any]:
    text = (NETWORKS / f"{architecture}.optim.yaml").read_text(encoding="utf-8")
    # What this reader takes `1e-3` for does not matter: a number in quotes is the same expression as without.
    data = yaml.safe_load(text)
    assert isinstance(data, dict)
    return data


def shuffled(node: Any, random: Random) -> Any:
    """The same data with the keys of every mapping in another order; lists stay as they are."""
    if isinstance(node, dict):
        keys = list(node)
        random.shuffle(keys)
        return {key: shuffled(node[key], random) for key in keys}
    return [shuffled(item, random) for item in node] if isinstance(node, list) else node


def cascade(plan: optplan.Plan) -> dict[str, dict[str, list[tuple[Any, ...]]]]:
    """Each parameter's history by key, without places."""
    told: dict[str, dict[str, list[tuple[Any, ...]]]] = {}
    for name in plan.names:
        keys = told[name] = {}
        for touch in plan.parameter(name).history:
            keys.setdefault(touch.key, []).append((touch.before, touch.after, touch.rule, touch.note))
    return told


def treatment(plan: optplan.Plan) -> dict[str, tuple[Any, ...]]:
    """What each parameter gets, without names of groups and history."""
    found = {}
    for name in plan.names:
        group = plan.group_of(name)
        found[name] = (None,) if group is None else (group.optimizer, group.settings, group.curves, group.options)
    return found


# Keys


@EVERY
@given(random=st.randoms(use_true_random=False))
@LESS_OFTEN
def test_the_order_of_keys_never_matters(architecture: str, random: Random) -> None:
    plan = optplan.plan(document(architecture), network(architecture))
    other = optplan.plan(shuffled(document(architecture), random), network(architecture))
    assert other.fingerprint == plan.fingerprint
    assert other.groups == plan.groups
    assert other.frozen == plan.frozen
    assert cascade(other) == cascade(plan)


@EVERY
@given(random=st.randoms(use_true_random=False))
@LESS_OFTEN
def test_nor_does_it_in_a_text(architecture: str, random: Random) -> None:
    plan = optplan.plan(NETWORKS / f"{architecture}.optim.yaml", network(architecture))
    data = shuffled(document(architecture), random)
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=random.choice([None, False]))
    other = optplan.plan(optplan.loads(text), network(architecture))
    assert other.fingerprint == plan.fingerprint
    assert other.groups == plan.groups


def test_names_may_stand_before_what_they_name() -> None:
    top = {"c": "b * 2", "b": "a + 1", "a": 1}
    sets = {"outer": "inner or middle", "middle": "not inner and bias", "inner": "norm"}
    plans = set()
    for let_order, set_order in itertools.product(itertools.permutations(top), itertools.permutations(sets)):
        plan = optplan.plan(
            {
                "optplan": 1,
                "let": {key: top[key] for key in let_order},
                "sets": {key: sets[key] for key in set_order},
                "optimizer": {"type": "sgd", "lr": "c"},
                "rules": [{"where": "outer", "weight_decay": 0.1}],
            },
            network("vit"),
        )
        assert plan.groups[0].settings["lr"] == 4.0
        plans.add(plan.fingerprint)
    assert len(plans) == 1


def test_the_order_of_further_optimizers_does_not_matter() -> None:
    others = {"one": {"type": "muon", "lr": 0.02}, "two": {"type": "sgd", "lr": 0.1}, "three": {"type": "adam"}}
    rules = [
        {"where": "linear and ndim == 2", "use": "one"},
        {"where": "embedding", "use": "two"},
        {"where": "norm", "use": "three"},
    ]
    fingerprints = {
        optplan.plan(
            {
                "optplan": 1,
                "optimizer": {"type": "adamw"},
                "optimizers": {key: others[key] for key in order},
                "rules": rules,
            },
            network("llama"),
        ).fingerprint
        for order in itertools.permutations(others)
    }
    assert len(fingerprints) == 1


# Rules


def two(first: dict[str, Any], second: dict[str, Any], architecture: str = "vit") -> tuple[optplan.Plan, optplan.Plan]:
    """The plans of the rules in this order and in the other."""
    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1.0, "weight_decay": 0.5}}
    return (
        optplan.plan({**head, "rules": [first, second]}, network(architecture)),
        optplan.plan({**head, "rules": [second, first]}, network(architecture)),
    )


def test_the_last_of_two_rules_has_its_way() -> None:
    broad, narrow = {"where": "vit.layers", "lr": 0.1}, {"where": "vit.layers.3", "lr": 0.2}
    forth, back = two(broad, narrow)
    inside, beside = "vit.layers.3.mlp.fc1.weight", "vit.layers.4.mlp.fc1.weight"
    assert [plan.parameter(inside).settings["lr"] for plan in (forth, back)] == [0.2, 0.1]
    assert [plan.parameter(beside).settings["lr"] for plan in (forth, back)] == [0.1, 0.1]
    assert forth.fingerprint != back.fingerprint


def test_a_ratio_is_of_what_stood_before() -> None:
    ratio, value = {"where": "vit.layers.3", "lr": "0.5x"}, {"where": "vit", "lr": 0.1}
    forth, back = two(ratio, value)
    name = "vit.layers.3.mlp.fc1.weight"
    assert [plan.parameter(name).settings["lr"] for plan in (forth, back)] == [0.1, 0.05]


def test_which_optimizer_a_parameter_gets_is_said_last() -> None:
    head = {
        "optplan": 1,
        "optimizer": {"type": "adamw"},
        "optimizers": {"one": {"type": "muon"}, "two": {"type": "sgd"}},
    }
    rules = [{"where": "linear and ndim == 2", "use": "one"}, {"where": "vit.layers.3", "use": "two"}]
    name = "vit.layers.3.mlp.fc1.weight"
    for order, optimizer in ((rules, "sgd"), (rules[::-1], "muon")):
        assert optplan.plan({**head, "rules": order}, network("vit")).parameter(name).optimizer == optimizer


def test_whether_a_parameter_is_trained_is_said_last() -> None:
    frozen, trained = {"where": "vit", "freeze": True}, {"where": "vit.layers.{8..11}", "freeze": False}
    forth, back = two(frozen, trained)
    assert forth.parameter("vit.layers.11.mlp.fc1.weight").group is not None
    assert back.parameter("vit.layers.11.mlp.fc1.weight").group is None
    assert set(forth.frozen) < set(back.frozen)


WHERE = [
    "norm",
    "bias",
    "linear",
    "embedding",
    "conv",
    "ndim >= 2",
    "not bias",
    "all",
    "/[02468]/",
    "fan_in > 20",
    "numel < 50",
    "**.weight",
    "norm or bias",
    "linear and not bias",
]
NUMBERS = [0.0, 0.125, 0.25, 0.5, 1.0]


def selected(where: str, architecture: str) -> set[str]:
    """What a filter selects, alone."""
    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 0}}
    rules = [{"where": "all", "freeze": False}, {"where": where, "optional": True, "lr": 1}]
    plan = optplan.plan({**head, "rules": rules}, network(architecture))
    return {name for name in plan.names if plan.parameter(name).settings["lr"] == 1}


architectures = st.sampled_from(["vit", "bert", "llama", "convnext", "swin", "resnet"])


@given(
    architecture=architectures,
    steps=st.lists(st.tuples(st.sampled_from(WHERE), st.sampled_from(NUMBERS), st.booleans()), max_size=7),
)
@settings(max_examples=100, deadline=None)
def test_rules_are_assignments_one_after_the_other(architecture: str, steps: list[tuple[str, float, bool]]) -> None:
    """A loop over the rules, by hand: a plain number replaces, a ratio multiplies."""
    rates = dict.fromkeys(network(architecture).names, 1.0)
    for where, number, ratio in steps:
        for name in selected(where, architecture):
            rates[name] = rates[name] * number if ratio else number
    rules = [
        {"where": where, "optional": True, "lr": f"{number}x" if ratio else number} for where, number, ratio in steps
    ]
    head = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1.0}}
    plan = optplan.plan({**head, "rules": rules}, network(architecture))
    assert {name: plan.parameter(name).settings["lr"] for name in plan.names} == rates


@given(
    architecture=architectures,
    wheres=st.tuples(st.sampled_from(WHERE), st.sampled_from(WHERE)),
    numbers=st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=2, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_swapping_rules_that_meet_changes_what_they_share(
    architecture: str, wheres: tuple[str, str], numbers: list[float]
) -> None:
    first, second = ({"where": where, "lr": number} for where, number in zip(wheres, numbers, strict=True))
    first_set, second_set = (selected(where, architecture) for where in wheres)
    assume(first_set)
    assume(second_set)
    forth, back = two(first, second, architecture)
    changed = {name for name, each in treatment(forth).items() if treatment(back)[name] != each}
    assert changed == first_set & second_set
    assert (forth.fingerprint == back.fingerprint) == (not changed)


# Rules that do not touch: other keys, or other parameters.
KEYS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"lr": 0.1}, {"weight_decay": 0}),
    ({"lr": "0.1x"}, {"weight_decay": "0.5x"}),
    ({"lr": "0.1x"}, {"lr": "0.5x"}),
    ({"betas[0]": 0.8}, {"betas[1]": 0.99}),
    ({"eps": 1e-6}, {"amsgrad": True}),
    ({"schedule": {"lr": "linear(10, to=0x)"}}, {"lr": 0.1}),
    ({"schedule": {"lr": "linear(10, to=0x)"}}, {"schedule": {"weight_decay": "cosine(20)"}}),
    ({"freeze": True}, {"lr": 0.1}),
    ({"use": "optimizer"}, {"weight_decay": 0}),
]


@pytest.mark.parametrize("keys", KEYS, ids=str)
@given(architecture=architectures, wheres=st.tuples(st.sampled_from(WHERE), st.sampled_from(WHERE)))
@LESS_OFTEN
def test_swapping_rules_of_other_keys_changes_nothing(
    keys: tuple[dict[str, Any], dict[str, Any]], architecture: str, wheres: tuple[str, str]
) -> None:
    first, second = ({"where": where, "optional": True, **key} for where, key in zip(wheres, keys, strict=True))
    forth, back = two(first, second, architecture)
    assert treatment(forth) == treatment(back)
    assert forth.fingerprint == back.fingerprint


DISJOINT = [("norm", "linear"), ("bias", "ndim >= 2"), ("conv", "linear"), ("numel < 50", "numel > 60")]


@pytest.mark.parametrize("wheres", DISJOINT)
@pytest.mark.parametrize("key", ["lr", "weight_decay", "eps", "betas[1]"])
@given(architecture=architectures, numbers=st.tuples(st.sampled_from(NUMBERS[:4]), st.sampled_from(NUMBERS[:4])))
@LESS_OFTEN
def test_swapping_rules_of_other_parameters_changes_nothing(
    wheres: tuple[str, str], key: str, architecture: str, numbers: tuple[float, float]
) -> None:
    first, second = (
        {"where": where, "optional": True, key: number} for where, number in zip(wheres, numbers, strict=True)
    )
    forth, back = two(first, second, architecture)
    assert not selected(wheres[0], architecture) & selected(wheres[1], architecture)
    assert treatment(forth) == treatment(back)
    assert forth.fingerprint == back.fingerprint
