"""The tree that a YAML text is read into: scalars, sequences and mappings, each with its span.

A scalar knows which character of the file each character of its value came from.  What YAML took for something else
than was written is kept as `Unread`, because only who knows what was expected in its place can say what is wrong:
`expression_text` where an expression was, `refuse` everywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optplan.frontend.syntax import written_properly

if TYPE_CHECKING:
    from optplan.diagnostics import Collector
    from optplan.frontend.scalars import Style
    from optplan.frontend.syntax import Unreadable
    from optplan.source import Span, Text


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: `value` by the core schema, `text` as it stands there, decoded; `span` is the whole token."""

    value: bool | int | float | str | None
    text: Text
    style: Style
    span: Span


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list; `flow` where it was written with brackets."""

    items: tuple[Node, ...]
    flow: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and its value."""

    key: Scalar
    value: Node

    @property
    def name(self) -> str:
        """The key's text."""
        return self.key.text.value


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, each key once; `flow` where it was written with braces."""

    entries: tuple[Entry, ...]
    flow: bool
    span: Span
    _index: dict[str, Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {entry.name: entry for entry in self.entries})

    def get(self, name: str) -> Entry | None:
        """The entry of this key, if there is one."""
        return self._index.get(name)

    def keys(self) -> tuple[str, ...]:
        """The keys, in the order of the text."""
        return tuple(self._index)


@dataclass(frozen=True, slots=True)
class Unread:
    """What YAML reads as something else than was written: `where: *.bias`, `{lr: cosine(to=0x, for=3)}`.

    `kind` says as what YAML took it, `span` is the text that was meant as one value, `mark` the piece that misled
    YAML, and `reason` completes "it cannot be followed: ...".
    """

    kind: Unreadable
    span: Span
    mark: Span
    reason: str


Node = Scalar | Sequence | Mapping | Unread


def plain(node: Node) -> Any:
    """The value of `node` as dict, list and scalars; an `Unread` is its text."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    if isinstance(node, Mapping):
        return {entry.name: plain(entry.value) for entry in node.entries}
    return node.span.text


def expression_text(node: Node, collector: Collector, what: str, cure: str | None = None) -> Text | None:
    """The text of the expression at `node`, whatever type YAML would give it; an empty value is an empty text.

    `what` names what is expected, with its article ("a filter"); `cure` says how to write it, where that is known.
    None, and OP007 reported, where YAML read an alias, a tag or a collection, or split the expression at a comma or
    bracket.
    """
    if isinstance(node, Scalar):
        return node.text
    cure = cure or _cure(node, what)
    if isinstance(node, Unread):
        collector.error("OP007", _misread(node, f"where {what} is expected"), _fault_span(node), help=cure)
        return None
    kind = "list" if isinstance(node, Sequence) else "mapping"
    shown = f"`{node.span.text}`" if node.flow and "\n" not in node.span.text else "this"
    collector.error("OP007", f"YAML reads {shown} as a {kind} where {what} is expected", node.span, help=cure)
    return None


def _cure(node: Node, what: str) -> str:
    """How to write what YAML took for something else where `what` is expected."""
    if isinstance(node, Unread) and what == "a filter" and re.match(r"!\s*[\w(.]", node.span.text):
        return f"write `not {node.span.text[1:].lstrip().removeprefix('not ')}`"
    if isinstance(node, Unread) and node.kind == "alias" and what == "a value":
        return node.reason
    parts = [item.text.value for item in node.items if isinstance(item, Scalar)] if isinstance(node, Sequence) else []
    if what == "a filter" and len(parts) > 1:
        return f"join filters by `or`: `{' or '.join(parts)}`"
    if what == "a policy" and parts:
        return _joined(parts)
    # a collection in block style is no misread expression, and would not be one in quotes
    misread = isinstance(node, Unread) or (isinstance(node, Sequence) and node.flow)
    if isinstance(node, Mapping) and node.flow:
        misread = all(isinstance(entry.value, Scalar) and entry.value.value is None for entry in node.entries)
    proper = written_properly(node.span) if misread else None
    return (
        f"write it in quotes: {proper}" if proper else f"write {what} as one text, in one line or indented after `>-`"
    )


def _joined(parts: list[str]) -> str:
    """How to write a list of phases, or of values, as a policy."""
    if len(parts) == 1:
        return f"write it without brackets: `{parts[0]}`" if "(" in parts[0] else f"`hold(at={parts[0]})` keeps a value"
    if "(" in "".join(parts):
        return f"write `->` between phases that follow each other: `{' -> '.join(parts)}`"
    values = ", ".join(parts)
    return (
        f"write `piecewise(at=[...], values=[{values}])` with the times between the values; "
        'a file with a value for each update is `table(file="...")`'
    )


def refuse(node: Node, collector: Collector) -> bool:
    """Report every `Unread` in the tree of `node`, which holds no expression; whether there was one."""
    if isinstance(node, Scalar):
        return False
    if isinstance(node, Sequence):
        refused = [refuse(item, collector) for item in node.items]
        return any(refused)
    if isinstance(node, Mapping):
        refused = [refuse(entry.value, collector) for entry in node.entries]
        return any(refused)
    mark = node.mark.text
    proper = written_properly(node.span)
    cure = f"write it in quotes: {proper}" if proper else None
    if node.kind not in ("collection", "split") and cure:
        cure = f"if the text itself is meant, {cure}"
    if node.kind == "tag":
        cure = None if mark.startswith("!!") else cure  # a tag that YAML has is hardly meant as text
        message = f"the tag `{mark}` may not stand in a document"
        collector.error("OP004", message, node.mark, help=cure or "leave it out")
    elif node.kind in ("alias", "anchor"):
        collector.error("OP005", f"the {node.kind} `{mark}` cannot be followed: {node.reason}", node.mark, help=cure)
    else:
        collector.error("OP007", _misread(node, "and cannot go on"), _fault_span(node), help=cure)
    return True


def _misread(node: Unread, tail: str) -> str:
    if node.kind == "split":
        return f"inside brackets YAML ends `{node.mark.text}` {node.reason}"
    kind = node.kind
    if kind == "collection":
        kind = "list" if node.mark.text.startswith("[") else "mapping"  # type: ignore[assignment]  # a word for the message
    article = "an" if kind[0] in "aeiou" else "a"
    return f"YAML reads `{node.mark.text}` as {article} {kind} {tail}"


def _fault_span(node: Unread) -> Span:
    return node.span if node.kind == "split" else node.mark
