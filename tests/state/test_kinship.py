"""State between `sgd` and the classes of MindSpore's own that have its formula: the other goes on as the one would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optplan import ConfigError
from tests.agreement.gradients import gradients
from tests.state.runs import MindSpore, Torch, difference

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

HALF, WHOLE = 3, 6
MOMENTUM, DESCENT = "mindspore.Momentum", "mindspore.SGD"


def run(side: str, steps: int = WHOLE, **settings: Any) -> Any:
    framework, _, kind = side.partition(": ")
    document = {
        "optplan": 1,
        "optimizer": {"type": kind, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, **settings},
        "schedule": {"lr": "cosine(to=0.1x)"},
    }
    return (Torch if framework == "torch" else MindSpore)("layers", document, steps)


def going_on(one: Any, other: Any) -> float:
    """By how much weights differ after the second half, of which `other` makes its own."""
    updates = gradients("layers")[:WHOLE]
    other.compiled.load_weights(one.weights)
    one.train(updates[HALF:])
    other.train(updates[HALF:])
    return difference(one.weights, other.weights)


PAIRS = [
    ("torch: sgd", f"mindspore: {DESCENT}"),
    ("torch: sgd", f"mindspore: {MOMENTUM}"),
    (f"mindspore: {DESCENT}", "torch: sgd"),
    (f"mindspore: {MOMENTUM}", "torch: sgd"),
    (f"mindspore: {MOMENTUM}", "mindspore: sgd"),
    (f"mindspore: {MOMENTUM}", f"mindspore: {DESCENT}"),
    ("mindspore: sgd", f"mindspore: {MOMENTUM}"),
]


@pytest.mark.parametrize(
    ("was", "now", "settings"),
    [
        *((was, now, {}) for was, now in PAIRS),
        # `nn.Momentum` with Nesterov's does not run on CPU
        *((was, now, {"nesterov": True}) for was, now in PAIRS if MOMENTUM not in was + now),
    ],
)
def test_the_other_goes_on(was: str, now: str, settings: dict[str, Any]) -> None:
    one, other = run(was, **settings), run(now, **settings)
    one.train(gradients("layers")[:HALF])
    state = one.compiled.state_dict()
    with pytest.raises(ConfigError, match=r"OP706.*\n.*with `strict=False` it is kept"):
        other.compiled.load_state_dict(state)
    found = other.compiled.load_state_dict(state, strict=False)
    assert [each.code for each in found.diagnostics] == ["OP706"]
    assert (found.reoptimized, other.compiled.updates) == ((), HALF)
    assert going_on(one, other) <= 1e-6


def test_what_has_no_buffer_yet_begins_as_it_would() -> None:
    """A parameter without a gradient so far, in one optimizer with others that had some."""
    one, other = run("torch: sgd"), run(f"mindspore: {DESCENT}")
    one.train(gradients("layers")[:HALF])
    state = one.compiled.state_dict()
    name = next(iter(state["state"]))
    one.compiled.optimizer.state.pop(one.parameters[name])
    state["state"].pop(name)
    other.compiled.load_state_dict(state, strict=False)
    again = other.compiled.state_dict()["state"][name]
    assert not np.any(again["accum"])
    assert np.all(again["stat"])
    assert going_on(one, other) <= 1e-6


def test_settings_go_by_the_others_names() -> None:
    one, other = run("torch: sgd", nesterov=True, weight_decay=0.5), run(f"mindspore: {MOMENTUM}")
    one.train(gradients("layers")[:HALF])
    found = other.compiled.load_state_dict(one.compiled.state_dict(), strict=False)
    assert {each[1:] for each in found.settings} == {("use_nesterov", True, False), ("weight_decay", 0.5, 0.1)}


@pytest.mark.parametrize("more", [{"dampening": 0.5}, {"maximize": True}])
def test_what_the_other_would_make_otherwise_begins_anew(more: dict[str, Any]) -> None:
    one, other = run("torch: sgd", **more), run(f"mindspore: {MOMENTUM}")
    one.train(gradients("layers")[:HALF])
    found = other.compiled.load_state_dict(one.compiled.state_dict(), strict=False)
    assert set(found.reoptimized) == set(one.parameters)
    assert not any(np.any(each["moments"]) for each in other.compiled.state_dict()["state"].values() if each)


def test_buffers_of_another_shape_begin_anew() -> None:
    one, other = run("torch: sgd"), run(f"mindspore: {MOMENTUM}")
    one.train(gradients("layers")[:HALF])
    state = one.compiled.state_dict()
    name = next(iter(state["state"]))
    state["state"][name] = {"momentum_buffer": np.ones((3, 1), np.float32)}
    assert other.compiled.load_state_dict(state, strict=False).reoptimized == (name,)
    assert not np.any(other.compiled.state_dict()["state"][name]["moments"])
