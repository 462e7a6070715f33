"""Twin networks, one file and the same gradients: the same weights after some updates, whose plan was bound too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import nn as cells
from torch import nn

import optplan
from optplan.targets.mindspore.view import view as view_of_cell
from optplan.targets.torch.view import view as view_of_module
from tests.twins import in_mindspore, in_torch
from tests.twins.files import FILES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = pytest.mark.mindspore

UPDATES = 4
# Factored over the last two dimensions, which a convolution over one dimension has elsewhere in MindSpore
FACTORED = "optimizer: {type: adafactor, lr: 0.05, weight_decay: 0.1}\n"
PLAIN = "optimizer: {type: adamw, lr: 0.01}\nschedule: {lr: warmup(2) -> cosine()}\n"

Weights = dict[str, "NDArray[np.float32]"]


def document(text: str) -> optplan.Config:
    return optplan.loads(f"optplan: 1\n{text}")


def drawn(name: str, shape: tuple[int, ...], update: int = 0) -> NDArray[np.float32]:
    """A weight, or its gradient at an update: the same for both."""
    seed = [update, *name.encode()]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def trained_module(plan: optplan.Plan, module: nn.Module) -> Weights:
    """The weights of a module after the updates."""
    network, parameters, *_ = view_of_module(module)
    named = dict(zip(network.names, parameters, strict=True))
    for name, parameter in named.items():
        parameter.data.copy_(torch.from_numpy(drawn(name, tuple(parameter.shape))))
    optimizer, scheduler = plan.bind(module)
    for update in range(1, UPDATES + 1):
        for name, parameter in named.items():
            if parameter.requires_grad:
                parameter.grad = torch.from_numpy(drawn(name, tuple(parameter.shape), update))
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return {name: parameter.detach().numpy().copy() for name, parameter in named.items()}


def trained_cell(plan: optplan.Plan, cell: cells.Cell) -> Weights:
    """The same of a Cell, by the canonical names and in the shapes of the plan."""
    network, parameters = view_of_cell(cell)
    names = {id(each): name for name, each in zip(network.names, parameters, strict=True)}
    shapes = dict(zip(network.names, network.shapes, strict=True))
    for each in parameters:
        name = names[id(each)]
        each.set_data(ms.Tensor(drawn(name, shapes[name]).reshape(each.shape)))
    optimizer = plan.bind(cell).optimizer
    for update in range(1, UPDATES + 1):
        gradients = []
        for each in optimizer.parameters:
            name = names[id(each)]
            gradients.append(ms.Tensor(drawn(name, shapes[name], update).reshape(each.shape)))
        optimizer(tuple(gradients))
    return {names[id(each)]: each.asnumpy().reshape(shapes[names[id(each)]]) for each in parameters}


@pytest.mark.parametrize("crossed", [False, True], ids=["its own plan", "the twin's plan"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (FILES["convolutions apart"].text, "residual"),
        (FILES["frozen"].text, "transformer"),
        (FACTORED, "recurrent"),
        (FILES["tables"].text, "embedding"),
    ],
)
def test_twins_are_trained_alike(text: str, kind: str, *, crossed: bool) -> None:
    module, cell = in_torch.NETWORKS[kind](), in_mindspore.NETWORKS[kind]()
    plans = [optplan.plan(document(text), network, steps=UPDATES) for network in (module, cell)]
    if crossed:
        plans.reverse()
    expected = trained_module(plans[0], module)
    found = trained_cell(plans[1], cell)
    assert list(found) == list(expected)
    moved = {name for name, weight in expected.items() if not np.array_equal(weight, drawn(name, weight.shape))}
    assert moved == {name for group in plans[0].groups for name in group.parameters}
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("build", "build_cell"),
    [
        (lambda: nn.Conv1d(4, 6, 3), lambda: cells.Conv1d(4, 6, 3, has_bias=True)),
        (lambda: nn.ConvTranspose1d(4, 6, 3), lambda: cells.Conv1dTranspose(4, 6, 3, has_bias=True)),
        (lambda: nn.Conv1d(4, 4, 3, groups=4), lambda: cells.Conv1d(4, 4, 3, group=4, has_bias=True)),
        # A kernel of one row is one of one row to either framework
        (lambda: nn.Conv2d(4, 6, (1, 3)), lambda: cells.Conv2d(4, 6, (1, 3), has_bias=True)),
    ],
)
def test_adafactor_factors_a_kernel_over_one_dimension_as_pytorch_has_it(
    build: Callable[[], nn.Module], build_cell: Callable[[], cells.Cell]
) -> None:
    module, cell = nn.Sequential(build(), nn.Linear(3, 2)), cells.SequentialCell(build_cell(), cells.Dense(3, 2))
    expected = trained_module(optplan.plan(document(FACTORED), module), module)
    found = trained_cell(optplan.plan(document(FACTORED), cell), cell)
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=1e-5, atol=1e-6, err_msg=name)


def test_weights_go_over_in_the_shapes_of_the_plan() -> None:
    """What PyTorch saved of a convolution over one dimension is written into the Cell as it is."""
    module, cell = in_torch.NETWORKS["recurrent"](), in_mindspore.NETWORKS["recurrent"]()
    saved: dict[str, Any] = {name: each.detach().numpy() for name, each in module.named_parameters()}
    optplan.compile(document(PLAIN), cell, steps=UPDATES).load_weights(saved)
    assert cell.mix.weight.shape == (8, 8, 1, 3)
    for name, each in cell.parameters_and_names():
        canonical = name.replace("embedding_table", "weight")
        assert np.array_equal(each.asnumpy().reshape(saved[canonical].shape), saved[canonical])
