"""The four ways to train with a compiled optimizer give the same weights."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

import optplan
from tests.mindspore.training import USES, deep, training, weights

pytestmark = pytest.mark.mindspore

ONE = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "schedule": {"lr": "warmup(3) -> cosine()"},
    "horizon": {"steps": 12},
}
SEVERAL = {
    **ONE,
    "optimizers": {"inner": {"type": "adamw", "lr": 0.01}},
    "rules": [
        {"where": "blocks and linear", "use": "inner"},
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "head", "lr": "0.5x", "momentum": 0.5},
    ],
}
LAYERED = {
    **ONE,
    "optimizer": {"type": "adamw", "lr": 0.01},
    "layers": ["blocks.{i}", "head"],
    "rules": [
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "all", "lr": "base * 0.9 ** (layers - 1 - layer)"},
    ],
}


@pytest.mark.parametrize(
    ("config", "blocks", "groups", "members"),
    [
        pytest.param(ONE, 2, 1, 1, id="one"),
        pytest.param(SEVERAL, 2, 5, 5, id="several"),
        pytest.param(LAYERED, 2, 6, 6, id="layered", marks=pytest.mark.long_in_graph),
        pytest.param(LAYERED, 9, 20, 1, id="many groups", marks=pytest.mark.long_in_graph),
    ],
)
def test_every_use_gives_the_same_weights(config: dict[str, object], blocks: int, groups: int, members: int) -> None:
    """`members` counts native optimizers: beyond sixteen groups, those that differ in rate and decay share one."""
    found = {}
    for use in USES:
        network = deep(blocks)
        compiled = optplan.compile(config, network)
        assert len(compiled.plan.groups) == groups
        assert len(getattr(compiled.optimizer, "members", [compiled.optimizer])) == members
        train = training(use, network, compiled.optimizer)
        before = weights(network)
        train(5)
        found[use] = weights(network)
        assert compiled.lr() == {group.name: group.value("lr", 5) for group in compiled.plan.groups}
        assert all(np.any(one != other) for one, other in zip(before, found[use], strict=True))
    for use in USES[1:]:
        for one, other in zip(found[USES[0]], found[use], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_parameters_are_in_the_order_of_the_network() -> None:
    for blocks in (2, 9):
        network = deep(blocks)
        compiled = optplan.compile(LAYERED, network)
        assert [id(each) for each in compiled.parameters] == [id(each) for each in network.get_parameters()]


def test_what_is_frozen_is_left_out_and_stays() -> None:
    network = deep()
    network.blocks[0].norm.gamma.requires_grad = False
    config = {
        **ONE,
        "rules": [{"where": "head", "freeze": True}, {"where": "blocks.0.norm", "freeze": False}],
    }
    compiled = optplan.compile(config, network)
    assert not network.head.weight.requires_grad
    assert network.blocks[0].norm.gamma.requires_grad
    before = dict(zip(compiled.plan.names, weights(network), strict=True))
    training("one_step_cell", network, compiled.optimizer)(5)
    after = dict(zip(compiled.plan.names, weights(network), strict=True))
    still = {name for name, value in before.items() if np.array_equal(value, after[name])}
    assert still == {"head.weight", "head.bias"} == set(compiled.plan.frozen)


def test_too_many_gradients_are_refused() -> None:
    """A member would take its part of them from the wrong places."""
    network = deep()
    compiled = optplan.compile({**SEVERAL, "rules": [*SEVERAL["rules"], {"where": "norm", "freeze": True}]}, network)  # type: ignore[misc]  # a list
    gradients = tuple(ops.zeros_like(parameter) for parameter in network.get_parameters())
    with pytest.raises(ValueError, match=r"takes 6 gradients, one for each of its `parameters`"):
        compiled.optimizer(gradients)


def _half(kind: str, dtype: ms.Type) -> optplan.Compiled:
    cell = nn.Cell()
    cell.weight = Parameter(Tensor(np.array([[0.5, -1.0], [2.0, 4.0]]), dtype), name="weight")
    return optplan.compile({"optplan": 1, "optimizer": {"type": kind, "lr": 0.1}}, cell)


@pytest.mark.parametrize("kind", ["sgd", "mindspore.Adam"])
def test_stock_classes_train_half_precision_weights(kind: str) -> None:
    """As those of float32 are, to the three digits that float16 has."""
    found = []
    for dtype in (ms.float32, ms.float16):
        compiled = _half(kind, dtype)
        for _ in range(3):
            compiled.optimizer((Tensor(np.array([[1.0, -0.5], [0.25, 2.0]]), dtype),))
        found.append(compiled.parameters[0].asnumpy().astype(np.float32))
    assert np.any(found[0] != [[0.5, -1.0], [2.0, 4.0]])
    np.testing.assert_allclose(found[1], found[0], rtol=5e-3)


@pytest.mark.parametrize("kind", ["adamw", "rmsprop"])
def test_our_own_refuse_them(kind: str) -> None:
    with pytest.raises(optplan.ConfigError, match=f"cannot be trained by `{kind}` on mindspore: it is of type float16"):
        _half(kind, ms.float16)
