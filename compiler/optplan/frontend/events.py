"""The parser's events made into nodes, one pass over a text.

The events are taken one by one rather than the parser's own tree, because making that recurses, in C, and crashes the
process on a few thousand brackets.  Duplicate keys, tags, aliases and merge keys are dealt with here, and so is an
expression that YAML split at a comma inside brackets.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeGuard

import yaml

from optplan.diagnostics import Collector
from optplan.frontend.nodes import Entry, Mapping, Node, Scalar, Sequence, Unread, refuse
from optplan.frontend.scalars import core_value, locate
from optplan.frontend.syntax import Complaint, Last, Patch, State, mend, value_end
from optplan.source import Source, Span, Text

if TYPE_CHECKING:
    from optplan.frontend.scalars import Style

MOST_DEPTH = 64
MOST_NODES = 100_000
MOST_REPEATED = 10_000  # nodes that aliases and merge keys may add

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STYLES: dict[str, Style] = {"'": "single", '"': "double", "|": "literal", ">": "folded"}


def unread(source: Source, patch: Patch, end: int = 0) -> Unread:
    """The node that stands where `patch` is; it may go on to `end`, on further lines."""
    mark = Span(source, patch.start, patch.mark_end)
    return Unread(patch.kind, Span(source, patch.start, max(patch.end, end)), mark, patch.reason)


class _StopError(Exception):
    """The text breaks a limit, which has been reported."""


@dataclass(slots=True)
class _Frame:
    """A collection that is still open; the nodes of a mapping are its keys and values in turn."""

    start: int
    flow: bool
    mapping: bool
    anchor: str | None
    tag: Unread | None
    nodes: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


class Builder:
    """One pass over the events of a text, with patches in place of what YAML cannot read."""

    def __init__(self, source: Source, patches: dict[int, Patch]) -> None:
        self.source = source
        self.parsed = source.text
        self.patches = patches
        self.faults = Collector()
        self.root: Node | None = None
        self.last: Last | None = None
        self.documents = 0
        self.frames: list[_Frame] = []
        self.anchors: dict[str, tuple[Node, int, int]] = {}  # with how many nodes and how many levels it is
        self.seen = 0
        self.ended = 0  # the end of the last scalar, alias or bracket
        self.count = 0
        self.repeated = 0

    def build(self, text: str, shift: int) -> Complaint | None:
        """Read `text`, whose first character stands at `shift`; what the parser complains about, if it does."""
        self.parsed = self.source.text[:shift] + text
        try:
            events: Any = yaml.parse(text, Loader=_LOADER)
            for event in events:
                start, end = event.start_mark.index + shift, event.end_mark.index + shift
                self.take(event, start, end)
                self.seen = end
        except yaml.MarkedYAMLError as error:
            at = error.problem_mark.index + shift if error.problem_mark else self.seen
            since = error.context_mark.index + shift if error.context_mark else None
            return Complaint(error.context or "", error.problem or "", min(at, len(self.source.text)), since)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            return Complaint("", str(error), self.seen, None)
        except _StopError:
            self.root = None
            return None
        root = self.root
        if root is None or (isinstance(root, Scalar) and root.style == "plain" and not root.text.value):
            self.root = None
            span = Span(self.source, 0, 0)
            self.faults.error("OP102", "the document is empty", span, help="begin with `optplan: 1` and `optimizer:`")
        return None

    def mend(self, complaint: Complaint) -> Patch | None:
        """The misread expression behind `complaint`, if it is one."""
        innermost = self.frames[-1] if self.frames and self.frames[-1].flow else None
        pieces = [(node.span.start, node.span.end) for node in innermost.nodes if _bare(node)] if innermost else []
        flow = sum(frame.flow for frame in self.frames)
        return mend(complaint, self.source.text, State(self.seen, self.last, flow, pieces))

    def take(self, event: Any, start: int, end: int) -> None:
        """One event of the parser."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                span = Span(self.source, start, end)
                self.faults.error("OP002", "a second document begins here", span, help="keep one document in a file")
                raise _StopError
        elif isinstance(event, yaml.ScalarEvent):
            self.scalar(event, start, end)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(str(event.anchor), start, end)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open(event, start)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.close(end)

    def place(self, node: Node, size: int = 1, height: int = 0, anchor: str | None = None) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self.anchors[anchor] = (node, size, height)
        if self.frames:
            frame = self.frames[-1]
            frame.nodes.append(node)
            frame.size += size
            frame.height = max(frame.height, height + 1)
        else:
            self.root = node

    def counted(self, start: int) -> None:
        """One more node."""
        self.count += 1
        if self.count > MOST_NODES:
            span = Span(self.source, start, start)
            self.faults.error("OP006", f"the document has more than {MOST_NODES} values, the most that are read", span)
            raise _StopError

    def again(self, size: int, span: Span) -> None:
        """`size` nodes more through an alias or merge key."""
        self.repeated += size
        if self.repeated > MOST_REPEATED:
            message = f"aliases and merge keys repeat more than {MOST_REPEATED} values, the most that are read"
            self.faults.error("OP005", message, span, help="write fewer of them")
            raise _StopError

    def deeper(self, levels: int, span: Span) -> None:
        """`levels` more levels below the open collections."""
        if len(self.frames) + levels > MOST_DEPTH:
            message = f"more than {MOST_DEPTH} levels lie in one another here, the most that are read"
            self.faults.error("OP006", message, span)
            raise _StopError

    def scalar(self, event: Any, start: int, end: int) -> None:
        """A scalar, or the patch that stands there."""
        self.counted(start)
        tag = self.tag(event, start, end)
        if event.anchor is not None or tag is not None:
            start = _past_properties(self.parsed, start, end)
        patch = self.patches.get(start)
        if patch is not None and not event.style:
            self.last = Last("patch", start, end)
            self.ended = end
            self.place(unread(self.source, patch, end), anchor=event.anchor)
            return
        style: Style = _STYLES.get(event.style or "", "plain")
        stop = end
        if style in ("literal", "folded"):
            stop = start + len(self.source.text[start:end].rstrip())
        self.ended = stop
        span = Span(self.source, start, stop)
        if not event.value.isascii() and any("\ud800" <= char <= "\udfff" for char in event.value):
            self.faults.error("OP002", "an escape here names half a character, a surrogate", span)
        text = locate(self.source, start, end, style, event.value)
        node = Scalar(core_value(event.value) if style == "plain" else event.value, text, style, span)
        if stop > start:  # the value of a key without one tells nothing about what comes next
            kind = {"plain": "plain", "single": "quoted", "double": "quoted"}.get(style, "block")
            self.last = Last(kind, start, stop)
        self.place(tag or node, anchor=event.anchor)

    def alias(self, name: str, start: int, end: int) -> None:
        """An alias: the node of its anchor."""
        self.last = Last("alias", start, end)
        self.ended = end
        span = Span(self.source, start, end)
        if name in self.anchors:
            node, size, height = self.anchors[name]
            self.again(size, span)
            self.deeper(height, span)
            self.place(node, size, height)
            return
        inside = any(frame.anchor == name for frame in self.frames)
        reason = "it stands inside the value that it names" if inside else f"no `&{name}` stands above it"
        self.place(Unread("alias", span, span, reason))

    def open(self, event: Any, start: int) -> None:
        """The start of a collection."""
        self.counted(start)
        self.deeper(1, Span(self.source, start, start + 1))
        mapping = isinstance(event, yaml.MappingStartEvent)
        tag = self.tag(event, start, None)
        if event.anchor is not None:
            self.anchors.pop(event.anchor, None)
        if event.anchor is not None or event.tag is not None:
            start = _past_properties(self.parsed, start, len(self.parsed))
        self.frames.append(_Frame(start, bool(event.flow_style), mapping, event.anchor, tag))

    def close(self, end: int) -> None:
        """The end of a collection."""
        frame = self.frames.pop()
        if frame.flow:
            stop = self.ended = end
            self.last = Last("collection", frame.start, end)
        else:  # the parser sees its end only at the token after it
            stop = max(self.ended, frame.start)
        span = Span(self.source, frame.start, stop)
        nodes = self.joined(frame) if frame.flow else frame.nodes
        node: Node
        if not frame.mapping:
            node = Sequence(tuple(nodes), frame.flow, span)
        else:
            node = Mapping(tuple(self.entries(nodes)), frame.flow, span)
        self.place(frame.tag or node, frame.size, frame.height, frame.anchor)

    def tag(self, event: Any, start: int, end: int | None) -> Unread | None:
        """What stands for a node with a tag."""
        if event.tag is None:
            return None
        text = self.source.text
        found = re.compile(r"(?:&[A-Za-z0-9_-]+\s*)?(!<[^>\s]*>|![^\s,\[\]{}]*)").match(text, start)
        begin, mark_end = (found.start(1), found.end(1)) if found else (start, start + 1)
        stop = end if end is not None else value_end(text, begin, inside=any(frame.flow for frame in self.frames))
        reason = "nothing in a document may carry a tag"
        mark = Span(self.source, begin, mark_end)
        return Unread("tag", Span(self.source, begin, max(stop, mark_end)), mark, reason)

    def joined(self, frame: _Frame) -> list[Node]:
        """The nodes of a flow collection, an expression that was split at its commas put together again."""
        step = 2 if frame.mapping else 1
        pieces = [frame.nodes[at : at + step] for at in range(0, len(frame.nodes), step)]
        # How many parentheses are open after each piece, and the least that will be from there on: an expression
        # goes on until its own are closed, and it is not asked piece by piece whether they ever are.
        opened = list(accumulate(sum(_balance(node) for node in piece) for piece in pieces))
        least: list[float] = [math.inf] * (len(pieces) + 1)
        for at in range(len(pieces) - 1, -1, -1):
            least[at] = min(opened[at], least[at + 1]) if all(map(_bare, pieces[at])) else math.inf
        result: list[Node] = []
        at = 0
        while at < len(pieces):
            *key, first = pieces[at]
            before = opened[at] - _balance(first)
            if _balance(first) > 0 and least[at + 1] <= before:
                at = next(after for after in range(at + 1, len(pieces)) if opened[after] <= before)
                end = max(node.span.end for node in pieces[at])
                span = Span(self.source, first.span.start, end)
                first = Unread("split", span, first.span, "at the comma")
            result += [*key, first]
            at += 1
        return result

    def entries(self, nodes: list[Node]) -> list[Entry]:
        """The entries of a mapping, merge keys resolved."""
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if isinstance(key, Scalar):
                name = key
            elif isinstance(key, Unread):
                refuse(key, self.faults)
                name = Scalar(key.span.text, Text(key.span.text, self.source, key.span.start), "plain", key.span)
            else:
                kind = "list" if isinstance(key, Sequence) else "mapping"
                self.faults.error("OP103", f"a key is a text, not a {kind}", key.span, help="write it in quotes")
                continue
            entry = Entry(name, value)
            if entry.name in own:
                first = self.source.position(own[entry.name].key.span.start)[0]
                note = f"the first one stands in line {first}"
                message = f"the key `{entry.name}` stands twice in one mapping"
                self.faults.error("OP003", message, name.span, notes=[note])
                continue
            own[entry.name] = entry
            if entry.name == "<<" and name.style == "plain":
                for item in self.merged(value):
                    self.again(2, name.span)
                    merged.setdefault(item.name, item)
        if merged or ("<<" in own and own["<<"].key.style == "plain"):
            own.pop("<<")
        return [*(entry for entry in merged.values() if entry.name not in own), *own.values()]

    def merged(self, value: Node) -> list[Entry]:
        """The entries that a merge key brings, earlier mappings first."""
        found: list[Entry] = []
        for node in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(node, Mapping):
                found += node.entries
            elif not refuse(node, self.faults):
                self.faults.error("OP005", "a merge key takes a mapping, or a list of them", node.span)
        return found


def _bare(node: Node) -> TypeGuard[Scalar]:
    return isinstance(node, Scalar) and node.style == "plain"


def _balance(node: Node) -> int:
    """How many parentheses a plain scalar leaves open."""
    return node.text.value.count("(") - node.text.value.count(")") if _bare(node) else 0


_PROPERTIES = re.compile(r"(?:(?:&[A-Za-z0-9_-]+|!<[^>\s]*>|![^\s,\[\]{}]*)(?:\s+(?:#[^\r\n]*)?)*)*")


def _past_properties(text: str, start: int, end: int) -> int:
    """Where a node with anchor or tag begins itself."""
    found = _PROPERTIES.match(text, start, end)
    return found.end() if found else start
