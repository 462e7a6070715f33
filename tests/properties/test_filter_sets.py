"""Filters are sets of parameters: `and`, `or` and `not` obey their laws, and each atom means what it says.

What optplan selects is compared with the judge of `tests/networks/by_hand.py`, which uses nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optplan
from tests.networks.architectures import BUILDERS, build, names_of
from tests.networks.by_hand import OPERATORS, PREDICATES, Seen, attribute_by_hand, covers, network, seen, selected

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Filter:
    """A text, and what it means for one parameter."""

    text: str
    holds: Callable[[Seen], bool]

    def set(self, architecture: str) -> frozenset[str]:
        return frozenset(name for name, it in seen(architecture).items() if self.holds(it))


def conjunction(a: Filter, b: Filter) -> Filter:
    return Filter(f"({a.text} and {b.text})", lambda it: a.holds(it) and b.holds(it))


def disjunction(a: Filter, b: Filter) -> Filter:
    return Filter(f"({a.text} or {b.text})", lambda it: a.holds(it) or b.holds(it))


def complement(a: Filter) -> Filter:
    return Filter(f"not {a.text}", lambda it: not a.holds(it))


def path(pattern: str, *, called: bool = False) -> Filter:
    text = f"path({pattern})" if called or pattern in PREDICATES else pattern
    return Filter(text, lambda it: it.anywhere(lambda name, _: covers(pattern, name)))


predicates = st.sampled_from([Filter(name, holds) for name, holds in PREDICATES.items()])


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    attribute = draw(st.sampled_from(["ndim", "numel", "fan_in", "fan_out", "shape[0]", "shape[1]", "shape[-1]"]))
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    number = draw(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 24, 32, 100, 256, 512]))

    def holds(it: Seen) -> bool:
        have = attribute_by_hand(attribute, it)
        return have is not None and bool(OPERATORS[operator](have, number))

    return Filter(f"{attribute} {operator} {number}", holds)


def pieces(segment: str) -> st.SearchStrategy[str]:
    """Patterns of one segment that match it, or nearly."""
    letter = st.integers(0, len(segment) - 1)
    ways = [
        st.just(segment),
        st.just("*"),
        st.just("**"),
        st.just("?" * len(segment)),
        letter.map(lambda k: segment[:k] + "*"),
        letter.map(lambda k: "*" + segment[k:]),
        # What stands before the star and what stands after it may not be the same character.
        letter.map(lambda k: segment[: k + 1] + "*" + segment[k:]),
        letter.map(lambda k: segment[:k] + "?" + segment[k + 1 :]),
        letter.map(lambda k: segment[:k] + f"[{segment[k]}0z]" + segment[k + 1 :]),
        st.just(f"{{{segment},weight}}"),
        st.just(f"{{other,{segment[:1]}*}}"),
        st.just(segment + "?"),
        st.just(segment[:-1] or "x"),
    ]
    if segment.isdigit():
        number = int(segment)
        ways += [
            st.integers(0, number).map(lambda low: f"{{{low}..{number}}}"),
            st.integers(number, 12).map(lambda high: f"{{{number}..{high}}}"),
            st.just(f"{{{number + 1}..{number + 9}}}"),
            st.just("[0-9]"),
            st.just(f"{segment[0]}*"),
        ]
    return st.one_of(ways)


@st.composite
def paths(draw: st.DrawFn, architecture: str) -> Filter:
    every = [name for names in names_of(build(architecture)).values() for name in names]
    segments = draw(st.sampled_from(every)).split(".")
    deep = draw(st.booleans())
    start = draw(st.integers(0, len(segments) - 1)) if deep else 0
    end = draw(st.integers(start + 1, len(segments)))
    pattern = ".".join(draw(pieces(segment)) for segment in segments[start:end])
    return path(f".{pattern}" if deep else pattern, called=draw(st.booleans()))


def filters(architecture: str) -> st.SearchStrategy[Filter]:
    atoms = st.one_of(predicates, comparisons(), paths(architecture))
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(conjunction, inner, inner), st.builds(disjunction, inner, inner), inner.map(complement)
        ),
        max_leaves=6,
    )


architectures = st.sampled_from(sorted(BUILDERS))


# Laws


LAWS = {
    "idempotence of and": ("({a}) and ({a})", "{a}"),
    "idempotence of or": ("({a}) or ({a})", "{a}"),
    "commutativity of and": ("({a}) and ({b})", "({b}) and ({a})"),
    "commutativity of or": ("({a}) or ({b})", "({b}) or ({a})"),
    "associativity of and": ("(({a}) and ({b})) and ({c})", "({a}) and (({b}) and ({c}))"),
    "associativity of or": ("(({a}) or ({b})) or ({c})", "({a}) or (({b}) or ({c}))"),
    "absorption by and": ("({a}) and (({a}) or ({b}))", "{a}"),
    "absorption by or": ("({a}) or (({a}) and ({b}))", "{a}"),
    "distributivity of and": ("({a}) and (({b}) or ({c}))", "(({a}) and ({b})) or (({a}) and ({c}))"),
    "distributivity of or": ("({a}) or (({b}) and ({c}))", "(({a}) or ({b})) and (({a}) or ({c}))"),
    "De Morgan, and": ("not (({a}) and ({b}))", "not ({a}) or not ({b})"),
    "De Morgan, or": ("not (({a}) or ({b}))", "not ({a}) and not ({b})"),
    "double negation": ("not not ({a})", "{a}"),
    "excluded middle": ("({a}) or not ({a})", "all"),
    "contradiction": ("({a}) and not ({a})", "not all"),
    "identity of and": ("({a}) and all", "{a}"),
    "identity of or": ("({a}) or not all", "{a}"),
    "domination of and": ("({a}) and not all", "not all"),
    "domination of or": ("({a}) or all", "all"),
    "and before or, right": ("({a}) or ({b}) and ({c})", "({a}) or (({b}) and ({c}))"),
    "and before or, left": ("({a}) and ({b}) or ({c})", "(({a}) and ({b})) or ({c})"),
    "not before and": ("not ({a}) and ({b})", "(not ({a})) and ({b})"),
    "not before or": ("not ({a}) or ({b})", "(not ({a})) or ({b})"),
}


@pytest.mark.parametrize(("left", "right"), LAWS.values(), ids=LAWS)
@given(data=st.data(), architecture=architectures)
@settings(max_examples=25, deadline=None)
def test_law(left: str, right: str, data: st.DataObject, architecture: str) -> None:
    a, b, c = (data.draw(filters(architecture)).text for _ in range(3))
    one, other = selected(architecture, left.format(a=a, b=b, c=c), right.format(a=a, b=b, c=c))
    assert one == other


@given(data=st.data(), architecture=architectures)
@settings(max_examples=60, deadline=None)
def test_the_order_of_alternatives_is_irrelevant(data: st.DataObject, architecture: str) -> None:
    parts = [each.text for each in data.draw(st.lists(filters(architecture), min_size=2, max_size=5))]
    shuffled = data.draw(st.permutations(parts))
    for word in (" or ", " and "):
        one, other = selected(architecture, word.join(parts), word.join(shuffled))
        assert one == other


@given(data=st.data(), architecture=architectures)
@settings(max_examples=300, deadline=None)
def test_a_filter_selects_what_its_words_say(data: st.DataObject, architecture: str) -> None:
    where = data.draw(filters(architecture))
    (found,) = selected(architecture, where.text)
    assert found == where.set(architecture)


@given(data=st.data(), architecture=architectures)
@settings(max_examples=100, deadline=None)
def test_a_set_means_its_filter(data: st.DataObject, architecture: str) -> None:
    one, other = data.draw(filters(architecture)), data.draw(filters(architecture))
    document = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "weight_decay": 0},
        "sets": {"second": "first or chosen", "first": one.text, "chosen": other.text},
        "rules": [
            {"where": "all", "freeze": False},
            {"where": "not second", "optional": True, "weight_decay": 0.5},
        ],
    }
    plan = optplan.plan(document, network(architecture))
    marked = {name for name in plan.names if plan.parameter(name).settings["weight_decay"] == 0.5}
    assert marked == set(plan.names) - one.set(architecture) - other.set(architecture)


@given(data=st.data(), architecture=architectures)
@settings(max_examples=150, deadline=None)
def test_a_path_covers_what_it_names_and_all_below(data: st.DataObject, architecture: str) -> None:
    drawn = data.draw(st.lists(paths(architecture), min_size=1, max_size=5))
    found = selected(architecture, *(each.text for each in drawn))
    assert found == [each.set(architecture) for each in drawn]
