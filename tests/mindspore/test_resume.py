"""Saving network and optimizer by MindSpore's own means, as the README has it: going on equals not having stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

import optplan
from tests.mindspore.training import CLASSES, WIDTH, training, weights

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mindspore

ONE: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 0.01},
    "schedule": {"lr": "warmup(3) -> cosine()"},
    "horizon": {"steps": 12},
}
SEVERAL: dict[str, Any] = {
    **ONE,
    "optimizers": {"first": {"type": "sgd", "lr": 0.1, "momentum": 0.9}},
    "rules": [{"where": "0", "use": "first"}, {"where": "norm or bias", "weight_decay": 0}],
}


def network() -> nn.Cell:
    """A network with statistics, whose weights are the same at every call."""
    made = nn.SequentialCell(nn.Dense(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dense(WIDTH, CLASSES))
    generator = np.random.default_rng(1)
    for parameter in made.trainable_params():
        parameter.set_data(ms.Tensor(generator.standard_normal(parameter.shape), ms.float32))
    return made


@pytest.mark.parametrize("config", [ONE, SEVERAL], ids=["one", "several"])
def test_going_on_equals_not_having_stopped(config: dict[str, Any], tmp_path: Path) -> None:
    whole = network()
    training("one_step_cell", whole, optplan.compile(config, whole).optimizer)(10)

    first = network()
    compiled = optplan.compile(config, first)
    training("one_step_cell", first, compiled.optimizer)(5)
    ms.save_checkpoint(first, str(tmp_path / "network.ckpt"))
    ms.save_checkpoint(compiled.optimizer, str(tmp_path / "optimizer.ckpt"))

    second = network()
    resumed = optplan.compile(config, second)
    ms.load_param_into_net(second, ms.load_checkpoint(str(tmp_path / "network.ckpt")))
    ms.load_param_into_net(resumed.optimizer, ms.load_checkpoint(str(tmp_path / "optimizer.ckpt")))
    assert resumed.lr() == compiled.lr()
    training("one_step_cell", second, resumed.optimizer)(5)
    for one, other in zip(weights(whole), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
