"""What `Compiled` tells past the horizon, and what types of parameters are trained."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

import optplan
from tests.mindspore.networks import ones

pytestmark = pytest.mark.mindspore


class _Point(nn.Cell):
    """One vector, and beside it what `more` gives."""

    def __init__(self, more: Parameter | None = None) -> None:
        super().__init__()
        self.at = ones(3)
        if more is not None:
            self.more = more


@pytest.mark.parametrize("groups", [1, 2])
def test_past_the_horizon_it_tells_what_is_used(groups: int) -> None:
    cell = _Point(ones(2))
    document: dict[str, Any] = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 0.5},
        "rules": [{"where": "more", "lr": "0.5x"}] if groups == 2 else [],
        "schedule": {"lr": "step(every=2, gamma=0.5)"},
    }
    # A horizon of 4.5 updates, of which update 4 is the last
    compiled = optplan.compile(document, cell, epochs=0.45, steps_per_epoch=10)
    assert len(compiled.lr()) == groups
    told, used = [], []
    for _ in range(8):
        before = cell.at.asnumpy().copy()
        told.append(compiled.lr_of("at"))
        assert [each["lr"] for each in compiled.settings().values()] == list(compiled.lr().values())
        compiled.optimizer(tuple(Tensor(np.ones(each.shape), ms.float32) for each in compiled.parameters))
        used.append(float((before - cell.at.asnumpy())[0]))
    assert told == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    assert used == pytest.approx(told, rel=1e-5)


def test_several_behind_one_tell_the_decay_of_each_parameter() -> None:
    document: dict[str, Any] = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "weight_decay": 0.5},
        "optimizers": {"plain": {"type": "sgd", "lr": 0.5, "momentum": 0.5}},
        "rules": [{"where": "at", "use": "plain", "weight_decay": 0.25}],
        "schedule": {"weight_decay": "linear(2, to=0)"},
    }
    compiled = optplan.compile(document, _Point(ones(2)))
    told = []
    for _ in range(3):
        told.append([float(each) for each in compiled.optimizer.get_weight_decay()])
        compiled.optimizer(tuple(Tensor(np.ones(each.shape), ms.float32) for each in compiled.parameters))
    assert [each.name for each in compiled.parameters] == ["at", "more"]
    assert told == [[0.25, 0.5], [0.125, 0.25], [0, 0]]


LEAVE = "let a rule with `freeze: true` leave it out"
SINGLE = "MindSpore's optimizers compute in float32: make it `float32`"


@pytest.mark.one_mode
@pytest.mark.parametrize(
    ("dtype", "why", "cure"),
    [
        ("int32", ": it is of type int32", LEAVE),
        ("bool_", ": it is of type bool", LEAVE),
        ("complex64", ": it is of type complex64", LEAVE),
        ("float64", ": it is of type float64", SINGLE),
        ("bfloat16", " on CPU: it is of type bfloat16", SINGLE),
    ],
)
def test_types_that_no_optimizer_takes(dtype: str, why: str, cure: str) -> None:
    """MindSpore has the gradient of a `Parameter` on, whatever its type."""
    cell = _Point(Parameter(Tensor(np.zeros(3), getattr(ms, dtype)), name="more"))
    document: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "adamw"}}
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.compile(document, cell)
    (found,) = caught.value.diagnostics
    expected = ("OP501", f"`more` cannot be trained{why}", cure)
    assert (found.code, found.message, found.help) == expected
    frozen = optplan.compile({**document, "rules": [{"where": "more", "freeze": True}]}, cell)
    assert [each.name for each in frozen.parameters] == ["at"]


@pytest.mark.one_mode
def test_what_the_class_does_not_do_on_the_device_is_named() -> None:
    settings = {"type": "mindspore.Momentum", "lr": 0.1, "momentum": 0.9, "use_nesterov": True}
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.compile({"optplan": 1, "optimizer": settings}, _Point())
    (found,) = caught.value.diagnostics
    assert found.message == "`mindspore.nn.Momentum` with `use_nesterov == true` does not run on CPU"
