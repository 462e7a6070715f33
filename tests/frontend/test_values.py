"""Values in three tables: what they mean, what is odd yet legal, what fails at which column with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optplan.catalog import catalog
from optplan.diagnostics import Collector, Diagnostic
from optplan.expression import Binary, Call, Constant, Element, Listing, Name, Negative, Number, Ratio, Value
from optplan.frontend.values import parse_value
from optplan.source import Source, Text

if TYPE_CHECKING:
    from types import EllipsisType

ONE, TWO, THREE = Number(1), Number(2), Number(3)
BASE, BATCH, LAYER, LAYERS = (Name(name) for name in ("base", "batch", "layer", "layers"))

MEANINGS: list[tuple[str, Value]] = [
    ("1", ONE),
    ("0.05", Number(0.05)),
    ("5e-4", Number(0.0005)),
    ("1E+2", Number(100.0)),
    ("10k", Number(10_000)),
    ("0.5M", Number(500_000)),
    ("2B", Number(2_000_000_000)),
    ("1.2345k", Number(1234.5)),
    ("0.1x", Ratio(0.1)),
    ("0x", Ratio(0)),
    ("1e-2x", Ratio(0.01)),
    ("2kx", Ratio(2000)),
    ("batch", BATCH),
    ("base", BASE),
    ("fan_in", Name("fan_in")),
    ("shape[0]", Element("shape", 0)),
    ("shape[-1]", Element("shape", -1)),
    ("true", Constant(value=True)),
    ("false", Constant(value=False)),
    ("null", Constant(None)),
    ("-1", Negative(ONE)),
    ("1 + 2 * 3", Binary("+", ONE, Binary("*", TWO, THREE))),
    ("(1 + 2) * 3", Binary("*", Binary("+", ONE, TWO), THREE)),
    ("1 - 2 - 3", Binary("-", Binary("-", ONE, TWO), THREE)),
    ("1 / 2 * 3", Binary("*", Binary("/", ONE, TWO), THREE)),
    ("2 ** 3 ** 2", Binary("**", TWO, Binary("**", THREE, TWO))),
    ("-2 ** 2", Negative(Binary("**", TWO, TWO))),
    ("2 ** -1", Binary("**", TWO, Negative(ONE))),
    ("-1 * 2", Binary("*", Negative(ONE), TWO)),
    ("sqrt(batch)", Call("sqrt", (BATCH,))),
    ("log(2)", Call("log", (TWO,))),
    ("min(1, 2, 3)", Call("min", (ONE, TWO, THREE))),
    ("max(1, round(2))", Call("max", (ONE, Call("round", (TWO,))))),
    ("[0.9, 0.999]", Listing((Number(0.9), Number(0.999)))),
    ("[base, null]", Listing((BASE, Constant(None)))),
    (
        "base * 0.75 ** (layers - 1 - layer)",
        Binary("*", BASE, Binary("**", Number(0.75), Binary("-", Binary("-", LAYERS, ONE), LAYER))),
    ),
]

ODD: list[tuple[str, Value]] = [
    ("  1  ", ONE),
    ("((1))", ONE),
    ("+1", ONE),
    ("--1", Negative(Negative(ONE))),
    ("1 - -1", Binary("-", ONE, Negative(ONE))),
    ("1.", Number(1.0)),
    (".5", Number(0.5)),
    ("010", Number(10)),
    ("1e3", Number(1000.0)),
    ("0.1k", Number(100)),
    ("2**.5", Binary("**", TWO, Number(0.5))),
    ("2 ** 0.1x", Binary("**", TWO, Ratio(0.1))),
    ("0.1x / 2", Binary("/", Ratio(0.1), TWO)),
    ("min(1, 2,)", Call("min", (ONE, TWO))),
    ("[1,]", Listing((ONE,))),
    ("[]", Listing(())),
    ("sqrt (2)", Call("sqrt", (TWO,))),
    ("shape [ - 1 ]", Element("shape", -1)),
    ("1\n+ 2", Binary("+", ONE, TWO)),
    ("x1", Name("x1")),
]

OTHER_NAME = "what stood before is `base`, ten times that `10x`; other names are defined under `let`"

FAULTS = [
    ("", "^", "OP301", "expected a number or an expression, found nothing", None),
    ("1 +", "   ^", "OP301", "expected a number or a name after `+`", None),
    ("* 2", "^", "OP301", "expected a number or a name, found `*`", None),
    ("(1 + 2", "^", "OP301", "`(` is never closed", "add a `)`"),
    ("1 + 2)", "     ^", "OP301", "`)` closes nothing", "remove it, or open it before"),
    ("[1, (2]", "    ^", "OP301", "`(` is never closed", "add a `)`"),
    ("2 3", "  ^", "OP301", "expected an operator after `2`, found `3`", "write `2 * 3` for a product"),
    ("2 batch", "  ^^^^^", "OP301", "expected an operator after `2`, found `batch`", "write `2 * batch` for a product"),
    ("batch 2", "      ^", "OP301", "expected an operator after `batch`, found `2`", "write `batch * 2` for a product"),
    ("2 ^ 3", "  ^", "OP301", "`^` is no operator here", "write `**` for a power"),
    ("7 // 2", "   ^", "OP301", "expected a number or a name after `/`, found `/`", ...),
    ("batch % 2", "      ^", "OP301", "expected an operator after `batch`, found `%`", None),
    ("base = 3", "     ^", "OP301", "expected an operator after `base`, found `=`", None),
    ("1,5", " ^", "OP301", "expected an operator after `1`, found `,`", ...),
    ("min(,1)", "    ^", "OP301", "expected a number or a name after `(`, found `,`", None),
    ("1_000", "^^^^^", "OP301", "`1_000` is no number", ...),
    ("0x10", "^^^^", "OP301", "`0x10` is no number", ...),
    ("1e-x", "^^", "OP301", "`1e` is no number", ...),
    ("1.2.3", "   ^^", "OP301", "expected an operator after `1.2`, found `.3`", None),
    ("2 x", "^^^", "OP301", "a ratio is one word", "write `2x`"),
    ("1e999", "^^^^^", "OP107", "`1e999` is beyond every double", None),
    ("1 + 1e308k", "    ^^^^^^", "OP301", "`1e308k` is no number", ...),
    ("nan", "^^^", "OP302", "unknown name `nan`", OTHER_NAME),
    ("lr * 10", "^^", "OP302", "unknown name `lr`", OTHER_NAME),
    ("2 * bacth", "    ^^^^^", "OP302", "unknown name `bacth`", "did you mean `batch`?"),
    ("squirt(2)", "^^^^^^", "OP302", "unknown function `squirt`", "did you mean `sqrt`?"),
    ("1 + sqrt", "    ^^^^", "OP301", "the function `sqrt` without its arguments", "write `sqrt(...)`"),
    ("sqrt(1, 2)", "^^^^^^^^^^", "OP301", "`sqrt` takes one number, not 2", None),
    ("floor()", "^^^^^^^", "OP301", "`floor` takes one number, not 0", None),
    ("min(1)", "^^^^^^", "OP301", "`min` takes two numbers or more, not 1", None),
    ("shape", "^^^^^", "OP301", "`shape` has several sizes", "write `shape[0]` for the first of them"),
    ("ndim[0]", "^^^^^^^", "OP301", "`ndim` has no elements", "write `ndim`"),
    ("batch[0]", "^^^^^^^^", "OP301", "`batch` has no elements", "write `batch`"),
    ("shape[x]", "      ^", "OP301", "expected a whole number after `[`, found `x`", None),
    ("shape[1.5]", "       ^^", "OP301", "expected `]` after `1`, found `.5`", None),
    ("shape[1", "     ^", "OP301", "`[` is never closed", "add a `]`"),
    ("dtype", "^^^^^", "OP301", "`dtype` is a word, and no number", "compare it in a rule's `where`"),
    ("1 + true", "    ^^^^", "OP301", "expected a value, found `true`", None),
    ('"word"', "^^^^^^", "OP301", "expected a value, found the text `word`", None),
    ('"word', "^", "OP301", '`"` is never closed', ...),
    ("[1] * 2", "^^^", "OP301", "expected a value, found a list", None),
    ("[1, [2]]", "    ^^^", "OP301", "expected a value, found a list", None),
    ("5 epochs", "^^^^^^^^", "OP301", "expected a value, found the duration `5 epochs`", None),
    ("2 * 10%", "    ^^^", "OP301", "expected a value, found the duration `10%`", ...),
    ("1 / 0.1x", "    ^^^^", "OP306", "the ratio `0.1x` may not stand right of `/`", ...),
    ("1 / -(0.1x)", "    ^^^^^^^", "OP306", "the ratio `-0.1x` may not stand right of `/`", ...),
    ("0.1x ** 2", "^^^^", "OP306", "the ratio `0.1x` may not stand left of `**`", ...),
]


def parse(value: str, *, base: bool = True) -> tuple[Value | None, tuple[Diagnostic, ...]]:
    collector = Collector()
    text = Text(value, Source("x.optim.yaml", value), 0)
    names = ("batch", "x1")
    node = parse_value(text, collector, names=names, base=base, attributes=catalog().attributes)
    return node, collector.diagnostics


@pytest.mark.parametrize(("text", "node"), MEANINGS + ODD)
def test_meanings(text: str, node: Value) -> None:
    found, faults = parse(text)
    assert (found, faults) == (node, ())
    # 1 == 1.0 in Python, yet a whole number is written differently
    assert repr(found) == repr(node)


@pytest.mark.parametrize(("text", "marks", "code", "message", "cure"), FAULTS)
def test_faults(text: str, marks: str, code: str, message: str, cure: str | EllipsisType | None) -> None:
    node, faults = parse(text)
    assert node is None
    (fault,) = faults
    assert (fault.code, fault.message) == (code, message)
    assert " " * (fault.column - 1) + "^" * max(1, fault.end_column - fault.column) == marks
    if cure is not ...:
        assert fault.help == cure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1x", "`0.1x` is a ratio, and nothing stands before it to take it of"),
        ("base", "`base` has no meaning here"),
    ],
)
def test_where_nothing_stands_before(text: str, message: str) -> None:
    node, (fault,) = parse(text, base=False)
    assert (node, fault.code, fault.message) == (None, "OP306", message)


def test_every_fault_of_an_expression_is_reported() -> None:
    _, faults = parse("lr + 5 epochs * sqrt(1 / 2x)")
    assert [(fault.code, fault.column) for fault in faults] == [("OP302", 1), ("OP301", 6), ("OP306", 26)]


def test_places() -> None:
    node, _ = parse("(1 + shape[0]) * min( 2x , -3 )")
    assert isinstance(node, Binary)
    assert isinstance(node.left, Binary)
    assert isinstance(node.right, Call)
    nodes = (node, node.left, node.left.right, node.right, *node.right.arguments)
    assert [each.span.text for each in nodes if each.span is not None] == [
        "(1 + shape[0]) * min( 2x , -3 )",
        "1 + shape[0]",
        "shape[0]",
        "min( 2x , -3 )",
        "2x",
        "-3",
    ]


@pytest.mark.parametrize(
    "text", ["-" * 5000 + "1", "1 + " * 2000 + "1", "2**" * 3000 + "1", "min(1," * 1000 + "1" + ")" * 1000]
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    node, (fault,) = parse(text)
    assert (node, fault.code, fault.message) == (None, "OP301", "an expression nested more than 100 deep")


@pytest.mark.parametrize("text", ["9" * 9000, "9" * 9000 + ".5", "9" * 9000 + "k", "1e" + "9" * 9000])
def test_a_number_of_thousands_of_digits_is_refused(text: str) -> None:
    node, (fault,) = parse(text)
    assert (node, fault.code) == (None, "OP107")


def test_zeros_do_not_make_a_number_large() -> None:
    assert parse("0" * 9000 + "7")[0] == Number(7)
    assert parse("0." + "0" * 9000 + "7B")[0] == Number(0.0)
