"""BERT's pretraining in MindSpore: Lamb, which MindSpore has on other devices only, planned on names and shapes."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import optplan

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path(__file__).parents[2] / "samples" / "recipes" / "bert_mindspore.optim.yaml"

# Of each layer, with the model zoo's names
LAYER = {
    "attention.attention.query_layer.weight": [4, 4],
    "attention.attention.query_layer.bias": [4],
    "attention.output.dense.weight": [4, 4],
    "attention.output.layernorm.gamma": [4],
    "attention.output.layernorm.beta": [4],
    "intermediate.weight": [8, 4],
    "intermediate.bias": [8],
    "output.layernorm.gamma": [4],
}
SHAPES = {
    "bert.bert.bert_embedding_lookup.embedding_table": [100, 4],
    "bert.bert.bert_embedding_postprocessor.layernorm.gamma": [4],
    **{f"bert.bert.bert_encoder.layers.{i}.{name}": shape for i in range(12) for name, shape in LAYER.items()},
    "bert.cls1.output_bias": [100],
    "bert.cls1.dense.weight": [4, 4],
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> optplan.Network:
    """A manifest that knows names and shapes, as one made from a checkpoint."""
    data: dict[str, Any] = {
        "format": "optplan.params/1",
        "target": "mindspore",
        "modules_known": False,
        "kinds": [{"classes": ["mindspore.nn.cell.Cell"], "families": []}],
        "modules": [{"in": -1, "name": "", "kind": 0}],
        "parameters": [
            {"name": name, "module": 0, "shape": shape, "dtype": "float32"} for name, shape in SHAPES.items()
        ],
    }
    path = tmp_path_factory.mktemp("bert") / "bert.params.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return optplan.network(path)


def test_settings(network: optplan.Network) -> None:
    plan = optplan.plan(FILE, network)
    assert plan.diagnostics == ()
    assert sum(group.numel for group in plan.groups) == sum(map(prod, SHAPES.values()))
    for name in SHAPES:
        decays = "layernorm" not in name.lower() and "bias" not in name.lower()
        found = plan.parameter(name)
        assert found.optimizer == "mindspore.Lamb"
        assert found.settings == {
            "lr": 3.5e-4,
            "beta1": 0.86,
            "beta2": 0.98,
            "eps": 1e-6,
            "weight_decay": 0.0166629 if decays else 0.0,
        }, name


def published(warm: int) -> Callable[[int], float]:
    """WarmUpLR until `warm`, and PolynomialDecayLR after it, which never heard of a warm-up."""

    def rate(t: int) -> float:
        if t < warm:
            return 3.5e-4 * t / warm
        return (3.5e-4 - 1e-9) * float((1 - min(t, 17_000) / 17_000) ** 1.2) + 1e-9

    return rate


@pytest.mark.parametrize("warm", [0, 1000])
def test_curve(network: optplan.Network, warm: int) -> None:
    plan = optplan.plan(FILE, network, let={"warm": warm})
    rate = published(warm)
    for t in (0, 1, 500, 999, 1000, 1001, 8500, 16_999, 17_000, 20_000):
        assert plan.value("bert.cls1.dense.weight", "lr", t) == pytest.approx(rate(t), rel=1e-12, abs=1e-18), t
