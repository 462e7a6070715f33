"""The recipes in MindSpore: the same plan by the same file, and the same weights after three updates."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
import torch

import optplan
from optplan.targets.mindspore.view import view
from tests.recipes.cells import mirrored
from tests.recipes.detection import DETECTION
from tests.recipes.test_recipes import file_of, near, parameters_of
from tests.recipes.vision import VISION

pytestmark = pytest.mark.mindspore

# ViTDet's file names classes of PyTorch; the networks of language are those of transformers
RECIPES = {name: recipe for name, recipe in {**VISION, **DETECTION}.items() if name != "vitdet_base"}
# MindSpore's first call takes its time where there are many groups
SLOW = {"convnext_base", "dinov2", "sam2.1"}
EVERY = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in RECIPES]
)
UPDATES = 3


@EVERY
def test_plans_and_weights_are_those_of_pytorch(name: str) -> None:
    torch.manual_seed(0)
    recipe = RECIPES[name]
    network = recipe.network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    cell = mirrored(network)
    plan, twin = optplan.plan(file_of(name), network), optplan.plan(file_of(name), cell)
    assert twin.diagnostics == ()
    assert twin.fingerprint == plan.fingerprint

    compiled = plan.bind(network)
    optimizer, scheduler = compiled
    in_cells = twin.bind(cell)
    seen = view(cell)
    names = {id(parameter): word for word, parameter in zip(seen.network.names, seen.parameters, strict=True)}
    trained = {each.name: each for each in parameters_of(network)}
    assert sorted(names[id(each)] for each in in_cells.parameters) == sorted(trained)

    numbers = np.random.default_rng(0)
    for t in range(UPDATES):
        gradients = {}
        for word, each in trained.items():
            gradients[word] = numbers.standard_normal(each.parameter.shape).astype(np.float32)
            each.parameter.grad = torch.from_numpy(gradients[word])
            for key, value in recipe.values(each, t).items():
                if key == "lr":
                    assert in_cells.lr_of(word) == near(value), (word, t)
        optimizer.step()
        scheduler.step()
        in_cells.optimizer(tuple(ms.Tensor(gradients[names[id(each)]]) for each in in_cells.parameters))
    for each in in_cells.parameters:
        word = names[id(each)]
        expected = trained[word].parameter.detach().numpy()
        np.testing.assert_allclose(each.asnumpy(), expected, rtol=1e-5, atol=1e-6, err_msg=word)
