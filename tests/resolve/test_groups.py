"""Groups: how few there are, how they are called, in which order they stand."""

from __future__ import annotations

from typing import Any

import pytest

import optplan
from optplan import ConfigError
from tests.resolve.making import NAMES, net, planned

BLOCKS: dict[str, Any] = {"layers": ["token", "embeddings", "patch", "blocks.{i}", "**"]}

# rules, more of the document: the names of the groups and how many parameters each has

NAMED: list[tuple[list[dict[str, Any]], dict[str, Any], list[tuple[str, int]]]] = [
    ([], {}, [("default", 21)]),
    ([{"where": "all", "lr": 1}], {}, [("all", 21)]),
    ([{"where": "norm", "weight_decay": 0}], {}, [("default", 15), ("norm", 6)]),
    ([{"name": "still", "where": "norm", "weight_decay": 0}], {}, [("default", 15), ("still", 6)]),
    # equal values share a group, whatever rules gave them
    ([{"where": "norm", "lr": 0.01}], {}, [("default", 21)]),
    ([{"where": "norm", "lr": "1x"}], {}, [("default", 21)]),
    ([{"where": "norm", "lr": "0.5x"}, {"where": "head", "lr": 0.005}], {}, [("default", 13), ("norm+head", 8)]),
    # in file order
    (
        [{"name": "z", "where": "norm", "lr": 1}, {"name": "a", "where": "norm", "eps": 1e-5}],
        {},
        [("default", 15), ("z+a", 6)],
    ),
    # one whose values were replaced gave none, one that was built on did
    (
        [{"name": "a", "where": "norm or head", "lr": 1}, {"name": "b", "where": "norm", "lr": 2}],
        {},
        [("default", 13), ("b", 6), ("a", 2)],
    ),
    (
        [{"name": "a", "where": "norm or head", "lr": 1}, {"name": "b", "where": "norm", "lr": "2x"}],
        {},
        [("default", 13), ("a+b", 6), ("a", 2)],
    ),
    # that it is trained gives no value
    ([{"name": "a", "where": "buffer", "freeze": False}], {}, [("default", 22)]),
    # several groups of one name
    (
        [{"name": "deep", "where": "blocks", "lr": "0.5 ** (layers - 1 - layer)"}],
        BLOCKS,
        [("default", 9), ("deep/layer=3", 4), ("deep/layer=4", 4), ("deep/layer=5", 4)],
    ),
    (
        [{"name": "sized", "where": "blocks", "lr": "1 / numel"}],
        {},
        [("default", 9), ("sized/0", 9), ("sized/1", 3)],
    ),
    (
        [{"name": "both", "where": "blocks", "lr": "1 / numel / (layer + 1)"}],
        BLOCKS,
        [("default", 9), *((f"both/{k}", 3 if k % 2 == 0 else 1) for k in range(6))],
    ),
]


@pytest.mark.parametrize(("rules", "more", "groups"), NAMED, ids=[str(each[0]) for each in NAMED])
def test_names(rules: list[dict[str, Any]], more: dict[str, Any], groups: list[tuple[str, int]]) -> None:
    plan = planned(*rules, **more)
    assert [(group.name, len(group.parameters)) for group in plan.groups] == groups


def test_groups_stand_in_the_order_of_their_first_parameters() -> None:
    plan = planned({"where": "head", "lr": 1}, {"where": "token", "lr": 2}, {"where": "patch", "lr": 3})
    assert [group.name for group in plan.groups] == ["token", "default", "patch", "head"]
    assert [group.parameters[0] for group in plan.groups] == ["token", "scale", "patch.weight", "head.weight"]
    place = {name: number for number, name in enumerate(NAMES)}
    assert all(sorted(group.parameters, key=place.__getitem__) == list(group.parameters) for group in plan.groups)


def test_only_equal_doubles_share_a_group() -> None:
    sums = planned({"where": "norm", "lr": "0.1 + 0.2"}, {"where": "head", "lr": 0.3})
    assert [group.settings["lr"] for group in sums.groups] == [0.01, 0.1 + 0.2, 0.3]
    same = planned({"where": "norm", "lr": "3 / 10"}, {"where": "head", "lr": 0.3}, {"where": "patch", "lr": "0.3"})
    assert [group.settings["lr"] for group in same.groups] == [0.01, 0.3]


def test_equal_policies_share_a_group() -> None:
    rules = [
        {"where": "norm", "schedule": {"lr": "hold(10%, at=0x) -> base"}},
        {"where": "head", "schedule": {"lr": "hold(10, at=0 * 1x) -> base"}},
        {"where": "patch", "schedule": {"lr": "hold(11, at=0x) -> base"}},
    ]
    plan = planned(*rules, horizon={"steps": 100}, schedule={"lr": "cosine()"})
    assert [len(group.parameters) for group in plan.groups] == [11, 2, 8]


def test_a_policy_that_does_nothing_makes_no_group() -> None:
    plan = planned({"where": "norm", "schedule": {"lr": "hold()"}})
    assert [group.name for group in plan.groups] == ["default"]
    assert plan.groups[0].schedule == {}


def test_numel_counts_elements() -> None:
    plan = planned({"where": "blocks", "lr": 1})
    sizes = {parameter.name: parameter.numel for parameter in net()}
    assert [group.numel for group in plan.groups] == [sum(sizes[name] for name in g.parameters) for g in plan.groups]
    assert plan.groups[1].numel == 3 * (6 + 6 + 36 + 6)
    assert plan.numel == sum(sizes.values()) - 5


# Layers


def layer_of(layers: list[Any]) -> tuple[dict[str, int | None], int]:
    """The layer of each parameter, and how many layers there are, as expressions see them."""
    plan = planned({"where": "layer >= 0", "lr": "1 + layer", "eps": "layers"}, layers=layers)
    found: dict[str, int | None] = {}
    count = 0
    for name in NAMES:
        if name == "buffer":
            continue
        values: dict[str, Any] = plan.parameter(name).settings
        touched = values["eps"] != 1e-8
        found[name] = int(values["lr"]) - 1 if touched else None
        count = int(values["eps"]) if touched else count
    return found, count


LAYERS: list[tuple[list[Any], dict[str, int | None], int]] = [
    # an entry with an index is one layer for each that is found, in numeric order, gaps closed
    (["blocks.{i}"], {"blocks.0.norm.bias": 0, "blocks.2.linear.bias": 1, "blocks.10.norm.bias": 2, "token": None}, 3),
    (["embeddings", "blocks.{i}", "head"], {"embeddings.weight": 0, "blocks.10.norm.bias": 3, "head.bias": 4}, 5),
    (["head", "blocks.{i}"], {"head.bias": 0, "blocks.0.norm.bias": 1, "blocks.10.norm.bias": 3}, 4),
    # an entry may name a parameter, or several patterns in a list
    (["token", "blocks"], {"token": 0, "blocks.0.norm.bias": 1, "blocks.10.norm.bias": 1, "scale": None}, 2),
    ([["token", "embeddings", "patch"], "blocks.{i}"], {"token": 0, "patch.bias": 0, "blocks.0.norm.bias": 1}, 4),
    # the first entry that covers it; the last takes the rest
    (["blocks.2", "blocks.{i}", "**"], {"blocks.2.norm.bias": 0, "blocks.0.norm.bias": 1, "blocks.10.norm.bias": 2}, 4),
    (["**"], dict.fromkeys(("token", "head.bias", "blocks.0.norm.bias"), 0), 1),
    (["blocks.{i}.norm", "blocks.{i}"], {"blocks.10.norm.bias": 2, "blocks.0.linear.bias": 3}, 6),
    # frozen parameters count
    (["buffer", "head"], {"head.bias": 1, "token": None}, 2),
]


@pytest.mark.parametrize(("layers", "some", "count"), LAYERS, ids=[str(each[0]) for each in LAYERS])
def test_layers(layers: list[Any], some: dict[str, int | None], count: int) -> None:
    found, many = layer_of(layers)
    assert {name: found[name] for name in some} == some
    assert many == count


@pytest.mark.parametrize("layers", [["nothing", "**"], ["**", "head"], ["blocks.{i}", "blocks.2"], ["embeddings.{i}"]])
def test_an_entry_that_covers_nothing_is_an_error(layers: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(layers=layers)
    assert [each.code for each in caught.value.diagnostics] == ["OP208"]


def test_indices_of_any_length_are_read_in_linear_time() -> None:
    from optplan.resolve.network import from_names  # noqa: PLC0415 - only here

    numbers = ["3", "000012", "9" * 5000, "\uff11\uff12", "²"]
    entries = [(f"blocks.{number}.weight", (1,), "float32") for number in numbers]
    document = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 1},
        "layers": ["blocks.{i}"],
        "rules": [{"where": "layer >= 0", "lr": "5 + layer"}],
    }
    plan = optplan.plan(document, from_names(entries))
    rates = [plan.parameter(f"blocks.{number}.weight").settings["lr"] for number in numbers]
    assert rates == [5.0, 6.0, 1.0, 1.0, 1.0]


def test_of_several_indices_the_one_nearest_the_root_counts() -> None:
    from optplan.resolve.network import from_names  # noqa: PLC0415 - only here

    names = [f"stages.{stage}.blocks.{block}.weight" for stage in (0, 1, 2) for block in (1, 0, 7)]
    entries = [(name, (1,), "float32") for name in names]
    for pattern in (".{i}", "**.{i}", "**.{i}.**", "**.{i}.**.weight", "*.{i}.**"):
        document = {
            "optplan": 1,
            "optimizer": {"type": "sgd", "lr": 1},
            "layers": [pattern],
            "rules": [{"where": "all", "lr": "layer"}],
        }
        plan = optplan.plan(document, from_names(entries))
        assert [plan.parameter(name).settings["lr"] for name in names] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3, pattern


def test_without_layers_there_is_none_to_ask_for() -> None:
    for value in ("layers", "layer", "0.75 ** (layers - 1 - layer)"):
        with pytest.raises(ConfigError) as caught:
            planned({"where": "blocks", "lr": value})
        assert {each.code for each in caught.value.diagnostics} == {"OP304"}
