"""What else goes on in MindSpore: loss scale, reports, gathered gradients, settings; and state of its own formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import optplan
from optplan import ConfigError
from tests.agreement.cells import Numbers
from tests.mindspore.training import batch, deep, weights

if TYPE_CHECKING:
    from pathlib import Path

    from optplan.compiled import Compiled

pytestmark = pytest.mark.mindspore

ADAMW: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-2, "weight_decay": 0.1}}


def numbers(document: dict[str, Any], count: int = 2) -> Compiled:
    return optplan.compile(document, Numbers(count), steps=20)


def updated(compiled: Compiled, gradients: list[float]) -> list[float]:
    """The weights after one update with each of these gradients, the same for all of them."""
    for gradient in gradients:
        compiled.optimizer(tuple(Tensor([gradient], ms.float32) for _ in compiled.parameters))
    return [float(each.asnumpy()[0]) for each in compiled.parameters]


# Settings


def test_the_settings_of_the_file_stand() -> None:
    old = numbers(ADAMW)
    updated(old, [0.5] * 3)
    new = numbers({**ADAMW, "optimizer": {"type": "adamw", "lr": 1e-3, "betas": [0.8, 0.95]}})
    found = new.load_state_dict(old.state_dict())
    assert {(key, before, now) for _, key, before, now in found.settings} == {
        ("lr", 1e-2, 1e-3),
        ("betas", (0.9, 0.999), (0.8, 0.95)),
        ("weight_decay", 0.1, 0.01),
    }
    assert new.lr() == {"default": 1e-3}
    assert new.settings()["default"]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize("own", [{"lr": 1e-3}, {"lr": 1e-3, "betas": [0.8, 0.95]}, {"weight_decay": 0.5}], ids=str)
@pytest.mark.parametrize("schedule", [{}, {"lr": "cosine(to=0.1x)"}], ids=["fixed", "scheduled"])
def test_the_settings_of_the_checkpoint_can_take_their_place(own: dict[str, Any], schedule: dict[str, str]) -> None:
    old = numbers({**ADAMW, "schedule": schedule})
    updated(old, [0.5] * 3)
    state, at = old.state_dict(), [float(each.asnumpy()[0]) for each in old.parameters]
    new = numbers({**ADAMW, "optimizer": {**ADAMW["optimizer"], **own}, "schedule": schedule})
    updated(new, [0.1])
    new.load_weights({f"numbers.{place}.weight": np.array([value]) for place, value in enumerate(at)})
    new.load_state_dict(state, on_load="checkpoint")
    assert new.settings() == old.settings()
    assert updated(new, [0.25, -0.5, 0.125]) == updated(old, [0.25, -0.5, 0.125])


def test_a_rate_from_the_checkpoint_leaves_the_optimizer_in_place() -> None:
    old = numbers(ADAMW)
    updated(old, [0.5])
    new = numbers({**ADAMW, "optimizer": {**ADAMW["optimizer"], "lr": 1.0}})
    optimizer = new.optimizer
    new.load_state_dict(old.state_dict(), on_load="checkpoint")
    assert new.optimizer is optimizer
    assert new.lr() == {"default": 1e-2}


def test_settings_that_the_class_refuses_change_nothing() -> None:
    old = numbers({"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True}})
    updated(old, [0.5])
    state = old.state_dict()
    del state["groups"][0]["settings"]["dampening"]
    new = numbers({"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.2, "momentum": 0.9, "dampening": 0.5}})
    optimizer, settings = new.optimizer, new.settings()
    with pytest.raises(ConfigError):
        new.load_state_dict(state, on_load="checkpoint")
    assert (new.optimizer, new.settings(), new.updates) == (optimizer, settings, 0)
    assert not new.load_state_dict(new.state_dict())
    assert new.settings() == settings


# Beside the optimizer

WHOLE: dict[str, Any] = {
    **ADAMW,
    "rules": [{"where": "norm", "lr": "0.5x"}],
    "schedule": {"lr": "hold(2) -> plateau(metric=loss, factor=0.5, patience=1)"},
    "loss_scale": "dynamic(init=64, growth=4, backoff=0.25, every=3)",
    "clip": "norm(1.0)",
    "accumulate": 2,
}


def test_a_training_step_goes_on(tmp_path: Path) -> None:
    """Scale, count of good updates, reports and levels go on; gradients that were gathered do not."""
    inputs, labels = batch()

    def run(compiled: Compiled, step: Any, count: int, first: int) -> list[Any]:
        seen = []
        for number in range(first, first + count):
            result = step(inputs * (number % 3 + 1.0), labels)
            if result.updated:
                compiled.report(loss=1.0)
            seen.append((float(result.loss.asnumpy()), result.scale, compiled.lr()))
        return seen

    network = deep()
    compiled = optplan.compile(WHOLE, network)
    step = compiled.train_step(network, nn.CrossEntropyLoss())
    run(compiled, step, 10, 0)
    compiled.save(tmp_path / "state.safetensors")
    at = weights(network)
    rest = run(compiled, step, 10, 10)

    other = deep()
    resumed = optplan.compile(WHOLE, other)
    stepping = resumed.train_step(other, nn.CrossEntropyLoss())
    # Compiled, and with a batch gathered that is forgotten
    run(resumed, stepping, 3, 0)
    names = [name for name, _ in other.parameters_and_names()]
    resumed.load_weights(dict(zip(names, at, strict=True)))
    assert not resumed.restore(tmp_path / "state.safetensors")
    assert stepping.gathered == 0
    assert resumed.updates == 5
    assert run(resumed, stepping, 10, 10) == rest
    for one, two in zip(weights(network), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_step_goes_on_with_a_new_optimizer() -> None:
    """Settings that are compiled into an optimizer make a new one; a step that was made before uses it."""
    inputs, labels = batch()
    network, other = deep(), deep()
    old = optplan.compile(ADAMW, network)
    step = old.train_step(network, nn.CrossEntropyLoss())
    step(inputs, labels)
    new = optplan.compile({**ADAMW, "optimizer": {"type": "adamw", "betas": [0.5, 0.5]}}, other)
    stepping = new.train_step(other, nn.CrossEntropyLoss())
    stepping(inputs, labels)
    new.load_weights(
        {name: each for (name, _), each in zip(other.parameters_and_names(), weights(network), strict=True)}
    )
    new.load_state_dict(old.state_dict(), on_load="checkpoint")
    for _ in range(3):
        step(inputs, labels)
        stepping(inputs, labels)
    for one, two in zip(weights(network), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


# Formulas of MindSpore's own

VARIANTS: dict[str, dict[str, Any]] = {
    "Momentum": {"lr": 0.1, "momentum": 0.9},
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "ASGD": {"lr": 0.1},
    "Rprop": {"lr": 0.1},
    "Adam": {"lr": 0.1, "weight_decay": 0.1},
    "AdamWeightDecay": {"lr": 0.1},
    "AdaMax": {"lr": 0.1},
    "Adagrad": {"lr": 0.1},
    "Adadelta": {"lr": 0.1},
    "RMSProp": {"lr": 0.1},
    "FTRL": {"lr": 0.1},
    "AdaFactor": {"lr": 0.1, "relative_step": False, "scale_parameter": False, "warmup_init": False},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_own_formulas_keep_their_state_under_its_own_names(name: str) -> None:
    document = {"optplan": 1, "optimizer": {"type": f"mindspore.{name}", **VARIANTS[name]}}
    updates = [0.5, -0.25, 0.125, 0.5]
    old = numbers(document)
    at = updated(old, updates[:2])
    state = old.state_dict()
    assert state["state"]["numbers.0.weight"].keys() - {"step"}
    new = numbers(document)
    updated(new, [0.75])
    new.load_weights({f"numbers.{place}.weight": np.array([value]) for place, value in enumerate(at)})
    assert not new.load_state_dict(state)
    assert updated(new, updates[2:]) == updated(old, updates[2:])


def test_state_of_another_optimizer_is_refused_with_names() -> None:
    old = numbers(ADAMW)
    updated(old, [0.5])
    new = numbers({"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9}})
    with pytest.raises(ConfigError, match=r"numbers\.0\.weight"):
        new.load_state_dict(old.state_dict())
    assert new.updates == 0
    found = new.load_state_dict(old.state_dict(), strict=False)
    assert found.reoptimized == ("numbers.0.weight", "numbers.1.weight")
    assert new.updates == 1


# What others saved


def test_a_state_dict_without_a_count_is_told_with_what_brings_it() -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"lr": "cosine(to=0.1x)"},
    }
    state = {
        "state": {place: {"momentum_buffer": np.full(1, 0.5 + place, np.float32)} for place in range(2)},
        "param_groups": [{"params": [0, 1], "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0}],
    }
    compiled = numbers(document)
    found = compiled.load_state_dict(state)
    assert '`compiled.load_state_dict({**compiled.state_dict(), "updates": 1000})`, and load this again' in str(found)
    kept = [each["momentum_buffer"] for each in compiled.state_dict()["state"].values()]
    assert kept == [np.float32(0.5), np.float32(1.5)], "it is lost if saved again at once"
    compiled.load_state_dict({**compiled.state_dict(), "updates": 10})
    assert "warning" not in str(compiled.load_state_dict(state))
    assert (compiled.updates, compiled.lr()) == (10, {"default": compiled.plan.groups[0].value("lr", 10)})
    buffers = [each["momentum_buffer"] for each in compiled.state_dict()["state"].values()]
    assert buffers == [np.float32(0.5), np.float32(1.5)]


def test_a_checkpoint_of_mindspore_is_told_with_the_way_to_load_it(tmp_path: Path) -> None:
    compiled = numbers(ADAMW)
    updated(compiled, [0.5])
    path = str(tmp_path / "optimizer.ckpt")
    ms.save_checkpoint(compiled.optimizer, path)
    with pytest.raises(ConfigError, match=rf"checkpoint of MindSpore(.|\n)*`optplan convert {path} -o state"):
        compiled.restore(path)
    with pytest.raises(ConfigError, match=r"OP702(.|\n)*`optplan convert FILE.ckpt -o state"):
        compiled.load_state_dict(ms.load_checkpoint(path))


# State of a class of MindSpore's own, which begins as only the class knows


@pytest.mark.parametrize("kind", ["mindspore.Adam", "mindspore.RMSProp", "mindspore.FTRL"])
def test_what_begins_anew_begins_as_the_class_does(kind: str) -> None:
    document = {"optplan": 1, "optimizer": {"type": kind, "lr": 0.1}}
    fresh, compiled = numbers(document), numbers(document)
    at = {f"numbers.{place}.weight": each.asnumpy().copy() for place, each in enumerate(fresh.parameters)}
    updated(compiled, [0.5, -0.25])
    compiled.load_state_dict(fresh.state_dict())
    compiled.load_weights(at)
    assert updated(compiled, [0.125, 0.5]) == updated(fresh, [0.125, 0.5])


def test_values_of_another_shape_are_told() -> None:
    document = {"optplan": 1, "optimizer": {"type": "mindspore.Momentum", "lr": 0.1, "momentum": 0.9}}
    small, large = (optplan.compile(document, nn.Dense(3, count)) for count in (2, 5))
    small.optimizer(tuple(Tensor(np.ones(each.shape, np.float32)) for each in small.parameters))
    with pytest.raises(ConfigError, match=r"OP708.*`moments`.*has shape \[2, 3\], and needs \[5, 3\] here\n.*it beg"):
        large.load_state_dict(small.state_dict())
    found = large.load_state_dict(small.state_dict(), strict=False)
    assert "here; it begins anew" in str(found)
    assert not any(np.any(each["moments"]) for each in large.state_dict()["state"].values())
