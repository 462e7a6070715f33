"""What the documents of this folder mean, in the plain Python that people write without them.

For each architecture one function of a parameter's first name, the parameter and the module that holds it: the name of
its group, its optimizer and all of its settings; None for what is not trained.  Nothing of optplan is used here.  What
a document leaves out comes from torch's own optimizers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


class Expected(NamedTuple):
    """The treatment of one parameter."""

    group: str
    optimizer: str
    settings: dict[str, Any]


# Keys of a torch optimizer that choose an implementation and leave the mathematics alone.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"}


def _settings(cls: Callable[..., torch.optim.Optimizer], given: dict[str, Any]) -> dict[str, Any]:
    one = cls([nn.Parameter(torch.zeros(1, 1))])
    return {key: value for key, value in one.defaults.items() if key not in IMPLEMENTATION} | given


def adamw(group: str, **given: Any) -> Expected:
    return Expected(group, "adamw", _settings(torch.optim.AdamW, given))


def muon(group: str, **given: Any) -> Expected:
    return Expected(group, "muon", _settings(torch.optim.Muon, given))


def sgd(group: str, **given: Any) -> Expected:
    return Expected(group, "sgd", _settings(torch.optim.SGD, given))


def adafactor(group: str, **given: Any) -> Expected:
    return Expected(group, "adafactor", _settings(torch.optim.Adafactor, given))


def vit(name: str, parameter: nn.Parameter, owner: nn.Module) -> Expected:
    last = 13
    block = re.fullmatch(r"vit\.layers\.(\d+)\..*", name)
    layer = int(block[1]) + 1 if block else 0 if "embeddings" in name else last
    exempt = parameter.ndim == 1 or name.endswith(("cls_token", "position_embeddings"))
    assert not isinstance(owner, nn.LayerNorm) or exempt
    return adamw(
        f"no_decay+depth/layer={layer}" if exempt else f"depth/layer={layer}",
        lr=5e-4 * 1024 / 512 * 0.75 ** (last - layer),
        weight_decay=0.0 if exempt else 0.05,
        betas=(0.9, 0.95),
    )


def bert(name: str, _parameter: nn.Parameter, owner: nn.Module) -> Expected | None:
    if name.startswith(("bert.embeddings.", "bert.encoder.layer.0.", "bert.encoder.layer.1.")):
        return None
    rules = []
    decay, lr = 0.01, 2e-5
    if isinstance(owner, nn.LayerNorm) or name.endswith(".bias"):
        rules.append("no_decay")
        decay = 0.0
    if "classifier" in name or "pooler" in name:
        rules.append("head")
        lr *= 10
    return adamw("+".join(rules) or "default", lr=lr, weight_decay=decay)


def gpt2(name: str, parameter: nn.Parameter, owner: Any) -> Expected:
    betas = (0.9, 0.95)
    if parameter.ndim < 2:
        return adamw("ndim < 2", lr=6e-4, betas=betas, weight_decay=0.0)
    if name == "transformer.wte.weight":  # the head's too
        return adamw("table", lr=6e-4, betas=betas, weight_decay=0.01)
    if isinstance(owner, nn.Embedding):
        return adamw("default", lr=6e-4, betas=betas, weight_decay=0.1)
    # A Conv1D computes x @ weight: its inputs are the rows.
    inputs = owner.weight.shape[0]
    lr = 6e-4 * 8 / inputs
    if "c_proj" not in name:
        return adamw("width", lr=lr, betas=betas, weight_decay=0.1)
    # Of attention 16 inputs, of the MLP 64; attention comes first.
    number = 0 if ".attn." in name else 1
    assert inputs == (16, 64)[number]
    return adamw(f"width+.c_proj and ndim == 2/{number}", lr=lr, betas=(0.9, 0.99), weight_decay=0.1)


def llama(name: str, parameter: nn.Parameter, owner: nn.Module) -> Expected:
    if "norm" in name:
        return adamw("norms", lr=3e-4, betas=(0.9, 0.95), weight_decay=0.0)
    if "layers" in name:
        assert isinstance(owner, nn.Linear)
        scale: float = max(1, owner.out_features / owner.in_features) ** 0.5
        wide = "gate_proj" in name or "up_proj" in name
        return muon(f"matrices/{int(wide)}", lr=0.02 * scale, weight_decay=0.01)
    assert parameter.shape == (100, 16)
    if isinstance(owner, nn.Embedding):
        return adamw("embedding", lr=3e-4 * 0.5, betas=(0.9, 0.95), weight_decay=0.1)
    return adamw("default", lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)


def convnext(name: str, parameter: nn.Parameter, owner: nn.Module) -> Expected:
    stage = re.search(r"stages\.(\d)", name)
    layer = int(stage[1]) + 1 if stage else 0 if "embeddings" in name else 5
    rules, decay, lr = [], 0.05, 4e-3
    if parameter.ndim <= 1:
        rules.append("flat")
        decay = 0.0
    if isinstance(owner, nn.Conv2d) and owner.groups > 1 and name.endswith("weight"):
        rules.append("depthwise")
        decay *= 0.1
    if name.endswith("layer_scale_parameter"):
        rules.append("gamma")
        lr *= 0.5
    lr *= 0.8 ** (5 - layer)
    return adamw("+".join([*rules, f"depth/layer={layer}"]), lr=lr, weight_decay=decay)


def swin(name: str, parameter: nn.Parameter, owner: nn.Module) -> Expected:
    layer = 15
    if "swin.embeddings" in name:
        layer = 0
    elif "downsample" in name:
        layer = 3
    elif block := re.search(r"layers\.(\d)\.blocks\.(\d+)", name):
        layer = (1, 4)[int(block[1])] + int(block[2])
    exempt = (
        isinstance(owner, nn.LayerNorm)
        or name.endswith((".bias", "relative_position_bias_table"))
        or name == "swin.embeddings.position_embeddings"
    )
    assert exempt or parameter.ndim in {2, 4}
    return adamw(
        f"no_decay+depth/layer={layer}" if exempt else f"depth/layer={layer}",
        lr=1e-3 * 0.9 ** (15 - layer),
        weight_decay=0.0 if exempt else 0.05,
    )


def resnet(name: str, _parameter: nn.Parameter, owner: nn.Module) -> Expected | None:
    if name.startswith("resnet.embedder"):
        return None
    rules, decay, lr, momentum = [], 5e-5, 0.1, 0.9
    if isinstance(owner, nn.BatchNorm2d) or name == "classifier.1.bias":
        rules.append("no_decay")
        decay = 0.0
    if "stages.0." in name or "stages.1." in name:
        rules.append("early")
        lr *= 0.1
    if "shortcut.convolution" in name:
        rules.append("downsampling")
        momentum = 0.8
    return sgd("+".join(rules) or "default", lr=lr, momentum=momentum, weight_decay=decay, nesterov=True)


def detr(name: str, _parameter: nn.Parameter, owner: nn.Module) -> Expected | None:
    if "backbone" in name:
        assert isinstance(owner, nn.Conv2d)
        upper = re.search(r"stages\.[123]\.", name)
        return adamw("backbone", lr=1e-4 * 0.1, weight_decay=1e-4) if upper else None
    if name == "model.query_position_embeddings.weight":
        return adamw("queries", lr=1e-4, weight_decay=0.0)
    if "bbox_predictor" in name and "weight" in name:
        return adamw("boxes", lr=2e-4, weight_decay=1e-4)
    return adamw("default", lr=1e-4, weight_decay=1e-4)


def t5(name: str, parameter: nn.Parameter, owner: nn.Module) -> Expected:
    if name == "shared.weight":
        return adafactor("no_decay+shared", lr=1e-3 * 0.5, weight_decay=0.0)
    rules, decay, lr = [], 0.01, 1e-3
    if isinstance(owner, nn.Embedding) or parameter.ndim == 1:
        rules.append("no_decay")
        decay = 0.0
    if name.startswith("decoder."):
        rules.append("decoder")
        lr *= 2
    if "relative_attention_bias" in name:
        rules.append("positions")
        lr *= 10
    return adafactor("+".join(rules) or "default", lr=lr, weight_decay=decay)


EXPECTATIONS: dict[str, Callable[[str, nn.Parameter, Any], Expected | None]] = {
    "vit": vit,
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "convnext": convnext,
    "swin": swin,
    "resnet": resnet,
    "detr": detr,
    "t5": t5,
}
