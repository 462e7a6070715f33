"""Curves as a chart of characters, for a terminal: a panel for each key, and below it who is who.

A panel has updates below it, epochs above where their length is known, and a scale at its left.  An update takes the
place from its own number to the next, and a column shows everything between the least and the largest number of its
updates, so that no jump is lost.  Curves carry marks, `a`, `b`, ..., and so need no colour to be told apart.

    lr
                epoch  0         1         2
                      +----------+---------+
              0.001  -|   aaaaaaa
              0.0005 -|aaa       aaaaaaaaaa
              0      -|
                      +---------+----------+
               update 0        500      1,000

    curve  groups         first   lowest  highest  last
    a      default, head  0.0005  0.0005  0.001    0.0005

Dots are those of braille, eight in a character; where the terminal has none of these, letters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from shutil import get_terminal_size
from typing import TYPE_CHECKING, NamedTuple

from optplan.report.notation import BOLD, DIM, aligned, number, painted, printable, wrapped
from optplan.report.scales import Scale, count_text, ticks_between

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from optplan.report.curves import Curves, Line, Panel

WIDTH, HEIGHT = 100, 15
# a legend of the longest numbers fits into this
_LEAST_WIDTH, _LEAST_HEIGHT = 60, 5
_NAMES = 20
_COLOURS = ("36", "33", "32", "35", "34", "31")
# the bit of each dot in a braille character, by row and column
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class _Pen(NamedTuple):
    """What a chart is drawn with: dots of a character across and down, and the characters of the frame."""

    across: int
    down: int
    corners: str
    line: str
    below: str
    above: str
    side: str
    tick: str


_BRAILLE = _Pen(2, 4, "┌└", "─", "┬", "┴", "│", "┤")
_ASCII = _Pen(1, 1, "++", "-", "+", "+", "|", "+")


def chart(
    curves: Curves,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    log: bool = False,
    colour: bool = False,
    plain: bool = False,
) -> str:
    """The panels in lines of at most `width` characters, each with `height` rows; only ASCII if `plain`."""
    pen = _ASCII if plain else _BRAILLE
    size = max(_LEAST_WIDTH, width), max(_LEAST_HEIGHT, height)
    blocks = [painted(curves.title, BOLD, colour=colour)]
    blocks += [_panel(curves, panel, size, pen, log=log, colour=colour) for panel in curves.panels]
    return "\n\n".join(blocks)


def room(stream: TextIO) -> tuple[int, bool]:
    """How many characters a line has there, and whether it is only ASCII that can be written."""
    width = get_terminal_size((WIDTH, 0)).columns if stream.isatty() else WIDTH
    try:
        "┌┤⣿".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return width, True
    return width, False


def mark_of(place: int) -> str:
    """`a` to `z`, then `a1`, `b1`, ..."""
    return chr(ord("a") + place % 26) + (str(place // 26) if place >= 26 else "")


@dataclass(slots=True)
class _Cell:
    """A character of the canvas: its dots, the lines that go through it, and what is written over it."""

    bits: int
    lines: set[int]
    text: str = ""


def _panel(curves: Curves, panel: Panel, size: tuple[int, int], pen: _Pen, *, log: bool, colour: bool) -> str:
    width, height = size
    finite = [value for line in panel.lines for value in line.values if isfinite(value)]
    scale = Scale.of(finite, log=log, most=max(2, height // 3))
    rows = height * pen.down
    labels = {scale.row(tick, rows) // pen.down: number(tick, 6) for tick in scale.ticks}
    margin = max([len("update"), len("epoch"), *map(len, labels.values())])
    room = width - margin - 2
    canvas = _drawn(curves, panel, scale, (room, height), pen)
    lines = [painted(printable(panel.key), BOLD, colour=colour) + (f"  ({scale.remark})" if scale.remark else "")]
    if curves.epoch is not None:
        lines += _axis(curves.end / curves.epoch, "epoch", (margin, room), pen, above=True)
    for row in range(height):
        label = labels.get(row, "").rjust(margin)
        side = pen.tick if row in labels else pen.side
        lines.append(f"{label} {side}" + _row(canvas[row], pen, colour=colour).rstrip())
    lines += _axis(curves.end, "update", (margin, room), pen, above=False)
    return "\n".join([*lines, "", *_legend(panel, width, colour=colour)])


def _drawn(curves: Curves, panel: Panel, scale: Scale, size: tuple[int, int], pen: _Pen) -> list[list[_Cell]]:
    """The canvas with all lines, and the marks on them where there are several."""
    width, height = size
    canvas = [[_Cell(0, set()) for _ in range(width)] for _ in range(height)]
    rows, columns = height * pen.down, width * pen.across
    spans = _spans(curves, columns)
    for place, line in enumerate(panel.lines):
        last: int | None = None
        for column, (first, stop) in enumerate(spans):
            values = [value for value in line.values[first:stop] if scale.has(value)]
            if not values:
                last = None
                continue
            top, bottom, end = (scale.row(value, rows) for value in (max(values), min(values), values[-1]))
            begin = end if last is None else last
            last = end
            for dot in range(min(top, begin), max(bottom, begin) + 1):
                cell = canvas[dot // pen.down][column // pen.across]
                cell.bits |= _DOTS[dot % pen.down][column % pen.across]
                cell.lines.add(place)
    if len(panel.lines) > 1:
        for place in range(len(panel.lines)):
            _put_mark(canvas, place, len(panel.lines), everywhere=pen is _ASCII)
    elif pen is _ASCII:
        for row in canvas:
            for cell in row:
                cell.text = "*" if cell.lines else ""
    return canvas


def _spans(curves: Curves, columns: int) -> list[tuple[int, int]]:
    """For each column of dots the updates that it shows, as places among those looked at."""
    spans = []
    for column in range(columns):
        # an update lasts until the next: the first is the one that has begun before
        first = bisect_right(curves.updates, column * curves.end / columns) - 1
        stop = bisect_left(curves.updates, (column + 1) * curves.end / columns)
        spans.append((max(0, first), max(stop, first + 1)))
    return spans


def _put_mark(canvas: list[list[_Cell]], place: int, count: int, *, everywhere: bool) -> None:
    """Write the mark of a line over it, once, where no other goes if there is such a place; or all along it."""
    text = mark_of(place)
    if everywhere:
        for row in canvas:
            for cell in row:
                if place in cell.lines:
                    cell.text = text[0]
        return
    width = len(canvas[0])
    ideal = (place + 0.5) / count * width
    best: tuple[tuple[int, float], list[_Cell]] | None = None
    for row in canvas:
        for column in range(width - len(text) + 1):
            cells = row[column : column + len(text)]
            if place in cells[0].lines and not any(cell.text for cell in cells):
                crossing = sum(len(cell.lines - {place}) for cell in cells)
                worth = crossing, abs(column - ideal)
                if best is None or worth < best[0]:
                    best = worth, cells
    if best is not None:
        for cell, letter in zip(best[1], text, strict=True):
            cell.text = letter
            cell.lines.add(place)


def _style(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _row(cells: Sequence[_Cell], pen: _Pen, *, colour: bool) -> str:
    """A row of the canvas; in colour the last line that goes through a character has it."""
    text = ""
    for style, run in groupby(cells, key=lambda cell: _style(max(cell.lines)) if cell.lines else ""):
        shown = [cell.text or (chr(0x2800 + cell.bits) if cell.bits and pen is not _ASCII else " ") for cell in run]
        text += painted("".join(shown), style, colour=colour and bool(style))
    return text


def _axis(end: float, name: str, size: tuple[int, int], pen: _Pen, *, above: bool) -> list[str]:
    """The line of an axis with its ticks, and the numbers at these beside the name of what it counts."""
    margin, room = size
    frame, labels = [pen.line] * room, [" "] * (room + 8)
    free = 0
    for tick in ticks_between(0.0, end, max(2, room // 14), whole=not above):
        column = min(room - 1, round(tick / end * room))
        text = count_text(tick)
        begin = max(0, min(column - len(text) // 2, room - len(text)))
        if begin >= free:
            frame[column] = pen.above if above else pen.below
            labels[begin : begin + len(text)] = text
            free = begin + len(text) + 2
    line = f"{' ' * (margin + 1)}{pen.corners[0 if above else 1]}{''.join(frame)}"
    said = f"{name.rjust(margin)}  {''.join(labels)}".rstrip()
    return [said, line] if above else [line, said]


def _legend(panel: Panel, width: int, *, colour: bool) -> list[str]:
    """Who has which curve, and where it begins, goes and ends."""
    several = len(panel.lines) > 1
    head = ("curve" if several else "", "first", "lowest", "highest", "last", "groups")
    rows = [(mark_of(place) if several else "", *_turns(line)) for place, line in enumerate(panel.lines)]
    cells = aligned([head[:-1], *rows])
    margin = max(map(len, cells)) + 2
    if not several:
        cells, margin = [cell.lstrip(" ") for cell in cells], margin - 2
    # in a narrow terminal the names follow below
    beside = margin + _NAMES <= width
    lines = [painted(cells[0].ljust(margin) + head[-1] if beside else cells[0], DIM, colour=colour)]
    for place, (cell, line) in enumerate(zip(cells[1:], panel.lines, strict=True)):
        names = ", ".join(map(printable, line.groups))
        if beside:
            first, *more = wrapped(cell.ljust(margin) + names, width, " " * margin)
        else:
            first, more = cell, wrapped(f"    {names}", width, "    ")
        mark = rows[place][0]
        lines += [painted(mark, _style(place), colour=colour) + first[len(mark) :], *more]
    return lines


def _turns(line: Line) -> tuple[str, str, str, str]:
    values = line.values
    first, lowest, highest, last = (number(float(v), 4) for v in (values[0], min(values), max(values), values[-1]))
    return first, lowest, highest, last
