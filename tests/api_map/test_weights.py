"""What the map says of two optimizers, held against them: the same weights, or apart by about what it says.

Both classes are called as users of their frameworks call them, without this package.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from optplan.api_map import pairs
from tests.api_map.running import (
    CASES,
    DIFFERENT,
    LEVELS,
    LIMIT,
    MOVING,
    Level,
    Settings,
    apart,
    canonical_name,
    defaults,
    in_mindspore,
    in_torch,
    known,
    network_of,
)

if TYPE_CHECKING:
    from optplan.api_map import Figures, Pair
    from tests.agreement.table import Mode

# Fifty updates of every class of either framework: minutes in all
pytestmark = [pytest.mark.mindspore, pytest.mark.long]

MEASURED = [pair for pair in pairs() if pair.verdict != "unmeasured"]
# How much another machine may differ where the difference is rounding, and where it is the formula.
ROUNDING, FORMULA = 4.0, 1.5


def named(pair: Pair) -> str:
    return f"{pair.torch}-{pair.mindspore}"


def stated(pair: Pair, mode: Mode) -> Figures:
    """What the map says of this mode."""
    assert pair.figures is not None
    return pair.graph if mode == "graph" and pair.graph is not None else pair.figures


def agrees(pair: Pair, mode: Mode) -> bool:
    """Whether the map says that two classes are the same in this mode."""
    return pair.verdict == "same" or (mode == "graph" and pair.graph is not None)


def cases(pair: Pair) -> list[Settings]:
    """The settings that mean the same in both classes."""
    arguments = known(pair)
    alike = [{key: each[key] for key in each if arguments[key].alike} for each in CASES[canonical_name(pair)]]
    # Nesterov's momentum without it is one
    return [each for t, each in enumerate(alike) if each and each not in alike[:t]]


def level_of(pair: Pair) -> Level:
    """What takes away the difference of two classes."""
    return LEVELS.get(pair.mindspore if network_of(pair) == "layers" else f"{pair.mindspore}, sparse", Level())


def tried_in(pair: Pair) -> Mode:
    """The mode in which arguments are tried: the one in which it trains, and one is enough where both do the same."""
    return "pynative" if pair.graph is None else "graph"


@pytest.mark.parametrize("pair", MEASURED, ids=named)
def test_the_figures(pair: Pair, mindspore_mode: Mode) -> None:
    figures = stated(pair, mindspore_mode)
    if agrees(pair, mindspore_mode):
        # the other mode compiles each of them for seconds: it must agree with its defaults, and with one more
        tried = cases(pair) if mindspore_mode == tried_in(pair) else cases(pair)[:1]
        found = [apart(pair, each) for each in [{}, *tried]]
        for half, figure in (("plain", figures.plain), ("mixed", figures.mixed)):
            assert figure is not None
            assert figure <= LIMIT
            assert max(each[half] for each in found) <= min(LIMIT, max(ROUNDING * figure, 1e-6))
        return
    measured = apart(pair, dict(pair.at))
    assert max(measured.values()) > LIMIT, "it is the same"
    for half, figure in (("plain", figures.plain), ("mixed", figures.mixed)):
        if figure is None:
            assert measured[half] == float("inf")
        elif figure > LIMIT:
            assert figure / FORMULA <= measured[half] <= figure * FORMULA
        else:
            assert measured[half] <= max(ROUNDING * figure, 1e-6)


@pytest.mark.parametrize("pair", MEASURED, ids=named)
def test_each_argument_that_is_the_same_does_the_same(pair: Pair, mindspore_mode: Mode) -> None:
    alike = {name for name, each in known(pair).items() if each.alike}
    assert alike <= set(chain(*cases(pair))), "one is at its default in all cases"
    if mindspore_mode != tried_in(pair):
        return
    level = level_of(pair)
    differ = {str(each): found for each in cases(pair) if max((found := apart(pair, each, level)).values()) > LIMIT}
    assert differ == {}


@pytest.mark.one_mode
@pytest.mark.parametrize("pair", MEASURED, ids=named)
def test_each_case_has_an_effect(pair: Pair) -> None:
    # else equal weights would say nothing of it
    level = level_of(pair)
    base = defaults(pair) | level.settings
    without = in_torch(pair, base, level.state, network_of(pair), once=level.once)
    for each in cases(pair):
        with_ = in_torch(pair, base | each, level.state, network_of(pair), once=level.once)
        assert any((with_[name] != without[name]).any() for name in without), each


@pytest.mark.parametrize("pair", MEASURED, ids=named)
def test_each_argument_that_is_different_does_something_else(pair: Pair, mindspore_mode: Mode) -> None:
    if mindspore_mode != tried_in(pair):
        return
    other = {name for name, each in known(pair).items() if each.verdict == "different" and not each.alike}
    for name in other - {"params"}:
        if (pair.mindspore, name) in MOVING:
            still = MOVING[pair.mindspore, name]
            assert max(apart(pair, still, level_of(pair)).values()) <= LIMIT
            assert max(apart(pair, still, level_of(pair), moving=True).values()) > LIMIT
            continue
        settings, given = DIFFERENT[canonical_name(pair), name]
        assert max(apart(pair, settings, given=given).values()) > LIMIT, name


@pytest.mark.parametrize("pair", [pair for pair in MEASURED if known(pair)["lr"].alike], ids=named)
def test_a_rate_that_changes_does_the_same(pair: Pair, mindspore_mode: Mode) -> None:
    if mindspore_mode != tried_in(pair):
        return
    # with decay, and with what an update keeps from the one before
    kept = {"momentum": 0.9} if pair.torch == "torch.optim.SGD" else {}
    decay = {"weight_decay": 0.1} if "weight_decay" in known(pair) else {}
    alike = {key: value for key, value in ({"lr": 0.002} | kept | decay).items() if known(pair)[key].alike}
    assert max(apart(pair, alike, level_of(pair), moving=True).values()) <= LIMIT


def test_an_optimizer_that_does_not_train_leaves_its_weights(mindspore_mode: Mode) -> None:
    from tests.agreement.gradients import weights  # noqa: PLC0415 - next to its only use

    for pair in MEASURED:
        if pair.graph is not None:
            after = in_mindspore(pair, {"lr": 0.1}, "layers")
            stayed = [bool((after[name] == each).all()) for name, each in weights("layers").items()]
            assert not any(stayed) if mindspore_mode == "graph" else all(stayed)
