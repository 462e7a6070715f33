"""`compiled.step` makes the updates of the loop that people write by hand in PyTorch, bit for bit."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim.lr_scheduler import LambdaLR

import optplan
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from optplan import StepResult
    from optplan.resolve.plan import Plan

UPDATES = 100
LR, MUON_LR, DECAY = 3e-3, 0.02, 0.1
WARMUP = 10
SCHEDULE = f"warmup({WARMUP}) -> cosine(to=0.1x)"
# Batches whose loss is infinite under a loss scale, the very first among them
OVERFLOWS = frozenset({0, 1, 17, 40, 41, 42, 75, 98})


class Kind(NamedTuple):
    """A document, and the optimizers that people would write."""

    document: dict[str, Any]
    by_hand: Callable[[nn.Module], list[Optimizer]]


def adamw(**options: Any) -> Kind:
    """AdamW in two groups."""

    def by_hand(model: nn.Module) -> list[Optimizer]:
        spared = [p for n, p in model.named_parameters() if p.ndim == 1]
        decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
        groups: list[dict[str, Any]] = [{"params": spared, "weight_decay": 0.0}, {"params": decayed}]
        return [torch.optim.AdamW(groups, lr=LR, weight_decay=DECAY, **options)]

    rules = [{"where": "ndim == 1", "weight_decay": 0}]
    optimizer = {"type": "adamw", "lr": LR, "weight_decay": DECAY, "torch": options}
    return Kind(document(optimizer, rules=rules, schedule={"lr": SCHEDULE}), by_hand)


def muon_beside_sgd() -> Kind:
    """Two optimizers of different classes."""

    def by_hand(model: nn.Module) -> list[Optimizer]:
        rest = [p for n, p in model.named_parameters() if n != "body.weight"]
        return [
            torch.optim.SGD(rest, lr=LR, momentum=0.9),
            torch.optim.Muon([model.get_parameter("body.weight")], lr=MUON_LR),
        ]

    optimizers = {"hidden": {"type": "muon", "lr": MUON_LR, "weight_decay": 0.1}}
    rules = [{"where": "body.weight", "use": "hidden"}]
    optimizer = {"type": "sgd", "lr": LR, "momentum": 0.9}
    return Kind(document(optimizer, optimizers=optimizers, rules=rules, schedule={"lr": SCHEDULE}), by_hand)


KINDS = {
    "adamw": adamw(),
    "foreach": adamw(foreach=True),
    "fused": adamw(fused=True),
    "several": muon_beside_sgd(),
}
STEPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "norm": {"clip": "norm(0.5)"},
    "value": {"clip": "value(0.02)", "accumulate": 3},
    "dynamic": {"loss_scale": "dynamic(init=1024, every=7)"},
    "fixed": {"clip": "value(0.02)", "loss_scale": "1024", "accumulate": 2},
    "everything": {"clip": "norm(0.5)", "loss_scale": "dynamic(init=1024, every=7)", "accumulate": 3},
}


class Done(NamedTuple):
    """What one batch did, in numbers."""

    loss: float
    norm: float | None
    scale: float
    updated: bool
    skipped: bool


def said(result: StepResult) -> Done:
    """A result in numbers."""
    norm = None if result.grad_norm is None else result.grad_norm.item()
    return Done(result.loss.item(), norm, result.scale, result.updated, result.skipped)


def batch_loss(model: nn.Module, plan: Plan, batch: int) -> Tensor:
    """The loss of a batch, infinite where it shall be."""
    loss = loss_of(model, batch)
    return loss * torch.inf if plan.loss_scale is not None and batch in OVERFLOWS else loss


def train_by_hand(model: nn.Module, optimizers: list[Optimizer], plan: Plan) -> list[Done]:
    """The loop as PyTorch's documentation has it, with a gradient scaler and several optimizers."""
    factor = dict(plan.groups[0].curves)["lr"].factor
    rates = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    clip, scale, accumulate = plan.clip, plan.loss_scale, plan.accumulate
    window = scale.every if scale is not None and scale.kind == "dynamic" else 10**9
    scaler = torch.amp.GradScaler(
        "cpu", scale.init if scale else 1.0, growth_interval=window, enabled=scale is not None
    )
    done, t = [], 0
    for update in range(UPDATES):
        for group, own in rates:
            group["lr"] = own * factor(t)
        for batch in range(update * accumulate, (update + 1) * accumulate):
            loss = batch_loss(model, plan, batch)
            scaled: Any = scaler.scale(loss / accumulate if accumulate > 1 else loss)
            scaled.backward()
            done.append(Done(loss.item(), None, scaler.get_scale(), updated=False, skipped=False))
        for optimizer in optimizers:
            scaler.unscale_(optimizer)
        norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if clip is not None and clip.kind == "norm":
            norm = clip_grad_norm_(model.parameters(), clip.limit)
        elif clip is not None:
            clip_grad_value_(model.parameters(), clip.limit)
        before = scaler.get_scale()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        skipped = scaler.get_scale() < before
        if skipped and window == 10**9:
            scaler.update(before)
        done[-1] = done[-1]._replace(norm=norm.item(), updated=not skipped, skipped=skipped)
        t += not skipped
        for optimizer in optimizers:
            optimizer.zero_grad()
    return done


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_it_is_the_loop_written_by_hand(kind: Kind, step: dict[str, Any]) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile({**kind.document, **step}, mine, steps=UPDATES)
    plan = compiled.plan
    batches = range(UPDATES * plan.accumulate)
    results = [said(compiled.step(batch_loss(mine, plan, batch))) for batch in batches]
    expected = train_by_hand(theirs, kind.by_hand(theirs), plan)
    assert list(map(repr, results)) == list(map(repr, expected))  # a nan is a nan
    assert same_weights(mine, theirs)
    assert compiled.scheduler.last_epoch == sum(each.updated for each in results)
    assert any(each.skipped for each in results) == (plan.loss_scale is not None)


def factor(t: int) -> float:
    """The schedule as it is written down: a line from 0, then half a cosine towards a tenth over the rest of the run.

    The cosine is that of Loshchilov and Hutter, "SGDR", equation 5.
    """
    if t < WARMUP:
        return t / WARMUP
    return 0.1 + 0.9 * (1 + cos(pi * (t - WARMUP) / (UPDATES - WARMUP))) / 2


def test_it_is_the_loop_with_a_scheduler_of_torch() -> None:
    """AdamW in two groups, clipped by the norm, its rates from `LambdaLR`; nothing here asks the plan."""
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile({**KINDS["adamw"].document, "clip": "norm(0.5)"}, mine, steps=UPDATES)
    (optimizer,) = KINDS["adamw"].by_hand(theirs)
    scheduler = LambdaLR(optimizer, factor)
    for update in range(UPDATES):
        (expected,) = {group["lr"] for group in optimizer.param_groups}
        assert list(compiled.lr().values()) == pytest.approx([expected, expected], rel=1e-12)
        loss: Any = loss_of(theirs, update)
        loss.backward()
        norm = clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        result = compiled.step(loss_of(mine, update))
        torch.testing.assert_close(result.loss, loss.detach())
        torch.testing.assert_close(result.grad_norm, norm)
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-6, atol=1e-7)
