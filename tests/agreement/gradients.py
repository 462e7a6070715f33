"""Weights to begin with and gradients for every update, the same for both frameworks; nobody computes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.agreement.networks import Twice
from tests.agreement.settings import UPDATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

# The size of a mixed gradient is 10 to a power between -9 and 0, of which one half is the element's own and one half
# changes from one update to the next.  A tenth of the updates of an element are exact zeros, and a twentieth of the
# elements are never anything else.
DECADES = 9.0
ZEROS = 0.1
NEVER = 0.05

# Rows of an embedding that an update touches, some of them twice.
TOUCHED = 8


@dataclass(frozen=True, slots=True)
class Sparse:
    """The gradient of an embedding: `values`, shape (touched, width), for `rows`, which may repeat themselves.

    Both are arrays, or tensors of one framework.
    """

    rows: Any
    values: Any


Gradients = dict[str, Any]
"""An array, or a `Sparse`, by the canonical name of its parameter."""


@cache
def shapes(network: str) -> Mapping[str, tuple[int, ...]]:
    """The shapes of a network's parameters, by name."""
    return {name: tuple(each.shape) for name, each in Twice(network).named_parameters()}


@cache
def weights(network: str) -> Mapping[str, Array]:
    """What the parameters begin with: the same in the two halves of a network."""
    found: dict[str, Array] = {}
    for half in ("plain", "mixed"):
        rng = np.random.default_rng(1)
        for name, shape in shapes(network).items():
            if name.startswith(half):
                # A norm's bias begins at zero, as it does in practice: there is nothing that small updates drown in
                scale = 0.0 if name.endswith("norm.bias") else 0.5
                found[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return found


@cache
def gradients(network: str) -> tuple[Gradients, ...]:
    """The gradients of each update."""
    rng = np.random.default_rng(2)
    own: dict[str, Any] = {}
    for name, shape in shapes(network).items():
        scale = 10.0 ** rng.uniform(-DECADES / 2, 0, shape)
        own[name] = np.where(rng.random(shape) < NEVER, 0.0, scale)
    updates = []
    for _ in range(UPDATES):
        update: Gradients = {}
        for name, shape in shapes(network).items():
            rows = rng.integers(0, shape[0], TOUCHED).astype(np.int32) if network == "tables" else None
            scale = own[name] if rows is None else own[name][rows]
            values = rng.standard_normal(scale.shape)
            if name.startswith("mixed"):
                values *= scale * 10.0 ** rng.uniform(-DECADES / 2, 0, scale.shape)
                values[rng.random(scale.shape) < ZEROS] = 0.0
            single = values.astype(np.float32)
            update[name] = single if rows is None else Sparse(rows, single)
        updates.append(update)
    return tuple(updates)


@cache
def nudged(network: str) -> tuple[Gradients, ...]:
    """The same gradients, each number moved up or down to the next one of float32; zeros stay."""
    rng = np.random.default_rng(3)
    moved = []
    for update in gradients(network):
        each: Gradients = {}
        for name, values in update.items():
            away = np.where(rng.random(values.shape) < 0.5, np.inf, -np.inf).astype(np.float32)
            each[name] = np.where(values == 0, values, np.nextafter(values, away))
        moved.append(each)
    return tuple(moved)
