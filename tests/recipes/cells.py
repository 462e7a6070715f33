"""Networks of PyTorch's modules again, of MindSpore's Cells: the same names, shapes and values, and no computing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import torch
from mindspore import nn as cells
from torch import nn as modules

if TYPE_CHECKING:
    from torch.nn import Module


class Named(cells.Cell):
    """A Cell that holds what is set on it."""


def mirrored(module: Module) -> cells.Cell:
    """A Cell with the parameters of `module`, each frozen if it is frozen there."""
    match module:
        case modules.Linear():
            cell = cells.Dense(module.in_features, module.out_features, has_bias=module.bias is not None)
        case modules.Conv2d():
            cell = cells.Conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size[0],
                group=module.groups,
                has_bias=module.bias is not None,
            )
        case modules.LayerNorm():
            cell = cells.LayerNorm(module.normalized_shape)
        case modules.BatchNorm2d():
            cell = cells.BatchNorm2d(module.num_features)
        case modules.BatchNorm1d():
            cell = cells.BatchNorm1d(module.num_features)
        case modules.Embedding():
            cell = cells.Embedding(module.num_embeddings, module.embedding_dim)
        case _:
            return _container(module)
    for name, parameter in module.named_parameters():
        own = {"weight": ("weight", "gamma", "embedding_table"), "bias": ("bias", "beta")}[name]
        twin = next(found for each in own if (found := getattr(cell, each, None)) is not None)
        twin.set_data(_tensor(parameter))
        twin.requires_grad = parameter.requires_grad
    return cell


def _container(module: Module) -> cells.Cell:
    if isinstance(module, modules.Sequential):
        return cells.SequentialCell([mirrored(each) for each in module])
    if isinstance(module, modules.ModuleList):
        return cells.CellList([mirrored(each) for each in module])
    cell = Named()
    for name, parameter in module.named_parameters(recurse=False):
        setattr(cell, name, ms.Parameter(_tensor(parameter), name=name, requires_grad=parameter.requires_grad))
    for name, child in module.named_children():
        setattr(cell, name, mirrored(child))
    return cell


def _tensor(values: torch.Tensor) -> ms.Tensor:
    return ms.Tensor(values.detach().numpy().copy())
