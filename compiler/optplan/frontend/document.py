"""Text in, a tree of nodes with their places out: the YAML of a document, strictly read.

Scalars follow the core schema of YAML 1.2, a key stands once, nothing has a tag, and aliases and merge keys are
followed within a budget.  Whatever the text, faults are diagnostics and nothing else escapes; a text that is not YAML
has one fault, the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optplan.diagnostics import Diagnostic
from optplan.frontend.events import Builder, unread
from optplan.frontend.nodes import (
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    Unread,
    expression_text,
    plain,
    refuse,
)
from optplan.frontend.rendering import from_mapping
from optplan.frontend.scalars import core_value
from optplan.frontend.syntax import UNPRINTABLE, Complaint, Fault, Patch, describe
from optplan.source import Source, Span, Text

if TYPE_CHECKING:
    import os

    from optplan.diagnostics import Collector

__all__ = [
    "Entry",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "Unread",
    "expression_text",
    "from_mapping",
    "plain",
    "read",
    "read_file",
    "read_value",
    "refuse",
]

MOST_BYTES = 1_000_000
_MOST_PATCHES = 50
_MOST_REREAD = 5_000_000  # characters read again because of patches


def read_file(
    path: str | os.PathLike[str], collector: Collector, name: str | None = None, most: int = MOST_BYTES
) -> Source | None:
    """The text of the file at `path`, under `name` or else the path as given; None, and a fault, if there is none.

    `most` is how many bytes it may have.
    """
    shown = str(path) if name is None else name

    def fault(code: str, message: str, cure: str | None = None) -> None:
        collector.add(Diagnostic(code, "error", message, shown, help=cure))

    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        fault("OP001", f"`{shown}` cannot be read: {reason[:1].lower()}{reason[1:]}")
        return None
    if len(data) > most:
        fault("OP006", f"`{shown}` is larger than {most} bytes, the most that is read")
        return None
    try:
        return Source(shown, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        where = f"byte {error.start}, in line {data.count(10, 0, error.start) + 1}"
        message = f"`{shown}` is not UTF-8: 0x{error.object[error.start]:02x} at {where}"
        fault("OP001", message, "save the file as UTF-8")
        return None


def read(source: Source, collector: Collector) -> Node | None:
    """The document in `source`, None where there is none that could be read; duplicate keys keep the first."""
    text = source.text
    if len(text) > MOST_BYTES:
        span = Span(source, 0, 0)
        collector.error("OP006", f"the text is longer than {MOST_BYTES} characters, the most that is read", span)
        return None
    bom = 1 if text.startswith("\ufeff") else 0
    if found := UNPRINTABLE.search(text, bom):
        _report(describe(Complaint("", "", found.start(), None), source, None), collector)
        return None
    patches: dict[int, Patch] = {}
    while True:
        builder = Builder(source, patches)
        complaint = builder.build(_patched(text, patches)[bom:], bom)
        if complaint is None:
            for item in builder.faults.diagnostics:
                collector.add(item)
            return builder.root
        patch = builder.mend(complaint)
        if patch is None or len(patches) >= _MOST_PATCHES or len(patches) * len(text) > _MOST_REREAD:
            break
        if any(old.start <= patch.start and patch.end <= old.end for old in patches.values()):
            break
        for start in [start for start, old in patches.items() if patch.start <= start and old.end <= patch.end]:
            del patches[start]
        patches[patch.start] = patch
    line = source.position(complaint.at)[0]
    for old in patches.values():
        refuse(unread(source, old), collector)
    if patch is not None:
        refuse(unread(source, patch), collector)
    elif line not in [source.position(old.start)[0] for old in patches.values()]:
        inside = any(frame.flow for frame in builder.frames)
        _report(describe(complaint, source, builder.last, inside=inside), collector)
    return None


def read_value(source: Source, start: int, collector: Collector) -> Node | None:
    """The one value that the rest of `source` from `start` is: a flow collection, a quoted text, else a plain text.

    It stands by itself, as the value of `--set` does, so a text that YAML would read as something else is still that
    text, and has the value of a plain scalar.
    """
    text = source.text.rstrip()
    if found := UNPRINTABLE.search(text, start):
        _report(describe(Complaint("", "", found.start(), None), source, None), collector)
        return None
    builder = Builder(source, {})
    node = builder.root if builder.build(text[start:], start) is None else None
    if isinstance(node, Scalar) and node.span.end == len(text) and node.span.start == start:
        whole = node.style not in ("literal", "folded")
    else:
        whole = isinstance(node, (Sequence, Mapping)) and node.flow
    if node is not None and whole:
        for item in builder.faults.diagnostics:
            collector.add(item)
        return node
    value = text[start:]
    return Scalar(core_value(value), Text(value, source, start), "plain", Span(source, start, len(text)))


def _patched(text: str, patches: dict[int, Patch]) -> str:
    """`text` with a plain word as long in place of each patch, so that every offset stays."""
    for patch in patches.values():
        text = text[: patch.start] + "x" * (patch.end - patch.start) + text[patch.end :]
    return text


def _report(fault: Fault, collector: Collector) -> None:
    notes = () if fault.note is None else (fault.note,)
    collector.error("OP002", fault.message, fault.span, help=fault.help, notes=notes)
