"""Texts and what they are read as: values, places, faults."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from optplan.diagnostics import Collector, ConfigError
from optplan.frontend import events
from optplan.frontend.document import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    Unread,
    expression_text,
    from_mapping,
    plain,
    read,
    read_file,
    refuse,
)
from optplan.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.diagnostics import Diagnostic

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LOADER", request.param)


pytestmark = pytest.mark.usefixtures("_loader")


def tree(text: str) -> Node:
    collector = Collector()
    node = read(Source("f.yaml", text), collector)
    assert collector.diagnostics == ()
    assert node is not None
    return node


def faults(text: str) -> tuple[Diagnostic, ...]:
    """What is reported where nothing in the text is an expression."""
    collector = Collector()
    node = read(Source("f.yaml", text), collector)
    if node is not None:
        refuse(node, collector)
    return collector.diagnostics


def value_of(text: str) -> Scalar:
    node = tree(text)
    assert isinstance(node, Mapping)
    entry = node.get("a")
    assert entry is not None
    assert isinstance(entry.value, Scalar)
    return entry.value


def scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from scalars(item)
    elif isinstance(node, Mapping):
        for entry in node.entries:
            yield entry.key
            yield from scalars(entry.value)


# YAML 1.2.2, chapter 10.3.2: the regular expressions of the core schema and its example 10.9.
CORE: list[tuple[str, object]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("false", False),
    ("False", False),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("0", 0),
    ("-19", -19),
    ("+12", 12),
    ("010", 10),
    ("0o17", 15),
    ("0o18", "0o18"),
    ("-0o17", "-0o17"),
    ("0x1f", 31),
    ("0x3A", 58),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("1e-3", 0.001),
    ("3e-4", 0.0003),
    ("1.0e3", 1000.0),
    ("1E+2", 100.0),
    (".5", 0.5),
    ("0.", 0.0),
    ("-0.0", -0.0),
    ("12e03", 12000.0),
    ("-2E+05", -200000.0),
    (".e1", ".e1"),
    (".", "."),
    ("1e", "1e"),
    ("e3", "e3"),
    ("1.5x", "1.5x"),
    ("5%", "5%"),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("+.INF", math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("1e999", math.inf),
    ("9" * 400, math.inf),
    ("-" + "9" * 5000, -math.inf),
    ("0x" + "f" * 5000, math.inf),
    ("2001-12-14", "2001-12-14"),
    ("=", "="),
    ("\u0661\u0662", "\u0661\u0662"),
]


@pytest.mark.parametrize(("text", "value"), CORE, ids=[text[:12] or "empty" for text, _ in CORE])
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    scalar = value_of(f"a: {text}")
    assert scalar.value == value
    assert type(scalar.value) is type(value)
    assert scalar.text.value == text


def test_not_a_number_is_a_float() -> None:
    for text in (".nan", ".NaN", ".NAN"):
        value = value_of(f"a: {text}").value
        assert isinstance(value, float)
        assert math.isnan(value)


@pytest.mark.parametrize("text", ["1", "true", "null", "1e-3", "~", "", ".nan"])
def test_a_quoted_scalar_is_a_text(text: str) -> None:
    assert value_of(f"a: '{text}'").value == text
    assert value_of(f'a: "{text}"').value == text


PLACES = r"""# a comment
optplan: 1
"quoted key": 'it''s'
list:
  - one   # and why
  - "two \u00e9 \x41"
  - [three, {four: five, 'six': }]
anchored: &name  some words
block: |
  literal
   text

next: >-
    folded
    text
é: ü😀 z
last:   value"""


def test_the_span_of_a_scalar_is_its_token() -> None:
    tokens = [scalar.span.text for scalar in scalars(tree(PLACES))]
    assert tokens == [
        "optplan", "1", '"quoted key"', "'it''s'",
        "list", "one", r'"two \u00e9 \x41"', "three", "four", "five", "'six'", "",
        "anchored", "some words", "block", "|\n  literal\n   text", "next", ">-\n    folded\n    text",
        "é", "ü😀 z", "last", "value",
    ]  # fmt: skip


def test_the_span_of_a_collection_goes_from_its_first_to_its_last_character() -> None:
    root = tree("a:\n  - b\n  - c: d\n    e: [f, {g: h}]  # no\n\n# end\ni: {j: k}\n")
    assert isinstance(root, Mapping)
    first, second = (entry.value for entry in root.entries)
    assert first.span.text == "- b\n  - c: d\n    e: [f, {g: h}]"
    assert second.span.text == "{j: k}"
    assert isinstance(first, Sequence)
    assert (first.flow, second.flow) == (False, True)  # type: ignore[union-attr]  # a mapping
    assert first.items[1].span.text == "c: d\n    e: [f, {g: h}]"


# The line and column of each character that is asked for, in the value's order.
LOCATED = [
    ("a: word", "d", (1, 7)),
    ("a: 'it''s new'", "s", (1, 9)),
    ("a: 'it''s new'", "n", (1, 11)),
    (r'a: "\u0041\t\x42c"', "c", (1, 17)),
    (r'a: "\u0041\t\x42c"', "B", (1, 13)),
    (r'a: "\U0001F600z"', "z", (1, 15)),
    ('a: "one\n  two\n\n  three"', "w", (2, 4)),
    ('a: "one\n  two\n\n  three"', "\n", (3, 1)),
    ('a: "one\\\n   two"', "w", (2, 5)),
    ("a: 'x\n  yz'", "z", (2, 4)),
    ("a: one\n  two\n  three", "h", (3, 4)),
    ("a: one  \n   and", "d", (2, 6)),
    ("a: |\n  one\n   two\n", "w", (3, 5)),
    ("a: |2\n   one\n  two\n", "w", (3, 4)),
    ("a: |-\n\n\n  one", "n", (4, 4)),
    ("a: |+\n  one\n\n", "e", (2, 5)),
    ("a: >\n  one\n  two\n\n  three\n", "w", (3, 4)),
    ("a: >\n  one\n  two\n\n  three\n", "h", (5, 4)),
    ("a: >-\n  x\n    more\n  y\n", "m", (3, 5)),
    ("a: >- # why\n  x\n  yz\n", "z", (3, 4)),
    ("a: one\r\n  two\r\nb: 1", "w", (2, 4)),
    ("a: |\r\n  one\r\n  two\r\n", "w", (3, 4)),
    ("\ufeffa: word", "d", (1, 8)),
    ("a: &x # why\n  word", "d", (2, 6)),
]


@pytest.mark.parametrize(("text", "char", "place"), LOCATED)
def test_a_character_of_a_value_knows_its_place(text: str, char: str, place: tuple[int, int]) -> None:
    scalar = value_of(text)
    at = scalar.text.value.index(char)
    span = scalar.text.span(at, at + 1)
    assert scalar.span.source.position(span.start) == place


def test_offsets_of_a_value_rise_and_stay_in_its_token() -> None:
    for text, _, _ in LOCATED:
        scalar = value_of(text)
        offsets = scalar.text.offsets or tuple(range(scalar.text.start, scalar.text.start + len(scalar.text.value) + 1))
        assert len(offsets) == len(scalar.text.value) + 1
        assert list(offsets) == sorted(offsets)
        assert scalar.span.start <= offsets[0]


BLOCKS = [
    ("|\n  a\n  b\n", "a\nb\n"),
    ("|-\n  a\n\n", "a"),
    ("|+\n  a\n\n", "a\n\n"),
    (">\n  a\n  b\n\n  c\n", "a b\nc\n"),
    (">\n  a\n   b\n  c\n", "a\n b\nc\n"),
    ("'a\n\n  b'", "a\nb"),
    ('"a \\\n  b"', "a b"),
    ("a\n  b\n\n  c", "a b\nc"),
]


@pytest.mark.parametrize(("text", "value"), BLOCKS)
def test_folding_follows_yaml(text: str, value: str) -> None:
    scalar = value_of(f"a: {text}")
    assert scalar.value == value
    for at, char in enumerate(value):
        if not char.isspace():
            assert scalar.text.span(at, at + 1).text == char


def test_a_mapping_is_asked_by_key() -> None:
    node = tree("a: 1\nb: {c: 2}\n1: x\n~: y")
    assert isinstance(node, Mapping)
    assert node.keys() == ("a", "b", "1", "~")
    assert node.get("c") is None
    entry = node.get("1")
    assert entry is not None
    assert (entry.name, plain(entry.value)) == ("1", "x")
    assert node.entries[2].key.value == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("a: &x {c: 1}\nb: *x", {"a": {"c": 1}, "b": {"c": 1}}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("- &x k\n- *x : v", ["k", {"k": "v"}]),
        ("a: &x {c: 1, d: 2}\nb: {<<: *x, d: 3}", {"a": {"c": 1, "d": 2}, "b": {"c": 1, "d": 3}}),
        ("b: {d: 3, <<: {c: 1, d: 2}}", {"b": {"c": 1, "d": 3}}),
        ("b: {<<: [{c: 1}, {c: 2, d: 2}]}", {"b": {"c": 1, "d": 2}}),
        ('a: {"<<": 1}', {"a": {"<<": 1}}),
        ("a: {<<: {}}", {"a": {}}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("? a\n: b\n? c\n", {"a": "b", "c": None}),
    ],
)
def test_aliases_and_merge_keys(text: str, value: object) -> None:
    assert plain(tree(text)) == value


# text, code, line, column, what the message says, what the help says
FAULTS: list[tuple[str, str, int, int, str, str]] = [
    ("a: 1\nb: 2\na: 3", "OP003", 3, 1, "key `a` stands twice", ""),
    ("a: {b: 1, 'b': 2}", "OP003", 1, 11, "key `b` stands twice", ""),
    ("a: !!python/object:os.system x", "OP004", 1, 4, "tag `!!python/object:os.system`", "leave it out"),
    ("a: !not norm", "OP004", 1, 4, "tag `!not`", '`a: "!not norm"`'),
    ("a: ! x", "OP004", 1, 4, "tag `!`", ""),
    ("a: !<tag:yaml.org,2002:int> 3", "OP004", 1, 4, "tag `!<tag:yaml.org,2002:int>`", ""),
    ("a: !own!x y", "OP004", 1, 4, "tag `!own!x`", ""),
    ("a: !!map {b: 1}", "OP004", 1, 4, "tag `!!map`", ""),
    ("!!map\na: 1", "OP004", 1, 1, "tag `!!map`", ""),
    ("!x a: 1", "OP004", 1, 1, "tag `!x`", ""),
    ("a: &n !t v", "OP004", 1, 7, "tag `!t`", ""),
    ("a: *none", "OP005", 1, 4, "no `&none` stands above it", '"*none"'),
    ("a: *.bias", "OP005", 1, 4, "alias `*.bias`", '`a: "*.bias"`'),
    ("a: *b\nb: &b 1", "OP005", 1, 4, "no `&b` stands above it", ""),
    ("a: &x [1, *x]", "OP005", 1, 11, "inside the value that it names", ""),
    ("a: &x {b: *x}", "OP005", 1, 11, "inside the value that it names", ""),
    ("a: & b", "OP005", 1, 4, "anchor `&`", ""),
    ("a: {<<: 1}", "OP005", 1, 9, "a merge key takes a mapping", ""),
    ("a: {<<: [{b: 1}, 2]}", "OP005", 1, 18, "a merge key takes a mapping", ""),
    ("[a]: 1", "OP103", 1, 1, "not a list", "quotes"),
    ("? {a: b}\n: 1", "OP103", 1, 3, "not a mapping", "quotes"),
    ("", "OP102", 1, 1, "empty", "optplan: 1"),
    ("# nothing\n", "OP102", 1, 1, "empty", ""),
    ("---\n", "OP102", 1, 1, "empty", ""),
    ("a: 1\n---\nb: 2", "OP002", 2, 1, "second document", "one document"),
    ("---\n---\n", "OP002", 2, 1, "second document", ""),
    ("a:\n\t- b", "OP002", 2, 1, "a tab indents this line", "spaces"),
    ("a: 1\n\tb: 2", "OP002", 2, 1, "a tab indents this line", "spaces"),
    ("a:\n  \tb: 2", "OP002", 2, 3, "a tab indents this line", "spaces"),
    ("a: b: c", "OP002", 1, 5, "second key", '`a: "b: c"`'),
    ("a: 1\n  b: 2", "OP002", 2, 3, "indented further", ""),
    ("o:\n  lr:0.1\n  type: x", "OP002", 2, 5, "space is missing after this colon", "`lr: 0.1`"),
    ("a: 1\nlr:0.1\nb: 2", "OP002", 2, 3, "space is missing after this colon", "`lr: 0.1`"),
    ("a: 1\nb\nc: 2", "OP002", 2, 1, "key without a colon", "`key: value`"),
    ("a:\n  b: 1\n c: 2", "OP002", 3, 2, "indentation fits no line", ""),
    ("a: 1\n- b", "OP002", 2, 1, "list item stands among keys", "further than the key"),
    ("a:\n  - b: 1\n - c: 2", "OP002", 3, 2, "list item stands among keys", "like the item on line 2"),
    ("a:\n  - b: 1\n    c:\n      - 3\n   - d: 2", "OP002", 5, 4, "list item stands", "like the item on line 2"),
    ("a:\n  - b\n- c", "OP002", 3, 1, "list item stands among keys", "like the item on line 2"),
    ("- a\nb: 1", "OP002", 2, 1, "key stands among list items", ""),
    ("a: - b", "OP002", 1, 4, "list begins on the line of its key", "next line"),
    ('a: "open', "OP002", 1, 4, 'quote `"` is never closed', ""),
    ("a: 'open\nb: 1\n", "OP002", 1, 4, "quote `'` is never closed", ""),
    ("a: [1, 2\nb: 3", "OP002", 1, 4, "`[` is never closed", "`]`"),
    ("a: {b: 1\nc: 2\n", "OP002", 1, 4, "`{` is never closed", "`}`"),
    ("a: [1, 2}", "OP002", 1, 9, "`[` is closed by `}`", "`]`"),
    ("a: {b: 1 c: 2}", "OP002", 1, 11, "without a comma", "comma"),
    ('a: ["b" c]', "OP002", 1, 9, "a comma or `]` is missing", "comma"),
    ("a: [b,,c]", "OP002", 1, 7, "value is missing before `,`", ""),
    ("a: ]", "OP002", 1, 4, "value is missing before `]`", ""),
    ("a: %x", "OP002", 1, 4, "cannot begin with `%`", '`a: "%x"`'),
    ("a: @x # why", "OP002", 1, 4, "cannot begin with `@`", '`a: "@x"`'),
    ("a: `x`", "OP002", 1, 4, "cannot begin with ```", '`a: "`x`"`'),
    ("a: {b: %x, c: 1}", "OP002", 1, 8, "cannot begin with `%`", '`b: "%x"`'),
    ("a: > 3", "OP002", 1, 4, "`>` begins a block of text", '`a: "> 3"`'),
    ('a: "x" or b', "OP002", 1, 8, "text follows the closing quote", """`a: '"x" or b'`"""),
    (r'a: "\q"', "OP002", 1, 5, r"escape `\q`", "single quotes"),
    (r'a: "\ud800"', "OP002", 1, 0, "", ""),
    (r'a: "\UFFFFFFFF"', "OP002", 1, 0, "", ""),
    ("a: b\x00", "OP002", 1, 5, "U+0000", ""),
    ("a: b\x1b", "OP002", 1, 5, "U+001B", ""),
    ("a: \ud800", "OP002", 1, 4, "U+D800", ""),
    ("a: b\ufeff", "OP002", 1, 5, "U+FEFF", ""),
    ("%YAML 3.0\n---\na: 1", "OP002", 1, 1, "`%` line", ""),
    ("a: 1\n...\nb: 2", "OP002", 3, 1, "", ""),
    ("a: [ab].*", "OP007", 1, 4, "reads `[ab]` as a list", '`a: "[ab].*"`'),
    ("a: {b,c}.d", "OP007", 1, 4, "reads `{b,c}` as a mapping", '`a: "{b,c}.d"`'),
    ("a: {b: f(c, d=3)}", "OP007", 1, 8, "ends `f(c` at the comma", '`b: "f(c, d=3)"`'),
    ("a: {b[0]: 1}", "OP007", 1, 5, "ends `b` at the `[`", '`"b[0]"`'),
    ("[" * 30_000, "OP006", 1, 65, "64 levels", ""),
    ("{a: " * 30_000, "OP006", 1, 257, "64 levels", ""),
    ("- " * 30_000, "OP006", 1, 129, "64 levels", ""),
    ("x" * 1_000_001, "OP006", 1, 1, "1000000 characters", ""),
    ("[" + "1," * 100_001 + "]", "OP006", 1, 200_000, "100000 values", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "message", "cure"), FAULTS, ids=[repr(row[0][:30]) for row in FAULTS]
)
def test_a_fault_is_one_diagnostic(text: str, code: str, line: int, column: int, message: str, cure: str) -> None:
    found = faults(text)
    assert [(item.code, item.line) for item in found] == [(code, line)]
    if column:
        assert found[0].column == column
    assert message in found[0].message
    assert cure in (found[0].help or "")


def test_a_duplicate_says_where_the_first_is() -> None:
    assert faults("x: 1\na: 1\na: 2")[0].notes == ("the first one stands in line 2",)


def test_every_fault_of_a_text_that_is_yaml_is_reported() -> None:
    found = faults("a: *.x\na: 1\nb: !t\nc: {d: [e].f, g: h[0]}\ni: 1\ni: 2\n")
    places = [("OP005", 1), ("OP003", 2), ("OP004", 3), ("OP007", 4), ("OP007", 4), ("OP003", 6)]
    assert [(item.code, item.line) for item in found] == places


# What was meant is an expression: line, the key of the place, what was meant, what help shows.
MISREAD = [
    ("where: *.bias", "*.bias"),
    ("where: *norm or bias", "*norm or bias"),
    ("where: *norm", "*norm"),
    ("where: '*.bias'", None),
    ("where: !not norm", "!not norm"),
    ("where: !(a or b)", "!(a or b)"),
    ("where: [ab].*  # why", "[ab].*"),
    ("where: {up,down}.proj", "{up,down}.proj"),
    ("where: [ab]", "[ab]"),
    ("where: {a, b}", "{a, b}"),
    ("where: **.bias", "**.bias"),
    ("where: &x.y", "&x.y"),
    ("where: &x *.bias", "*.bias"),
    ("{where: *.bias, lr: 1}", "*.bias"),
    ("{where: *.a.{b,c}, lr: 1}", "*.a.{b,c}"),
    ("{where: cosine(to=0x, for=3), lr: 1}", "cosine(to=0x, for=3)"),
    ("{where: a(b(c, d), e, f=1) -> g(h, 2), lr: 1}", "a(b(c, d), e, f=1) -> g(h, 2)"),
    ("{where: multistep(at=[1, 2], gamma=0.1), lr: 1}", "multistep(at=[1, 2], gamma=0.1)"),
    ("{where: piecewise(a, at=[1, 2]), lr: 1}", "piecewise(a, at=[1, 2])"),
    ("{where: shape[0] == 3, lr: 1}", "shape[0] == 3"),
    ("{where: layers.{0..5}.attn, lr: 1}", "layers.{0..5}.attn"),
    ("{where: [ab].*, lr: 1}", "[ab].*"),
    ("{lr: 1, where: type(A, B)}", "type(A, B)"),
    ('{where: path("a")[0], lr: 1}', 'path("a")[0]'),
]


@pytest.mark.parametrize(("text", "meant"), MISREAD)
def test_an_expression_that_yaml_misreads_is_reported_as_it_was_meant(text: str, meant: str | None) -> None:
    collector = Collector()
    root = read(Source("f.yaml", text), collector)
    assert collector.diagnostics == ()
    assert isinstance(root, Mapping)
    assert set(root.keys()) <= {"where", "lr"}
    entry = root.get("where")
    assert entry is not None
    found = expression_text(entry.value, collector, "a filter")
    if meant is None:
        assert found is not None
        assert collector.diagnostics == ()
        return
    assert found is None
    assert len(collector.diagnostics) == 1
    fault = collector.diagnostics[-1]
    assert fault.code == "OP007"
    assert entry.value.span.text == meant
    assert fault.column == text.index(meant) + 1
    quoted = f"'{meant}'" if '"' in meant else f'"{meant}"'
    cure = f"write it in quotes: `where: {quoted}`"
    if meant.startswith("!"):
        cure = f"write `not {meant.removeprefix('!').removeprefix('not ')}`"
    assert fault.help == cure
    # what the help shows is read as what was meant
    assert plain(tree(f"where: {quoted}")) == {"where": meant}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[a.{i}, b]", ["a.{i}", "b"]),
        ("[f(a, b=1), c]", ["f(a, b=1)", "c"]),
        ("[f(a, [b], c), d]", ["f(a", "[b]", "c)", "d"]),
        ("[f(a, g(b), h(i, j)), k(l, m), n)]", ["f(a, g(b), h(i, j))", "k(l, m)", "n)"]),
        ("- [*.x, b]", ["[*.x, b]"]),
        ("[[a].b, c]", ["[a].b", "c"]),
        ("- *.x\n- b", ["*.x", "b"]),
    ],
)
def test_an_item_that_yaml_misreads_is_one_item(text: str, meant: list[str]) -> None:
    root = read(Source("f.yaml", text), Collector())
    assert isinstance(root, Sequence)
    assert [item.span.text for item in root.items] == meant


def test_a_policy_with_commas_stands_in_a_block() -> None:
    assert value_of("a: cosine(to=0x, for=3)").value == "cosine(to=0x, for=3)"


def test_an_unclosed_parenthesis_is_left_to_the_grammar() -> None:
    assert plain(tree("{a: f(b, c: d}")) == {"a": "f(b", "c": "d"}


def test_the_other_misreadings_of_an_expression_name_what_is_expected() -> None:
    collector = Collector()
    root = tree("where:\n  a: b\nlr:\n  - 1\n")
    assert isinstance(root, Mapping)
    for entry in root.entries:
        assert expression_text(entry.value, collector, "a filter") is None
    first, second = collector.diagnostics
    assert (first.code, first.line, first.column) == ("OP007", 2, 3)
    assert first.message == "YAML reads this as a mapping where a filter is expected"
    assert second.message == "YAML reads this as a list where a filter is expected"
    assert first.help is not None
    assert "`>-`" in first.help


def test_a_misread_expression_may_go_on_in_further_lines() -> None:
    collector = Collector()
    root = read(Source("f.yaml", "where: *.bias\n  or norm\nlr: 1"), collector)
    assert isinstance(root, Mapping)
    assert root.keys() == ("where", "lr")
    value = root.entries[0].value
    assert value.span.text == "*.bias\n  or norm"
    assert expression_text(value, collector, "a filter") is None
    [fault] = collector.diagnostics
    assert fault.help == "write a filter as one text, in one line or indented after `>-`"


def test_an_expression_is_the_text_whatever_the_type() -> None:
    for text, value in [("1e-3", "1e-3"), ("no", "no"), ("", ""), ("'x'", "x"), ("~", "~"), ("010", "010")]:
        collector = Collector()
        found = expression_text(value_of(f"a: {text}"), collector, "a value")
        assert found is not None
        assert (found.value, collector.diagnostics) == (value, ())


def test_what_is_unread_stands_in_the_tree() -> None:
    root = read(Source("f.yaml", "a: *.x\nb: {c: [d].e}"), Collector())
    assert root is not None
    assert plain(root) == {"a": "*.x", "b": {"c": "[d].e"}}
    assert isinstance(root, Mapping)
    value = root.entries[0].value
    assert isinstance(value, Unread)
    assert (value.kind, value.mark.text) == ("alias", "*.x")


BOMBS = {
    "aliases": "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(20)),
    "merges": "".join(f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}], k{n}: 1}}\n" for n in range(20)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_at_once(kind: str) -> None:
    begin = time.perf_counter()
    found = faults("a0: &a0 {x: 1}\n" + BOMBS[kind])
    assert time.perf_counter() - begin < 1
    assert [item.code for item in found] == ["OP005"]
    assert "10000" in found[0].message


def test_a_chain_of_aliases_cannot_be_deeper_than_the_text_could() -> None:
    text = "- &a0 x\n" + "".join(f"- &a{n + 1} {'[' * 60}*a{n}{']' * 60}\n" for n in range(10))
    assert [item.code for item in faults(text)] == ["OP006"]


def test_many_misreadings_are_read_past_in_bounded_time() -> None:
    begin = time.perf_counter()
    found = faults("".join(f"k{n}: *.bias\n" for n in range(2000)))
    assert time.perf_counter() - begin < 20
    assert found
    assert {item.code for item in found} == {"OP005"}


LONG = {
    "spaces in a double-quoted text": 'a: "\\t' + " " * 900_000 + 'x"',
    "spaces in a plain text of two lines": "a: x" + " " * 900_000 + "x\n  y",
    "spaces behind an alias": "a: *." + " " * 900_000 + "x",
    "spaces behind tags": "\n".join("- !t" + " " * 10_000 + "x" for _ in range(90)),
    "a long key before an alias": "x" * 900 + ": " + "*" * 90_000,
    "indentation of a block": "a: |\n" + " " * 400_000 + "x\n" + " " * 400_001 + "y\n",
    "anchors and quotes": "- " + "&a '" * 100_000,
    "quotes": "a: [*" + '"\\' * 100_000,
    "commas in parentheses": "{a: f(" + "b, " * 30_000 + "c)}",
    "open parentheses": "[" + "f(a, " * 30_000 + "c]",
}


@pytest.mark.parametrize("kind", LONG)
def test_a_long_line_takes_no_longer_than_its_length(kind: str) -> None:
    begin = time.perf_counter()
    collector = Collector()
    root = read(Source("f.yaml", LONG[kind]), collector)
    if root is not None:
        refuse(root, collector)
    assert time.perf_counter() - begin < 10


def test_ten_thousand_brackets_do_not_end_the_process() -> None:
    """In a process of its own: a crash in C would take the whole run along."""
    program = (
        "from optplan.diagnostics import Collector\nfrom optplan.frontend.document import read\n"
        "from optplan.source import Source\n"
        "for text in ('[' * 400_000, '[[' * 9 + '{' * 200_000, '? ' * 200_000, '&a ' * 9999, '!' * 99_999):\n"
        "    collector = Collector()\n    read(Source('f', text), collector)\n"
        "print('alive')\n"
    )
    path = str(Path(__file__).parents[2] / "compiler")
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", program],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\n")
    collector = Collector()
    source = read_file(path, collector, "shown.yaml")
    assert source == Source("shown.yaml", "a: é\r\n")
    assert read_file(path, collector) == Source(str(path), "a: é\r\n")
    assert collector.diagnostics == ()


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"a: 1\nb: \xff", "OP001", "0xff at byte 8, in line 2"),
        ("a: 1".encode("utf-16"), "OP001", "not UTF-8"),
        (b"x" * 1_000_001, "OP006", "1000000 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, code: str, words: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    collector = Collector()
    assert read_file(path, collector, "f.yaml") is None
    [fault] = collector.diagnostics
    assert (fault.code, fault.source, fault.line) == (code, "f.yaml", 0)
    assert words in fault.message


def test_a_missing_file_is_a_diagnostic(tmp_path: Path) -> None:
    cases: list[tuple[Path | str, str]] = [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "directory"),
        ("\0", "null"),
    ]
    for path, words in cases:
        collector = Collector()
        assert read_file(path, collector, "shown") is None
        [fault] = collector.diagnostics
        assert (fault.code, fault.source) == ("OP001", "shown")
        assert words in fault.message


class Quacking(OrderedDict[str, object]):
    """A mapping whose values fail when they are asked for."""

    def __getitem__(self, _key: str) -> object:
        message = "interpolation key `x` not found"
        raise KeyError(message)


class Boxed:
    """A scalar of an array library."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


def test_a_python_mapping_becomes_a_text() -> None:
    source = from_mapping(
        {
            "optplan": 1,
            "optimizer": {"type": "adamw", "lr": 1e-05, "betas": (0.9, 0.999), "foreach": None, "on": True},
            "rules": [{"where": 'path("a\\b")', "weight_decay": 0}, {}],
            "odd key": [[], [[1]], "é\n\u2028"],
            "path": Path("a/b.txt"),
            "lr": Boxed(0.25),
        }
    )
    assert source.name == "<mapping>"
    assert source.text == (
        'optplan: 1\noptimizer:\n  type: "adamw"\n  lr: 1e-05\n  betas:\n    - 0.9\n    - 0.999\n  foreach: null\n'
        '  on: true\nrules:\n  -\n    where: "path(\\"a\\\\b\\")"\n    weight_decay: 0\n  - {}\n"odd key":\n'
        '  - []\n  -\n    -\n      - 1\n  - "é\\u000a\\u2028"\npath: "a/b.txt"\nlr: 0.25\n'
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": {"b": [1, {2}]}}, ["`a.b.1` is a `set`"]),
        ({"a": b"x", "c": object}, ["`a` is a `bytes`", "`c` is a `type`"]),
        ({None: 1}, ["the mapping has the key `None`"]),
        ({"a": {True: 1}}, ["`a` has the key `True`"]),
        ({"a": Quacking(b=1, c=1)}, ["`a.b` cannot be read", "`a.c` cannot be read"]),
        ({"a": "\ud800"}, ["`a` holds half a character"]),
        ({"a": 1j}, ["`a` is a `complex`"]),
        (object(), ["the mapping is a `object`"]),
    ],
)
def test_what_a_document_cannot_hold_is_named_by_its_path(data: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(data)
    assert [item.code for item in caught.value.diagnostics] == ["OP103"] * len(words)
    for item, word in zip(caught.value.diagnostics, words, strict=True):
        assert word in item.message


def test_a_mapping_inside_itself_is_refused() -> None:
    data: dict[str, object] = {}
    data["a"] = data
    with pytest.raises(ConfigError, match="OP006"):
        from_mapping(data)
    wide: list[object] = []
    for _ in range(40):
        wide = [wide, wide]
    with pytest.raises(ConfigError, match="OP006"):
        from_mapping({"a": wide})


def test_json_is_yaml() -> None:
    data: dict[str, object] = {"a": [1, 2.5, None, True, "x\ty", {"b": {}}], "c": "\u00e9"}
    assert plain(tree(json.dumps(data))) == data
