"""The options that only torch has: where they go, and that training is that of a hand-written optimizer with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optplan
from optplan.targets.torch.optimizer import MultiOptimizer
from tests.targets.cases import SCHEDULE, UPDATES, factor
from tests.targets.networks import Pictures, advance, document, same_weights, seeded, train

CLASSES: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
    "asgd": torch.optim.ASGD,
    "adafactor": torch.optim.Adafactor,
}
FUSED = ("sgd", "adam", "adamw", "adagrad")
CAPTURABLE = ("adam", "adamw", "adamax", "nadam", "radam", "adadelta", "rmsprop", "rprop", "asgd")
DIFFERENTIABLE = tuple(kind for kind in CLASSES if kind != "adafactor")
PLAIN = ("norm.", "final.")


def assert_trains_as_by_hand(kind: str, options: dict[str, Any], *, tensor: bool = False) -> None:
    """Two groups and a schedule."""
    mine, theirs = seeded(Pictures), seeded(Pictures)
    config = document(
        {"type": kind, "lr": 1e-2},
        rules=[{"where": "norm or bias", "lr": "0.5x"}],
        schedule={"lr": SCHEDULE},
        torch=options,
    )
    compiled = optplan.compile(config, mine, steps=UPDATES)
    train(mine, compiled, range(UPDATES))
    spared = [p for n, p in theirs.named_parameters() if n.endswith("bias") or n.startswith(PLAIN)]
    rest = [p for n, p in theirs.named_parameters() if not (n.endswith("bias") or n.startswith(PLAIN))]
    lrs = [1e-2, 1e-2 * 0.5]
    rates = [torch.tensor(lr) if tensor else lr for lr in lrs]
    keywords = {key: value for key, value in options.items() if key != "tensor_lr"}
    groups = [{"params": rest, "lr": rates[0]}, {"params": spared, "lr": rates[1]}]
    optimizer = CLASSES[kind](groups, **keywords)
    for t in range(UPDATES):
        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
            if tensor:
                group["lr"].fill_(lr * factor(t))
            else:
                group["lr"] = lr * factor(t)
        advance(theirs, [optimizer], t)
    assert same_weights(mine, theirs)


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("kind", CLASSES)
def test_foreach(kind: str, *, foreach: bool) -> None:
    assert_trains_as_by_hand(kind, {"foreach": foreach})


@pytest.mark.parametrize("kind", FUSED)
def test_fused(kind: str) -> None:
    assert_trains_as_by_hand(kind, {"fused": True})


@pytest.mark.parametrize("kind", CLASSES)
def test_tensor_lr(kind: str) -> None:
    assert_trains_as_by_hand(kind, {"tensor_lr": True, "foreach": False}, tensor=True)


@pytest.mark.parametrize("kind", [kind for kind in FUSED if kind != "adagrad"])
def test_fused_with_a_tensor(kind: str) -> None:
    assert_trains_as_by_hand(kind, {"tensor_lr": True, "fused": True}, tensor=True)


@pytest.mark.parametrize(
    ("kind", "option"),
    [(kind, "capturable") for kind in CAPTURABLE] + [(kind, "differentiable") for kind in DIFFERENTIABLE],
)
def test_options_that_are_only_set_here(kind: str, option: str) -> None:
    """Recording needs an accelerator, and gradients through the update need parameters that are no leaves."""
    config = document({"type": kind, "torch": {option: True}}, rules=[{"where": "bias", "lr": "0.5x"}])
    optimizer, _ = optplan.compile(config, seeded(Pictures))
    assert type(optimizer) is CLASSES[kind]
    assert [group[option] for group in optimizer.param_groups] == [True, True]
    assert optimizer.defaults[option] is True


def test_a_gradient_scaler_hands_its_scale_to_a_fused_optimizer() -> None:
    optimizer, _ = optplan.compile(document({"type": "adamw", "torch": {"fused": True}}), seeded(Pictures))
    stock = torch.optim.AdamW(seeded(Pictures).parameters(), fused=True)
    assert optimizer._step_supports_amp_scaling is stock._step_supports_amp_scaling is True  # noqa: SLF001 - what GradScaler asks


def test_an_option_of_a_rule_is_its_groups() -> None:
    config = document(
        {"type": "adamw", "torch": {"foreach": True}},
        rules=[
            {"where": "head", "torch": {"foreach": False}},
            {"where": "stem", "torch": {"foreach": False, "fused": True}},
        ],
    )
    model = seeded(Pictures)
    compiled = optplan.compile(config, model)
    found = {
        name: (group["foreach"], group["fused"])
        for name, p in model.named_parameters()
        for group in compiled.optimizer.param_groups
        if any(p is each for each in group["params"])
    }
    assert found["head.weight"] == (False, None)
    assert found["stem.weight"] == (False, True)
    assert found["body.weight"] == (True, None)
    assert compiled.optimizer.defaults["foreach"] is None, "not all groups share it"
    train(model, compiled, range(2))


def test_an_option_at_the_top_goes_to_each_optimizer_that_has_it() -> None:
    config = document(
        {"type": "adamw"},
        optimizers={"hidden": {"type": "muon"}, "head": {"type": "nadam"}},
        rules=[{"where": "body.weight", "use": "hidden"}, {"where": "head", "use": "head"}],
        torch={"fused": True},
    )
    compiled = optplan.compile(config, seeded(Pictures))
    assert {group["optimizer"]: group.get("fused") for group in compiled.optimizer.param_groups} == {
        "adamw": True,
        "muon": None,
        "nadam": None,
    }
    assert isinstance(compiled.optimizer, MultiOptimizer)
    assert compiled.optimizer.members["adamw"].defaults["fused"] is True


# What a group holds

EVERYTHING = document(
    {"type": "adamw", "lr": 1e-3, "betas": [0.8, 0.9]},
    optimizers={
        "factored": {"type": "adafactor", "eps": [None, 1e-3]},
        "hidden": {"type": "muon", "adjust_lr_fn": "original"},
        "plain": {"type": "sgd", "momentum": 0.9, "nesterov": True},
    },
    rules=[
        {"where": "norm", "use": "plain"},
        {"where": "stem", "use": "factored"},
        {"name": "middle", "where": "body.weight", "use": "hidden"},
        {"where": "bias", "lr": "0.1x"},
    ],
    schedule={"lr": SCHEDULE, "betas[0]": "linear(to=0.5)"},
)


def plain(value: object) -> bool:
    return type(value) in {str, int, float, bool, type(None)} or (type(value) is tuple and all(map(plain, value)))


def test_groups_hold_plain_data() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(EVERYTHING, model, steps=UPDATES)
    for _ in range(3):
        for native, group in zip(compiled.optimizer.param_groups, compiled.plan.groups, strict=True):
            for key, value in native.items():
                assert key == "params" or plain(value), (group.name, key, value)
            assert native["name"] == group.name
            assert native["initial_lr"] == group.settings["lr"]
            assert native["optimizer"] == group.optimizer
            assert len(native["params"]) == len(group.parameters)
            scheduled = {key.partition("[")[0] for key in group.schedule}
            same = {key: value for key, value in group.settings.items() if key not in scheduled}
            assert {key: native[key] for key in same} == same
        train(model, compiled, range(1))


def test_a_single_class_gets_the_same_groups() -> None:
    compiled = optplan.compile(
        document({"type": "adamw", "lr": 2e-3}, rules=[{"where": "bias", "lr": "0.1x"}]), Pictures()
    )
    assert [(group["name"], group["initial_lr"]) for group in compiled.optimizer.param_groups] == [
        ("default", 2e-3),
        ("bias", 2e-3 * 0.1),
    ]
    assert all("optimizer" not in group for group in compiled.optimizer.param_groups)


def test_a_tensor_rate_is_the_only_tensor() -> None:
    config = document({"type": "adamw"}, rules=[{"where": "bias", "torch": {"tensor_lr": True}}])
    compiled = optplan.compile(config, Pictures())
    matrices, biases = compiled.optimizer.param_groups
    assert type(matrices["lr"]) is float
    assert isinstance(biases["lr"], torch.Tensor)
    assert (biases["lr"].dtype, biases["lr"].shape) == (torch.float32, ())
    assert all(plain(value) for key, value in biases.items() if key not in {"params", "lr"})
    assert "tensor_lr" not in biases, "an option of optplan's own"
    assert compiled.lr() == {"default": 1e-3, "bias": pytest.approx(1e-3, rel=1e-7)}


def test_the_bookkeeping_of_lbfgs_is_torchs() -> None:
    table: list[dict[str, Any]] = [{}, {"max_iter": 7}, {"max_iter": 7, "max_eval": 5}]
    for settings in table:
        optimizer, _ = optplan.compile(document({"type": "lbfgs", **settings}), Pictures())
        stock = torch.optim.LBFGS(Pictures().parameters(), **settings)
        (mine,), (theirs,) = optimizer.param_groups, stock.param_groups
        assert {key: mine[key] for key in theirs if key != "params"} == {
            key: value for key, value in theirs.items() if key != "params"
        }


def test_the_answers_about_what_was_compiled() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(EVERYTHING, model, steps=UPDATES)
    optimizer, scheduler = compiled
    assert optimizer is compiled.optimizer
    assert scheduler is compiled.scheduler
    assert compiled.scaler is None
    assert {id(p) for p in compiled.parameters} == {id(p) for p in model.parameters()}
    order = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in compiled.parameters] == order
    for t in range(3):
        for group in compiled.plan.groups:
            assert compiled.lr()[group.name] == group.value("lr", t)
            assert compiled.settings()[group.name]["lr"] == group.value("lr", t)
            assert all(compiled.lr_of(name) == group.value("lr", t) for name in group.parameters)
        train(model, compiled, range(t, t + 1))
    with pytest.raises(KeyError, match=r"stem\.weigth"):
        compiled.lr_of("stem.weigth")
    assert "MultiOptimizer" in repr(compiled)


def test_a_frozen_parameter_has_no_rate() -> None:
    compiled = optplan.compile(document({"type": "adamw"}, rules=[{"where": "head", "freeze": True}]), Pictures())
    with pytest.raises(KeyError, match="frozen"):
        compiled.lr_of("head.weight")
    assert len(compiled.parameters) == 8
