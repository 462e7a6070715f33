"""Tied parameters: rules that disagree about one through its different names.

An atom of a filter holds for a tied parameter if it holds under any of its names, so a rule for embeddings and one for
linear layers may both match an embedding that is also the output layer.  Where the rule that decides a key and an
earlier one that gave it another value have no name in common under which they match, the file has not said what it
means.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from optplan.config import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optplan.resolve.select import Point
    from optplan.resolve.sheet import Sheet


class Contradiction(NamedTuple):
    """The key as it is written, and the numbers of the earlier and the deciding rule."""

    key: str
    earlier: int
    deciding: int


def contradictions(sheet: Sheet, point: Point, matched: Callable[[int], int]) -> Iterator[Contradiction]:
    """What rules disagree about; `matched` gives the rules, as bits, that hold for a mask of atoms."""
    if not point.under:
        return
    rules_under = [matched(mask) for mask in point.under]
    every = frozenset(range(len(rules_under)))

    def names(rule: int) -> frozenset[int]:
        # A rule that matches under no single name, but under several together, speaks for all.
        return frozenset(place for place, rules in enumerate(rules_under) if rules >> rule & 1) or every

    for key, steps in _overlapping(sheet).items():
        deciding, final = steps[-1]
        for earlier, value in steps[:-1]:
            if value != final and not names(earlier) & names(deciding):
                yield Contradiction(_written(key), earlier, deciding)


def _overlapping(sheet: Sheet) -> dict[tuple[str, ...], list[tuple[int, object]]]:
    """What was given to each key, in file order: to an element of a list also what the whole list gave it."""
    found = dict(sheet.steps)
    for key, steps in sheet.steps.items():
        if key[1:] and key[1].isdigit():
            place = int(key[1])
            whole = sheet.steps.get(key[:1], ())
            shares = [(rule, value[place]) for rule, value in whole if isinstance(value, tuple) and place < len(value)]
            found[key] = sorted([*shares, *steps], key=itemgetter(0))
    return found


def _written(key: tuple[str, ...]) -> str:
    if key[0] == "schedule":
        return f"schedule.{key[1]}"
    return written(key[0], int(key[1]) if key[1:] and key[1].isdigit() else None)
