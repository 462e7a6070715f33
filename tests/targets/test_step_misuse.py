"""What a loop does beside `compiled.step`, or in place of it, that would spoil a training in silence."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.swa_utils import AveragedModel

import optplan
from optplan.targets.torch.counting import Count
from optplan.targets.torch.notice import hand_over
from tests.targets.networks import Pictures, document, loss_of, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = {"clip": "norm(0.5)", "accumulate": 3, "loss_scale": "dynamic(init=1024)"}
KEYS = {"clip": "`clip: norm(0.5)`", "accumulate": "`accumulate: 3`", "loss_scale": "`loss_scale: dynamic(init=1024"}
MUON = {"optimizers": {"hidden": {"type": "muon", "lr": 0.01}}, "rules": [{"where": "body.weight", "use": "hidden"}]}


def compiled_for(**rest: Any) -> tuple[nn.Module, Any]:
    model = seeded(Pictures)
    return model, optplan.compile(document({"type": "sgd", "lr": 0.1}, **rest), model, steps=100)


def backward(loss: Any) -> None:
    """What torch leaves without a type."""
    loss.backward()


def hooks_of(compiled: Any) -> Any:
    """What torch calls after each update."""
    hooks = compiled.optimizer._optimizer_step_post_hooks  # noqa: SLF001 - to be empty, or there is a cost
    # beside the one that counts updates where nothing else does
    return [each for each in hooks.values() if not isinstance(getattr(each, "__self__", None), Count)]


def plain(model: nn.Module, compiled: Any, *, batch: int = 0, closure: bool = False) -> None:
    """One update of a loop that knows nothing of the file."""

    def give() -> Any:
        loss = loss_of(model, batch)
        backward(loss)
        return loss

    if closure:
        compiled.optimizer.step(give)
    else:
        give()
        compiled.optimizer.step()
    compiled.optimizer.zero_grad()


# A plain loop


@pytest.mark.parametrize("more", [{}, MUON], ids=["one optimizer", "several"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("closure", [False, True])
def test_a_plain_loop_is_told_what_it_leaves_out(
    key: str, more: dict[str, Any], closure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model, compiled = compiled_for(**{key: WHOLE[key]}, **more)
    for batch in range(3):
        plain(model, compiled, batch=batch, closure=closure)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("optplan", "WARNING")
    assert KEYS[key] in record.getMessage()
    assert "call `compiled.step(loss)` in place of" in record.getMessage()


def test_all_of_them_are_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(**WHOLE)
    plain(model, compiled)
    (message,) = caplog.messages
    assert all(each in message for each in KEYS.values())
    assert "`compiled.clip_gradients()`" in message
    assert "`compiled.scaler`" in message


def test_nothing_stays_after_the_first_update() -> None:
    model, compiled = compiled_for(**WHOLE)
    assert len(hooks_of(compiled)) == 1
    plain(model, compiled)
    assert len(hooks_of(compiled)) == 0
    assert len(hooks_of(compiled_for()[1])) == 0
    model, compiled = compiled_for(**WHOLE)
    compiled.step(loss_of(model, 0))
    assert len(hooks_of(compiled)) == 0


def test_other_hooks_are_called_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(clip="norm(0.5)")
    seen = []
    compiled.optimizer.register_step_post_hook(lambda *_: seen.append(1))
    for _ in range(3):
        plain(model, compiled)
    assert (len(seen), len(caplog.messages)) == (3, 1)


def test_copies_of_the_optimizer_have_no_part_in_it(caplog: pytest.LogCaptureFixture) -> None:
    _, compiled = compiled_for(**WHOLE)
    for copy in (deepcopy(compiled.optimizer), pickle.loads(pickle.dumps(compiled.optimizer))):  # noqa: S301 - our own
        for group in copy.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        copy.step()
    assert caplog.messages == []
    twin = deepcopy(compiled)
    twin.optimizer.step()
    twin.step(sum(parameter.sum() for parameter in twin.parameters), update=True)
    assert caplog.messages == []


def by_pieces(model: nn.Module, compiled: Any) -> None:
    for batch in range(3):
        backward(compiled.scaler.scale(loss_of(model, batch) / 3))
    compiled.clip_gradients()
    compiled.scaler.step(compiled.optimizer)
    compiled.scaler.update()


def gathered(model: nn.Module, compiled: Any) -> None:
    for batch in range(3):
        backward(loss_of(model, batch) / 3)
    compiled.optimizer.step()


def clipped(model: nn.Module, compiled: Any) -> None:
    def give() -> Any:
        compiled.optimizer.zero_grad()
        loss = loss_of(model, 0)
        backward(loss)
        compiled.clip_gradients()
        return loss

    compiled.optimizer.step(give)


def by_torch(model: nn.Module, compiled: Any) -> None:
    backward(loss_of(model, 0) * 100)
    if compiled.plan.clip.kind == "norm":
        clip_grad_norm_(model.parameters(), compiled.plan.clip.limit)
    else:
        clip_grad_value_(model.parameters(), compiled.plan.clip.limit)
    compiled.optimizer.step()


def by_a_host(model: nn.Module, compiled: Any) -> None:
    hand_over(compiled.plan)
    plain(model, compiled)


def scaled(model: nn.Module, compiled: Any) -> None:
    backward(compiled.scaler.scale(loss_of(model, 0)))
    compiled.scaler.step(compiled.optimizer)
    compiled.scaler.update()


def stepped(model: nn.Module, compiled: Any) -> None:
    for batch in range(3):
        compiled.step(loss_of(model, batch))


RIGHT: list[tuple[Callable[[nn.Module, Any], None], dict[str, Any]]] = [
    (by_pieces, WHOLE),
    (stepped, WHOLE),
    (by_a_host, WHOLE),
    (gathered, {"accumulate": 3}),
    (clipped, {"clip": "norm(0.5)"}),
    (by_torch, {"clip": "norm(0.5)"}),
    (by_torch, {"clip": "value(0.01)"}),
    (scaled, {"loss_scale": 1024}),
    (plain, {}),
]


@pytest.mark.parametrize(("loop", "said"), RIGHT)
def test_what_carries_it_out_is_told_nothing(
    loop: Callable[[nn.Module, Any], None], said: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    model, compiled = compiled_for(**said)
    for _ in range(2):
        loop(model, compiled)
        compiled.optimizer.zero_grad()
    assert caplog.messages == []


def test_a_piece_that_is_left_out_is_told(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(**WHOLE)
    scaled(model, compiled)
    (message,) = caplog.messages
    assert message.startswith("`clip: norm(0.5)` of the plan")
    model, compiled = compiled_for(loss_scale=1024)
    other: Any = GradScaler("cpu")
    backward(other.scale(loss_of(model, 0)))
    other.step(compiled.optimizer)
    assert "`loss_scale: fixed(1024" in caplog.messages[1]


@pytest.mark.filterwarnings("ignore:.*jit.script_method.*:DeprecationWarning")  # torch's, of what its compiler imports
def test_a_compiled_update_is_looked_at_too(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(clip="norm(0.5)")
    step: Any = torch.compile(compiled.optimizer.step, backend="eager")
    for batch in range(3):
        backward(loss_of(model, batch))
        step()
        compiled.optimizer.zero_grad()
    assert [record.name for record in caplog.records].count("optplan") == 1


def test_an_optimizer_in_its_place_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(clip="norm(0.5)")
    compiled.adopt(compiled.optimizer_class(compiled.param_groups, **compiled.defaults))
    plain(model, compiled)
    assert len(caplog.messages) == 1


def test_an_optimizer_in_its_place_after_an_update_is_not(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(clip="norm(0.5)")
    compiled.step(loss_of(model, 0))
    compiled.adopt(compiled.optimizer_class(compiled.param_groups, **compiled.defaults))
    by_torch(model, compiled)
    plain(model, compiled)
    assert caplog.messages == []
    assert len(hooks_of(compiled)) == 0


# Beside `compiled.step`


@pytest.mark.parametrize("scale", ["none", 1024])
def test_gathered_gradients_must_stay(scale: Any) -> None:
    model, compiled = compiled_for(accumulate=3, loss_scale=scale)
    compiled.step(loss_of(model, 0))
    compiled.step(loss_of(model, 1))
    compiled.optimizer.zero_grad()
    message = r"gradients of 2 batches before this one are gone: .* clears gradients itself: leave out `zero_grad\(\)`"
    with pytest.raises(RuntimeError, match=message):
        compiled.step(loss_of(model, 2))
    # The next window is a whole one
    assert [compiled.step(loss_of(model, batch)).updated for batch in range(3)] == [False, False, True]


def test_clearing_after_an_update_does_no_harm() -> None:
    model, compiled = compiled_for(accumulate=2)
    for batch in range(4):
        if compiled.step(loss_of(model, batch)).updated:
            compiled.optimizer.zero_grad()
    # Nor is anything gone where there was nothing yet
    compiled.step(torch.ones((), requires_grad=True) * 2)
    assert compiled.step(loss_of(model, 0)).updated


LINE = {"schedule": {"lr": "linear(to=0x)"}}


def test_a_schedule_that_is_stepped_twice_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(**LINE)
    for batch in range(4):
        compiled.step(loss_of(model, batch))
        compiled.scheduler.step()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("optplan", "WARNING")
    assert "`compiled.step` steps it itself, leave out `scheduler.step()`" in record.getMessage()


def test_what_may_move_a_schedule(caplog: pytest.LogCaptureFixture) -> None:
    model, compiled = compiled_for(**LINE)
    saved = compiled.scheduler.state_dict()
    compiled.scheduler.step(3)
    compiled.scheduler.step()
    for batch in range(3):
        compiled.step(loss_of(model, batch))
        compiled.scheduler.step(10 * batch)
        compiled.scheduler.load_state_dict(saved | {"last_epoch": compiled.scheduler.last_epoch + 1})
    compiled.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "name": "more", "lr": 0.1})
    compiled.step(loss_of(model, 0))
    assert caplog.messages == []


@pytest.mark.parametrize("scale", ["none", 1024])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_of_another_model_is_refused(accumulate: int, scale: Any) -> None:
    model, compiled = compiled_for(accumulate=accumulate, loss_scale=scale)
    other = deepcopy(model)
    for _ in range(accumulate - 1):
        compiled.step(loss_of(other, 0))
    with pytest.raises(ValueError, match=r"no parameter of the plan has a gradient from this loss; give the loss of"):
        compiled.step(loss_of(other, 0))
    assert compiled.gathered == 0
    for batch in range(accumulate):
        result = compiled.step(loss_of(model, batch))
    assert result.updated


def test_a_loss_of_another_model_is_refused_by_what_evaluates_it() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(document({"type": "lbfgs", "lr": 0.1}), model)
    other: Any = AveragedModel(model)
    with pytest.raises(ValueError, match=r"no parameter of the plan has a gradient"):
        compiled.step(lambda: loss_of(other.module, 0))


@pytest.mark.parametrize("scale", ["none", 1024])
def test_a_loss_is_given_once_and_not_backpropagated(scale: Any) -> None:
    cure = "`compiled.step` makes the backward pass itself: leave out `loss.backward()`, and give it each loss once"
    model, compiled = compiled_for(loss_scale=scale)
    loss = loss_of(model, 0)
    backward(loss)
    with pytest.raises(RuntimeError) as caught:
        compiled.step(loss)
    assert caught.value.__notes__ == [cure]
    loss = loss_of(model, 0)
    compiled.step(loss)
    with pytest.raises(RuntimeError) as caught:
        compiled.step(loss)
    assert caught.value.__notes__ == [cure]


# What is told, and asked, by name

FALLS = {"schedule": {"lr": "plateau(metric=loss, patience=0, factor=0.5)"}}
REPORTS: list[tuple[Callable[[Any], None], type[Exception], str]] = [
    (lambda each: each.report(0.3), TypeError, r"by its name, as a number: `report\(loss=0.31\)`"),
    (lambda each: each.report({"loss": 0.3}), TypeError, r"by its name, as a number: `report\(loss=0.31\)`"),
    (lambda each: each.report(), TypeError, r"by its name, as a number: `report\(loss=0.31\)`"),
    (lambda each: each.report(loss=None), TypeError, r"this is a `NoneType`: `report\(loss=0.31\)`"),
    (lambda each: each.report(loss="0.3"), TypeError, r"this is a `str`: `report\(loss=0.31\)`"),
    (lambda each: each.report(loss=[0.3]), TypeError, r"this is a `list`: `report\(loss=0.31\)`"),
    (lambda each: each.report(loss=torch.ones(2)), ValueError, r"and this has shape \[2\]: report its mean"),
]


@pytest.mark.parametrize(("report", "fault", "message"), REPORTS)
def test_a_report_is_a_number_with_its_name(
    report: Callable[[Any], None], fault: type[Exception], message: str
) -> None:
    _, compiled = compiled_for(**FALLS)
    for each in (compiled, compiled.scheduler):
        before = compiled.scheduler.state_dict()
        with pytest.raises(fault, match=message):
            report(each)
        assert compiled.scheduler.state_dict() == before


@pytest.mark.parametrize("report", [lambda each: each.report(0.3), lambda each: each.report()])
def test_a_plan_without_a_schedule_says_the_same(report: Callable[[Any], None]) -> None:
    _, compiled = compiled_for()
    with pytest.raises(TypeError, match="by its name"):
        report(compiled)
    with pytest.raises(ValueError, match="no policy of this plan goes by `loss`"):
        compiled.report(loss=0.3)


def test_a_tensor_of_one_element_is_a_number() -> None:
    model, compiled = compiled_for(**FALLS)
    for _ in range(2):
        compiled.report(loss=loss_of(model, 0).reshape(1))
    assert set(compiled.lr().values()) == {0.05}


@pytest.mark.parametrize(
    ("missing", "message"), [("last_epoch", "the update to come"), ("plateaus", "what was reported")]
)
def test_what_a_state_lacks_is_told(missing: str, message: str) -> None:
    _, compiled = compiled_for(**FALLS)
    state = compiled.scheduler.state_dict()
    del state[missing]
    with pytest.raises(
        KeyError, match=rf"the state has no '{missing}', {message}: give what `scheduler.state_dict\(\)`"
    ):
        compiled.scheduler.load_state_dict(state)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lrr", "`adamw` has no setting 'lrr'; did you mean `lr`"),
        ("colour", "`adamw` has no setting 'colour'"),
        ("betas[2]", r"`betas` of `adamw` is \[0.9, 0.999\]: it has no 'betas\[2\]'"),
        ("betas", r"'betas' of `adamw` is \[0.9, 0.999\], no number; name an element, as in `betas\[0\]`"),
        ("amsgrad", "'amsgrad' of `adamw` is false, no number"),
    ],
)
def test_a_key_that_is_none_is_told_with_the_nearest(key: str, message: str) -> None:
    plan = optplan.plan(document({"type": "adamw"}), seeded(Pictures))
    with pytest.raises(KeyError, match=message):
        plan.value("head.bias", key, 0)
