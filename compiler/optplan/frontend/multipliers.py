"""The files that `table(file="...")` names, read into the policies that name them.

Takes a policy as it was read, gives the same one whose files are `Lines`: their names and the multipliers in them, one
a line, the first for update 0.  A file lies in the tree of the document, as those that `extends` names; each is read
once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector
from optplan.expression import Constant, Into, Lines, Over, PerEpoch, Phase, Then, Times
from optplan.frontend.document import read_file
from optplan.frontend.grammar import shown
from optplan.frontend.tree import PlaceError
from optplan.source import Span

if TYPE_CHECKING:
    from pathlib import Path

    from optplan.expression import Argument, Policy
    from optplan.frontend.tree import Tree
    from optplan.source import Source

# Two million lines, more or less.
_MOST_BYTES = 50_000_000

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Multipliers:
    """Reads the files of a document's tables."""

    def __init__(self, tree: Tree, collector: Collector) -> None:
        self._tree, self._collector = tree, collector
        self._read: dict[Path, tuple[float, ...] | None] = {}

    def into(self, policy: Policy) -> Policy | None:
        """`policy` with the numbers of its files in it; None, and every fault reported, where one has none."""
        match policy:
            case Phase(_, arguments) if any(_is_file(argument) for argument in arguments):
                filled = [self._filled(argument) if _is_file(argument) else argument for argument in arguments]
                sound = [argument for argument in filled if argument is not None]
                return replace(policy, arguments=tuple(sound)) if len(sound) == len(filled) else None
            case Then(items) | Times(items):
                parts = [self.into(item) for item in items]
                whole = [part for part in parts if part is not None]
                return replace(policy, items=tuple(whole)) if len(whole) == len(parts) else None
            case Over(first, second) | Into(first, second):
                before, after = self.into(first), self.into(second)
                return None if before is None or after is None else replace(policy, first=before, second=after)
            case PerEpoch(item):
                inner = self.into(item)
                return None if inner is None else replace(policy, item=inner)
        return policy

    def _filled(self, argument: Argument) -> Argument | None:
        value = argument.value
        if not (isinstance(value, Constant) and isinstance(value.value, str)) or value.span is None:
            return argument
        name, source = value.value, value.span.source
        try:
            place = self._tree.place(name, source, "reads")
        except PlaceError as fault:
            self._collector.error("OP110", fault.message, value.span, help=fault.cure)
            return None
        if place not in self._read:
            faults = Collector()
            table = read_file(place, faults, self._tree.shown(name, source), _MOST_BYTES)
            if table is None:
                cure = f"the file of a table is relative to the folder of `{source.name}`"
                self._collector.error("OP110", faults.diagnostics[0].message, value.span, help=cure)
            self._read[place] = None if table is None else self._numbers(table, value.span)
        numbers = self._read[place]
        return None if numbers is None else replace(argument, value=Lines(name, numbers, value.span))

    def _numbers(self, source: Source, named: Span) -> tuple[float, ...] | None:
        """The numbers in the text of a file; None, and the first fault, where a line has none."""
        numbers: list[float] = []
        at = 0
        for line in source.text.rstrip().split("\n") if source.text.strip() else ():
            written = line.strip()
            number = float(written) if _NUMBER.fullmatch(written) else None
            if number is None or not isfinite(number) or number < 0:
                begin = at + len(line) - len(line.lstrip())
                what = f"`{shown(written)}` is no multiplier" if written else "a line without a multiplier"
                cure = "each line has one number of 0 or more, the first that of update 0"
                self._collector.error("OP110", what, Span(source, begin, begin + max(1, len(written))), help=cure)
                return None
            numbers.append(number)
            at += len(line) + 1
        if not numbers:
            self._collector.error("OP110", f"`{source.name}` has no multipliers", named, help="write one a line")
            return None
        return tuple(numbers)


def _is_file(argument: Argument) -> bool:
    return argument.name == "file"
