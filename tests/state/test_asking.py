"""What is answered about the next update is what torch's own objects answer, by name."""

from __future__ import annotations

import pytest
import torch

import optplan
from tests.state.torch_runs import RUNS, start, train
from tests.targets.networks import Pictures, document, seeded

BESIDE = {"params", "name", "optimizer", "initial_lr"}


@pytest.mark.parametrize("name", RUNS)
def test_answers_agree_with_torchs_own(name: str) -> None:
    model, compiled = start(name)
    for update in range(3):
        groups = compiled.optimizer.param_groups
        names = [group.name for group in compiled.plan.groups]
        assert list(compiled.lr()) == list(compiled.settings()) == [group["name"] for group in groups] == names
        assert list(compiled.lr().values()) == [group["lr"] for group in groups]
        if compiled.scheduler is not None:
            assert list(compiled.lr().values()) == compiled.scheduler.get_last_lr()
            assert list(compiled.lr().values()) == compiled.scheduler.get_lr()
        for group in groups:
            assert compiled.settings()[group["name"]] == {k: v for k, v in group.items() if k not in BESIDE}
        for group in compiled.plan.groups:
            assert {compiled.lr_of(each) for each in group.parameters} == {compiled.lr()[group.name]}
        train(model, compiled, range(update, update + 1))


def test_it_is_the_update_to_come() -> None:
    model = seeded(Pictures)
    config = document({"type": "sgd", "lr": 1.0}, schedule={"lr": "warmup(4)"})
    compiled = optplan.compile(config, model, steps=8)
    for t in range(8):
        assert (compiled.updates, compiled.lr()["default"]) == (t, min(t / 4, 1.0))
        train(model, compiled, range(t, t + 1))


def test_a_rate_that_is_a_tensor_is_told_as_a_number() -> None:
    config = document(
        {"type": "adamw", "lr": 0.5}, torch={"tensor_lr": True}, schedule={"lr": "hold(1) -> linear(to=0x)"}
    )
    compiled = optplan.compile(config, seeded(Pictures), steps=8)
    assert isinstance(compiled.optimizer.param_groups[0]["lr"], torch.Tensor)
    assert compiled.lr() == {"default": 0.5}
    assert type(compiled.state_dict()["groups"][0]["settings"]["lr"]) is float


def test_who_has_no_rate_is_told() -> None:
    compiled = optplan.compile(
        document({"type": "adamw", "lr": 0.5}, rules=[{"where": "stem", "freeze": True}]), seeded(Pictures)
    )
    with pytest.raises(KeyError, match=r"'stem.weight' is frozen"):
        compiled.lr_of("stem.weight")
    with pytest.raises(KeyError, match=r"no parameter 'head.wieght'; did you mean 'head.weight'"):
        compiled.lr_of("head.wieght")
    with pytest.raises(TypeError, match="told by its name, and this is a `Parameter`"):
        compiled.lr_of(compiled.parameters[0])


def test_without_a_schedule_the_step_counts() -> None:
    for kind in ("sgd", "adamw"):
        model = seeded(Pictures)
        compiled = optplan.compile(document({"type": kind, "lr": 0.1}), model)
        train(model, compiled, range(3))
        assert compiled.updates == 3
