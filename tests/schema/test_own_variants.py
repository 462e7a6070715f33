"""The optimizers that one framework alone has: their names, and what is said where they cannot be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import optplan
from optplan import ConfigError
from optplan.catalog import OptimizerType, catalog, schema
from optplan.report.explain import explain
from optplan.resolve.network import from_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.resolve.network import Network

CATALOG = catalog()
OWN = [kind for kind in CATALOG.optimizers.values() if "." in kind.name]
CANONICAL = [kind for kind in CATALOG.optimizers.values() if "." not in kind.name]
each_own = pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.name)


@each_own
def test_it_is_one_frameworks_and_says_what_is_nearest(kind: OptimizerType) -> None:
    framework = kind.name.partition(".")[0]
    assert set(kind.lowerings) == {framework}
    assert not kind.refusals
    assert kind.canonical is None or "." not in kind.canonical
    assert kind.canonical is None or kind.canonical in CATALOG.optimizers
    assert "lr" in kind.settings, "policies and ratios of lr work alike everywhere"


@each_own
def test_what_is_scheduled_is_a_number_that_it_has(kind: OptimizerType) -> None:
    for key in kind.scheduled:
        setting = kind.setting(key)
        assert setting is not None
        assert setting.numeric


def test_what_has_every_framework_has_no_framework_in_its_name() -> None:
    for kind in CANONICAL:
        assert set(kind.lowerings) | set(kind.refusals) == set(CATALOG.options)
        assert kind.canonical is None


def test_what_torch_alone_can_carry_out_has_its_name_there_too() -> None:
    alone = {kind.name for kind in CANONICAL if set(kind.lowerings) == {"torch"}}
    own = [kind for kind in OWN if kind.name.startswith("torch.")]
    assert {kind.canonical for kind in own} == alone
    for kind in own:
        same = CATALOG.optimizers[kind.canonical or ""]
        (here,), (there,) = kind.lowerings["torch"], same.lowerings["torch"]
        assert (kind.settings, kind.scheduled, kind.requirements) == (same.settings, same.scheduled, same.requirements)
        assert kind.name == f"torch.{here.class_name.rpartition('.')[2]}"
        assert (here.class_name, here.options, here.tensors) == (there.class_name, there.options, there.tensors)


def test_every_class_of_torch_has_a_canonical_name() -> None:
    classes = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    assert {kind.lowerings["torch"][0].class_name for kind in CANONICAL} == {f"torch.optim.{name}" for name in classes}


NAMES = [
    ("Momentum", "did you mean `mindspore.Momentum`?"),
    ("nn.Momentum", "did you mean `mindspore.Momentum`?"),
    ("mindspore.nn.Momentum", "did you mean `mindspore.Momentum`?"),
    ("mindspore.momentum", "did you mean `mindspore.Momentum`?"),
    ("mindspore.Momentun", "did you mean `mindspore.Momentum`?"),
    ("momentum", "did you mean `sgd`, with its setting `momentum`, or `mindspore.Momentum`?"),
    ("ftrl", "did you mean `mindspore.FTRL`?"),
    ("AdamWeightDecay", "did you mean `mindspore.AdamWeightDecay`?"),
    ("mindspore.sgd", "did you mean `mindspore.SGD`?"),
    # what every framework has under a plain name comes first
    ("RMSProp", "did you mean `rmsprop`?"),
    ("nn.SGD", "did you mean `sgd`?"),
    ("mindspore.AdamW", "did you mean `adamw`?"),
    ("torch.AdamW", "did you mean `adamw`?"),
    ("torch.optim.LBFGS", "did you mean `lbfgs`?"),
]


def refusal(work: Callable[[], object]) -> Any:
    """The one error that `work` raises."""
    with pytest.raises(ConfigError) as caught:
        work()
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(("word", "cure"), NAMES)
def test_the_name_of_a_class_is_understood(word: str, cure: str) -> None:
    found = refusal(lambda: optplan.load({"optplan": 1, "optimizer": {"type": word}}))
    assert (found.code, found.message, found.help) == ("OP105", f"unknown optimizer `{word}`", cure)


REFUSED = schema()["$defs"]["optimizer"]["properties"]["type"]["x-optplan"]["refused"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_cannot_be_used_is_refused_with_the_reason(name: str) -> None:
    found = refusal(lambda: optplan.load({"optplan": 1, "optimizer": {"type": name}}))
    assert (found.code, found.message) == ("OP105", f"`{name}` cannot be used as an optimizer: {REFUSED[name]}")
    full = name.replace(".", ".nn.")
    found = refusal(lambda: optplan.load({"optplan": 1, "optimizer": {"type": full}}))
    assert found.message == f"`{full}` cannot be used as an optimizer: {REFUSED[name]}"


def manifest(target: str | None) -> Network:
    """A layer as it stands in a file that names `target`, or none."""
    return from_names([("fc.weight", (2, 2), "float32"), ("fc.bias", (2,), "float32")], target=target)


LEAST: dict[str, dict[str, Any]] = {
    "mindspore.Momentum": {"lr": 0.1, "momentum": 0.9},
    "mindspore.LARS": {"lr": 0.1, "momentum": 0.9},
    "mindspore.Lamb": {"lr": 0.1},
}


def document(kind: OptimizerType, **keys: Any) -> dict[str, Any]:
    return {"optplan": 1, "optimizer": {"type": kind.name, **LEAST.get(kind.name, {})}, **keys}


@each_own
def test_the_other_framework_refuses_it_with_the_reason_and_the_nearest_name(kind: OptimizerType) -> None:
    own = kind.name.partition(".")[0]
    other = next(target for target in CATALOG.options if target != own)
    found = refusal(lambda: optplan.plan(document(kind), manifest(other)))
    assert found.code == "OP501"
    reason = f"`{kind.name}` cannot be carried out on {other}, and `fc.weight` has it: it is {own}'s own"
    assert found.message == reason
    near = CATALOG.optimizers.get(kind.canonical or "")
    if near is None or other not in near.lowerings:
        assert found.help is None
    else:
        assert found.help.startswith(f"`{near.name}` is the nearest that every framework has")


@each_own
@pytest.mark.parametrize("target", ["its own", None])
def test_its_own_framework_takes_it_and_so_does_a_network_of_none(kind: OptimizerType, target: str | None) -> None:
    own = kind.name.partition(".")[0] if target else None
    plan = optplan.plan(document(kind), manifest(own))
    assert {group.optimizer for group in plan.groups} == {kind.name}
    assert f"{kind.name}, as {kind.lowerings[kind.name.partition('.')[0]][0].class_name}" in explain(
        plan, "fc.weight", CATALOG
    )
    assert optplan.Plan.from_json(plan.to_json()).fingerprint == plan.fingerprint


def test_two_frameworks_own_in_one_document_cannot_be() -> None:
    config = {
        "optplan": 1,
        "optimizer": {"type": "mindspore.Lamb", "lr": 0.1},
        "optimizers": {"other": {"type": "torch.LBFGS"}},
        "rules": [{"where": "bias", "use": "other"}],
    }
    with pytest.raises(ConfigError) as caught:
        optplan.plan(config, manifest(None))
    assert "it is mindspore's own" in caught.value.diagnostics[0].message


def test_a_plan_for_another_framework_is_refused_when_it_is_bound() -> None:
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "mindspore.Adam"}}, manifest(None))
    model = torch.nn.Module()
    model.fc = torch.nn.Linear(2, 2)
    found = refusal(lambda: plan.bind(model))
    assert (found.code, found.message) == (
        "OP501",
        "`mindspore.Adam` cannot be carried out on torch, and `fc.weight` has it: it is mindspore's own",
    )
    assert found.help.startswith("`adam` is the nearest")


def test_pytorchs_own_runs_as_its_canonical_one() -> None:
    def trained(name: str) -> torch.Tensor:
        model = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(model.weight)
        optimizer, _ = optplan.compile({"optplan": 1, "optimizer": {"type": name, "lr": 0.1, "max_iter": 4}}, model)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = ((model(torch.tensor([[1.0, 2.0], [0.5, -1.0]])) - 0.25) ** 2).sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            return loss

        assert type(optimizer) is torch.optim.LBFGS
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch leaves it so
        return model.weight.detach()

    assert torch.equal(trained("torch.LBFGS"), trained("lbfgs"))
    assert not torch.equal(trained("lbfgs"), torch.ones(1, 2))


SETTINGS = [
    # what a class asks of two settings, in its own words here
    ("mindspore.SGD", {"nesterov": True}, "`nesterov` needs `momentum` above 0"),
    ("mindspore.Rprop", {"step_sizes": [2.0, 1.0]}, "`step_sizes` has the least step first, then the largest"),
    ("mindspore.Adam", {"use_lazy": True, "use_offload": True}, "`use_lazy` and `use_offload` exclude each other"),
    ("mindspore.Adam", {"use_amsgrad": True, "use_lazy": True}, "`use_amsgrad` and `use_lazy` exclude each other"),
    ("mindspore.AdaFactor", {"lr": 0.1}, "`lr` needs `relative_step: false`"),
    ("mindspore.AdaFactor", {"relative_step": False}, "`relative_step: false` needs a number for `lr`"),
    (
        "mindspore.AdaFactor",
        {"lr": 0.1, "relative_step": False, "warmup_init": True},
        "`warmup_init` needs `relative_step: true`",
    ),
]


@pytest.mark.parametrize(("name", "settings", "message"), SETTINGS)
def test_what_settings_ask_of_each_other(name: str, settings: dict[str, Any], message: str) -> None:
    found = refusal(lambda: optplan.load({"optplan": 1, "optimizer": {"type": name, **settings}}))
    assert (found.code, found.message) == ("OP305", message)


@pytest.mark.parametrize(("name", "missing"), [("mindspore.Momentum", {"lr", "momentum"}), ("mindspore.Lamb", {"lr"})])
def test_what_the_class_has_no_default_for_must_be_given(name: str, missing: set[str]) -> None:
    assert {key for key, setting in CATALOG.optimizers[name].settings.items() if setting.required} == missing
    with pytest.raises(ConfigError) as caught:
        optplan.load({"optplan": 1, "optimizer": {"type": name}})
    assert {each.message for each in caught.value.diagnostics} == {f"`optimizer` has no `{key}`" for key in missing}
    assert all("no default" in (each.help or "") for each in caught.value.diagnostics)


def test_a_schedule_that_the_class_would_take_in_silence_for_something_else_is_refused() -> None:
    config = {
        "optplan": 1,
        "optimizer": {"type": "mindspore.AdaFactor", "lr": 0.1, "relative_step": False},
        "schedule": {"lr": "cosine(10)"},
    }
    found = refusal(lambda: optplan.plan(config, manifest("mindspore")))
    assert found.code == "OP501"
    assert found.message.endswith("it asks for no schedule of `lr` or for `scale_parameter == false`")
    assert isinstance(config["optimizer"], dict)
    optplan.plan({**config, "optimizer": {**config["optimizer"], "scale_parameter": False}}, manifest("mindspore"))


def test_a_rate_that_the_optimizer_chooses_has_no_ratio_and_no_policy() -> None:
    relative = {"optplan": 1, "optimizer": {"type": "mindspore.AdaFactor"}}
    found = refusal(lambda: optplan.plan({**relative, "rules": [{"where": "bias", "lr": "0.1x"}]}, manifest(None)))
    assert found.code == "OP306"
    found = refusal(lambda: optplan.plan({**relative, "schedule": {"lr": "cosine(10)"}}, manifest(None)))
    null = "`lr` of `mindspore.AdaFactor` is null, and a policy needs a number to begin with"
    assert (found.code, found.message) == ("OP406", null)
    own = {"where": "all", "scale_parameter": False, "schedule": {"lr": "hold(10, at=0.5)"}}
    found = refusal(lambda: optplan.plan({**relative, "rules": [own]}, manifest(None)))
    assert (found.code, found.message) == ("OP406", null)
    found = refusal(lambda: optplan.plan({**relative, "rules": [{**own, "lr": 0.1}]}, manifest(None)))
    assert (found.code, found.message) == ("OP305", "`lr` needs `relative_step: false`, for `fc.weight`")


def test_options_of_mindspore_stand_wherever_options_do() -> None:
    on = {"grad_centralization": True}
    config = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 0.1, "mindspore": on},
        "rules": [{"where": "bias", "mindspore": {"grad_centralization": False}}],
    }
    plan = optplan.plan(config, manifest("mindspore"))
    options = {group.parameters: group.options_of("mindspore") for group in plan.groups}
    assert options == {("fc.weight",): on, ("fc.bias",): {"grad_centralization": False}}
    top = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd"}, "mindspore": on}, manifest("mindspore"))
    assert top.groups[0].options_of("mindspore") == on
    # torch has no such option, and lets a file that serves both frameworks pass
    assert optplan.plan(config, manifest("torch")).groups[0].options_of("mindspore") == {}


def test_an_option_that_the_class_would_leave_out_is_refused() -> None:
    config = {
        "optplan": 1,
        "optimizer": {"type": "mindspore.AdamWeightDecay"},
        "mindspore": {"grad_centralization": True},
    }
    assert refusal(lambda: optplan.load(config)).code == "OP115"
    offload = {"type": "mindspore.Adam", "use_offload": True, "mindspore": {"grad_centralization": True}}
    found = refusal(lambda: optplan.plan({"optplan": 1, "optimizer": offload}, manifest("mindspore")))
    assert (found.code, found.message.partition(",")[0]) == ("OP504", "`use_offload` leaves `grad_centralization` out")


def test_the_names_are_in_the_schema_for_editors() -> None:
    assert schema()["$defs"]["optimizer"]["properties"]["type"]["enum"] == list(CATALOG.optimizers)
    text = json.dumps(schema()["$defs"]["optimizer"]["allOf"])
    assert all(f'"#/$defs/optimizers/{name}"' in text for name in CATALOG.optimizers)
