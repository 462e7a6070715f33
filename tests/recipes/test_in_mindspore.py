"""The recipes in MindSpore: the same plan by the same file, and the same weights after three updates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from optplan.targets.mindspore.view import view
from tests.recipes.cells import mirrored
from tests.recipes.detection import sam2, vitdet
from tests.recipes.language import gpt2, llava
from tests.recipes.recipe import Parts
from tests.recipes.test_recipes import README, RECIPES, file_of, near, parameters_of
from tests.recipes.vision import convnext, dinov2, vit

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.mindspore, pytest.mark.long_in_graph]

# MindSpore's first call takes its time with each parameter, and more with each group
SMALLER: dict[str, Callable[[], nn.Module]] = {
    "nanogpt": partial(gpt2, 2),
    "llava_lora": partial(llava, 2),
    "llava_lora_plus": partial(llava, 2),
    "mae_vit_base": partial(vit, 3),
    "convnext_base": partial(convnext, whole=False),
    "dinov2": partial(dinov2, 3),
    "sam2.1": partial(sam2, 3),
    "vitdet_base": partial(vitdet, 3),
}
UPDATES = 3
SPACING = float(np.finfo(np.float32).eps)


# Two groups, several optimizers, a policy in a rule, MindSpore's own recipe: the others are among the long tests
ALWAYS = {"nanogpt", "moonlight", "ulmfit", "resnet50_mindspore"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.long]) for name in RECIPES]
)
def test_plans_and_weights_are_those_of_pytorch(name: str) -> None:
    torch.manual_seed(0)
    network = SMALLER.get(name, RECIPES[name].network)()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.02)
    cell = mirrored(network)
    plan, twin = optplan.plan(file_of(name), network), optplan.plan(file_of(name), cell)
    assert twin.diagnostics == ()
    assert twin.fingerprint == plan.fingerprint

    optimizer, scheduler = plan.bind(network)
    in_cells = twin.bind(cell)
    seen = view(cell)
    names = {id(each): word for word, each in zip(seen.network.names, seen.parameters, strict=True)}
    trained = {each.name: each.parameter for each in parameters_of(network)}
    before = {word: each.detach().numpy().copy() for word, each in trained.items()}
    assert sorted(names[id(each)] for each in in_cells.parameters) == sorted(trained)

    # A fixed scale that drops nothing is the optimizer's to take out
    carried = plan.loss_scale is not None and not plan.loss_scale.drops
    factor = np.float32(plan.loss_scale.init if carried and plan.loss_scale is not None else 1.0)
    numbers = np.random.default_rng(0)
    for t in range(UPDATES):
        gradients = {word: numbers.standard_normal(each.shape).astype(np.float32) for word, each in trained.items()}
        for word, each in trained.items():
            each.grad = torch.from_numpy(gradients[word])
            assert in_cells.lr_of(word) == near(plan.value(word, "lr", t)), (word, t)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        in_cells.optimizer(tuple(ms.Tensor(factor * gradients[names[id(each)]]) for each in in_cells.parameters))
    for each in in_cells.parameters:
        word = names[id(each)]
        found, expected = each.asnumpy(), trained[word].detach().numpy()
        # PyTorch's Muon computes in bfloat16, which has eight bits
        part = 2e-2 if plan.parameter(word).optimizer == "muon" else 1e-5
        change, rounding = np.abs(expected - before[word]).max(), 4 * SPACING * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=part * change + rounding, err_msg=word)


def test_lamb_is_refused_where_it_is_not() -> None:
    network = Parts(output=Parts(dense=nn.Linear(4, 4), layernorm=nn.LayerNorm(4)))
    for refused, words in (
        (network, "`mindspore.Lamb` cannot be carried out on torch"),
        (mirrored(network), "`mindspore.nn.Lamb` does not run on CPU"),
    ):
        with pytest.raises(ConfigError) as caught:
            optplan.compile(file_of("bert_mindspore"), refused)
        assert {fault.code for fault in caught.value.diagnostics} == {"OP501"}
        assert all(words in fault.message for fault in caught.value.diagnostics)
        assert f'"{words}"' in README.read_text(encoding="utf-8")
