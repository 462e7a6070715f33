"""The plan as a value: copies, fingerprints, look-ups, threads, and texts that are none."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import optplan
from optplan import Plan
from optplan.resolve.network import Network, from_names
from tests.resolve.making import net, planned

RULES: list[dict[str, Any]] = [
    {"name": "still", "where": "norm or bias", "weight_decay": 0, "torch": {"foreach": False}},
    {"name": "deep", "where": "blocks", "lr": "base * 0.75 ** (layers - 1 - layer)"},
    {"name": "hidden", "where": "linear and ndim == 2", "use": "hidden"},
    {"name": "out", "where": "embeddings", "freeze": True},
    {"name": "in", "where": "buffer", "freeze": False},
    {"name": "late", "where": "head", "schedule": {"lr": "hold(1 epoch, at=0x) -> base"}},
]
MORE: dict[str, Any] = {
    "optimizers": {"hidden": {"type": "sgd", "lr": 0.1, "momentum": 0.9}},
    "layers": ["token", "blocks.{i}", "**"],
    "horizon": {"epochs": 10, "steps_per_epoch": 7},
    "schedule": {"lr": "warmup(5%) -> cosine(to=1e-7)", "betas[0]": "linear(to=0.5x)"},
}


def full() -> Plan:
    return planned(*RULES, **MORE)


def tied() -> Network:
    entries = [
        ("embed.weight", (4, 3), "float32"),
        ("body.weight", (3, 3), "float32"),
        ("head.weight", (4, 3), "float32"),
    ]
    return from_names(entries, tied=[("embed.weight", "head.weight")])


TIED = {"optplan": 1, "optimizer": {"type": "adamw"}, "rules": [{"where": "head", "lr": 1}]}


# Copies


def test_json_round_trip_is_exact() -> None:
    plan = full()
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert type(again) is Plan
    assert (again.to_json(), again.fingerprint, hash(again)) == (plan.to_json(), plan.fingerprint, hash(plan))
    assert Plan.from_json(plan.to_json(indent=2).encode()) == plan
    for name in plan.names:
        assert again.parameter(name) == plan.parameter(name)
        group = plan.group_of(name)
        if group is not None:
            assert [again.value(name, "lr", t) for t in range(100)] == [plan.value(name, "lr", t) for t in range(100)]


def test_json_has_no_number_that_json_has_not() -> None:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    json.loads(full().to_json(), parse_constant=refuse)


def test_other_copies() -> None:
    plan = full()
    plan.fingerprint  # noqa: B018 - kept from now on
    for other in (pickle.loads(pickle.dumps(plan)), copy.copy(plan), copy.deepcopy(plan)):  # noqa: S301 - ours
        assert other == plan
        assert other.fingerprint == plan.fingerprint
    assert pickle.dumps(plan) == pickle.dumps(full())


def test_a_plan_does_not_change() -> None:
    plan = full()
    for target, name in ((plan, "groups"), (plan.groups[0], "values"), (plan.cases[0], "group")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(target, name, ())
    before = plan.to_json()
    plan.groups[0].settings["lr"] = 5.0
    plan.groups[0].schedule.clear()
    plan.parameter("token").settings.clear()
    plan.to_data()["parameters"]["names"].clear()
    assert plan.to_json() == before


def test_a_plan_is_shared_between_threads() -> None:
    plan = full()
    names = [name for name in plan.names if plan.group_of(name)] * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: (plan.value(name, "lr", 5), plan.fingerprint), names))
    assert found == [(plan.value(name, "lr", 5), plan.fingerprint) for name in names]


# Fingerprints


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.resolve.test_plan import full
print(full().fingerprint)
"""


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - as the program has it
    found = {full().fingerprint}
    for seed in ("1", "2"):
        done = subprocess.run(  # noqa: S603 - this interpreter, with the text above
            [sys.executable, "-W", "ignore", "-c", PROGRAM.format(root=root)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        found.add(done.stdout.strip())
    assert len(found) == 1


TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 0.1}
rules:
  - name: still
    where: norm
    weight_decay: 0
horizon: {steps: 100}
schedule: {lr: warmup(10%) -> cosine()}
"""

SAME = [
    TEXT.replace("name: still", "name: other"),
    TEXT.replace("- name: still\n    where", "- where"),
    "# a comment\n" + TEXT,
    TEXT.replace("optimizer:", "\n\noptimizer:"),
    TEXT.replace("lr: 0.1", "lr: 1 / 10"),
    TEXT.replace("where: norm", "where: type(LayerNorm)"),
    TEXT.replace("warmup(10%)", "warmup(10)"),
    TEXT.replace("{steps: 100}", "{epochs: 10, steps_per_epoch: 10}"),
]
OTHER = [
    TEXT.replace("lr: 0.1", "lr: 0.10000000000000002"),
    TEXT.replace("decay: 0", "decay: 1e-300"),
    TEXT.replace("where: norm", "where: norm and bias"),
    TEXT.replace("10%", "11"),
    TEXT.replace("weight_decay: 0", "freeze: true"),
    TEXT.replace("weight_decay: 0", "torch: {foreach: true}"),
    TEXT.replace("adamw", "adam"),
]


def of(text: str, name: str = "a.optim.yaml") -> Plan:
    return optplan.plan(optplan.loads(text, name=name), net())


@pytest.mark.parametrize("text", SAME)
def test_a_fingerprint_is_of_what_the_plan_does(text: str) -> None:
    assert text != TEXT
    assert of(text, "elsewhere.optim.yaml").fingerprint == of(TEXT).fingerprint


@pytest.mark.parametrize("text", OTHER)
def test_what_does_something_else_has_another_fingerprint(text: str) -> None:
    assert text != TEXT
    assert of(text).fingerprint != of(TEXT).fingerprint


# Look-ups


def test_a_tied_parameter_is_found_under_each_of_its_names() -> None:
    plan = optplan.plan(TIED, tied())
    first = plan.parameter("embed.weight")
    assert plan.parameter("head.weight") == first
    assert (first.name, first.aliases, first.settings["lr"]) == ("embed.weight", ("head.weight",), 1.0)
    assert plan.value("head.weight", "lr", 0) == 1.0
    assert plan.groups[0].parameters == ("embed.weight",)
    again = Plan.from_json(plan.to_json())
    assert again.parameter("head.weight") == first


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("hed.weight", "head.weight"),
        ("Head.Weight", "head.weight"),
        ("blocks.0.linear.weigth", "blocks.0.linear.weight"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    plan = full()
    for ask in (plan.parameter, plan.group_of, lambda name: plan.value(name, "lr", 0)):
        with pytest.raises(KeyError) as caught:
            ask(name)
        assert name in caught.value.args[0]
        assert near in caught.value.args[0]


KEYS = [
    "nothing",
    "betas",
    "betas[2]",
    "betas[-1]",
    "betas[x]",
    "betas[²]",
    "betas[]",
    "amsgrad",
    "momentum",
    "lr[0]",
    "",
]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_no_number_of_the_optimizer(key: str) -> None:
    with pytest.raises(KeyError):
        full().value("token", key, 0)


def test_values_by_hand() -> None:
    plan = full()
    # 70 updates; warm-up 3.5, and the cosine over the 66.5 that are left
    assert plan.value("token", "lr", 0) == 0.0
    assert plan.value("token", "lr", 3) == pytest.approx(0.01 * 3 / 3.5, rel=1e-14)
    assert plan.value("token", "lr", 70) == 1e-7
    assert plan.value("token", "betas[0]", 35) == pytest.approx(0.9 * 0.75, rel=1e-14)
    assert plan.value("token", "betas[1]", 35) == 0.999
    assert plan.value("token", "weight_decay", 35) == 0.01
    assert plan.value("blocks.0.norm.bias", "weight_decay", 0) == 0.0
    assert [plan.value("head.bias", "lr", t) for t in (0, 6, 7)] == [0.0, 0.0, 0.0]
    assert plan.value("head.bias", "lr", 10) == pytest.approx(0.01 * 3 / 3.5, rel=1e-14)


# Texts that are no plans


GARBAGE: list[str | bytes] = [
    *("", "null", "1", "[]", "{}", '"optplan.plan/1"', "nan", "[" * 100_000, '{"a":' * 100_000),
    *('{"format": "optplan.plan/1"}', '{"format": "optplan.plan/2"}', '{"format": []}'),
    *(b"", b"\xff\xfe\x00", b"\x80\x04", b"PK\x03\x04"),
]


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_plan(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="not a plan"):
        Plan.from_json(text)


PIECES: list[Any] = [None, True, 0, -1, 1.5, 10**400, "", "x", [], [[]], {}, {"kind": "hold"}, [1], ["a"], {"a": 1}]


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container of the tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(data, dict | list):
        keys = list(data) if isinstance(data, dict) else range(len(data))
        for key in keys:
            found.append((data, key))
            found += places(data[key])
    return found


def use(plan: Plan) -> None:
    """What a program does with a plan."""
    plan.to_json()
    repr(plan)
    hash(plan)
    plan.fingerprint  # noqa: B018 - computed
    for name in (*plan.names, *plan.aliases):
        treatment = plan.parameter(name)
        group = plan.group_of(name)
        assert (group is None) == (treatment.group is None)
        for key in group.schedule if group is not None else ():
            plan.value(name, key, 3)


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_with_a_piece_replaced_is_refused_or_of_use(seed: int) -> None:
    """Whatever stands in one place of the JSON, nothing but ValueError comes of it, and nothing later."""
    text = full().to_json()
    count = len(places(json.loads(text)))
    chosen = random.Random(seed).sample(range(count), 60)  # noqa: S311 - no secret
    for number in chosen:
        for piece in PIECES:
            data = json.loads(text)
            container, key = places(data)[number]
            container[key] = piece
            mutated = json.dumps(data)
            try:
                plan = Plan.from_json(mutated)
            except ValueError:
                continue
            try:
                use(plan)
            except Exception as fault:
                raise AssertionError((key, piece, repr(fault))) from fault
