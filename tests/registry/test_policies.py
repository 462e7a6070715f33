"""Policies of one's own: what they are in a file, what they are worth, and what is wrong with some."""

from __future__ import annotations

import pickle
from dataclasses import replace
from math import exp, sin
from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

import optplan
from optplan.catalog import catalog, change_catalog
from optplan.resolve.curve_record import from_data
from optplan.resolve.level import Level
from optplan.resolve.own import Own
from tests.registry import classes
from tests.resolve.making import resolved

if TYPE_CHECKING:
    from optplan.diagnostics import Diagnostic
    from optplan.resolve.curve import Curve

FALLING = optplan.OwnPolicy("falling", classes.falling, endless=True)
WAVE = optplan.OwnPolicy("wave", classes.wave)


@pytest.fixture(autouse=True)
def _registered(_as_it_was: None) -> None:
    optplan.register(FALLING, WAVE)


def curve(text: str, **lengths: Any) -> Curve:
    found, told = resolved(text, **lengths)
    assert found is not None, told
    return found


def faults(text: str, **lengths: Any) -> list[Diagnostic]:
    return list(resolved(text, **lengths)[1])


@pytest.mark.parametrize(
    ("text", "steps", "base", "values"),
    [
        ("falling(rate=0.1)", None, 2.0, {0: 2.0, 7: 2 * exp(-0.7), 1000: 2 * exp(-100)}),
        ("falling(10, rate=0.1)", 50, 2.0, {0: 2.0, 10: 2 * exp(-1), 40: 2 * exp(-1)}),
        ("falling(rate=0.01, power=2)", None, 1.0, {3: exp(-0.09)}),
        ("falling(rate=-0.1, for=5)", None, 1.0, {3: exp(0.3), 5: exp(0.5), 6: exp(0.5)}),
        ("falling(rate=0.1, from=0.5x)", None, 2.0, {0: 1.0, 10: exp(-1)}),
        ("falling(rate=0.1, from=3)", None, 2.0, {0: 3.0, 10: 3 * exp(-1)}),
        ("wave(20)", 100, 1.0, {0: 1.0, 10: 1 + 0.5 * sin(0.5), 20: 1 + 0.5 * sin(1), 90: 1 + 0.5 * sin(1)}),
        ("wave(height=2)", 100, 1.0, {50: 1 + 2 * sin(0.5), 100: 1 + 2 * sin(1)}),
        ("warmup(10) -> wave(20%, height=1)", 100, 1.0, {5: 0.5, 10: 1.0, 20: 1 + sin(0.5), 30: 1 + sin(1)}),
        ("wave(20, height=1) -> linear(to=0x)", 100, 1.0, {19: 1 + sin(0.95), 20: 1 + sin(1), 60: (1 + sin(1)) / 2}),
        ("hold(10, at=0.5x) -> falling(rate=0.1)", None, 4.0, {9: 2.0, 10: 2.0, 20: 2 * exp(-1)}),
    ],
)  # fmt: skip
def test_values(text: str, steps: int | None, base: float, values: dict[int, float]) -> None:
    found = curve(text, steps=steps)
    assert {t: found.value(t, base) for t in values} == pytest.approx(values, rel=1e-12)
    again = from_data(found.to_data())
    assert again == found
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own bytes
    assert hash(again) == hash(found)


def test_per_epoch_counts_whole_epochs() -> None:
    found = curve("falling(rate=0.5) per epoch", steps=30, steps_per_epoch=10)
    assert [found.value(t, 1.0) for t in (0, 9, 10, 29)] == pytest.approx([1, 1, exp(-0.5), exp(-1)])


def test_a_time_is_handed_over_in_updates() -> None:
    every = optplan.OwnPolicy(
        "halving", lambda s, _, every: 2 ** -(s / every), arguments={"every": {"kind": "duration"}}, endless=True
    )
    optplan.register(every)
    found = curve("halving(every=2 epochs)", epochs=10, steps_per_epoch=5)
    assert found == Own("halving", Level(ratio=1.0), None, (("every", 10.0),))
    assert [found.value(t, 1.0) for t in (0, 10, 30)] == [1.0, 0.5, 0.125]


def test_how_it_is_written() -> None:
    assert str(curve("falling(rate=0.1)")) == "falling(rate=0.1, power=1)"
    assert str(curve("wave(20, from=0.5x)")) == "wave(20, from=0.5x, height=0.5)"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("falling()", "OP402", "`falling` needs `rate`"),
        ("falling(rate=0.1, rat=2)", "OP402", "`falling` has no argument `rat`"),
        ("falling(rate=0.1, power=1.5)", "OP402", "`power` is a whole number"),
        ("falling(rate=0.1, power=3 / 2)", "OP405", "`power` of `falling` must be a whole number, and this is 1.5"),
        ("wave(height=0.1x)", "OP402", ""),
        ("wave() -> wave()", "OP404", "`wave` is a second phase without a duration"),
        ("wave()", "OP407", ""),
        ("wave(10, height=-3)", "OP405", "the policy `wave` has no value"),
        ("waev(10)", "OP402", "unknown phase `waev`"),
    ],
)
def test_faults_in_a_file(text: str, code: str, says: str) -> None:
    optplan.register()
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "schedule": {"lr": text}}
    with pytest.raises(optplan.ConfigError) as caught:
        optplan.plan(document, nn.Linear(2, 2))
    assert [each.code for each in caught.value.diagnostics] == [code]
    assert says in caught.value.diagnostics[0].message


def test_what_a_function_cannot_give_is_told_where_it_stands() -> None:
    optplan.register(optplan.OwnPolicy("negative", classes.below_zero), optplan.OwnPolicy("failing", classes.failing))
    (told,) = faults("hold(5) -> negative(10)")
    assert told.code == "OP405"
    assert told.message == "the policy `negative` has no value 6 updates after its begin: its factor is -0.2"
    assert (told.column, told.end_column) == (12, 24)
    (told,) = faults("failing(10)")
    assert told.message.endswith("3 updates after its begin: ZeroDivisionError: float division by zero")


def test_a_range_is_held() -> None:
    arguments: dict[str, Any] = {"height": {"default": 1, "exclusiveMinimum": 0, "maximum": 2}}
    optplan.register(optplan.OwnPolicy("bounded", classes.wave, arguments=arguments))
    document: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "sgd"}, "horizon": {"steps": 10}}
    for text, code in (("0", "OP104"), ("3", "OP104"), ("1 - 1", "OP405"), ("4 / 2 + 1", "OP405")):
        with pytest.raises(optplan.ConfigError) as caught:
            optplan.load({**document, "schedule": {"lr": f"bounded(height={text})"}})
        assert [each.code for each in caught.value.diagnostics] == [code], text


def test_a_setting_is_held_to_its_range_through_all_of_it() -> None:
    document = {"optplan": 1, "optimizer": {"type": "adamw"}, "schedule": {"betas[0]": "wave(10, height=0.2)"}}
    with pytest.raises(optplan.ConfigError, match=r"`betas\[0\]` must be below 1, and its policy reaches 1.05"):
        optplan.plan(document, nn.Linear(2, 2), steps=10)


def test_a_plan_used_where_it_is_not_registered_says_what_to_do() -> None:
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "schedule": {"lr": "falling(rate=0.1)"}}
    model = nn.Linear(2, 2)
    text = optplan.plan(document, model).to_json()
    here = catalog()
    change_catalog(lambda known: replace(known, policies={k: v for k, v in known.policies.items() if k != "falling"}))
    plan = optplan.Plan.from_json(text)
    assert [str(each) for each in plan.groups[0].schedule.values()] == ["falling(rate=0.1, power=1)"]
    assert "falling(rate=0.1)" in repr(plan)
    for use in (lambda: plan.value("weight", "lr", 3), lambda: plan.bind(model)):
        with pytest.raises(optplan.ConfigError) as caught:
            use()
        (told,) = caught.value.diagnostics
        assert (told.code, told.message) == (
            "OP505",
            "the plan asks for the policy `falling`, which is not registered here",
        )
        assert told.help == "import the module that registers it first, or install the package that does"
    change_catalog(lambda _: here)
    assert plan.value("weight", "lr", 3) == 1e-3 * exp(-0.3)


def test_it_drives_pytorch() -> None:
    model = nn.Linear(2, 2)
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 2}, "schedule": {"lr": "falling(rate=0.1)"}}
    optimizer, scheduler = optplan.compile(document, model)
    used = []
    for _ in range(5):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert used == [2 * exp(-0.1 * t) for t in range(5)]


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"name": "cosine"}, ValueError, "'cosine' is a policy of the language: give yours another name"),
        ({"name": "restarts"}, ValueError, "'restarts' is a policy of the language"),
        ({"name": "over"}, ValueError, "'over' is no name of a policy"),
        ({"name": "my.wave"}, ValueError, "'my.wave' is no name of a policy: lower-case letters, digits and `_`"),
        ({"name": "wave"}, ValueError, "'wave' is registered already, with another definition"),
        ({"function": 3}, TypeError, "the function of 'mine' cannot be called: 3"),
        ({"function": lambda: 1.0}, TypeError, "a policy is `function(s, duration, **arguments)`"),
        ({"function": lambda s, **_: s}, TypeError, "a policy is `function(s, duration, **arguments)`"),
        ({"arguments": {"rat": 1}}, TypeError, "the function of 'mine' cannot be called with its arguments: "),
        ({"arguments": {"rate": {"kind": "word"}}}, ValueError, "argument 'rate': `kind` is 'number', 'count' or"),
        ({"arguments": {"rate": {"words": []}}}, ValueError, "argument 'rate': 'words' is none of default"),
        ({"arguments": {"rate": "a"}}, TypeError, "argument 'rate': its default is a number, not 'a'"),
        ({"arguments": {"from": 1}}, ValueError, "'from' is no name of an argument"),
    ],
)  # fmt: skip
def test_a_fault_is_told_when_it_is_registered(given: dict[str, Any], kind: type[Exception], says: str) -> None:
    before = catalog()
    with pytest.raises(kind) as caught:
        optplan.register(optplan.OwnPolicy(**{"name": "mine", "function": classes.falling, **given}))
    assert says in str(caught.value)
    assert catalog() is before


def test_the_same_policy_twice_is_one() -> None:
    optplan.register(WAVE, optplan.OwnPolicy("wave", classes.wave))
    assert catalog().policies["wave"].function is classes.wave
