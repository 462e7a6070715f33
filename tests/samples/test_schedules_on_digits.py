"""Training on digits under published schedules: what the optimizer uses at each update is what the plan says."""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import optplan

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parents[2] / "samples"
UPDATES = 30
RECIPES = {
    "one_cycle": ('layers=[embeddings, ".layers.{i}", "**"]',),  # the file says that they are to be renamed
    "wsd": (),
}


@pytest.fixture(scope="module", autouse=True)
def digits() -> Iterator[Any]:
    """The sample's own data; its networks can be imported."""
    sys.path.insert(0, str(SAMPLES / "digits"))
    try:
        yield import_module("data").load()
    finally:
        sys.path.remove(str(SAMPLES / "digits"))


def check_training(framework: Any, recipe: str, digits: Any) -> None:
    """Train the transformer, and compare every update's rates with the plan's."""
    config = optplan.load(SAMPLES / "recipes" / f"{recipe}.optim.yaml", overrides=RECIPES[recipe])
    model = framework.build("vit", 0)
    compiled = optplan.compile(config, model, steps=UPDATES)
    learn = framework.learner(model, compiled)
    losses, rates = [], []
    for t, batch in enumerate(islice(digits.batches(UPDATES, seed=0), UPDATES)):
        now = compiled.lr()
        assert now == {group.name: compiled.plan.value(group.parameters[0], "lr", t) for group in compiled.plan.groups}
        rates.append(max(now.values()))
        losses.append(learn(*batch))
    assert len(set(rates)) > 3, "the schedule shows"
    assert np.mean(losses[-5:]) < losses[0]


@pytest.mark.parametrize("recipe", RECIPES)
def test_torch_trains_at_the_rates_of_the_plan(recipe: str, digits: Any) -> None:
    check_training(import_module("in_torch"), recipe, digits)


@pytest.mark.mindspore
@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_mindspore_trains_at_the_rates_of_the_plan(recipe: str, digits: Any) -> None:
    check_training(import_module("in_mindspore"), recipe, digits)
