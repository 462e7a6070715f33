"""Networks that people train: every parameter of theirs has an owner, a name and one group."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import TYPE_CHECKING

import mindcv.models
import pytest
from mindspore import nn
from mindspore.nn.utils import no_init_parameters

import optplan
from optplan.targets.mindspore.view import view

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

# Trained elements, as the papers' reference implementations and torchvision's tables publish them.
ELEMENTS = {
    "resnet18": 11_689_512,
    "vit_b_16_224": 86_567_656,
    "convnext_tiny": 28_589_128,
    "swin_tiny": 28_288_354,
    "mobilenet_v2_100": 3_504_872,
}
NORMS = (nn.BatchNorm2d, nn.LayerNorm)
SETS = {"no_decay": "norm or bias or embedding"}
CONFIG = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": 1.0, "weight_decay": 0.05},
    "sets": SETS,
    "rules": [
        {"where": "no_decay", "weight_decay": 0},
        {"where": "linear and ndim == 2", "momentum": 0.9},
        {"where": "conv and not bias", "lr": "base / sqrt(fan_in)"},
        {"where": "depthwise", "lr": "0.5x", "optional": True},
    ],
}


@cache
def network(name: str) -> nn.Cell:
    """The network, without values where its maker does not compute with them."""
    make = getattr(mindcv.models, name)
    if name == "convnext_tiny":
        return make()
    with no_init_parameters():
        return make()


def attributes_of(cell: nn.Cell, kinds: type | tuple[type, ...], *attributes: str) -> list[int]:
    """By MindSpore's own walk: the identities of these parameters of the Cells of these classes."""
    owners = [each for _, each in cell.cells_and_names() if isinstance(each, kinds)]
    found = [getattr(each, attribute, None) for each in owners for attribute in attributes]
    return sorted(id(each) for each in found if each is not None)


def identities(cell: nn.Cell, where: str) -> list[int]:
    """The parameters that a filter selects."""
    rules = [{"where": where, "lr": 0.5, "optional": True}]
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0}, "rules": rules}, cell)
    by_name = dict(zip(plan.names, view(cell).parameters, strict=True))
    return [id(by_name[name]) for group in plan.groups if group.settings["lr"] == 0.5 for name in group.parameters]


@pytest.mark.parametrize("name", ELEMENTS)
def test_each_trainable_parameter_is_in_one_group(name: str) -> None:
    cell = network(name)
    trained = cell.trainable_params()
    seen = view(cell)
    plan = optplan.plan(CONFIG, cell)
    grouped = [each for group in plan.groups for each in group.parameters]
    assert len(grouped) == len(set(grouped)) == len(trained)
    by_name = dict(zip(seen.network.names, seen.parameters, strict=True))
    assert len(by_name) == len(seen.parameters)
    assert {id(by_name[each]) for each in grouped} == {id(each) for each in trained}
    assert sum(prod(each.shape) for each in trained) == sum(group.numel for group in plan.groups) == ELEMENTS[name]
    # Those without a gradient stay visible, except the statistics of norms.
    statistics = attributes_of(cell, nn.BatchNorm2d, "moving_mean", "moving_variance")
    shown = {id(each) for each in seen.parameters}
    assert sorted(id(each) for each in cell.get_parameters() if id(each) not in shown) == statistics


@pytest.mark.parametrize("name", ELEMENTS)
def test_families_are_those_of_the_classes(name: str) -> None:
    cell = network(name)
    for where, kinds, attributes in (
        ("scale", NORMS, ("gamma",)),
        ("norm and bias", NORMS, ("beta",)),
        ("norm", NORMS, ("gamma", "beta")),
        ("conv", nn.Conv2d, ("weight", "bias")),
        ("linear", nn.Dense, ("weight", "bias")),
        ("linear and bias", nn.Dense, ("bias",)),
    ):
        expected = attributes_of(cell, kinds, *attributes)
        assert expected, where
        assert sorted(identities(cell, where)) == expected, where


@pytest.mark.parametrize(
    ("name", "where", "count"),
    [
        # 17 of 52 convolutions of MobileNetV2 are depthwise, and one in each of ConvNeXt-T's 3 + 3 + 9 + 3 blocks,
        # which have a weight and a bias, as in the papers
        ("mobilenet_v2_100", "depthwise", 17),
        ("mobilenet_v2_100", "conv", 52),
        ("convnext_tiny", "depthwise", 2 * 18),
        # what its paper calls LayerScale
        ("convnext_tiny", ".gamma_", 18),
        # 1 + 16 + 3 convolutions, each with a norm
        ("resnet18", "conv", 20),
        ("resnet18", "/\\.gamma$/", 20),
        ("resnet18", "depthwise", 0),
        # two norms in each of the 12 layers, and a last one
        ("vit_b_16_224", "scale", 2 * 12 + 1),
        ("vit_b_16_224", "pos_embed or cls_token", 2),
        # one table in each of 2 + 2 + 6 + 2 blocks
        ("swin_tiny", ".relative_position_bias_table", 12),
    ],
)
def test_counts_that_the_papers_give(name: str, where: str, count: int) -> None:
    assert len(identities(network(name), where)) == count


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_manifest_has_the_plan_of_the_network(name: str, tmp_path: Path) -> None:
    cell = network(name)
    file = tmp_path / "net.params.json"
    optplan.network(cell).write(file)
    assert optplan.plan(CONFIG, file) == optplan.plan(CONFIG, cell)
