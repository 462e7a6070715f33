"""What `compiled.step` does at its edges, and a loop of one's own made of its pieces."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode

import optplan
from optplan import ConfigError
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded, weights
from tests.targets.test_step import KINDS, SCHEDULE, STEPS, batch_loss

if TYPE_CHECKING:
    from collections.abc import Callable

SGD = document({"type": "sgd", "lr": 0.1, "momentum": 0.9}, schedule={"lr": SCHEDULE})
SCALES = {
    "none": "none",
    "dynamic": "dynamic(init=1024, every=7)",
    "fixed": 1024,
    "kept": "fixed(8, drop_overflow=false)",
}

every_kind = pytest.mark.parametrize("kind", [kind.document for kind in KINDS.values()], ids=KINDS)
every_scale = pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)


def backward(loss: Any) -> None:
    """What torch leaves without a type."""
    loss.backward()


def compiled_for(config: dict[str, Any], **rest: Any) -> tuple[nn.Module, Any]:
    model = seeded(Pictures)
    return model, optplan.compile({**config, **rest}, model, steps=100)


def everything(compiled: Any) -> str:
    """The state of optimizer and schedule, tensors by their values."""
    return repr((compiled.optimizer.state_dict(), compiled.scheduler.state_dict()))


# A loop of one's own


@every_kind
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_loop_made_of_the_pieces(kind: dict[str, Any], step: dict[str, Any]) -> None:
    mine, compiled = compiled_for(kind, **step)
    theirs, whole = compiled_for(kind, **step)
    optimizer, scheduler = compiled
    scaler, plan = compiled.scaler, compiled.plan
    for update in range(45):
        for batch in range(update * plan.accumulate, (update + 1) * plan.accumulate):
            loss = batch_loss(mine, plan, batch)
            if plan.accumulate > 1:
                loss = loss / plan.accumulate
            backward(loss if scaler is None else scaler.scale(loss))
            whole.step(batch_loss(theirs, plan, batch))
        compiled.clip_gradients()
        if scaler is None:
            optimizer.step()
            scheduler.step()
        else:
            scaler.step(optimizer)
            scaler.update()
            if not scaler.skipped:
                scheduler.step()
        optimizer.zero_grad()
    assert same_weights(mine, theirs)
    assert compiled.lr() == whole.lr()


# Which updates are due


def test_accumulation_counts_updates_not_calls() -> None:
    model, compiled = compiled_for(SGD, accumulate=3)
    seen = []
    for batch in range(7):
        result = compiled.step(loss_of(model, batch))
        seen.append((compiled.gathered, result.updated, result.grad_norm is not None, compiled.scheduler.last_epoch))
    gathers = [(1, False, False), (2, False, False), (0, True, True)]
    assert seen == [(*gathers[batch % 3], (batch + 1) // 3) for batch in range(7)]


def test_gradients_are_the_mean_over_the_batches() -> None:
    model, compiled = compiled_for(SGD, accumulate=4)
    other = deepcopy(model)
    for batch in range(4):
        result = compiled.step(loss_of(model, batch))
    mean = torch.stack([loss_of(other, batch) for batch in range(4)]).mean()
    torch.testing.assert_close(result.loss, loss_of(other, 3))
    backward(mean)
    torch.testing.assert_close(result.grad_norm, clip_grad_norm_(other.parameters(), 1.0))


def test_the_call_may_say_of_how_many() -> None:
    model, compiled = compiled_for(SGD, accumulate=3)
    one, by_file = compiled_for(SGD, accumulate=2)
    for batch in range(6):
        mine = compiled.step(loss_of(model, batch), accumulate=2)
        assert mine.updated == by_file.step(loss_of(one, batch)).updated == (batch % 2 == 1)
    assert same_weights(model, one)


def test_the_call_may_say_when() -> None:
    model, compiled = compiled_for(SGD, accumulate=3)
    said = [None, None, False, None, None, True, True]
    results = [compiled.step(loss_of(model, batch), update=update) for batch, update in enumerate(said)]
    assert [result.updated for result in results] == [False, False, False, True, False, True, True]
    assert compiled.gathered == 0


@pytest.mark.parametrize("accumulate", [0, -1, 2.0, "2"])
def test_a_number_of_batches_that_is_none(accumulate: Any) -> None:
    model, compiled = compiled_for(SGD)
    with pytest.raises(ValueError, match="counts the batches of an update, from 1"):
        compiled.step(loss_of(model, 0), accumulate=accumulate)


def test_gradients_that_are_there_count() -> None:
    mine, compiled = compiled_for(SGD)
    theirs, other = compiled_for(SGD)
    backward(loss_of(mine, 0))
    compiled.step(loss_of(mine, 1))
    other.step(loss_of(theirs, 0) + loss_of(theirs, 1))
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name))
        assert parameter.grad is None


def test_the_norm_may_be_left_out() -> None:
    for clip, known in (("none", False), ("value(1)", False), ("norm(1)", True)):
        model, compiled = compiled_for(SGD, clip=clip)
        assert (compiled.step(loss_of(model, 0), norm=False).grad_norm is not None) == known
        assert compiled.step(loss_of(model, 0)).grad_norm > 0


def test_the_loss_of_the_result_has_no_graph() -> None:
    model, compiled = compiled_for(SGD, loss_scale=1024, accumulate=2)
    loss = loss_of(model, 0)
    result = compiled.step(loss)
    assert torch.equal(result.loss, loss)
    assert not result.loss.requires_grad


# What overflows


@every_kind
def test_a_dropped_update_changes_nothing(kind: dict[str, Any]) -> None:
    """Not even at first, when an optimizer has no state yet."""
    model, compiled = compiled_for(kind, loss_scale="dynamic(init=1024)")
    for batch in range(6):
        before, state = weights(model), everything(compiled)
        overflows = batch in {0, 3, 4}
        result = compiled.step(loss_of(model, batch) * (torch.inf if overflows else 1.0))
        unchanged = all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
        assert (result.updated, result.skipped) == (not overflows, overflows)
        assert unchanged or not overflows
        assert (everything(compiled) == state) == overflows
        assert all(parameter.grad is None for parameter in model.parameters())


def test_one_bad_batch_drops_what_was_gathered_with_it() -> None:
    model, compiled = compiled_for(SGD, loss_scale=1024, accumulate=2)
    other, clean = compiled_for(SGD, loss_scale=1024, accumulate=2)
    for batch, factor in enumerate([1.0, 1.0, torch.inf, 1.0, 1.0, 1.0]):
        compiled.step(loss_of(model, batch) * factor)
        if batch not in {2, 3}:
            clean.step(loss_of(other, batch))
    assert same_weights(model, other)


@pytest.mark.parametrize("scale", [SCALES["none"], SCALES["kept"]])
def test_without_a_check_an_update_is_made_as_torch_makes_it(scale: Any) -> None:
    model, compiled = compiled_for(SGD, loss_scale=scale)
    result = compiled.step(loss_of(model, 0) * torch.nan)
    assert (result.updated, result.skipped, compiled.scheduler.last_epoch) == (True, False, 1)
    assert result.grad_norm.isnan()
    # The rate of the first update is 0, and 0 times nan is one
    assert all(parameter.isnan().any() for parameter in model.parameters())


# What has no gradient


@every_scale
def test_a_parameter_that_the_loss_does_not_reach_stays(scale: Any) -> None:
    model, compiled = compiled_for(SGD, loss_scale=scale)
    before = weights(model)
    for _ in range(3):
        result = compiled.step(model.get_parameter("head.bias").square().sum() + model.get_parameter("stem.bias").sum())
    assert (result.updated, result.skipped) == (True, False)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {"head.bias", "stem.bias"}


@every_scale
@every_kind
def test_a_step_that_reaches_no_parameter(kind: dict[str, Any], scale: Any) -> None:
    """A fault of the loop, after which nothing is changed; the pieces of a loop of one's own pass over it, as torch."""
    model, compiled = compiled_for(kind, loss_scale=scale)
    before = weights(model)
    with pytest.raises(ValueError, match="no parameter of the plan has a gradient"):
        compiled.step(torch.ones((), requires_grad=True) * 2)
    if compiled.scaler is not None:
        compiled.scaler.scale(torch.ones(()))
        assert compiled.clip_gradients() == 0
        compiled.scaler.step(compiled.optimizer)
        compiled.scaler.update()
        assert not compiled.scaler.skipped
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert compiled.step(loss_of(model, 0)).updated


@every_scale
def test_frozen_parameters_stay(scale: Any) -> None:
    model, compiled = compiled_for(SGD, rules=[{"where": "body or stem", "freeze": True}], loss_scale=scale)
    before = weights(model)
    for batch in range(3):
        compiled.step(loss_of(model, batch))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if not name.startswith(("body", "stem"))}


# What is no loss


LOSSES: list[tuple[Callable[[nn.Module], Any], type[Exception], str]] = [
    (lambda model: loss_of(model, 0).item(), TypeError, r"is a `float`; leave out `\.item\(\)` and `float\(\)`"),
    (lambda model: {"loss": loss_of(model, 0)}, TypeError, r"is a `dict`; give its loss, as in `out\.loss`"),
    (lambda _: None, TypeError, "is a `NoneType`"),
    (lambda model: torch.stack([loss_of(model, 0)] * 3), ValueError, r"has shape \[3\]; take its mean or its sum"),
    (lambda model: loss_of(model, 0).detach(), ValueError, "nothing that is trained has a part in this loss"),
    (lambda model: lambda: loss_of(model, 0).item(), TypeError, "is a `float`"),
]


@every_scale
@pytest.mark.parametrize(("make", "fault", "message"), LOSSES)
def test_what_is_no_loss(make: Callable[[nn.Module], Any], fault: type[Exception], message: str, scale: Any) -> None:
    model, compiled = compiled_for(SGD, loss_scale=scale)
    with pytest.raises(fault, match=message):
        compiled.step(make(model))
    # Nothing of it stays
    assert compiled.gathered == 0
    assert compiled.step(loss_of(model, 0)).updated


@every_scale
@pytest.mark.parametrize("place", ["backward", "update"])
def test_what_fails_half_way_leaves_no_gradients(place: str, scale: Any) -> None:
    mine, compiled = compiled_for(SGD, loss_scale=scale, accumulate=2)
    theirs, other = compiled_for(SGD, loss_scale=scale, accumulate=2)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    compiled.step(loss_of(mine, 0))
    if place == "backward":
        weight: Any = mine.get_parameter("body.weight")
        hook = weight.register_hook(fail)
    else:
        hook = compiled.optimizer.register_step_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        compiled.step(loss_of(mine, 1))
    hook.remove()
    assert compiled.gathered == 0
    assert all(parameter.grad is None for parameter in mine.parameters())
    for batch in range(2, 6):
        assert compiled.step(loss_of(mine, batch)).updated == other.step(loss_of(theirs, batch)).updated
    assert same_weights(mine, theirs)
    assert compiled.lr() == other.lr()


def test_a_compiled_forward_pass() -> None:
    mine, one = compiled_for(SGD, loss_scale=1024, clip="norm(0.5)", accumulate=2)
    theirs, other = compiled_for(SGD, loss_scale=1024, clip="norm(0.5)", accumulate=2)
    fast: Any = torch.compile(mine, backend="eager")
    fast.batch = mine.batch
    for batch in range(6):
        one.step(loss_of(fast, batch))
        other.step(loss_of(theirs, batch))
    assert same_weights(mine, theirs)


def test_a_loss_of_one_element_is_one_number() -> None:
    mine, one = compiled_for(SGD)
    theirs, other = compiled_for(SGD)
    assert one.step(loss_of(mine, 0).reshape(1)).loss.shape == ()
    other.step(loss_of(theirs, 0))
    assert same_weights(mine, theirs)


# Optimizers that evaluate the loss


LBFGS: list[dict[str, Any]] = [
    {"lr": 0.5, "max_iter": 3},
    {"lr": 1.0, "max_iter": 4, "line_search_fn": "strong_wolfe"},
]


@pytest.mark.parametrize("name", ["lbfgs", "torch.LBFGS"])
@pytest.mark.parametrize("settings", LBFGS)
@pytest.mark.parametrize("clip", ["none", "norm(0.1)"])
def test_an_optimizer_that_evaluates_the_loss(name: str, settings: dict[str, Any], clip: str) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile(document({"type": name, **settings}, clip=clip), mine)
    optimizer = torch.optim.LBFGS(theirs.parameters(), **settings)
    evaluated: list[tuple[float, float]] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(theirs, update)
        backward(loss)
        norm = clip_grad_norm_(theirs.parameters(), 0.1 if clip != "none" else torch.inf)
        evaluated.append((loss.item(), norm.item()))
        return loss

    for update in range(8):
        evaluated.clear()
        result = compiled.step(lambda: loss_of(mine, update))  # noqa: B023 - called at once
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch's own
        assert (result.loss.item(), result.grad_norm.item()) == evaluated[0]
        assert (result.updated, result.skipped, result.scale) == (True, False, 1.0)
    assert same_weights(mine, theirs)


def test_what_such_an_optimizer_cannot_take() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(document({"type": "lbfgs"}), model)
    with pytest.raises(TypeError, match="`LBFGS` evaluates the loss anew: give a function"):
        compiled.step(loss_of(model, 0))
    with pytest.raises(ValueError, match="let the function that gives it go over all batches"):
        compiled.step(lambda: loss_of(model, 0), accumulate=2)
    with pytest.raises(ValueError, match="let the function that gives it go over all batches"):
        compiled.step(lambda: loss_of(model, 0), update=False)
    with pytest.raises(TypeError, match="is a `float`"):
        compiled.step(lambda: loss_of(model, 0).item())
    with pytest.raises(ConfigError) as caught:
        optplan.plan(document({"type": "lbfgs"}, loss_scale=1024, accumulate=2), model)
    assert [(each.code, each.message) for each in caught.value.diagnostics] == [
        (
            "OP501",
            "`lbfgs` evaluates the loss anew within an update, and nothing can be gathered for it: `accumulate` is 2",
        ),
        ("OP501", "`lbfgs` evaluates the loss anew within an update, and no loss scale can be taken out there"),
    ]


def test_other_optimizers_take_a_function_too() -> None:
    mine, one = compiled_for(SGD, loss_scale=1024, accumulate=2, clip="norm(0.1)")
    theirs, other = compiled_for(SGD, loss_scale=1024, accumulate=2, clip="norm(0.1)")
    for batch in range(6):
        one.step(lambda: loss_of(mine, batch))  # noqa: B023 - called at once
        other.step(loss_of(theirs, batch))
    assert same_weights(mine, theirs)


def test_gradients_in_half_precision_are_refused() -> None:
    """GradScaler refuses them at the first update."""
    model = seeded(Pictures).half()
    with pytest.raises(ConfigError) as caught:
        optplan.plan(document({"type": "sgd", "lr": 0.1}, loss_scale=1024), model)
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP501"
    assert (
        fault.message
        == "`fixed(1024, drop_overflow=true)` takes no gradients of float16 on torch, and `stem.weight` has them"
    )
    assert fault.help == "keep the weights in float32, and compute the loss under `torch.autocast`"
    assert fault.excerpt is not None
    assert "1024" in fault.excerpt


# What else a loop has


@every_scale
def test_a_run_goes_on_from_its_state(scale: Any) -> None:
    config = {**KINDS["several"].document, "loss_scale": scale, "clip": "norm(0.5)", "accumulate": 2}
    whole, compiled = compiled_for(config)
    for batch in range(40):
        compiled.step(batch_loss(whole, compiled.plan, batch) if scale != SCALES["kept"] else loss_of(whole, batch))
    part, first = compiled_for(config)
    for batch in range(21):  # the last batch waits for another, and is lost
        first.step(batch_loss(part, first.plan, batch) if scale != SCALES["kept"] else loss_of(part, batch))
    state = deepcopy([each.state_dict() for each in (*first, *([first.scaler] if first.scaler else []))])
    second: Any = first.plan.bind(part)
    for parameter in part.parameters():
        parameter.grad = None
    for each, saved in zip((*second, second.scaler), state, strict=False):
        each.load_state_dict(saved)
    for batch in range(20, 40):
        second.step(batch_loss(part, second.plan, batch) if scale != SCALES["kept"] else loss_of(part, batch))
    assert same_weights(whole, part)
    assert second.scheduler.last_epoch == compiled.scheduler.last_epoch


def test_a_rate_that_is_a_tensor_stays_one() -> None:
    model, compiled = compiled_for(document({"type": "adamw", "lr": 1e-2}, torch={"tensor_lr": True}), clip="norm(1)")
    rates = [group["lr"] for group in compiled.optimizer.param_groups]
    for batch in range(4):
        compiled.step(loss_of(model, batch))
    assert all(rate is group["lr"] for rate, group in zip(rates, compiled.optimizer.param_groups, strict=True))


@every_scale
def test_a_forward_pass_in_half_precision(scale: Any) -> None:
    """The loss under autocast, the step outside of it, as PyTorch's documentation has it."""
    mine, compiled = compiled_for(SGD, loss_scale=scale, clip="norm(0.5)")
    theirs = seeded(Pictures)
    plain = optplan.compile({**SGD, "clip": "norm(0.5)"}, theirs, steps=100)
    for batch in range(10):
        with torch.autocast("cpu", torch.bfloat16):
            loss, other = loss_of(mine, batch), loss_of(theirs, batch)
        assert loss.dtype == torch.float32
        assert compiled.step(loss).updated
        plain.step(other)
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-4, atol=1e-5)


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts how often a number is read off a tensor, for which the host waits for the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += str(func) == "aten._local_scalar_dense.default"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("step", "reads"),
    [
        ({"clip": "norm(1)", "accumulate": 2}, 0),
        ({"clip": "value(1)"}, 0),
        ({"loss_scale": SCALES["kept"], "clip": "norm(1)"}, 2),  # at first, the scale and how long it stays
        ({"loss_scale": SCALES["fixed"], "clip": "norm(1)"}, 2 + 20),  # and whether an update is dropped
        ({"loss_scale": "dynamic(every=7)", "accumulate": 2}, 2 + 10 + 2),  # and again when it has grown
    ],
)
def test_the_host_waits_for_no_more_than_it_needs(step: dict[str, Any], reads: int) -> None:
    model, compiled = compiled_for(SGD, **step)
    with Reads() as seen:  # type: ignore[no-untyped-call]  # as above
        for batch in range(20):
            loss: Tensor = (model.get_parameter("head.weight") * (1.0 + batch)).sum()
            compiled.step(loss)
    assert seen.count == reads
