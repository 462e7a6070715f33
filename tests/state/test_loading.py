"""A saved state under another plan: by name, told where it differs, all of it or nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from tests.targets.networks import Pictures, document, same_weights, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 20

ONE = document({"type": "adamw", "lr": 0.01, "weight_decay": 0.1}, schedule={"lr": "warmup(5) -> cosine()"})
OTHER = document(
    {"type": "adamw", "lr": 0.02, "weight_decay": 0.1},
    rules=[{"where": "norm or bias", "weight_decay": 0}, {"where": "head", "lr": "0.1x"}],
    schedule={"lr": "linear(to=0x)"},
)
SGD = document({"type": "sgd", "lr": 0.1, "momentum": 0.9})


def run(config: dict[str, Any], updates: int = 3, build: Callable[[], nn.Module] = Pictures) -> tuple[nn.Module, Any]:
    model = seeded(build)
    compiled = optplan.compile(config, model, steps=STEPS)
    train(model, compiled, range(updates))
    return model, compiled


def codes(fault: Any) -> list[str]:
    return sorted(each.code for each in fault.diagnostics)


def same_state(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two dicts have the same state, in every bit."""
    return one["state"].keys() == other["state"].keys() and all(
        fields.keys() == other["state"][name].keys()
        and all(torch.equal(value, other["state"][name][key]) for key, value in fields.items())
        for name, fields in one["state"].items()
    )


# The form


def test_the_form_is_plain() -> None:
    _, compiled = run(ONE)
    state = compiled.state_dict()
    assert state["format"] == "optplan.state/1"
    assert (state["framework"], state["fingerprint"], state["updates"]) == ("torch", compiled.plan.fingerprint, 3)
    assert (state["scaler"], state["reports"]) == (None, [])
    (group,) = state["groups"]
    assert group["parameters"] == list(compiled.plan.groups[0].parameters)
    assert group["settings"] == {
        **{
            key: value
            for key, value in compiled.settings()["default"].items()
            if key in compiled.plan.groups[0].settings
        },
        "lr": compiled.lr()["default"],
    }
    assert group["own"] == {"lr": 0.01}
    assert state["state"]["head.bias"].keys() == {"step", "exp_avg", "exp_avg_sq"}
    live = compiled.optimizer.state[dict(compiled._parameters)["head.bias"]]  # noqa: SLF001 - to be told apart from a copy
    assert state["state"]["head.bias"]["exp_avg"] is live["exp_avg"]


def test_torch_saves_and_loads_it_without_running_code(tmp_path: Path) -> None:
    _, compiled = run(ONE)
    torch.save(compiled.state_dict(), tmp_path / "state.pt")
    _, other = run(ONE, 0)
    assert not other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert same_state(compiled.state_dict(), other.state_dict())


@pytest.mark.parametrize("way", ["dict", "file", "arrays"])
def test_what_is_loaded_is_copied(way: str, tmp_path: Path) -> None:
    model, compiled = run(ONE)
    theirs = deepcopy(model)
    other = optplan.compile(ONE, theirs, steps=STEPS)
    state = compiled.state_dict()
    if way == "file":
        compiled.save(tmp_path / "state.safetensors")
        other.restore(tmp_path / "state.safetensors")
        (tmp_path / "state.safetensors").unlink()
    elif way == "arrays":
        state["state"] = {
            name: {key: np.array(value) for key, value in each.items()} for name, each in state["state"].items()
        }
        other.load_state_dict(state)
    else:
        other.load_state_dict(state)
    before = deepcopy(other.state_dict())
    train(model, compiled, range(3, 6))
    assert same_state(before, other.state_dict())
    train(theirs, other, range(3, 6))
    assert same_weights(model, theirs)


def test_state_is_written_into_the_tensors_that_are_there() -> None:
    model, compiled = run(ONE)
    saved = deepcopy(compiled.state_dict())
    train(model, compiled, range(3, 6))
    live = compiled.state_dict()["state"]["head.bias"]["exp_avg"]
    compiled.load_state_dict(saved)
    assert compiled.state_dict()["state"]["head.bias"]["exp_avg"] is live
    assert torch.equal(live, saved["state"]["head.bias"]["exp_avg"])


def test_a_state_from_before_the_first_update_begins_anew() -> None:
    model, compiled = run(document({"type": "adagrad", "lr": 0.1, "initial_accumulator_value": 0.5}), 0)
    saved = deepcopy(compiled.state_dict())
    begun = {name: {key: value.clone() for key, value in each.items()} for name, each in saved["state"].items()}
    train(model, compiled, range(3))
    assert not compiled.load_state_dict(saved)
    assert compiled.updates == 0
    assert all(torch.equal(compiled.state_dict()["state"][name]["sum"], each["sum"]) for name, each in begun.items())
    _, fresh = run(ONE, 0)
    model, compiled = run(ONE, 4)
    compiled.load_state_dict(fresh.state_dict())
    assert compiled.state_dict()["state"] == {}
    assert compiled.lr() == fresh.lr()


# Another grouping


def test_state_goes_by_name_whatever_the_groups() -> None:
    _, compiled = run(ONE, 4)
    _, other = run(OTHER, 0)
    found = other.load_state_dict(compiled.state_dict())
    assert same_state(compiled.state_dict(), other.state_dict())
    assert other.updates == 4
    assert other.lr() == {group.name: group.value("lr", 4) for group in other.plan.groups}
    assert set(found.regrouped) == {
        name for group in other.plan.groups for name in group.parameters if group.name != "default"
    }
    assert {(key, before, now) for _, key, before, now in found.settings if key == "weight_decay"} == {
        ("weight_decay", 0.1, 0.0)
    }
    assert {each.severity for each in found.diagnostics} == {"note"}
    assert "`weight_decay` of group `norm or bias` was 0.1 when the state was saved, and is 0.0 in the plan" in str(
        found
    )


def test_the_checkpoints_settings_take_the_place_of_the_files() -> None:
    _, compiled = run(document({"type": "adamw", "lr": 0.05, "betas": [0.8, 0.9]}, schedule={"lr": "warmup(5)"}), 3)
    _, other = run(OTHER, 0)
    other.load_state_dict(compiled.state_dict(), on_load="checkpoint")
    for group in other.plan.groups:
        settings = other.settings()[group.name]
        # the file's curve, from the own value that was saved
        assert settings["lr"] == group.schedule["lr"].value(3, 0.05)
        assert settings["betas"] == (0.8, 0.9)
        assert settings["weight_decay"] == compiled.settings()["default"]["weight_decay"]
    assert all(group["own"] == {"lr": 0.05} for group in other.state_dict()["groups"])


def test_what_was_scheduled_and_is_not_stays_as_it_stood() -> None:
    _, compiled = run(ONE, 3)
    _, other = run(document({"type": "adamw", "lr": 0.5}), 0)
    other.load_state_dict(compiled.state_dict(), on_load="checkpoint")
    assert other.lr() == compiled.lr()


def test_an_element_of_a_list_that_is_scheduled() -> None:
    config = document({"type": "adamw", "lr": 0.1, "betas": [0.8, 0.9]}, schedule={"betas[0]": "linear(to=0.5)"})
    _, compiled = run(config, 3)
    _, other = run(document({"type": "adamw", "lr": 0.1}, schedule={"betas[0]": "linear(to=0.5)"}), 0)
    other.load_state_dict(compiled.state_dict(), on_load="checkpoint")
    assert other.settings() == compiled.settings()
    assert other.state_dict()["groups"][0]["own"] == {"betas[0]": 0.8}


def test_one_group_of_two_saved_values_is_told() -> None:
    _, compiled = run(OTHER, 3)
    _, other = run(ONE, 0)
    before = other.settings()
    with pytest.raises(ConfigError) as caught:
        other.load_state_dict(compiled.state_dict(), on_load="checkpoint")
    assert "were saved with" in str(caught.value)
    assert other.settings() == before
    assert other.state_dict()["state"] == {}
    other.load_state_dict(compiled.state_dict(), on_load="checkpoint", strict=False)
    assert other.settings()["default"]["weight_decay"] == 0.1


def test_only_two_ways_of_loading() -> None:
    _, compiled = run(ONE)
    with pytest.raises(ValueError, match="'config' or 'checkpoint', not 'file'"):
        compiled.load_state_dict(compiled.state_dict(), on_load="file")


# Another network, another optimizer


class Wider(Pictures):
    """One with a part more, and with a head for more classes."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Linear(3, 3)
        self.head = nn.Linear(12, 5)


def test_what_is_missing_extra_or_of_another_shape_is_told_with_names() -> None:
    _, compiled = run(ONE)
    _, wider = run(ONE, 0, Wider)
    with pytest.raises(ConfigError) as caught:
        wider.load_state_dict(compiled.state_dict())
    assert codes(caught.value)[:1] == ["OP703"]
    assert set(codes(caught.value)) == {"OP703", "OP705"}
    text = str(caught.value)
    assert "the saved state lacks 2 parameters that the plan trains: `more.weight`, `more.bias`" in text
    assert "the saved `exp_avg` of `head.weight` has shape [3, 12], and needs [5, 12] here" in text
    assert wider.state_dict()["state"] == {}
    assert wider.updates == 0
    found = wider.load_state_dict(compiled.state_dict(), strict=False)
    assert (set(found.missing), set(found.reshaped)) == ({"more.weight", "more.bias"}, {"head.weight", "head.bias"})
    assert wider.updates == 3
    assert wider.state_dict()["state"].keys() == {name for name in compiled.state_dict()["state"] if "head" not in name}


def test_what_is_extra_is_told_and_left_out() -> None:
    _, wider = run(ONE, 3, Wider)
    state = wider.state_dict()
    state["state"] |= {"more.weight": {"step": 3.0, "exp_avg": torch.ones(3, 3), "exp_avg_sq": torch.ones(3, 3)}}
    state["state"] = {name: each for name, each in state["state"].items() if "head" not in name}
    _, compiled = run(ONE, 0)
    with pytest.raises(
        ConfigError, match=r"the saved state has 2 parameters that the plan does not train: `more.weight`"
    ):
        compiled.load_state_dict(state)
    found = compiled.load_state_dict(state, strict=False)
    assert found.extra == ("more.weight", "more.bias")
    assert "more.weight" not in compiled.state_dict()["state"]


def test_a_parameter_that_is_frozen_now() -> None:
    _, compiled = run(ONE)
    _, other = run({**ONE, "rules": [{"where": "stem", "freeze": True}]}, 0)
    with pytest.raises(ConfigError, match=r"frozen here, and trained when it was saved: `stem.weight`, `stem.bias`"):
        other.load_state_dict(compiled.state_dict())
    assert other.load_state_dict(compiled.state_dict(), strict=False).extra == ("stem.weight", "stem.bias")


def test_state_of_another_optimizer_means_nothing() -> None:
    _, compiled = run(SGD)
    muon = document(
        {"type": "sgd", "lr": 0.1, "momentum": 0.9},
        optimizers={"hidden": {"type": "muon", "lr": 0.1}},
        rules=[{"where": "body.weight", "use": "hidden"}],
    )
    _, other = run(muon, 0)
    with pytest.raises(ConfigError, match=r"is of `sgd`, and the plan has `muon`, for 1 parameter: `body.weight`"):
        other.load_state_dict(compiled.state_dict())
    found = other.load_state_dict(compiled.state_dict(), strict=False)
    assert found.reoptimized == ("body.weight",)
    assert "body.weight" not in other.state_dict()["state"]
    assert "head.weight" in other.state_dict()["state"]


def test_adam_and_adamw_remember_the_same() -> None:
    _, compiled = run(document({"type": "adam", "lr": 0.1}))
    _, other = run(ONE, 0)
    with pytest.raises(ConfigError, match="OP706"):
        other.load_state_dict(compiled.state_dict())
    other.load_state_dict(compiled.state_dict(), strict=False)
    assert same_state(compiled.state_dict(), other.state_dict())


def test_a_part_of_the_state_that_the_file_switches_on() -> None:
    _, compiled = run(document({"type": "adam", "lr": 0.1}))
    model, other = run(document({"type": "adam", "lr": 0.1, "amsgrad": True}), 0)
    with pytest.raises(ConfigError, match="has no `max_exp_avg_sq`, which `adam` needs here, of 10 parameters"):
        other.load_state_dict(compiled.state_dict())
    other.load_state_dict(compiled.state_dict(), strict=False)
    assert not other.state_dict()["state"]["head.weight"]["max_exp_avg_sq"].any()
    train(model, other, range(3, 5))
    back = run(document({"type": "adam", "lr": 0.1}), 0)[1]
    with pytest.raises(ConfigError, match="has `max_exp_avg_sq`, which `adam` does not use here, of 10 parameters"):
        back.load_state_dict(other.state_dict())


def test_momentum_that_the_file_switches_on_begins_with_the_next_update() -> None:
    model, compiled = run(document({"type": "sgd", "lr": 0.1}))
    _, other = run(SGD, 0)
    found = other.load_state_dict(compiled.state_dict(), strict=False)
    assert not [each for each in found.diagnostics if each.severity == "error"]
    assert other.state_dict()["state"] == {}
    train(model, other, range(1))


def test_tied_names_find_their_parameter() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.two = nn.Linear(3, 3, bias=False)
            self.two.weight = self.one.weight

    model = Tied()
    compiled = optplan.compile(SGD, model)
    model.one.weight.grad = torch.ones(3, 3)
    compiled.optimizer.step()
    state = deepcopy(compiled.state_dict())
    state["state"] = {"two.weight": state["state"]["one.weight"]}
    state["groups"][0]["parameters"] = ["two.weight"]
    other = optplan.compile(SGD, Tied())
    assert not other.load_state_dict(state)
    assert torch.equal(other.state_dict()["state"]["one.weight"]["momentum_buffer"], torch.ones(3, 3))


def test_lbfgs_keeps_one_state_in_the_order_of_its_parameters() -> None:
    config = document({"type": "lbfgs", "lr": 0.1})
    _, compiled = run(config)
    state = deepcopy(compiled.state_dict())
    state["groups"][0]["parameters"].reverse()
    _, other = run(config, 0)
    with pytest.raises(ConfigError, match="one state for all parameters in their order"):
        other.load_state_dict(state)


def test_a_group_that_has_only_grown_is_the_same_group() -> None:
    config = document({"type": "adamw", "lr": 0.01}, rules=[{"name": "plain", "where": "norm or bias", "lr": 0.1}])
    _, compiled = run(config)
    _, wider = run(config, 0, Wider)
    found = wider.load_state_dict(compiled.state_dict(), strict=False)
    assert found.regrouped == ()
    assert "another group" not in str(found)


# Reports and the loss scale


def test_a_loss_scale_that_is_new_or_gone_is_told() -> None:
    scaled = {**ONE, "loss_scale": "dynamic(init=64, every=5)"}
    _, plain = run(ONE)
    _, other = run(scaled, 0)
    assert "was saved without a loss scale" in str(other.load_state_dict(plain.state_dict()))
    assert other.state_dict()["scaler"] == {"scale": 64.0, "good": 0}
    assert "was saved with a loss scale" in str(plain.load_state_dict(other.state_dict()))


def test_a_fixed_scale_is_the_files() -> None:
    _, one = run({**ONE, "loss_scale": 64})
    _, other = run({**ONE, "loss_scale": 256}, 0)
    other.load_state_dict(one.state_dict())
    assert other.scaler.get_scale() == 256.0


def test_a_fixed_scale_that_is_new_is_no_difference() -> None:
    _, plain = run(ONE)
    _, other = run({**ONE, "loss_scale": 64}, 0)
    assert not other.load_state_dict(plain.state_dict())


def test_reports_of_another_metric_are_told() -> None:
    falls = {**ONE, "schedule": {"lr": "plateau(metric=loss)"}}
    rises = {**ONE, "schedule": {"lr": "plateau(metric=score, mode=max)"}}
    model, one = run(falls, 0)
    one.report(loss=0.5)
    _, other = run(rises, 0)
    with pytest.raises(ConfigError, match="OP704"):
        other.load_state_dict(one.state_dict())
    other.load_state_dict(one.state_dict(), strict=False)
    assert other.state_dict()["reports"][0]["best"] == -float("inf")
    _, plain = run(ONE, 0)
    with pytest.raises(ConfigError, match="has no reports of `loss`, by which a `plateau` goes"):
        one.load_state_dict(plain.state_dict())
    del model


def test_gradients_of_an_update_that_is_not_made_are_dropped() -> None:
    model, compiled = run({**ONE, "accumulate": 2}, 0)
    saved = compiled.state_dict()
    compiled.step(sum(parameter.sum() for parameter in model.parameters()))
    assert compiled.gathered == 1
    compiled.load_state_dict(saved)
    assert compiled.gathered == 0
    assert all(parameter.grad is None for parameter in model.parameters())


# All or nothing


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("sgd", "momentum_buffer", np.zeros(3, complex), "no tensor can be made of the saved `momentum_buffer` of"),
        ("sgd", "momentum_buffer", np.zeros(3, int), "has the type `int64`, which holds no fractions"),
        ("sgd", "momentum_buffer", np.array([object()] * 3), "has the type `object`, which holds no fractions"),
        ("sgd", "momentum_buffer", [torch.zeros(3)], "is a `list`, and no tensor"),
        ("sgd", "momentum_buffer", 1.0, "is a `float`, and no tensor"),
        ("sgd", "momentum_buffer", torch.zeros(4), "has shape [4], and needs [3] here"),
        ("sgd", "momentum_buffer", [torch.tensor([[9]]), torch.zeros(1), False], "no tensor can be made"),
        ("sgd", "momentum_buffer", [torch.tensor([[0]]), torch.zeros(2), False], "is sparse, and not of shape [3]"),
        ("adamw", "step", torch.zeros(2), "has shape [2], and needs [] here"),
        ("adamw", "step", float("nan"), "is nan"),
        ("adamw", "step", [], "is a `list`, and no tensor"),
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(kind: str, field: str, value: Any, said: str) -> None:
    model, compiled = run(SGD if kind == "sgd" else ONE, 2)
    state = deepcopy(compiled.state_dict())
    state["state"]["head.bias"][field] = value
    train(model, compiled, range(2, 4))
    before = deepcopy(compiled.state_dict())
    with pytest.raises(ConfigError) as caught:
        compiled.load_state_dict(state)
    assert said in str(caught.value)
    assert same_state(before, compiled.state_dict())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", "fast", "the saved `lr` of group `default` is 'fast', and must be a number of at least 0"),
        ("lr", -1.0, "and must be at least 0"),
        ("momentum", float("inf"), "and must be finite"),
        ("nesterov", 3, "and must be true or false"),
        ("lr", [0.1, 0.2], "must be a number"),
    ],
)
def test_a_setting_that_cannot_be_changes_nothing(key: str, value: Any, said: str) -> None:
    _, compiled = run(SGD, 2)
    state = deepcopy(compiled.state_dict())
    state["groups"][0]["settings"][key] = value
    before = compiled.settings()
    with pytest.raises(ConfigError) as caught:
        compiled.load_state_dict(state, on_load="checkpoint")
    assert said in str(caught.value)
    assert compiled.settings() == before
    assert f"`{key}` of group `default` was" in str(compiled.load_state_dict(state))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["nadam", "asgd", "adafactor", "rprop", "adamw"])
def test_every_type_of_number_arrives_as_it_was(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    def fresh() -> tuple[nn.Module, Any]:
        model = nn.Linear(3, 2).to(dtype)
        return model, optplan.compile(document({"type": kind, "lr": 0.1}), model)

    model, compiled = fresh()
    for number in (1, 2):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.3 * number)
        compiled.optimizer.step()
    compiled.save(tmp_path / "state.safetensors")
    _, other = fresh()
    other.restore(tmp_path / "state.safetensors")
    mine, theirs = compiled.state_dict()["state"], other.state_dict()["state"]
    for name, fields in mine.items():
        for field, value in fields.items():
            found = theirs[name][field]
            assert (found.dtype, found.device, found.shape) == (value.dtype, value.device, value.shape), field
            assert torch.equal(found, value), field


def test_a_part_of_the_state_is_refused() -> None:
    class Spread(torch.optim.SGD):
        """One of those that spread their state over processes."""

        def consolidate_state_dict(self) -> None:
            """As of `ZeroRedundancyOptimizer`."""

    _, compiled = run(SGD)
    saved = deepcopy(compiled.state_dict())
    compiled.adopt(Spread(compiled.param_groups, lr=0.1))
    for call in (compiled.state_dict, lambda: compiled.load_state_dict(saved)):
        with pytest.raises(ConfigError, match=r"OP708.*`Spread` has a part of the state in each process"):
            call()


def test_the_optimizers_own_state_dict_goes_on_working() -> None:
    model, compiled = run(ONE)
    theirs = deepcopy(model)
    other = optplan.compile(ONE, theirs, steps=STEPS)
    # torch shares what it loads
    other.optimizer.load_state_dict(deepcopy(compiled.optimizer.state_dict()))
    other.scheduler.load_state_dict(compiled.scheduler.state_dict())
    train(model, compiled, range(3, 6))
    train(theirs, other, range(3, 6))
    assert same_weights(model, theirs)
