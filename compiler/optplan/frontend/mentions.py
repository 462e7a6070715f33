"""The optimizers and phases that a document names, as far as they are not known.

This is asked before a document is checked, so that what installed packages offer can be registered first: it takes the
tree of nodes as it was read, whatever its faults, and gives names with their places.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optplan.frontend.nodes import Mapping, Scalar, Sequence
from optplan.registry.mention import Mention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.catalog import Catalog
    from optplan.frontend.nodes import Node

_CALLED = re.compile(r"[^\W\d]\w*(?=\s*\()")
# What else may stand before a parenthesis in a policy.
_NO_PHASES = frozenset({"over", "into", "per", "epoch", "min", "max", "sqrt", "log", "floor", "ceil", "round"})


def unknown_names(root: Mapping, catalog: Catalog) -> list[Mention]:
    """The names in the document `root` that `catalog` does not know, each as often as it stands there."""
    types = [Mention("optimizer", each.text.value, each.span) for each in _types(root)]
    phases = [
        Mention("policy", found[0], each.text.span(*found.span()))
        for each in _policies(root)
        for found in _CALLED.finditer(each.text.value)
        if found[0] not in _NO_PHASES
    ]
    return [each for each in types if each.name not in catalog.optimizers] + [
        each for each in phases if each.name not in catalog.policies
    ]


def _types(root: Mapping) -> Iterator[Scalar]:
    main = _below(root, "optimizer")
    for optimizer in (main, *_values(_below(root, "optimizers"))):
        kind = _below(optimizer, "type")
        if isinstance(kind, Scalar) and isinstance(kind.value, str):
            yield kind


def _policies(root: Mapping) -> Iterator[Scalar]:
    rules = _below(root, "rules")
    for place in (root, *(rules.items if isinstance(rules, Sequence) else ())):
        for policy in _values(_below(place, "schedule")):
            if isinstance(policy, Scalar):
                yield policy


def _below(node: Node | None, name: str) -> Node | None:
    entry = node.get(name) if isinstance(node, Mapping) else None
    return None if entry is None else entry.value


def _values(node: Node | None) -> list[Node]:
    return [entry.value for entry in node.entries] if isinstance(node, Mapping) else []
