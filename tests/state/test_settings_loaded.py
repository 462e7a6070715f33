"""Which settings stand after a load: those of the file, or those that were saved, with the state that they ask for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

import optplan
from tests.targets.networks import Pictures, document, same_weights, seeded, train

STEPS = 20
PLAIN = document({"type": "adamw", "lr": 0.01})
WARM = document({"type": "adamw", "lr": 0.01}, schedule={"lr": "warmup(5)", "betas[0]": "linear(to=0.5)"})
OTHER = document(
    {"type": "adamw", "lr": 0.05, "weight_decay": 0.3, "betas": [0.7, 0.8]},
    schedule={"lr": "warmup(5)", "betas[0]": "linear(to=0.5)"},
)


def run(config: dict[str, Any], updates: int = 3) -> tuple[Any, Any]:
    model = seeded(Pictures)
    compiled = optplan.compile(config, model, steps=STEPS)
    train(model, compiled, range(updates))
    return model, compiled


def test_the_files_settings_come_back_after_those_of_a_checkpoint() -> None:
    _, compiled = run(WARM)
    own = deepcopy(compiled.state_dict())
    expected = compiled.settings()
    compiled.load_state_dict(run(OTHER)[1].state_dict(), on_load="checkpoint")
    assert compiled.settings() != expected
    assert not compiled.load_state_dict(own)
    assert compiled.settings() == expected
    assert compiled.state_dict()["groups"] == own["groups"]


@pytest.mark.parametrize("options", [{}, {"torch": {"tensor_lr": True}}])
def test_what_was_set_by_hand_is_the_files_again(options: dict[str, Any]) -> None:
    _, compiled = run({**PLAIN, **options})
    own, rate = deepcopy(compiled.state_dict()), compiled.lr()
    group = compiled.optimizer.param_groups[0]
    group["weight_decay"] = 0.9
    if options:
        group["lr"].fill_(7.0)
    else:
        group["lr"] = 7.0
    assert not compiled.load_state_dict(own)
    assert (compiled.lr(), compiled.settings()["default"]["weight_decay"]) == (rate, 0.01)


def test_what_a_class_computes_itself_stays() -> None:
    _, compiled = run(document({"type": "lbfgs", "lr": 0.1}), 1)
    evaluations = compiled.settings()["default"]["max_eval"]
    assert evaluations is not None
    for on_load in ("config", "checkpoint"):
        assert not compiled.load_state_dict(deepcopy(compiled.state_dict()), on_load=on_load)
        assert compiled.settings()["default"]["max_eval"] == evaluations


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("kind", "more", "fields"),
    [
        ("adam", {"amsgrad": True}, {"max_exp_avg_sq"}),
        ("rmsprop", {"centered": True, "momentum": 0.9}, {"grad_avg", "momentum_buffer"}),
        ("sgd", {"momentum": 0.9}, {"momentum_buffer"}),
    ],
)
def test_settings_of_a_checkpoint_bring_the_state_that_they_ask_for(
    kind: str, more: dict[str, Any], fields: set[str], strict: bool
) -> None:
    less = document({"type": kind, "lr": 0.01})
    full = document({"type": kind, "lr": 0.01, **more})
    for saved, here, there in ((full, less, True), (less, full, False)):
        model, compiled = run(saved)
        theirs = deepcopy(model)
        other = optplan.compile(here, theirs, steps=STEPS)
        found = other.load_state_dict(compiled.state_dict(), on_load="checkpoint", strict=strict)
        assert {each.code for each in found.diagnostics} == {"OP707"}
        assert (fields <= other.state_dict()["state"].get("head.bias", {}).keys()) is there
        train(model, compiled, range(3, 6))
        train(theirs, other, range(3, 6))
        assert same_weights(model, theirs)
