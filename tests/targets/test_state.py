"""What training remembers survives a file, a copy and a pickle; several optimizers are one to whoever holds them."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import optplan
from optplan.targets.torch.optimizer import MultiOptimizer
from optplan.targets.torch.schedule import PlanScheduler
from tests.targets.cases import SCHEDULE, UPDATES, Case, every_case, network
from tests.targets.networks import Pictures, Words, document, loss_of, same_weights, seeded, train, weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

HALF = UPDATES // 2

# Members whose state and whose way of loading differ most: Adagrad makes state at once and looks at all it sees when it
# loads, SparseAdam counts in plain integers, SGD counts nothing.
SEVERAL: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "muon-adamw": (
        Pictures,
        document(
            {"type": "adamw", "lr": 3e-3, "weight_decay": 0.1},
            optimizers={"hidden": {"type": "muon", "lr": 0.02}},
            rules=[{"where": "norm or bias", "weight_decay": 0}, {"where": "body.weight", "use": "hidden"}],
            schedule={"lr": SCHEDULE, "weight_decay": "cosine(to=2x)", "betas[0]": "linear(to=0.8)"},
        ),
    ),
    "muon-adagrad-sgd": (
        Pictures,
        document(
            {"type": "sgd", "lr": 3e-2, "momentum": 0.9},
            optimizers={
                "hidden": {"type": "muon", "lr": 0.02},
                "head": {"type": "adagrad", "lr": 0.1, "initial_accumulator_value": 0.3},
            },
            rules=[{"where": "body.weight", "use": "hidden"}, {"where": "head", "use": "head"}],
            schedule={"lr": SCHEDULE},
        ),
    ),
    "sparse_adam-adagrad": (
        Words,
        document(
            {"type": "adagrad", "lr": 1e-1},
            optimizers={"table": {"type": "sparse_adam", "lr": 2e-2}},
            rules=[{"where": "embedding", "use": "table"}],
            schedule={"lr": SCHEDULE},
        ),
    ),
    "tensor_lr": (
        Pictures,
        document(
            {"type": "adamw", "lr": 3e-3},
            optimizers={"hidden": {"type": "nadam", "lr": 0.02}},
            rules=[{"where": "body.weight", "use": "hidden"}],
            schedule={"lr": SCHEDULE},
            torch={"tensor_lr": True},
        ),
    ),
}
several = pytest.mark.parametrize("name", SEVERAL)


def compile_several(name: str) -> tuple[nn.Module, Any]:
    build, config = SEVERAL[name]
    model = seeded(build)
    return model, optplan.compile(config, model, steps=UPDATES)


def through_a_file(compiled: Any, path: Path) -> dict[str, Any]:
    """What a user's checkpoint gives back."""
    optimizer, scheduler = compiled
    saved = {"optimizer": optimizer.state_dict()} | ({"scheduler": scheduler.state_dict()} if scheduler else {})
    torch.save(saved, path)
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def resume(config: dict[str, Any], mine: nn.Module, compiled: Any, path: Path) -> None:
    """Half the updates, a checkpoint, a fresh compilation for a copy of the network, the other half."""
    whole = deepcopy(mine)
    train(whole, optplan.compile(config, whole, steps=UPDATES), range(UPDATES))
    train(mine, compiled, range(HALF))
    theirs = deepcopy(mine)
    fresh = optplan.compile(config, theirs, steps=UPDATES)
    loaded = through_a_file(compiled, path)
    fresh.optimizer.load_state_dict(loaded["optimizer"])
    if fresh.scheduler is not None:
        fresh.scheduler.load_state_dict(loaded["scheduler"])
        assert fresh.scheduler.last_epoch == HALF
    train(theirs, fresh, range(HALF, UPDATES))
    train(mine, compiled, range(HALF, UPDATES))
    assert same_weights(theirs, whole)
    assert same_weights(mine, whole), "saving changes nothing"


@every_case
def test_a_checkpoint_in_the_middle_changes_nothing(case: Case, tmp_path: Path) -> None:
    config = case.document(schedule={"lr": SCHEDULE})
    mine = network(case)
    resume(config, mine, optplan.compile(config, mine, steps=UPDATES), tmp_path / "half.pt")


@several
def test_a_checkpoint_of_several_optimizers_changes_nothing(name: str, tmp_path: Path) -> None:
    mine, compiled = compile_several(name)
    resume(SEVERAL[name][1], mine, compiled, tmp_path / "half.pt")


@several
def test_a_checkpoint_in_the_other_order_changes_nothing(name: str, tmp_path: Path) -> None:
    """A scheduler may be loaded before its optimizer."""
    mine, compiled = compile_several(name)
    train(mine, compiled, range(HALF))
    loaded = through_a_file(compiled, tmp_path / "half.pt")
    theirs = deepcopy(mine)
    fresh = optplan.compile(SEVERAL[name][1], theirs, steps=UPDATES)
    assert fresh.scheduler is not None
    fresh.scheduler.load_state_dict(loaded["scheduler"])
    fresh.optimizer.load_state_dict(loaded["optimizer"])
    assert fresh.settings() == compiled.settings()
    train(mine, compiled, range(HALF, UPDATES))
    train(theirs, fresh, range(HALF, UPDATES))
    assert same_weights(mine, theirs)


def unpickled(whole: Any) -> Any:
    return pickle.loads(pickle.dumps(whole))  # noqa: S301 - bytes of this very line


@several
@pytest.mark.parametrize("duplicate", [deepcopy, unpickled])
@pytest.mark.parametrize("begun", [0, HALF])
def test_a_duplicate_trains_on(name: str, duplicate: Callable[[Any], Any], begun: int) -> None:
    mine, compiled = compile_several(name)
    train(mine, compiled, range(begun))
    theirs, optimizer, scheduler = duplicate((mine, *compiled))
    assert type(optimizer) is MultiOptimizer
    assert scheduler.optimizer is optimizer
    assert_bound(optimizer)
    train(theirs, (optimizer, scheduler), range(begun, UPDATES))
    assert not same_weights(mine, theirs), "the two share no weights"
    train(mine, compiled, range(begun, UPDATES))
    assert same_weights(mine, theirs)


def assert_bound(optimizer: MultiOptimizer) -> None:
    """Each member has the whole's own group dicts, in order, and the whole's own state."""
    assert optimizer.members
    for name, member in optimizer.members.items():
        own = [group for group in optimizer.param_groups if group["optimizer"] == name]
        assert list(map(id, member.param_groups)) == list(map(id, own))
        assert member.state is optimizer.state
    assert sum(len(member.param_groups) for member in optimizer.members.values()) == len(optimizer.param_groups)
    assert optimizer.defaults == {}


@several
def test_members_share_groups_and_state_through_everything(name: str) -> None:
    mine, compiled = compile_several(name)
    optimizer = compiled.optimizer
    assert_bound(optimizer)
    train(mine, compiled, range(2))
    assert_bound(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
    assert_bound(optimizer)
    for kind in list(optimizer.members):
        extra = torch.nn.Parameter(torch.ones(3, 3))
        optimizer.add_param_group({"params": [extra], "optimizer": kind, "lr": 0.25})
        assert_bound(optimizer)
        assert optimizer.param_groups[-1]["lr"] == 0.25
    train(mine, compiled, range(2, 4))
    assert_bound(optimizer)


def test_a_group_added_later_is_trained_by_its_class() -> None:
    mine, compiled = compile_several("muon-adagrad-sgd")
    optimizer = compiled.optimizer
    added = {kind: torch.nn.Parameter(torch.ones(3, 3)) for kind in ("muon", "adagrad", "sgd", "adamw")}
    settings = {"muon": {"lr": 0.1}, "adagrad": {"lr": 0.1}, "sgd": {"lr": 0.1}, "adamw": {"lr": 0.1}}
    for kind, parameter in added.items():
        optimizer.add_param_group({"params": [parameter], "optimizer": kind, **settings[kind]})
    assert_bound(optimizer)
    train(mine, compiled, range(1))  # their gradients are None yet
    classes = {
        "muon": torch.optim.Muon,
        "adagrad": lambda p, **keys: torch.optim.Adagrad(p, initial_accumulator_value=0.3, **keys),
        "sgd": torch.optim.SGD,
        "adamw": torch.optim.AdamW,
    }
    gradient = torch.arange(9.0).view(3, 3) - 4
    for kind, parameter in added.items():
        alone = torch.nn.Parameter(torch.ones(3, 3))
        optimizer.zero_grad()
        stock = classes[kind]([alone], **settings[kind])  # type: ignore[operator]  # classes and a function
        for _ in range(3):
            parameter.grad, alone.grad = gradient.clone(), gradient.clone()
            optimizer.step()
            stock.step()
        assert torch.equal(parameter, alone), kind


def test_an_added_group_that_is_refused_leaves_no_trace() -> None:
    _, compiled = compile_several("muon-adamw")
    optimizer = compiled.optimizer
    groups = list(optimizer.param_groups)
    vector = torch.nn.Parameter(torch.ones(3))
    for group, message in [
        ({"params": [vector], "optimizer": "muon"}, "2D"),
        ({"params": [vector]}, "names its `optimizer`"),
        ({"params": [vector], "optimizer": "adamv"}, r"unknown optimizer 'adamv'; did you mean `adam`"),
        ({"params": [vector], "optimizer": "lbfgs"}, "stands alone"),
        ({"params": [groups[0]["params"][0]], "optimizer": "adamw"}, "more than one parameter group"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group(group)
        assert list(map(id, optimizer.param_groups)) == list(map(id, groups))
        assert_bound(optimizer)


def test_groups_that_name_no_optimizer_are_refused() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    for groups, message in [
        ([{"params": [parameter]}], "names its `optimizer`"),
        ([parameter], "names its `optimizer`"),
        ([{"params": [parameter], "optimizer": "lbfgs"}], "stands alone"),
        ([], "empty parameter list"),
    ]:
        with pytest.raises(ValueError, match=message):
            MultiOptimizer(groups)  # type: ignore[arg-type]  # what a user might pass


def test_a_checkpoint_of_other_optimizers_is_refused_before_anything_changes() -> None:
    mine, compiled = compile_several("muon-adamw")
    other = seeded(Pictures)
    config = {**SEVERAL["muon-adamw"][1], "optimizers": {"hidden": {"type": "nadam"}}}
    saved = optplan.compile(config, other, steps=UPDATES).optimizer.state_dict()
    before = compiled.settings()
    with pytest.raises(ValueError, match="group 2 was saved under 'nadam', and is under 'muon' here"):
        compiled.optimizer.load_state_dict(saved)
    assert compiled.settings() == before
    assert_bound(compiled.optimizer)
    train(mine, compiled, range(1))


@several
def test_groups_alone_build_it(name: str) -> None:
    mine, compiled = compile_several(name)
    theirs, built = compile_several(name)
    assert built.optimizer_class is MultiOptimizer
    assert built.defaults == {}
    optimizer = MultiOptimizer(built.param_groups)
    assert_bound(optimizer)
    train(mine, compiled, range(UPDATES))
    train(theirs, (optimizer, PlanScheduler(optimizer, built.plan.groups)), range(UPDATES))
    assert same_weights(mine, theirs)


def test_group_dicts_for_a_host_are_its_own() -> None:
    _, compiled = compile_several("tensor_lr")
    for mine, given in zip(compiled.optimizer.param_groups, compiled.param_groups, strict=True):
        assert mine is not given
        assert mine["params"] is not given["params"]
        assert all(a is b for a, b in zip(mine["params"], given["params"], strict=True))
        assert mine["lr"] is not given["lr"]


@several
def test_a_closure_runs_once_with_gradients(name: str) -> None:
    mine, compiled = compile_several(name)
    theirs, other = compile_several(name)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        compiled.optimizer.zero_grad()
        loss = loss_of(mine, 0)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        return loss

    with torch.no_grad():
        loss = compiled.optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == loss_of(theirs, 0).item()
    train(theirs, other, range(1))
    assert same_weights(mine, theirs)
    assert compiled.optimizer.step() is None


@several
def test_gradients_are_cleared(name: str) -> None:
    mine, compiled = compile_several(name)
    loss_of(mine, 0).backward()  # type: ignore[no-untyped-call]  # torch's own
    compiled.optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in mine.parameters())


@pytest.mark.parametrize("compiling", [False, True], ids=["", "after a first torch.compile"])
@several
def test_hooks_fire_once(name: str, compiling: bool) -> None:
    mine, compiled = compile_several(name)
    if compiling:
        # From here on some classes have a step around the one with hooks, for the rest of the process
        assert torch.compile(torch.neg, backend="eager")(torch.ones(1)) == -1
    optimizer = compiled.optimizer
    heard: list[tuple[str, object]] = []
    optimizer.register_step_pre_hook(lambda who, *_: heard.append(("before", who)))
    optimizer.register_step_post_hook(lambda who, *_: heard.append(("after", who)))
    everywhere = [
        register_optimizer_step_pre_hook(lambda who, *_: heard.append(("before any", who))),
        register_optimizer_step_post_hook(lambda who, *_: heard.append(("after any", who))),
    ]
    try:
        train(mine, compiled, range(1))
    finally:
        for handle in everywhere:
            handle.remove()
    assert heard == [(when, optimizer) for when in ("before any", "before", "after", "after any")]


def test_state_hooks_see_the_whole() -> None:
    mine, compiled = compile_several("muon-adamw")
    train(mine, compiled, range(1))
    heard: list[str] = []
    compiled.optimizer.register_state_dict_post_hook(lambda *_: heard.append("saved"))
    compiled.optimizer.register_load_state_dict_post_hook(lambda *_: heard.append("loaded"))
    saved = compiled.optimizer.state_dict()
    assert len(saved["state"]) == len(list(mine.parameters()))
    compiled.optimizer.load_state_dict(saved)
    assert heard == ["saved", "loaded"]


@pytest.mark.parametrize("name", ["muon-adamw", "muon-adagrad-sgd", "tensor_lr"])
def test_a_gradient_scaler_takes_it(name: str) -> None:
    mine, compiled = compile_several(name)
    theirs, other = compile_several(name)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    for t in range(6):
        compiled.optimizer.zero_grad()
        scaler.scale(loss_of(mine, t)).backward()  # type: ignore[no-untyped-call]  # torch's own
        overflow = t == 3
        if overflow:
            parameter = next(mine.parameters())
            parameter.grad = torch.full_like(parameter, float("inf"))
        before = weights(mine)
        scaler.step(compiled.optimizer)
        scaler.update()
        assert scaler.get_scale() == (1024.0 if t < 3 else 512.0)
        if overflow:
            assert all(torch.equal(p, before[n]) for n, p in mine.named_parameters()), "a skipped update"
        else:
            compiled.scheduler.step()
            # Powers of two scale without rounding.
            train(theirs, other, range(t, t + 1))
            if t < 3:
                assert same_weights(mine, theirs)
    assert compiled.scheduler.last_epoch == 5


def test_a_fused_member_takes_scaled_gradients_as_the_others_do() -> None:
    config = {**SEVERAL["muon-adamw"][1], "torch": {"fused": True}}
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled, other = (optplan.compile(config, model, steps=UPDATES) for model in (mine, theirs))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for t in range(3):
        compiled.optimizer.zero_grad()
        scaler.scale(loss_of(mine, t)).backward()  # type: ignore[no-untyped-call]  # torch's own
        scaler.step(compiled.optimizer)
        scaler.update()
        assert compiled.scheduler is not None
        compiled.scheduler.step()
    train(theirs, other, range(3))
    assert same_weights(mine, theirs)


def test_it_says_what_it_is() -> None:
    _, compiled = compile_several("muon-adamw")
    assert repr(compiled.optimizer) == "MultiOptimizer(groups by optimizer: adamw: 2, muon: 1)"
