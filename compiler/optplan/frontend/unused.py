"""Entries of `let`, `sets` and `optimizers` that nothing in the document asks for.

Takes a composed document and the sound Config that it is; reports each entry whose name stands nowhere, at its key.
Such a one is often a rule or a factor that was forgotten.  What a document extends may well define more than it uses,
so only the first file's own entries are looked at; and none where single values were changed from outside, which may
have replaced what asked for one.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from optplan.expression import Name
from optplan.filter import SetName
from optplan.frontend.nodes import Mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.config import Config
    from optplan.diagnostics import Collector
    from optplan.frontend.compose import Composed

# By key of the document, what an entry is and how it is put to use.
_KINDS = {
    "let": ("the number", "no expression asks for it: use it in one, or remove it"),
    "sets": ("the set", "no rule asks for it: name it in a rule's `where`, or remove it"),
    "optimizers": ("the optimizer", "no rule takes it: say `use: {name}` in one, or remove it"),
}


def report_unused(composed: Composed, config: Config, collector: Collector) -> None:
    """Warn (OP116) of each entry of the first file that nothing in the whole document asks for."""
    if composed.overridden:
        return
    used: dict[str, set[str | None]] = {
        "let": {node.name for node in _nodes(config) if isinstance(node, Name)},
        "sets": {node.name for node in _nodes(config) if isinstance(node, SetName)},
        "optimizers": {rule.use for rule in config.rules},
    }
    for key, (what, cure) in _KINDS.items():
        entry = composed.root.get(key)
        for each in entry.value.entries if entry is not None and isinstance(entry.value, Mapping) else ():
            if each.name not in used[key] and each.key.span.source is composed.sources[0]:
                message = f"{what} `{each.name}` is never used"
                collector.warning("OP116", message, each.key.span, help=cure.format(name=each.name))


def _nodes(part: Any) -> Iterator[Any]:
    """`part` of a Config and all that it is made of."""
    yield part
    if is_dataclass(part):
        inner = [getattr(part, each.name) for each in fields(part) if each.compare]
    elif isinstance(part, (tuple, list)):
        inner = list(part)
    else:
        inner = list(part.values()) if isinstance(part, dict) else []
    for each in inner:
        yield from _nodes(each)
