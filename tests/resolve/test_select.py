"""Which atoms hold for which parameters, and what two parameters must share to be one point."""

from __future__ import annotations

import pytest

import optplan
from tests.resolve.making import NAMES, document, net, planned

BLOCK = [f"blocks.{number}" for number in (0, 2, 10)]
NORMS = [f"{block}.norm.{last}" for block in BLOCK for last in ("weight", "bias")]
LINEARS = [f"{block}.linear.{last}" for block in BLOCK for last in ("weight", "bias")]
HEAD = ["head.weight", "head.bias"]
PATCH = ["patch.weight", "patch.bias"]
UP = ["up.weight", "up.bias"]
BIASES = [name for name in NAMES if name.endswith("bias")]

HOLDS: list[tuple[str, list[str]]] = [
    ("all", list(NAMES)),
    ("norm", NORMS),
    ("linear", [*LINEARS, *HEAD]),
    ("conv", [*PATCH, *UP]),
    ("embedding", ["embeddings.weight"]),
    ("bias", BIASES),
    ("scale", [name for name in NORMS if name.endswith("weight")]),
    ("path(scale)", ["scale"]),
    ("frozen", ["buffer"]),
    (
        "not frozen and not bias and not linear and not norm",
        ["token", "scale", "embeddings.weight", "patch.weight", "up.weight"],
    ),
    ("norm and bias or head.weight", [*(name for name in NORMS if name.endswith("bias")), "head.weight"]),
    ("blocks.10", [name for name in NAMES if name.startswith("blocks.10.")]),
    ("blocks.1*", [name for name in NAMES if name.startswith("blocks.10.")]),
    ("blocks.{0..9}", [name for name in NAMES if name.startswith(("blocks.0.", "blocks.2."))]),
    ("blocks.?", [name for name in NAMES if name.startswith(("blocks.0.", "blocks.2."))]),
    ("blocks.*.linear", LINEARS),
    ("blocks.**.bias", [name for name in BIASES if name.startswith("blocks.")]),
    (".linear", LINEARS),
    (".bias", BIASES),
    ("**.bias", BIASES),
    ("{token,scale}", ["token", "scale"]),
    ("/^blocks[.]1.*bias$/", ["blocks.10.norm.bias", "blocks.10.linear.bias"]),
    ("/o/", [name for name in NAMES if "o" in name]),
    ("type(Linear)", [*LINEARS, *HEAD]),
    ("type(torch.nn.*.Linear)", [*LINEARS, *HEAD]),
    ("type(Block)", []),
    ("type(*Norm)", NORMS),
    ("type(Net)", ["token", "scale", "buffer"]),
    ("inside(Block)", [*NORMS, *LINEARS]),
    ("inside(Net)", list(NAMES)),
    ("ndim == 0", ["scale"]),
    ("ndim >= 3", ["token", "patch.weight", "up.weight"]),
    ("ndim != 1 and ndim != 2", ["token", "scale", "patch.weight", "up.weight"]),
    ("numel < 5", ["scale", "up.bias", "head.bias"]),
    ("shape[0] == 6 and ndim == 1", ["patch.bias", *NORMS, *(name for name in LINEARS if name.endswith("bias"))]),
    ("shape[-1] == 4", ["patch.weight", "head.bias"]),
    ("shape[3] >= 0", ["patch.weight", "up.weight"]),
    # false where there is none, so `not` is not its opposite
    ("fan_in > 0", ["token", "embeddings.weight", "patch.weight", "up.weight", "head.weight", *LINEARS[::2]]),
    ("fan_in <= 0", []),
    ("fan_out == 4", ["head.weight"]),
    ("dtype == float32", list(NAMES)),
    ("layer >= 0", []),
]


@pytest.mark.parametrize(("where", "names"), HOLDS, ids=[each[0] for each in HOLDS])
def test_what_a_filter_holds_for(where: str, names: list[str]) -> None:
    plan = planned(
        {"where": "all", "freeze": False},
        {"where": where, "lr": 0.5, "optional": True},
        {"where": "frozen", "lr": "1x"},
    )
    found = [name for name in NAMES if plan.parameter(name).settings["lr"] == 0.5]
    assert found == sorted(names, key=NAMES.index)


@pytest.mark.parametrize(("where", "names"), HOLDS, ids=[each[0] for each in HOLDS])
def test_not_is_the_rest(where: str, names: list[str]) -> None:
    plan = planned({"where": "all", "freeze": False}, {"where": f"not ({where})", "lr": 0.5, "optional": True})
    assert [name for name in NAMES if plan.parameter(name).settings["lr"] != 0.5] == sorted(names, key=NAMES.index)


def test_a_set_is_its_filter() -> None:
    sets = {"a": "norm or b", "b": "c and bias", "c": "linear"}
    named = optplan.plan(document({"where": "not a", "lr": 0.5}, sets=sets), net())
    plain = optplan.plan(document({"where": "not (norm or linear and bias)", "lr": 0.5}), net())
    assert named.fingerprint == plain.fingerprint


def test_sixty_rules_and_more_are_told_apart() -> None:
    """More rules, and more atoms, than a machine word has bits."""
    rules = [{"where": f"numel < {bound}", "lr": f"{bound}x", "optional": True} for bound in range(1, 150)]
    plan = planned(*rules)
    expected = 0.01
    for bound in range(37, 150):
        expected *= bound
    assert plan.parameter("blocks.0.linear.weight").settings["lr"] == pytest.approx(expected)


@pytest.mark.parametrize("of", ["{0} or {0}", "{0} and {0}", "not (not {0} or not {0})"])
def test_sets_of_sets_cost_what_is_written(of: str) -> None:
    """Written out, the first of them would be longer than any memory holds."""
    sets = {f"s{level}": of.format(f"s{level + 1}") for level in range(20)}
    config = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 0.1},
        "sets": {**sets, "s20": "norm"},
        "rules": [{"where": "s0", "lr": 0.2}],
    }
    groups = optplan.plan(config, net()).groups
    assert [sorted(group.parameters) for group in groups if group.settings["lr"] == 0.2] == [sorted(NORMS)]
