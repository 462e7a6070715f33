"""Every published recipe: its file gives each parameter what the published rule gives it, at every breakpoint."""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

import optplan
from tests.recipes.detection import DETECTION
from tests.recipes.language import LANGUAGE
from tests.recipes.recipe import Recipe, Seen
from tests.recipes.vision import VISION

if TYPE_CHECKING:
    from torch import nn

    from tests.recipes.recipe import Settings

RECIPES = {**LANGUAGE, **VISION, **DETECTION}
FILES = Path(__file__).parents[2] / "samples" / "recipes"
README = FILES / "README.md"

# Planned on a network of MindSpore, in a module of its own
ELSEWHERE = {"bert_mindspore"}

EVERY = pytest.mark.parametrize("name", RECIPES)


def near(value: Any) -> Any:
    """What differs from `value` by rounding only."""
    return pytest.approx(value, rel=1e-12, abs=1e-18)


def file_of(name: str) -> Path:
    return FILES / f"{name}.optim.yaml"


def parameters_of(network: nn.Module) -> list[Seen]:
    """What is trained, in order; of a tied parameter its first name."""
    return [
        Seen(name, parameter, network.get_submodule(name.rpartition(".")[0]))
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    ]


def whole(settings: Settings) -> dict[str, object]:
    """Published settings, with PyTorch's own defaults for what was not said."""
    cls, said = settings
    defaults = {key: each.default for key, each in inspect.signature(cls).parameters.items() if key != "params"}
    assert set(said) <= set(defaults), "the published settings themselves"
    return defaults | said


@cache
def planned(name: str) -> tuple[optplan.Plan, Recipe, list[Seen]]:
    recipe = RECIPES[name]
    with torch.device("meta"):
        network = recipe.network()
    return optplan.plan(file_of(name), network), recipe, parameters_of(network)


def test_every_file_is_under_test() -> None:
    assert {path.name.removesuffix(".optim.yaml") for path in FILES.glob("*.yaml")} == {*RECIPES, *ELSEWHERE}


def test_the_table_says_where_each_is_stepped() -> None:
    found: dict[str, list[str]] = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        names = re.findall(r"\[([\w.]+)\]\(\1\.optim\.yaml\)", line)
        found |= {name: [cell.strip() for cell in line.split("|")[-3:-1]] for name in names}
    assert found.keys() == {*RECIPES, *ELSEWHERE}
    assert {name for name, cells in found.items() if cells == ["yes", "yes"]} == set(RECIPES)


@EVERY
def test_nothing_is_to_be_said(name: str) -> None:
    plan, _, _ = planned(name)
    assert plan.diagnostics == ()
    assert plan.frozen == ()


@EVERY
def test_every_parameter_has_the_published_settings(name: str) -> None:
    plan, recipe, parameters = planned(name)
    for seen in parameters:
        cls, _ = published = recipe.settings(seen)
        found = plan.parameter(seen.name)
        assert found.optimizer is not None
        kind = found.optimizer if found.optimizer != "hidden" else "muon"
        assert kind == cls.__name__.lower(), seen.name
        expected = whole(published)
        for key, value in found.settings.items():
            assert value == (near(expected[key]) if isinstance(value, float) else expected[key]), (seen.name, key)


@EVERY
def test_every_parameter_follows_the_published_curve(name: str) -> None:
    plan, recipe, parameters = planned(name)
    for t in recipe.updates:
        for seen in parameters:
            for key, value in recipe.values(seen, t).items():
                assert plan.value(seen.name, key, t) == near(value), (seen.name, key, t)


@EVERY
def test_groups_are_as_few_as_the_published_values_allow(name: str) -> None:
    plan, recipe, parameters = planned(name)
    # Twelve digits: the published code and ours may round apart
    different = {
        (
            recipe.settings(seen)[0],
            *(
                (key, f"{value:.12e}" if isinstance(value, float) else value)
                for key, value in whole(recipe.settings(seen)).items()
            ),
            *(f"{value:.12e}" for t in recipe.updates for value in recipe.values(seen, t).values()),
        )
        for seen in parameters
    }
    assert len(plan.groups) == len(different)
    assert sorted(name for group in plan.groups for name in group.parameters) == sorted(s.name for s in parameters)


@EVERY
def test_training_uses_the_published_values(name: str) -> None:
    """The first three updates in PyTorch, with any gradients; a parameter moves unless its learning rate is 0."""
    recipe = RECIPES[name]
    torch.manual_seed(0)
    network = recipe.network()
    compiled = optplan.compile(file_of(name), network)
    optimizer, scheduler = compiled
    parameters = parameters_of(network)
    seen_by = {id(seen.parameter): seen for seen in parameters}
    with torch.no_grad():
        for seen in parameters:
            seen.parameter.normal_()
    for t in range(3):
        before = {seen.name: seen.parameter.detach().clone() for seen in parameters}
        for seen in parameters:
            seen.parameter.grad = torch.randn_like(seen.parameter)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                for key, value in recipe.values(seen_by[id(parameter)], t).items():
                    word, _, place = key.rstrip("]").partition("[")
                    found = group[word][int(place)] if place else group[word]
                    assert found == near(value), (seen_by[id(parameter)].name, key, t)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        for seen in parameters:
            moved = not torch.equal(before[seen.name], seen.parameter)
            # a rate of 1e-7 and less is lost in float32
            if (rate := recipe.values(seen, t)["lr"]) == 0.0 or rate > 1e-6:
                assert moved == (rate > 0.0), (seen.name, t)


def test_nanogpt_decays_the_tensors_that_it_says() -> None:
    """The whole network with biases: two tables and four matrices of each of twelve blocks decay, all else does not."""
    config = transformers.GPT2Config(vocab_size=50304)
    with torch.device("meta"):
        network = transformers.GPT2LMHeadModel(config)
    counts = {
        group.settings["weight_decay"]: (len(group.parameters), group.numel)
        for group in optplan.plan(file_of("nanogpt"), network).groups
    }
    width = 768
    decayed = 50304 * width + 1024 * width + 12 * 12 * width**2
    flat = 12 * (2 * 2 + 3 + 1 + 4 + 1) * width + 2 * width
    assert (decayed, flat) == (124_354_560, 121_344)
    assert counts == {0.1: (2 + 12 * 4, decayed), 0.0: (12 * 8 + 2, flat)}


@pytest.mark.parametrize(
    ("name", "clip", "scale"),
    [
        ("nanogpt", "norm(1.0)", None),
        ("resnet50_nvidia", None, "fixed(128, drop_overflow=true)"),
        ("resnet50_mindspore", None, "fixed(1024, drop_overflow=false)"),
        ("detr", "norm(0.1)", None),
        ("swin_tiny", "norm(5.0)", None),
        ("dinov2", "norm(3.0)", None),
        ("sam2.1", "norm(0.1)", None),
        ("mae_vit_base", None, None),
        ("yolov5", None, None),
    ],
)
def test_gradients_are_limited_and_losses_scaled_as_published(name: str, clip: str | None, scale: str | None) -> None:
    plan = optplan.plan(file_of(name), RECIPES[name].network())
    found = [None if each is None else str(each) for each in (plan.clip, plan.loss_scale)]
    assert found == [clip, scale]
