"""One scalar of a YAML text: what it means, and where each character of it stands.

`core_value` is the core schema of YAML 1.2.2, chapter 10.3.  `locate` undoes quoting, escapes and folding (chapters 6.5
and 7 and 8.1) beside the parser, for the places; the parser's own value is the judge, and where the two differ the
places are approximate but the value is right.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from optplan.source import Text

if TYPE_CHECKING:
    from optplan.source import Source

Style = Literal["plain", "single", "double", "literal", "folded"]

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")

# More digits than these are no finite double; Python would refuse to read, or later to convert, them.
_MOST_DIGITS = 308


def core_value(text: str) -> bool | float | str | None:
    """The value of the plain scalar `text`; a whole number too large for a double is infinite, as `1e999` is."""
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text) if len(text) <= _MOST_DIGITS else float(text)
    if _BASED.fullmatch(text):
        number = int(text, 0) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS
        return number if number < 10**_MOST_DIGITS else math.inf
    return float(text) if _FLOAT.fullmatch(text) else text


def locate(source: Source, start: int, end: int, style: Style, value: str) -> Text:
    """`value`, which the parser read from the token at `start:end`, with the place of each character."""
    raw = source.text[start:end]
    if style == "plain" and raw == value:
        return Text(value, source, start)
    if style in ("single", "double") and raw[1:-1] == value:
        return Text(value, source, start + 1)
    pairs = _reading(raw, style, value)
    if "".join(char for char, _ in pairs) != value:
        return Text(value, source, start, tuple(min(start + k, end) for k in range(len(value) + 1)))
    last = pairs[-1][1] + 1 if pairs else len(raw)
    if style in ("single", "double"):
        last = len(raw) - 1
    return Text(value, source, start, (*(start + at for _, at in pairs), start + last))


# A reading is the decoded text as pairs of a character and its offset in the token.
_Pairs = list[tuple[str, int]]


def _reading(raw: str, style: Style, value: str) -> _Pairs:
    if style == "plain":
        return _folded(raw, 0, len(raw), style)
    if style in ("single", "double"):
        return _folded(raw, 1, len(raw) - 1, style)
    return _block(raw, value, folded=style == "folded")


_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_FOLD = re.compile(r"[ \t]*(?:(?:\r\n|[\r\n\x85\u2028\u2029])[ \t]*)+")
_BLANK = re.compile(r"[ \t]+")
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|(?:\r\n|[\r\n\x85\u2028\u2029])[ \t]*|.)", re.DOTALL
)
_ESCAPED = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}


def _folded(raw: str, at: int, end: int, style: Style) -> _Pairs:
    """A plain or quoted scalar: one break is a space, n + 1 of them are n breaks."""
    pairs: _Pairs = []
    while at < end:
        if style == "double" and raw[at] == "\\" and (escape := _ESCAPE.match(raw, at, end)):
            body = escape[0][1:]
            if body[0] in "xuU" and len(body) > 1:
                code = int(body[1:], 16)
                pairs.append((chr(code) if code <= 0x10FFFF else "\ufffd", at))
            elif not _BREAK.match(body):
                pairs.append((_ESCAPED.get(body, body), at))
            at = escape.end()
        elif style == "single" and raw.startswith("''", at):
            pairs.append(("'", at))
            at += 2
        elif raw[at] in " \t\r\n\x85\u2028\u2029" and (fold := _FOLD.match(raw, at, end)):
            breaks = [at + found.start() for found in _BREAK.finditer(fold[0])]
            pairs += [("\n", place) for place in breaks[1:]] or [(" ", breaks[0])]
            at = fold.end()
        elif (blank := _BLANK.match(raw, at, end)) is not None:
            pairs += [(raw[place], place) for place in range(at, blank.end())]
            at = blank.end()
        else:
            pairs.append((raw[at], at))
            at += 1
    return pairs


def _block(raw: str, value: str, *, folded: bool) -> _Pairs:
    """A literal or folded block scalar, whose indentation is what the lines have more than those of `value`."""
    lines: list[tuple[int, int, bool]] = []  # start, end without the break, whether there is one
    at = 0
    for found in _BREAK.finditer(raw):
        lines.append((at, found.start(), True))
        at = found.end()
    if at < len(raw):
        lines.append((at, len(raw), False))
    header = raw[: lines[0][1]].partition("#")[0] if lines else ""
    chomp = "-" if "-" in header else "+" if "+" in header else ""
    first = next((line for a, b, _ in lines[1:] if (line := raw[a:b]).strip(" ")), "")
    content = value.lstrip("\n")
    indent = len(first) - len(first.lstrip(" ")) - (len(content) - len(content.lstrip(" ")))
    pairs: _Pairs = []
    pending: _Pairs = []  # the breaks since the last line that has text; the first is that line's own
    spaced = True  # whether that line begins with white space, or there is none yet
    for start, end, _ in lines[1:]:
        begin = start + max(indent, 0)
        if begin >= end:
            pending.append(("\n", end))
            continue
        blank = raw[begin] in " \t"
        if folded and not spaced and not blank:
            pairs += pending[1:] or [(" ", pending[0][1])]
        else:
            pairs += pending
        pairs += [(raw[at], at) for at in range(begin, end)]
        pending, spaced = [("\n", end)], blank
    if not pairs:
        return pending if chomp == "+" else []
    kept = pending if lines[-1][2] else pending[:-1]
    return pairs + (kept if chomp == "+" else kept[:1] if chomp == "" else [])
