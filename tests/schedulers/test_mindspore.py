"""The policies of the table have the values of MindSpore's own schedules and schedulers, 500 updates of each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedulers.settings import UPDATES, Case, cases
from tests.schedulers.values import computed, differences, planned

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

SCHEDULES = cases("mindspore.nn")
SCHEDULERS = cases("mindspore.experimental.optim.lr_scheduler")


@pytest.mark.parametrize("case", SCHEDULES, ids=[case.id for case in SCHEDULES])
def test_the_policy_has_the_values_of_the_schedule(case: Case) -> None:
    from mindspore import Tensor, int32, nn  # noqa: PLC0415 - set up by then

    schedule = computed(case.form.call, vars(nn) | case.numbers)
    values = schedule
    if case.form.computes == "float32":
        values = schedule(Tensor(np.arange(UPDATES), int32)).asnumpy().tolist()
    assert differences(planned(case), values, case.form.computes) == {}


@pytest.mark.parametrize("case", SCHEDULERS, ids=[case.id for case in SCHEDULERS])
def test_the_policy_has_the_values_of_the_scheduler(case: Case) -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    weight = Parameter(Tensor(np.zeros(1, np.float32)), name="weight")
    optimizer = optim.SGD([weight], lr=case.numbers["lr"])
    scheduler = computed(case.form.call, vars(optim.lr_scheduler) | case.numbers | {"optimizer": optimizer})
    rates = []
    for t in range(UPDATES):
        if t:
            scheduler.step()
        rates.append(float(optimizer.param_groups[0]["lr"].asnumpy()))
    assert differences(planned(case), rates, case.form.computes) == {}
