"""The count of updates where neither a schedule nor the optimizer's state has one, and what is no update."""

from __future__ import annotations

import gc
import pickle
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

import optplan
from tests.targets.networks import Matrices, document, loss_of, seeded, train

if TYPE_CHECKING:
    from torch import nn

KINDS = ("sgd", "muon")


def run(kind: str, updates: int = 3, **rest: Any) -> tuple[nn.Module, Any]:
    model = seeded(Matrices)
    compiled = optplan.compile(document({"type": kind, "lr": 0.01}, **rest), model, steps=20)
    train(model, compiled, range(updates))
    return model, compiled


def initialized(model: nn.Module, compiled: Any) -> None:
    """What `torch.distributed.checkpoint` does before the first update: one without rates and gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own use of what it deprecates
        get_optimizer_state_dict(model, compiled.optimizer)


@pytest.mark.parametrize("kind", [*KINDS, "lbfgs"])
def test_updates_by_hand_are_counted_and_saved(kind: str) -> None:
    model, compiled = run(kind)
    assert compiled.state_dict()["updates"] == 3
    scheduled = optplan.compile(
        document({"type": kind, "lr": 0.01}, schedule={"lr": "linear(to=0)"}), deepcopy(model), steps=20
    )
    scheduled.load_state_dict(compiled.state_dict())
    assert scheduled.lr() == {"default": pytest.approx(0.01 * 17 / 20)}
    compiled.load_state_dict(deepcopy(compiled.state_dict()))
    train(model, compiled, range(1))
    assert compiled.updates == 4


@pytest.mark.parametrize("kind", KINDS)
def test_each_update_counts_once_whoever_makes_it(kind: str) -> None:
    model, compiled = run(kind, 0, accumulate=2, loss_scale=4)
    for batch in range(4):
        compiled.step(loss_of(model, batch))
    assert compiled.updates == 2
    compiled.step(loss_of(model, 4) * float("inf"))
    assert compiled.step(loss_of(model, 5)).skipped
    assert compiled.updates == 2


@pytest.mark.parametrize("copied", [deepcopy, lambda each: pickle.loads(pickle.dumps(each))])  # noqa: S301 - our own
def test_copies_and_optimizers_in_its_place_count_on(copied: Any) -> None:
    _, compiled = run("sgd")
    twin = copied(compiled)
    train(twin.module, twin, range(2))
    assert (compiled.updates, twin.updates) == (3, 5)
    first = twin.optimizer
    twin.adopt(twin.optimizer_class(twin.param_groups, **twin.defaults))
    train(twin.module, twin, range(1))
    assert twin.updates == 6
    first.step()
    assert twin.updates == 6


@pytest.mark.parametrize(("kind", "rest"), [("adam", {}), ("sgd", {"schedule": {"lr": "cosine()"}})])
def test_nothing_is_called_where_something_else_counts(kind: str, rest: dict[str, Any]) -> None:
    _, compiled = run(kind, 3, **rest)
    assert not compiled.optimizer._optimizer_step_post_hooks  # noqa: SLF001 - it would cost at each update
    assert compiled.updates == 3


@pytest.mark.parametrize("tensor", [{}, {"torch": {"tensor_lr": True, "foreach": False}}])
def test_state_made_without_an_update_is_none(tensor: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    parts = {"clip": "norm(1e-4)", "accumulate": 2, "loss_scale": 16}
    for kind in ("sgd", "adam"):
        caplog.clear()
        model, compiled = run(kind, 0, **parts, **tensor)
        initialized(model, compiled)
        assert caplog.messages == []
        if kind == "sgd":
            assert compiled.updates == 0
        train(model, compiled, range(1))
        (message,) = caplog.messages
        assert all(f"`{key}" in message for key in parts)


def test_a_first_rate_of_nothing_is_an_update(caplog: pytest.LogCaptureFixture) -> None:
    """A warm-up begins at 0, with gradients that are none."""
    run("sgd", 1, clip="norm(1e-4)", schedule={"lr": "warmup(5)"})
    (message,) = caplog.messages
    assert "`clip: norm(0.0001)`" in message


def test_an_optimizer_goes_with_its_last_use() -> None:
    """Not only when the garbage is collected: state is memory."""
    _, compiled = run("sgd")
    gone = ref(compiled), ref(compiled.optimizer)
    optimizer = compiled.optimizer
    gc.disable()
    try:
        del compiled
        assert gone[0]() is None
        optimizer.step()
        del optimizer
        assert gone[1]() is None
    finally:
        gc.enable()
