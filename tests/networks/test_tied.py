"""A tied parameter is one parameter: what holds for it under any of its names holds, and rules may not contradict."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from tests.networks.architectures import build, names_of

Rules = list[dict[str, Any]]

EMBEDDING = {"where": "embedding", "weight_decay": 0}
LINEAR = {"where": "linear", "weight_decay": 0.2}


class Language(nn.Module):
    """An embedding, something between, and a head that is tied to the embedding but has a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embed.weight


class Thrice(nn.Module):
    """Three tables and a layer that are one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Embedding(7, 4)
        self.b = nn.Embedding(7, 4)
        self.c = nn.Linear(4, 7, bias=False)
        self.b.weight = self.c.weight = self.a.weight


def planned(rules: Rules, network: nn.Module | None = None, **more: Any) -> optplan.Plan:
    optimizer = {"type": "adamw", "lr": 1.0, "weight_decay": 0.5}
    document = {"optplan": 1, "optimizer": optimizer, "rules": rules, **more}
    return optplan.plan(document, Language() if network is None else network)


def contradiction(rules: Rules, network: nn.Module | None = None, **more: Any) -> optplan.Diagnostic:
    with pytest.raises(ConfigError) as caught:
        planned(rules, network, **more)
    (found,) = (each for each in caught.value.diagnostics if each.severity == "error")
    assert found.code == "OP207"
    return found


def test_it_stands_once_in_the_plan_and_answers_to_each_name() -> None:
    plan = planned([])
    assert plan.names == ("embed.weight", "norm.weight", "norm.bias", "body.weight", "body.bias", "head.bias")
    assert [name for group in plan.groups for name in group.parameters] == list(plan.names)
    assert plan.parameter("head.weight") == plan.parameter("embed.weight")
    assert plan.parameter("head.weight").aliases == ("head.weight",)
    assert plan.value("head.weight", "lr", 5) == 1.0
    assert sum(group.numel for group in plan.groups) == 7 * 4 + 2 * 4 + 4 * 4 + 4 + 7


# Rules, and the decay of the tied parameter that follows: where it follows.
SETTLED: list[tuple[str, Rules, float]] = [
    ("neither", [], 0.5),
    ("under its first name", [EMBEDDING], 0.0),
    ("under its other name", [LINEAR], 0.2),
    ("by the path of its other name", [{"where": "head", "weight_decay": 0.3}], 0.3),
    ("the same value", [EMBEDDING, {**LINEAR, "weight_decay": 0}], 0.0),
    ("the same number by another way", [EMBEDDING, {**LINEAR, "weight_decay": "0.2 - 0.2"}], 0.0),
    ("settled", [EMBEDDING, LINEAR, {"where": "tied", "weight_decay": 0.1}], 0.1),
    ("settled in favour of the first", [EMBEDDING, LINEAR, {"where": "tied", "weight_decay": 0}], 0.0),
    ("settled by both names", [EMBEDDING, LINEAR, {"where": "embed or head", "weight_decay": 0.1}], 0.1),
    ("settled by all", [EMBEDDING, LINEAR, {"where": "all", "weight_decay": 0.1}], 0.1),
    ("settled by an attribute", [EMBEDDING, LINEAR, {"where": "numel == 28", "weight_decay": 0.1}], 0.1),
    ("settled by the conjunction", [EMBEDDING, LINEAR, {"where": "embedding and linear", "weight_decay": 0.1}], 0.1),
    ("one name in common", [{"where": "embedding or linear", "weight_decay": 0}, LINEAR], 0.2),
    ("an attribute holds under each name", [{"where": "ndim == 2", "weight_decay": 0}, LINEAR], 0.2),
    ("`all` holds under each name", [{"where": "all", "weight_decay": 0}, LINEAR], 0.2),
    ("`not norm` holds under each name", [{"where": "not norm", "weight_decay": 0}, LINEAR], 0.2),
    ("not linear, so not this one", [{"where": "not linear", "weight_decay": 0}], 0.5),
    ("not an embedding, so not this one", [{"where": "not embedding", "weight_decay": 0}], 0.5),
    ("`not head` keeps it out of linear", [EMBEDDING, {"where": "linear and not head", "weight_decay": 0.2}], 0.0),
    ("`not tied` keeps it out of linear", [EMBEDDING, {"where": "linear and not tied", "weight_decay": 0.2}], 0.0),
    ("`not embed` keeps it out of linear", [EMBEDDING, {"where": "linear and not embed", "weight_decay": 0.2}], 0.0),
    ("different keys", [EMBEDDING, {"where": "linear", "lr": 0.1}], 0.0),
]


@pytest.mark.parametrize(("rules", "decay"), [each[1:] for each in SETTLED], ids=[each[0] for each in SETTLED])
def test_what_holds_under_any_name_holds(rules: Rules, decay: float) -> None:
    plan = planned(rules)
    for name in ("embed.weight", "head.weight"):
        assert plan.parameter(name).settings["weight_decay"] == decay


# The key, and rules that contradict each other about it.
CONTRADICTIONS: list[tuple[str, Rules]] = [
    ("weight_decay", [EMBEDDING, LINEAR]),
    ("weight_decay", [LINEAR, EMBEDDING]),
    ("weight_decay", [{"where": "embed", "weight_decay": 0}, {"where": "head", "weight_decay": 0.2}]),
    ("weight_decay", [{"where": ".embed.weight", "weight_decay": 0}, {"where": "/^head/", "weight_decay": 0.2}]),
    ("weight_decay", [{"where": "type(Embedding)", "weight_decay": 0}, LINEAR]),
    # One that stands between them settles nothing: the last decides.
    ("weight_decay", [EMBEDDING, {"where": "tied", "weight_decay": 0.1}, LINEAR]),
    ("lr", [{"where": "embedding", "lr": 0.1}, {"where": "linear", "lr": "0.5x"}]),
    ("betas", [{"where": "embedding", "betas": [0.8, 0.9]}, {"where": "linear", "betas": [0.9, 0.95]}]),
    ("betas[1]", [{"where": "embedding", "betas[1]": 0.9}, {"where": "linear", "betas[1]": 0.95}]),
    ("freeze", [{"where": "embedding", "freeze": True}, {"where": "linear", "freeze": False}]),
    ("freeze", [{"where": "linear", "freeze": False}, {"where": "embedding", "freeze": True}]),
    ("use", [{"where": "embedding", "use": "other"}, {"where": "linear", "use": "third"}]),
    ("amsgrad", [{"where": "embedding", "amsgrad": True}, {"where": "linear", "amsgrad": False}]),
    (
        "schedule.lr",
        [
            {"where": "embedding", "schedule": {"lr": "linear(10, to=0x)"}},
            {"where": "linear", "schedule": {"lr": "cosine(10)"}},
        ],
    ),
]


@pytest.mark.parametrize(("key", "rules"), CONTRADICTIONS)
def test_rules_that_hold_under_different_names_may_not_contradict(key: str, rules: Rules) -> None:
    optimizers = {"other": {"type": "sgd", "lr": 0.1}, "third": {"type": "sgd", "lr": 0.2}}
    more: dict[str, Any] = {"optimizers": optimizers} if key == "use" else {}
    found = contradiction(rules, **more)
    assert f"`{key}`" in found.message
    assert "`embed.weight`" in found.message
    for rule in (rules[0], rules[-1]):
        assert f"`{rule['where']}`" in found.message
    # The last rule once more, for the parameter under all of its names, settles it.
    assert planned([*rules, {**rules[-1], "where": "tied"}], **more).names[0] == "embed.weight"


def test_a_list_and_an_element_of_it_contradict_where_they_overlap() -> None:
    whole = {"where": "embedding", "betas": [0.8, 0.9]}
    assert "`betas[1]`" in contradiction([whole, {"where": "linear", "betas[1]": 0.95}]).message
    assert planned([whole, {"where": "linear", "betas[1]": 0.9}]).parameter("embed.weight").settings["betas"] == (
        0.8,
        0.9,
    )


def test_the_place_is_that_of_the_rule_that_decides() -> None:
    text = (
        "optplan: 1\n"
        "optimizer: {type: adamw}\n"
        "rules:\n"
        "  - name: tables\n"
        "    where: embedding\n"
        "    weight_decay: 0\n"
        "  - name: layers\n"
        "    where: linear and ndim == 2\n"
        "    weight_decay: 0.2\n"
    )
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text, name="tied.optim.yaml"), Language())
    (found,) = caught.value.diagnostics
    assert (found.code, found.source, found.line, found.column) == ("OP207", "tied.optim.yaml", 8, 12)
    assert (found.end_line, found.end_column) == (8, 12 + len("linear and ndim == 2"))
    assert "`tables`" in found.message
    assert "`layers`" in found.message
    assert found.help is not None
    assert "tied" in found.help


THREE: list[tuple[str, str, bool]] = [
    ("a", "b", True),
    ("a", "c", True),
    ("b", "c", True),
    ("embedding", "a", False),
    ("embedding", "b", False),
    ("embedding", "c", True),
    ("linear", "c", False),
    ("linear", "a or b", True),
    ("a or c", "b or c", False),
    ("a or c", "b", True),
    ("a and b", "b and c", False),
]


@pytest.mark.parametrize(("first", "second", "contradicts"), THREE)
def test_of_three_names_one_in_common_is_enough(first: str, second: str, contradicts: bool) -> None:
    rules = [{"where": first, "lr": 0.1}, {"where": second, "lr": 0.2}]
    if contradicts:
        contradiction(rules, Thrice())
    else:
        assert planned(rules, Thrice()).parameter("b.weight").settings["lr"] == 0.2


def test_its_layer_is_that_of_its_first_name() -> None:
    rules = [{"where": "all", "lr": "base * 2 ** layer"}]
    plan = planned(rules, layers=["embed", ["norm", "body"], "head"])
    assert plan.parameter("embed.weight").settings["lr"] == 1.0
    assert plan.parameter("head.weight").settings["lr"] == 1.0
    assert plan.parameter("body.weight").settings["lr"] == 2.0
    assert plan.parameter("head.bias").settings["lr"] == 4.0


def test_an_entry_of_layers_that_only_covers_further_names_covers_nothing() -> None:
    with pytest.raises(ConfigError) as caught:
        planned([{"where": "all", "lr": "base * 2 ** layer"}], Thrice(), layers=["a", "c"])
    assert [found.code for found in caught.value.diagnostics] == ["OP208"]


def test_the_first_name_is_the_one_that_comes_first_in_the_network() -> None:
    class Headed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 7, bias=False)
            self.embed = nn.Embedding(7, 4)
            self.embed.weight = self.head.weight

    plan = planned([EMBEDDING], Headed())
    assert plan.names == ("head.weight",)
    assert plan.parameter("embed.weight").name == "head.weight"
    assert plan.parameter("embed.weight").settings["weight_decay"] == 0.0


def test_a_module_that_stands_in_two_places_is_tied_as_a_whole() -> None:
    layer = nn.Linear(4, 4)
    network = nn.Sequential(layer, nn.LayerNorm(4), layer)
    plan = planned([{"where": "tied", "lr": 0.1}, {"where": 'path("2")', "weight_decay": 0}], network)
    assert plan.names == ("0.weight", "0.bias", "1.weight", "1.bias")
    for name in ("0.weight", "2.weight", "0.bias", "2.bias"):
        assert (plan.parameter(name).settings["lr"], plan.parameter(name).settings["weight_decay"]) == (0.1, 0.0)
    contradiction([{"where": 'path("0")', "lr": 0.1}, {"where": 'path("2")', "lr": 0.2}], network)


@pytest.mark.parametrize(("architecture", "name"), [("gpt2", "transformer.wte.weight"), ("t5", "shared.weight")])
def test_the_embeddings_of_real_networks(architecture: str, name: str) -> None:
    network = build(architecture)
    assert f"`{name}`" in contradiction([EMBEDDING, LINEAR], network).message
    plan = planned([EMBEDDING, LINEAR, {"where": "tied", "weight_decay": 0.1}], network)
    tied = [first for first, every in names_of(network).items() if len(every) > 1]
    assert tied == [name]
    assert [n for n in plan.names if plan.parameter(n).settings["weight_decay"] == 0.1] == tied


def test_tying_after_the_plan_was_made_is_another_network() -> None:
    network = Language()
    before = planned([], network)
    network.head.weight = nn.Parameter(torch.zeros(7, 4))
    after = planned([], network)
    assert "head.weight" in after.names
    assert before != after
    assert before.fingerprint != after.fingerprint
