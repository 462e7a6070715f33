"""Networks of PyTorch's modules again, of MindSpore's Cells: the same names, shapes and values, and no computing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import nn as cells
from torch import nn as modules

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

# The names of MindSpore's own classes for PyTorch's `weight` and `bias`
_OWN = {"weight": ("weight", "gamma", "embedding_table"), "bias": ("bias", "beta")}

Twins = dict[int, ms.Parameter]
"""By the identity of a parameter of PyTorch its twin; what is tied there is tied here."""


class Named(cells.Cell):
    """A Cell that holds what is set on it."""


def mirrored(module: Module, twins: Twins | None = None) -> cells.Cell:
    """A Cell with the parameters of `module`, each frozen if it is frozen there, and tied if it is tied."""
    twins = {} if twins is None else twins
    match module:
        case modules.Linear():
            cell = cells.Dense(module.in_features, module.out_features, has_bias=module.bias is not None)
        case modules.Conv2d():
            size, bias = module.kernel_size[0], module.bias is not None
            cell = cells.Conv2d(module.in_channels, module.out_channels, size, group=module.groups, has_bias=bias)
        case modules.LayerNorm():
            cell = cells.LayerNorm(module.normalized_shape)
        case modules.BatchNorm2d():
            cell = cells.BatchNorm2d(module.num_features)
        case modules.BatchNorm1d():
            cell = cells.BatchNorm1d(module.num_features)
        case modules.Embedding():
            cell = cells.Embedding(module.num_embeddings, module.embedding_dim)
        case modules.LSTM():
            return _recurrent(module)
        case _:
            return _container(module, twins)
    for name, parameter in module.named_parameters():
        own = next(each for each in _OWN[name] if getattr(cell, each, None) is not None)
        if id(parameter) in twins:
            setattr(cell, own, twins[id(parameter)])
            continue
        twin = twins[id(parameter)] = getattr(cell, own)
        twin.set_data(_tensor(parameter))
        twin.requires_grad = parameter.requires_grad
    return cell


def _recurrent(module: modules.LSTM) -> cells.Cell:
    cell = cells.LSTM(module.input_size, module.hidden_size)
    for twin in cell.get_parameters():
        twin.set_data(_tensor(module.get_parameter(twin.name)))
    return cell


def _container(module: Module, twins: Twins) -> cells.Cell:
    if isinstance(module, modules.Sequential):
        return cells.SequentialCell([mirrored(each, twins) for each in module])
    if isinstance(module, modules.ModuleList):
        return cells.CellList([mirrored(each, twins) for each in module])
    # Norms of a network's own are known by the names of their classes
    cell: cells.Cell = type(type(module).__name__, (Named,), {})()
    for name, parameter in module.named_parameters(recurse=False):
        twin = ms.Parameter(_tensor(parameter), name=name, requires_grad=parameter.requires_grad)
        setattr(cell, name, twins.setdefault(id(parameter), twin))
    for name, child in module.named_children():
        setattr(cell, name, mirrored(child, twins))
    return cell


def _tensor(values: torch.Tensor) -> ms.Tensor:
    return ms.Tensor(values.detach().numpy().copy())
