"""What was published for networks that find things in pictures: each rule again, by the names of its own code."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import SGD, AdamW

from tests.recipes.recipe import Parts, Recipe, Seen, conv, free, residual_network, transformer_block

if TYPE_CHECKING:
    from tests.recipes.recipe import Settings, Values


# DETR


def detr() -> nn.Module:
    """Of the backbone, norms and everything before the second stage are frozen."""
    body = residual_network()
    del body.fc
    for name, module in body.named_modules():
        if isinstance(module, nn.BatchNorm2d) or name.startswith(("conv1", "layer1")):
            module.requires_grad_(requires_grad=False)
    encoder = [Parts(self_attn=nn.MultiheadAttention(4, 2), norm1=nn.LayerNorm(4)) for _ in range(6)]
    return Parts(
        transformer=Parts(encoder=Parts(layers=nn.ModuleList(encoder))),
        class_embed=nn.Linear(4, 3),
        query_embed=nn.Embedding(5, 4),
        input_proj=conv(4, 4, bias=True),
        backbone=nn.Sequential(Parts(body=body)),
    )


def detr_rate(seen: Seen) -> float:
    return 1e-5 if "backbone" in seen.name else 1e-4


def detr_settings(seen: Seen) -> Settings:
    return AdamW, {"lr": detr_rate(seen), "weight_decay": 1e-4}


def detr_values(seen: Seen, t: int) -> Values:
    return {"lr": detr_rate(seen) * 0.1 ** (t // 1848 // 200)}


# SAM 2.1


class LayerNorm2d(nn.Module):
    """SAM 2's own norm over channels, which is none of PyTorch's."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))


def sam2(depth: int = 24) -> nn.Module:
    trunk = Parts(
        pos_embed=free(1, 4, 7, 7),
        pos_embed_window=free(1, 4, 8, 8),
        patch_embed=Parts(proj=conv(3, 4, 7, bias=True)),
        blocks=nn.ModuleList(transformer_block() for _ in range(depth)),
    )
    neck = Parts(convs=nn.ModuleList(nn.Sequential(conv(4, 4, bias=True)) for _ in range(4)))
    decoder = Parts(
        transformer=Parts(layers=nn.ModuleList(Parts(self_attn=Parts(q_proj=nn.Linear(4, 4))) for _ in range(2))),
        output_upscaling=nn.Sequential(nn.ConvTranspose2d(4, 4, 2), LayerNorm2d()),
        mask_tokens=nn.Embedding(4, 4),
    )
    return Parts(
        maskmem_tpos_enc=free(7, 1, 1, 4),
        image_encoder=Parts(trunk=trunk, neck=neck),
        memory_attention=Parts(norm=nn.LayerNorm(4)),
        sam_mask_decoder=decoder,
    )


def sam2_rate(seen: Seen) -> float:
    """Ids are 0 for what embeds, and those of the 24 blocks plus one: .9 ** (25 - id)."""
    vision = 3e-6 if seen.name.startswith("image_encoder.") else 5e-6
    if "pos_embed" in seen.name or not seen.name.startswith("image_encoder.trunk"):
        return vision
    layer = 0 if "patch_embed" in seen.name else int(seen.name.split("blocks.")[1].split(".")[0]) + 1
    return vision * float(0.9 ** (25 - layer))


def sam2_settings(seen: Seen) -> Settings:
    without = "bias" in seen.name or type(seen.owner) is nn.LayerNorm
    return AdamW, {"lr": sam2_rate(seen), "weight_decay": 0.0 if without else 0.1}


def sam2_values(seen: Seen, t: int) -> Values:
    """From the rate to a tenth of it."""
    where = t / (40 * 370)
    return {"lr": sam2_rate(seen) * (0.1 + 0.5 * (1 - 0.1) * (1 + cos(pi * where)))}


# ViTDet-B


class ChannelNorm(nn.Module):
    """The norm of detectron2's pyramid, called LayerNorm there, which its rule for norms does not know."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))


def vitdet(depth: int = 12) -> nn.Module:
    net = Parts(
        pos_embed=free(1, 10, 4),
        patch_embed=Parts(proj=conv(3, 4, 4, bias=True)),
        blocks=nn.ModuleList(transformer_block() for _ in range(depth)),
    )
    backbone = Parts(net=net, simfp_2=nn.Sequential(nn.ConvTranspose2d(4, 4, 2), Parts(norm=ChannelNorm())))
    heads = Parts(box_predictor=Parts(cls_score=nn.Linear(4, 3)), norm=nn.LayerNorm(4))
    return Parts(backbone=backbone, roi_heads=heads)


def vitdet_scale(seen: Seen) -> float:
    layer = 13
    if ".pos_embed" in seen.name or ".patch_embed" in seen.name:
        layer = 0
    elif ".blocks." in seen.name:
        layer = int(seen.name.split(".blocks.")[1].split(".")[0]) + 1
    return float(0.7 ** (13 - layer))


def vitdet_settings(seen: Seen) -> Settings:
    without = isinstance(seen.owner, nn.LayerNorm) or seen.name.endswith("pos_embed")
    return AdamW, {"lr": 1e-4 * vitdet_scale(seen), "weight_decay": 0.0 if without else 0.1}


def vitdet_values(seen: Seen, t: int) -> Values:
    factor = 0.1 ** sum(t >= milestone for milestone in (163_889, 177_546))
    if t < 250:
        factor = 0.001 + (1 - 0.001) * t / 250
    return {"lr": 1e-4 * factor * vitdet_scale(seen)}


# YOLOv5


def yolo() -> nn.Module:
    def unit() -> nn.Module:
        return Parts(conv=conv(4, 4, 3), bn=nn.BatchNorm2d(4))

    body = [unit() for _ in range(24)]
    detect = Parts(m=nn.ModuleList(conv(4, 6, bias=True) for _ in range(3)))
    return Parts(model=nn.Sequential(*body, detect))


def yolo_settings(seen: Seen) -> Settings:
    decays = not seen.name.endswith("bias") and not isinstance(seen.owner, nn.BatchNorm2d)
    return SGD, {"lr": 0.01, "momentum": 0.937, "nesterov": True, "weight_decay": 5e-4 if decays else 0.0}


def yolo_values(seen: Seen, t: int) -> Values:
    length, epochs = 1849, 300
    warm = max(round(3 * length), 100)
    target = 0.01 * ((1 - t // length / epochs) * (1 - 0.01) + 0.01)
    if t > warm:
        return {"lr": target, "momentum": 0.937}
    start = 0.1 if seen.name.endswith("bias") else 0.0
    return {"lr": start + (target - start) * t / warm, "momentum": 0.8 + (0.937 - 0.8) * t / warm}


_YOLO = (0, 1, 1848, 1849, 1850, 3697, 3698, 5546, 5547, 5548, 7396, 277_350, 554_699)

DETECTION = {
    "detr": Recipe(detr, detr_settings, detr_values, (0, 1, 199 * 1848, 200 * 1848 - 1, 200 * 1848, 300 * 1848 - 1)),
    "sam2.1": Recipe(sam2, sam2_settings, sam2_values, (0, 1, 370, 7400, 14_799)),
    "vitdet_base": Recipe(
        vitdet, vitdet_settings, vitdet_values, (0, 1, 249, 250, 163_888, 163_889, 177_545, 177_546, 184_374)
    ),
    "yolov5": Recipe(yolo, yolo_settings, yolo_values, _YOLO),
}
