"""A plan is bound to the model that it was made for, and to no other."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from tests.targets.networks import Pictures, document, same_weights, seeded, train, weights

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = document(
    {"type": "adamw", "lr": 1e-3},
    optimizers={"hidden": {"type": "muon"}},
    rules=[
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "stem", "lr": "0.1x"},
        {"where": "body.weight", "use": "hidden"},
    ],
    schedule={"lr": "cosine()"},
)
UPDATES = 10


def move(model: nn.Module, name: str, to: str) -> None:
    """Take a child away and put it last, under this name."""
    child = model.get_submodule(name)
    delattr(model, name)
    setattr(model, to, child)


def test_a_model_that_is_not_the_one_planned_for_is_refused() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    other = Pictures()
    other.body = nn.Linear(64, 13)
    move(other, "head", "heads")
    before = [p.requires_grad for p in other.parameters()]
    with pytest.raises(ConfigError) as caught:
        plan.bind(other)
    lead = "the model is not the one planned for: it"
    cure = "make the plan from this model: `optplan.plan(config, model)`"
    beside = f"{lead} has beside those of the plan 2 parameters: `heads.weight`, `heads.bias`"
    near = "did you mean `heads.weight` for `head.weight`, `heads.bias` for `head.bias`?"
    shapes = "`body.weight` [13, 64], planned with [12, 64], `body.bias` [13], planned with [12]"
    assert [(fault.code, fault.message, fault.help) for fault in caught.value.diagnostics] == [
        ("OP502", f"{lead} lacks 2 parameters: `head.weight`, `head.bias`", near),
        ("OP502", beside, cure),
        ("OP502", f"{lead} has 2 parameters of another shape: {shapes}", cure),
    ]
    assert [p.requires_grad for p in other.parameters()] == before


def test_one_parameter_and_many() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    more = Pictures()
    more.register_parameter("extra", nn.Parameter(torch.zeros(1)))
    with pytest.raises(ConfigError, match="it has beside those of the plan 1 parameter: `extra`"):
        plan.bind(more)
    with pytest.raises(ConfigError, match=r"it lacks 10 parameters: `stem.weight`, .*, `body.weight`, \.\.\.\n"):
        plan.bind(nn.Linear(2, 2))


def told_of_binding(plan: optplan.Plan, model: nn.Module) -> list[tuple[str, str, str | None]]:
    """Code, message and cure of each reason why `plan` is not bound to `model`."""
    with pytest.raises(ConfigError) as caught:
        plan.bind(model)
    return [(fault.code, fault.message, fault.help) for fault in caught.value.diagnostics]


def test_one_other_shape_is_told_by_itself() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    other = Pictures()
    other.final.weight = nn.Parameter(torch.ones(13))
    cure = "make the plan from this model: `optplan.plan(config, model)`"
    message = "parameter `final.weight` has shape [13], and was planned with [12]"
    assert told_of_binding(plan, other) == [("OP502", message, cure)]


def test_a_smaller_head_is_no_shard() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    fewer = Pictures()
    fewer.head = nn.Linear(12, 2)
    ((code, message, _),) = told_of_binding(plan, fewer)
    assert code == "OP502"
    assert message.endswith("`head.weight` [2, 12], planned with [3, 12], `head.bias` [2], planned with [3]")


OF_SHARDS = "make the plan before wrapping or sharding, and bind it after, to what `fully_shard(model)` has made"


def test_an_empty_shard_is_named() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    shard = Pictures()
    shard.head.weight = nn.Parameter(torch.empty(0))
    message = "the model has a shard of 1 parameter where the plan has the whole: `head.weight` [0] of [3, 12]"
    assert told_of_binding(plan, shard) == [("OP507", message, OF_SHARDS)]


def test_local_shards_are_named() -> None:
    """What a process has of each parameter when they are cut in two along their first dimension."""
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    shard = Pictures()
    for name, parameter in list(shard.named_parameters()):
        owner, _, local = name.rpartition(".")
        setattr(shard.get_submodule(owner), local, nn.Parameter(parameter.detach().chunk(2)[0].clone()))
    ((code, message, cure),) = told_of_binding(plan, shard)
    assert (code, cure) == ("OP507", OF_SHARDS)
    assert message.startswith(
        "the model has a shard of 10 parameters where the plan has the whole: `stem.weight` [2, 1"
    )
    assert message.endswith(", ...")


def test_no_plan_is_made_from_an_empty_shard() -> None:
    shard = Pictures()
    shard.head.weight = nn.Parameter(torch.empty(0, 12))
    for make in (optplan.plan, optplan.compile):
        with pytest.raises(ConfigError) as caught:
            make(CONFIG, shard, steps=UPDATES)
        (fault,) = caught.value.diagnostics
        assert (fault.code, fault.message) == ("OP507", "parameter `head.weight` has no elements: its shape is [0, 12]")
        assert "make the plan before wrapping, and bind it after" in (fault.help or "")
    shard.head.weight.requires_grad_(False)
    assert "head.weight" in optplan.plan(CONFIG, shard, steps=UPDATES).names


@pytest.mark.parametrize(
    ("planned", "bound", "cure"),
    [
        (lambda m: m, lambda m: nn.ModuleDict({"net": m}), "all names begin with `net.` here: bind to `model.net`"),
        (
            lambda m: nn.ModuleDict({"net": m}),
            lambda m: m,
            "the plan's names begin with `net.`: bind it to the whole model that it was made from",
        ),
    ],
    ids=["to a whole that has it", "to a part of it"],
)
def test_a_part_and_a_whole_are_told_apart(
    planned: Callable[[nn.Module], nn.Module], bound: Callable[[nn.Module], nn.Module], cure: str
) -> None:
    plan = optplan.plan(document({"type": "adamw"}), planned(Pictures()))
    (lacks, _) = told_of_binding(plan, bound(Pictures()))
    assert lacks[2] == cure


def test_what_is_tied_in_one_and_not_in_the_other_is_told() -> None:
    def words(*, tied: bool) -> nn.Module:
        model = nn.ModuleDict({"embed": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
        if tied:
            model["head"].weight = model["embed"].weight
        return model

    one, other = (optplan.plan(document({"type": "adamw"}), words(tied=tied)) for tied in (True, False))
    message = "`head.weight` is another name of `embed.weight` %s: tie the two in both, or in neither"
    ((_, _, beside),) = told_of_binding(one, words(tied=False))
    ((_, _, lacks),) = told_of_binding(other, words(tied=True))
    assert (beside, lacks) == (message % "in the plan", message % "in this model")


def test_the_order_of_modules_does_not_matter() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    turned = Pictures()
    move(turned, "stem", "stem")
    assert next(iter(turned.state_dict())) != "stem.weight"
    compiled = plan.bind(turned)
    slow: list[Any] = [
        p for group in compiled.optimizer.param_groups if group["initial_lr"] < 1e-3 for p in group["params"]
    ]
    assert {id(p) for p in slow} == {id(p) for p in turned.stem.parameters()}


def test_parameters_are_those_that_the_model_has_then() -> None:
    """Sharding, moving and copying give a model new parameters."""
    model = seeded(Pictures)
    plan = optplan.plan(CONFIG, model, steps=UPDATES)
    for name, parameter in list(model.named_parameters()):
        owner, _, local = name.rpartition(".")
        setattr(model.get_submodule(owner), local, nn.Parameter(parameter.detach().clone()))
    compiled = plan.bind(model)
    assert {id(p) for p in compiled.parameters} == {id(p) for p in model.parameters()}
    before = weights(model)
    train(model, compiled, range(1))
    assert not any(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_plan_made_on_the_meta_device_trains_a_real_network() -> None:
    with torch.device("meta"):
        blueprint = Pictures()
    mine, theirs = seeded(Pictures), seeded(Pictures)
    plan = optplan.plan(CONFIG, blueprint, steps=UPDATES)
    assert plan == optplan.plan(CONFIG, mine, steps=UPDATES)
    train(mine, plan.bind(mine), range(UPDATES))
    train(theirs, optplan.compile(CONFIG, theirs, steps=UPDATES), range(UPDATES))
    assert same_weights(mine, theirs)


def test_a_plan_read_from_json_trains_the_same() -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    plan = optplan.plan(CONFIG, mine, steps=UPDATES)
    train(mine, plan.bind(mine), range(UPDATES))
    train(theirs, optplan.Plan.from_json(plan.to_json()).bind(theirs), range(UPDATES))
    assert same_weights(mine, theirs)


def test_binding_twice_makes_two_optimizers_that_share_nothing_but_the_parameters() -> None:
    model = seeded(Pictures)
    plan = optplan.plan(CONFIG, model, steps=UPDATES)
    one, other = plan.bind(model), plan.bind(model)
    untouched = deepcopy(other.optimizer.state_dict())
    train(model, one, range(2))
    assert one.optimizer.state
    assert not other.optimizer.state
    assert other.optimizer.state_dict() == untouched
    assert [id(p) for p in one.parameters] == [id(p) for p in other.parameters]


def test_gradients_are_switched_when_a_plan_is_bound() -> None:
    model = seeded(Pictures)
    model.get_parameter("body.weight").requires_grad_(False)
    config = document(
        {"type": "adamw", "lr": 1e-2},
        rules=[{"where": "stem", "freeze": True}, {"where": "body.weight", "freeze": False}],
    )
    plan = optplan.plan(config, model)
    assert (plan.frozen, plan.thawed) == (("stem.weight", "stem.bias"), ("body.weight",))
    assert model.get_parameter("stem.weight").requires_grad, "a plan is data: it touches nothing"
    compiled = plan.bind(model)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["stem.weight", "stem.bias"]
    before = weights(model)
    train(model, compiled, range(3))
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert still == {"stem.weight", "stem.bias"}
    assert model.get_parameter("stem.weight").grad is None


SWITCHED = "the model is not the one planned for: it has gradients switched"
AS_PLANNED = (
    "switch them back, make the plan from this model: `optplan.plan(config, model)`, or let a rule say `freeze: %s`"
)


def test_gradients_that_were_switched_since_are_refused() -> None:
    model = seeded(Pictures)
    model.get_submodule("head").requires_grad_(False)
    plan = optplan.plan(document({"type": "adamw"}), model)
    model.get_submodule("stem").requires_grad_(False)
    model.get_parameter("head.bias").requires_grad_(True)
    before = [p.requires_grad for p in model.parameters()]
    off = f"{SWITCHED} off for 2 parameters that the plan trains: `stem.weight`, `stem.bias`"
    on = f"{SWITCHED} on for 1 parameter that the plan leaves out: `head.bias`"
    assert told_of_binding(plan, model) == [("OP502", off, AS_PLANNED % "false"), ("OP502", on, AS_PLANNED % "true")]
    assert [p.requires_grad for p in model.parameters()] == before
    # Each of the three cures
    optplan.plan(document({"type": "adamw"}), model).bind(model)
    rules = [{"where": "stem", "freeze": False}, {"where": "head", "freeze": True}]
    optplan.plan(document({"type": "adamw"}, rules=rules), model).bind(model)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["head.weight", "head.bias"]
    plan.bind(model)


def test_the_plan_that_is_bound_last_switches_last() -> None:
    """Two stages of one training, planned beforehand: what the first freezes, the second takes in by a rule."""
    model = seeded(Pictures)
    first, second = (
        optplan.plan(document({"type": "sgd", "lr": 0.1}, rules=[{"where": "stem", "freeze": freeze}]), model)
        for freeze in (True, False)
    )
    again = optplan.plan(document({"type": "sgd", "lr": 0.1}), model)
    one = first.bind(model)
    assert not model.get_parameter("stem.weight").requires_grad
    with pytest.raises(ConfigError, match="gradients switched off for 2 parameters that the plan trains"):
        again.bind(model)
    other = second.bind(model)
    assert model.get_parameter("stem.weight").requires_grad
    first.bind(model)
    before = weights(model)
    train(model, other, range(1))
    assert torch.equal(model.get_parameter("stem.weight"), before["stem.weight"]), "frozen by the last that was bound"
    assert not torch.equal(model.get_parameter("head.weight"), before["head.weight"])
    assert len(one.parameters) == len(other.parameters) - 2


def test_what_the_model_has_frozen_stays_out() -> None:
    model = seeded(Pictures)
    model.get_submodule("stem").requires_grad_(False)
    compiled = optplan.compile(document({"type": "adamw"}), model)
    assert len(compiled.parameters) == len(list(model.parameters())) - 2
    assert not model.get_parameter("stem.weight").requires_grad


def test_a_plan_that_trains_nothing_is_not_bound() -> None:
    model = Pictures()
    plan = optplan.plan(document({"type": "adamw"}, rules=[{"where": "all", "freeze": True}]), model)
    with pytest.raises(ConfigError, match="the plan trains no parameter"):
        plan.bind(model)
    assert all(p.requires_grad for p in model.parameters())


def test_what_is_no_network_is_refused() -> None:
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    for thing in (3, "no", None, torch.zeros(2)):
        with pytest.raises(ConfigError) as caught:
            plan.bind(thing)
        assert caught.value.diagnostics[0].code == "OP503"


def test_what_is_given_in_the_wrong_form_is_told_with_its_cure() -> None:
    """A class in a network's place; a plan in a document's."""
    plan = optplan.plan(CONFIG, Pictures(), steps=UPDATES)
    tries: list[tuple[Any, str, str]] = [
        (lambda: plan.bind(Pictures), "`Pictures` is a class, and no network", "build one: `Pictures(...)`"),
        (lambda: optplan.plan(CONFIG, nn.Linear), "`Linear` is a class, and no network", "build one: `Linear(...)`"),
        *(
            (lambda make=make: make(plan, Pictures()), "a `Plan` is no document", "bind it, by `plan.bind(model)`")
            for make in (optplan.plan, optplan.compile)
        ),
    ]
    for attempt, message, cure in tries:
        with pytest.raises(ConfigError) as caught:
            attempt()
        (fault,) = caught.value.diagnostics
        assert fault.message == message
        assert fault.help is not None
        assert fault.help.endswith(cure)


def test_warnings_are_logged_and_counted_in_the_table(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ModuleDict({"stem": nn.Linear(2, 2)})
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "rules": [{"where": "bias or elsewhere", "lr": 0.1}]}
    with caplog.at_level("WARNING", logger="optplan"):
        plan = optplan.plan(document, model)
        optplan.compile(document, model)
    assert [record.name for record in caplog.records] == ["optplan", "optplan"]
    assert all("`elsewhere` matches no parameter" in record.getMessage() for record in caplog.records)
    assert "1 warning" in repr(plan)


def test_a_group_is_shown_as_a_table() -> None:
    model = nn.ModuleDict({"stem": nn.Linear(2, 2)})
    (group,) = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.5}}, model).groups
    lines = repr(group).splitlines()
    assert lines[0] == "group default"
    assert lines[1].split() == ["optimizer", "sgd"]
    assert lines[2].split() == ["lr", "0.5"]
    assert lines[-1].split() == ["parameters", "2,", "6", "elements:", "stem.weight,", "stem.bias"]
    assert group._repr_html_().startswith("<pre>group default")


def test_a_class_of_torch_has_its_public_name_too() -> None:
    model = nn.ModuleDict({"stem": nn.Linear(2, 2), "after": nn.LayerNorm(2)})
    rule = {"where": "type(torch.nn.Linear)", "lr": 0.1}
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd"}, "rules": [rule]}, model)
    assert [group.parameters for group in plan.groups] == [
        ("stem.weight", "stem.bias"),
        ("after.weight", "after.bias"),
    ]


def test_a_model_in_the_place_of_the_document_is_told() -> None:
    model = nn.ModuleDict({"stem": nn.Linear(2, 2)})
    for verb in (optplan.plan, optplan.compile):
        with pytest.raises(ConfigError) as caught:
            verb(model, "some.optim.yaml")  # type: ignore[arg-type]  # what is tested
        (told,) = caught.value.diagnostics
        assert (told.code, told.help) == ("OP103", "the document comes first: `plan(config, model)`")


def test_a_plan_for_an_optimizer_that_is_not_there_is_refused() -> None:
    model = nn.ModuleDict({"stem": nn.Linear(2, 2)})
    text = optplan.plan({"optplan": 1, "optimizer": {"type": "adamw"}}, model).to_json()
    plan = optplan.Plan.from_json(text.replace('"adamw"', '"adamww"'))
    with pytest.raises(ConfigError, match="adamww") as caught:
        plan.bind(model)
    (told,) = caught.value.diagnostics
    assert told.code == "OP505"
    assert (told.help or "").startswith("did you mean `adamw`")
