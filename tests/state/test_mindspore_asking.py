"""What a compiled plan answers, against what MindSpore's own optimizers answer, update after update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

import optplan
from tests.agreement.cells import Numbers

if TYPE_CHECKING:
    from optplan.compiled import Compiled

pytestmark = pytest.mark.mindspore

RAMP = "warmup(3) -> cosine()"
SGD = {"type": "sgd", "lr": 0.1, "momentum": 0.9}
OTHERS = {
    "optimizers": {"second": {"type": "adamw", "lr": 1e-3}},
    "rules": [{"where": "numbers.1", "use": "second"}, {"where": "numbers.2", "lr": "0.5x"}],
}
DOCUMENTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one": (2, {"optimizer": SGD}),
    "one, scheduled": (2, {"optimizer": SGD, "schedule": {"lr": RAMP}}),
    "several": (4, {"optimizer": SGD, **OTHERS}),
    "several, scheduled": (4, {"optimizer": SGD, **OTHERS, "schedule": {"lr": RAMP}}),
    "several, some scheduled": (
        4,
        {
            "optimizer": {"type": "adam", "lr": 1e-3},
            "rules": [{"where": "numbers.3", "schedule": {"lr": RAMP, "betas[0]": "cosine(to=0.5x)"}}],
        },
    ),
    # More groups than have an optimizer each
    "many": (20, {"optimizer": {**SGD, "lr": "0.1 / (layer + 1)"}, "layers": ["numbers.{i}"]}),
    "many, scheduled": (
        20,
        {"optimizer": {**SGD, "lr": "0.1 / (layer + 1)"}, "layers": ["numbers.{i}"], "schedule": {"lr": RAMP}},
    ),
    "an own variant": (2, {"optimizer": {"type": "mindspore.Momentum", "lr": 0.1, "momentum": 0.9}}),
}


def compiled_for(name: str) -> Compiled:
    count, document = DOCUMENTS[name]
    return optplan.compile({"optplan": 1, **document}, Numbers(count), steps=12)


def rate(given: Any, step: Tensor) -> float:
    """The number that what `get_lr_parameter` gives comes to."""
    value = given if isinstance(given, (Parameter, Tensor)) else given(step)
    return float(value.asnumpy())


@pytest.mark.long_in_graph
@pytest.mark.parametrize("name", DOCUMENTS)
def test_rates_are_those_of_get_lr_and_get_lr_parameter(name: str) -> None:
    compiled = compiled_for(name)
    optimizer = compiled.optimizer
    names = {id(parameter): name for name, parameter in compiled._parameters.items()}  # noqa: SLF001 - no other way
    gradients = tuple(Tensor([0.5], ms.float32) for _ in compiled.parameters)
    for t in range(5):
        assert compiled.updates == t
        own = optimizer.get_lr()
        rates = own if isinstance(own, tuple) else [own] * len(compiled.parameters)
        lr, settings = compiled.lr(), compiled.settings()
        for parameter, its in zip(compiled.parameters, rates, strict=True):
            canonical = names[id(parameter)]
            group = compiled.plan.group_of(canonical)
            assert group is not None
            assert np.float32(compiled.lr_of(canonical)) == its.asnumpy(), (canonical, t)
            assert compiled.lr_of(canonical) == lr[group.name] == settings[group.name]["lr"]
            expected = rate(optimizer.get_lr_parameter(parameter), optimizer.global_step)
            assert np.float32(compiled.lr_of(canonical)) == np.float32(expected), (canonical, t)
        optimizer(gradients)


def test_a_rate_that_somebody_has_changed_is_told_as_it_stands() -> None:
    compiled = compiled_for("one")
    ops.assign(compiled.optimizer.learning_rate, Tensor(0.25, ms.float32))
    assert compiled.lr() == {"default": 0.25}
    assert compiled.settings()["default"]["lr"] == 0.25
    assert compiled.state_dict()["groups"][0]["settings"]["lr"] == 0.25


def test_settings_are_those_of_the_next_update() -> None:
    compiled = compiled_for("several, some scheduled")
    plan = compiled.plan
    for t in range(4):
        for group in plan.groups:
            betas = compiled.settings()[group.name]["betas"]
            scheduled = "betas[0]" in group.schedule
            assert betas[0] == (group.value("betas[0]", t) if scheduled else 0.9)
            assert betas[1] == 0.999
        compiled.optimizer(tuple(Tensor([0.5], ms.float32) for _ in compiled.parameters))


def test_a_frozen_parameter_has_no_rate() -> None:
    network = Numbers(2)
    compiled = optplan.compile(
        {"optplan": 1, "optimizer": SGD, "rules": [{"where": "numbers.1", "freeze": True}]}, network
    )
    with pytest.raises(KeyError, match="frozen"):
        compiled.lr_of("numbers.1.weight")
    assert isinstance(network, nn.Cell)
