"""Texts and places in them.

Every stage that reports a fault says where it stands.  A `Source` is a named text, a `Span` a half-open range of
its characters, and a `Text` the value of a scalar that still knows which character of the source each of its own
characters came from, so that an expression inside a quoted or folded scalar is blamed at its own column.  Lines and
columns count from 1, in characters.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Source:
    """A text and the name under which the user knows it (a path as given, or `<string>`).

    `paths` has a name for what each line sets where the text was made from a configuration that the user knows by such
    names (`optim.optimizer.lr`), else it is empty.
    """

    name: str
    text: str = field(repr=False)
    paths: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """The offset of the first character of each line."""
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return tuple(starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line `number`, without its break."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The characters `start <= offset < end` of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar's decoded value with the place of each of its characters.

    `offsets[k]` is the offset in the source of character `k`, and `offsets[len(value)]` that of its end; None stands
    for the usual case, `start + k`.
    """

    value: str
    source: Source
    start: int
    offsets: tuple[int, ...] | None = None

    def span(self, begin: int = 0, end: int | None = None) -> Span:
        """The place of the characters `begin <= k < end` of the value; never empty where the value is not."""
        last = len(self.value) if end is None else end
        if self.offsets is None:
            return Span(self.source, self.start + begin, self.start + last)
        stop = self.offsets[last]
        if last > begin:
            final = self.source.text[self.offsets[last - 1] : stop]
            # An escape such as `\"` is all of its character; what else lies before the next one is a line's end.
            if final[:1] not in ("\\", "'") or "\n" in final:
                stop = self.offsets[last - 1] + 1
        return Span(self.source, self.offsets[begin], stop)
