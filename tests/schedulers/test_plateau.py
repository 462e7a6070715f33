"""The policies that go by a metric reduce where the stock schedulers do, told the same metric 500 times."""

from __future__ import annotations

from dataclasses import replace
from math import exp, sin
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from transformers import get_scheduler

from optplan.counterparts import counterparts
from optplan.resolve.plateau import Plateau, Watch
from tests.resolve.making import curve
from tests.schedulers.settings import UPDATES, Case, Numbers
from tests.schedulers.values import computed, differences

NUMBERS: list[Numbers] = [
    {"lr": 0.1, "factor": 0.1, "patience": 10, "threshold": 1e-4, "cooldown": 0, "min_lr": 0.0},
    {"lr": 1.0, "factor": 0.5, "patience": 3, "threshold": 0.05, "cooldown": 7, "min_lr": 0.01},
    {"lr": 3e-4, "factor": 0.9, "patience": 0, "threshold": 0.0, "cooldown": 2, "min_lr": 1e-5},
]
CASES = [
    Case(scheduler, form, numbers)
    for scheduler in counterparts().values()
    for form in scheduler.forms
    if form.computes == "reports"
    for numbers in NUMBERS
]
TORCH = [case for case in CASES if not case.scheduler.name.startswith("mindspore")]
MINDSPORE = [case for case in CASES if case.scheduler.name.startswith("mindspore")]


def name(case: Case) -> str:
    """Which form and which numbers."""
    return f"{case.scheduler.name}-{case.scheduler.forms.index(case.form)}-{NUMBERS.index(case.numbers)}"


def metric(t: int) -> float:
    """Falls fast, then slowly and in waves, so that there are good and bad runs of every length; in float32."""
    return float(np.float32(2 * exp(-t / 40) + 0.5 + 0.2 * sin(t / 9) * exp(-t / 300)))


def reported(case: Case) -> list[float]:
    """What the policy comes to before each report."""
    plateau = curve(str(case.form.policy), let=case.numbers)
    assert isinstance(plateau, Plateau)
    watch = Watch.of(plateau)
    values = []
    for t in range(UPDATES):
        values.append(replace(plateau, reductions=watch.reductions).value(t, case.numbers["lr"]))
        watch.report(metric(t))
    return values


@pytest.mark.parametrize("case", TORCH, ids=map(name, TORCH))
def test_the_policy_reduces_where_the_scheduler_does(case: Case) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=case.numbers["lr"])
    names = {**vars(lr_scheduler), "get_scheduler": get_scheduler, "optimizer": optimizer}
    scheduler = computed(case.form.call, names | case.numbers)
    rates = []
    for t in range(UPDATES):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(metric(t))
    assert len(set(rates)) > 3
    assert differences(reported(case), rates, "chained") == {}


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("case", MINDSPORE, ids=map(name, MINDSPORE))
def test_the_policy_reduces_where_mindspores_scheduler_does(case: Case) -> None:
    import mindspore  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    weight = mindspore.Parameter(mindspore.Tensor(np.zeros(1, np.float32)), name="weight")
    optimizer = optim.SGD([weight], lr=case.numbers["lr"])
    scheduler: Any = computed(case.form.call, vars(optim.lr_scheduler) | case.numbers | {"optimizer": optimizer})
    rates = []
    for t in range(UPDATES):
        rates.append(float(optimizer.param_groups[0]["lr"].asnumpy()))
        scheduler.step(mindspore.Tensor(metric(t), mindspore.float32))
    assert len(set(rates)) > 3
    assert differences(reported(case), rates, "float32") == {}
