"""`plateau`: what a metric that is reported makes of a level, against PyTorch's scheduler, and what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

import optplan
from optplan import Plan
from optplan.catalog import catalog
from optplan.report.explain import explain
from optplan.resolve.curve import reduced
from optplan.resolve.curve_record import from_data
from optplan.resolve.plateau import Plateau, Watch
from tests.resolve.making import curve, faults

if TYPE_CHECKING:
    from pathlib import Path

    from tests.resolve.making import Fault

OWN = 0.5


def falling(reports: list[float], **arguments: Any) -> list[float]:
    """The rates after each report by PyTorch, which leaves out changes below `eps` if it is told so."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=OWN)
    scheduler = ReduceLROnPlateau(optimizer, eps=0.0, **arguments)
    found = []
    for each in reports:
        scheduler.step(each)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def document(policy: str, **more: Any) -> dict[str, Any]:
    return {"optplan": 1, "optimizer": {"type": "sgd", "lr": OWN}, "schedule": {"lr": policy}, **more}


def ours(reports: list[float], policy: str) -> list[float]:
    """The rates after each report."""
    compiled = optplan.compile(document(policy), nn.Linear(2, 2))
    assert compiled.scheduler is not None
    found = []
    for each in reports:
        compiled.optimizer.step()
        compiled.scheduler.step(loss=each)
        found.append(compiled.optimizer.param_groups[0]["lr"])
    return found


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("factor=0.5, patience=0", {"factor": 0.5, "patience": 0}),
    ("factor=0.5, patience=3, cooldown=2", {"factor": 0.5, "patience": 3, "cooldown": 2}),
    ("patience=2, threshold=0.05", {"patience": 2, "threshold": 0.05}),
    (
        "patience=2, threshold=0.05, threshold_mode=abs",
        {"patience": 2, "threshold": 0.05, "threshold_mode": "abs"},
    ),
    ("patience=2, mode=max, threshold=0.1", {"patience": 2, "mode": "max", "threshold": 0.1}),
    (
        "patience=1, mode=max, threshold=0.1, threshold_mode=abs, factor=0.9",
        {"patience": 1, "mode": "max", "threshold": 0.1, "threshold_mode": "abs", "factor": 0.9},
    ),
    ("patience=1, to=0.01", {"patience": 1, "min_lr": 0.01}),
    ("patience=1, to=0.7", {"patience": 1, "min_lr": 0.7}),
    ("patience=1, to=0.02x", {"patience": 1, "min_lr": 0.01}),
]

REPORTS = {
    "always better": [1 / (k + 1) for k in range(100)],
    "the same": [1.0] * 100,
    "a wave": [1 + (k % 13) / 10 - k / 400 for k in range(500)],
    "below 0": [-1.0 - (k % 7) / 10 for k in range(100)],
    "no number": [1.0, nan, nan, 0.5, inf, nan, -inf, 0.1] * 10,
}


@pytest.mark.parametrize("reports", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize(("text", "arguments"), SETTINGS, ids=[each[0] for each in SETTINGS])
def test_agrees_with_pytorch(text: str, arguments: dict[str, Any], reports: list[float]) -> None:
    policy = f"plateau(metric=loss, {text})" if text else "plateau(metric=loss)"
    assert ours(reports, policy) == pytest.approx(falling(reports, **arguments), rel=1e-12)


@given(
    reports=st.lists(st.floats(-10, 10), max_size=60),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 4),
    mode=st.sampled_from(["min", "max"]),
    kind=st.sampled_from(["rel", "abs"]),
    threshold=st.floats(0, 0.5),
)
def test_counts_as_pytorch_does(
    reports: list[float], patience: int, cooldown: int, mode: Any, kind: Any, threshold: float
) -> None:
    words = f"mode={mode}, threshold_mode={kind}, threshold=h, patience={patience}, cooldown={cooldown}"
    found = curve(f"plateau(metric=loss, factor=0.5, {words})", let={"h": threshold})
    assert isinstance(found, Plateau)
    watch = Watch.of(found)
    rates = []
    for each in reports:
        watch.report(each)
        rates.append(reduced(found, watch.reductions).value(0, OWN))
    theirs = falling(
        reports,
        factor=0.5,
        patience=patience,
        cooldown=cooldown,
        mode=mode,
        threshold=threshold,
        threshold_mode=kind,
    )
    assert rates == pytest.approx(theirs, rel=1e-12)


# In a chain, and for several groups

WARM = "warmup(4) -> plateau(metric=loss, factor=0.5, patience=1, to=0.2x)"


def test_it_begins_where_the_phase_before_ended() -> None:
    compiled = optplan.compile(document(WARM), nn.Linear(2, 2))
    scheduler = compiled.scheduler
    assert scheduler is not None
    found = []
    for t in range(14):
        found.append(compiled.lr()["default"] / OWN)
        compiled.optimizer.step()
        # the first report that is for the plateau is the one before its first update, which is update 4
        scheduler.step(loss=1.0 if t > 2 else -5.0)
    assert found == [0, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


def test_a_report_with_a_step_is_one_after_it() -> None:
    with_it, after = (optplan.compile(document(WARM), nn.Linear(2, 2)) for _ in range(2))
    for _ in range(14):
        with_it.scheduler.step(loss=1.0)
        after.scheduler.step()
        after.report(loss=1.0)
        assert after.lr() == with_it.lr()


def test_reports_between_steps_take_effect_at_once() -> None:
    compiled = optplan.compile(document("plateau(metric=loss, patience=0, factor=0.5)"), nn.Linear(2, 2))
    scheduler = compiled.scheduler
    assert scheduler is not None
    scheduler.step()
    scheduler.report(loss=1.0)
    assert compiled.lr() == {"default": 0.5}
    scheduler.report(loss=torch.tensor(1.0))
    assert compiled.lr() == {"default": 0.25}
    assert scheduler.last_epoch == 1
    scheduler.step()
    assert compiled.lr() == {"default": 0.25}


TWO = document(
    "plateau(metric=loss, patience=0, factor=0.5)",
    rules=[
        {
            "name": "bias",
            "where": "bias",
            "lr": "2x",
            "schedule": {"lr": "hold(2) -> plateau(metric=accuracy, mode=max, patience=0, to=0.3)"},
        }
    ],
)


def test_each_plateau_hears_its_own_metric() -> None:
    compiled = optplan.compile(TWO, nn.Linear(2, 2))
    scheduler = compiled.scheduler
    assert scheduler is not None
    for _ in range(2):
        scheduler.step(loss=1.0, accuracy=0.1)
    assert compiled.lr() == {"default": 0.25, "bias": 1.0}
    scheduler.step(accuracy=0.1)
    assert compiled.lr() == {"default": 0.25, "bias": 0.3}
    for report in (scheduler.step, scheduler.report, compiled.report):
        with pytest.raises(ValueError, match=r"goes by `los`; the metrics are: `accuracy`, `loss`"):
            report(loss=1.0, los=1.0)
    with pytest.raises(TypeError, match="`accuracy` is a number, and this is a `str`"):
        compiled.report(loss=1.0, accuracy="high")  # type: ignore[arg-type]  # what a user may do
    assert compiled.lr() == {"default": 0.25, "bias": 0.3}, "nothing of it has been taken in"


def test_nothing_goes_by_a_metric_without_a_plateau() -> None:
    compiled = optplan.compile(document("hold(2) -> hold(at=1e-3)"), nn.Linear(2, 2))
    plain = optplan.compile({"optplan": 1, "optimizer": {"type": "sgd"}}, nn.Linear(2, 2))
    assert compiled.scheduler is not None
    assert plain.scheduler is None
    for report in (compiled.scheduler.report, compiled.report, plain.report):
        with pytest.raises(ValueError, match="the metrics are: none"):
            report(loss=1.0)


def test_it_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    reports = REPORTS["a wave"][:120]
    whole = optplan.compile(document(WARM), nn.Linear(2, 2))
    half = optplan.compile(document(WARM), nn.Linear(2, 2))
    assert whole.scheduler is not None
    assert half.scheduler is not None
    rates = []
    for each in reports:
        whole.scheduler.step(loss=each)
        rates.append(whole.lr())
    for each in reports[:70]:
        half.scheduler.step(loss=each)
    torch.save(half.scheduler.state_dict(), tmp_path / "state.pt")
    rest = optplan.compile(document(WARM), nn.Linear(2, 2))
    assert rest.scheduler is not None
    rest.scheduler.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert rest.lr() == rates[69]
    for each, rate in zip(reports[70:], rates[70:], strict=True):
        rest.scheduler.step(loss=each)
        assert rest.lr() == rate


# What a plan says of it


def test_a_plan_does_not_know_what_will_be_reported() -> None:
    plan = optplan.plan(document(WARM), nn.Linear(2, 2))
    assert [plan.value("weight", "lr", t) for t in range(4)] == [0, 0.125, 0.25, 0.375]
    with pytest.raises(ValueError, match="from update 4 on `lr` goes by the `loss` that the training loop reports"):
        plan.value("weight", "lr", 4)
    again = Plan.from_json(plan.to_json())
    assert again.fingerprint == plan.fingerprint


def test_an_explanation_tells_what_it_waits_for() -> None:
    text = explain(optplan.plan(document(WARM), nn.Linear(2, 2)), "weight", catalog())
    assert text.endswith(
        "    update  0  0\n"
        "    update  4  0.5\n"
        "    from update 4 on times 0.5 at each reduction by `loss`, which the training loop reports"
    )


def test_a_curve_goes_through_json_exactly() -> None:
    found = curve("hold(5, at=0.5x) -> plateau(metric=loss, to=max(0.01x, 1e-6), patience=3)")
    assert from_data(json.loads(json.dumps(found.to_data()))) == found
    assert found.waits is not None
    assert found.waits[0] == 5
    assert (found.settled, found.relative) == (None, False)
    assert [found.value(t, 1.0) for t in (0, 5, 10**9)] == [0.5, 0.5, 0.5]
    assert min(found.extremes(1.0)) == 0.01


ONE = {"kind": "level", "ratio": 1.0, "absolute": 0.0}
DATA: dict[str, Any] = {
    "kind": "plateau",
    "origin": ONE,
    "to": ONE,
    "metric": "loss",
    "gamma": 0.5,
    "patience": 3,
    "cooldown": 0,
    "threshold": 0.0,
    "threshold_mode": "rel",
    "mode": "min",
    "reductions": 0,
}


def test_data() -> None:
    assert from_data(DATA).to_data() == DATA
    for wrong in ({"gamma": 2.0}, {"patience": 2.5}, {"mode": "low"}, {"threshold_mode": ""}, {"metric": 5}):
        with pytest.raises((TypeError, ValueError)):
            from_data(DATA | wrong)


FAULTS: list[tuple[str, dict[str, Any], list[Fault]]] = [
    ("plateau(metric=loss)", {}, []),
    ("warmup(10) -> plateau(metric=loss)", {"steps": 10}, []),
    ("warmup(11) -> plateau(metric=loss)", {"steps": 10}, [("OP404", "error", "warmup(11)")]),
    ("plateau(metric=loss, factor=f)", {"let": {"f": 1.5}}, [("OP405", "error", "f")]),
    ("plateau(metric=loss, patience=p)", {"let": {"p": 1.5}}, [("OP405", "error", "p")]),
    ("plateau(metric=loss, to=-1)", {}, [("OP405", "error", "-1")]),
    ("hold(5, at=0x) -> plateau(metric=loss)", {}, [("OP405", "warning", "plateau")]),
]


@pytest.mark.parametrize(("text", "options", "expected"), FAULTS, ids=[f"{each[0]}-{each[1]}" for each in FAULTS])
def test_faults(text: str, options: dict[str, Any], expected: list[Fault]) -> None:
    assert faults(text, **options) == expected


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("base -> hold(5)", "hold(5)"),
        ("hold(5) over base", "base"),
        ("hold(5) into base", "base"),
        ("base * hold(5)", "base"),
        ("hold(5) * base", "base"),
    ],
)
def test_a_base_that_waits_stands_last(text: str, marked: str) -> None:
    before = curve("plateau(metric=loss)")
    found = faults(text, before=before, steps=100)
    assert found == [("OP404", "error", marked if text != "base -> hold(5)" else "base")]


def test_a_base_that_waits_may_stand_last() -> None:
    found = curve("hold(5, at=0x) -> base", before=curve(WARM), steps=100)
    assert found.waits is not None
    assert found.waits[0] == 9


@pytest.mark.parametrize("floor", [1e-3, 1.0])
def test_a_floor_above_the_peak_is_told(floor: float) -> None:
    plan = optplan.plan(document(f"plateau(metric=loss, to={floor})"), nn.Linear(2, 2))
    assert [each.code for each in plan.diagnostics] == (["OP405"] if floor > OWN else [])


def test_mindspore_takes_it_without_a_horizon() -> None:
    network = replace(optplan.network(nn.Linear(2, 2)), target="mindspore")
    assert optplan.plan(document(WARM), network).diagnostics == ()
