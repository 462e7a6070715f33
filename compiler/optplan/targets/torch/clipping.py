"""The norm of gradients, and their limits, over all parameters of a plan together.

What `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` compute, by the same operations in the same order, and
also where these fail: for sparse gradients, which count by their values, each index once, and for gradients that are
partly sharded, or sharded in several ways, whose norms are taken kind by kind and combined.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from optplan.resolve.training import Clip


def by_kind(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """The parameters that have a gradient, apart by what one operation takes at a time.

    Plain tensors are one kind, the `DTensor`s of one mesh with one placement another.
    """
    found: dict[Hashable, list[Tensor]] = {}
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None:
            kind = None if type(gradient) is Tensor else _layout(gradient)
            found.setdefault(kind, []).append(parameter)
    return list(found.values())


def _layout(gradient: Tensor) -> Hashable:
    placements = getattr(gradient, "placements", None)
    return None if placements is None else (gradient.device_mesh, placements)  # type: ignore[attr-defined]  # a DTensor


@torch.no_grad()
def total_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The 2-norm of all gradients, a scalar; 0 where there is none. Every process must ask where some are sharded."""
    norms = [_norm(alike) for alike in by_kind(parameters)]
    if not norms:
        return torch.tensor(0.0)
    if len(norms) == 1:
        return norms[0]
    together: Tensor = torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
    return together


def _norm(parameters: list[Tensor]) -> Tensor:
    norm: Tensor = get_total_norm([_dense(gradient) for p in parameters if (gradient := p.grad) is not None])
    # The norm of what is sharded is known in parts
    whole = getattr(norm, "full_tensor", None)
    return norm if whole is None else cast("Tensor", whole())


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def clip_(parameters: Iterable[Tensor], clip: Clip, norm: Tensor | None) -> None:
    """Bring the gradients within the limit, in place; a limit of the norm needs theirs. Sparse ones get coalesced."""
    for alike in by_kind(parameters):
        holders = [_holder(parameter) for parameter in alike]
        if norm is not None and clip.kind == "norm":
            clip_grads_with_norm_(holders, clip.limit, norm)
        else:
            clip_grad_value_(holders, clip.limit)


def _holder(parameter: Tensor) -> Tensor:
    """What has the gradient as `grad`: the parameter, or where it is sparse a stand-in with the values."""
    gradient = parameter.grad
    if gradient is None or not gradient.is_sparse:
        return parameter
    parameter.grad = gradient.coalesce()
    return cast("Tensor", SimpleNamespace(grad=parameter.grad.values()))
