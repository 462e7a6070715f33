"""The policies of the table have the values of torch's and transformers' own schedulers, 500 updates of each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.optim import lr_scheduler, swa_utils
from transformers import get_scheduler

from tests.schedulers.settings import UPDATES, Case, cases
from tests.schedulers.values import computed, differences, planned

CASES = cases("torch.optim.lr_scheduler", "torch.optim.swa_utils", "transformers.get_scheduler")


def stock(case: Case) -> tuple[list[float], list[float]]:
    """The learning rates that the scheduler sets, and the momenta."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=case.numbers[case.form.lr], momentum=0.9)
    names = {**vars(lr_scheduler), **vars(swa_utils), "get_scheduler": get_scheduler, "optimizer": optimizer}
    scheduler = computed(case.form.call, names | case.numbers)
    (group,) = optimizer.param_groups
    rates, momenta = [], []
    for t in range(UPDATES):
        if t:
            optimizer.step()
            scheduler.step()
        rates.append(group["lr"])
        momenta.append(group["momentum"])
    return rates, momenta


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_policy_has_the_values_of_the_scheduler(case: Case) -> None:
    rates, momenta = stock(case)
    assert differences(planned(case), rates, case.form.computes) == {}
    if case.form.momentum is not None:
        assert differences(planned(case, "momentum"), momenta, case.form.computes) == {}
    else:
        assert set(momenta) == {0.9}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_policy_has_the_values_of_a_scheduler_that_is_stepped_by_epoch(case: Case) -> None:
    length = 10
    form = replace(
        case.form, policy=f"({case.form.policy}) per epoch", momentum=None, horizon={"steps_per_epoch": "10"}
    )
    rates, _ = stock(case)
    by_epoch = [rates[t // length] for t in range(UPDATES)]
    assert differences(planned(case._replace(form=form)), by_epoch, form.computes) == {}
