"""Filters in three tables: what they mean, what is odd yet legal, what fails at which column with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optplan.catalog import catalog
from optplan.diagnostics import Collector, Diagnostic
from optplan.filter import And, Compare, Filter, Inside, Not, Or, Path, Predicate, Regex, SetName, TypeIs
from optplan.frontend.filters import parse_filter
from optplan.source import Source, Text

if TYPE_CHECKING:
    from types import EllipsisType

NORM, BIAS, LINEAR, ALL = (Predicate(name) for name in ("norm", "bias", "linear", "all"))
NO_DECAY = SetName("no_decay")


def path(text: str, *, anchored: bool = True, form: str = "bare") -> Path:
    """A path; its segments take no part in comparison and have a test of their own."""
    return Path(text, (), anchored, form)


MEANINGS: list[tuple[str, Filter]] = [
    ("norm", NORM),
    ("all", ALL),
    ("no_decay", NO_DECAY),
    ("with-hyphen", SetName("with-hyphen")),
    ("encoder", path("encoder")),
    ("encoder.layers.*.mlp", path("encoder.layers.*.mlp")),
    ("blocks.{0..5}.{up,down}_proj", path("blocks.{0..5}.{up,down}_proj")),
    (".self_attn.q_proj", path("self_attn.q_proj", anchored=False)),
    ("layer.0", path("layer.0")),
    ("norm.weight", path("norm.weight")),
    ("path(norm)", path("norm", form="call")),
    ("path(.norm.*)", path("norm.*", anchored=False, form="call")),
    ('path("odd name.1")', path("odd name.1", form="literal")),
    ("path('it.*')", path("it.*", form="literal")),
    (r'path("a \"b\" \\")', path('a "b" \\', form="literal")),
    ("/_embed$/", Regex("_embed$")),
    (r"/a\/b/", Regex("a/b")),
    (r"/\.\d+\./", Regex(r"\.\d+\.")),
    ("/(?i)norm and bias/", Regex("(?i)norm and bias")),
    ("type(LayerNorm)", TypeIs(("LayerNorm",))),
    ("type(LayerNorm, *RMSNorm)", TypeIs(("LayerNorm", "*RMSNorm"))),
    ("inside(torch.nn.MultiheadAttention)", Inside(("torch.nn.MultiheadAttention",))),
    ("ndim == 2", Compare("ndim", None, "==", 2)),
    ("ndim != 1", Compare("ndim", None, "!=", 1)),
    ("numel >= 1e6", Compare("numel", None, ">=", 1e6)),
    ("numel < 10k", Compare("numel", None, "<", 10_000)),
    ("numel > 1.5M", Compare("numel", None, ">", 1_500_000)),
    ("fan_in <= 0.5", Compare("fan_in", None, "<=", 0.5)),
    ("layer > -1", Compare("layer", None, ">", -1)),
    ("shape[0] == 1024", Compare("shape", 0, "==", 1024)),
    ("shape[-1] == 3", Compare("shape", -1, "==", 3)),
    ("dtype == float16", Compare("dtype", None, "==", "float16")),
    ("dtype != bfloat16", Compare("dtype", None, "!=", "bfloat16")),
    ("norm and bias", And((NORM, BIAS))),
    ("norm or bias or all", Or((NORM, BIAS, ALL))),
    ("not norm", Not(NORM)),
    ("not norm and bias", And((Not(NORM), BIAS))),
    ("not (norm and bias)", Not(And((NORM, BIAS)))),
    ("norm or bias and linear", Or((NORM, And((BIAS, LINEAR))))),
    ("(norm or bias) and linear", And((Or((NORM, BIAS)), LINEAR))),
    ("linear and ndim == 2 and not head", And((LINEAR, Compare("ndim", None, "==", 2), Not(path("head"))))),
]

ODD: list[tuple[str, Filter]] = [
    ("  norm\n or  bias ", Or((NORM, BIAS))),
    ("((norm))", NORM),
    ("not not norm", Not(Not(NORM))),
    ("(norm and bias) and all", And((And((NORM, BIAS)), ALL))),
    ("ndim==2 and bias", And((Compare("ndim", None, "==", 2), BIAS))),
    ("not(norm)", Not(NORM)),
    ("norm and(bias)", And((NORM, BIAS))),
    ("Norm", path("Norm")),
    ("norms", path("norms")),
    ("android or orange", Or((path("android"), path("orange")))),
    ("notable", path("notable")),
    ("and.or.not", path("and.or.not")),
    ("not-x", path("not-x")),
    ("path(and)", path("and", form="call")),
    ("type", path("type")),
    ("path", path("path")),
    ("2", path("2")),
    ("**", path("**")),
    ("**.norm", path("**.norm")),
    ("*bias", path("*bias")),
    ("ndim-1", path("ndim-1")),
    ("layer[0]", path("layer[0]")),
    ("path(ndim)", path("ndim", form="call")),
    ("path(shape[0])", path("shape[0]", form="call")),
    ('path(".odd name")', path("odd name", anchored=False, form="literal")),
    ("path ( norm )", path("norm", form="call")),
    ("type( A , B )", TypeIs(("A", "B"))),
    ("shape[+1]==2", Compare("shape", 1, "==", 2)),
    ("ndim == .5", Compare("ndim", None, "==", 0.5)),
    ("ndim == 002", Compare("ndim", None, "==", 2)),
    ("/ /", Regex(" ")),
    (r"/\\\//", Regex(r"\\/")),
]

FAULTS = [
    # an operand is missing
    ("", "^", "OP201", "expected a filter, found nothing", None),
    ("   ", "^^^", "OP201", "expected a filter, found nothing", None),
    ("norm and", "        ^", "OP201", "expected a filter after `and`", None),
    ("not  ", "   ^", "OP201", "expected a filter after `not`", None),
    ("norm and and bias", "         ^^^", "OP201", "expected a filter after `and`, found `and`", None),
    ("or norm", "^^", "OP201", "expected a filter, found `or`", None),
    ("()", " ^", "OP201", "expected a filter after `(`, found `)`", None),
    ("(norm or) and bias", "        ^", "OP201", "expected a filter after `or`, found `)`", None),
    ("norm and > 2", "         ^", "OP201", "expected a filter after `and`, found `>`", None),
    # an operator is missing
    ("norm bias", "     ^^^^", "OP201", "expected `and` or `or` after `norm`, found `bias`", None),
    ("norm not bias", "     ^^^", "OP201", "expected `and` or `or` after `norm`, found `not`", "write `and not`"),
    ("(norm) bias", "       ^^^^", "OP201", "expected `and` or `or` after `)`, found `bias`", None),
    ("/a/ /b/", "    ^^^", "OP201", "expected `and` or `or` after `/a/`, found `/b/`", None),
    # brackets
    ("(norm", "^", "OP201", "`(` is never closed", "add a `)`"),
    ("norm and (bias", "         ^", "OP201", "`(` is never closed", "add a `)`"),
    ("norm)", "    ^", "OP201", "`)` closes nothing", "remove it, or open it before"),
    ("]", "^", "OP202", "`]` closes nothing", "remove it, or open it before"),
    ("norm ]", "     ^", "OP201", "`]` closes nothing", "remove it, or open it before"),
    ("(norm ]", "^", "OP201", "`(` is never closed", "add a `)`"),
    ("type(A", "    ^", "OP201", "`(` is never closed", "add a `)`"),
    # operators of other languages
    ("norm & bias", "     ^", "OP201", "`&` is no operator here", "write `and`"),
    ("norm && bias", "     ^^", "OP201", "`&&` is no operator here", "write `and`"),
    ("norm AND bias", "     ^^^", "OP201", "`AND` is no operator here", "write `and`"),
    ("norm | bias", "     ^", "OP201", "`|` is no operator here", "write `or`"),
    ("norm || bias", "     ^^", "OP201", "`||` is no operator here", "write `or`"),
    ("norm OR bias", "     ^^", "OP201", "`OR` is no operator here", "write `or`"),
    ("norm, bias", "    ^", "OP201", "`,` is no operator here", "write `or`"),
    ("!norm", "^", "OP201", "`!` is no operator here", "write `not`"),
    ("norm and !(bias)", "         ^", "OP201", "`!` is no operator here", "write `not`"),
    ("NOT norm", "^^^", "OP201", "`NOT` is no operator here", "write `not`"),
    ("norm and NOT bias", "         ^^^", "OP201", "`NOT` is no operator here", "write `not`"),
    # comparisons
    ("ndim = 2", "     ^", "OP201", "`=` does not compare", "write `==`"),
    ("ndim === 2", "     ^^^", "OP201", "`===` does not compare", "write `==`"),
    ("ndim => 2", "     ^^", "OP201", "`=>` does not compare", "write `>=`"),
    ("ndim <> 2", "     ^^", "OP201", "`<>` does not compare", "write `!=`"),
    (
        "ndim",
        "^^^^",
        "OP201",
        "`ndim` is an attribute, and no filter alone",
        "compare it, as in `ndim == 2`; a path of this name is `path(ndim)`",
    ),
    (
        "norm and not dtype",
        "             ^^^^^",
        "OP201",
        "`dtype` is an attribute, and no filter alone",
        "compare it, as in `dtype == float16`; a path of this name is `path(dtype)`",
    ),
    (
        "shape[1]",
        "^^^^^^^^",
        "OP201",
        "`shape[1]` is an attribute, and no filter alone",
        "compare it, as in `shape[1] == 1024`; a path of this name is `path(shape[1])`",
    ),
    ("ndim <", "      ^", "OP201", "expected a number after `<`", None),
    ("dtype ==", "        ^", "OP201", "expected a dtype after `==`", None),
    ("ndim < two", "       ^^^", "OP201", "expected a number after `<`, found `two`", None),
    ("ndim < 2d", "       ^^", "OP201", "expected a number after `<`, found `2d`", None),
    ("ndim < 2and bias", "       ^^^^", "OP201", "expected a number after `<`, found `2and`", None),
    ("ndim < (2)", "       ^", "OP201", "expected a number after `<`, found `(`", None),
    ("ndim == 1e999", "        ^^^^^", "OP107", "`1e999` is beyond every double", None),
    (
        "1 < ndim < 3",
        "         ^",
        "OP201",
        "expected `and` or `or` after `ndim`, found `<`",
        "compare an attribute with one number, and join two comparisons with `and`",
    ),
    (
        "2 <= ndim",
        "^",
        "OP201",
        "expected an attribute before `<=`, found `2`",
        "write the attribute first: `ndim >= 2`",
    ),
    ("dim == 2", "^^^", "OP204", "unknown attribute `dim`", "did you mean `ndim`?"),
    ("a.b == 2", "^^^", "OP204", "unknown attribute `a.b`", ...),
    (
        "bias == 1",
        "^^^^",
        "OP201",
        "`bias` is a predicate, and is not compared",
        "a predicate stands alone: `bias` or `not bias`",
    ),
    ("shape == 2", "^^^^^", "OP201", "`shape` has several sizes", "write `shape[0]` for the first of them"),
    ("ndim[0] == 2", "^^^^^^^", "OP201", "`ndim` has no elements", "write `ndim`"),
    ("dtype < float16", "      ^", "OP201", "`dtype` has no order, and `<` asks for one", "use `==` or `!=`"),
    ("dtype == half", "         ^^^^", "OP201", "`half` is no dtype", "write `float16`"),
    ("dtype == torch.bfloat16", "         ^^^^^^^^^^^^^^", "OP201", "`torch.bfloat16` is no dtype", "write `bfloat16`"),
    ("dtype == flaot16", "         ^^^^^^^", "OP201", "`flaot16` is no dtype", ...),
    ("dtype == 16", "         ^^", "OP201", "`16` is no dtype", ...),
    # functions
    ("name(x)", "^^^^", "OP204", "unknown function `name`", "the functions are `path`, `type`, `inside`"),
    ("typ(A)", "^^^", "OP204", "unknown function `typ`", "did you mean `type`?"),
    (
        "norm (bias)",
        "^^^^",
        "OP204",
        "`norm` takes nothing in parentheses",
        "write `norm` alone, or join it to the parenthesis with `and` or `or`",
    ),
    ("type()", "     ^", "OP201", "expected a class name after `(`, found `)`", None),
    ("path()", "     ^", "OP201", "expected a path after `(`, found `)`", None),
    ("inside(", "       ^", "OP201", "expected a class name after `(`", None),
    ("type(A B)", "       ^", "OP201", "expected `,` or `)` after `A`, found `B`", None),
    ("type(A,)", "       ^", "OP201", "expected a class name after `,`, found `)`", None),
    ("path(a, b)", "        ^", "OP201", "`path` takes one path", "join two with `or`"),
    ('type("A")', "     ^^^", "OP201", "a class name stands without quotes", "write `A`"),
    ("type(A[0])", "     ^^^^", "OP202", "`A[0]` is no class name", ...),
    # texts, patterns, regular expressions
    (
        '"odd name"',
        "^^^^^^^^^^",
        "OP201",
        "a text in quotes is no filter",
        'for a path to the letter write `path("odd name")`',
    ),
    ('path("odd', "     ^", "OP201", '`"` is never closed', "put the same quote at the end of the text"),
    ('path("")', "     ^^", "OP202", "a path with an empty segment", ...),
    ('path("a..b")', "     ^^^^^^", "OP202", "a path with an empty segment", ...),
    (
        "a:b",
        " ^",
        "OP201",
        "`:` cannot stand in a path",
        'a path in quotes is taken to the letter: `path("a b")`',
    ),
    ("norm or a..b", "          ^", "OP202", "expected a name before `.`", "a dot stands between two names"),
    ("path(a.b**)", "        ^^", "OP202", "`**` must be a whole segment", ...),
    ("a.{up,down and bias", "  ^", "OP202", "`{` is never closed", "add a `}`"),
    ("(a.w[ab)", "    ^", "OP202", "`[` is never closed", "add a `]`"),
    (
        "blocks.{i}",
        "       ^^^",
        "OP202",
        "`{i}` numbers layers, and belongs to `layers`",
        "write `*` for any name, or numbers as in `{0..5}`",
    ),
    ("norm or /_embed", "        ^", "OP201", "`/` opens a regular expression that is never closed", ...),
    ("//", "^^", "OP202", "an empty regular expression", "`all` is every parameter"),
    ("norm or /a(b/", "        ^^^^^", "OP202", "not a regular expression of RE2: missing )", None),
    ("/x.**/", "   ^^", "OP202", "not a regular expression of RE2: bad repetition operator", None),
    (
        "/a(?=b)/",
        "  ^^^",
        "OP202",
        "not a regular expression of RE2: invalid perl operator",
        "RE2 has neither look-around nor back-references",
    ),
]


def parse(value: str) -> tuple[Filter | None, tuple[Diagnostic, ...]]:
    collector, known = Collector(), catalog()
    node = parse_filter(
        Text(value, Source("x.optim.yaml", value), 0),
        collector,
        sets=("no_decay", "with-hyphen"),
        predicates=known.predicates,
        attributes=known.attributes,
    )
    return node, collector.diagnostics


@pytest.mark.parametrize(("text", "node"), MEANINGS + ODD)
def test_meanings(text: str, node: Filter) -> None:
    assert parse(text) == (node, ())


@pytest.mark.parametrize(("text", "marks", "code", "message", "cure"), FAULTS)
def test_faults(text: str, marks: str, code: str, message: str, cure: str | EllipsisType | None) -> None:
    node, faults = parse(text)
    assert node is None
    (fault,) = faults
    assert (fault.code, fault.message) == (code, message)
    assert " " * (fault.column - 1) + "^" * max(1, fault.end_column - fault.column) == marks
    if cure is not ...:
        assert fault.help == cure


def test_every_fault_of_a_filter_is_reported() -> None:
    _, faults = parse("ndim or a..b or dtype == half or foo(x)")
    assert [(fault.code, fault.column) for fault in faults] == [
        ("OP201", 1),
        ("OP202", 11),
        ("OP201", 26),
        ("OP204", 34),
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("norm and  not bias", ["norm and  not bias", "norm", "not bias"]),
        ("(norm or bias) and path( head )", ["(norm or bias) and path( head )", "norm or bias", "path( head )"]),
        ("ndim == 2 or .a.b", ["ndim == 2 or .a.b", "ndim == 2", ".a.b"]),
        ("type(A, B) or /x/", ["type(A, B) or /x/", "type(A, B)", "/x/"]),
    ],
)
def test_places(text: str, parts: list[str]) -> None:
    node, _ = parse(text)
    assert isinstance(node, And | Or)
    assert [item.span.text for item in (node, *node.items) if item.span is not None] == parts


def test_places_inside_a_scalar_with_escapes() -> None:
    # in YAML's double quotes `\x26` is an ampersand, four characters of the file for one of the value
    source = Source("x.optim.yaml", r'where: "norm \x26 bias"')
    offsets = (*range(8, 13), 13, *range(17, 22), 22)
    collector = Collector()
    text = Text("norm & bias", source, 8, offsets)
    assert parse_filter(text, collector, sets=(), predicates=("norm", "bias"), attributes=()) is None
    (fault,) = collector.diagnostics
    assert (fault.message, fault.column) == ("`&` is no operator here", 14)


@pytest.mark.parametrize(
    "text",
    ["not " * 2400 + "norm", "(" * 4000 + "norm" + ")" * 4000, "not (" * 1000 + "norm" + ")" * 1000, "(" * 9_999],
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    node, (fault,) = parse(text)
    assert (node, fault.message) == (None, "an expression nested more than 100 deep")


def test_what_is_too_long_is_refused() -> None:
    node, (fault,) = parse("norm or " * 2000 + "bias")
    assert (node, fault.code) == (None, "OP006")
    assert fault.message == "an expression of 16004 characters; at most 10000 are read"


def test_a_long_filter_that_is_not_deep_is_fine() -> None:
    node, faults = parse(" or ".join(["norm"] * 1000))
    assert (node, faults) == (Or((NORM,) * 1000), ())
