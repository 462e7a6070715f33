"""`compiled.train_step` against PyTorch's `compiled.step`, and each thing that it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, amp, nn

import optplan
from tests.mindspore.stepping import (
    NetWithLoss,
    batch,
    half,
    in_one_element,
    loss_in_torch,
    network,
    network_in_torch,
    same,
    state,
    summed,
    tensors,
    weights,
)

if TYPE_CHECKING:
    from optplan.config import Config

pytestmark = pytest.mark.mindspore

TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 0.01, weight_decay: 0.1}
optimizers: {outer: {type: sgd, lr: 0.1, momentum: 0.9}}
rules: [{where: head, use: outer}, {where: bias, weight_decay: 0}]
horizon: {steps: 60}
schedule: {lr: warmup(5) -> cosine(to=0.1x)}
"""
LOSS = nn.CrossEntropyLoss()


def config(more: str = "") -> Config:
    return optplan.loads(TEXT + more)


def bound(config: Config, network: Any) -> Any:
    """What either framework makes of it."""
    return optplan.compile(config, network)


def close(one: dict[str, Any], other: dict[str, Any], rtol: float = 1e-5) -> None:
    for name, value in other.items():
        np.testing.assert_allclose(one[name], value, rtol=rtol, atol=rtol * np.abs(value).max(), err_msg=name)


# Against PyTorch


@pytest.mark.parametrize(
    ("more", "batches", "bad"),
    [
        ("", 10, ()),
        ("accumulate: 3\n", 30, ()),
        pytest.param(
            "clip: norm(0.3)\naccumulate: 2\nloss_scale: dynamic(every=7)\n",
            110,
            (3, 8, 9, 41, 60, 61, 100),
            marks=pytest.mark.long,
        ),
        ("clip: value(0.01)\nloss_scale: fixed(100)\n", 12, (3, 4)),
        ("clip: norm(0.3)\nloss_scale: fixed(100, drop_overflow=false)\n", 10, ()),
        ("clip: value(0.01)\naccumulate: 2\nloss_scale: fixed(1024, drop_overflow=false)\n", 20, ()),
        ("loss_scale: dynamic(init=1000, growth=3, backoff=0.25, every=3)\n", 14, (2, 3, 9)),
    ],
    ids=["plain", "accumulated", "all of it", "fixed, by value", "carried, by norm", "carried, by value", "own rule"],
)
def test_it_trains_as_pytorchs_does(more: str, batches: int, bad: tuple[int, ...]) -> None:
    """Weights after as many updates, and what each call says."""
    cell, model = network(), network_in_torch()
    compiled, other = bound(config(more), cell), bound(config(more), model)
    step = compiled.train_step(cell, LOSS)
    updates = 0
    for number in range(batches):
        arrays = batch(number, bad=number in bad)
        found, wanted = step(*tensors(arrays)), other.step(loss_in_torch(model, arrays))
        assert (found.scale, found.updated, found.skipped) == (wanted.scale, wanted.updated, wanted.skipped)
        assert (found.grad_norm is None) == (wanted.grad_norm is None)
        if number not in bad:
            assert float(found.loss) == pytest.approx(float(wanted.loss), rel=1e-5)
        if found.updated:
            assert float(found.grad_norm) == pytest.approx(float(wanted.grad_norm), rel=1e-5)
            updates += 1
        assert step.gathered == other.gathered
    assert compiled.updates == updates
    assert compiled.lr() == other.lr()
    if len(bad) > 3:
        assert updates == 50
    close(weights(cell), weights(model))


@pytest.mark.parametrize("clip", ["", "clip: norm(0.3)\n", "clip: value(0.01)\n"])
def test_an_update_that_is_not_dropped_is_made_as_it_is(clip: str) -> None:
    """Of an infinity PyTorch makes what the formula makes of it, and so does this."""
    more = f"{clip}loss_scale: fixed(8, drop_overflow=false)\n"
    cell, model = network(), network_in_torch()
    step, other = bound(config(more), cell).train_step(cell, LOSS), bound(config(more), model)
    found, wanted = step(*tensors(batch(0, bad=True))), other.step(loss_in_torch(model, batch(0, bad=True)))
    assert (found.updated, found.skipped) == (wanted.updated, wanted.skipped) == (True, False)
    expected = weights(model)
    assert any(np.isnan(value).any() for value in expected.values())
    for name, value in weights(cell).items():
        np.testing.assert_array_equal(np.isnan(value), np.isnan(expected[name]))


# An update that is dropped


@pytest.mark.parametrize("loss_scale", ["dynamic()", "dynamic(backoff=0.25)", "fixed(1024)"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_dropped_update_changes_nothing_but_the_scale(loss_scale: str, accumulate: int) -> None:
    cell = network()
    compiled = bound(config(f"loss_scale: {loss_scale}\naccumulate: {accumulate}\n"), cell)
    step = compiled.train_step(cell, LOSS)
    for number in range(2 * accumulate):
        step(*tensors(batch(number)))
    before, optimizer, lr = weights(cell), state(compiled.optimizer), compiled.lr()
    results = [step(*tensors(batch(9, bad=number == 0))) for number in range(accumulate)]
    assert [result.skipped for result in results] == [number == accumulate for number in range(1, accumulate + 1)]
    assert not any(result.updated for result in results)
    assert same(weights(cell), before)
    for name, value in state(compiled.optimizer).items():
        np.testing.assert_array_equal(value, optimizer[name])
    assert (compiled.updates, compiled.lr()) == (2, lr)
    # The window that had the infinity is gone: the next is as if it had never been
    results = [step(*tensors(batch(number))) for number in range(accumulate)]
    assert results[-1].updated
    assert np.isfinite(float(results[-1].grad_norm))
    backoff = 0.25 if "0.25" in loss_scale else 0.5
    assert results[-1].scale == (1024 if "fixed" in loss_scale else 65536 * backoff)


# Gathering


def test_gathered_batches_are_one_batch() -> None:
    """The mean over four batches is the loss of all their samples."""
    found = []
    for accumulate in (1, 4):
        cell = network()
        step = bound(config(f"accumulate: {accumulate}\nclip: norm(0.3)\n"), cell).train_step(cell, LOSS)
        for number in range(0, 12, 4):
            parts = [batch(number + each) for each in range(4)]
            if accumulate == 1:
                step(Tensor(np.concatenate([part[0] for part in parts])), Tensor(np.concatenate([p[1] for p in parts])))
            else:
                results = [step(*tensors(part)) for part in parts]
                assert [each.updated for each in results] == [False, False, False, True]
                assert [each.grad_norm is None for each in results] == [True, True, True, False]
        found.append(weights(cell))
    close(found[1], found[0], rtol=1e-5)


def test_the_call_can_say_how_many() -> None:
    cell = network()
    compiled = bound(config("accumulate: 4\n"), cell)
    step = compiled.train_step(cell, LOSS, accumulate=2)
    assert [step(*tensors(batch(number))).updated for number in range(4)] == [False, True, False, True]
    assert compiled.updates == 2
    with pytest.raises(ValueError, match="an update is made of 1 batch or more, not of 0"):
        compiled.train_step(cell, LOSS, accumulate=0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_update_can_be_asked_for_and_put_off(accumulate: int) -> None:
    """As in PyTorch, each batch counts 1 / accumulate, however many there are in the end."""
    more = f"accumulate: {accumulate}\n"
    cell, model = network(), network_in_torch()
    step, other = bound(config(more), cell).train_step(cell, LOSS), bound(config(more), model)
    says = [None, True, False, False, False, False, None, True, True, None]
    made = []
    for number, update in enumerate(says):
        arrays = batch(number)
        made.append(step(*tensors(arrays), update=update).updated)
        assert made[-1] == other.step(loss_in_torch(model, arrays), update=update).updated
        assert step.gathered == other.gathered
    assert made[1:] == [True, False, False, False, False, True, True, True, accumulate == 1]
    close(weights(cell), weights(model))


# What it takes


@pytest.mark.parametrize("loss", ["beside", "inside", "of one element", "jit"])
def test_the_loss_may_be_a_function_or_the_networks_own(loss: str) -> None:
    cell = network()
    compiled = bound(config("clip: norm(0.3)\nloss_scale: dynamic()\naccumulate: 2\n"), cell)
    if loss == "inside":
        step = compiled.train_step(NetWithLoss(cell))
    else:
        step = compiled.train_step(cell, in_one_element if loss == "of one element" else LOSS, jit=loss == "jit")
    found = [step(*tensors(batch(number))) for number in range(6)]
    model = network_in_torch()
    other = bound(config("clip: norm(0.3)\nloss_scale: dynamic()\naccumulate: 2\n"), model)
    wanted = [other.step(loss_in_torch(model, batch(number))) for number in range(6)]
    assert [float(each.loss) for each in found] == pytest.approx([float(each.loss) for each in wanted], rel=1e-5)
    assert all(each.loss.shape == () for each in found)
    close(weights(cell), weights(model))


def test_a_loss_of_many_numbers_is_refused() -> None:
    cell = network()
    step = bound(config(), cell).train_step(cell, summed)
    with pytest.raises(ValueError, match=r"the loss is one number, and this has shape \(16,?\)"):
        step(*tensors(batch(0)))


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the network does not have the parameter '\w+\.weight', which is trained"):
        bound(config(), network()).train_step(network(), LOSS)


def test_the_norm_can_be_left_out() -> None:
    for clip, there in (("", False), ("clip: value(0.1)\n", False), ("clip: norm(0.3)\n", True)):
        cell = network()
        found = bound(config(clip), cell).train_step(cell, LOSS, norm=False)(*tensors(batch(0)))
        assert (found.grad_norm is not None) == there
        assert found.updated


def test_the_network_is_trained_in_training_mode() -> None:
    cell = network()
    assert not cell.training
    compiled = bound(config(), cell)
    compiled.train_step(cell, LOSS)
    assert cell.training
    assert cell.up.training
    # What is on its own in evaluation mode stays in it
    cell.up.set_train(mode=False)
    compiled.train_step(cell, LOSS)
    assert not cell.up.training


def test_what_is_frozen_is_not_differentiated() -> None:
    cell = network()
    text = TEXT.replace("use: outer", "freeze: true").replace(
        "optimizers: {outer: {type: sgd, lr: 0.1, momentum: 0.9}}\n", ""
    )
    compiled = bound(optplan.loads(text), cell)
    before = weights(cell)
    step = compiled.train_step(cell, LOSS)
    assert step(*tensors(batch(0))).updated
    assert step(*tensors(batch(1))).updated
    after = weights(cell)
    assert {name for name in before if np.array_equal(before[name], after[name])} == {"head.weight", "head.bias"}


# Half precision


def test_a_network_in_half_precision_has_its_loss_in_float32() -> None:
    """As PyTorch's has under autocast; and a scale too large for float16 goes down until gradients are finite."""
    cell = half()
    compiled = bound(config("loss_scale: 'dynamic(init=1e8, backoff=0.0625, growth=2, every=100)'\n"), cell)
    step = compiled.train_step(cell, LOSS)
    results = [step(*tensors(batch(number))) for number in range(8)]
    assert all(each.loss.dtype == ms.float32 for each in results)
    skipped = [each.skipped for each in results]
    assert skipped[:2] == [True, True]
    assert not skipped[-1]
    assert [each.scale for each in results] == [1e8 / 16 ** sum(skipped[:number]) for number in range(8)]
    inputs, labels = tensors(batch(0))
    assert float(results[0].loss) == pytest.approx(float(LOSS(network()(inputs), labels)), rel=1e-2)


# The same by its pieces


@pytest.mark.parametrize("loss_scale", ["dynamic(every=3)", "fixed(64)", "fixed(64, drop_overflow=false)"])
@pytest.mark.parametrize("compiled_step", [pytest.param(False, marks=pytest.mark.long), True], ids=["eager", "jit"])
def test_a_loop_of_ones_own_by_the_pieces(loss_scale: str, compiled_step: bool) -> None:
    """The same lines for every loss scale."""
    more = f"clip: norm(0.3)\nloss_scale: {loss_scale}\n"
    cell, twin = network(), network()
    compiled = bound(config(more), cell)
    optimizer, scaler, clip = compiled.optimizer, compiled.scaler, compiled.clip_gradients

    def forward(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = LOSS(cell(inputs), labels)
        return scaler.scale(loss), loss

    gradients_of = ms.value_and_grad(forward, None, compiled.parameters, has_aux=True)

    def step(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        (_, loss), gradients = gradients_of(inputs, labels)
        gradients = scaler.unscale(gradients)
        finite = amp.all_finite(gradients)
        gradients, norm = clip(gradients)
        if finite:
            optimizer(gradients)
        scaler.adjust(finite)
        return loss, norm

    train = ms.jit(step) if compiled_step else step
    whole = bound(config(more), twin).train_step(twin, LOSS)
    for number in range(6):
        arrays = batch(number, bad=number == 4 and "false" not in loss_scale)
        loss, norm = train(*tensors(arrays))
        wanted = whole(*tensors(arrays))
        if number != 4:
            assert float(norm) == pytest.approx(float(wanted.grad_norm), rel=1e-6)
            assert float(loss) == pytest.approx(float(wanted.loss), rel=1e-6)
    close(weights(cell), weights(twin), rtol=1e-6)
