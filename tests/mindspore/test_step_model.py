"""The classic forms with a loss scale: `TrainOneStepCell`, and `Model` with a loss scale manager or with our step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import amp, nn
from mindspore.train import Callback, LossMonitor, Model

import optplan
from optplan import ConfigError
from optplan.targets.mindspore import managers
from tests.mindspore.stepping import batch, network, tensors, weights

if TYPE_CHECKING:
    from optplan.config import Config

pytestmark = pytest.mark.mindspore

CARRIED = "loss_scale: fixed(1024, drop_overflow=false)\n"
LOSS = nn.CrossEntropyLoss()


def config(more: str) -> Config:
    text = "optplan: 1\noptimizer: {type: adamw, lr: 0.01}\noptimizers: {outer: {type: sgd, lr: 0.1, momentum: 0.9}}\n"
    text += "rules: [{where: head, use: outer}]\nhorizon: {steps: 60}\nschedule: {lr: 'cosine(to=0.1x)'}\n"
    return optplan.loads(text + more)


def dataset(count: int) -> Any:
    parts = [batch(number) for number in range(count)]
    columns = tuple(np.concatenate([part[place] for part in parts]) for place in (0, 1))
    return ds.NumpySlicesDataset(columns, shuffle=False).batch(len(parts[0][1]))


def by_step(more: str, count: int = 5) -> dict[str, Any]:
    cell = network()
    step = optplan.compile(config(more), cell).train_step(cell, LOSS)
    for number in range(count):
        step(*tensors(batch(number)))
    return weights(cell)


def close(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in other.items():
        np.testing.assert_allclose(one[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_each_form_trains_right_with_a_scale_that_the_optimizer_carries() -> None:
    wanted = by_step("")
    close(by_step(CARRIED), wanted)
    cell = network()
    compiled = optplan.compile(config(CARRIED), cell)
    step = nn.TrainOneStepCell(nn.WithLossCell(cell, LOSS), compiled.optimizer, sens=1024.0).set_train()
    for number in range(5):
        step(*tensors(batch(number)))
    close({name.removeprefix("_backbone."): value for name, value in weights(cell).items()}, wanted)
    cell = network()
    compiled = optplan.compile(config(CARRIED), cell)
    manager = compiled.loss_scale_manager()
    assert isinstance(manager, amp.FixedLossScaleManager)
    assert (manager.get_loss_scale(), manager.get_drop_overflow_update()) == (1024, False)
    model = Model(cell, LOSS, compiled.optimizer, loss_scale_manager=manager)
    model.train(1, dataset(5), dataset_sink_mode=False)
    close({name.removeprefix("_backbone."): value for name, value in weights(cell).items()}, wanted)


def test_without_a_loss_scale_there_is_no_manager() -> None:
    cell = network()
    compiled = optplan.compile(config(""), cell)
    assert compiled.loss_scale_manager() is None
    assert compiled.scaler is None
    Model(cell, LOSS, compiled.optimizer, loss_scale_manager=None).train(1, dataset(5), dataset_sink_mode=False)
    close({name.removeprefix("_backbone."): value for name, value in weights(cell).items()}, by_step(""))


class Outputs(Callback):
    """What each step gives."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[float, ...]] = []

    def on_train_step_end(self, run_context: Any) -> None:
        """Note them."""
        self.found.append(tuple(float(each) for each in run_context.original_args().net_outputs))


def test_model_trains_our_step_with_all_that_it_does_not_do_itself(capsys: pytest.CaptureFixture[str]) -> None:
    more = "loss_scale: dynamic(every=2)\nclip: norm(0.3)\naccumulate: 2\n"
    cell = network()
    step = optplan.compile(config(more), cell).train_step(cell, LOSS)
    outputs = Outputs()
    model = Model(step.cell)
    model.train(1, dataset(6), callbacks=[LossMonitor(), outputs], dataset_sink_mode=False)
    close(weights(cell), by_step(more, 6))
    losses = [float(each) for each in re.findall(r"loss is (\S+)", capsys.readouterr().out)]
    assert losses == pytest.approx([each[0] for each in outputs.found], rel=1e-6)
    assert [each[2] for each in outputs.found] == [65536.0] * 4 + [131072.0] * 2
    assert [each[3] for each in outputs.found] == [0, 1] * 3
    # The next call of the step goes on from there
    assert step(*tensors(batch(0))).scale == 131072


# What `Model` cannot do by itself

REFUSED = {
    "loss_scale: dynamic()\n": "`Model` takes no `DynamicLossScaleManager` on CPU",
    "loss_scale: 1024\n": "`Model` takes no `FixedLossScaleManager` that drops updates on CPU",
    "loss_scale: fixed(0.5, drop_overflow=false)\n": "a loss scale manager does not go below 1, and the scale is 0.5",
    "clip: norm(1.0)\n": "`Model` does not clip gradients in the training network that it builds",
    "accumulate: 2\n": "`Model` does not accumulate gradients in the training network that it builds",
}


@pytest.mark.parametrize("more", REFUSED)
def test_a_manager_is_refused_where_model_would_do_something_else(more: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.compile(config(more), network()).loss_scale_manager()
    (found,) = caught.value.diagnostics
    assert found.message == REFUSED[more]
    assert found.help is not None
    assert found.help.startswith("`Model(compiled.train_step(network, loss_fn).cell)` does all of it")
    assert found.line == (0 if "accumulate" in more else 7)


def test_each_fault_is_told() -> None:
    more = "clip: norm(1.0)\naccumulate: 2\nloss_scale: dynamic(backoff=0.25)\n"
    with pytest.raises(ConfigError) as caught:
        optplan.compile(config(more), network()).loss_scale_manager()
    assert [each.line for each in caught.value.diagnostics] == [7, 0, 9, 9]


@pytest.mark.parametrize("manager", [amp.DynamicLossScaleManager(), amp.FixedLossScaleManager(1024.0, True)])
def test_mindspore_says_the_same_of_this_device(manager: Any) -> None:
    """What is refused above is not to be had: when a release can do it, this fails."""
    cell = network()
    optimizer = nn.SGD(cell.trainable_params(), 0.1)
    with pytest.raises((ValueError, RuntimeError), match="CPU"):
        Model(cell, LOSS, optimizer, loss_scale_manager=manager).train(1, dataset(2), dataset_sink_mode=False)


def test_on_another_device_there_are_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "_device", lambda: "GPU")
    found = {
        more: optplan.compile(config(f"loss_scale: {more}\n"), network()).loss_scale_manager()
        for more in ("fixed(64)", "dynamic(init=64, growth=4, backoff=0.25, every=9)")
    }
    fixed, dynamic = found.values()
    assert isinstance(fixed, amp.FixedLossScaleManager)
    assert (fixed.get_loss_scale(), fixed.get_drop_overflow_update()) == (64, True)
    assert isinstance(dynamic, amp.DynamicLossScaleManager)
    assert (dynamic.loss_scale, dynamic.scale_factor, dynamic.scale_window) == (64, 4, 9)
    assert dynamic.decrease_ratio == 0.25
    with pytest.raises(ConfigError, match=r"goes back by 1 / growth, and `backoff` is 0\.25"):
        optplan.compile(config("loss_scale: dynamic(backoff=0.25)\n"), network()).loss_scale_manager()
    assert ms.get_context("device_target") == "CPU"
