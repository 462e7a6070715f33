"""Printing: the text of a node, read again, is an equal node, in all three expression languages."""

from __future__ import annotations

import keyword
import sys

from hypothesis import given
from hypothesis import strategies as st

from optplan.catalog import catalog
from optplan.diagnostics import Collector
from optplan.expression import (
    Argument,
    Before,
    Binary,
    Call,
    Constant,
    Element,
    Form,
    Into,
    Listing,
    Name,
    Negative,
    Number,
    Over,
    PerEpoch,
    Phase,
    Policy,
    Quantity,
    Ratio,
    Then,
    Times,
    Value,
)
from optplan.filter import (
    Among,
    And,
    Any,
    Choice,
    Compare,
    Filter,
    Index,
    Inside,
    Not,
    One,
    Or,
    Part,
    Path,
    Predicate,
    Range,
    Regex,
    SetName,
    TypeIs,
)
from optplan.frontend.filters import parse_filter
from optplan.frontend.forms import read_form
from optplan.frontend.patterns import parse_path
from optplan.frontend.policies import read_policy
from optplan.frontend.values import parse_value
from optplan.source import Source, Text

KNOWN = catalog()
SETS = ("no_decay", "heads-2")
NAMES = ("batch", "lr_max", "x")

words = st.text("abcdxyz_", min_size=1, max_size=4)
numbers = st.integers(0) | st.floats(0, sys.float_info.max)


# Paths, as pairs of a pattern's text and what it means

Written = tuple[str, tuple[Part, ...]]


def joined(parts: list[Written]) -> Written:
    """Parts side by side; two texts that meet are one."""
    meaning: list[Part] = []
    for _, (part,) in parts:
        if isinstance(part, str) and meaning and isinstance(meaning[-1], str):
            meaning[-1] += part
        else:
            meaning.append(part)
    return "".join(text for text, _ in parts), tuple(meaning)


def among(letters: list[str], *, negated: bool) -> Written:
    """`[ab]` or `[!a-b]`: two letters make a range."""
    ranges = tuple((min(letters[k : k + 2]), max(letters[k : k + 2])) for k in range(0, len(letters), 2))
    text = "".join(low if low == high else f"{low}-{high}" for low, high in ranges)
    return f"[{'!' if negated else ''}{text}]", (Among(ranges, negated),)


plain_parts = st.one_of(
    st.text("ab_-1é", min_size=1, max_size=3).map(lambda text: (text, (text,))),
    st.just(("?", (One(),))),
    st.builds(among, st.lists(st.sampled_from("abcxyz019"), min_size=1, max_size=5), negated=st.booleans()),
)


def with_stars(parts: list[Written], places: list[bool]) -> Written:
    """`*` before the parts where `places` says so: never two of them side by side."""
    star: Written = ("*", (Any(),))
    return joined(
        [one for part, place in zip(parts, places, strict=False) for one in ([star, part] if place else [part])]
    )


runs = st.builds(
    with_stars, st.lists(plain_parts, min_size=1, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3)
)
choices = (
    st.lists(runs, min_size=1, max_size=3)
    .map(
        lambda options: (
            "{" + ",".join(text for text, _ in options) + "}",
            (Choice(tuple(meaning for _, meaning in options)),),
        )
    )
    .filter(lambda written: written[0] != "{i}")
)
ranges = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(
    lambda ends: (f"{{{min(ends)}..{max(ends)}}}", (Range(min(ends), max(ends)),))
)
segments = st.one_of(
    runs,
    st.lists(plain_parts | choices | ranges, min_size=1, max_size=3).map(joined),
    st.just(("**", None)),
)
patterns = st.lists(segments, min_size=1, max_size=4).map(
    lambda found: (".".join(text for text, _ in found), tuple(meaning for _, meaning in found))
)


def is_bare(text: str) -> bool:
    """Whether a pattern means a path where it stands bare."""
    return text not in ("and", "or", "not", *SETS, *KNOWN.predicates, *KNOWN.attributes) and not text.startswith(
        "shape["
    )


def make_path(written: tuple[str, tuple[tuple[Part, ...] | None, ...]], form: str, *, anchored: bool) -> Path:
    bare = form == "bare" and (not anchored or is_bare(written[0]))
    return Path(*written, anchored, "bare" if bare else "call")


paths = st.builds(make_path, patterns, st.sampled_from(["bare", "call"]), anchored=st.booleans())
literals = st.builds(
    lambda names, anchored: Path(".".join(names), tuple((name,) for name in names), anchored, "literal"),
    st.lists(st.text("ab \"'\\*é(", min_size=1), min_size=1, max_size=3),
    st.booleans(),
)


# Filters

class_names = st.lists(st.text("ABc*?_1", min_size=1, max_size=4), min_size=1, max_size=3).map(".".join)
regexes = st.lists(
    st.sampled_from(["a", ".", r"\.", "/", r"\\", '"', "'", "[a/]", "(b)", "|", " ", "^", "$"]), min_size=1
)
comparisons = st.one_of(
    st.builds(
        Compare,
        st.sampled_from(["ndim", "numel", "fan_in", "fan_out", "layer"]),
        st.none(),
        st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]),
        st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.builds(Compare, st.just("shape"), st.integers(-9, 9), st.sampled_from(["<", "=="]), st.integers()),
    st.builds(
        Compare, st.just("dtype"), st.none(), st.sampled_from(["==", "!="]), st.sampled_from(["float16", "int8"])
    ),
)
atoms = st.one_of(
    st.sampled_from(sorted(KNOWN.predicates)).map(Predicate),
    st.sampled_from(SETS).map(SetName),
    paths,
    literals,
    regexes.map("".join).map(Regex),
    st.lists(class_names, min_size=1, max_size=3).map(lambda names: TypeIs(tuple(names))),
    st.lists(class_names, min_size=1, max_size=3).map(lambda names: Inside(tuple(names))),
    comparisons,
)


def several(node: type, of: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """A node of two to four items."""
    return st.lists(of, min_size=2, max_size=4).map(lambda items: node(tuple(items)))


filters = st.recursive(atoms, lambda inner: several(And, inner) | several(Or, inner) | inner.map(Not), max_leaves=8)


# Values

value_leaves = st.one_of(
    numbers.map(Number),
    numbers.map(Ratio),
    st.sampled_from([*NAMES, "base", "layers", "ndim", "layer"]).map(Name),
    st.builds(Element, st.just("shape"), st.integers(-9, 9)),
)


def is_ratio(value: Value) -> bool:
    """Whether `value` is a ratio, whatever its sign."""
    return is_ratio(value.item) if isinstance(value, Negative) else isinstance(value, Ratio)


def is_placed(value: Binary) -> bool:
    """Whether no ratio stands right of `/` or left of `**`."""
    side = {"/": value.right, "**": value.left}.get(value.operator)
    return side is None or not is_ratio(side)


def grow_value(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """Expressions over `inner`."""
    return st.one_of(
        inner.map(Negative),
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "**"]), inner, inner).filter(is_placed),
        st.builds(Call, st.sampled_from(["sqrt", "log", "floor", "ceil", "round"]), st.tuples(inner)),
        st.builds(Call, st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    )


expressions = st.recursive(value_leaves, grow_value, max_leaves=12)
constants = st.sampled_from([True, False, None]).map(Constant)
values = st.one_of(
    expressions, constants, st.lists(expressions | constants, max_size=3).map(lambda items: Listing(tuple(items)))
)


# Policies

quantities = st.builds(Quantity, numbers, st.sampled_from(["epochs", "%", "tokens", "samples"]))
free_words = words.filter(lambda word: not keyword.iskeyword(word))
argument_values = st.recursive(value_leaves | quantities | free_words.map(Name) | constants, grow_value, max_leaves=5)
arguments = st.builds(
    Argument,
    st.none() | words | st.sampled_from(["for", "from", "to", "over", "base"]),
    argument_values | st.lists(argument_values, max_size=3).map(lambda items: Listing(tuple(items))),
)
phases = st.builds(Phase, words | st.sampled_from(["base", "cosine"]), st.lists(arguments, max_size=3).map(tuple))
policies = st.recursive(
    phases | st.just(Before()),
    lambda inner: st.one_of(
        several(Then, inner),
        several(Times, inner),
        st.builds(Over, inner, inner),
        st.builds(Into, inner, inner),
        inner.map(PerEpoch),
    ),
    max_leaves=6,
)


def as_text(value: str) -> Text:
    return Text(value, Source("x.optim.yaml", value), 0)


@given(filters)
def test_filters(node: Filter) -> None:
    collector = Collector()
    found = parse_filter(
        as_text(str(node)), collector, sets=SETS, predicates=KNOWN.predicates, attributes=KNOWN.attributes
    )
    assert not collector.diagnostics
    assert found == node


@given(paths | literals)
def test_segments(node: Path) -> None:
    found = parse_filter(as_text(str(node)), Collector(), sets=(), predicates=(), attributes=())
    assert isinstance(found, Path)
    assert found.segments == node.segments


@given(patterns, st.booleans())
def test_entries_of_layers(written: tuple[str, tuple[tuple[Part, ...] | None, ...]], anchored: bool) -> None:
    text, meaning = written
    text, meaning = f"{text}.b{{i}}", (*meaning, ("b", Index()))
    node = Path(text, meaning, anchored)
    found = parse_path(as_text(str(node)), Collector(), index=True)
    assert found == node
    assert found.segments == meaning


@given(values)
def test_values(node: Value) -> None:
    collector = Collector()
    found = parse_value(as_text(str(node)), collector, names=NAMES, base=True, attributes=KNOWN.attributes)
    assert not collector.diagnostics
    assert found == node
    # 1 and 1.0 are equal, yet not the same number
    assert repr(found) == repr(node)


@given(policies)
def test_policies(node: Policy) -> None:
    collector = Collector()
    found = read_policy(as_text(str(node)), collector, phases=KNOWN.policies)
    assert not collector.diagnostics
    assert found == node
    assert repr(found) == repr(node)


@given(
    key=st.sampled_from(["clip", "loss_scale"]),
    node=st.builds(
        Form, words | st.sampled_from(["norm", "dynamic", "over"]), st.lists(arguments, max_size=3).map(tuple)
    ),
)
def test_forms(key: str, node: Form) -> None:
    collector = Collector()
    assert read_form(as_text(str(node)), collector, KNOWN.forms[key]) == node
    assert not collector.diagnostics
