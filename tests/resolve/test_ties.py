"""Tied parameters: what a filter says of one, and rules that disagree about it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError


class Tied(nn.Module):
    """`head.weight` is `embed.weight`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.body = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embed.weight


with torch.device("meta"):
    NETWORK = optplan.network(Tied())


def planned(*rules: dict[str, Any]) -> optplan.Plan:
    others = {"hidden": {"type": "sgd", "lr": 0.1}}
    return optplan.plan(
        {"optplan": 1, "optimizer": {"type": "adamw", "lr": 0.01}, "optimizers": others, "rules": list(rules)}, NETWORK
    )


HOLDS = [
    ("embedding", True),
    ("linear", True),
    ("embed", True),
    ("head", True),
    ("head.weight", True),
    ("tied", True),
    # on the parameter, not on one name of it
    ("embedding and linear", True),
    ("embed and head", True),
    ("not linear", False),
    ("not embedding", False),
    ("body", False),
    ("/^head/", True),
    ("type(Linear)", True),
    ("inside(Tied)", True),
]


@pytest.mark.parametrize(("where", "holds"), HOLDS)
def test_an_atom_holds_if_it_holds_under_any_name(where: str, *, holds: bool) -> None:
    plan = planned({"where": where, "lr": 0.5, "optional": True})
    assert (plan.parameter("embed.weight").settings["lr"] == 0.5) is holds
    assert (plan.parameter("head.weight").settings["lr"] == 0.5) is holds


CONTRADICTIONS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"where": "embedding", "lr": 1}, {"where": "linear", "lr": 2}], ["lr"]),
    ([{"where": "embed", "lr": 1}, {"where": "head", "lr": 2}], ["lr"]),
    # the same value, another key, a common name: none
    ([{"where": "embedding", "lr": 1}, {"where": "linear", "lr": 1}], []),
    ([{"where": "embedding", "lr": 1}, {"where": "linear", "weight_decay": 0}], []),
    ([{"where": "embedding", "lr": 1}, {"where": "embed", "lr": 2}], []),
    ([{"where": "all", "lr": 1}, {"where": "linear", "lr": 2}], []),
    ([{"where": "embedding or linear", "lr": 1}, {"where": "linear", "lr": 2}], []),
    # one that holds under both names together, and under none alone, speaks of the parameter
    ([{"where": "embedding and linear", "lr": 1}, {"where": "linear", "lr": 2}], []),
    ([{"where": "linear", "lr": 2}, {"where": "embedding and linear", "lr": 1}], []),
    # settled by a later rule
    ([{"where": "embedding", "lr": 1}, {"where": "linear", "lr": 2}, {"where": "tied", "lr": 3}], []),
    # elements, lists, optimizers, freezing, policies
    ([{"where": "embedding", "betas[0]": 0.5}, {"where": "linear", "betas[0]": 0.6}], ["betas[0]"]),
    ([{"where": "embedding", "betas": [0.5, 0.6]}, {"where": "linear", "betas[0]": 0.6}], ["betas[0]"]),
    ([{"where": "embedding", "betas": [0.5, 0.6]}, {"where": "linear", "betas[0]": 0.5}], []),
    ([{"where": "embedding", "use": "hidden"}, {"where": "linear", "use": "optimizer"}], ["use"]),
    ([{"where": "embedding", "freeze": True}, {"where": "linear", "freeze": False}], ["freeze"]),
    (
        [{"where": "embed", "schedule": {"lr": "hold(at=2x)"}}, {"where": "head", "schedule": {"lr": "hold(at=3x)"}}],
        ["schedule.lr"],
    ),
]


@pytest.mark.parametrize(("rules", "keys"), CONTRADICTIONS, ids=[str(each[0]) for each in CONTRADICTIONS])
def test_rules_that_match_under_no_common_name(rules: list[dict[str, Any]], keys: list[str]) -> None:
    try:
        found = planned(*rules).diagnostics
    except ConfigError as fault:
        found = fault.diagnostics
    said = [each for each in found if each.code == "OP207"]
    assert [each.severity for each in said] == ["error"] * len(keys)
    for each, key in zip(said, keys, strict=True):
        assert f"`{key}`" in each.message
        assert "`embed.weight`" in each.message
    assert {each.code for each in found if each.severity == "error"} <= {"OP207"}
