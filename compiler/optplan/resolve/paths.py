"""Name patterns as one automaton over the segments of names.

A pattern covers a name when it matches the name's first segments (any run of them, where it is not anchored): what
names a module covers everything below it.  All patterns of a file are followed together: a state is the set of places
reached in them, made when it is first met and kept, so that walking down a module tree costs one dictionary look-up
per module however many patterns there are.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from optplan.filter import Among, Any, Choice, Index, One, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optplan.filter import Part, Path

# How long a run of digits may be that counts as an index: Python refuses to read thousands of them.
_DIGITS = 18

# The rank of a capture that is being made.
_LAST = sys.maxsize

Match = bool | int
"""Whether a segment matches; the index where the pattern has one."""

_Capture = tuple[int, int]
"""An index, after its rank: which of those that a pattern has captured so far it is, from the root down."""

_Place = tuple[int, int, _Capture | None]
"""Pattern, the segment of it that is awaited, and what is captured so far."""


class State:
    """The places reached in all patterns; `covering` has, for each pattern that covers the name, its index or None."""

    __slots__ = ("_after", "_always", "_automaton", "_literals", "_next", "_tests", "covering", "final", "mask")

    def __init__(self, automaton: Automaton, places: frozenset[_Place]) -> None:
        self._automaton = automaton
        self._next: dict[str, State] = {}
        self._after: dict[tuple[str | None, tuple[bool | str, ...]], State] = {}
        lengths = automaton.lengths
        self.covering = {
            pattern: captured and captured[1] for pattern, place, captured in places if place == lengths[pattern]
        }
        self.mask = sum(1 << pattern for pattern in self.covering)
        # Nothing below can change a state all of whose places are at the end of their patterns.
        self.final = all(place == lengths[pattern] for pattern, place, _ in places)
        # What a segment does is settled by which literals and which tests it satisfies: sorted out once, so that
        # most segments, a running number say, cost a few tests and a look-up.
        self._always: set[_Place] = set()
        self._literals: dict[str, set[_Place]] = {}
        self._tests: list[tuple[Callable[[str], Match], _Place]] = []
        for place in places:
            number, at, captured = place
            step = automaton.step_at(number, at)
            if at == lengths[number]:
                self._always.add(place)
            elif step is None:
                self._always.update(automaton.closure(place))
            elif isinstance(step, str):
                self._literals.setdefault(step, set()).update(automaton.closure((number, at + 1, captured)))
            else:
                self._tests.append((step, place))

    def step(self, segments: str) -> State:
        """The state below, one segment down; several where they are joined by dots."""
        if self.final:
            return self
        found = self._next.get(segments)
        if found is None:
            found = self
            for segment in segments.split("."):
                found = found._follow(segment)
            self._next[segments] = found
        return found

    def _follow(self, segment: str) -> State:
        literal = segment if segment in self._literals else None
        results = tuple([test(segment) for test, _ in self._tests])
        # An index of 1 is not True, though Python calls them equal: the types keep them apart.
        key = (literal, tuple([result if result is True or result is False else str(result) for result in results]))
        found = self._after.get(key)
        if found is None:
            places = self._always | self._literals.get(segment, set())
            for result, (_, (number, at, captured)) in zip(results, self._tests, strict=True):
                if result is not False:
                    now = captured if result is True else (_LAST, result)
                    places.update(self._automaton.closure((number, at + 1, now)))
            found = self._after[key] = self._automaton.state(places)
        return found


class Automaton:
    """The patterns of a file, numbered as given."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.lengths = [len(path.segments) + (not path.anchored) for path in paths]
        self._patterns: list[list[str | Callable[[str], Match] | None]] = []
        for path in paths:
            steps = [None if parts is None else matcher(parts) for parts in path.segments]
            # A path that may start anywhere is one with a leading `**`.
            self._patterns.append(steps if path.anchored else [None, *steps])
        self._states: dict[frozenset[_Place], State] = {}
        self.start = self.state({place for number in range(len(paths)) for place in self.closure((number, 0, None))})

    def state(self, places: set[_Place]) -> State:
        """The state of these places."""
        key = _ranked(places)
        if key not in self._states:
            self._states[key] = State(self, key)
        return self._states[key]

    def step_at(self, number: int, at: int) -> str | Callable[[str], Match] | None:
        """What pattern `number` awaits as its segment `at`: a literal, a test, or None for `**` and past its end."""
        steps = self._patterns[number]
        return steps[at] if at < len(steps) else None

    def closure(self, place: _Place) -> list[_Place]:
        """`place`, and those beyond the `**` that it stands before, which may stand for nothing."""
        number, at, index = place
        steps, places = self._patterns[number], [place]
        while at < len(steps) and steps[at] is None:
            at += 1
            places.append((number, at, index))
        return places


def _ranked(places: set[_Place]) -> frozenset[_Place]:
    """`places` with one capture in each: where a pattern may have captured several, the one nearest the root."""
    found = {place for place in places if place[2] is None}
    captures: dict[int, dict[int, _Capture]] = {}
    for number, at, captured in places:
        if captured is not None:
            first = captures.setdefault(number, {})
            first[at] = min(first.get(at, captured), captured)
    for number, first in captures.items():
        ranks = {captured: rank for rank, captured in enumerate(sorted(set(first.values())))}
        found.update((number, at, (ranks[captured], captured[1])) for at, captured in first.items())
    return frozenset(found)


def matches(parts: tuple[Part, ...], segment: str) -> bool:
    """Whether one segment of a name matches one of a pattern."""
    test = matcher(parts)
    return segment == test if isinstance(test, str) else test(segment) is not False


def matcher(parts: tuple[Part, ...]) -> str | Callable[[str], Match]:
    """A literal, or the test of one segment: False, True, or the index that stands in it."""
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    if parts == (Any(),):
        return _anything
    if sum(isinstance(part, Any) for part in parts) == 1 and all(isinstance(part, (str, Any)) for part in parts):
        before, _, after = "".join("\0" if isinstance(part, Any) else str(part) for part in parts).partition("\0")
        least = len(before) + len(after)
        return lambda segment: len(segment) >= least and segment.startswith(before) and segment.endswith(after)
    if parts == (Index(),):
        return _index
    if len(parts) == 1 and isinstance(parts[0], Range):
        low, high = parts[0].low, parts[0].high
        return lambda segment: (
            _index(segment) is not False and low <= int(segment) <= high and segment == str(int(segment))
        )
    pattern = re2_compile("".join(_regex(part) for part in parts))
    if not any(isinstance(part, Index) for part in parts):
        return lambda segment: pattern.fullmatch(segment) is not None

    def indexed(segment: str) -> Match:
        found = pattern.fullmatch(segment)
        return found is not None and _number(found.group(1))

    return indexed


def re2_compile(pattern: str) -> re.Pattern[str]:
    """`pattern` compiled by RE2: linear time, whatever is written; it logs nothing."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped; few documents need it, and each `check` would pay

    options = re2.Options()
    options.log_errors = False
    compiled: re.Pattern[str] = re2.compile(pattern, options)
    return compiled


def _anything(_segment: str) -> Match:
    return True


def _number(digits: str) -> Match:
    # `True` and 1 are one key of a set but not one match, so an index is always a true int.
    return int(digits) if len(digits) <= _DIGITS else False


def _index(segment: str) -> Match:
    return segment.isascii() and segment.isdigit() and _number(segment)


def _regex(part: Part) -> str:
    match part:
        case str():
            return re.escape(part)
        case Any():
            return "(?s:.*)"
        case One():
            return "(?s:.)"
        case Index():
            return "([0-9]+)"
        case Range(low, high):
            return f"(?:{'|'.join(_numbers(low, high))})"
        case Among(ranges, negated):
            inside = "".join(re.escape(a) if a == b else f"{re.escape(a)}-{re.escape(b)}" for a, b in ranges)
            return f"[{'^' if negated else ''}{inside}]"
        case Choice(options):
            return f"(?:{'|'.join(''.join(map(_regex, option)) for option in options)})"


def _numbers(low: int, high: int) -> Iterator[str]:
    """Regular expressions of the whole numbers from `low` to `high`: a few a digit, however far apart they are."""
    while low <= high:
        # All numbers that begin with the same digits: 120 to 129 are `12[0-9]{1}`.
        size, free = 1, 0
        while low and not low % (size * 10) and low + size * 10 - 1 <= high:
            size, free = size * 10, free + 1
        yield f"{low // size}[0-9]{{{free}}}" if free else str(low)
        low += size
