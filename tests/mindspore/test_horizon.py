"""Past the horizon a policy that never ends holds its value: the plan, PyTorch and MindSpore say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from mindspore import Tensor, ops

import optplan
from optplan.report.curves import curves_of
from tests.agreement.cells import Numbers

if TYPE_CHECKING:
    from mindspore import Parameter

pytestmark = pytest.mark.mindspore

STEPS = 40
UPDATES = 3 * STEPS
OWN = 0.25

POLICIES = [
    "inverse_sqrt(timescale=7)",
    "warmup(10) -> inverse_sqrt(timescale=7)",
    "decay(gamma=0.97)",
    "inverse_time(rate=0.5, every=10)",
    "natural_exp(rate=0.5, every=10)",
    "noam(d_model=64, warmup=10)",
    "step(every=11, gamma=0.7)",
    "restarts(period=15, to=1e-3)",
    "cycle(low=0.1x, high=1x, up=6)",
    "step(every=3, gamma=0.5) per epoch",
    "warmup(5) into decay(gamma=0.97)",
    "warmup(5) over inverse_sqrt(timescale=7)",
    "cosine(to=0.5x) * decay(gamma=0.97)",
    # these end by themselves
    "cosine(to=0.1x)",
    "decay(20, gamma=0.97)",
]
ENDLESS = 13


class InTorch(torch.nn.Module):
    """`Numbers` in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = torch.nn.ModuleList([torch.nn.Linear(1, 1, bias=False) for _ in POLICIES])


DOCUMENT: dict[str, Any] = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": OWN},
    "rules": [{"where": f"numbers.{number}", "schedule": {"lr": each}} for number, each in enumerate(POLICIES)],
    "horizon": {"steps": STEPS, "steps_per_epoch": 4},
}


def in_mindspore() -> list[list[float]]:
    """How far each update moves each weight down from 0 with a gradient of 1: the rates, to the bit."""
    cell = Numbers(len(POLICIES))
    compiled = optplan.compile(DOCUMENT, cell)
    places: list[Parameter] = [each.weight for each in cell.numbers]
    start, ones = Tensor(np.zeros(1, np.float32)), tuple(Tensor(np.ones(1, np.float32)) for _ in places)
    found = []
    for _ in range(UPDATES):
        for weight in places:
            ops.assign(weight, start)
        told = [compiled.lr_of(f"numbers.{number}.weight") for number in range(len(places))]
        compiled.optimizer(ones)
        found.append([-float(weight.asnumpy()[0]) for weight in places])
        assert found[-1] == np.array(told, np.float32).tolist()
    return found


def in_torch() -> list[list[float]]:
    """The rates in the native groups."""
    compiled = optplan.compile(DOCUMENT, InTorch())
    assert compiled.scheduler is not None
    found = []
    for _ in range(UPDATES):
        found.append([compiled.lr_of(f"numbers.{number}.weight") for number in range(len(POLICIES))])
        compiled.optimizer.step()
        compiled.scheduler.step()
    return found


def test_all_say_the_same() -> None:
    plan = optplan.plan(DOCUMENT, InTorch())
    names = [f"numbers.{number}.weight" for number in range(len(POLICIES))]
    planned = [[plan.value(name, "lr", t) for name in names] for t in range(UPDATES)]
    assert in_torch() == planned
    assert in_mindspore() == [np.array(each, np.float32).tolist() for each in planned]
    for number in range(len(POLICIES)):
        rates = [each[number] for each in planned]
        assert len(set(rates[:STEPS])) > 1
        # a ramp arrives with the update after its last
        assert len(set(rates[STEPS - 1 :])) == 1 if number < ENDLESS else len(set(rates[STEPS:])) == 1
    (panel,) = curves_of(plan, ["lr"], UPDATES, None).panels
    drawn = {plan.groups[place].name: line.values for place, line in _places(plan, panel)}
    for number, name in enumerate(names):
        group = plan.group_of(name)
        assert group is not None
        assert list(drawn[group.name]) == [each[number] for each in planned]


def _places(plan: optplan.Plan, panel: Any) -> list[tuple[int, Any]]:
    order = {group.name: place for place, group in enumerate(plan.groups)}
    return [(order[name], line) for line in panel.lines for name in line.groups]


@pytest.mark.one_mode
def test_without_a_horizon_pytorch_goes_on() -> None:
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": OWN}, "schedule": {"lr": "decay(gamma=0.5)"}}
    compiled = optplan.compile(document, torch.nn.Linear(1, 1))
    assert compiled.scheduler is not None
    for t in range(UPDATES):
        assert compiled.lr() == {"default": pytest.approx(OWN * 0.5**t, rel=1e-12)}
        compiled.optimizer.step()
        compiled.scheduler.step()
