"""The window of batches that `compiled.step` gathers for one update: what may not come into it, and what a copy has."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

import optplan
from optplan import ConfigError
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled_for(**rest: Any) -> tuple[nn.Module, Any]:
    model = seeded(Pictures)
    return model, optplan.compile(document({"type": "sgd", "lr": 0.1}, **rest), model, steps=100)


def backward(loss: Any) -> None:
    """What torch leaves without a type."""
    loss.backward()


# What has been unscaled

UNSCALE: list[Callable[[Any], Any]] = [
    lambda compiled: compiled.clip_gradients(),
    lambda compiled: compiled.scaler.unscale_(compiled.optimizer),
]


@pytest.mark.parametrize("unscale", UNSCALE, ids=["clip_gradients", "unscale_"])
@pytest.mark.parametrize("scale", [1024, "dynamic(init=1024)"])
@pytest.mark.parametrize("gathered", [0, 1, 2])
def test_nothing_is_added_to_what_has_been_unscaled(gathered: int, scale: Any, unscale: Callable[[Any], Any]) -> None:
    step = {"loss_scale": scale, "accumulate": 3}
    mine, compiled = compiled_for(**step)
    theirs, other = compiled_for(**step)
    for batch in range(3 + gathered):
        compiled.step(loss_of(mine, batch))
    unscale(compiled)
    message = (
        r"the gradients before this batch have been unscaled, .*: `compiled.step` unscales and clips itself, once an "
        r"update is due: leave out `compiled.clip_gradients\(\)` and `scaler.unscale_\(optimizer\)`"
    )
    with pytest.raises(RuntimeError, match=message):
        compiled.step(loss_of(mine, 5))
    assert compiled.gathered == 0
    # The next window is a whole one
    for batch in range(6):
        if batch < 3:
            other.step(loss_of(theirs, batch))
        else:
            assert repr(compiled.step(loss_of(mine, batch))) == repr(other.step(loss_of(theirs, batch)))
    assert same_weights(mine, theirs)


def test_an_update_of_ones_own_ends_with_the_scalers() -> None:
    model, compiled = compiled_for(loss_scale=1024)
    for update in (False, True):
        backward(compiled.scaler.scale(loss_of(model, 0)))
        compiled.scaler.step(compiled.optimizer)
        compiled.optimizer.zero_grad()
        if update:
            compiled.scaler.update()
            assert compiled.step(loss_of(model, 1)).updated
        else:
            with pytest.raises(RuntimeError, match=r"after an update of your own call `scaler.update\(\)`"):
                compiled.step(loss_of(model, 1))


def test_what_was_scaled_before_is_part_of_the_update() -> None:
    mine, compiled = compiled_for(loss_scale=1024)
    theirs, other = compiled_for()
    backward(compiled.scaler.scale(loss_of(mine, 0)))
    compiled.step(loss_of(mine, 1))
    other.step(loss_of(theirs, 0) + loss_of(theirs, 1))
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-5, atol=1e-6)


# How many batches


@pytest.mark.parametrize("two", [2, np.int64(2), np.uint8(2), torch.tensor(2)], ids=repr)
def test_a_whole_number_of_any_kind_counts(two: Any) -> None:
    model, compiled = compiled_for()
    assert [compiled.step(loss_of(model, batch), accumulate=two).updated for batch in range(4)] == [0, 1, 0, 1]


@pytest.mark.parametrize("count", [True, False, 0, -1, 2.0, "2", np.int64(0), np.float32(2)], ids=repr)
def test_anything_else_does_not(count: Any) -> None:
    model, compiled = compiled_for()
    with pytest.raises(ValueError, match="`accumulate` counts the batches of an update, from 1, and is"):
        compiled.step(loss_of(model, 0), accumulate=count)


def test_an_early_update_has_a_part_of_the_mean() -> None:
    """2 of 4 batches: half of the gradients of their mean; with the count of batches in hand, all of them."""
    model = seeded(Pictures)
    ((loss_of(model, 0) + loss_of(model, 1)) / 2).backward()  # type: ignore[no-untyped-call]  # torch's own
    of_mean = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    for count, part in ((None, 0.5), (2, 1.0)):
        model, compiled = compiled_for(accumulate=4)
        compiled.step(loss_of(model, 0), accumulate=count)
        result = compiled.step(loss_of(model, 1), accumulate=count, update=True)
        torch.testing.assert_close(result.grad_norm, of_mean * part)


# Copies


def unpickled(whole: Any) -> Any:
    return pickle.loads(pickle.dumps(whole))  # noqa: S301 - bytes of this very line


@pytest.mark.parametrize("duplicate", [deepcopy, unpickled])
@pytest.mark.parametrize("scale", ["none", 1024, "dynamic(init=1024, every=2)"])
def test_a_copy_begins_a_new_window(scale: Any, duplicate: Callable[[Any], Any]) -> None:
    mine, compiled = compiled_for(accumulate=3, loss_scale=scale, clip="norm(0.1)")
    for batch in range(5):
        compiled.step(loss_of(mine, batch))
    theirs, other = duplicate((mine, compiled))
    assert (compiled.gathered, other.gathered) == (2, 0)
    assert [other.step(loss_of(theirs, batch)).updated for batch in range(3, 6)] == [False, False, True]
    assert compiled.step(loss_of(mine, 5)).updated
    assert same_weights(mine, theirs)


# Gradients within the limit


@pytest.mark.parametrize(("clip", "by_torch"), [("norm(1e3)", clip_grad_norm_), ("value(1e3)", clip_grad_value_)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_torch_clips_is_told_nothing(
    clip: str, by_torch: Callable[..., Any], dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    """Below the limit, at it, and where nobody can tell; without clipping above it, it is told."""
    for size in (0.0, 1.0, 1e6, float("nan")):
        model = seeded(Pictures).to(dtype)
        compiled = optplan.compile(document({"type": "sgd", "lr": 0.1}, clip=clip), model)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, size)
        by_torch(model.parameters(), 1e3)
        compiled.optimizer.step()
    assert caplog.messages == []
    compiled = optplan.compile(document({"type": "sgd", "lr": 0.1}, clip=clip), model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1.1e3)
    compiled.optimizer.step()
    assert len(caplog.messages) == 1


# Complex numbers


class Waves(nn.Module):
    """A complex matrix beside a real vector."""

    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.ones(3))
        self.waves = nn.Parameter(torch.ones(3, 3, dtype=torch.complex64))

    def loss(self) -> torch.Tensor:
        """A real number of both."""
        return (self.waves @ self.real.to(torch.complex64)).abs().square().sum()


@pytest.mark.parametrize(
    ("said", "form", "cure"),
    [
        ({"loss_scale": 8}, "fixed(8, drop_overflow=true)", "leave `loss_scale` out"),
        ({"loss_scale": "fixed(8, drop_overflow=false)"}, "fixed(8, drop_overflow=false)", "leave `loss_scale` out"),
        ({"clip": "value(0.1)"}, "value(0.1)", "write `norm(...)`"),
    ],
)
def test_complex_gradients_are_refused_where_torch_cannot(said: dict[str, Any], form: str, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.plan(document({"type": "adamw"}, **said), Waves())
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP501"
    assert fault.message == f"`{form}` takes no gradients of complex64 on torch, and `waves` has them"
    assert fault.help is not None
    assert fault.help.startswith(cure)
    rules = [{"where": "waves", "freeze": True}]
    (group,) = optplan.plan(document({"type": "adamw"}, rules=rules, **said), Waves()).groups
    assert group.parameters == ("real",)


def test_complex_gradients_are_clipped_by_their_norm() -> None:
    mine, theirs = Waves(), Waves()
    compiled = optplan.compile(document({"type": "sgd", "lr": 0.1}, clip="norm(0.1)"), mine)
    compiled.step(mine.loss())
    backward(theirs.loss())
    clip_grad_norm_(theirs.parameters(), 0.1)
    torch.optim.SGD(theirs.parameters(), lr=0.1).step()
    assert same_weights(mine, theirs)
