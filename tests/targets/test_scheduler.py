"""One scheduler drives every scheduled key of every group, to the values that the plan says."""

from __future__ import annotations

from io import BytesIO
from math import cos, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LRScheduler

import optplan
from tests.targets.cases import UPDATES
from tests.targets.networks import Pictures, advance, document, seeded, train

if TYPE_CHECKING:
    from torch import nn

KEYS = ("lr", "weight_decay", "betas[0]")
CONFIG = document(
    {"type": "adamw", "lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.99]},
    optimizers={"hidden": {"type": "muon", "lr": 0.02, "momentum": 0.95}},
    rules=[
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "head", "lr": "0.1x", "schedule": {"lr": "hold(2, at=0x) -> cosine(to=1e-5)"}},
        {"where": "body.weight", "use": "hidden"},
    ],
    schedule={
        "lr": "warmup(5) -> cosine(to=0.1x)",
        "weight_decay": "cosine(to=2x)",
        "betas[0]": "linear(to=0.5)",
        "momentum": "warmup(5, from=0.9x)",
    },
)


def compile_pictures(config: dict[str, Any] = CONFIG) -> tuple[nn.Module, Any]:
    model = seeded(Pictures)
    return model, optplan.compile(config, model, steps=UPDATES)


def driven(compiled: Any) -> dict[tuple[str, str], float]:
    """What stands in the native groups, by group and key."""
    found = {}
    for group in compiled.optimizer.param_groups:
        for key in (*KEYS, "momentum"):
            name, _, place = key.partition("[")
            if name in group:
                found[group["name"], key] = group[name][int(place[0])] if place else group[name]
    return found


def planned(compiled: Any, t: int) -> dict[tuple[str, str], float]:
    """What the plan says of the same."""
    found = {}
    for group in compiled.plan.groups:
        keys = KEYS if group.optimizer == "adamw" else ("lr", "weight_decay", "momentum")
        for key in keys:
            found[group.name, key] = compiled.plan.value(group.parameters[0], key, t)
    return found


def test_it_is_one_of_torchs_schedulers() -> None:
    _, compiled = compile_pictures()
    scheduler = compiled.scheduler
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.optimizer is compiled.optimizer
    assert scheduler.last_epoch == 0
    assert scheduler.base_lrs == [group["initial_lr"] for group in compiled.optimizer.param_groups]
    assert scheduler.base_lrs == [group.settings["lr"] for group in compiled.plan.groups]
    assert scheduler.get_last_lr() == [group["lr"] for group in compiled.optimizer.param_groups]
    assert optplan.compile(document({"type": "sgd"}), seeded(Pictures)).scheduler is None


def test_every_update_has_the_values_of_the_plan() -> None:
    model, compiled = compile_pictures()
    for t in range(UPDATES + 5):
        assert driven(compiled) == planned(compiled, t)
        assert compiled.scheduler.get_last_lr() == [group["lr"] for group in compiled.optimizer.param_groups]
        assert compiled.lr() == {group["name"]: group["lr"] for group in compiled.optimizer.param_groups}
        advance(model, [compiled.optimizer], t)
        compiled.scheduler.step()
        assert compiled.scheduler.last_epoch == t + 1


def test_the_values_are_the_published_formulas() -> None:
    _, compiled = compile_pictures()
    for t in range(UPDATES):
        by_name = {name: compiled.plan.group_of(name).name for name in ("stem.weight", "norm.weight", "head.weight")}
        values = driven(compiled)
        warm = t / 5 if t < 5 else 0.1 + 0.9 * (1 + cos(pi * (t - 5) / 15)) / 2
        assert values[by_name["stem.weight"], "lr"] == pytest.approx(1e-2 * warm, rel=1e-12)
        assert values[by_name["stem.weight"], "weight_decay"] == pytest.approx(0.1 * (2 - (1 + cos(pi * t / 20)) / 2))
        assert values[by_name["norm.weight"], "weight_decay"] == 0.0, "what is 0 stays 0"
        assert values[by_name["stem.weight"], "betas[0]"] == pytest.approx(0.9 - 0.4 * t / 20)
        held = 0.0 if t < 2 else 1e-5 - 1e-5 * (1 + cos(pi * (t - 2) / 18)) / 2
        assert values[by_name["head.weight"], "lr"] == pytest.approx(held, rel=1e-12)
        assert values["body.weight", "momentum"] == pytest.approx(0.95 * (0.9 + 0.1 * min(t / 5, 1)))
        compiled.scheduler.step()


def test_the_last_values_stand_after_the_end() -> None:
    _, compiled = compile_pictures()
    for _ in range(UPDATES):
        compiled.scheduler.step()
    last = driven(compiled)
    assert last[compiled.plan.group_of("stem.weight").name, "lr"] == pytest.approx(1e-3)
    for _ in range(30):
        compiled.scheduler.step()
        assert driven(compiled) == last


def test_a_step_advances_whatever_the_optimizer_does() -> None:
    """Warnings are errors here: torch warns of this order, and of a scheduler that was stepped twice."""
    _, compiled = compile_pictures()
    compiled.scheduler.step()
    compiled.scheduler.step()
    compiled.optimizer.step()
    compiled.scheduler.step()
    assert compiled.scheduler.last_epoch == 3
    assert driven(compiled) == planned(compiled, 3)


def test_nothing_is_accumulated() -> None:
    """Values that something else has put into the groups do not stay."""
    _, compiled = compile_pictures()
    for t in range(1, UPDATES):
        for group in compiled.optimizer.param_groups:
            group["lr"] = 123.0
        compiled.scheduler.step()
        assert driven(compiled) == planned(compiled, t)


def test_it_can_go_to_an_update() -> None:
    _, compiled = compile_pictures()
    for t in (7, 3, 19, 0):
        compiled.scheduler.step(t)
        assert driven(compiled) == planned(compiled, t)


@pytest.mark.parametrize("number", [0.31, 3.0, True, "3", torch.tensor(0.5), torch.tensor(3)])
def test_what_is_no_number_of_an_update_changes_nothing(number: Any) -> None:
    """`step(loss)` is how a metric is reported to torch's `ReduceLROnPlateau`: here it would be taken for an update."""
    _, compiled = compile_pictures()
    compiled.scheduler.step()
    before = driven(compiled), compiled.scheduler.state_dict()
    with pytest.raises(TypeError, match=r"reported by its name: `step\(loss=0.31\)`"):
        compiled.scheduler.step(number)
    with pytest.raises(TypeError, match="the number of an update"):
        compiled.scheduler.load_state_dict(before[1] | {"last_epoch": number})
    with pytest.raises(ValueError, match="counted from 0, and this is -1"):
        compiled.scheduler.step(-1)
    assert (driven(compiled), compiled.scheduler.state_dict()) == before
    compiled.scheduler.step(np.int64(3))
    assert type(compiled.scheduler.last_epoch) is int
    assert driven(compiled) == planned(compiled, 3)


def test_its_state_is_plain_and_loads_anywhere() -> None:
    _, compiled = compile_pictures()
    for _ in range(7):
        compiled.scheduler.step()
    saved = compiled.scheduler.state_dict()
    assert saved["last_epoch"] == 7
    assert all(type(value) in (int, float) or all(type(item) is float for item in value) for value in saved.values())
    _, fresh = compile_pictures()
    fresh.scheduler.load_state_dict(saved)
    assert fresh.scheduler.state_dict() == saved
    assert driven(fresh) == driven(compiled) == planned(compiled, 7)
    assert fresh.scheduler.get_last_lr() == compiled.scheduler.get_last_lr()


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint gives back."""
    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def add_a_group(compiled: Any) -> None:
    extra = {"params": [torch.nn.Parameter(torch.ones(2))], "optimizer": "adamw", "lr": 0.5, "name": "extra"}
    compiled.optimizer.add_param_group(extra)


@given(stop=st.integers(0, UPDATES + 5), more=st.integers(0, 10), added=st.sampled_from(["never", "before", "after"]))
def test_resuming_equals_not_having_stopped(stop: int, more: int, added: str) -> None:
    """At any update, whether or not the optimizer has got a group that the plan does not know."""
    _, whole = compile_pictures()
    _, resumed = compile_pictures()
    for each in (whole, resumed):
        if added == "before":
            add_a_group(each)
    for _ in range(stop):
        whole.scheduler.step()
    resumed.scheduler.load_state_dict(through_a_file(whole.scheduler.state_dict()))
    for each in (whole, resumed):
        if added == "after":
            add_a_group(each)
    for t in range(stop, stop + more + 1):
        assert resumed.lr() == whole.lr()
        assert resumed.settings() == whole.settings()
        assert driven(resumed).items() >= planned(resumed, t).items()
        assert resumed.scheduler.last_epoch == whole.scheduler.last_epoch == t
        assert resumed.scheduler.get_lr() == [group["lr"] for group in whole.optimizer.param_groups]
        assert resumed.scheduler.state_dict() == whole.scheduler.state_dict()
        whole.scheduler.step()
        resumed.scheduler.step()
        assert resumed.scheduler.get_last_lr() == [group["lr"] for group in whole.optimizer.param_groups]


def test_what_becomes_a_tensor_later_stays_one() -> None:
    """As PyTorch advises for a compiled `step`; in one group of three, which share a policy."""
    rules = [{"where": "head", "lr": "0.1x"}, {"where": "body", "lr": "0.5x"}]
    config = document({"type": "adamw", "lr": 1.0}, rules=rules, schedule={"lr": "linear(to=0x)"})
    compiled = optplan.compile(config, seeded(Pictures), steps=UPDATES)
    assert compiled.scheduler is not None
    compiled.scheduler.step()
    groups = compiled.optimizer.param_groups
    assert compiled.scheduler.get_last_lr() == [group["lr"] for group in groups]
    tensor = torch.tensor(groups[1]["lr"], dtype=torch.float64)
    groups[1]["lr"] = tensor
    compiled.scheduler.step()
    assert groups[1]["lr"] is tensor
    assert compiled.lr() == {group.name: group.value("lr", 2) for group in compiled.plan.groups}
    assert compiled.scheduler.get_last_lr() == [group["lr"] for group in groups]


def test_new_group_dicts_are_driven_too() -> None:
    model, compiled = compile_pictures()
    train(model, compiled, range(3))
    compiled.optimizer.load_state_dict(compiled.optimizer.state_dict())
    compiled.scheduler.step()
    assert driven(compiled) == planned(compiled, 4)


def test_a_group_added_later_is_left_alone() -> None:
    _, compiled = compile_pictures()
    add_a_group(compiled)
    compiled.scheduler.step()
    assert compiled.optimizer.param_groups[-1]["lr"] == 0.5
    assert compiled.scheduler.get_last_lr()[-1] == 0.5


def test_a_tensor_stays_the_same_tensor() -> None:
    schedule = {key: policy for key, policy in CONFIG["schedule"].items() if key != "momentum"}
    others = {"hidden": {"type": "nadam"}}
    config = {**CONFIG, "optimizers": others, "schedule": schedule, "torch": {"tensor_lr": True}}
    model, compiled = compile_pictures(config)
    tensors = [group["lr"] for group in compiled.optimizer.param_groups]
    assert all(isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32 for tensor in tensors)
    for t in range(UPDATES):
        assert all(now["lr"] is was for now, was in zip(compiled.optimizer.param_groups, tensors, strict=True))
        for group, tensor in zip(compiled.plan.groups, tensors, strict=True):
            assert torch.equal(tensor, torch.tensor(group.value("lr", t)))
        train(model, compiled, range(t, t + 1))
    last = compiled.scheduler.get_last_lr()
    last[0].fill_(7.0)
    assert compiled.optimizer.param_groups[0]["lr"] != 7.0, "what is told is a copy"


def test_an_absolute_value_is_the_same_for_all_groups() -> None:
    model = seeded(Pictures)
    config = document(
        {"type": "sgd", "lr": 0.1}, rules=[{"where": "head", "lr": "0.1x"}], schedule={"lr": "linear(to=1e-3)"}
    )
    compiled = optplan.compile(config, model, steps=10)
    for t in range(12):
        progress = min(t / 10, 1.0)
        expected = [own + (1e-3 - own) * progress for own in (0.1, 0.1 * 0.1)]
        assert [group["lr"] for group in compiled.optimizer.param_groups] == pytest.approx(expected, rel=1e-12)
        assert compiled.scheduler is not None
        compiled.scheduler.step()
