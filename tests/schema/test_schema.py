"""The document schema: that it is one, that it explains itself, and what it says of documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from optplan.catalog import schema, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
PROPERTIES = ("properties", "patternProperties")


def follow(entry: dict[str, Any]) -> dict[str, Any]:
    """`entry` over what it refers to."""
    if "$ref" not in entry:
        return entry
    target: Any = SCHEMA
    for step in entry["$ref"].removeprefix("#/").split("/"):
        target = target[int(step)] if isinstance(target, list) else target[step]
    return {**follow(target), **entry}


def subschemas(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every subschema that describes something, with its path; not the tests of an `if`, not our annotations."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("if", "x-optplan"):
                continue
            here = f"{path}/{key}"
            if key in PROPERTIES:
                yield from ((f"{here}/{name}", entry) for name, entry in value.items())
            elif key == "prefixItems":
                yield from ((f"{here}/{place}", entry) for place, entry in enumerate(value))
            elif key in ("items", "additionalProperties") and isinstance(value, dict):
                yield here, value
            yield from subschemas(value, here)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from subschemas(value, f"{path}/{place}")


ALL = dict(subschemas(SCHEMA))


def test_is_a_json_schema_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", ALL)
def test_every_key_is_described_in_plain_words(path: str) -> None:
    text = follow(ALL[path]).get("description", "")
    assert text, "no description"
    assert text[0].isupper() or text.split()[0] in ("a,", "b,", "c,", "true", "null"), text
    assert text.endswith("."), text
    assert len(text) <= 500, "an editor shows it on hover"


@pytest.mark.parametrize("section", ["optimizers", "policies", "predicates", "attributes"])
def test_every_name_of_the_language_is_described(section: str) -> None:
    for name, entry in SCHEMA["$defs"][section].items():
        assert entry["description"].endswith("."), name


@pytest.mark.parametrize("path", [path for path, entry in ALL.items() if "default" in entry])
def test_every_default_is_allowed(path: str) -> None:
    entry = {**follow(ALL[path]), "$defs": SCHEMA["$defs"]}
    assert list(Draft202012Validator(entry).iter_errors(entry["default"])) == []


def test_every_object_is_closed() -> None:
    def opened(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if node.get("type") == "object" and "additionalProperties" not in node:
                yield path
            for key, value in node.items():
                yield from opened(value, f"{path}/{key}")

    # an optimizer is closed by the definition that its type chooses
    assert list(opened(SCHEMA, "")) == ["/$defs/optimizer"]


def test_every_reference_is_to_something() -> None:
    for reference in re.findall(r'"\$ref": "([^"]+)"', schema_text()):
        assert follow({"$ref": reference})


def test_every_setting_is_used_by_an_optimizer() -> None:
    used = {
        entry["$ref"].rpartition("/")[2]
        for optimizer in SCHEMA["$defs"]["optimizers"].values()
        for entry in optimizer["properties"].values()
        if entry.get("$ref", "").startswith("#/$defs/settings/")
    }
    assert used == set(SCHEMA["$defs"]["settings"])


def test_a_rule_takes_every_setting_and_every_element_and_a_schedule_the_numeric_ones() -> None:
    rule, schedule = (SCHEMA["$defs"][name]["properties"] for name in ("rule", "schedule"))
    for optimizer in SCHEMA["$defs"]["optimizers"].values():
        for key, entry in optimizer["properties"].items():
            full = follow(entry)
            assert key == "type" or key in rule
            elements = [f"{key}[{place}]" for place in range(len(full.get("prefixItems", ())))]
            assert set(elements) <= rule.keys() & schedule.keys()
            if {"number", "integer"} & set(full.get("type", ())):
                assert key in schedule
        assert set(optimizer["x-optplan"]["scheduled"]) <= schedule.keys()


MINIMAL: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "adamw"}}

FULL: dict[str, Any] = {
    "optplan": 1,
    "extends": ["base.optim.yaml"],
    "let": {"batch": 1024, "twice": "2 * batch"},
    "optimizer": {
        "type": "adamw",
        "lr": "5e-4 * batch / 512",
        "weight_decay": 0.05,
        "betas": [0.9, "1 - 1 / batch"],
        "torch": {"fused": True, "foreach": None},
    },
    "optimizers": {
        "hidden": {"type": "muon", "lr": 0.02, "momentum": 0.95, "adjust_lr_fn": "match_rms_adamw", "torch": {}},
        "rare": {"type": "adafactor", "eps": [None, 0.001]},
        "last": {"type": "lbfgs", "max_eval": None, "line_search_fn": "strong_wolfe"},
    },
    "layers": ["embeddings", "encoder.layers.{i}", ["head", "norm"]],
    "sets": {"no_decay": "norm or bias or embedding"},
    "rules": [
        {"where": "no_decay", "weight_decay": 0},
        {"name": "depth", "where": "encoder", "lr": "base * 0.75 ** (layers - 1 - layer)", "betas[0]": 0.95},
        {"where": "linear and ndim == 2 and not head", "use": "hidden", "optional": True},
        {"where": "embeddings.patch", "freeze": True},
        {"where": "head", "schedule": {"lr": "hold(1 epoch, at=0x) over base"}, "torch": {"foreach": False}},
        {"where": "all", "eps": [None, 1e-3]},
        {"where": "all", "eps": 1e-6},
    ],
    "horizon": {"epochs": 90, "steps_per_epoch": 1251, "samples_per_step": 1024, "tokens_per_step": 1.5e6},
    "schedule": {"lr": "warmup(5%) -> cosine(to=0.01x)", "weight_decay": "cosine(to=2x)", "betas[1]": "hold()"},
    "accumulate": 4,
    "clip": "norm(1.0)",
    "loss_scale": "dynamic(init=65536, every=2000)",
    "torch": {"foreach": True, "tensor_lr": True},
    "mindspore": {"grad_centralization": True},
}


@pytest.mark.parametrize("document", [MINIMAL, FULL, {**MINIMAL, "loss_scale": 1024}], ids=["minimal", "full", "scale"])
def test_valid_documents(document: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def with_(**keys: Any) -> dict[str, Any]:
    return {**MINIMAL, **keys}


def adamw(**keys: Any) -> dict[str, Any]:
    return with_(optimizer={"type": "adamw", **keys})


def rule(**keys: Any) -> dict[str, Any]:
    return with_(rules=[{"where": "all", **keys}])


INVALID: list[tuple[dict[str, Any], str, str]] = [
    # document, path of the one fault, the keyword that is broken
    ({"optimizer": {"type": "adamw"}}, "", "required"),
    ({"optplan": 1}, "", "required"),
    (with_(optplan=2), "optplan", "const"),
    (with_(optplan="1"), "optplan", "const"),
    (with_(optplan=True), "optplan", "const"),
    (with_(optimiser={}), "", "additionalProperties"),
    (with_(optimizer={"lr": 1}), "optimizer", "required"),
    (with_(optimizer={"type": "adamv", "lr": -1}), "optimizer/type", "enum"),
    (with_(optimizer="adamw"), "optimizer", "type"),
    (adamw(momentum=0.9), "optimizer", "additionalProperties"),
    (adamw(decoupled_weight_decay=True), "optimizer", "additionalProperties"),
    (adamw(lr=-0.1), "optimizer/lr", "minimum"),
    (adamw(lr=True), "optimizer/lr", "type"),
    (adamw(lr=None), "optimizer/lr", "type"),
    (adamw(lr=[0.1]), "optimizer/lr", "type"),
    (adamw(amsgrad="true"), "optimizer/amsgrad", "type"),
    (adamw(amsgrad=1), "optimizer/amsgrad", "type"),
    (adamw(betas=0.9), "optimizer/betas", "type"),
    (adamw(betas=[0.9]), "optimizer/betas", "minItems"),
    (adamw(betas=[0.9, 1.0]), "optimizer/betas/1", "exclusiveMaximum"),
    (adamw(betas=[-1, 0.9]), "optimizer/betas/0", "minimum"),
    (adamw(betas=[None, 0.9]), "optimizer/betas/0", "type"),
    (adamw(torch={"fuzed": True}), "optimizer/torch", "additionalProperties"),
    (adamw(torch={"fused": "yes"}), "optimizer/torch/fused", "type"),
    (adamw(torch={"capturable": None}), "optimizer/torch/capturable", "type"),
    (
        with_(optimizers={"hidden": {"type": "muon", "torch": {"foreach": True}}}),
        "optimizers/hidden/torch",
        "additionalProperties",
    ),
    (with_(optimizers={"h": {"type": "muon", "ns_steps": 5.5}}), "optimizers/h/ns_steps", "type"),
    (with_(optimizers={"h": {"type": "muon", "ns_steps": 100}}), "optimizers/h/ns_steps", "maximum"),
    (with_(optimizers={"h": {"type": "muon", "adjust_lr_fn": "moon"}}), "optimizers/h/adjust_lr_fn", "enum"),
    (with_(optimizers={"r": {"type": "rmsprop", "alpha": -1}}), "optimizers/r/alpha", "minimum"),
    (with_(optimizers={"s": {"type": "sparse_adam", "lr": 0}}), "optimizers/s/lr", "exclusiveMinimum"),
    (with_(optimizers={"2nd": {"type": "sgd"}}), "optimizers", "pattern"),
    (with_(let={"a b": 1}), "let", "pattern"),
    (with_(let={"a": True}), "let/a", "type"),
    (with_(layers="encoder"), "layers", "type"),
    (with_(layers=[[]]), "layers/0", "minItems"),
    (with_(layers=[["a", 1]]), "layers/0/1", "type"),
    (with_(sets={"a": ["norm"]}), "sets/a", "type"),
    (with_(rules={}), "rules", "type"),
    (with_(rules=[{"lr": 1}]), "rules/0", "required"),
    (rule(wd=0), "rules/0", "additionalProperties"),
    (rule(**{"betas[2]": 0.9}), "rules/0", "additionalProperties"),
    (rule(**{"betas[0]": 1.5}), "rules/0/betas[0]", "exclusiveMaximum"),
    (rule(lr=-1), "rules/0/lr", "minimum"),
    (rule(eps=-1), "rules/0/eps", "minimum"),
    (rule(eps=[None, -1]), "rules/0/eps/1", "minimum"),
    (rule(eps=[1e-8, 1e-3, 1]), "rules/0/eps", "maxItems"),
    (rule(name="a rule"), "rules/0/name", "pattern"),
    (rule(freeze="yes"), "rules/0/freeze", "type"),
    (rule(schedule="cosine(to=0x)"), "rules/0/schedule", "type"),
    (with_(horizon={"steps": "10k"}), "horizon/steps", "type"),
    (with_(horizon={"steps": 0}), "horizon/steps", "minimum"),
    (with_(horizon={"epochs": 0}), "horizon/epochs", "exclusiveMinimum"),
    (with_(horizon={"step": 1}), "horizon", "additionalProperties"),
    (with_(schedule={"lrr": "hold()"}), "schedule", "additionalProperties"),
    (with_(schedule={"nesterov": "hold()"}), "schedule", "additionalProperties"),
    (with_(schedule={"lr": ["hold()"]}), "schedule/lr", "type"),
    (with_(accumulate=0), "accumulate", "minimum"),
    (with_(torch={"grad_centralization": True}), "torch", "additionalProperties"),
]


@pytest.mark.parametrize(("document", "path", "keyword"), INVALID)
def test_a_faulty_document_has_one_fault_at_its_leaf(document: dict[str, Any], path: str, keyword: str) -> None:
    found = [("/".join(map(str, e.absolute_path)), e.validator) for e in VALIDATOR.iter_errors(document)]
    # a list of the wrong length also has an element too many, which the same place says
    assert [fault for fault in found if fault != (path, "items")] == [(path, keyword)]


def test_all_faults_are_found_together() -> None:
    document = {**adamw(lr=-1, betas=[2, 2]), "rules": [{"where": "all", "lr": -1}], "horizon": {"steps": 0}}
    paths = {"/".join(map(str, error.absolute_path)) for error in VALIDATOR.iter_errors(document)}
    assert paths == {"optimizer/lr", "optimizer/betas/0", "optimizer/betas/1", "rules/0/lr", "horizon/steps"}


def test_a_policy_says_how_it_is_joined() -> None:
    text = SCHEMA["$defs"]["policy"]["description"]
    assert all(f"`{operator}`" in text for operator in ("->", "over", "into", "*"))
