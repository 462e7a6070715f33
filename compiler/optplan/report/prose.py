"""Sentences and tables folded to the width of a page of `help`."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from optplan.report.notation import aligned

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH = 88


def prose(text: str, margin: str = "") -> str:
    """`text` in lines, each after `margin`."""
    return fill(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names, and beside each its text, folded."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs) + 4
    names = aligned([(f"  {name}", "") for name, _ in pairs])
    lines = []
    for name, (_, text) in zip(names, pairs, strict=True):
        lines.append(prose(text, " " * width))
        lines[-1] = name.ljust(width) + lines[-1][width:]
    return "\n".join(lines)
