"""A published recipe as its own code states it, and the parts that networks with published names are made of.

A recipe's functions say, of one parameter, which optimizer has it, with which settings, and what its scheduled ones are
at update t: the published rule, written again.  Nothing here uses optplan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    Settings = tuple[type[torch.optim.Optimizer], dict[str, object]]
    Values = dict[str, float]


class Seen(NamedTuple):
    """A parameter as published code sees it: `isinstance(seen.owner, nn.LayerNorm)`."""

    name: str
    parameter: nn.Parameter
    owner: nn.Module

    @property
    def ndim(self) -> int:
        return self.parameter.ndim


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was published: settings that differ from PyTorch's defaults, and values at update t by setting."""

    network: Callable[[], nn.Module]
    settings: Callable[[Seen], Settings]
    values: Callable[[Seen, int], Values]
    updates: tuple[int, ...]  # the breakpoints, and what is beside and between them


class Parts(nn.Module):
    """A module of these parts, by their published names."""

    def __init__(self, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def free(*shape: int) -> nn.Parameter:
    """A parameter that its module holds by itself."""
    return nn.Parameter(torch.zeros(*shape))


def conv(inputs: int, outputs: int, size: int = 1, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, bias=bias)


def transformer_block(width: int = 4, *, layer_scale: bool = False) -> nn.Module:
    """A block with timm's names, which most vision transformers have."""
    scales = {name: Parts(gamma=free(width)) for name in ("ls1", "ls2")} if layer_scale else {}
    return Parts(
        norm1=nn.LayerNorm(width),
        attn=Parts(qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width)),
        norm2=nn.LayerNorm(width),
        mlp=Parts(fc1=nn.Linear(width, width), fc2=nn.Linear(width, width)),
        **scales,
    )


def residual_network(depths: tuple[int, ...] = (3, 4, 6, 3), width: int = 4) -> nn.Module:
    """Bottlenecks with torchvision's names; the default is ResNet-50, but for its widths."""

    def bottleneck(*, first: bool) -> nn.Module:
        layers: dict[str, nn.Module] = {}
        for number in (1, 2, 3):
            layers |= {f"conv{number}": conv(width, width), f"bn{number}": nn.BatchNorm2d(width)}
        if first:
            layers["downsample"] = nn.Sequential(conv(width, width), nn.BatchNorm2d(width))
        return Parts(**layers)

    stages = {
        f"layer{number}": nn.Sequential(*(bottleneck(first=block == 0) for block in range(depth)))
        for number, depth in enumerate(depths, 1)
    }
    return Parts(conv1=conv(3, width), bn1=nn.BatchNorm2d(width), **stages, fc=nn.Linear(width, 10))


NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
