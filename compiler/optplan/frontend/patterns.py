"""Path patterns: a text such as `encoder.layers.*.{mlp,attn}` in, a `Path` out, or one fault at its column.

    path     =  ["."] segment ("." segment)*          a leading dot: the path may start at any depth
    segment  =  "**"  |  part+                        any number of segments, none too; or parts side by side
    part     =  text | "*" | "?" | "[" ["!"] set "]" | "{" choice "}" | "{" low ".." high "}" | "{i}"

A text is letters, digits, `_` and `-`; a set is characters and ranges `a-z`; a choice is two or more segments' parts
between commas, without braces of their own.  `{i}` stands in `layers` only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from optplan.filter import Among, Any, Choice, Index, One, Part, Path, Range
from optplan.frontend.grammar import InvalidError, fail, report

if TYPE_CHECKING:
    from optplan.diagnostics import Collector
    from optplan.source import Text

CODE = "OP202"

_TEXT = re.compile(r"[\w-]+")
_NUMBERS = re.compile(r"([0-9]+)\.\.([0-9]+)")
_DIGITS = 9


def parse_path(text: Text, collector: Collector, *, index: bool = False) -> Path | None:
    """The path that the whole of `text` is, as an entry of `layers`, where `index` allows one `{i}`; else None."""
    value = text.value
    begin = len(value) - len(value.lstrip())
    try:
        return read_path(text, begin, max(begin, len(value.rstrip())), "bare", index=index)
    except InvalidError as error:
        report(error.fault, CODE, text, collector)
        return None


def read_path(text: Text, begin: int, end: int, form: str, *, index: bool = False) -> Path:
    """The path that stands at `begin <= k < end` of `text`, written in `form`; `InvalidError` with its first fault."""
    anchored = not text.value.startswith(".", begin, end)
    start = begin if anchored else begin + 1
    segments = _Pattern(text.value, start, end, index=index).segments()
    return Path(text.value[start:end], segments, anchored, form, text.span(begin, end))


def read_literal(text: Text, begin: int, end: int, name: str) -> Path:
    """The path whose segments are those of `name` to the letter; it stands quoted at `begin <= k < end` of `text`."""
    anchored = not name.startswith(".")
    pieces = (name if anchored else name[1:]).split(".")
    if not all(pieces):
        fail("a path with an empty segment", (begin, end), "write a name on both sides of each dot", CODE)
    return Path(".".join(pieces), tuple((piece,) for piece in pieces), anchored, "literal", text.span(begin, end))


class _Pattern:
    """A reader of the pattern at `at <= k < end` of `text`."""

    def __init__(self, text: str, at: int, end: int, *, index: bool) -> None:
        self.text, self.at, self.end = text, at, end
        self.index_allowed, self.index_seen = index, False

    def segments(self) -> tuple[tuple[Part, ...] | None, ...]:
        """All the segments."""
        found = [self._segment()]
        while self.at < self.end:
            self.at += 1
            found.append(self._segment())
        return tuple(found)

    def _segment(self) -> tuple[Part, ...] | None:
        begin = self.at
        stars = re.compile(r"\*+").match(self.text, begin, self.end)
        if stars and stars.end() == begin + 2 and self._peek(begin + 2) in ("", "."):
            self.at += 2
            return None
        parts = self._parts(self.end, stop=".")
        if parts:
            return parts
        if begin == self.end and self.text[begin - 1 : begin] == ".":
            cure = "the path without it covers all that is below"
            _fail("a path cannot end with a dot", begin - 1, begin, cure)
        if begin == self.end:
            _fail("expected a path, found nothing", begin, begin)
        return _fail("expected a name before `.`", begin, begin + 1, "a dot stands between two names")

    def _parts(self, end: int, stop: str) -> tuple[Part, ...]:
        """The parts up to one of the characters in `stop`, or to `end`."""
        parts: list[Part] = []
        while self.at < end and self.text[self.at] not in stop:
            run = _TEXT.match(self.text, self.at, end)
            if run:
                parts.append(run.group())
                self.at = run.end()
            else:
                parts.append(self._special(end))
        return tuple(parts)

    def _special(self, end: int) -> Part:
        at, mark = self.at, self.text[self.at]
        if mark == "*":
            if self.text.startswith("**", at, end):
                _fail("`**` must be a whole segment", at, at + 2, "write `*` for characters, `a.**.b` for segments")
            self.at += 1
            return Any()
        if mark == "?":
            self.at += 1
            return One()
        if mark == "[":
            return self._among(end)
        if mark == "{":
            return self._braces(end)
        if mark in "]}":
            _fail(f"`{mark}` closes nothing", at, at + 1, "remove it, or open it before")
        cure = 'in a filter, a path in quotes is taken to the letter: `path("odd name")`'
        return _fail(f"`{mark}` cannot stand in a path", at, at + 1, cure)

    def _among(self, end: int) -> Among:
        begin = self.at
        close = self.text.find("]", begin, end)
        if close < 0:
            _fail("`[` is never closed", begin, begin + 1, "add a `]`")
        negated = self.text.startswith("!", begin + 1)
        at = begin + 2 if negated else begin + 1
        if at == close:
            _fail("`[ ]` without characters", begin, close + 1, "write the characters: `[ab]`, `[a-z]`, `[!ab]`")
        ranges: list[tuple[str, str]] = []
        while at < close:
            first = last = self.text[at]
            size = 1
            if self.text.startswith("-", at + 1) and at + 2 < close:
                last, size = self.text[at + 2], 3
            for place, one in ((at, first), (at + size - 1, last)):
                if not _TEXT.match(one):
                    cure = "write `[!ab]`" if one == "^" else "a name has letters, digits, `_` and `-`"
                    _fail(f"`{one}` cannot stand in `[ ]`", place, place + 1, cure)
            if first > last:
                _fail(f"`{first}-{last}` runs backwards", at, at + size, f"write `{last}-{first}`")
            ranges.append((first, last))
            at += size
        self.at = close + 1
        return Among(tuple(ranges), negated)

    def _braces(self, end: int) -> Part:
        begin = self.at
        close = self.text.find("}", begin, end)
        if close < 0:
            _fail("`{` is never closed", begin, begin + 1, "add a `}`")
        inside = self.text[begin + 1 : close]
        self.at = close + 1
        if inside == "i":
            return self._index(begin)
        numbers = _NUMBERS.fullmatch(inside)
        if numbers:
            return self._range(begin + 1, numbers)
        if "{" in inside:
            nested = begin + 1 + inside.index("{")
            _fail("braces inside braces", nested, nested + 1, "write the choices side by side: `{a,b,c}`")
        if "." in inside:
            dot = begin + 1 + inside.index(".")
            cure = "write `{0..5}` for numbers, and two paths joined by `or` for longer ones"
            _fail("a dot inside `{ }`", dot, dot + 1, cure)
        return self._choice(begin, close)

    def _index(self, begin: int) -> Index:
        if not self.index_allowed:
            cure = "write `*` for any name, or numbers as in `{0..5}`"
            _fail("`{i}` numbers layers, and belongs to `layers`", begin, self.at, cure)
        if self.index_seen:
            _fail("`{i}` stands twice", begin, self.at, "write `*` for the one that does not number the layers")
        self.index_seen = True
        return Index()

    def _range(self, begin: int, numbers: re.Match[str]) -> Range:
        for place, number in enumerate(numbers.groups(), 1):
            start, stop = begin + numbers.start(place), begin + numbers.end(place)
            if len(number) > _DIGITS:
                _fail(f"a number of more than {_DIGITS} digits", start, stop)
            if number != "0" and number.startswith("0"):
                cure = f"write `{number.lstrip('0') or '0'}`; `[0-9]` is any digit"
                _fail(f"`{number}` has a leading zero", start, stop, cure)
        low, high = map(int, numbers.groups())
        if low > high:
            cure = f"write `{{{high}..{low}}}`"
            _fail(f"`{low}..{high}` runs backwards", begin, begin + numbers.end(), cure)
        return Range(low, high)

    def _choice(self, begin: int, close: int) -> Choice:
        options: list[tuple[Part, ...]] = []
        self.at = begin
        while self.at < close:
            self.at += 1
            start = self.at
            option = self._parts(close, stop=",")
            if not option:
                place = (begin, close + 1) if close == begin + 1 else (start, start + 1)
                _fail("an empty choice in `{ }`", *place, "write a name on both sides of each comma: `{up,down}`")
            options.append(option)
        self.at = close + 1
        return Choice(tuple(options))

    def _peek(self, at: int) -> str:
        return self.text[at] if at < self.end else ""


def _fail(message: str, begin: int, end: int, cure: str | None = None) -> NoReturn:
    fail(message, (begin, end), cure, CODE)
