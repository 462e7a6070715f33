"""How values, names and lists look in every report, in plain ASCII.

A value is written as a document would have it (`true`, `null`, `[0.9, 0.999]`, `1e-5`).  Names that differ in one
number are folded into the pattern that covers them, `layers.{0..11}.weight`, which may be pasted into a filter.
Whatever came out of a file is shown without control characters.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BOLD, DIM, RED, YELLOW, BLUE, CYAN = "1", "2", "1;31", "1;33", "34", "36"

_EXPONENT = re.compile(r"e([+-])0*(\d)")
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def painted(text: str, style: str, *, colour: bool) -> str:
    """`text` in an ANSI style, where there is colour."""
    return f"\x1b[{style}m{text}\x1b[0m" if colour and text else text


def printable(text: str) -> str:
    """`text` with what would move a terminal's cursor, or change its colour, spelled out; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def number(value: float, digits: int | None = None) -> str:
    """A number as it would be typed: exact, or to so many significant digits."""
    if isinstance(value, int):
        return str(value)
    text = repr(value) if digits is None else f"{value:.{digits}g}"
    return _EXPONENT.sub(lambda found: f"e{found[1].lstrip('+')}{found[2]}", text).removesuffix(".0")


def written(value: object, digits: int | None = None) -> str:
    """A setting as a document has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value, digits)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(written(item, digits) for item in value)}]"
    return printable(str(value))


def told_apart(values: Iterable[object], least: int = 4) -> dict[object, str]:
    """The text of each value, as short as keeps different ones different; at least so many digits."""
    # 0, 0.0 and False are equal and written differently; one kind of value stands in a column
    distinct = list(dict.fromkeys(values))
    for digits in (least, 6, 8, 12):
        texts = {value: written(value, digits) for value in distinct}
        if len(set(texts.values())) == len(distinct):
            return texts
    return {value: written(value) for value in distinct}


def counted(count: int, noun: str) -> str:
    """`1 group`, `2,000 groups`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shortened(text: str, width: int) -> str:
    """`text` cut in its middle to `width` characters; its end, which tells groups apart, stays."""
    if len(text) <= width:
        return text
    kept = max(2, width - 3)
    tail = kept // 2
    return f"{text[: kept - tail]}...{text[-tail:]}"


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), gap: str = "  ") -> list[str]:
    """The rows as lines whose columns stand under each other; those in `right` end under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """`text` broken at spaces into lines of `width`; all but the first begin with `indent`, which counts."""
    body = text.lstrip(" ")
    first, *words = body.split(" ")
    lines, line = [], text[: len(text) - len(body)] + first
    for word in words:
        if len(line) + 1 + len(word) > width:
            lines.append(line.rstrip())
            line = indent + word
        else:
            line += f" {word}"
    return [*lines, line]


def folded(names: Iterable[str]) -> list[str]:
    """The names, those that differ only in one whole segment of digits as one pattern: `layers.{0..11}.weight`.

    Their order is that of first mention.
    """
    families: dict[tuple[str, str], list[int]] = {}
    for name in names:
        found = _NUMBER.search(name)
        if found is None or str(int(found[0])) != found[0]:
            families[name, ""] = []
        else:
            families.setdefault((name[: found.start()], name[found.end() :]), []).append(int(found[0]))
    patterns = []
    for (before, after), numbers in families.items():
        if not numbers:
            patterns.append(before)
        else:
            patterns += [f"{before}{run}{after}" for run in _runs(sorted(numbers))]
    return [printable(pattern) for pattern in patterns]


def _runs(numbers: list[int]) -> list[str]:
    """`[0, 1, 2, 5]` as `{0..2}` and `5`."""
    runs = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [value for _, value in run]
        runs.append(f"{{{members[0]}..{members[-1]}}}" if len(members) > 1 else str(members[0]))
    return runs


def gathered(names: Sequence[str], everything: Iterable[str]) -> list[str]:
    """The names, those of a module whose every parameter is among them as the module's name alone.

    As in the language, where a path that names a module covers all below it; `everything` are the network's names.
    """
    total, found = _below(everything), _below(names)
    whole = {prefix for prefix, count in found.items() if count > 1 and total.get(prefix) == count}
    shown: dict[str, None] = {}
    for name in names:
        shown.setdefault(next((prefix for prefix in _prefixes(name) if prefix in whole), name))
    return list(shown)


def _below(names: Iterable[str]) -> dict[str, int]:
    """How many names lie below each dotted prefix."""
    counts: dict[str, int] = {}
    for name in names:
        for prefix in _prefixes(name):
            counts[prefix] = counts.get(prefix, 0) + 1
    return counts


def _prefixes(name: str) -> Iterator[str]:
    """The names of the modules above, from the root."""
    at = name.find(".")
    while at >= 0:
        yield name[:at]
        at = name.find(".", at + 1)


def listed(names: Sequence[str], everything: Sequence[str], most: int) -> str:
    """The names gathered, folded and joined by commas, at most so many; how many more there are is said."""
    if len(names) == len(everything) > 1:
        return "all"
    patterns = folded(gathered(names, everything))
    if len(patterns) <= most:
        return ", ".join(patterns)
    return f"{', '.join(patterns[:most])} and {len(patterns) - most:,} more"
