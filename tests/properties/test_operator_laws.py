"""What holds for `over`, `into` and `*`, whatever they join: shifts, neutral factors, constants, scaling, copies."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optplan.resolve.curve_record import from_data
from tests.resolve.making import curve, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.resolve.curve import Curve

RUN: dict[str, Any] = {"epochs": 100, "steps_per_epoch": 10, "samples_per_step": 8}

LENGTHS = st.one_of(
    st.integers(1, 60).map(str),
    st.integers(1, 600).map(lambda tenths: f"{tenths / 10}"),
    st.tuples(st.integers(1, 100), st.integers(1, 9)).map(lambda pair: f"{pair[0]} / {pair[1]}"),
    st.integers(1, 6).map(lambda percent: f"{percent}%"),
    st.integers(1, 480).map(lambda samples: f"{samples} samples"),
)
RATIOS = st.sampled_from(["0x", "0.1x", "0.5x", "1x", "2x"])
NUMBERS = st.sampled_from(["1e-3", "0.25", "max(0.1x, 1e-2)"])
PHASES = [
    "hold({n}, at={a})",
    "warmup({n}, from={a})",
    "warmup({n}, start=1, shape=cosine)",
    "linear({n}, from=1x, to={a})",
    "cosine({n}, from={a}, to={b})",
    "poly({n}, from={a}, to={b}, power=2)",
    "step({n}, from={a}, every=7, gamma=0.5)",
    "multistep({n}, from={a}, at=[3, 5.5, 20], gamma=0.1)",
]


def phase_of(levels: st.SearchStrategy[str], lengths: st.SearchStrategy[str] = LENGTHS) -> st.SearchStrategy[str]:
    """A phase with a duration, which depends on nothing that stands before it."""
    return st.builds(lambda text, n, a, b: text.format(n=n, a=a, b=b), st.sampled_from(PHASES), lengths, levels, levels)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Two policies with `->`, `over` or `into` between them."""
    return st.builds(
        lambda left, word, right: f"({left}) {word} ({right})", inner, st.sampled_from(["->", "over", "into"]), inner
    )


ratio_phases = phase_of(RATIOS)
ratios = st.recursive(
    ratio_phases, lambda inner: joined(inner) | st.builds("({}) * ({})".format, inner, inner), max_leaves=4
)
policies = st.recursive(
    phase_of(RATIOS | NUMBERS),
    lambda inner: joined(inner) | st.builds("({}) * ({})".format, inner, ratios),
    max_leaves=4,
)
OWN = st.sampled_from([0.0, 1e-3, 0.3, 1.0, 7.0])
TIMES = st.integers(0, 400)


def made(text: str) -> Curve:
    """The curve; decays from 0 to 0 and tiny warm-ups may be warned of.

    What is longer than the run, and a decay to 0 within one update, are not drawn: they are faults.
    """
    found, diagnostics = resolved(text, **RUN)
    codes = {(each.code, each.severity) for each in diagnostics}
    assume(not codes & {("OP403", "error"), ("OP404", "error")})
    assert codes <= {("OP403", "warning"), ("OP405", "warning")}
    assert found is not None
    return found


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def length_of(text: str) -> Fraction:
    """The updates that a duration stands for in `RUN`."""
    number = Fraction(text.removesuffix("%").removesuffix(" samples").replace(" ", ""))
    return number * 10 if text.endswith("%") else number / 8 if text.endswith("samples") else number


@given(policy=policies, begin=st.integers(1, 50), own=OWN, t=TIMES)
def test_in_a_sequence_a_policy_is_itself_shifted(policy: str, begin: int, own: float, t: int) -> None:
    alone = made(policy)
    assert made(f"hold({begin}) -> ({policy})").value(begin + t, own) == near(alone.value(t, own))


@given(policy=policies, other=policies, own=OWN, t=TIMES)
def test_what_comes_first_is_not_changed_by_what_follows(policy: str, other: str, own: float, t: int) -> None:
    chain, alone = made(f"({policy}) -> ({other})"), made(policy)
    longest = made(f"({policy}) -> hold(at=1e9)")
    if longest.value(t, own) != 1e9:
        assert chain.value(t, own) == near(alone.value(t, own))


@given(policy=policies, own=OWN, t=TIMES)
def test_holding_on_is_what_happens_anyway(policy: str, own: float, t: int) -> None:
    assert made(f"({policy}) -> hold()").value(t, own) == near(made(policy).value(t, own))


@given(policy=policies, ratio=ratios)
def test_times_one_is_the_policy_itself(policy: str, ratio: str) -> None:
    assert made(f"({policy}) * hold(at=1x)") == made(policy)
    assert made(f"hold(at=1x) * ({ratio})") == made(ratio)


@given(first=ratios, second=ratios, own=OWN, t=TIMES)
def test_ratios_are_multiplied(first: str, second: str, own: float, t: int) -> None:
    found = made(f"({first}) * ({second})")
    assert found.relative
    assert found.factor(t) == near(made(first).factor(t) * made(second).factor(t))
    assert made(f"({second}) * ({first})").value(t, own) == near(found.value(t, own))


@given(first=policies, second=ratios, own=OWN, t=TIMES)
def test_a_ratio_multiplies_whatever_it_is(first: str, second: str, own: float, t: int) -> None:
    found = made(f"({first}) * ({second})")
    assert found.value(t, own) == near(made(first).value(t, own) * made(second).factor(t))


@given(policy=policies, level=RATIOS | NUMBERS, own=OWN, t=TIMES)
def test_over_a_constant_is_before_it(policy: str, level: str, own: float, t: int) -> None:
    """Where nothing moves it makes no difference from when on it has run."""
    over, then = made(f"({policy}) over hold(at={level})"), made(f"({policy}) -> hold(at={level})")
    assert over == then
    assert over.value(t, own) == then.value(t, own)


@given(first=ratio_phases, second=policies, length=LENGTHS, own=OWN, t=TIMES)
def test_over_and_arrow_agree_after_a_constant(first: str, second: str, length: str, own: float, t: int) -> None:
    """`a over (hold -> b)`, where a and hold last equally long, is `a -> b`."""
    name, _, rest = first.partition("(")
    first = f"{name}({length}{rest[rest.index(',') :]}"
    over, then = made(f"{first} over (hold({length}) -> ({second}))"), made(f"{first} -> ({second})")
    assert over.value(t, own) == near(then.value(t, own))


@given(first=policies, second=policies, own=OWN, t=TIMES)
def test_over_has_the_first_then_the_second(first: str, second: str, own: float, t: int) -> None:
    governs = made(f"({first}) -> hold(at=1e9)").value(t, own) != 1e9
    expected = made(first if governs else second)
    assert made(f"({first}) over ({second})").value(t, own) == near(expected.value(t, own))


@given(length=LENGTHS, first=ratios, second=policies, own=OWN, t=TIMES)
def test_into_lies_between_and_then_is_the_second(length: str, first: str, second: str, own: float, t: int) -> None:
    both = made(f"hold({length}, at=2x) * ({first}) into ({second})")
    left, right = made(f"hold({length}, at=2x) * ({first})"), made(second)
    ends = left.value(t, own), right.value(t, own)
    assert min(ends) * (1 - 1e-12) - 1e-15 <= both.value(t, own) <= max(ends) * (1 + 1e-12) + 1e-15
    done = made(f"(hold({length}, at=2x) * ({first})) -> hold(at=1e9)").value(t, own) == 1e9
    if done:
        assert both.value(t, own) == near(ends[1])


@given(length=LENGTHS, level=RATIOS | NUMBERS, second=policies, own=OWN, t=TIMES)
def test_into_is_a_line_from_a_constant(length: str, level: str, second: str, own: float, t: int) -> None:
    found = made(f"hold({length}, at={level}) into ({second})").value(t, own)
    a, b = made(f"hold(at={level})").value(0, own), made(second).value(t, own)
    assert found == near(a + (b - a) * min(float(t / length_of(length)), 1.0))


@given(policy=policies, own=OWN, order=st.lists(TIMES, min_size=1, max_size=30))
def test_values_do_not_depend_on_the_order_of_questions(policy: str, own: float, order: list[int]) -> None:
    found = made(policy)
    asked = {t: found.value(t, own) for t in order}
    again = made(policy)
    assert {t: again.value(t, own) for t in sorted(order, reverse=True)} == asked


@given(policy=ratios, own=OWN, factor=st.sampled_from([0.5, 2.0, 1024.0]), t=TIMES)
def test_ratios_scale_with_the_own_value(policy: str, own: float, factor: float, t: int) -> None:
    found = made(policy)
    assert found.relative
    assert found.value(t, factor * own) == factor * found.value(t, own) == factor * (own * found.factor(t))


numbers = phase_of(st.sampled_from(["0", "1e-3", "0.25", "2"])).filter(lambda text: not text.startswith("warmup"))


@given(policy=st.recursive(numbers, joined, max_leaves=4), t=TIMES)
def test_numbers_do_not_scale_with_the_own_value(policy: str, t: int) -> None:
    found = made(policy.replace("from=1x", "from=1"))
    assert found.value(t, 0.3) == found.value(t, 3.0)


@given(policy=policies, own=OWN)
def test_copies_are_equal(policy: str, own: float) -> None:
    found = made(policy)
    again = from_data(json.loads(json.dumps(found.to_data(), allow_nan=False)))
    assert again == found == made(policy)
    assert hash(again) == hash(found)
    assert [again.value(t, own) for t in range(0, 300, 7)] == [found.value(t, own) for t in range(0, 300, 7)]


WHOLE = st.integers(1, 60).map(str)
whole = st.recursive(
    phase_of(RATIOS | NUMBERS, WHOLE),
    lambda inner: joined(inner) | st.builds("({}) * ({})".format, inner, phase_of(RATIOS, WHOLE)),
    max_leaves=4,
)


@given(policy=whole, own=OWN)
def test_values_lie_between_the_extremes(policy: str, own: float) -> None:
    found = made(policy)
    reached = found.extremes(own)
    values = [found.value(t, own) for t in range(400)]
    assert all(map(isfinite, values))
    assert min(reached) * (1 - 1e-12) - 1e-300 <= min(values)
    assert max(values) <= max(reached) * (1 + 1e-12)


@given(policy=policies, own=OWN, later=st.integers(0, 10**12))
def test_the_last_value_stands(policy: str, own: float, later: int) -> None:
    found = made(policy)
    settled = found.settled
    assert settled is not None
    end = ceil(settled)
    assert found.value(end + later, own) == near(found.value(end, own)) == near(found.before(None, own))


@given(policy=policies, per=st.sampled_from([1, 2, 5, 10]), t=TIMES, own=OWN)
def test_per_epoch_is_the_policy_at_whole_epochs(policy: str, per: int, t: int, own: float) -> None:
    assume("%" not in policy and "samples" not in policy)
    smooth, _ = resolved(policy, steps=1000)
    stepping, _ = resolved(f"({policy}) per epoch", epochs=1000, steps_per_epoch=per)
    assume(smooth is not None)
    assert smooth is not None
    assert stepping is not None
    assert stepping.value(t, own) == near(smooth.value(t // per, own))


JOINS: list[Callable[[str, str], str]] = ["({}) over ({})".format, "({}) into ({})".format, "({}) * ({})".format]


@given(first=ratios, second=ratios, join=st.sampled_from(JOINS), own=OWN, t=TIMES)
def test_base_is_what_it_stands_for(
    first: str, second: str, join: Callable[[str, str], str], own: float, t: int
) -> None:
    """`a over base` after a policy is `a over` that policy, and so on."""
    written = made(join(first, second))
    found, diagnostics = resolved(join(first, "base"), before=made(second), **RUN)
    assert all(each.severity == "warning" for each in diagnostics)
    assert found is not None
    assert found.value(t, own) == near(written.value(t, own))
    assert curve("base", before=found, **RUN) == found
