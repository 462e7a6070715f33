"""Values that no run has saved change nothing, and none of them is an error from within."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import optplan
from optplan import ConfigError
from tests.state.test_loading import same_state
from tests.targets.networks import Pictures, document, loss_of, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = document(
    {"type": "adamw", "lr": 0.01},
    schedule={"lr": "warmup(5) -> plateau(metric=loss)"},
    loss_scale="dynamic(init=64, every=5)",
)


def trained(updates: int = 3) -> tuple[Any, Any]:
    model = seeded(Pictures)
    compiled = optplan.compile(CONFIG, model, steps=20)
    for update in range(updates):
        compiled.step(loss_of(model, update))
    return model, compiled


def put(state: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    where: Any = state
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value


BIAS = ("state", "head.bias")


# More digits than Python writes
LONG = 10**5000


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("scaler", "good"), 2**31, "OP702"),
        (("scaler", "scale"), 1e39, "OP702"),
        (("scaler", "scale"), 1e-50, "OP702"),
        (("scaler", "scale"), LONG, "OP702"),
        (("updates",), LONG, "OP702"),
        (("reports", 0, "best"), 10**400, "OP702"),
        (("groups", 0, "own", "lr"), 10**400, "OP702"),
        (("groups", 0, "settings", "lr"), 10**400, "OP702"),
        ((*BIAS, "step"), 10**400, "OP702"),
        ((*BIAS, "exp_avg"), SimpleNamespace(dtype="float32", shape="abc"), "OP702"),
        ((*BIAS, "exp_avg"), SimpleNamespace(dtype="float32", shape=(3,)), "OP708"),
        ((*BIAS, "step"), -5.0, "OP705"),
        ((*BIAS, "step"), np.array("x"), "OP708"),
        ((*BIAS, "step"), torch.zeros((), device="meta"), "OP708"),
        ((*BIAS, "exp_avg"), torch.zeros(3, device="meta"), "OP708"),
        ((*BIAS, "exp_avg"), torch.zeros(3).to_sparse(), "OP705"),
        ((*BIAS, "exp_avg"), np.zeros(3, np.longdouble), "OP708"),
    ],
    ids=lambda each: "many digits" if each is LONG else str(each)[:20],
)
def test_what_cannot_be_is_told_and_changes_nothing(path: tuple[Any, ...], value: Any, code: str) -> None:
    model, compiled = trained()
    compiled.report(loss=1.0)
    state = deepcopy(compiled.state_dict())
    put(state, path, value)
    compiled.step(loss_of(model, 3))
    before, settings = deepcopy(compiled.state_dict()), compiled.settings()
    with pytest.raises(ConfigError) as caught:
        compiled.load_state_dict(state)
    assert {each.code for each in caught.value.diagnostics} == {code}
    assert same_state(before, compiled.state_dict())
    now = compiled.state_dict()
    assert [now[key] for key in ("updates", "scaler", "reports")] == [
        before[key] for key in ("updates", "scaler", "reports")
    ]
    assert compiled.settings() == settings


@pytest.mark.parametrize("way", ["dict", "file"])
@pytest.mark.parametrize("around", [torch.inference_mode, torch.no_grad, lambda: torch.device("meta")])
def test_training_goes_on_from_what_is_loaded_in_any_mode(around: Callable[[], Any], way: str, tmp_path: Path) -> None:
    _, compiled = trained()
    compiled.save(tmp_path / "state.safetensors")
    state = deepcopy(compiled.state_dict())
    for fields in state["state"].values():
        fields["step"] = float(fields["step"])
    model, other = trained(0)
    with around():
        found = other.restore(tmp_path / "state.safetensors") if way == "file" else other.load_state_dict(state)
    assert not found
    assert same_state(compiled.state_dict(), other.state_dict())
    train(model, other, range(3, 5))


def test_a_network_without_memory_has_no_state_to_be_saved(tmp_path: Path) -> None:
    _, compiled = trained()
    with torch.device("meta"):
        model = Pictures()
    other = optplan.compile(CONFIG, model, steps=20)
    other.load_state_dict(compiled.state_dict())
    with pytest.raises(ConfigError, match=r"OP708.*on the device `meta`"):
        other.save(tmp_path / "state.safetensors")
    assert not list(tmp_path.iterdir())
