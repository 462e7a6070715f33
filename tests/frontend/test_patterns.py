"""Path patterns: what they are made of, what is odd yet legal, what is refused and where."""

from __future__ import annotations

import pytest

from optplan.diagnostics import Collector
from optplan.filter import Among, Any, Choice, Index, One, Part, Range
from optplan.frontend.patterns import parse_path
from optplan.source import Source, Text

SEGMENTS: list[tuple[str, tuple[tuple[Part, ...] | None, ...]]] = [
    ("head", (("head",),)),
    ("encoder.layers.3", (("encoder",), ("layers",), ("3",))),
    ("a.*.b", (("a",), (Any(),), ("b",))),
    ("a.**.b", (("a",), None, ("b",))),
    ("block?", (("block", One()),)),
    ("block*_norm", (("block", Any(), "_norm"),)),
    ("w[ab]", (("w", Among((("a", "a"), ("b", "b")))),)),
    ("w[a-cx0-9]", (("w", Among((("a", "c"), ("x", "x"), ("0", "9")))),)),
    ("w[!ab]", (("w", Among((("a", "a"), ("b", "b")), negated=True)),)),
    ("{up,down}_proj", ((Choice((("up",), ("down",))), "_proj"),)),
    ("{q,k*,[vw]}", ((Choice((("q",), ("k", Any()), (Among((("v", "v"), ("w", "w"))),))),),)),
    ("layers.{0..5}.mlp", (("layers",), (Range(0, 5),), ("mlp",))),
    ("stage{1..3}", (("stage", Range(1, 3)),)),
]

ODD: list[tuple[str, tuple[tuple[Part, ...] | None, ...]]] = [
    ("**", (None,)),
    ("**.norm", (None, ("norm",))),
    ("a.**.**.b", (("a",), None, None, ("b",))),
    ("*?*", ((Any(), One(), Any()),)),
    ("[-1]", ((Among((("-", "-"), ("1", "1"))),),)),
    ("[a-]", ((Among((("a", "a"), ("-", "-"))),),)),
    ("[a-a]", ((Among((("a", "a"),)),),)),
    ("{only}", ((Choice((("only",),)),),)),
    ("{3..3}", ((Range(3, 3),),)),
    ("{0..0}", ((Range(0, 0),),)),
    ("{ii}", ((Choice((("ii",),)),),)),
    ("not-a-word", (("not-a-word",),)),
    ("0", (("0",),)),
    ("größe", (("größe",),)),
]

FAULTS = [
    ("", "^", "expected a path, found nothing"),
    (".", "^", "a path cannot end with a dot"),
    ("a.", " ^", "a path cannot end with a dot"),
    ("a..b", "  ^", "expected a name before `.`"),
    ("..a", " ^", "expected a name before `.`"),
    ("a b", " ^", "` ` cannot stand in a path"),
    ("a/b", " ^", "`/` cannot stand in a path"),
    ("a.b**", "   ^^", "`**` must be a whole segment"),
    ("**b", "^^", "`**` must be a whole segment"),
    ("a.***", "  ^^", "`**` must be a whole segment"),
    ("w[ab", " ^", "`[` is never closed"),
    ("w]", " ^", "`]` closes nothing"),
    ("w[]", " ^^", "`[ ]` without characters"),
    ("w[!]", " ^^^", "`[ ]` without characters"),
    ("w[z-a]", "  ^^^", "`z-a` runs backwards"),
    ("w[a.b]", "   ^", "`.` cannot stand in `[ ]`"),
    ("w[^a]", "  ^", "`^` cannot stand in `[ ]`"),
    ("a.{up", "  ^", "`{` is never closed"),
    ("a.up}", "    ^", "`}` closes nothing"),
    ("a.{}", "  ^^", "an empty choice in `{ }`"),
    ("a.{up,}", "      ^", "an empty choice in `{ }`"),
    ("a.{,up}", "   ^", "an empty choice in `{ }`"),
    ("a.{up,,down}", "      ^", "an empty choice in `{ }`"),
    ("a.{up, down}", "      ^", "` ` cannot stand in a path"),
    ("a.{b.c,d}", "    ^", "a dot inside `{ }`"),
    ("a.{b,{c,d}}", "     ^", "braces inside braces"),
    ("a.{b,**}", "     ^^", "`**` must be a whole segment"),
    ("a.{5..0}", "   ^^^^", "`5..0` runs backwards"),
    ("a.{01..5}", "   ^^", "`01` has a leading zero"),
    ("a.{0..}", "    ^", "a dot inside `{ }`"),
    ("a.{a..c}", "    ^", "a dot inside `{ }`"),
    ("a.{0..1234567890}", "      ^^^^^^^^^^", "a number of more than 9 digits"),
    ("a.{i}", "  ^^^", "`{i}` numbers layers, and belongs to `layers`"),
]


def as_text(value: str) -> Text:
    return Text(value, Source("x.optim.yaml", value), 0)


@pytest.mark.parametrize(("pattern", "segments"), SEGMENTS + ODD)
def test_segments(pattern: str, segments: tuple[tuple[Part, ...] | None, ...]) -> None:
    collector = Collector()
    path = parse_path(as_text(pattern), collector)
    assert not collector.diagnostics
    assert path is not None
    assert (path.segments, path.text, path.anchored, path.form) == (segments, pattern, True, "bare")


@pytest.mark.parametrize(("pattern", "segments"), SEGMENTS)
def test_a_leading_dot_lets_a_path_start_anywhere(pattern: str, segments: tuple[tuple[Part, ...] | None, ...]) -> None:
    path = parse_path(as_text(f".{pattern}"), Collector())
    assert path is not None
    assert (path.segments, path.text, path.anchored) == (segments, pattern, False)


@pytest.mark.parametrize(("pattern", "marks", "message"), FAULTS)
def test_faults(pattern: str, marks: str, message: str) -> None:
    collector = Collector()
    assert parse_path(as_text(pattern), collector) is None
    (fault,) = collector.diagnostics
    assert (fault.code, fault.message) == ("OP202", message)
    assert " " * (fault.column - 1) + "^" * max(1, fault.end_column - fault.column) == marks


def test_an_entry_of_layers_may_have_one_index() -> None:
    path = parse_path(as_text("encoder.layers.{i}"), Collector(), index=True)
    assert path is not None
    assert path.segments == (("encoder",), ("layers",), (Index(),))
    path = parse_path(as_text("stage{i}_*"), Collector(), index=True)
    assert path is not None
    assert path.segments == (("stage", Index(), "_", Any()),)


def test_a_second_index_is_refused() -> None:
    collector = Collector()
    assert parse_path(as_text("stages.{i}.blocks.{i}"), collector, index=True) is None
    (fault,) = collector.diagnostics
    assert (fault.message, fault.column, fault.end_column) == ("`{i}` stands twice", 19, 22)


def test_space_around_a_path_is_no_part_of_it() -> None:
    path = parse_path(as_text("  a.b \n"), Collector())
    assert path is not None
    assert path.text == "a.b"
    assert path.span is not None
    assert (path.span.start, path.span.end) == (2, 5)


def test_the_cure_is_shown() -> None:
    collector = Collector()
    parse_path(as_text("blocks.{5..0}"), collector)
    assert str(collector.diagnostics[0]).splitlines() == [
        "error[OP202]: `5..0` runs backwards",
        "  --> x.optim.yaml:1:9",
        "  |",
        "1 | blocks.{5..0}",
        "  |         ^^^^",
        "  = help: write `{0..5}`",
    ]
