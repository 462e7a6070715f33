"""Which groups of a plan share one optimizer of MindSpore: data, no framework.

Each group is an optimizer of its own, with scalar rates: a rate per group within one optimizer would cost seconds of
compiling.  Beyond `MOST` groups those that differ in nothing but rate and decay share one optimizer again.  Members are
numbered in the order of their first groups, and are named by that: `member0`, `member1`, ...
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from optplan.catalog import Lowering
    from optplan.resolve.plan import Group

__all__ = ["GROUPED", "MOST", "shared"]

MOST = 16
# What groups within one optimizer may differ in.
GROUPED = ("lr", "weight_decay")
_NONE: Mapping[str, int] = MappingProxyType({})


def shared(
    groups: Sequence[tuple[Group, Lowering]], born: Mapping[str, int] = _NONE
) -> list[list[tuple[Group, Lowering]]]:
    """The groups of each optimizer, each group with its class, in their order.

    `born` has by name the update at which the state of a parameter began, the same for all of a group, where that is
    not the first; those of different ones share nothing.
    """
    apart: dict[Hashable, list[tuple[Group, Lowering]]] = {}
    for number, (group, by) in enumerate(groups):
        alone = len(groups) <= MOST or not by.shares
        apart.setdefault(number if alone else (born.get(group.parameters[0], 0), *_signature(group, by)), []).append(
            (group, by)
        )
    return list(apart.values())


def _signature(group: Group, by: Lowering) -> tuple[Hashable, ...]:
    """What groups that share an optimizer have in common."""
    values = tuple((key, value) for key, value in group.values if key not in GROUPED)
    curves = tuple((key, curve) for key, curve in group.curves if key not in GROUPED)
    return by.class_name, values, curves
