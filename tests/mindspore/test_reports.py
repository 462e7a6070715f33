"""What is reported reaches the optimizers of MindSpore: compiled steps, what `Compiled` tells, checkpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest

import optplan
from tests.agreement.cells import Numbers
from tests.mindspore.training import USES, deep, training, weights

if TYPE_CHECKING:
    from pathlib import Path

    from mindspore import nn

pytestmark = pytest.mark.mindspore

FALLS = "plateau(metric=loss, factor=0.5, patience=0)"
SEVERAL = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "optimizers": {"inner": {"type": "adamw", "lr": 0.01, "weight_decay": 0.1}},
    "rules": [{"where": "blocks and linear", "use": "inner"}, {"where": "head", "lr": "0.5x"}],
}
LAYERED = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "layers": ["blocks.{i}", "head"],
    "rules": [
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "all", "lr": "base * 0.9 ** (layers - 1 - layer)"},
    ],
}


MANY = pytest.param(LAYERED, 9, "one_step_cell", id="many groups", marks=pytest.mark.long_in_graph)
STEPS = [*(pytest.param(SEVERAL, 2, use, id=use) for use in USES), MANY]


@pytest.mark.parametrize(("config", "blocks", "use"), STEPS)
def test_a_compiled_step_uses_what_is_reported(config: dict[str, Any], blocks: int, use: str) -> None:
    """Three updates, two reports that make a reduction, three updates: as with a policy that knew of it."""
    found = {}
    for policy in (FALLS, "piecewise(at=[3], values=[1x, 0.5x])", "hold()"):
        network = deep(blocks)
        compiled = optplan.compile({**config, "schedule": {"lr": policy, "weight_decay": policy}}, network)
        train = training(use, network, compiled.optimizer)
        train(3)
        if policy == FALLS:
            compiled.report(loss=1.0)
            compiled.report(loss=1.0)
            native = compiled.optimizer.get_lr()
            told = {group.name: group.own("lr") / 2 for group in compiled.plan.groups}
            assert compiled.lr() == told
            rates = {float(np.float32(rate)) for rate in told.values()}
            assert {float(each.asnumpy()) for each in native} == rates
        train(3)
        found[policy] = weights(network)
    fell, knew, stayed = found.values()
    for one, other in zip(fell, knew, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(fell, stayed, strict=True))


def test_settings_tell_what_has_been_reported() -> None:
    written = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "betas": [0.5, 0.999], "weight_decay": 0.5},
        "schedule": {"betas[0]": FALLS, "weight_decay": "plateau(metric=loss, patience=0, to=0.2)"},
    }
    compiled = optplan.compile(written, Numbers(1))
    for _ in range(3):
        compiled.report(loss=1.0)
    (settings,) = compiled.settings().values()
    (group,) = compiled.param_groups
    assert settings["betas"] == group["betas"] == (0.125, 0.999)
    assert settings["weight_decay"] == group["weight_decay"] == 0.2
    assert float(compiled.optimizer.get_weight_decay()[0].asnumpy()) == pytest.approx(0.2)


# The levels are parameters of the optimizer, and none that it trains


def test_levels_are_parameters_of_their_own() -> None:
    written = {**SEVERAL, "schedule": {"lr": FALLS, "weight_decay": FALLS, "betas[0]": FALLS, "momentum": FALLS}}
    network = deep()
    before = [each.name for each in network.get_parameters()]
    compiled = optplan.compile(written, network)
    names = [each.name for each in compiled.optimizer.get_parameters()]
    assert len(set(names)) == len(names)
    levels = [each for each in compiled.optimizer.get_parameters() if each.name.startswith("plateau_level.")]
    assert len(levels) > 2
    trained_ones = {id(each) for each in (*compiled.parameters, *network.get_parameters())}
    for level in levels:
        assert id(level) not in trained_ones
        assert not level.requires_grad
    assert [each.name for each in network.get_parameters()] == before


def test_a_second_optimizer_has_levels_of_its_own() -> None:
    written = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.25}, "schedule": {"lr": FALLS}}
    cell = Numbers(1)
    first, second = optplan.compile(written, cell), optplan.compile(written, cell)
    first.report(loss=1.0)
    first.report(loss=1.0)
    assert (first.lr(), second.lr()) == ({"default": 0.125}, {"default": 0.25})
    assert float(first.optimizer.get_lr().asnumpy()) == 0.125
    assert float(second.optimizer.get_lr().asnumpy()) == 0.25


def test_going_on_by_mindspores_checkpoints_equals_not_having_stopped(tmp_path: Path) -> None:
    written = {**SEVERAL, "schedule": {"lr": FALLS, "weight_decay": FALLS, "betas[0]": FALLS, "momentum": FALLS}}

    def train(network: nn.Cell, compiled: Any, begin: int, end: int) -> None:
        step = training("one_step_cell", network, compiled.optimizer)
        for t in range(begin, end):
            step(1)
            compiled.report(loss=float(t // 3))

    whole, first, second = deep(), deep(), deep()
    train(whole, optplan.compile(written, whole), 0, 8)
    stopped: Any = optplan.compile(written, first)
    train(first, stopped, 0, 4)
    ms.save_checkpoint(first, str(tmp_path / "network.ckpt"))
    ms.save_checkpoint(stopped.optimizer, str(tmp_path / "optimizer.ckpt"))
    resumed: Any = optplan.compile(written, second)
    ms.load_param_into_net(second, ms.load_checkpoint(str(tmp_path / "network.ckpt")))
    ms.load_param_into_net(resumed.optimizer, ms.load_checkpoint(str(tmp_path / "optimizer.ckpt")))
    resumed.reports.restore(json.loads(json.dumps(stopped.reports.state)))
    assert resumed.settings() == stopped.settings() != optplan.compile(written, deep()).settings()
    train(second, resumed, 4, 8)
    for one, other in zip(weights(whole), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
