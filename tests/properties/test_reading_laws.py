"""Reading: operators bind as Python's do, places are exact, and what cannot be read is a located diagnostic."""

from __future__ import annotations

import ast
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from optplan.catalog import catalog
from optplan.diagnostics import Collector
from optplan.expression import Binary, Call, Name, Negative, Number, Value
from optplan.filter import And, Filter, Not, Or, Path
from optplan.frontend.filters import parse_filter
from optplan.frontend.grammar import parse_number
from optplan.frontend.patterns import parse_path
from optplan.frontend.policies import parse_policy
from optplan.frontend.values import parse_value, walk
from optplan.source import Source, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = catalog()
NAMES = ("a", "b", "c")

spaces = st.sampled_from(["", " ", "  ", "\n"])


def as_text(value: str) -> Text:
    return Text(value, Source("x.optim.yaml", value), 0)


def read_filter(value: str, collector: Collector) -> Filter | None:
    return parse_filter(as_text(value), collector, sets=(), predicates=KNOWN.predicates, attributes=KNOWN.attributes)


def read_value(value: str, collector: Collector) -> Value | None:
    return parse_value(as_text(value), collector, names=NAMES, base=True, attributes=KNOWN.attributes)


# Texts that Python reads too

filter_texts = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(" and ".join),
        st.lists(inner, min_size=2, max_size=4).map(" or ".join),
        inner.map("not {}".format),
        st.builds("({1}{0}{1})".format, inner, spaces),
    ),
    max_leaves=12,
)
value_texts = st.recursive(
    st.sampled_from([*NAMES, "1", "20", "0.5", "1e-3"]),
    lambda inner: st.one_of(
        st.builds(
            "{0}{3}{1}{3}{2}".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "**"]),
            inner,
            st.sampled_from(["", " "]),
        ),
        inner.map("-{}".format),
        inner.map("+{}".format),
        st.builds("({1}{0}{1})".format, inner, spaces),
        st.builds("max({0},{2}{1})".format, inner, inner, spaces),
    ),
    max_leaves=12,
)

_SYMBOLS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


def as_filter(node: ast.expr) -> Filter:
    """Python's tree as ours."""
    if isinstance(node, ast.Name):
        return Path(node.id, ((node.id,),))
    if isinstance(node, ast.UnaryOp):
        return Not(as_filter(node.operand))
    assert isinstance(node, ast.BoolOp)
    items = tuple(map(as_filter, node.values))
    return And(items) if isinstance(node.op, ast.And) else Or(items)


def as_value(node: ast.expr) -> Value:
    """Python's tree as ours."""
    if isinstance(node, ast.Name):
        return Name(node.id)
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return Number(node.value)
    if isinstance(node, ast.UnaryOp):
        item = as_value(node.operand)
        return Negative(item) if isinstance(node.op, ast.USub) else item
    if isinstance(node, ast.Call):
        return Call("max", tuple(map(as_value, node.args)))
    assert isinstance(node, ast.BinOp)
    return Binary(_SYMBOLS[type(node.op)], as_value(node.left), as_value(node.right))


@given(filter_texts)
def test_filters_bind_as_in_python(text: str) -> None:
    # in brackets Python takes line breaks for space, as we do everywhere
    assert read_filter(text, Collector()) == as_filter(ast.parse(f"({text})", mode="eval").body)


@given(value_texts)
def test_values_bind_as_in_python(text: str) -> None:
    assert repr(read_value(text, Collector())) == repr(as_value(ast.parse(f"({text})", mode="eval").body))


def atoms(node: Filter) -> Iterator[Filter]:
    """`node` and all that is in it."""
    yield node
    inner = node.items if isinstance(node, And | Or) else (node.item,) if isinstance(node, Not) else ()
    for item in inner:
        yield from atoms(item)


@given(filter_texts)
def test_the_place_of_a_filter_holds_its_text(text: str) -> None:
    node = read_filter(text, Collector())
    assert node is not None
    for part in atoms(node):
        assert part.span is not None
        assert read_filter(part.span.text, Collector()) == part


@given(value_texts)
def test_the_place_of_a_value_holds_its_text(text: str) -> None:
    node = read_value(text, Collector())
    assert node is not None
    for part in walk(node):
        assert part.span is not None
        assert read_value(part.span.text, Collector()) == part


@given(st.from_regex(r"[0-9]{1,12}(\.[0-9]{0,12})?", fullmatch=True), st.sampled_from(["k", "M", "B"]))
def test_a_suffix_multiplies_exactly(digits: str, suffix: str) -> None:
    exact = Fraction(digits) * {"k": 10**3, "M": 10**6, "B": 10**9}[suffix]
    number = parse_number(digits + suffix)
    if exact.denominator == 1:
        assert isinstance(number, int)
        assert number == exact
    else:
        assert number == float(exact)


# Whatever stands there

pieces = st.sampled_from(
    [
        *(
            "and",
            "or",
            "not",
            "norm",
            "ndim",
            "dtype",
            "shape[0]",
            "==",
            "<",
            "=",
            "!",
            "&",
            "|",
            "2",
            "float16",
            "a.b",
        ),
        *(
            ".",
            "..",
            "*",
            "**",
            "?",
            "[",
            "]",
            "{",
            "}",
            "{0..5}",
            "{a,b}",
            "{i}",
            "(",
            ")",
            "path(",
            "type(",
            "/",
            "\\",
        ),
        *(
            '"',
            "'",
            "base",
            "0.1x",
            "5%",
            "epochs",
            "k",
            "e",
            "x",
            "+",
            "-",
            "%",
            ",",
            "->",
            "over",
            "into",
            "per",
            "epoch",
        ),
        *(
            "warmup(",
            "cosine()",
            "to=",
            "for=",
            "shape=",
            "at=[",
            "hold",
            "1e999",
            "tokens",
            "min(",
            "true",
            " ",
            "é",
            "\0",
        ),
    ]
)
texts = st.text() | st.lists(pieces, max_size=12).map("".join) | st.lists(pieces, max_size=12).map(" ".join)


def check_reading(text: str, node: object, collector: Collector) -> None:
    """Either a node, or errors with a place in the text and words for it."""
    assert (node is None) == collector.failed
    for fault in collector.diagnostics:
        assert fault.message
        assert not fault.message[0].isupper()
        assert not fault.message.endswith(".")
        assert 1 <= fault.line <= text.count("\n") + 1
        assert 1 <= fault.column <= len(Source("", text).line(fault.line)) + 2
        assert (fault.end_line, fault.end_column) >= (fault.line, fault.column)
        assert str(fault)


@given(texts)
@example("/\ud800/")
@example('path("\ud800")')
def test_any_text_as_a_filter(text: str) -> None:
    collector = Collector()
    check_reading(text, read_filter(text, collector), collector)


@given(texts, st.booleans())
def test_any_text_as_a_path(text: str, index: bool) -> None:
    collector = Collector()
    check_reading(text, parse_path(as_text(text), collector, index=index), collector)


@given(texts, st.booleans())
def test_any_text_as_a_value(text: str, base: bool) -> None:
    collector = Collector()
    node = parse_value(as_text(text), collector, names=NAMES, base=base, attributes=KNOWN.attributes)
    check_reading(text, node, collector)


@given(texts, st.booleans())
def test_any_text_as_a_policy(text: str, base: bool) -> None:
    collector = Collector()
    check_reading(
        text,
        parse_policy(
            as_text(text), collector, names=NAMES, base=base, attributes=KNOWN.attributes, phases=KNOWN.policies
        ),
        collector,
    )
