"""Parameters that come to a run later: in MindSpore by a new optimizer, against PyTorch's `add_param_group`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn

import optplan
from optplan import ConfigError
from tests.agreement.cells import Number, Numbers
from tests.mindspore.training import batch

if TYPE_CHECKING:
    from optplan.compiled import Compiled

pytestmark = [pytest.mark.mindspore, pytest.mark.long_in_graph]

WIDTH, CLASSES = 8, 5
BEFORE, AFTER = 4, 6

DOCUMENTS: dict[str, dict[str, Any]] = {
    "one": {"optimizer": {"type": "adamw", "lr": 1e-2}},
    "scheduled": {"optimizer": {"type": "adamw", "lr": 1e-2}, "schedule": {"lr": "warmup(6) -> cosine()"}},
    "several": {
        "optimizer": {"type": "nadam", "lr": 1e-2},
        "optimizers": {"second": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.3}},
        "rules": [{"where": "bias", "use": "second"}],
        "schedule": {"lr": "cosine()"},
    },
    "muon": {
        "optimizer": {"type": "adamw", "lr": 1e-2},
        "optimizers": {"second": {"type": "muon", "lr": 0.01}},
        "rules": [{"where": "linear and ndim == 2", "use": "second"}],
    },
    "sgd": {
        "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.3},
        "schedule": {"momentum": "cosine(to=0.5x)"},
    },
    "rprop": {"optimizer": {"type": "rprop", "lr": 1e-2}, "schedule": {"lr": "cosine()"}},
    "asgd": {"optimizer": {"type": "asgd", "lr": 1e-2}},
}


class Cells(nn.Cell):
    """A network that can grow a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Dense(WIDTH, WIDTH)
        self.head: nn.Cell | None = None

    def construct(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return x if self.head is None else self.head(x)


def values(shape: tuple[int, ...], seed: int) -> Any:
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def gradients(compiled: Compiled, t: int) -> list[Any]:
    """For each trained parameter, by its place in the network."""
    return [values(tuple(parameter.shape), 100 * t + place) for place, parameter in enumerate(compiled.parameters)]


def in_mindspore(document: dict[str, Any]) -> tuple[Compiled, dict[str, Any]]:
    network = Cells()
    for place, parameter in enumerate(network.get_parameters()):
        parameter.set_data(Tensor(values(parameter.shape, place)))
    compiled = optplan.compile({"optplan": 1, **document}, network, steps=20)
    for t in range(BEFORE):
        compiled.optimizer(tuple(map(Tensor, gradients(compiled, t))))
    old = compiled.optimizer
    head = nn.Dense(WIDTH, CLASSES)
    for place, parameter in enumerate(head.get_parameters()):
        parameter.set_data(Tensor(values(parameter.shape, 10 + place)))
    network.head = head
    compiled.add_group(head)
    assert compiled.optimizer is not old
    assert compiled.updates == BEFORE
    for t in range(BEFORE, BEFORE + AFTER):
        compiled.optimizer(tuple(map(Tensor, gradients(compiled, t))))
    return compiled, {name: each.asnumpy() for name, each in network.parameters_and_names()}


def in_torch(document: dict[str, Any]) -> tuple[Compiled, dict[str, Any]]:
    network = torch.nn.Module()
    network.body = torch.nn.Linear(WIDTH, WIDTH)

    def start(module: torch.nn.Module, first: int) -> None:
        with torch.no_grad():
            for place, parameter in enumerate(module.parameters()):
                parameter.copy_(torch.from_numpy(values(tuple(parameter.shape), first + place)))

    def update(t: int) -> None:
        for place, parameter in enumerate(network.parameters()):
            parameter.grad = torch.from_numpy(values(tuple(parameter.shape), 100 * t + place))
        compiled.optimizer.step()
        if compiled.scheduler is not None:
            compiled.scheduler.step()

    start(network, 0)
    compiled = optplan.compile({"optplan": 1, **document}, network, steps=20)
    for t in range(BEFORE):
        update(t)
    network.head = torch.nn.Linear(WIDTH, CLASSES)
    start(network.head, 10)
    compiled.add_group(network.head)
    for t in range(BEFORE, BEFORE + AFTER):
        update(t)
    return compiled, {name: each.detach().numpy() for name, each in network.named_parameters()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_both_frameworks_train_what_was_added_alike(name: str) -> None:
    mine, weights = in_mindspore(DOCUMENTS[name])
    theirs, expected = in_torch(DOCUMENTS[name])
    assert [(group.name, group.parameters) for group in mine.plan.groups] == [
        (group.name, group.parameters) for group in theirs.plan.groups
    ]
    assert mine.lr() == theirs.lr()
    # Muon iterates in bfloat16
    limit = 1e-3 if name == "muon" else 1e-5
    for key, value in expected.items():
        size = float(np.sqrt(np.mean(value**2)))
        np.testing.assert_allclose(weights[key], value, rtol=limit, atol=limit * size, err_msg=key)
    state = mine.state_dict()["state"]
    for key, fields in theirs.state_dict()["state"].items():
        assert state[key].keys() == fields.keys()
        if "step" in fields:
            assert state[key]["step"] == float(fields["step"]) == (AFTER if key.startswith("head") else BEFORE + AFTER)


def test_a_training_step_takes_in_what_was_added() -> None:
    inputs, labels = batch()
    network = Cells()
    network.head = nn.Dense(WIDTH, WIDTH)
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-2}}, network)
    step = compiled.train_step(network, nn.CrossEntropyLoss())
    step(inputs, labels)
    network.head = nn.SequentialCell(network.head, nn.LayerNorm((WIDTH,)))
    with pytest.raises(ConfigError, match="OP709"):
        # The names of what was there have changed
        compiled.add_group(network.head)
    second = nn.SequentialCell(nn.Dense(WIDTH, WIDTH))
    network = Cells()
    network.head = second
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-2}}, network)
    step = compiled.train_step(network, nn.CrossEntropyLoss())
    step(inputs, labels)
    second.append(nn.LayerNorm((WIDTH,)))
    compiled.add_group(second)
    before = {name: each.asnumpy().copy() for name, each in network.parameters_and_names()}
    step(inputs, labels)
    for name, each in network.parameters_and_names():
        assert not np.array_equal(each.asnumpy(), before[name]), name
    assert compiled.updates == 2


def test_what_cannot_be_added_is_refused() -> None:
    network = Cells()
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "adamw"}}, network)
    optimizer = compiled.optimizer
    with pytest.raises(ConfigError, match="no new parameters"):
        compiled.add_group(network.body)
    with pytest.raises(ConfigError, match="does not have"):
        compiled.add_group(nn.Dense(2, 2))
    assert compiled.optimizer is optimizer
    assert ms.get_context("device_target") == "CPU"


def test_what_comes_later_shares_no_optimizer_with_what_was_there() -> None:
    """Beyond sixteen groups those that differ in their rate are one optimizer, which has one count."""
    network = Numbers(20)
    document = {"optplan": 1, "optimizer": {"type": "adam", "lr": 1e-2}}
    document["rules"] = [
        {"where": f"numbers.{place}", "lr": 1e-3 * (place + 1), "optional": True} for place in range(21)
    ]
    compiled = optplan.compile(document, network)
    ones = [Tensor([1.0], ms.float32)] * 21
    for _ in range(3):
        compiled.optimizer(tuple(ones[:20]))
    network.numbers.append(Number())
    compiled.add_group(network.numbers[20])
    for _ in range(2):
        compiled.optimizer(tuple(ones))
    state = compiled.state_dict()["state"]
    assert [state[f"numbers.{place}.weight"]["step"] for place in (0, 19, 20)] == [5, 5, 2]
    assert len(compiled.optimizer.members) == 2
    # As young as it is, Adam's first steps are as long as the rate
    np.testing.assert_allclose(network.numbers[20].weight.asnumpy(), [-2 * 21e-3], rtol=1e-5)


def test_who_uses_an_optimizer_of_the_past_is_told(mindspore_mode: str, caplog: pytest.LogCaptureFixture) -> None:
    network = Cells()
    network.head = nn.SequentialCell(nn.Dense(WIDTH, CLASSES))
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "sgd", "lr": 1e-2}}, network)
    old = compiled.optimizer
    step = nn.TrainOneStepCell(nn.WithLossCell(network, nn.CrossEntropyLoss()), old)
    inputs, labels = batch()
    step(inputs, labels)
    network.head.append(nn.LayerNorm((CLASSES,)))
    compiled.add_group(network.head)
    with pytest.raises(RuntimeError, match="make anew what was made with"):
        old(tuple(Tensor(each) for each in gradients(compiled, 0)[:4]))
    assert (compiled.updates, caplog.text) == (1, "")
    if mindspore_mode == "pynative":
        with pytest.raises(RuntimeError, match="make anew what was made with"):
            step(inputs, labels)
    else:
        # It is compiled, and knows of nothing
        step(inputs, labels)
        assert compiled.updates == 1
        assert "has made 1 updates since" in caplog.text
