"""The automaton of patterns, against a matcher that tries every way."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optplan.filter import Among, Any, Choice, Index, One, Path, Range
from optplan.resolve.paths import Automaton, matches

if TYPE_CHECKING:
    from optplan.filter import Part

Segment = tuple["Part", ...] | None


def by_hand(parts: tuple[Part, ...], text: str) -> list[int | None]:
    """The indices with which `parts` match all of `text`, None for without; by trying every split."""
    if not parts:
        return [None] if not text else []
    first, rest = parts[0], parts[1:]
    found: list[int | None] = []
    for end in range(len(text) + 1):
        piece = text[:end]
        for index in _piece(first, piece):
            found += [index if after is None else after for after in by_hand(rest, text[end:])]
    return found


def _piece(part: Part, piece: str) -> list[int | None]:
    match part:
        case str():
            return [None] if piece == part else []
        case Any():
            return [None]
        case One():
            return [None] if len(piece) == 1 else []
        case Index():
            return [int(piece)] if re.fullmatch("[0-9]{1,18}", piece) else []
        case Range(low, high):
            return [None] if piece in {str(number) for number in range(low, high + 1)} else []
        case Among(ranges, negated):
            return [None] if len(piece) == 1 and any(a <= piece <= b for a, b in ranges) is not negated else []
        case Choice(options):
            return [None] if any(by_hand(option, piece) for option in options) else []


def covers(path: Path, name: list[str]) -> list[int | None]:
    """The indices with which `path` covers `name`: it matches a run of segments from the root, or from anywhere."""
    starts = [0] if path.anchored else range(len(name) + 1)
    return [index for start in starts for index in _covers(path.segments, name[start:])]


def _covers(segments: tuple[Segment, ...], name: list[str]) -> list[int | None]:
    if not segments:
        return [None]
    first, rest = segments[0], segments[1:]
    if first is None:
        return [index for skipped in range(len(name) + 1) for index in _covers(rest, name[skipped:])]
    if not name:
        return []
    return [index if after is None else after for index in by_hand(first, name[0]) for after in _covers(rest, name[1:])]


LETTERS = "ab1"
SIMPLE = st.one_of(
    st.text("ab01", min_size=1, max_size=2),
    st.just(Any()),
    st.just(One()),
    st.sampled_from([Range(0, 1), Range(9, 11), Range(1, 1)]),
    st.sampled_from([Among((("a", "b"),)), Among((("0", "1"), ("b", "b")), negated=True)]),
    st.sampled_from([Choice((("a",), ("b", Any()))), Choice((("ab",), (Range(0, 1),)))]),
)
SEGMENT = st.lists(SIMPLE, min_size=1, max_size=3).map(tuple)


@st.composite
def paths(draw: st.DrawFn, *, indexed: bool) -> Path:
    segments: list[Segment] = draw(st.lists(st.one_of(SEGMENT, st.none()), min_size=1, max_size=4))
    if indexed:
        place = draw(st.integers(0, len(segments)))
        around = draw(st.sampled_from([(Index(),), ("a", Index()), (Index(), "b")]))
        segments.insert(place, around)
    return Path("", tuple(segments), anchored=draw(st.booleans()))


NAMES = st.lists(st.text("ab01", min_size=1, max_size=3), min_size=1, max_size=5)


@given(patterns=st.lists(paths(indexed=False), max_size=4), name=NAMES)
def test_covers_what_a_matcher_by_hand_covers(patterns: list[Path], name: list[str]) -> None:
    automaton = Automaton(patterns)
    state = automaton.start
    for segment in name:
        state = state.step(segment)
    expected = {number for number, path in enumerate(patterns) if covers(path, name)}
    assert set(state.covering) == expected
    assert state.mask == sum(1 << number for number in expected)
    assert automaton.start.step(".".join(name)).mask == state.mask


@given(patterns=st.lists(paths(indexed=True), min_size=1, max_size=3), name=NAMES)
def test_finds_an_index_that_a_matcher_by_hand_finds(patterns: list[Path], name: list[str]) -> None:
    state = Automaton(patterns).start.step(".".join(name))
    for number, path in enumerate(patterns):
        possible = covers(path, name)
        assert (number in state.covering) == bool(possible)
        assert not possible or state.covering[number] in possible


@given(patterns=st.lists(paths(indexed=True), min_size=1, max_size=3), name=NAMES)
def test_the_index_does_not_depend_on_the_other_patterns(patterns: list[Path], name: list[str]) -> None:
    text = ".".join(name)
    together = Automaton(patterns).start.step(text).covering
    for number, path in enumerate(patterns):
        alone = Automaton([path]).start.step(text).covering
        assert alone.get(0, "no") == together.get(number, "no")


@given(parts=SEGMENT, text=st.text("ab01", max_size=4))
def test_a_segment_matches_as_by_hand(parts: tuple[Part, ...], text: str) -> None:
    assert matches(parts, text) == bool(by_hand(parts, text))


ODD = [
    "a-b",
    "a b",
    "a+b",
    "a[0]",
    "a\\d",
    "é",
    "名前",
    "a\nb",
    "$",
    "a|b",
    "(a)",
    "a*",
    "\x00",
    "^a",
    "-",
    "a#b",
    "a/b",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_characters_stand_for_themselves(text: str) -> None:
    """In a segment that needs a regular expression too."""
    for parts in ((text, One()), (text, Range(0, 9)), (Choice(((text,), ("x",))), "0")):
        assert matches(parts, f"{text}0")
        assert not matches(parts, f"{text[:-1]}?0")
    assert matches((Among(tuple((char, char) for char in dict.fromkeys(text))),), text[0])
    assert matches((Any(), text, Any()), f"..{text}..")
    assert matches((One(),) * len(text), text)


@given(low=st.integers(0, 1200), more=st.integers(0, 1200), text=st.text("0123456789", max_size=4))
def test_a_range_beside_others_has_the_numbers_between_its_ends(low: int, more: int, text: str) -> None:
    high = low + more
    for number in (low - 1, low, (low + high) // 2, high, high + 1):
        assert matches(("b", Range(low, high)), f"b{number}") == (low <= number <= high)
    inside = bool(text) and text == str(int(text)) and low <= int(text) <= high
    assert matches((Range(low, high), "b"), f"{text}b") == inside


def test_a_wide_range_costs_no_more_than_a_narrow_one() -> None:
    start = time.perf_counter()
    assert matches((Range(0, 1), Range(0, 999_999_999)), "1123456789")
    assert not matches(("b", Range(1, 999_999_998), Any()), "b0")
    assert time.perf_counter() - start < 1


def test_a_number_is_its_decimal_digits() -> None:
    assert [
        matches((Range(0, 12),), text) for text in ("0", "12", "13", "01", "1.0", "-1", "\uff11", "", "9" * 5000)
    ] == [
        *(True, True),
        *[False] * 7,
    ]


def test_many_patterns_and_stars_take_no_time() -> None:
    star: tuple[Part, ...] = (Any(), "a", Any(), "a", Any(), "a", Any(), "b")
    patterns = [Path("", (None, star, None, star, None, (str(number),)), anchored=False) for number in range(200)]
    began = time.perf_counter()
    state = Automaton(patterns).start.step(".".join(["a" * 2000] * 200))
    assert time.perf_counter() - began < 10
    assert state.covering == {}
