"""Half of a run in one framework, the other half in the other: against the whole run in one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import optplan
from tests.agreement.gradients import gradients
from tests.agreement.settings import CASES
from tests.state.runs import MindSpore, Torch, difference

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agreement.settings import Case

pytestmark = [pytest.mark.mindspore, pytest.mark.long_in_graph]

HALF, WHOLE = 25, 50
# One of each optimizer with all the state that it has, schedules of everything; and with no more than it must have.
WIDEST = {"sgd": "momentum", "adam": "amsgrad", "rmsprop": "centered, momentum"}
CROSSED = [
    pytest.param(case, marks=[pytest.mark.long] if case.name == "every curve" else [], id=str(case))
    for case in CASES
    if case.name in ("every curve", WIDEST.get(case.optimizer, "alone"))
]
# Muon iterates in bfloat16: torch itself is off by as much where a gradient differs in its last bit
LIMITS = {"muon": 5e-4}


def limit(case: Case) -> float:
    return LIMITS.get(case.optimizer, 1e-5)


@pytest.mark.parametrize("case", CROSSED)
def test_torch_then_mindspore(case: Case, tmp_path: Path) -> None:
    updates = gradients(case.network)[:WHOLE]
    first = Torch(case.network, case.document(), WHOLE)
    first.train(updates[:HALF])
    first.compiled.save(tmp_path / "state.safetensors")
    second = MindSpore(case.network, case.document(), WHOLE)
    second.compiled.load_weights(first.weights)
    assert not second.compiled.restore(tmp_path / "state.safetensors")
    second.train(updates[HALF:])
    first.train(updates[HALF:])
    assert difference(first.weights, second.weights) <= limit(case)


@pytest.mark.parametrize("case", CROSSED)
def test_mindspore_then_torch(case: Case, tmp_path: Path) -> None:
    updates = gradients(case.network)[:WHOLE]
    first = MindSpore(case.network, case.document(), WHOLE)
    first.train(updates[:HALF])
    first.compiled.save(tmp_path / "state.safetensors")
    second = Torch(case.network, case.document(), WHOLE)
    second.compiled.load_weights(first.weights)
    assert not second.compiled.restore(tmp_path / "state.safetensors")
    second.train(updates[HALF:])
    whole = Torch(case.network, case.document(), WHOLE)
    whole.train(updates)
    assert difference(whole.weights, second.weights) <= limit(case)


@pytest.mark.parametrize("case", CROSSED)
def test_there_and_back_changes_no_bit_of_the_state(case: Case) -> None:
    torch = Torch(case.network, case.document(), WHOLE)
    torch.train(gradients(case.network)[:3])
    state = torch.compiled.state_dict()
    mindspore = MindSpore(case.network, case.document(), WHOLE)
    mindspore.compiled.load_state_dict(state)
    back = Torch(case.network, case.document(), WHOLE)
    back.compiled.load_state_dict(mindspore.compiled.state_dict())
    again = back.compiled.state_dict()
    for name, fields in state["state"].items():
        for field, value in fields.items():
            found = again["state"][name][field]
            assert type(found) is type(value), (name, field)
            assert (found == value).all() if hasattr(value, "all") else found == value, (name, field)
    assert {key: value for key, value in again.items() if key not in ("state", "fingerprint")} == {
        key: value for key, value in state.items() if key not in ("state", "fingerprint")
    }


WHOLE_STEP: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "lr": 0.01},
    "schedule": {"lr": "hold(2) -> plateau(metric=loss, factor=0.5, patience=1)"},
    "loss_scale": "dynamic(init=64, growth=4, backoff=0.25, every=4)",
}


def mean_square(given: Any, label: Any) -> Any:  # noqa: ARG001 - what a loss function of MindSpore takes
    return given.square().mean()


def test_loss_scale_and_reports_cross() -> None:
    """Six updates that were made and reported without getting better, from a scale that has grown once."""
    import numpy as np  # noqa: PLC0415 - only here
    import torch  # noqa: PLC0415 - as above
    from mindspore import Tensor, nn  # noqa: PLC0415 - as above

    module = torch.nn.Linear(3, 2)
    first = optplan.compile(WHOLE_STEP, module)
    for _ in range(6):
        assert first.step(module(torch.ones(4, 3)).square().mean()).updated
        first.report(loss=1.0)
    cell = nn.Dense(3, 2)
    second = optplan.compile(WHOLE_STEP, cell)
    second.load_weights({name: each.detach() for name, each in module.named_parameters()})
    assert not second.load_state_dict(first.state_dict())
    assert second.scaler is not None
    assert (float(second.scaler.scale_value.asnumpy()), int(second.scaler.counter.asnumpy())) == (256, 2)
    assert second.lr() == first.lr() != {"default": 0.01}
    step = second.train_step(cell, mean_square)
    inputs = Tensor(np.ones((4, 3), np.float32))
    for _ in range(3):
        one, other = first.step(module(torch.ones(4, 3)).square().mean()), step(inputs, inputs)
        assert one.scale == other.scale
        first.report(loss=1.0)
        second.report(loss=1.0)
        assert second.lr() == first.lr()
    third = optplan.compile(WHOLE_STEP, torch.nn.Linear(3, 2))
    assert not third.load_state_dict(second.state_dict())
    assert third.state_dict()["scaler"] == first.state_dict()["scaler"] == second.state_dict()["scaler"]
    assert third.state_dict()["reports"] == second.state_dict()["reports"] == first.state_dict()["reports"]
    assert third.lr() == first.lr()
