"""What is wrong with a text that is not YAML, and which of it can be read past.

`describe` turns the parser's complaint into a message of ours: place, fault and cure.  `mend` recognises an expression
that YAML takes for something else (`where: *.bias`, `where: [ab].*`, `{lr: min(a, shape[0])}`) and gives its place,
so that reading can go on behind it and the caller, who knows what was expected there, can say how to write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from optplan.source import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optplan.source import Source

Unreadable = Literal["alias", "anchor", "tag", "collection", "split"]

# What YAML does not allow in a text (chapter 5.1), and the byte order mark, which the reader takes off the front.  In
# three classes, since one of them all takes twenty times as long to compile.
UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]|[\ufeff\ufffe\uffff]")

_LONGEST_KEY = 100  # that a message repeats
_BREAK = re.compile(r"[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the parser said: `problem` at offset `at`, `context` at offset `since`, in its own words."""

    context: str
    problem: str
    at: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Last:
    """The node that ended last before a complaint: `kind` is `alias`, `collection`, `quoted`, `plain` or `block`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class State:
    """How far reading had come: `seen` is the end of the parser's last event, `last` the node that ended last.

    `flow` counts the flow collections that are open there, and `pieces` are the places of the plain scalars directly
    in the innermost of them.
    """

    seen: int
    last: Last | None
    flow: int
    pieces: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Patch:
    """Text that was meant as one value, `mark_end` the end of the piece that misled YAML, `reason` why it did."""

    kind: Unreadable
    start: int
    end: int
    mark_end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A message with its place and its cure."""

    message: str
    span: Span
    help: str | None = None
    note: str | None = None


def mend(complaint: Complaint, text: str, state: State) -> Patch | None:
    """The text behind `complaint` that was meant as one value, None where it is plainly a syntax error."""
    at, last, flow = complaint.at, state.last, state.flow
    kinds: dict[str, Unreadable] = {"an alias": "alias", "an anchor": "anchor", "a tag": "tag"}
    for words, kind in kinds.items():
        if complaint.since is not None and words in complaint.context:
            start = complaint.since
            inside = _open_brackets(text, state.seen, start) + flow > 0
            names = "a tag holds no brackets" if kind == "tag" else "its name has letters, digits, `-` and `_` only"
            return _patch(kind, text, start, _word_end(text, start, inside=inside), inside=inside, reason=names)
    if "tag handle" in complaint.problem:
        return _patch("tag", text, at, _word_end(text, at, inside=flow > 0), inside=flow > 0, reason="unknown handle")
    if last is None or "\n" in text[last.end : at] or at >= len(text) or text[at] in "\r\n":
        return None
    if last.kind in ("alias", "collection") and text[at] not in ",]}" and (text[at] != ":" or at == last.end):
        misread: Unreadable = "alias" if last.kind == "alias" else "collection"
        return _patch(misread, text, last.start, last.end, inside=flow > 0, reason="more text follows it")
    if last.kind == "plain" and flow and text[at] in "[{":
        opened = [start for start, end in state.pieces if _unclosed(text[start:end]) and _unclosed(text[start:at])]
        if opened or at == last.end:
            start = opened[0] if opened else last.start
            return _patch("split", text, start, at, inside=True, reason=f"at the `{text[at]}`")
    return None


def describe(complaint: Complaint, source: Source, last: Last | None, *, inside: bool = False) -> Fault:
    """The parser's complaint in our words; `inside` tells that it stands within brackets."""
    text, at, problem, context = source.text, complaint.at, complaint.problem, complaint.context
    here = _span(source, at)
    since = at if complaint.since is None else complaint.since
    if UNPRINTABLE.match(text, at):
        message = f"the character U+{ord(text[at]):04X} may not stand in a YAML text"
        cure = "write it as an escape in a double-quoted text, or leave it out"
        return Fault(message, Span(source, at, at + 1), cure)
    if "cannot start any token" in problem or "tab character" in problem:
        return _bad_start(source, at, inside=inside)
    if "quoted scalar" in context or "double-quoted" in context:
        return _bad_quote(source, since, at, problem)
    if "block scalar" in context:
        rest = Span(source, since, _line_end(text, since))
        message = f"`{text[since : since + 1]}` begins a block of text, which starts on the next line"
        return Fault(message, rest, _in_quotes(rest))
    if "flow sequence" in context or "flow mapping" in context:
        return _bad_flow(source, since, at)
    if "node content" in problem or context.endswith("flow node"):
        cure = "write one, or quote the text if it is the value"
        return Fault(f"a value is missing before `{here.text}`" if here.text else "a value is missing", here, cure)
    if "entries are not allowed" in problem:
        cure = "begin the list on the next line, or write it in brackets"
        return Fault("a list begins on the line of its key", here, cure)
    if "mapping keys are not allowed" in problem:
        return Fault("`?` cannot stand here", here, "quote the text if it is a value")
    if "expected ':'" in problem:
        return _no_colon(source, since)
    if "values are not allowed" in problem:
        return _bad_colon(source, at)
    if "block mapping" in context or "block collection" in context or "document start" in problem:
        return _bad_line(source, at, since, last)
    if "YAML document" in problem or "directive" in context or "directive" in problem or "version" in problem:
        return Fault("this `%` line is not one that YAML knows", here, "leave it out")
    return Fault("the text is not YAML from here on", here)


def as_quoted(text: str) -> str:
    """`text` as a YAML scalar in quotes, single ones where the text has double ones."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def written_properly(span: Span) -> str | None:
    """The text at `span` in quotes, behind its key where it has one on its line; None for several lines."""
    text = span.text
    if "\n" in text or not text:
        return None
    line, column = span.source.position(span.start)
    before = span.source.line(line)[: column - 1]
    key = re.search(r"""([^\s,{}"'-][^\s,{}"']*:)[ \t]+(?:&\S+[ \t]+)?$""", before[-_LONGEST_KEY:])
    return f"`{key[1]} {as_quoted(text)}`" if key else f"`{as_quoted(text)}`"


def value_end(text: str, start: int, *, inside: bool) -> int:
    """Where the value that starts at `start` was meant to end: on its line, and `inside` brackets at the next item."""
    stop = _line_end(text, start)
    if not inside:
        return stop
    depth = 0
    for at in range(start, stop):
        char = text[at]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0 and char != ")":
                return _trimmed(text, start, at)
            depth = max(0, depth - 1)
        elif depth == 0 and (char == "," or (char == ":" and text[at + 1 : at + 2] in (" ", "\t", "\r", "\n", ""))):
            return _trimmed(text, start, at)
    return stop


def _patch(kind: Unreadable, text: str, start: int, mark_end: int, *, inside: bool, reason: str) -> Patch:
    end = max(value_end(text, start, inside=inside), start + 1)
    return Patch(kind, start, end, min(max(mark_end, start + 1), end), reason)


def _word_end(text: str, start: int, *, inside: bool) -> int:
    found = re.compile(r"\S[^\s,\[\]{}]*" if inside else r"\S+").match(text, start)
    return found.end() if found else start + 1


def _line_end(text: str, start: int) -> int:
    """The end of the line of `start`, without a comment and white space."""
    found = _BREAK.search(text, start)
    end = found.start() if found else len(text)
    comment = re.compile(r"[ \t]#").search(text, start, end)
    return _trimmed(text, start, comment.start() if comment else end)


def _trimmed(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _unclosed(text: str) -> bool:
    return text.count("(") > text.count(")")


def _open_brackets(text: str, begin: int, end: int) -> int:
    """How many brackets open between the parser's last event and a complaint: the parser looks ahead of its events."""
    between = re.sub(r""""(?:[^"\\]|\\.)*"|'[^']*'|#.*""", "", text[begin:end])
    return max(0, sum(between.count(char) for char in "[{") - sum(between.count(char) for char in "]}"))


def _span(source: Source, at: int) -> Span:
    """The word at `at`, or its one character."""
    found = re.compile(r"[^\s,\[\]{}:\"']+").match(source.text, at)
    return Span(source, at, found.end() if found else min(at + 1, len(source.text)))


def _in_quotes(span: Span) -> str | None:
    proper = written_properly(span)
    return f"if the text itself is meant, write it in quotes: {proper}" if proper else None


def _bad_start(source: Source, at: int, *, inside: bool) -> Fault:
    text = source.text
    line, column = source.position(at)
    blank = re.compile(r"[ \t]*").match(text, at)
    end = blank.end() if blank else at
    if text[at : at + 1] in ("\t", " ") or not source.line(line)[: column - 1].strip(" \t"):
        tab = text.find("\t", at - column + 1, max(end, at + 1))
        if tab >= 0:
            cure = "write spaces; YAML has no tabs there"
            return Fault("a tab indents this line", Span(source, tab, tab + 1), cure)
    here = Span(source, at, at + 1)
    rest = Span(source, at, value_end(text, at, inside=inside))
    return Fault(f"a value cannot begin with `{here.text}`", here, _in_quotes(rest))


def _bad_quote(source: Source, since: int, at: int, problem: str) -> Fault:
    quote = source.text[since : since + 1]
    if "end of stream" in problem or "document" in problem:
        message = f"the quote `{quote}` is never closed"
        return Fault(message, Span(source, since, since + 1), f"end the text with `{quote}`")
    begin = source.text.rfind("\\", since, at + 1)
    if begin >= 0 and quote == '"':
        escape = Span(source, begin, min(max(at + 1, begin + 2), len(source.text)))
        cure = "write `\\\\` for a backslash, or put the text between single quotes"
        message = f"the escape `{escape.text}` does not exist" if "unknown" in problem else "an invalid escape"
        return Fault(message, escape, cure)
    return Fault("this line of a quoted text is not indented", _span(source, at), "indent it further than its key")


def _bad_flow(source: Source, since: int, at: int) -> Fault:
    text = source.text
    opening = text[since]
    closing = "]" if opening == "[" else "}"
    rest = text[at:]
    if "\n" in text[since:at] or not rest.strip():
        return Fault(f"`{opening}` is never closed", Span(source, since, since + 1), f"end it with `{closing}`")
    here = _span(source, at)
    if here.text in ("}", "]"):
        return Fault(f"`{opening}` is closed by `{here.text}`", here, f"close it with `{closing}`")
    if here.text == ":":
        cure = f"put a comma between two entries of `{opening} {closing}`"
        return Fault("a second key begins without a comma before it", here, cure)
    cure = "put a comma between two entries; quote a text that has brackets"
    return Fault(f"a comma or `{closing}` is missing before this", here, cure)


_GLUED = re.compile(r"[ \t]*(?:-[ \t]+)*([A-Za-z_][\w.\[\]-]*):(?=[^\s:])(.*)")


def _glued(source: Source, line: int) -> Fault | None:
    """The fault of a line like `lr:0.1`."""
    found = _GLUED.fullmatch(source.line(line))
    if not found:
        return None
    start = source.line_starts[line - 1] + found.end(1)
    cure = f"write `{found[1]}: {found[2].strip()}`"
    return Fault("a space is missing after this colon", Span(source, start, start + 1), cure)


def _no_colon(source: Source, since: int) -> Fault:
    line, column = source.position(since)
    if fault := _glued(source, line):
        return fault
    rest = Span(source, since, max(_line_end(source.text, since), since + 1))
    if source.text[since] in "\"'" and column > 1 and source.line(line)[: column - 1].strip(" -"):
        return Fault("text follows the closing quote", rest, "put the whole value in quotes")
    cure = "write `key: value`; a text that goes on must be indented further than its key"
    return Fault("a key without a colon", rest, cure)


def _bad_colon(source: Source, at: int) -> Fault:
    line, column = source.position(at)
    here = Span(source, at, at + 1)
    before = source.line(line)[: column - 1]
    first = re.match(r"[ \t]*(?:-[ \t]+)*[^\s:]+:[ \t]+(?=\S)", before)
    if first:
        value = Span(source, at - column + 1 + first.end(), _line_end(source.text, at))
        cure = _in_quotes(value) or "begin a new line for it"
        return Fault("a second key on the line of the first", here, cure)
    for above in range(line - 1, 0, -1):
        if source.line(above).strip():
            if fault := _glued(source, above):
                return fault
            break
    key = _first_word(source, line)
    return Fault(
        "this key is indented further than the one above, which has a value already",
        key,
        "indent it like the line above, or leave that key's own value empty",
    )


def _first_word(source: Source, line: int) -> Span:
    start = source.line_starts[line - 1]
    words = source.line(line)
    return _span(source, start + len(words) - len(words.lstrip()))


def _item_cure(source: Source, line: int, column: int) -> str:
    """Where a list item belongs: beside the items of the block that it stands in or nearly in."""
    beside = None
    for above in range(line - 1, 0, -1):
        text = source.line(above)
        words = text.strip()
        if not words or words.startswith("#"):
            continue
        outer = len(text) - len(text.lstrip()) < column
        if words.startswith("- "):
            beside = above
        if outer:
            break
    return (
        f"indent it like the item on line {beside}" if beside else "indent it further than the key that it belongs to"
    )


def _bad_line(source: Source, at: int, since: int, last: Last | None) -> Fault:
    line, column = source.position(min(at, len(source.text)))
    before = source.line(line)[: column - 1]
    here = _span(source, at)
    if last is not None and last.kind == "quoted" and "\n" not in source.text[last.end : at] and before.strip():
        rest = Span(source, at, max(_line_end(source.text, at), at + 1))
        whole = Span(source, last.start, rest.end)
        return Fault("text follows the closing quote", rest, f"put all of it in quotes: {written_properly(whole)}")
    since_line, since_column = source.position(since)
    if re.match(r"-(?:\s|\Z)", source.text[at:]):
        return Fault("a list item stands among keys", here, _item_cure(source, line, column))
    if column == since_column and source.text[since : since + 1] == "-":
        cure = "begin the line with `- `, or indent it like the keys above"
        return Fault("a key stands among list items", here, cure)
    if fault := _glued(source, line):
        return fault
    if column != since_column and not before.strip(" "):
        note = f"the block that it could belong to begins in line {since_line} with {since_column - 1} spaces"
        cure = "indent it like the lines that it belongs to"
        return Fault("this line's indentation fits no line above", here, cure, note)
    return Fault("the text is not YAML from here on", here, "quote the value if it goes on here")
