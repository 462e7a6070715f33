"""The catalog: settings judge values, names are found, and a new optimizer makes a new catalog."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from optplan.catalog import Condition, Setting, catalog, schema

CATALOG = catalog()


def setting(optimizer: str, key: str) -> Setting:
    found = CATALOG.optimizers[optimizer].setting(key)
    assert found is not None
    return found


FAULTS: list[tuple[str, str, Any, str | None]] = [
    ("sgd", "lr", 0, None),
    ("sgd", "lr", 1e-3, None),
    ("sgd", "lr", -1e-9, "must be at least 0"),
    ("sgd", "lr", math.inf, "must be finite"),
    ("sgd", "lr", math.nan, "must be finite"),
    ("sgd", "lr", 10**400, "must be finite"),
    ("sgd", "lr", True, "must be a number of at least 0"),
    ("sgd", "lr", "1e-3", "must be a number of at least 0"),
    ("sgd", "lr", None, "must be a number of at least 0"),
    ("sgd", "dampening", -5, None),
    ("sgd", "nesterov", True, None),
    ("sgd", "nesterov", 1, "must be true or false"),
    ("sparse_adam", "lr", 0.0, "must be above 0"),
    ("adam", "betas", (0.9, 0.999), None),
    ("adam", "betas", (0.9, 1), "element 1 must be below 1"),
    ("adam", "betas", (0.9,), "must be a list of 2 numbers"),
    ("adam", "betas", 0.9, "must be a list of 2 numbers"),
    ("adam", "betas[0]", 1.0, "must be below 1"),
    ("adadelta", "rho", 1.0, None),
    ("adadelta", "rho", 1.5, "must be at most 1"),
    ("adafactor", "eps", (None, 1e-3), None),
    ("adafactor", "eps", (1e-3, None), "element 1 must be a number of at least 0"),
    ("adafactor", "beta2_decay", 0.1, "must be at most 0"),
    ("muon", "ns_steps", 6, None),
    ("muon", "ns_steps", 6.0, None),
    ("muon", "ns_steps", 6.5, "must be a whole number"),
    ("muon", "ns_steps", math.nan, "must be finite"),
    ("muon", "adjust_lr_fn", "original", None),
    ("muon", "adjust_lr_fn", None, None),
    ("muon", "adjust_lr_fn", "other", "must be `original`, `match_rms_adamw` or null"),
    ("lbfgs", "max_eval", None, None),
    ("lbfgs", "max_eval", 0, "must be at least 1"),
]


@pytest.mark.parametrize(("optimizer", "key", "value", "fault"), FAULTS)
def test_check(optimizer: str, key: str, value: Any, fault: str | None) -> None:
    assert setting(optimizer, key).check(value) == fault


@pytest.mark.parametrize(
    ("optimizer", "key", "words"),
    [
        ("sgd", "lr", "a number of at least 0 or an expression"),
        ("sgd", "dampening", "a number or an expression"),
        ("sgd", "nesterov", "true or false"),
        ("sparse_adam", "lr", "a number above 0 or an expression"),
        ("adam", "betas", "a list of 2 numbers"),
        ("adam", "betas[0]", "a number of at least 0 and below 1 or an expression"),
        ("adafactor", "eps[0]", "a number of at least 0, null or an expression"),
        ("adafactor", "beta2_decay", "a number of at most 0 or an expression"),
        ("muon", "ns_steps", "a whole number of at least 0 and at most 99 or an expression"),
        ("muon", "adjust_lr_fn", "`original`, `match_rms_adamw` or null"),
    ],
)
def test_what_a_setting_expects_in_words(optimizer: str, key: str, words: str) -> None:
    assert setting(optimizer, key).expects == words


EVERY = [(kind.name, key) for kind in CATALOG.optimizers.values() for key in kind.keys()]  # noqa: SIM118 - a method

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.floats(-3, 3),
    st.sampled_from(["original", "match_rms_adamw", "strong_wolfe", "x"]),
)


@given(st.sampled_from(EVERY), PLAIN | st.tuples(PLAIN, PLAIN) | st.tuples(PLAIN, PLAIN, PLAIN))
def test_a_setting_and_the_schema_allow_the_same_values(place: tuple[str, str], value: Any) -> None:
    optimizer, key = place
    name, _, index = key.removesuffix("]").partition("[")
    allowed = setting(optimizer, key).check(value) is None
    given_ = list(value) if isinstance(value, tuple) else value
    if index:  # an element is judged within its list
        items: list[Any] = list(CATALOG.optimizers[optimizer].defaults[name])  # type: ignore[arg-type]  # a list's default is a tuple
        items[int(index)] = given_
        given_ = items
    required = {key: 0.5 for key, each in CATALOG.optimizers[optimizer].settings.items() if each.required}
    document = {"optplan": 1, "optimizer": {"type": optimizer, **required, name: given_}}
    # where the schema takes an expression, the setting, which comes after it, takes the number only
    has_text = any(isinstance(part, str) for part in (value if isinstance(value, tuple) else (value,)))
    if not has_text or setting(optimizer, key).kind == "word":
        assert Draft202012Validator(schema()).is_valid(document) == allowed


@pytest.mark.parametrize(("optimizer", "key"), EVERY)
def test_defaults_are_allowed_and_in_their_own_type(optimizer: str, key: str) -> None:
    found = setting(optimizer, key)
    assert found.description
    if found.required:
        assert found.default is None
        return
    assert found.check(found.default) is None
    assert found.cast(found.default) == found.default
    types = {"float": float, "int": int, "bool": bool, "word": str, "list": tuple}
    assert found.default is None or type(found.default) is types[found.kind]


def test_cast_makes_equal_values_the_same() -> None:
    assert repr(setting("adam", "betas").cast([0, 1e-1])) == "(0.0, 0.1)"  # type: ignore[arg-type]  # a list as read from a document
    assert repr(setting("muon", "ns_steps").cast(5.0)) == "5"
    assert repr(setting("adafactor", "eps").cast((None, 1))) == "(None, 1.0)"


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        (Condition("ndim", "==", 2), {"ndim": 2}, True),
        (Condition("ndim", "==", 2), {"ndim": 1}, False),
        (Condition("momentum", ">", 0), {"momentum": 0.0}, False),
        (Condition("momentum", ">", 0), {}, False),
        (Condition("fused", "!=", True), {}, True),
        (Condition("fused", "!=", True), {"fused": True}, False),
        (Condition("etas[0]", "<", 1), {"etas": (0.5, 1.2)}, True),
        (Condition("etas[0]", ">", 1), {}, False),
        (Condition("etas[0]", ">", "etas[1]"), {"etas": (0.5, 1.2)}, False),
        (Condition("etas[1]", ">", "etas[0]"), {"etas": (0.5, 1.2)}, True),
    ],
)
def test_conditions(condition: Condition, values: dict[str, Any], *, holds: bool) -> None:
    assert condition.holds(values) == holds


def test_a_condition_reads_as_it_is_written_in_a_document() -> None:
    assert str(Condition("fused", "!=", value=True)) == "fused != true"
    assert str(Condition("ndim", "==", 2)) == "ndim == 2"


def test_names_are_found() -> None:
    own = ("mindspore.Momentum", "mindspore.SGD", "mindspore.RMSProp", "mindspore.LARS")
    assert CATALOG.optimizers_with("momentum") == ("sgd", "rmsprop", "muon", *own)
    assert CATALOG.optimizers_with("eps[1]") == ("adafactor", "mindspore.AdaFactor")
    assert CATALOG.optimizers_with("nothing") == ()
    assert CATALOG.optimizers_with_option("torch", "fused") == ("sgd", "adam", "adamw", "adagrad")
    assert {"lr", "betas", "betas[1]", "eps"} <= CATALOG.all_settings.keys()
    assert {shape.kind for shape in CATALOG.all_settings["eps"]} == {"float", "list"}
    assert CATALOG.optimizers["sgd"].setting("betas[0]") is None
    assert CATALOG.optimizers["adam"].setting("betas[2]") is None


@pytest.mark.parametrize(
    "key",
    [
        "optplan",
        "horizon.steps",
        "rules.where",
        "optimizer.type",
        "optimizer.adamw",
        "optimizer.adamw.betas",
        "torch.fused",
    ],
)
def test_every_key_of_a_document_can_be_looked_up(key: str) -> None:
    assert CATALOG.keys[key].endswith(".")


def test_the_language_has_these_forms() -> None:
    found = {
        key: {name: tuple(form.arguments) for name, form in forms.types.items()} for key, forms in CATALOG.forms.items()
    }
    assert found == {
        "clip": {"norm": ("limit",), "value": ("limit",)},
        "loss_scale": {"fixed": ("scale", "drop_overflow"), "dynamic": ("init", "growth", "backoff", "every")},
    }
    assert [forms.number for forms in CATALOG.forms.values()] == [None, "fixed"]


def test_the_language_lists_these_phases_predicates_and_attributes() -> None:
    assert [name for name, policy in CATALOG.policies.items() if policy.supported] == [
        *("hold", "warmup", "linear", "cosine", "poly", "sqrt", "exp", "decay", "step", "multistep", "piecewise"),
        *("inverse_sqrt", "inverse_time", "natural_exp", "noam", "restarts", "cycle", "onecycle", "plateau", "table"),
    ]
    assert {name for name, policy in CATALOG.policies.items() if not policy.supported} == set()
    assert set(CATALOG.predicates) == {
        *("norm", "conv", "linear", "embedding", "attention", "recurrent", "depthwise", "bias", "scale"),
        *("frozen", "tied", "all"),
    }
    assert set(CATALOG.attributes) == {"ndim", "numel", "fan_in", "fan_out", "layer", "shape", "dtype"}


def test_arguments_of_phases() -> None:
    warmup = CATALOG.policies["warmup"].arguments
    assert [(a.name, a.kind, a.default) for a in warmup.values()][1:] == [
        ("from", "value", "0x"),
        ("shape", "word", "linear"),
        ("start", "number", "0"),
    ]
    assert warmup["shape"].words == ("linear", "cosine", "exp")
    assert [name for name, a in CATALOG.policies["multistep"].arguments.items() if a.required] == ["at", "gamma"]
    assert CATALOG.policies["linear"].arguments["to"].required
    assert CATALOG.policies["cosine"].arguments["to"].default == "0x"
    for policy in CATALOG.policies.values():
        assert ("for" in policy.arguments) != policy.last
        for argument in policy.arguments.values():
            assert argument.description.endswith(".")
            assert (argument.default is None) == argument.required
            assert (argument.items is not None) == (argument.kind == "list")


def test_nothing_of_it_can_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        CATALOG.predicates = {}  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        CATALOG.optimizers["sgd"] = CATALOG.optimizers["adam"]  # type: ignore[index]  # as above
    assert pickle.loads(pickle.dumps(setting("adam", "betas"))) == setting("adam", "betas")  # noqa: S301 - our own bytes


def test_reading_it_takes_no_framework_and_no_validator() -> None:
    heavy = ("torch", "mindspore", "numpy", "yaml", "jsonschema", "lark")
    code = f"import sys, optplan.catalog as c; c.catalog(); sys.exit(any(m in sys.modules for m in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own interpreter
