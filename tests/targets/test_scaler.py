"""The loss scale of a plan is a GradScaler: by its numbers, and wherever one is taken."""

from __future__ import annotations

import pickle
from copy import deepcopy
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

import optplan
from optplan.resolve.training import LossScale
from optplan.targets.torch.optimizer import MultiOptimizer
from optplan.targets.torch.scaler import PlanScaler
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded, weights

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch.optim import Optimizer

FIXED = LossScale("fixed", 512.0)
KEEPS = LossScale("fixed", 512.0, drop_overflow=False)
DYNAMIC = LossScale("dynamic", 1024.0, every=3)


def several(model: nn.Module) -> Optimizer:
    """Muon beside AdamW, behind one optimizer."""
    rest = [p for n, p in model.named_parameters() if n != "body.weight"]
    matrix = {"params": [model.get_parameter("body.weight")], "optimizer": "muon", "lr": 0.02}
    return MultiOptimizer([matrix, {"params": rest, "optimizer": "adamw", "lr": 0.01}])


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
    "fused": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, fused=True),
    "several": several,
}
each_optimizer = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)


def backward(loss: Any) -> None:
    """What torch leaves without a type."""
    loss.backward()


def train(
    model: nn.Module,
    optimizer: Optimizer,
    scaler: GradScaler,
    updates: range,
    overflows: Collection[int] = (),
    *,
    unscales: bool = False,
) -> list[float]:
    """The loop of PyTorch's documentation; the scale after each update."""
    scales = []
    for update in updates:
        optimizer.zero_grad()
        loss = loss_of(model, update)
        backward(scaler.scale(loss * torch.inf if update in overflows else loss))
        if unscales:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


class Weight(nn.Module):
    """One number, whose gradient is the factor that the loss is made with."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def loss(self, factor: float) -> Tensor:
        return (self.weight * factor).sum()


def factor(update: int) -> float:
    """Among the first ones infinite, or so large that only a small scale leaves it finite; then 1."""
    return torch.inf if update in {60, 157} else 3e33 if update % 11 == 5 and update < 150 else 1.0


# Windows as they are used; more numbers; and a scale that would grow beyond float32
DYNAMICS = [
    "dynamic(every=7)",
    "dynamic(every=20)",
    "dynamic(every=2000)",
    "dynamic(every=1)",
    "dynamic(init=3, growth=1.7, backoff=0.3, every=7)",
    f"dynamic(init={2.0**126}, growth=4, backoff=0.9, every=2)",
]


@pytest.mark.parametrize("text", DYNAMICS)
def test_a_dynamic_scale_takes_the_steps_of_gradscaler(text: str) -> None:
    mine, theirs = Weight(), Weight()
    compiled = optplan.compile(document({"type": "sgd", "lr": 1e-3}, loss_scale=text), mine)
    rule = compiled.plan.loss_scale
    assert rule is not None
    stock = GradScaler("cpu", rule.init, rule.growth, rule.backoff, rule.every)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=1e-3)
    ours, stocks, skipped = [], [], []
    for update in range(2 * rule.every + 200):
        ours.append(compiled.step(mine.loss(factor(update))).scale)
        skipped.append(compiled.scaler.skipped)
        stocks.append(stock.get_scale())
        backward(stock.scale(theirs.loss(factor(update))))
        stock.step(optimizer)
        stock.update()
        optimizer.zero_grad()
    assert ours == stocks
    assert compiled.scaler.state_dict() == stock.state_dict()
    assert [later < now for now, later in pairwise(ours)] == skipped[:-1]
    assert any(later > now for now, later in pairwise(ours))
    assert same_weights(mine, theirs)


@each_optimizer
@pytest.mark.parametrize("unscales", [False, True])
def test_a_loop_of_ones_own(build: Callable[[nn.Module], Optimizer], *, unscales: bool) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    stock = GradScaler("cpu", 1024.0, growth_interval=3)
    ours = train(mine, build(mine), PlanScaler(DYNAMIC, "cpu"), range(20), {0, 7, 8}, unscales=unscales)
    assert ours == train(theirs, build(theirs), stock, range(20), {0, 7, 8}, unscales=unscales)
    assert len(set(ours)) > 3
    assert same_weights(mine, theirs)


@each_optimizer
@pytest.mark.parametrize("rule", [FIXED, KEEPS], ids=str)
def test_a_fixed_scale_stays(build: Callable[[nn.Module], Optimizer], rule: LossScale) -> None:
    model = seeded(Pictures)
    scaler = PlanScaler(rule, "cpu")
    assert set(train(model, build(model), scaler, range(2010 if rule is FIXED else 10), {3, 4})) == {512.0}
    assert scaler.state_dict()["scale"] == 512.0


@each_optimizer
def test_a_dropped_update_changes_no_weight(build: Callable[[nn.Module], Optimizer]) -> None:
    model = seeded(Pictures)
    optimizer, scaler = build(model), PlanScaler(FIXED, "cpu")
    seen = []
    for update in range(6):
        before = weights(model)
        train(model, optimizer, scaler, range(update, update + 1), {0, 3})
        seen.append((scaler.skipped, all(torch.equal(p, before[n]) for n, p in model.named_parameters())))
    assert seen == [(update in {0, 3},) * 2 for update in range(6)]


@each_optimizer
def test_an_overflow_that_is_not_dropped_is_applied(build: Callable[[nn.Module], Optimizer]) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    scaler, optimizer = PlanScaler(KEEPS, "cpu"), build(theirs)
    train(mine, build(mine), scaler, range(4))
    for update in range(4):
        optimizer.zero_grad()
        backward(512.0 * loss_of(theirs, update))
        for parameter in theirs.parameters():
            assert parameter.grad is not None
            parameter.grad /= 512.0
        optimizer.step()
    assert same_weights(mine, theirs)
    train(mine, build(mine), scaler, range(4, 5), {4})
    assert not scaler.skipped
    assert all(parameter.isnan().any() for parameter in mine.parameters())


@each_optimizer
@pytest.mark.parametrize("rule", [FIXED, KEEPS, DYNAMIC], ids=str)
def test_nothing_to_check_is_no_fault(build: Callable[[nn.Module], Optimizer], rule: LossScale) -> None:
    """GradScaler itself stops at an assertion."""
    model = seeded(Pictures)
    before, optimizer, scaler = weights(model), build(model), PlanScaler(rule, "cpu")
    loss = torch.ones((), requires_grad=True)
    for _ in range(5):
        backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()
    assert not scaler.skipped
    assert scaler.get_scale() == rule.init
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@each_optimizer
@pytest.mark.parametrize("rule", [FIXED, KEEPS, DYNAMIC], ids=str)
def test_what_is_called_twice_or_too_early_is_said(build: Callable[[nn.Module], Optimizer], rule: LossScale) -> None:
    model = seeded(Pictures)
    optimizer, scaler = build(model), PlanScaler(rule, "cpu")
    with pytest.raises(AssertionError, match=r"scaler\.scale"):
        scaler.step(optimizer)
    with pytest.raises(AssertionError, match=r"scaler\.scale"):
        scaler.update()
    scaler = PlanScaler(rule, "cpu")
    backward(scaler.scale(loss_of(model, 0)))
    with pytest.raises(AssertionError, match="prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="losure"):
        scaler.step(optimizer, closure=lambda: 0.0)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)


def test_unscaling_once_is_enough() -> None:
    model = seeded(Pictures)
    optimizer, scaler = OPTIMIZERS["sgd"](model), PlanScaler(FIXED, "cpu")
    backward(loss_of(model, 0))
    plain = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    scaler.unscale_once(optimizer)  # nothing was scaled
    optimizer.zero_grad()
    backward(scaler.scale(loss_of(model, 0)))
    scaler.unscale_once(optimizer)
    scaler.unscale_once(optimizer)
    torch.testing.assert_close([p.grad for p in model.parameters()], plain)


def test_a_run_goes_on_from_its_state() -> None:
    overflows, stops = {2, 9, 10, 31}, 17
    whole, part = seeded(Pictures), seeded(Pictures)
    expected = train(whole, several(whole), PlanScaler(DYNAMIC, "cpu"), range(40), overflows)
    optimizer, scaler = several(part), PlanScaler(DYNAMIC, "cpu")
    scales = train(part, optimizer, scaler, range(stops), overflows)
    saved = BytesIO()
    torch.save({"scaler": scaler.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    optimizer, scaler = several(part), PlanScaler(DYNAMIC, "cpu")
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    assert scaler.get_scale() == scales[-1]
    assert scales + train(part, optimizer, scaler, range(stops, 40), overflows) == expected
    assert same_weights(whole, part)


@pytest.mark.parametrize("copy", [deepcopy, lambda scaler: pickle.loads(pickle.dumps(scaler))], ids=["copy", "pickle"])  # noqa: S301 - just written
def test_it_can_be_copied(copy: Callable[[PlanScaler], PlanScaler]) -> None:
    model = seeded(Pictures)
    scaler = PlanScaler(DYNAMIC, "cpu")
    train(model, OPTIMIZERS["fused"](model), scaler, range(8), {7})
    again = copy(scaler)
    assert (again.state_dict(), again.skipped) == (scaler.state_dict(), True)
    assert train(deepcopy(model), OPTIMIZERS["sgd"](model), again, range(4)) == train(
        deepcopy(model), OPTIMIZERS["sgd"](model), scaler, range(4)
    )


def saved_by(scaler: GradScaler) -> dict[str, Any]:
    """A state with a count of 2 updates at some scale."""
    model = Weight()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        backward(scaler.scale(model.loss(1.0)))
        scaler.step(optimizer)
        scaler.update()
    return scaler.state_dict()


def test_what_a_state_brings_is_the_scale_and_the_count() -> None:
    """The other numbers are the plan's, as they are under a schedule: a file that has changed is followed."""
    state = saved_by(GradScaler("cpu", 64.0, 4.0, 0.25, 100))
    scaler = PlanScaler(DYNAMIC, "cpu")
    scaler.load_state_dict(state)
    assert scaler.get_scale() == 64.0
    assert scaler.state_dict() == state | {"growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 3}
    assert scaler.state_dict()["_growth_tracker"] == 2
    for rule in (FIXED, KEEPS):
        scaler = PlanScaler(rule, "cpu")
        scaler.load_state_dict(state)
        assert scaler.get_scale() == 512.0
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})


def test_the_scale_is_known_after_whatever_changes_it() -> None:
    scaler = PlanScaler(DYNAMIC, "cpu")
    stock = GradScaler("cpu", 1024.0, growth_interval=3)
    model = Weight()
    optimizer, other = (torch.optim.SGD(model.parameters(), lr=0.0) for _ in range(2))

    def interval(updates: int) -> None:
        scaler.set_growth_interval(updates)
        stock.set_growth_interval(updates)

    def update(*factors: float, into: float | None = None) -> None:
        """One iteration of both scalers, with a step of an optimizer for each factor."""
        for each in (scaler, stock):
            for value, stepped in zip(factors, (optimizer, other), strict=False):
                stepped.zero_grad()
                backward(each.scale(model.loss(value)))
                each.step(stepped)
            each.update(into)

    changes: tuple[Callable[[], None], ...] = (
        lambda: update(1.0),
        lambda: update(torch.inf, 1.0),
        lambda: update(1.0, 1.0),
        lambda: update(1.0, torch.inf),
        lambda: update(1.0, into=96.0),
        lambda: interval(1),
        lambda: update(1.0),
        lambda: update(1.0),
        lambda: interval(2),
        lambda: update(1.0),
        lambda: update(1.0),
    )
    seen = []
    for change in changes:
        change()
        seen.append(scaler.get_scale())
        assert seen[-1] == stock.get_scale()
    assert seen == [1024.0, 512.0, 512.0, 256.0, 96.0, 96.0, 192.0, 384.0, 384.0, 384.0, 768.0]


def test_it_looks_at_all_optimizers_of_the_plan_together() -> None:
    """Two optimizers stepped by hand would each decide for themselves."""
    model = seeded(Pictures)
    optimizer, scaler = several(model), PlanScaler(FIXED, "cpu")
    before = weights(model)
    backward(scaler.scale(loss_of(model, 0)))
    gradient = model.get_parameter("body.weight").grad
    assert gradient is not None
    gradient[0, 0] = torch.inf
    scaler.step(optimizer)
    assert scaler.skipped
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_it_says_what_it_is() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(
        document({"type": "sgd", "lr": 0.1}, loss_scale="fixed(512, drop_overflow=false)"), model
    )
    assert isinstance(compiled.scaler, GradScaler)
    assert repr(compiled.scaler) == "PlanScaler(fixed(512, drop_overflow=false))"
    assert optplan.compile(document({"type": "sgd", "lr": 0.1}), model).scaler is None
