"""What holds for every policy: its phases, its breakpoints, its copies, and texts that make no sense."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import accumulate
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optplan import ConfigError
from optplan.resolve.curve_record import from_data
from tests.resolve.making import curve, resolved

if TYPE_CHECKING:
    from optplan.resolve.curve import Curve

# A duration as it is written, and exactly.
DURATIONS = st.one_of(
    st.integers(1, 300).map(lambda number: (str(number), Fraction(number))),
    st.integers(1, 3000).map(lambda tenths: (f"{tenths / 10}", Fraction(tenths, 10))),
    st.tuples(st.integers(1, 300), st.integers(1, 9)).map(lambda pair: (f"{pair[0]} / {pair[1]}", Fraction(*pair))),
    st.integers(1, 30).map(lambda percent: (f"{percent}%", Fraction(percent * 1000, 100))),
    st.integers(1, 30).map(lambda epochs: (f"{epochs} epochs", Fraction(epochs * 10))),
)
RATIOS = st.sampled_from(["0x", "0.1x", "0.5x", "1x", "2x", "1e-3", "0.25"])
RUN: dict[str, Any] = {"epochs": 100, "steps_per_epoch": 10}


@st.composite
def phases(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A phase with its exact duration."""
    text, duration = draw(DURATIONS)
    kind = draw(
        st.sampled_from(["hold", "holds", "warmup", "warmups", "linear", "cosine", "poly", "exp", "step", "multistep"])
    )
    to, gamma = draw(RATIOS), draw(st.sampled_from(["0.1", "0.5", "1"]))
    arguments = {
        "hold": "",
        "holds": f", at={to}",
        "warmup": ", start=1",
        "warmups": f", from={to}, shape=cosine",
        "linear": f", to={to}",
        "cosine": f", to={to}",
        "poly": f", to={to}, power=2",
        "exp": ", from=1x, to=0.01x",
        "step": f", every=7, gamma={gamma}",
        "multistep": f", at=[3, 5.5, 40], gamma={gamma}",
    }
    name = kind.removesuffix("s") if kind in ("holds", "warmups") else kind
    return f"{name}({text}{arguments[kind]})", duration


CHAINS = st.lists(phases(), min_size=1, max_size=5)
OWN = st.sampled_from([0.0, 1e-3, 0.3, 1.0, 7.0])


def made(text: str) -> Curve:
    """The curve; decays from 0 and tiny warm-ups may be warned of, what does not fit into the run is not drawn."""
    found, diagnostics = resolved(text, **RUN)
    codes = {(each.code, each.severity) for each in diagnostics}
    assume(not codes & {("OP403", "error"), ("OP404", "error")})
    assert codes <= {("OP403", "warning"), ("OP405", "warning")}
    assert found is not None
    return found


@given(chain=CHAINS, own=OWN)
def test_a_chain_is_its_phases_one_after_the_other(chain: list[tuple[str, Fraction]], own: float) -> None:
    """Phase k governs the updates begin <= t < begin + duration, and counts from its own begin."""
    found = made(" -> ".join(text for text, _ in chain))
    begins = [Fraction(0), *accumulate(duration for _, duration in chain)]
    for place, (text, _) in enumerate(chain):
        begin, end = begins[place], begins[place + 1]
        # alone, from where the one before ended, which its own text may leave open
        if "from=" not in text and not text.startswith(("warmup", "hold")):
            continue
        if text.startswith("hold") and "at=" not in text:
            continue
        alone = made(text)
        for t in range(ceil(begin), min(ceil(end), ceil(begin) + 40)):
            assert found.value(t, own) == pytest.approx(alone.raw(float(t - begin), own), rel=1e-9, abs=1e-12)


@given(chain=CHAINS, own=OWN)
def test_each_phase_begins_where_the_one_before_ended(chain: list[tuple[str, Fraction]], own: float) -> None:
    """A phase that says no origin, put behind a chain that ends at a whole update, continues it without a jump."""
    length = sum(duration for _, duration in chain)
    assume(length.denominator == 1)
    before = " -> ".join(text for text, _ in chain)
    held = made(f"{before} -> hold(1)").value(int(length), own)
    for text in ("linear(10, to=0x)", "cosine(10, to=3x)", "poly(10, to=1e-3)", "step(10, every=20, gamma=0.1)"):
        assert made(f"{before} -> {text}").value(int(length), own) == held
    last = chain[-1][0]
    ends = {"warmup": own, "linear": None, "cosine": None, "poly": None}
    if last.startswith("warmup"):
        assert held == pytest.approx(ends["warmup"], rel=1e-15)
    elif last.startswith(("linear", "cosine", "poly")):
        to = last.partition("to=")[2].rstrip(")").partition(",")[0]
        target = float(to[:-1]) * own if to.endswith("x") else float(to)
        assert held == pytest.approx(target, rel=1e-15)
    elif last.startswith("hold"):
        assert held == made(before).value(int(length) - 1, own)


@given(chain=CHAINS, own=OWN, later=st.integers(0, 10**12))
def test_the_last_value_stands(chain: list[tuple[str, Fraction]], own: float, later: int) -> None:
    found = made(" -> ".join(text for text, _ in chain))
    end = ceil(sum(duration for _, duration in chain))
    assert found.value(end + later, own) == found.value(end, own)
    settled = found.settled
    assert settled is not None
    assert settled <= end
    assert found.value(ceil(settled), own) == pytest.approx(found.value(end, own), rel=1e-12)


@given(chain=CHAINS, own=OWN, t=st.integers(0, 2000))
def test_values_lie_between_the_extremes(chain: list[tuple[str, Fraction]], own: float, t: int) -> None:
    found = made(" -> ".join(text for text, _ in chain))
    reached = found.extremes(own)
    value = found.value(t, own)
    assert isfinite(value)
    assert min(reached) * (1 - 1e-12) - 1e-300 <= value <= max(reached) * (1 + 1e-12)


@given(chain=CHAINS, own=OWN, t=st.integers(0, 2000))
def test_a_curve_of_ratios_is_a_multiple_of_the_own_value(
    chain: list[tuple[str, Fraction]], own: float, t: int
) -> None:
    found = made(" -> ".join(text for text, _ in chain))
    if found.relative:
        assert found.value(t, own) == own * found.factor(t)
        assert found.value(t, 0.0) == 0.0
    assert found.value(t, own) == pytest.approx(found.raw(t, own), rel=1e-12)


@given(chain=CHAINS)
def test_copies_are_equal(chain: list[tuple[str, Fraction]]) -> None:
    text = " -> ".join(text for text, _ in chain)
    found = made(text)
    again = from_data(json.loads(json.dumps(found.to_data(), allow_nan=False)))
    assert again == found == made(text)
    assert hash(again) == hash(found)
    assert str(again) == str(found)


@given(chain=CHAINS, own=OWN)
def test_arrows_are_associative(chain: list[tuple[str, Fraction]], own: float) -> None:
    texts = [text for text, _ in chain]
    assume(len(texts) > 2)  # else there is nothing to group
    flat = made(" -> ".join(texts))
    left = made(f"({' -> '.join(texts[:2])}) -> {' -> '.join(texts[2:])}")
    right = made(f"{texts[0]} -> ({' -> '.join(texts[1:])})")
    assert flat == left == right
    assert flat.value(50, own) == left.value(50, own)


@given(chain=CHAINS, own=OWN, begin=DURATIONS)
def test_base_counts_from_its_own_start(
    chain: list[tuple[str, Fraction]], own: float, begin: tuple[str, Fraction]
) -> None:
    before = made(" -> ".join(text for text, _ in chain))
    text, duration = begin
    found = curve(f"hold({text}, at=0x) -> base", before=before, **RUN)
    for t in range(ceil(duration), ceil(duration) + 50):
        assert found.value(t, own) == pytest.approx(before.raw(float(t - duration), own), rel=1e-9, abs=1e-12)


@given(percent=st.integers(1, 100), steps=st.integers(1, 10**6))
def test_percentages_are_exact(percent: int, steps: int) -> None:
    """Update t is in the first p % of n exactly if 100 t < p n."""
    found = curve(f"hold({percent}%, at=2x) -> hold(at=3x)", steps=steps)
    edge = percent * steps // 100
    for t in {edge - 1, edge, edge + 1} - {-1}:
        assert (found.value(t, 1.0) == 2.0) == (100 * t < percent * steps)


@given(length=st.integers(1, 2000), epochs=st.integers(1, 300), t=st.integers(0, 10**6))
def test_per_epoch_is_the_policy_at_whole_epochs(length: int, epochs: int, t: int) -> None:
    run = {"epochs": epochs, "steps_per_epoch": length}
    stepping = curve("cosine(to=0.1x) per epoch", **run)
    smooth = curve(f"cosine({epochs}, to=0.1x)")
    assert stepping.value(t, 1.0) == smooth.value(t // length, 1.0)


WORDS = st.sampled_from(
    [
        *("warmup", "cosine", "linear", "step", "multistep", "exp", "poly", "hold", "base", "per epoch", "epochs"),
        *("to=", "from=", "at=", "every=", "gamma=", "start=", "power=", "for=", "0x", "1x", "0.1x", "1e300x"),
        *("(", ")", "->", ",", "[", "]", "+", "-", "*", "/", "min(", "max(", "floor("),
        *("5", "0", "-1", "1e308", "1e-308", "10%", "5 epochs", "0.5"),
    ]
)


@given(
    words=st.lists(WORDS, min_size=1, max_size=12), strict=st.booleans(), run=st.sampled_from([{}, RUN, {"steps": 3}])
)
def test_words_at_random_are_a_curve_or_faults(words: list[str], run: dict[str, Any], *, strict: bool) -> None:
    try:
        found, diagnostics = resolved(" ".join(words), strict=strict, **run)
    except ConfigError:
        return
    assert (found is None) <= bool(diagnostics)
    for t in (0, 1, 7, 10**6) if found is not None else ():
        assert found is not None
        found.value(t, 0.1)
        found.extremes(0.1)


NUMBERS = st.sampled_from(["0", "1", "2.5", "1e308", "1e-308", "5%", "3 epochs", "1e-5", "700", "-3", "1e15"])
LEVELS = st.sampled_from(["0x", "1x", "1e308x", "1e-320x", "0", "1e-308", "1e308", "2x * 3", "1x / 3", "max(1x, 2x)"])


@given(data=st.data(), own=st.sampled_from([0.0, 1e-300, 1.0, 1e300]))
def test_extreme_arguments_are_a_curve_or_faults(data: st.DataObject, own: float) -> None:

    def n() -> str:
        return data.draw(NUMBERS)

    def level() -> str:
        return data.draw(LEVELS)

    text = " -> ".join(
        data.draw(
            st.sampled_from(
                [
                    f"warmup({n()}, from={level()}, start=0.5)",
                    f"exp({n()}, from={level()}, to={level()})",
                    f"cosine({n()}, from={level()}, to={level()})",
                    f"poly({n()}, to={level()}, power=1e-5)",
                    f"step({n()}, every={n()}, gamma=1e9)",
                    f"step({n()}, every={n()}, gamma=1e-9) per epoch",
                    f"multistep({n()}, at=[{n()}, {n()}], gamma=1e200)",
                    f"hold({n()}, at={level()})",
                ]
            )
        )
        for _ in range(data.draw(st.integers(1, 3)))
    )
    try:
        found, diagnostics = resolved(text, **RUN)
    except ConfigError:
        return
    assert (found is None) <= bool(diagnostics)
    if found is not None:
        for t in (0, 1, 5, 999, 1000, 10**9):
            found.value(t, own)
        found.extremes(own)
        assert from_data(json.loads(json.dumps(found.to_data()))) == found
