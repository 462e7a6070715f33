"""What the map says of saving and loading, tried in both frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

import optplan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agreement.table import Mode

DOCUMENT = {
    "optplan": 1,
    "optimizer": {"type": "sgd", "lr": 0.25, "momentum": 0.9},
    "rules": [{"where": "bias", "weight_decay": 0}],
}


def updated() -> tuple[torch.nn.Module, Any]:
    """A layer of torch after one update."""
    network = torch.nn.Linear(3, 2)
    compiled = optplan.compile(DOCUMENT, network)
    network(torch.ones(3)).sum().backward()
    compiled.optimizer.step()
    return network, compiled


def test_weights_and_state_in_one_file_of_torch(tmp_path: Path) -> None:
    network, compiled = updated()
    file = tmp_path / "all"
    torch.save({"weights": network.state_dict(), "training": compiled.state_dict()}, file)
    assert file.exists()
    saved = torch.load(file)
    _, other = updated()
    other.load_weights(saved["weights"])
    assert not other.load_state_dict(saved["training"])
    assert all(map(torch.equal, other.parameters, compiled.parameters))
    with pytest.raises(KeyError, match="nothing"):
        other.load_weights({"nothing": torch.ones(1)})


def test_what_distributed_checkpoints_have_of_an_optimizer() -> None:
    network, compiled = updated()
    saved = get_optimizer_state_dict(network, compiled.optimizer)
    other, into = updated()
    set_optimizer_state_dict(other, into.optimizer, saved)
    buffers = compiled.state_dict()["state"]
    for each in (into, updated()[1]):
        assert not each.load_state_dict(saved)
        assert all(
            torch.equal(each.state_dict()["state"][name][key], x)
            for name in buffers
            for key, x in buffers[name].items()
        )


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_what_a_checkpoint_of_mindspore_has(tmp_path: Path) -> None:
    from mindspore import Parameter, Tensor, load_checkpoint, load_param_into_net, nn, save_checkpoint  # noqa: PLC0415

    network = nn.SequentialCell(nn.Dense(3, 2), nn.BatchNorm1d(2))
    save_checkpoint(network, str(tmp_path / "network"))
    saved = load_checkpoint(str(tmp_path / "network.ckpt"))
    assert all(isinstance(each, Parameter) for each in saved.values())
    assert saved.keys() == network.parameters_dict().keys()
    assert {name.rpartition(".")[2] for name in saved if name.startswith("1.")} == {
        *("gamma", "beta", "moving_mean", "moving_variance")
    }
    with pytest.raises((TypeError, ValueError, UnboundLocalError)):
        save_checkpoint({"network": {"weight": Tensor([1.0])}}, str(tmp_path / "nested"))
    # names are given back, where torch raises
    assert load_param_into_net(network, {"other": saved["0.weight"]}) == (list(saved), ["other"])
    with pytest.raises(RuntimeError, match="Missing key"):
        torch.nn.Linear(3, 2).load_state_dict({})


@pytest.mark.mindspore
def test_weights_that_mindspore_loads_after_an_update_are_trained_no_more(mindspore_mode: Mode) -> None:
    from mindspore import Parameter, Tensor, load_param_into_net, nn  # noqa: PLC0415 - set up by then

    network = nn.Dense(3, 2)
    compiled = optplan.compile(DOCUMENT, network)
    gradients = tuple(Tensor(np.ones(each.shape, np.float32)) for each in compiled.parameters)

    def trains() -> bool:
        before = network.weight.asnumpy().copy()
        compiled.optimizer(gradients)
        return bool((network.weight.asnumpy() != before).any())

    weights = {"weight": np.zeros((2, 3), np.float32), "bias": np.ones(2, np.float32)}
    assert trains()
    compiled.load_weights(weights)
    assert trains()
    load_param_into_net(network, {name: Parameter(Tensor(each)) for name, each in weights.items()})
    assert trains() is (mindspore_mode == "graph")


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_the_order_of_parameters() -> None:
    from mindspore import nn  # noqa: PLC0415 - set up by then

    network = nn.Dense(3, 2)
    weight, bias = network.trainable_params()
    groups = [{"params": [bias], "lr": 0.2}, {"params": [weight]}]
    assert [each.name for each in nn.Momentum(groups, 0.1, 0.9).parameters] == ["bias", "weight"]
    ordered = nn.Momentum([*groups, {"order_params": [weight, bias]}], 0.1, 0.9)
    assert [each.name for each in ordered.parameters] == ["weight", "bias"]
    decayed = DOCUMENT | {"rules": [{"where": "not bias", "weight_decay": 0.1}]}
    compiled = optplan.compile(decayed, network)
    assert [each.name for each in compiled.parameters] == ["weight", "bias"]


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize(
    ("name", "spared"), [("Momentum", True), ("Adam", True), ("AdaFactor", False), ("FTRL", False)]
)
def test_which_names_a_list_of_parameters_spares(name: str, spared: bool) -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    own: dict[str, dict[str, Any]] = {
        "Momentum": {"momentum": 0.9},
        "AdaFactor": {"relative_step": False, "scale_parameter": False},
    }
    given = {"learning_rate": 0.1} | own.get(name, {})

    def after(decay: float, **group: float) -> list[float]:
        weights = [Parameter(Tensor([1.0]), name=each) for each in ("beta", "weight")]
        params = [{"params": weights} | group] if group else weights
        getattr(nn, name)(params, **given | {"weight_decay": decay})((Tensor([0.0]), Tensor([0.0])))
        return [float(each.asnumpy()[0]) for each in weights]

    without, with_ = after(0.0), after(0.1)
    assert [a != b for a, b in zip(without, with_, strict=True)] == [not spared, True]
    # a group's own decay
    assert (after(0.1, weight_decay=0.0) == with_) is (name == "AdaFactor")
