"""Every sample on the network that it names: what each parameter gets is worked out here, by hand."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

import optplan
from optplan.catalog import catalog, change_catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
FILES = sorted(SAMPLES.rglob("*.optim.yaml"))


def vit() -> nn.Module:
    with torch.device("meta"):
        config = ViTConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
        return ViTForImageClassification(config)


def bert() -> nn.Module:
    with torch.device("meta"):
        config = BertConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
        return BertForSequenceClassification(config)


def digits(name: str, cls: str) -> nn.Module:
    sys.path.insert(0, str(SAMPLES / "digits"))
    try:
        made: nn.Module = getattr(__import__(name), cls)()
    finally:
        sys.path.pop(0)
    return made


def digits_vit() -> nn.Module:
    return digits("vit_torch", "VisionTransformer")


def digits_resnet() -> nn.Module:
    return digits("resnet_torch", "ResidualNetwork")


def one_dimensional(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 1


def sample(name: str, model: nn.Module, epochs: int | None = None, steps_per_epoch: int | None = None) -> optplan.Plan:
    plan = optplan.plan(SAMPLES / f"{name}.optim.yaml", model, epochs=epochs, steps_per_epoch=steps_per_epoch)
    assert [item.code for item in plan.diagnostics] == []
    return plan


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_opens_with_the_line_for_editors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalog()
    if path.parent.name == "own_optimizer":
        monkeypatch.syspath_prepend(path.parent)
        importlib.import_module("own")
    first = path.read_text(encoding="utf-8").splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve() == ROOT / "schema" / "optplan-1.schema.json"
    optplan.load(path)
    change_catalog(lambda _: before)


@pytest.mark.parametrize("make", [vit, bert, digits_vit, digits_resnet])
def test_one_optimizer(make: Callable[[], nn.Module]) -> None:
    model = make()
    plan = sample("one_optimizer", model)
    (group,) = plan.groups
    assert (group.name, group.optimizer) == ("default", "adamw")
    assert group.parameters == tuple(name for name, _ in model.named_parameters())
    assert group.settings == {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
        "maximize": False,
    }


def test_no_decay() -> None:
    model = bert()
    plan = sample("no_decay", model)
    for name, parameter in model.named_parameters():
        decays = not one_dimensional(parameter) and "embeddings" not in name
        assert plan.parameter(name).settings["weight_decay"] == (0.01 if decays else 0.0), name
        # a tenth of 10 000 updates up, the rest down
        for t, factor in ((0, 0.0), (500, 0.5), (1000, 1.0), (5500, 0.5), (10_000, 0.0)):
            assert plan.value(name, "lr", t) == pytest.approx(2e-5 * factor, rel=1e-12), (name, t)


def test_backbone_and_head() -> None:
    model = vit()
    plan = sample("backbone_and_head", model)
    assert [group.name for group in plan.groups] == ["backbone", "default"]
    for name, _ in model.named_parameters():
        own = 0.01 if name.startswith("classifier.") else 0.001
        for t, factor in ((0, 1.0), (2999, 1.0), (3000, 0.1), (3999, 0.1), (4000, 0.01), (9999, 0.01)):
            assert plan.value(name, "lr", t) == pytest.approx(own * factor, rel=1e-12), (name, t)


def test_layer_wise_decay() -> None:
    model = vit()
    plan = sample("layer_wise_decay", model)
    for name, parameter in model.named_parameters():
        if name.startswith("vit.embeddings."):
            layer = 0
        elif name.startswith("vit.layers."):
            layer = int(name.split(".")[2]) + 1
        else:
            layer = 4
        settings = plan.parameter(name).settings
        # three layers between the embeddings and the head: five numbers
        assert settings["lr"] == pytest.approx(5e-4 * 1024 / 256 * 0.65 ** (4 - layer), rel=1e-12), name
        still = one_dimensional(parameter) or name in {"vit.embeddings.cls_token", "vit.embeddings.position_embeddings"}
        assert settings["weight_decay"] == (0.0 if still else 0.05), name
    warm, total = 5 * 1251, 100 * 1251
    name = "classifier.weight"
    middle = (warm + total) // 2
    half = 0.001 + 0.999 * (1 + math.cos(math.pi * (middle - warm) / (total - warm))) / 2
    for t, factor in ((0, 0.0), (1251, 0.2), (warm, 1.0), (middle, half), (total, 0.001)):
        assert plan.value(name, "lr", t) == pytest.approx(2e-3 * factor, rel=1e-12), t


@pytest.mark.parametrize("make", [vit, bert])
def test_head_only(make: Callable[[], nn.Module]) -> None:
    model = make()
    plan = sample("head_only", model)
    (group,) = plan.groups
    assert group.parameters == ("classifier.weight", "classifier.bias")
    assert set(plan.frozen) == {name for name, _ in model.named_parameters()} - set(group.parameters)
    plan.bind(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == list(group.parameters)


def test_held_for_two_epochs() -> None:
    model = vit()
    plan = sample("held_for_two_epochs", model)

    def published(t: int) -> float:
        """One epoch of 500 updates up, seven down by a cosine to a hundredth, and then still."""
        if t < 500:
            return t / 500
        s = min((t - 500) / 3500, 1.0)
        return 0.01 + 0.99 * (1 + math.cos(math.pi * s)) / 2

    for t in (0, 1, 499, 500, 999, 1000, 1001, 2250, 4000, 4999, 6000):
        assert plan.value("classifier.weight", "lr", t) == pytest.approx(1e-3 * published(t), rel=1e-12), t
        held = 0.0 if t < 1000 else 1e-4 * published(t - 1000)
        assert plan.value("vit.layers.0.layernorm_before.weight", "lr", t) == pytest.approx(held, rel=1e-12), t


def test_muon_and_adamw() -> None:
    model = digits_vit()
    plan = sample("muon_and_adamw", model)
    matrices = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.startswith("head")
    }
    taken = {name for group in plan.groups if group.optimizer == "muon" for name in group.parameters}
    assert taken == matrices
    for name, parameter in model.named_parameters():
        settings = plan.parameter(name).settings
        assert settings["lr"] == (0.02 if name in matrices else 3e-4)
        assert settings["weight_decay"] == (0.0 if one_dimensional(parameter) else 0.01), name
    assert [plan.value("head.weight", "lr", t) for t in (0, 2999, 5000)] == [3e-4, 3e-4, 0.0]
    assert plan.value("head.weight", "lr", 4000) == pytest.approx(1.5e-4, rel=1e-12)


@pytest.mark.parametrize("make", [digits_vit, digits_resnet])
def test_digits(make: Callable[[], nn.Module]) -> None:
    model = make()
    plan = sample("digits/digits", model, epochs=15, steps_per_epoch=11)
    blocks = 1 + max(
        int(name.split("layers.")[1].split(".")[0]) for name, _ in model.named_parameters() if "layers." in name
    )
    for name, parameter in model.named_parameters():
        layer = blocks + 1
        if name.startswith(("embeddings.", "stem.")):
            layer = 0
        elif "layers." in name:
            layer = int(name.split("layers.")[1].split(".")[0]) + 1
        matrix = name.startswith("encoder.") and parameter.ndim == 2
        treatment = plan.parameter(name)
        assert treatment.optimizer == ("muon" if matrix else "adamw"), name
        own = (0.02 if matrix else 3e-3) * 0.75 ** (blocks + 1 - layer)
        assert treatment.settings["lr"] == pytest.approx(own, rel=1e-12), name
        still = one_dimensional(parameter) or name.startswith("embeddings.position")
        assert treatment.settings["weight_decay"] == (0.0 if still else 0.01 if matrix else 0.05), name
        assert plan.value(name, "lr", 0) == 0.0
        assert plan.value(name, "lr", 165) == pytest.approx(own / 100, rel=1e-12)
