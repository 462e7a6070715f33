"""An optimizer of one's own in MindSpore: behind one optimizer with a stock one, in a step that is compiled too."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optplan
from optplan.diagnostics import ConfigError

pytestmark = pytest.mark.mindspore

SAMPLE = Path(__file__).parents[2] / "samples" / "own_optimizer"


@pytest.fixture(autouse=True)
def _own(_as_it_was: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SAMPLE)
    own = importlib.import_module("own")
    optplan.register(own.MOMENTUM, own.HALF_LIFE)


def document(**more: Any) -> dict[str, Any]:
    return {
        "optplan": 1,
        "optimizer": {"type": "own_momentum", "lr": 0.5, "momentum": 0.9, "weight_decay": 0.1},
        "optimizers": {"rest": {"type": "sgd", "lr": 0.25}},
        "rules": [{"where": "bias", "use": "rest"}],
        "horizon": {"steps": 10},
        **more,
    }


def make_cell() -> Any:
    import mindspore as ms  # noqa: PLC0415 - only where a test needs it
    from mindspore import nn  # noqa: PLC0415 - as above

    cell = nn.Dense(3, 2)
    ms.load_param_into_net(
        cell, {"weight": ms.Parameter(np.full((2, 3), 2, np.float32)), "bias": ms.Parameter(np.ones(2, np.float32))}
    )
    return cell


def test_the_class_is_made_with_the_arguments_of_mindspore() -> None:
    cell = make_cell()
    optimizer, scheduler = optplan.compile(document(rules=[]), cell)
    assert type(optimizer).__name__ == "Momentum"
    assert type(optimizer).__module__ == "momentum_mindspore"
    assert scheduler is None
    assert optimizer.momentum == 0.9


def test_updates_by_hand() -> None:
    import mindspore as ms  # noqa: PLC0415 - only where a test needs it

    cell = make_cell()
    compiled = optplan.compile(document(schedule={"lr": "half_life(every=2)"}), cell)
    gradients = tuple(ms.Tensor(np.full(each.shape, 3, np.float32)) for each in compiled.parameters)
    weight, velocity, bias = 2.0, 0.0, 1.0
    for t in range(5):
        compiled.optimizer(gradients)
        velocity = 0.9 * velocity + 3 + 0.1 * weight
        weight -= 0.5 * 2 ** -(t / 2) * velocity
        bias -= 0.25 * 2 ** -(t / 2) * 3
        assert cell.weight.asnumpy() == pytest.approx(np.full((2, 3), weight), rel=1e-5)
        assert cell.bias.asnumpy() == pytest.approx(np.full(2, bias), rel=1e-5)


def test_what_the_class_takes_as_a_number_only_cannot_change() -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.compile(document(schedule={"momentum": "linear(to=0.5x)"}), make_cell())
    (told,) = caught.value.diagnostics
    assert told.code == "OP501"
    assert "no schedule of `momentum`" in told.message


def test_a_class_that_is_not_there_is_told() -> None:
    optplan.register(optplan.OwnOptimizer("lost", mindspore="momentum_mindspore.Lost", settings={}))
    with pytest.raises(ConfigError, match=r"`lost` is carried out by `momentum_mindspore\.Lost`, which cannot be"):
        optplan.compile({"optplan": 1, "optimizer": {"type": "lost"}}, make_cell())
