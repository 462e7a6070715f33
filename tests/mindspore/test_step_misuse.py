"""What a step of MindSpore is given that it cannot train with: a short word and the cure, before MindSpore's own."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import optplan
from tests.mindspore.stepping import batch, network, network_in_torch, summed, tensors, weights

pytestmark = pytest.mark.mindspore

PLAIN = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.1}}
LOSS = nn.CrossEntropyLoss()


def bound(cell: nn.Cell, **more: Any) -> Any:
    return optplan.compile({**PLAIN, **more}, cell)


@pytest.mark.parametrize(
    ("loss_fn", "count", "message"),
    [
        (LOSS, 1, r"`step\(inputs, label\)`, the last is the label, .*; of 1 given `Net` does not take the 0 that"),
        (LOSS, 3, "of 3 given `Net` does not take the 2 that are left"),
        (None, 2, r"with a label beside them, `compiled.train_step\(network, loss_fn\)`; of 2 given `Net` does not"),
    ],
)
def test_as_many_inputs_as_the_network_takes(loss_fn: Any, count: int, message: str) -> None:
    cell = network()
    step = bound(cell).train_step(cell, loss_fn)
    with pytest.raises(TypeError, match=message) as caught:
        step(*[tensors(batch(0))[0]] * count)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss_fn", "cure"),
    [
        (None, r"or give a loss function, `compiled.train_step\(network, loss_fn\)`"),
        (summed, "or of `reduction='mean'`"),
    ],
)
def test_a_loss_of_many_numbers_is_told_in_a_line(loss_fn: Any, cure: str) -> None:
    cell = network()
    step = bound(cell).train_step(cell, loss_fn)
    inputs = tensors(batch(0))
    with pytest.raises(ValueError, match=rf"^the loss is one number, .*; take its mean or its sum, {cure}$") as caught:
        step(*inputs[: 1 if loss_fn is None else 2])
    assert caught.value.__cause__ is None


def loss_function(logits: Tensor, labels: Tensor) -> Any:
    return LOSS(logits, labels)


@pytest.mark.parametrize("loss_fn", [LOSS, loss_function], ids=["cell", "function"])
def test_the_network_comes_first(loss_fn: Any) -> None:
    cell = network()
    with pytest.raises(TypeError, match=r"the network comes first, `compiled.train_step\(network, loss_fn\)`"):
        bound(cell).train_step(loss_fn, cell)


def test_a_loss_function_can_be_called() -> None:
    cell = network()
    with pytest.raises(TypeError, match=r"the loss function comes second, .*, and this is a `str`"):
        bound(cell).train_step(cell, "cross_entropy")
    with pytest.raises(TypeError, match=r"`MSELoss` is a class, and no loss function: build one, `MSELoss\(\)`"):
        bound(cell).train_step(cell, nn.MSELoss)


GRADIENT = Tensor([1.0], ms.float32)


@pytest.mark.parametrize(
    ("given", "fault", "message"),
    [
        ((), TypeError, "and this is nothing"),
        ((GRADIENT,), TypeError, "and this is not one tuple"),
        ((GRADIENT,) * 4, TypeError, "and this is not one tuple"),
        (((GRADIENT,) * 3,), ValueError, "compiled.parameters.*, 4, and this is 3"),
    ],
)
def test_what_is_clipped_are_all_gradients(given: tuple[Any, ...], fault: type[Exception], message: str) -> None:
    compiled = bound(network(), clip="norm(1.0)")
    with pytest.raises(fault, match=message):
        compiled.clip_gradients(*given)


def test_gradients_may_come_in_a_list() -> None:
    cell = network()
    compiled = bound(cell, clip="norm(1.0)")
    clipped, norm = compiled.clip_gradients([Tensor(each.asnumpy() * 0 + 3) for each in compiled.parameters])
    numbers = sum(each.size for each in compiled.parameters)
    assert float(norm) == pytest.approx(3 * numbers**0.5)
    assert float(clipped[0].max()) == pytest.approx(numbers**-0.5)


@pytest.mark.parametrize("scale", ["1.8e38", "fixed(1.8e38, drop_overflow=false)", "dynamic(init=1e38)", "1e-38"])
def test_a_scale_without_an_inverse_is_refused(scale: str) -> None:
    with pytest.raises(optplan.ConfigError) as caught:
        bound(network(), loss_scale=scale)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.excerpt is None) == ("OP501", False)
    assert "mindspore takes no loss scale of" in fault.message


def test_a_plan_of_pytorch_is_held_against_mindspore() -> None:
    plan = optplan.plan({**PLAIN, "loss_scale": 1e38}, network_in_torch())
    with pytest.raises(optplan.ConfigError, match="mindspore takes no loss scale of 1e\\+38"):
        plan.bind(network())


@pytest.mark.parametrize("scale", ["fixed({})", "fixed({}, drop_overflow=false)", "dynamic(init={})"])
def test_the_largest_scale_trains(scale: str) -> None:
    cell, other = network(), network()
    step = bound(cell, loss_scale=scale.format(2.0**126)).train_step(cell, LOSS, norm=False)
    assert step(*tensors(batch(0))).updated
    bound(other).train_step(other, LOSS)(*tensors(batch(0)))
    before, alone = weights(network()), weights(other)
    for name, found in weights(cell).items():
        np.testing.assert_allclose(found - before[name], alone[name] - before[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "given",
    [lambda c: c.report(0.3), lambda c: c.report({"loss": 0.3}), lambda c: c.report()],
    ids=["number", "dict", "no"],
)
def test_a_report_names_its_metric(given: Any) -> None:
    compiled = bound(network(), schedule={"lr": "plateau(metric=loss)"})
    with pytest.raises(TypeError, match=r"`report\(loss=0.31\)`"):
        given(compiled)


def test_a_tensor_of_one_element_is_reported() -> None:
    compiled = bound(network(), schedule={"lr": "plateau(metric=loss, patience=0, factor=0.5)"})
    for _ in range(2):
        compiled.report(loss=Tensor([1.0], ms.float32))
    assert compiled.lr() == {"default": 0.05}
    with pytest.raises(ValueError, match=r"`loss` is one number, and this has shape \[2\]"):
        compiled.report(loss=Tensor([1.0, 2.0], ms.float32))
