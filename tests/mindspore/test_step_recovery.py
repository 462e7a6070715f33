"""What a step gets over: exceptions, the largest and the smallest scales, and states that were saved without one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops
from mindspore.train import Model

import optplan
from optplan import ConfigError
from optplan.resolve.training import LossScale
from optplan.targets.mindspore.scaling import make_scaler
from tests.mindspore.stepping import (
    BATCH,
    Net,
    batch,
    loss_in_torch,
    network,
    network_in_torch,
    same,
    tensors,
    weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.mindspore

LOSS = nn.CrossEntropyLoss()
PLAIN: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 0.01}}
SGD: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}


def hundredth(given: Tensor, labels: Tensor) -> Tensor:
    """A loss that is small enough for the largest scales."""
    return ops.cross_entropy(given, labels) * 0.01


# Exceptions


class Interrupted(nn.Cell):
    """A network whose pass is interrupted as by a key, after its first layer, where `now` says so."""

    def __init__(self, network: Net) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.now = False

    def construct(self, inputs: Tensor) -> Tensor:
        """As the network."""
        given = self.network.up(inputs)
        if self.now:
            raise KeyboardInterrupt
        return self.network.head(given)


def fails(run: Any, kind: str) -> None:
    """Give `run` what its forward pass cannot take."""
    inputs, labels = tensors(batch(0))
    if kind == "inputs":
        inputs = Tensor(np.zeros((BATCH, 3), np.float32))
    else:
        labels = Tensor(np.zeros(BATCH + 1, np.int32))
    with pytest.raises(ValueError, match=r".+"):
        run(inputs, labels)


@pytest.mark.long_in_graph
@pytest.mark.parametrize("kind", ["inputs", "labels"])
@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"loss_scale": "dynamic(init=8, every=2)"}], ids=str)
def test_after_an_exception_a_step_trains_as_if_there_had_been_none(kind: str, more: dict[str, Any]) -> None:
    found = []
    for broken in (False, True):
        cell = network()
        compiled: Any = optplan.compile({**PLAIN, **more}, cell)
        step = compiled.train_step(cell, LOSS)
        for number in range(6):
            if broken and number in (0, 3):
                fails(step, kind)
            before = weights(cell)
            assert step(*tensors(batch(number))).updated == (not same(before, weights(cell)))
        found.append((weights(cell), compiled.updates))
    assert same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_nor_does_it_matter_to_the_steps_of_another_plan() -> None:
    cell = network()
    fails(optplan.compile(PLAIN, cell).train_step(cell, LOSS), "inputs")
    other = network()
    begun = weights(other)
    optplan.compile(PLAIN, other).train_step(other, LOSS)(*tensors(batch(0)))
    assert not same(begun, weights(other))


def test_after_an_interrupt_too(mindspore_mode: str) -> None:
    if mindspore_mode == "graph":
        pytest.skip("the Python of a network runs once there, when it is compiled")
    cell = network()
    interrupted = Interrupted(cell)
    step = optplan.compile(PLAIN, cell).train_step(interrupted, LOSS)
    for number in range(4):
        interrupted.now = number == 1
        before = weights(cell)
        if interrupted.now:
            with pytest.raises(KeyboardInterrupt):
                step(*tensors(batch(number)))
        else:
            assert step(*tensors(batch(number))).updated
        assert same(before, weights(cell)) == interrupted.now


def test_nor_in_model() -> None:
    cell = network()
    model = Model(optplan.compile(PLAIN, cell).train_step(cell, LOSS).cell)
    fails(model.train_network, "inputs")
    begun = weights(cell)
    model.train_network(*tensors(batch(0)))
    assert not same(begun, weights(cell))


# The largest scales


@pytest.mark.parametrize(
    "scale",
    [
        "dynamic(init=3e37, every=1)",
        "dynamic(init=3e37, every=1, growth=1.5, backoff=0.75)",
        f"fixed({2.0**126})",
    ],
)
def test_a_scale_whose_inverse_is_no_normal_number(scale: str) -> None:
    document = {**SGD, "loss_scale": scale}
    cell, model = network(), network_in_torch()
    ours: Any = optplan.compile(document, cell)
    theirs: Any = optplan.compile(document, model)
    step = ours.train_step(cell, hundredth)
    for number in range(6):
        found, wanted = step(*tensors(batch(number))), theirs.step(loss_in_torch(model, batch(number)) * 0.01)
        assert (found.scale, found.updated) == (wanted.scale, wanted.updated)
        assert found.updated
        np.testing.assert_allclose(float(found.grad_norm), float(wanted.grad_norm), rtol=1e-5)
    assert found.scale > 2.0**125
    for name, value in weights(model).items():
        np.testing.assert_allclose(weights(cell)[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_scale", [LossScale("dynamic", 2.0**127, growth=1.5), LossScale("fixed", 0.5)])
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
def test_our_scalers_take_a_scale_out(loss_scale: LossScale, dtype: Any) -> None:
    scaler: Any = make_scaler(loss_scale)
    scale = loss_scale.init
    values = np.array([1.5, -3.0, 0.0, 30000.0])
    (found,) = scaler.unscale((Tensor(values, dtype),))
    assert found.dtype == dtype
    wanted = (values / scale).astype(found.asnumpy().dtype)
    normal = np.abs(wanted) >= np.finfo(wanted.dtype).tiny
    assert found.asnumpy()[normal].tolist() == wanted[normal].tolist()
    assert normal.any() or dtype == ms.float16


def test_an_optimizer_takes_the_largest_scale_out_that_is_allowed() -> None:
    cell = network()
    begun = weights(cell)
    compiled = optplan.compile({**SGD, "loss_scale": f"fixed({2.0**126}, drop_overflow=false)"}, cell)
    assert compiled.train_step(cell, hundredth)(*tensors(batch(0))).updated
    assert not same(begun, weights(cell))


# The rule of GradScaler, to the last digit


@pytest.mark.parametrize(
    "rule",
    [
        LossScale("dynamic", 1000.0, growth=1.1, backoff=0.3, every=2),
        LossScale("dynamic", 1000.0, growth=3.0, backoff=1 / 3, every=2),
        LossScale("dynamic", 0.7, growth=1.001, backoff=0.999, every=1),
        LossScale("dynamic", 65536.0, growth=4.0, backoff=0.25, every=3),
        LossScale("dynamic", 1e38, growth=1.7, backoff=0.9, every=1),
    ],
    ids=str,
)
def test_the_scales_of_torch_are_kept(rule: LossScale) -> None:
    ours: Any = make_scaler(rule)
    theirs = torch.amp.GradScaler("cpu", rule.init, rule.growth, rule.backoff, rule.every)
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], 0.0)
    generator = np.random.default_rng(0)
    scales = []
    for _ in range(200):
        bad = generator.random() < 0.04
        theirs.scale((parameter * (np.inf if bad else 0)).sum()).backward()  # type: ignore[no-untyped-call]  # as torch has it
        theirs.step(optimizer)
        theirs.update()
        optimizer.zero_grad()
        ours.adjust(Tensor(not bad))
        scales.append((float(ours.scale_value.asnumpy()), theirs.get_scale()))
    assert [one for one, _ in scales] == [other for _, other in scales]
    assert len(set(scales)) > 3


# Saved scales


def test_a_state_without_a_scale_has_it_begin_anew() -> None:
    cell = network()
    first = optplan.compile(PLAIN, cell)
    first.train_step(cell, LOSS)(*tensors(batch(0)))
    other = network()
    second: Any = optplan.compile({**PLAIN, "loss_scale": "dynamic(init=8, every=2)"}, other)
    step = second.train_step(other, LOSS)
    assert [step(*tensors(batch(number))).scale for number in range(5)] == [8, 8, 16, 16, 32]
    found = second.load_state_dict(first.state_dict())
    assert [str(each.message) for each in found.diagnostics if "begins anew" in each.message]
    assert [step(*tensors(batch(number))).scale for number in range(3)] == [8, 8, 16]


def overflows() -> Iterator[tuple[int, bool]]:
    yield from enumerate([False, True, False, True, True, False])


@pytest.mark.parametrize("before", [False, True], ids=["new step", "step that ran"])
def test_a_saved_scale_below_one_goes_on_falling(before: bool) -> None:
    document = {**SGD, "loss_scale": "dynamic(init=2)"}
    model = network_in_torch()
    theirs: Any = optplan.compile(document, model)
    for number in range(4):
        theirs.step(loss_in_torch(model, batch(number, bad=True)))
    assert theirs.scaler.get_scale() == 0.125
    cell = network()
    ours: Any = optplan.compile(document, cell)
    step = ours.train_step(cell, LOSS)
    if before:
        step(*tensors(batch(0)))
    assert not [each for each in ours.load_state_dict(theirs.state_dict()).diagnostics if each.severity != "note"]
    ours.load_weights({name: each.detach() for name, each in model.named_parameters()})
    scales = []
    for number, bad in overflows():
        found, wanted = (
            step(*tensors(batch(number, bad=bad))),
            theirs.step(loss_in_torch(model, batch(number, bad=bad))),
        )
        assert (found.scale, found.updated, found.skipped) == (wanted.scale, wanted.updated, wanted.skipped)
        scales.append(found.scale)
    assert all(later <= earlier for earlier, later in pairwise(scales))
    assert scales[-1] < 0.125
    assert ours.state_dict()["scaler"] == theirs.state_dict()["scaler"]


# What a class of one's own takes out by itself


class Scaled(nn.Momentum):
    """A user's optimizer that expects scaled gradients if nobody says otherwise."""

    def __init__(self, params: Any, learning_rate: float, loss_scale: float = 1024.0) -> None:
        super().__init__(params, learning_rate, 0.9, loss_scale=loss_scale)


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({}, False),
        ({"loss_scale": 1024}, False),
        ({"loss_scale": "dynamic()"}, False),
        ({"loss_scale": "fixed(1024, drop_overflow=false)"}, True),
        ({"loss_scale": "fixed(64, drop_overflow=false)"}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["main", "second"])
def test_no_optimizer_takes_out_a_scale_that_is_not_there(more: dict[str, Any], fits: bool, place: str) -> None:
    name = "test_scaled"
    optplan.register(optplan.OwnOptimizer(name, mindspore=Scaled, settings={"lr": 0.1}))
    document: dict[str, Any] = {"optplan": 1, "optimizer": {"type": name, "lr": 0.1}, **more}
    if place == "second":
        document |= {"optimizer": SGD["optimizer"], "optimizers": {"own": {"type": name, "lr": 0.1}}}
        document["rules"] = [{"where": "head", "use": "own"}]
    if fits:
        optplan.compile(document, network())
    else:
        with pytest.raises(ConfigError, match="takes a loss scale of 1024 out of its gradients, which do not have it"):
            optplan.compile(document, network())


def test_batches_of_an_update_are_counted_in_int32() -> None:
    cell = network()
    with pytest.raises(ValueError, match="an update is made of 1000000 batches at most, not of 3000000000"):
        optplan.compile(PLAIN, cell).train_step(cell, LOSS, accumulate=3_000_000_000)
