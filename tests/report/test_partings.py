"""Where two schedules part and by how much, worked out by hand."""

from __future__ import annotations

import pytest

import optplan
from optplan.report.differences import compare, difference_text
from optplan.report.partings import EXACT, Farthest, Parting
from tests.report.networks import network


def plan(policy: str, *, lr: float = 1.0, steps: int | None = None) -> optplan.Plan:
    schedule = f"schedule: {{lr: '{policy}'}}\n" if policy else ""
    return optplan.plan(
        optplan.loads(f"optplan: 1\noptimizer: {{type: sgd, lr: {lr}}}\n{schedule}"), network(), steps=steps
    )


def found(first: optplan.Plan, second: optplan.Plan) -> Parting:
    """The parting of the one schedule that differs."""
    [difference] = compare(first, second).parameters
    [change] = [each for each in difference.changes if each.key == "schedule.lr"]
    assert change.parting is not None
    return change.parting


@pytest.mark.parametrize(
    ("first", "second", "at", "farthest"),
    [
        # lines from 1 to 0 and from 1 to 0.5: 1 - t / 100 and 1 - t / 200
        ("linear(to=0x)", "linear(to=0.5x)", 1, Farthest(99, 1 - 0.99, 1 - 0.495)),
        # the same until one of them falls
        ("hold(50) -> hold(at=0.5x)", "hold()", 50, Farthest(50, 0.5, 1.0)),
        # a single drop at 30 and at 40: 1 and 0.1 between these
        ("multistep(at=[30], gamma=0.1)", "multistep(at=[40], gamma=0.1)", 30, Farthest(30, 0.1, 1.0)),
        # with a schedule and without one
        ("warmup(10)", "", 0, Farthest(0, 0.0, 1.0)),
        ("", "linear(to=0x)", 1, Farthest(99, 1.0, 1 - 0.99)),
    ],
)
def test_where_and_by_how_much(first: str, second: str, at: int, farthest: Farthest) -> None:
    parting = found(plan(first, steps=100), plan(second, steps=100))
    assert (parting.updates, parting.relative, parting.first) == (100, True, at)
    assert parting.farthest is not None
    assert parting.farthest.update == farthest.update
    assert (parting.farthest.before, parting.farthest.after) == pytest.approx((farthest.before, farthest.after))


def test_multiples_are_compared_where_both_are_and_numbers_else() -> None:
    relative = found(plan("hold(at=0.5x)", lr=2, steps=10), plan("hold(at=0.25x)", lr=4, steps=10))
    assert relative == Parting(10, relative=True, first=0, farthest=Farthest(0, 0.5, 0.25))
    absolute = found(plan("hold(at=0.5x)", lr=2, steps=10), plan("hold(at=0.25)", lr=4, steps=10))
    assert absolute == Parting(10, relative=False, first=0, farthest=Farthest(0, 1.0, 0.25))


def test_two_formulas_may_have_the_same_numbers() -> None:
    first, second = plan("hold()", steps=100), plan("hold(50) -> hold(at=1x)", steps=100)
    assert found(first, second) == Parting(100, relative=True)
    assert "equal at each of 100 updates" in difference_text(compare(first, second), first, second)


def test_runs_of_different_lengths_are_compared_while_both_last() -> None:
    parting = found(plan("linear(to=0x)", steps=100), plan("linear(to=0x)", steps=200))
    # 1 - t / 100 and 1 - t / 200
    assert (parting.updates, parting.first) == (100, 1)
    assert parting.farthest is not None
    assert parting.farthest.update == 99
    assert parting.farthest.after - parting.farthest.before == pytest.approx(99 / 200)


def test_without_a_horizon_until_both_have_come_to_rest() -> None:
    assert found(plan("linear(10, to=0x)"), plan("linear(20, to=0x)")).updates == 21
    assert found(plan("linear(10, to=0x)"), plan("step(every=5, gamma=0.5)")).updates == 10_000


@pytest.mark.parametrize("drop", [EXACT * 7 + 3, EXACT * 9 - 1])
def test_a_long_run_is_looked_at_closely_where_they_part(drop: int) -> None:
    steps = 10 * EXACT
    first, second = plan(f"hold({drop}) -> linear(to=0x)", steps=steps), plan("hold()", steps=steps)
    parting = found(first, second)
    # the line begins at its own value: the next update is the first below it
    assert parting.first == drop + 1
    assert parting.farthest is not None
    assert parting.farthest.update == steps - 1


def test_the_text() -> None:
    first, second = plan("linear(to=0x)", steps=100), plan("linear(to=0.5x)", steps=100)
    assert difference_text(compare(first, second), first, second) == (
        "9 parameters: all\n"
        "  schedule.lr  linear(to=0x) -> linear(to=0.5x)\n"
        "               part at update 1, farthest at update 99: 0.01x -> 0.505x (+0.495x)"
    )


def test_json() -> None:
    first, second = plan("hold(50) -> hold(at=0.5x)", steps=100), plan("hold()", steps=100)
    [difference] = compare(first, second).to_data()["differences"]
    assert difference["changes"] == [
        {
            "key": "schedule.lr",
            "before": "hold(50) -> hold(at=0.5x)",
            "after": None,  # it changes nothing
            "parting": {
                "updates": 100,
                "relative": True,
                "first": 50,
                "farthest": {"update": 50, "before": 0.5, "after": 1.0},
            },
        }
    ]
