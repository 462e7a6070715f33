"""Policies that go by a metric, inside MindSpore's optimizers: against PyTorch's scheduler, and against our torch side.

Rates are read off the weights: SGD without momentum moves a weight of 0 with a gradient of 1 by the rate itself, in one
subtraction from 0, which rounds nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import exp, inf, nan, sin
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops
from torch.optim.lr_scheduler import ReduceLROnPlateau

import optplan
from tests.agreement.cells import Numbers
from tests.agreement.runs import difference, train_mindspore, train_torch
from tests.agreement.settings import SETTINGS, UPDATES, Case
from tests.agreement.table import DELICATE_LIMITS, LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.mindspore

REPORTS = 500
WARM = 100
OWN = 0.25


def loss(t: int) -> float:
    """Falls fast, then slowly and in waves, so that there are good and bad runs of every length."""
    return 2 * exp(-t / 40) + 0.5 + 0.2 * sin(t / 9) * exp(-t / 300)


# The arguments of `plateau`, and the same of PyTorch's scheduler
PLATEAUS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("factor=0.5, patience=0, to=1e-4", {"factor": 0.5, "patience": 0, "min_lr": 1e-4}),
    ("factor=0.5, patience=0, to=0.01x", {"factor": 0.5, "patience": 0, "min_lr": 0.01 * OWN}),
    ("factor=0.9, patience=3, cooldown=7", {"factor": 0.9, "patience": 3, "cooldown": 7}),
    ("factor=0.7, patience=4, threshold=0.05", {"factor": 0.7, "patience": 4, "threshold": 0.05}),
    (
        "factor=0.6, patience=2, threshold=0.02, threshold_mode=abs",
        {"factor": 0.6, "patience": 2, "threshold": 0.02, "threshold_mode": "abs"},
    ),
    (
        "factor=0.8, patience=12, mode=max, threshold=0.1",
        {"factor": 0.8, "patience": 12, "mode": "max", "threshold": 0.1},
    ),
    (
        "factor=0.9, patience=5, cooldown=3, mode=max, threshold=0.1, threshold_mode=abs, to=max(0.1x, 1e-3)",
        {
            "factor": 0.9,
            "patience": 5,
            "cooldown": 3,
            "mode": "max",
            "threshold": 0.1,
            "threshold_mode": "abs",
            "min_lr": 0.1 * OWN,
        },
    ),
]


def plateau(arguments: str) -> str:
    return f"plateau(metric=loss{', ' if arguments else ''}{arguments})"


def document(policies: Sequence[str], **more: Any) -> dict[str, Any]:
    """SGD, with a group of its own for each policy."""
    rules = [
        {"where": f"numbers.{number}", "name": f"rule{number}", "schedule": {"lr": policy}}
        for number, policy in enumerate(policies)
    ]
    return {"optplan": 1, "optimizer": {"type": "sgd", "lr": OWN}, "rules": rules, **more}


class InTorch(torch.nn.Module):
    """`Numbers` in PyTorch."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.numbers = torch.nn.ModuleList([torch.nn.Linear(1, 1, bias=False) for _ in range(count)])


def stock(begin: int, **arguments: Any) -> list[float]:
    """The rates of the updates from `begin` on by PyTorch's scheduler, told what is reported before each of them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=OWN)
    scheduler = ReduceLROnPlateau(optimizer, eps=0.0, **arguments)
    rates = [OWN] if begin == 0 else []
    for t in range(max(begin - 1, 0), REPORTS - 1):
        scheduler.step(loss(t))
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def used_by_mindspore(compiled: Any, cell: Numbers, count: int = REPORTS) -> list[list[float]]:
    """How far each update moves each weight down from 0, with a gradient of 1; the loss is reported after each.

    On the way, what the object tells is compared with what the update then uses.
    """
    places = [each.weight for each in cell.numbers]
    start, ones = Tensor(np.zeros(1, np.float32)), tuple(Tensor(np.ones(1, np.float32)) for _ in places)
    moves = []
    for t in range(count):
        for weight in places:
            ops.assign(weight, start)
        told = [compiled.lr_of(f"numbers.{number}.weight") for number in range(len(places))]
        compiled.optimizer(ones)
        moves.append([-float(weight.asnumpy()[0]) for weight in places])
        assert moves[-1] == in_float32([told])[0]
        compiled.report(loss=loss(t))
    return moves


def used_by_torch(compiled: Any, count: int = REPORTS) -> list[list[float]]:
    """The rates of our torch side, by group, told the same."""
    found = []
    for t in range(count):
        found.append([compiled.lr_of(f"numbers.{number}.weight") for number in range(len(compiled.parameters))])
        compiled.optimizer.step()
        compiled.scheduler.step(loss=loss(t))
    return found


def in_float32(values: list[list[float]]) -> list[list[float]]:
    """Each number as the nearest one of float32."""
    return [[float(np.float32(value)) for value in each] for each in values]


@pytest.mark.parametrize("horizon", [{}, {"horizon": {"steps": 300}}], ids=["no horizon", "a horizon"])
@pytest.mark.parametrize("begin", [0, WARM], ids=["alone", "after a warm-up"])
def test_the_rates_are_pytorchs(begin: int, horizon: dict[str, Any]) -> None:
    policies = [f"warmup({begin}) -> {plateau(text)}" if begin else plateau(text) for text, _ in PLATEAUS]
    written = document(policies, **horizon)
    cell = Numbers(len(policies))
    used = used_by_mindspore(optplan.compile(written, cell), cell)
    assert used == in_float32(used_by_torch(optplan.compile(written, InTorch(len(policies)))))
    for number, (_, arguments) in enumerate(PLATEAUS):
        expected = [OWN * t / begin for t in range(begin)] + stock(begin, **arguments)
        assert len(set(expected[begin:])) > 1, "nothing fell"
        np.testing.assert_allclose([each[number] for each in used], expected, rtol=1e-6)


def test_the_rates_are_pytorchs_where_many_groups_share_an_optimizer() -> None:
    count = 20
    rules = [{"where": f"numbers.{number}", "lr": OWN * 0.9**number} for number in range(count)]
    written = {
        "optplan": 1,
        "optimizer": {"type": "sgd"},
        "rules": rules,
        "schedule": {"lr": plateau("factor=0.5, patience=1, to=max(0.01x, 1e-3)")},
    }
    cell = Numbers(count)
    compiled = optplan.compile(written, cell)
    assert not hasattr(compiled.optimizer, "members")
    used = used_by_mindspore(compiled, cell, 150)
    assert used == in_float32(used_by_torch(optplan.compile(written, InTorch(count)), 150))
    assert len({each[0] for each in used}) > 2
    assert used[-1][0] != used[-1][-1]


def test_what_is_no_number_is_not_better() -> None:
    written = document([plateau("factor=0.5, patience=1")])
    cell = Numbers(1)
    mine, theirs = optplan.compile(written, cell), optplan.compile(written, InTorch(1))
    rates = []
    for value in [1.0, nan, nan, 0.5, inf, nan, -inf, Tensor(0.1), 1, True]:
        mine.report(loss=value)
        theirs.report(loss=value.asnumpy().item() if isinstance(value, Tensor) else value)
        assert mine.lr() == theirs.lr()
        rates.append(mine.lr_of("numbers.0.weight") / OWN)
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]


# Every number of every optimizer

LOSSES = [loss(t) for t in range(UPDATES)]


@dataclass(frozen=True, slots=True)
class Waiting(Case):
    """A case in which all that can change goes by the loss."""

    @property
    def schedule(self) -> dict[str, str]:
        """The policy of each key: the rate is halved, the others lose a little."""
        policies = {key: plateau("factor=0.97, patience=3, to=0.9x") for key in self.kind.scheduled}
        return policies | {"lr": f"warmup(20, start=1) -> {plateau('factor=0.5, patience=6, to=0.01x')}"}


CASES = [Waiting(kind, "every curve", each["every curve"]) for kind, each in SETTINGS.items()]


def _marks(optimizer: str) -> list[pytest.MarkDecorator]:
    """Two are always seen; the others hear of a report in the same way."""
    return [] if optimizer in ("sgd", "adamw") else [pytest.mark.long]


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=_marks(case.optimizer), id=case.optimizer) for case in CASES]
)
def test_the_weights_are_pytorchs(case: Waiting) -> None:
    mine, classes = train_mindspore(case, LOSSES)
    theirs = train_torch(case, losses=LOSSES)
    silent = train_torch(case)
    assert classes == {case.lowering.class_name}
    assert min(difference(silent.last, theirs.last, half) for half in ("plain", "mixed")) > 1e-2, "nothing fell"
    for half in ("plain", "mixed"):
        assert difference(theirs.last, mine.last, half) <= (DELICATE_LIMITS[case.optimizer] if case.delicate else LIMIT)


# What one key alone does: which kernel is taken, and what falls to 0

ALONE: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "sgd", "weight_decay": 0.5}, "weight_decay", "factor=0.5, patience=3"),
    ({"type": "sgd", "momentum": 0.9, "dampening": 0.4}, "momentum", "factor=0.5, patience=3"),
    ({"type": "sgd", "momentum": 0.9, "dampening": 0.4}, "momentum", "factor=0, patience=30"),
    ({"type": "sgd", "momentum": 0.9, "dampening": 0.4}, "dampening", "factor=0.5, patience=3"),
    ({"type": "sgd", "momentum": 0.9, "nesterov": True}, "momentum", "factor=0.5, patience=3, to=0.1"),
    ({"type": "rmsprop", "momentum": 0.9}, "momentum", "factor=0, patience=30"),
    ({"type": "adamw", "weight_decay": 0.5}, "weight_decay", "factor=0.5, patience=3, to=0.01"),
    ({"type": "adam", "weight_decay": 0.1}, "betas[0]", "factor=0.5, patience=3"),
    ({"type": "adamw"}, "betas[0]", "factor=0.9, patience=3, to=0.5"),
    ({"type": "nadam"}, "momentum_decay", "factor=0.5, patience=3"),
    ({"type": "mindspore.Momentum", "lr": 0.1, "momentum": 0.9}, "lr", "factor=0.5, patience=3"),
]


def trained(written: dict[str, Any], begin: float) -> list[float]:
    """A weight after each update by our side of MindSpore, with gradients that come and go."""
    cell = Numbers(1)
    compiled = optplan.compile(written, cell)
    ops.assign(cell.numbers[0].weight, Tensor(np.full(1, begin, np.float32)))
    found = []
    for t in range(UPDATES):
        compiled.optimizer((Tensor(np.full(1, t % 3 - 0.7, np.float32)),))
        compiled.report(loss=loss(t))
        found.append(float(cell.numbers[0].weight.asnumpy()[0]))
    return found


def trained_in_torch(written: dict[str, Any], begin: float) -> list[float]:
    """The same in PyTorch."""
    model = InTorch(1)
    compiled = optplan.compile(written, model)
    (weight,) = model.parameters()
    with torch.no_grad():
        weight.fill_(begin)
    found = []
    for t in range(UPDATES):
        weight.grad = torch.full((1, 1), t % 3 - 0.7)
        compiled.optimizer.step()
        compiled.scheduler.step(loss=loss(t))
        found.append(weight.item())
    return found


@pytest.mark.long_in_graph
@pytest.mark.parametrize(("optimizer", "key", "text"), ALONE, ids=[f"{each[0]['type']} {each[1:]}" for each in ALONE])
def test_one_key_alone(optimizer: dict[str, Any], key: str, text: str) -> None:
    written = {"optplan": 1, "optimizer": {"lr": 0.05, **optimizer}, "schedule": {key: plateau(text)}}
    used = trained(written, 1.0)
    assert used != trained({**written, "schedule": {key: plateau("patience=1000")}}, 1.0), "nothing fell"
    if optimizer["type"].startswith("mindspore"):
        # Their momentum is SGD's without dampening
        written["optimizer"] = {"type": "sgd", "lr": 0.1, "momentum": 0.9}
    np.testing.assert_allclose(used, trained_in_torch(written, 1.0), rtol=1e-5, atol=1e-5)


# What is said, and what is saved

WORDS = "no policy of this plan goes by `los`; the metrics are: `accuracy`, `loss`"
TWO = [plateau("factor=0.5, patience=0"), plateau("").replace("loss", "accuracy")]


@pytest.mark.parametrize(("policies", "words"), [(TWO, WORDS), (["hold(2)"], "goes by `los`; the metrics are: none")])
def test_an_unknown_metric_is_refused_alike(policies: list[str], words: str) -> None:
    count = len(policies)
    for network in (Numbers(count), InTorch(count), *([nn.Dense(1, 1)] if count == 1 else [])):
        written = document(policies)
        compiled = optplan.compile({**written, "rules": []} if isinstance(network, nn.Dense) else written, network)
        before = compiled.lr()
        with pytest.raises(ValueError, match=words):
            compiled.report(loss=1.0, los=1.0) if count == 2 else compiled.report(los=1.0)
        assert compiled.lr() == before


def test_it_goes_on_where_it_was_saved_in_either_framework() -> None:
    policies = [f"warmup(10) -> {plateau(text)}" for text, _ in PLATEAUS]
    written = document(policies)
    cell = Numbers(len(policies))
    whole: Any = optplan.compile(written, cell)
    used_by_mindspore(whole, cell, 200)
    theirs = optplan.compile(written, InTorch(len(policies)))
    used_by_torch(theirs, 200)
    assert theirs.scheduler is not None
    saved = json.loads(json.dumps(theirs.scheduler.state_dict()["plateaus"]))
    assert whole.reports.state == saved

    again = Numbers(len(policies))
    rest: Any = optplan.compile(written, again)
    used_by_mindspore(rest, again, 20)
    rest.reports.restore(saved)
    assert rest.lr() == whole.lr()
    assert used_by_mindspore(rest, again, 100) == used_by_mindspore(whole, cell, 100)
    with pytest.raises(ValueError, match="zip"):
        rest.reports.restore(saved[:1])
