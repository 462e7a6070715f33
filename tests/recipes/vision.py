"""What was published for networks that learn from pictures: each rule again, by the names of its own code."""

from __future__ import annotations

from math import cos, pi, sqrt
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import SGD, AdamW

from tests.recipes.recipe import NORMS, Parts, Recipe, Seen, conv, free, residual_network, transformer_block

if TYPE_CHECKING:
    from tests.recipes.recipe import Settings, Values


def half_cosine(share: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1 + cos(pi * share))


# ResNet-50 three times


def one_hour_settings(seen: Seen) -> Settings:
    decay = 0.0 if isinstance(seen.owner, NORMS) else 1e-4
    return SGD, {"lr": 3.2, "momentum": 0.9, "nesterov": True, "weight_decay": decay}


def one_hour_values(_: Seen, t: int) -> Values:
    epoch = t / 156
    if epoch < 5:
        return {"lr": 0.1 + (3.2 - 0.1) * epoch / 5}
    return {"lr": 3.2 * 0.1 ** sum(epoch >= milestone for milestone in (30, 60, 80))}


def nvidia_settings(seen: Seen) -> Settings:
    decay = 0.0 if "bn" in seen.name else 3.0517578125e-05
    return SGD, {"lr": 2.048, "momentum": 0.875, "weight_decay": decay}


def nvidia_values(_: Seen, t: int) -> Values:
    epoch = t // 625
    return {"lr": 2.048 * ((epoch + 1) / 8 if epoch < 8 else half_cosine((epoch - 8) / (250 - 8)))}


def zoo_settings(seen: Seen) -> Settings:
    """With MindSpore's names: `beta` and `gamma` of norms, and `bias`."""
    decay = 0.0 if isinstance(seen.owner, NORMS) or "bias" in seen.name else 1e-4
    return SGD, {"lr": 0.8, "momentum": 0.9, "weight_decay": decay}


def zoo_values(_: Seen, t: int) -> Values:
    warm, total = 2 * 5004, 90 * 5004
    return {"lr": 0.8 * t / warm if t < warm else 0.8 - 0.8 * (t - warm) / (total - warm)}


# Swin-T


def swin() -> nn.Module:
    """With position embeddings, which the rule names and Swin-T can do without."""

    def block() -> nn.Module:
        made = transformer_block()
        made.get_submodule("attn").relative_position_bias_table = free(169, 3)
        return made

    layers = nn.ModuleList()
    for depth in (2, 2, 6, 2):
        layer = Parts(blocks=nn.ModuleList(block() for _ in range(depth)))
        if len(layers) < 3:
            layer.downsample = Parts(reduction=nn.Linear(16, 8, bias=False), norm=nn.LayerNorm(16))
        layers.append(layer)
    embed = Parts(proj=conv(3, 4, 4, bias=True), norm=nn.LayerNorm(4))
    return Parts(
        patch_embed=embed, absolute_pos_embed=free(1, 9, 4), layers=layers, norm=nn.LayerNorm(4), head=nn.Linear(4, 10)
    )


def swin_settings(seen: Seen) -> Settings:
    without = seen.ndim == 1 or seen.name.endswith(".bias") or seen.name == "absolute_pos_embed"
    without = without or "relative_position_bias_table" in seen.name
    return AdamW, {"lr": 5e-4 * 1024 / 512, "weight_decay": 0.0 if without else 0.05}


def swin_values(_: Seen, t: int) -> Values:
    """Rate, start and floor are all scaled by batch / 512."""
    peak, start, floor = (each * 1024 / 512 for each in (5e-4, 5e-7, 5e-6))
    warm, total = 20 * 1251, 300 * 1251
    if t < warm:
        return {"lr": start + t * (peak - start) / warm}
    return {"lr": floor + (peak - floor) * half_cosine((t - warm) / (total - warm))}


# MAE's ViT-B


def vit(depth: int = 12) -> nn.Module:
    return Parts(
        cls_token=free(1, 1, 4),
        pos_embed=free(1, 10, 4),
        patch_embed=Parts(proj=conv(3, 4, 4, bias=True)),
        blocks=nn.ModuleList(transformer_block() for _ in range(depth)),
        fc_norm=nn.LayerNorm(4),
        head=nn.Linear(4, 10),
    )


def mae_scale(seen: Seen) -> float:
    if seen.name in {"cls_token", "pos_embed"} or seen.name.startswith("patch_embed"):
        layer = 0
    elif seen.name.startswith("blocks"):
        layer = int(seen.name.split(".")[1]) + 1
    else:
        layer = 13
    return float(0.65 ** (13 - layer))


def mae_settings(seen: Seen) -> Settings:
    decay = 0.0 if seen.ndim == 1 or seen.name in {"cls_token", "pos_embed"} else 0.05
    return AdamW, {"lr": 5e-4 * 1024 / 256 * mae_scale(seen), "weight_decay": decay}


def mae_values(seen: Seen, t: int) -> Values:
    epoch, lr = t / 1251, 5e-4 * 1024 / 256
    now = lr * epoch / 5 if epoch < 5 else 1e-6 + (lr - 1e-6) * half_cosine((epoch - 5) / (100 - 5))
    return {"lr": now * mae_scale(seen)}


# ConvNeXt-B


def convnext(*, whole: bool = True) -> nn.Module:
    """Its layers are counted by the file, so that there is no smaller one but that with less in each block."""

    def block() -> nn.Module:
        if not whole:
            return Parts(norm=nn.LayerNorm(4))
        return Parts(
            gamma=free(4),
            dwconv=nn.Conv2d(4, 4, 7, groups=4),
            norm=nn.LayerNorm(4),
            pwconv1=nn.Linear(4, 8),
            pwconv2=nn.Linear(8, 4),
        )

    stem = nn.Sequential(conv(3, 4, 4, bias=True), nn.LayerNorm(4))
    down = [nn.Sequential(nn.LayerNorm(4), conv(4, 4, 2, bias=True)) for _ in range(3)]
    stages = nn.ModuleList(nn.Sequential(*(block() for _ in range(depth))) for depth in (3, 3, 27, 3))
    return Parts(
        downsample_layers=nn.ModuleList([stem, *down]), stages=stages, norm=nn.LayerNorm(4), head=nn.Linear(4, 10)
    )


def convnext_scale(seen: Seen) -> float:
    module, _, rest = seen.name.partition(".")
    numbers = [int(segment) for segment in rest.split(".")[:2] if segment.isdigit()]
    match module, numbers:
        case "downsample_layers", [stage, *_]:
            layer = (0, 2, 3, 12)[stage]
        case "stages", [2, block]:
            layer = 3 + block // 3
        case "stages", [stage, _]:
            layer = {0: 1, 1: 2, 3: 12}[stage]
        case _:
            layer = 13
    return float(0.7 ** (13 - layer))


def convnext_settings(seen: Seen) -> Settings:
    decay = 0.0 if seen.ndim == 1 or seen.name.endswith(".bias") else 1e-8
    return AdamW, {"lr": 5e-5 * convnext_scale(seen), "weight_decay": decay}


def convnext_values(seen: Seen, t: int) -> Values:
    return {"lr": (1e-6 + (5e-5 - 1e-6) * half_cosine(t / (30 * 2502))) * convnext_scale(seen)}


# DINOv2's ViT-L


def dinov2(depth: int = 24) -> nn.Module:
    """The student; the last layer's length is kept at one, so that only its direction is trained."""
    blocks = nn.ModuleList(transformer_block(layer_scale=True) for _ in range(depth))
    backbone = Parts(
        cls_token=free(1, 1, 4),
        pos_embed=free(1, 10, 4),
        mask_token=free(1, 4),
        patch_embed=Parts(proj=conv(3, 4, 4, bias=True)),
        blocks=blocks,
        norm=nn.LayerNorm(4),
    )
    mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4))
    last = Parts(weight_g=nn.Parameter(torch.zeros(16, 1), requires_grad=False), weight_v=free(16, 4))
    return Parts(backbone=backbone, dino_head=Parts(mlp=mlp, last_layer=last))


def dinov2_scale(seen: Seen) -> float:
    module, _, inner = seen.name.partition(".")
    if module != "backbone":
        return 1.0
    layer = 25
    if inner.startswith(("pos_embed", "patch_embed", "mask_token", "cls_token")):
        layer = 0
    elif inner.startswith("blocks."):
        layer = int(inner.split(".")[1]) + 1
    return float(0.9 ** (25 - layer)) * (0.2 if "patch_embed" in inner else 1.0)


def dinov2_decays(seen: Seen) -> bool:
    return not (seen.name.endswith(".bias") or "norm" in seen.name or "gamma" in seen.name)


def dinov2_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": 4e-3 * dinov2_scale(seen), "weight_decay": 0.04 if dinov2_decays(seen) else 0.0}


def dinov2_values(seen: Seen, t: int) -> Values:
    base, final, warm, total = 4e-3 * sqrt(1024 / 1024), 1e-6, 10 * 1250, 100 * 1250
    now = final + (base - final) * half_cosine((t - warm) / (total - warm))
    if "last_layer" in seen.name and t < 1250:
        now = 0.0
    elif t < warm:
        now = base * t / (warm - 1)  # numpy.linspace: both ends are in it
    decay = 0.4 + (0.04 - 0.4) * half_cosine(t / total)
    return {"lr": now * dinov2_scale(seen), "weight_decay": decay if dinov2_decays(seen) else 0.0}


# One cycle


def layer_groups() -> nn.Module:
    body = nn.ModuleList(nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.Linear(4, 4)) for _ in range(2))
    return Parts(body=body, head=nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)))


def one_cycle_rate(seen: Seen) -> float:
    """The groups of `slice(1e-5, 1e-3)`: equal ratios from the first to the last."""
    group = 2 if seen.name.startswith("head") else int(seen.name.split(".")[1])
    return (1e-5, 1e-4, 1e-3)[group]


def one_cycle_settings(seen: Seen) -> Settings:
    without = seen.ndim == 1
    decay = 0.0 if without else 0.01
    return AdamW, {"lr": one_cycle_rate(seen), "betas": (0.95, 0.99), "eps": 1e-5, "weight_decay": decay}


def one_cycle_values(seen: Seen, t: int) -> Values:
    def combined(start: float, middle: float, end: float) -> float:
        position = t / 500
        if position < 0.25:
            return start + (middle - start) * (1 - half_cosine(position / 0.25))
        return middle + (end - middle) * (1 - half_cosine((position - 0.25) / 0.75))

    lr = one_cycle_rate(seen)
    return {"lr": combined(lr / 25, lr, lr / 1e5), "betas[0]": combined(0.95, 0.85, 0.95)}


def _epochs(length: int, *epochs: float) -> tuple[int, ...]:
    """These epochs' first updates, what is on either side, and the first two updates of all."""
    return (0, 1, *(round(epoch * length) + beside for epoch in epochs for beside in (-1, 0, 1)))


VISION = {
    "resnet50_one_hour": Recipe(residual_network, one_hour_settings, one_hour_values, _epochs(156, 2.5, 5, 30, 60, 80)),
    "resnet50_nvidia": Recipe(residual_network, nvidia_settings, nvidia_values, _epochs(625, 1, 7, 8, 9, 129, 249)),
    "resnet50_mindspore": Recipe(residual_network, zoo_settings, zoo_values, _epochs(5004, 1, 2, 46, 89)),
    "swin_tiny": Recipe(swin, swin_settings, swin_values, _epochs(1251, 10, 20, 160, 299)),
    "mae_vit_base": Recipe(vit, mae_settings, mae_values, _epochs(1251, 2, 5, 52.5, 99)),
    "convnext_base": Recipe(convnext, convnext_settings, convnext_values, _epochs(2502, 1, 15, 29)),
    "dinov2": Recipe(dinov2, dinov2_settings, dinov2_values, _epochs(1250, 1, 5, 10, 55, 99)),
    "one_cycle": Recipe(layer_groups, one_cycle_settings, one_cycle_values, (0, 1, 124, 125, 126, 312, 498, 499)),
}
