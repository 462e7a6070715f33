"""What registering an optimizer changes, and what a file, a plan and PyTorch make of it."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

import optplan
from optplan.catalog import catalog, schema
from optplan.targets.torch.optimizer import MultiOptimizer
from tests.registry import classes

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = optplan.OwnOptimizer("heavy", torch=classes.Heavy, scheduled=("lr", "betas[2]"), description="A heavy ball.")


def document(**more: Any) -> dict[str, Any]:
    return {"optplan": 1, "optimizer": {"type": "heavy", "lr": 0.5}, **more}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def diagnosed(make: Callable[[], Any]) -> list[tuple[str, str]]:
    with pytest.raises(optplan.ConfigError) as caught:
        make()
    return [(each.code, each.message) for each in caught.value.diagnostics]


def test_a_new_value_takes_the_place_of_the_catalog() -> None:
    before, text = catalog(), json.dumps(schema())
    optplan.register(HEAVY)
    assert "heavy" in catalog().optimizers
    assert "optimizer.heavy.betas[2]" in catalog().keys
    assert catalog().optimizers_with("depth") == ("heavy",)
    assert "heavy" not in before.optimizers
    assert json.dumps(before.document) == text


def test_the_same_definition_twice_is_one() -> None:
    optplan.register(HEAVY)
    first = catalog()
    optplan.register(replace(HEAVY), HEAVY)
    assert catalog() is first


def test_another_definition_of_the_name_is_refused() -> None:
    optplan.register(HEAVY)
    with pytest.raises(ValueError, match="'heavy' is registered already, with another definition"):
        optplan.register(replace(HEAVY, scheduled=("lr",)))


def test_all_are_registered_or_none() -> None:
    before = catalog()
    with pytest.raises(ValueError, match="'sgd' is an optimizer of the language"):
        optplan.register(HEAVY, replace(HEAVY, name="sgd"))
    assert catalog() is before


def test_only_definitions_are_registered() -> None:
    with pytest.raises(TypeError, match="an `OwnOptimizer` or an `OwnPolicy` is registered, not 'heavy'"):
        optplan.register("heavy")  # type: ignore[arg-type]  # that is the point


def test_a_dotted_name() -> None:
    optplan.register(replace(HEAVY, name="balls.Heavy"))
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "balls.Heavy"}}, network())
    assert {group.optimizer for group in plan.groups} == {"balls.Heavy"}
    assert isinstance(plan.bind(network()).optimizer, classes.Heavy)


# The schema


VALID = [
    document(),
    document(optimizer={"type": "heavy", "betas": [0, "1 / 2", 3], "depth": 3, "lazy": True}),
    document(optimizer={"type": "heavy", "torch": {"foreach": None}}),
    document(rules=[{"where": "bias", "depth": "ndim", "betas[2]": 0.5, "lazy": True}]),
    document(schedule={"betas[2]": "hold()"}),
    # what others allow they still allow
    document(rules=[{"where": "bias", "betas": [0.9, 0.99], "weight_decay": 0.1}], optimizer={"type": "adamw"}),
]  # fmt: skip

INVALID = [
    (document(optimizer={"type": "heavyy"}), "OP105"),
    (document(optimizer={"type": "heavy", "momentum": 0.9}), "OP113"),
    (document(optimizer={"type": "heavy", "dpeth": 1}), "OP101"),
    (document(optimizer={"type": "heavy", "betas": [0, 1]}), "OP103"),
    (document(optimizer={"type": "heavy", "depth": 1.5}), "OP103"),
    (document(optimizer={"type": "heavy", "torch": {"fused": True}}), "OP115"),
    (document(optimizer={"type": "heavy", "mindspore": {"grad_centralization": True}}), "OP115"),
    (document(rules=[{"where": "all", "weight_decay": -1}]), "OP104"),
    (document(rules=[{"where": "all", "betas": [0, 0]}]), "OP305"),
    (document(rules=[{"where": "all", "betas": [1.5, 0, 0]}], optimizer={"type": "adamw"}), "OP305"),
    (document(schedule={"depth": "hold()"}), "OP406"),
]


@pytest.mark.parametrize("given", VALID)
def test_the_schema_takes_what_is_registered(given: dict[str, Any]) -> None:
    optplan.register(HEAVY)
    Draft202012Validator.check_schema(dict(schema()))
    assert list(Draft202012Validator(dict(schema())).iter_errors(given)) == []
    optplan.load(given)


@pytest.mark.parametrize(("given", "code"), INVALID)
def test_a_fault_about_it_is_told_as_of_any(given: dict[str, Any], code: str) -> None:
    optplan.register(HEAVY)
    assert [found for found, _ in diagnosed(lambda: optplan.load(given))] == [code]


def test_what_a_rule_may_say_of_shared_settings_is_what_either_allows() -> None:
    # momentum is 0 or more in the language, and here from -1 to 1
    optplan.register(
        optplan.OwnOptimizer(
            "odd",
            torch="package.module.Odd",
            settings={"momentum": {"type": "number", "default": 0, "minimum": -1, "maximum": 1}, "nesterov": 0.5},
        )
    )
    rule = schema()["$defs"]["rule"]["properties"]
    assert rule["momentum"]["minimum"] == -1
    assert "maximum" not in rule["momentum"]
    assert set(rule["nesterov"]["type"]) == {"boolean", "number", "string"}
    assert rule["weight_decay"] == {"$ref": "#/$defs/settings/weight_decay"}
    refused = document(optimizer={"type": "sgd"}, rules=[{"where": "all", "momentum": -0.5}])
    assert [code for code, _ in diagnosed(lambda: optplan.load(refused))] == ["OP305"]


# Plans


def test_a_plan_goes_through_json_and_pickle() -> None:
    optplan.register(HEAVY)
    text = "warmup(10) -> cosine(to=0.1x)"
    plan = optplan.plan(document(schedule={"lr": text, "betas[2]": "linear(to=0.5x)"}), network(), steps=100)
    assert optplan.Plan.from_json(plan.to_json()) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own bytes
    assert "heavy" in repr(plan)
    assert plan.value("0.weight", "lr", 5) == 0.25


def test_a_plan_of_a_program_that_registers_more_asks_for_it() -> None:
    optplan.register(replace(HEAVY, name="heavier"))
    text = optplan.plan({"optplan": 1, "optimizer": {"type": "heavier"}}, network()).to_json().replace("heavier", "hev")
    told = diagnosed(lambda: optplan.Plan.from_json(text).bind(network()))
    assert told == [("OP505", "the plan asks for the optimizer `hev`, which is not registered here")]


def test_without_a_class_for_a_framework_it_says_so() -> None:
    optplan.register(HEAVY)
    there = replace(optplan.network(network()), target="mindspore")
    (told,) = diagnosed(lambda: optplan.plan(document(), there))
    assert told[0] == "OP501"
    assert told[1].endswith("it was registered with a class for torch only")


def test_what_a_class_cannot_schedule_on_one_framework_is_refused_there() -> None:
    both = replace(HEAVY, mindspore=optplan.Native("package.module.Heavy", scheduled=["lr"]))
    optplan.register(both)
    there = replace(optplan.network(network()), target="mindspore")
    fine = optplan.plan(document(schedule={"lr": "cosine()"}), there, steps=10)
    assert [group.optimizer for group in fine.groups] == ["heavy"]
    told = diagnosed(lambda: optplan.plan(document(schedule={"betas[2]": "cosine()"}), there, steps=10))
    assert [code for code, _ in told] == ["OP501"]
    assert "betas[2]" in told[0][1]


# PyTorch


def test_one_optimizer_is_the_class_itself() -> None:
    optplan.register(HEAVY)
    model = network()
    compiled = optplan.compile(document(rules=[{"where": "bias", "depth": 7}]), model)
    assert type(compiled.optimizer) is classes.Heavy
    assert {name: each["depth"] for name, each in compiled.settings().items()} == {"bias": 7, "default": 2}
    again = compiled.optimizer_class(compiled.param_groups, **compiled.defaults)
    assert [group["depth"] for group in again.param_groups] == [group["depth"] for group in compiled.param_groups]


def test_one_of_several_is_a_member() -> None:
    optplan.register(HEAVY)
    model = network()
    beside = document(optimizers={"rest": {"type": "sgd", "lr": 1}}, rules=[{"where": "bias", "use": "rest"}])
    optimizer, scheduler = optplan.compile({**beside, "schedule": {"lr": "linear(to=0x)"}}, model, steps=10)
    assert isinstance(optimizer, MultiOptimizer)
    assert {name: type(each) for name, each in optimizer.members.items()} == {
        "heavy": classes.Heavy,
        "sgd": torch.optim.SGD,
    }
    # two updates by hand: velocity g, then 1.999 g; rates 0.5 and 0.45
    weight = model[0].weight.detach().clone()  # type: ignore[index]  # a Sequential of Linear layers
    gradients = [torch.ones_like(each) for each in model.parameters()]
    for _ in range(2):
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        scheduler.step()
    assert torch.allclose(model[0].weight, weight - (0.5 + 0.45 * 1.999), rtol=0, atol=1e-6)  # type: ignore[index]  # as above
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(state)
    assert "velocity" in next(iter(optimizer.state.values()))


def test_a_class_is_given_all_that_its_constructor_asks_for() -> None:
    strict = optplan.OwnOptimizer("strict", torch=classes.Strict, settings={"power": {"type": "number", "default": 2}})
    optplan.register(strict)
    rules = [{"where": "bias", "power": 3, "lr": 0}]
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "strict"}, "rules": rules}, network())
    assert [group["power"] for group in compiled.optimizer.param_groups] == [2.0, 3.0]


def test_a_class_that_is_not_there_is_told() -> None:
    optplan.register(optplan.OwnOptimizer("lost", torch="tests.registry.classes.Lost", settings={}))
    told = diagnosed(lambda: optplan.compile({"optplan": 1, "optimizer": {"type": "lost"}}, network()))
    assert [code for code, _ in told] == ["OP603"]
    assert told[0][1].startswith("`lost` is carried out by `tests.registry.classes.Lost`, which cannot be imported:")
