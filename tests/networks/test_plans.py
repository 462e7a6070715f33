"""The plans of nine real networks against expectations written by hand.

Each architecture has a document beside this file and a function in `expectations.py`.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from math import cos, pi
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import optplan
from tests.networks.architectures import BUILDERS, build, names_of, owners_of
from tests.networks.expectations import EXPECTATIONS, Expected

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
EVERY = pytest.mark.parametrize("architecture", BUILDERS)


def document(architecture: str) -> str:
    return str(HERE / f"{architecture}.optim.yaml")


def planned(architecture: str) -> optplan.Plan:
    return optplan.plan(document(architecture), build(architecture))


def expected(architecture: str) -> dict[str, Expected | None]:
    network = build(architecture)
    owners = owners_of(network)
    judge = EXPECTATIONS[architecture]
    return {name: judge(name, parameter, owners[name]) for name, parameter in network.named_parameters()}


@EVERY
def test_every_group_is_as_written_by_hand(architecture: str) -> None:
    groups: dict[str, tuple[str, dict[str, object], list[str], int]] = {}
    sizes = {name: parameter.numel() for name, parameter in build(architecture).named_parameters()}
    for name, each in expected(architecture).items():
        if each is not None:
            optimizer, settings, names, numel = groups.get(each.group, (each.optimizer, each.settings, [], 0))
            assert (optimizer, settings) == (each.optimizer, each.settings), "the expectation itself"
            groups[each.group] = (optimizer, settings, [*names, name], numel + sizes[name])
    found = {g.name: (g.optimizer, g.settings, list(g.parameters), g.numel) for g in planned(architecture).groups}
    assert found == groups
    assert list(found) == list(groups), "in the order of the network"


@EVERY
def test_every_parameter_is_as_written_by_hand_under_each_of_its_names(architecture: str) -> None:
    plan = planned(architecture)
    names = names_of(build(architecture))
    for name, each in expected(architecture).items():
        for alias in names[name]:
            found = plan.parameter(alias)
            assert found.name == name
            assert set(found.aliases) == set(names[name]) - {name}
            if each is None:
                assert (found.group, found.optimizer, found.settings) == (None, None, {})
            else:
                assert (found.group, found.optimizer, found.settings) == each


@EVERY
def test_booleans_are_booleans_and_lists_tuples(architecture: str) -> None:
    plan = planned(architecture)
    for name, each in expected(architecture).items():
        for key, value in plan.parameter(name).settings.items():
            for kind in (bool, tuple, str):
                assert each is not None
                assert isinstance(value, kind) == isinstance(each.settings[key], kind), key


@EVERY
def test_every_trained_parameter_is_in_exactly_one_group(architecture: str) -> None:
    plan = planned(architecture)
    counts = Counter(name for group in plan.groups for name in group.parameters)
    assert counts == {name: 1 for name, each in expected(architecture).items() if each is not None}


@EVERY
def test_what_is_not_trained_is_told(architecture: str) -> None:
    plan = planned(architecture)
    trained = {name: each is not None for name, each in expected(architecture).items()}
    before = {name: parameter.requires_grad for name, parameter in build(architecture).named_parameters()}
    assert list(plan.frozen) == [name for name in trained if before[name] and not trained[name]]
    assert list(plan.thawed) == [name for name in trained if trained[name] and not before[name]]


@EVERY
def test_nothing_is_to_be_said(architecture: str) -> None:
    assert planned(architecture).diagnostics == ()


# Counted by hand: blocks times the tensors of a block.
COUNTS = {
    "bert": {
        "default": 10 * 6,
        "no_decay": 10 * (6 + 2 * 2),
        "head": 2,
        "no_decay+head": 2,
    },
    "gpt2": {
        "table": 1,
        "default": 1,
        "ndim < 2": 11 * (2 * 2 + 4) + 2,
        "width": 11 * 2,
        "width+.c_proj and ndim == 2/0": 11,
        "width+.c_proj and ndim == 2/1": 11,
    },
    "llama": {
        "embedding": 1,
        "matrices/0": 12 * 5,
        "matrices/1": 12 * 2,
        "norms": 12 * 2 + 1,
        "default": 1,
    },
    "resnet": {
        "early": 3 * 3,
        "no_decay+early": (3 * 3 + 1) * 2,
        "early+downsampling": 1,
        "downsampling": 2,
        "no_decay": (3 * 3 + 2) * 2 + 1,
        "default": 3 * 3 + 1,
    },
    "detr": {
        "backbone": 3 * 3,
        "queries": 1,
        "default": 2 + 2 * (8 + 4 + 4) + 2 * (16 + 4 + 6) + 2 + 2 + 3,
        "boxes": 3,
    },
    "t5": {
        "no_decay+shared": 1,
        "default": 11 * 6,
        "no_decay+positions": 1,
        "no_decay": 11 * 2 + 1,
        "decoder": 11 * 10,
        "no_decay+decoder+positions": 1,
        "no_decay+decoder": 11 * 3 + 1,
    },
}


@pytest.mark.parametrize(("architecture", "counts"), COUNTS.items(), ids=COUNTS)
def test_groups_have_the_counted_sizes(architecture: str, counts: dict[str, int]) -> None:
    assert {group.name: len(group.parameters) for group in planned(architecture).groups} == counts


# The learning rate of update t over the parameter's own.
FACTORS: dict[str, Callable[[int], float]] = {
    "vit": lambda t: t / 100 if t < 100 else 0.001 + 0.999 * (1 + cos(pi * (t - 100) / 900)) / 2,
    "bert": lambda t: t / 100 if t < 100 else (1000 - t) / 900,
    "llama": lambda t: t / 100 if t < 100 else 1.0 if t < 1500 else 1 - 0.9 * (t - 1500) / 500,
    "resnet": lambda t: 0.1 ** (t // 100),
    "swin": lambda _: 1.0,
}


@pytest.mark.parametrize(("architecture", "factor"), FACTORS.items(), ids=FACTORS)
def test_each_parameter_follows_the_schedule_from_its_own_rate(
    architecture: str, factor: Callable[[int], float]
) -> None:
    plan = planned(architecture)
    for name, each in expected(architecture).items():
        if each is not None:
            for t in (0, 1, 50, 99, 100, 101, 250, 299):
                assert plan.value(name, "lr", t) == pytest.approx(each.settings["lr"] * factor(t), rel=1e-12)
            assert plan.value(name, "weight_decay", 77) == each.settings["weight_decay"]


# Key, before, after, rule, line.
HISTORIES: list[tuple[str, str, list[tuple[str, object, object, str, int]]]] = [
    (
        "gpt2",
        "lm_head.weight",
        [
            ("lr", 1e-3, 6e-4, "optimizer", 5),
            ("betas", (0.9, 0.999), (0.9, 0.95), "optimizer", 5),
            ("weight_decay", 0.01, 0.1, "optimizer", 5),
            ("weight_decay", 0.1, 0.01, "table", 17),
        ],
    ),
    (
        "gpt2",
        "transformer.h.10.mlp.c_proj.weight",
        [
            ("lr", 1e-3, 6e-4, "optimizer", 5),
            ("betas", (0.9, 0.999), (0.9, 0.95), "optimizer", 5),
            ("weight_decay", 0.01, 0.1, "optimizer", 5),
            ("lr", 6e-4, 6e-4 * 8 / 64, "width", 13),
            ("betas[1]", 0.95, 0.99, ".c_proj and ndim == 2", 20),
        ],
    ),
    (
        "llama",
        "model.layers.10.mlp.up_proj.weight",
        [
            ("use", "optimizer", "hidden", "matrices", 18),
            ("lr", 1e-3, 0.02, "hidden", 8),
            ("weight_decay", 0.1, 0.01, "hidden", 9),
            ("lr", 0.02, 0.02 * 2**0.5, "matrices", 19),
            ("schedule.lr", None, "warmup(100) -> hold(1400) -> linear(to=0.1x)", "schedule", 27),
        ],
    ),
    (
        "swin",
        "swin.encoder.layers.1.blocks.10.attention.q_proj.bias",
        [
            ("lr", 1e-3, 1e-3, "optimizer", 3),
            ("weight_decay", 0.01, 0.05, "optimizer", 3),
            ("weight_decay", 0.05, 0.0, "no_decay", 15),
            ("lr", 1e-3, 1e-3 * 0.9, "depth", 19),
        ],
    ),
]


@pytest.mark.parametrize(("architecture", "name", "history"), HISTORIES, ids=[each[1] for each in HISTORIES])
def test_the_cascade_is_told_step_by_step(
    architecture: str, name: str, history: list[tuple[str, object, object, str, int]]
) -> None:
    found = planned(architecture).parameter(name).history
    assert [(touch.key, touch.before, touch.after, touch.rule, touch.line) for touch in found] == history
    assert {touch.source for touch in found} == {document(architecture)}


def test_the_place_of_a_touch_is_that_of_its_key() -> None:
    lines = Path(document("llama")).read_text(encoding="utf-8").splitlines()
    plan = planned("llama")
    for name in ("model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight", "model.norm.weight"):
        for touch in plan.parameter(name).history:
            key = touch.key.rpartition(".")[2]
            assert lines[touch.line - 1][touch.column - 1 :].startswith(f"{key}:")


def test_what_is_frozen_has_nothing_but_that() -> None:
    (touch,) = planned("bert").parameter("bert.encoder.layer.1.output.LayerNorm.bias").history
    assert (touch.key, touch.before, touch.after, touch.rule) == ("freeze", False, True, "bottom")
    assert touch.line == 18


@EVERY
def test_a_plan_made_again_is_equal(architecture: str) -> None:
    plan, again = planned(architecture), planned(architecture)
    fresh = optplan.plan(optplan.load(document(architecture)), optplan.network(BUILDERS[architecture]()))
    assert plan == again == fresh
    assert plan.fingerprint == again.fingerprint == fresh.fingerprint


@EVERY
def test_a_plan_outlives_pickling(architecture: str) -> None:
    plan = planned(architecture)
    again = pickle.loads(pickle.dumps(plan))  # noqa: S301 - our own bytes
    assert again == plan
    assert again.fingerprint == plan.fingerprint
    assert type(again) is optplan.Plan


@EVERY
def test_a_plan_goes_through_json_exactly(architecture: str) -> None:
    plan = planned(architecture)
    text = plan.to_json()
    again = optplan.Plan.from_json(text)
    assert again == plan
    assert again.fingerprint == plan.fingerprint
    assert again.to_json() == text
    name = plan.groups[0].parameters[-1]
    assert again.parameter(name) == plan.parameter(name)
    assert [group["name"] for group in json.loads(text)["groups"]] == [group.name for group in plan.groups]


def test_plans_of_different_networks_differ() -> None:
    prints = {planned(architecture).fingerprint for architecture in BUILDERS}
    assert len(prints) == len(BUILDERS)
