"""What is loaded into a network that is being trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

import optplan
from tests.mindspore.training import USES, deep, training

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mindspore

CONFIG = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-3, "weight_decay": 0}}
THREES = np.full((5, 8), 3.0, np.float32)


@pytest.mark.parametrize("use", USES)
def test_what_is_loaded_between_updates_stays_and_is_trained_on(use: str) -> None:
    """Adam's first updates move a weight by the rate each, so four of them leave it within 4e-3 of what was loaded."""
    network = deep()
    compiled = optplan.compile(CONFIG, network)
    train = training(use, network, compiled.optimizer)
    train(2)
    compiled.load_weights({"head.weight": THREES})
    train(2)
    moved = np.abs(network.head.weight.asnumpy() - 3.0)
    assert 0 < moved.max() < 4.1e-3


def test_what_is_loaded_before_the_first_update_stays() -> None:
    network = deep()
    compiled = optplan.compile(CONFIG, network)
    ms.load_param_into_net(network, {"head.weight": Parameter(Tensor(THREES))})
    training("jit", network, compiled.optimizer)(2)
    moved = np.abs(network.head.weight.asnumpy() - 3.0)
    assert 0 < moved.max() < 2.1e-3


def test_why_there_is_a_way_of_our_own() -> None:
    """MindSpore's own `set_data` between updates cuts the parameter off from the compiled step: it moves no more."""
    network = deep()
    compiled = optplan.compile(CONFIG, network)
    train = training("jit", network, compiled.optimizer)
    train(2)
    network.head.weight.set_data(Tensor(THREES))
    train(2)
    assert np.array_equal(network.head.weight.asnumpy(), THREES)


def test_names_are_canonical_or_native_and_all_of_them_or_none_are_written() -> None:
    network = deep()
    compiled = optplan.compile(CONFIG, network)
    ones = np.ones(8, np.float32)
    compiled.load_weights({"blocks.0.norm.weight": 2 * ones, "blocks.1.norm.gamma": Tensor(3 * ones)})
    assert np.array_equal(network.blocks[0].norm.gamma.asnumpy(), 2 * ones)
    assert np.array_equal(network.blocks[1].norm.gamma.asnumpy(), 3 * ones)
    with pytest.raises(KeyError, match=r"no parameter 'head\.wieght'; did you mean 'head\.weight'"):
        compiled.load_weights({"blocks.0.norm.weight": ones, "head.wieght": THREES})
    with pytest.raises(ValueError, match=r"'head\.weight' has shape \(8, 5\), and the parameter \(5, 8\)"):
        compiled.load_weights({"blocks.0.norm.weight": ones, "head.weight": THREES.T})
    assert np.array_equal(network.blocks[0].norm.gamma.asnumpy(), 2 * ones)


@pytest.mark.parametrize("values", [np.array(["a"] * 5), np.array([None] * 5), np.full(5, 1j)])
def test_what_cannot_be_written_leaves_all_as_it_was(values: Any) -> None:
    network = deep()
    before = network.head.weight.asnumpy().copy()
    with pytest.raises(TypeError, match=r"the values of 'head\.bias' cannot be written: they are `"):
        optplan.compile(CONFIG, network).load_weights({"head.weight": THREES, "head.bias": values})
    assert np.array_equal(network.head.weight.asnumpy(), before)


def test_one_parameter_by_two_names_has_one_value() -> None:
    network = deep()
    compiled = optplan.compile(CONFIG, network)
    both = ["blocks.0.norm.weight", "blocks.0.norm.gamma"]
    compiled.load_weights({name: np.full(8, 2.0, ">f4") for name in both})
    with pytest.raises(ValueError, match=r"norm\.weight' and 'blocks\.0\.norm\.gamma' are one parameter here"):
        compiled.load_weights({name: np.full(8, float(place)) for place, name in enumerate(both)})
    assert network.blocks[0].norm.gamma.asnumpy().tolist() == [2.0] * 8


def test_a_checkpoint_of_the_network_is_taken_whole_with_its_statistics(tmp_path: Path) -> None:
    network = nn.SequentialCell(nn.Conv2d(1, 2, 3, has_bias=True), nn.BatchNorm2d(2))
    compiled = optplan.compile(CONFIG, network)
    network[1].moving_mean.set_data(Tensor(np.array([3.0, 4.0], np.float32)))
    ms.save_checkpoint(network, str(tmp_path / "a.ckpt"))
    network[1].moving_mean.set_data(Tensor(np.zeros(2, np.float32)))
    compiled.load_weights(ms.load_checkpoint(str(tmp_path / "a.ckpt")))
    assert network[1].moving_mean.asnumpy().tolist() == [3.0, 4.0]


def test_what_is_no_weights_is_told() -> None:
    compiled = optplan.compile(CONFIG, deep())
    with pytest.raises(TypeError, match="a mapping of names to arrays, and this is a `str`"):
        compiled.load_weights("weights.ckpt")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match="this is a `Dense`; pass its `parameters_dict"):
        compiled.load_weights(nn.Dense(2, 2))
    with pytest.raises(TypeError, match=r"'head\.bias' is a `list`, not an array or a tensor"):
        compiled.load_weights({"head.bias": [0.0] * 5})


def test_native_names_find_parameters_of_the_plan() -> None:
    compiled = optplan.compile(CONFIG, deep())
    assert compiled.plan.parameter("blocks.0.norm.gamma").name == "blocks.0.norm.weight"
    assert compiled.lr_of("blocks.0.norm.beta") == 1e-3
    assert optplan.Plan.from_json(compiled.plan.to_json()).value("blocks.1.norm.gamma", "lr", 0) == 1e-3


class Names(nn.Cell):
    """Each kind of part whose parameters or statistics have other names or shapes in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.line = nn.Conv1d(4, 4, 3, has_bias=True)
        self.plane = nn.BatchNorm2d(4)
        self.space = nn.BatchNorm3d(4)
        self.norm = nn.LayerNorm((4,))
        self.act = nn.PReLU(4)
        self.head = nn.Dense(4, 2)


def test_weights_cross_from_torch_and_back() -> None:
    """A whole `state_dict()` of PyTorch goes in; what MindSpore saves goes back into PyTorch, value for value."""
    torch = pytest.importorskip("torch")
    kinds = torch.nn
    twin = kinds.Module()
    twin.table, twin.line, twin.plane = kinds.Embedding(5, 4), kinds.Conv1d(4, 4, 3), kinds.BatchNorm2d(4)
    twin.space, twin.norm, twin.act = kinds.BatchNorm3d(4), kinds.LayerNorm(4), kinds.PReLU(4)
    twin.head = kinds.Linear(4, 2)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value + 7
        for name, value in twin.state_dict().items()
    }
    network = Names()
    compiled = optplan.compile(CONFIG, network)
    compiled.load_weights(weights)
    assert np.array_equal(network.line.weight.asnumpy()[:, :, 0], weights["line.weight"].numpy())
    assert np.array_equal(network.space.bn2d.moving_variance.asnumpy(), weights["space.running_var"].numpy())

    optplan.compile(CONFIG, twin).load_weights(network.parameters_dict())
    for name, value in twin.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, weights[name]), name

    # What either has in half precision that NumPy does not know
    optplan.compile(CONFIG, twin).load_weights({"head.bias": Tensor([1.5, 2.5], ms.bfloat16)})
    assert twin.head.bias.tolist() == [1.5, 2.5]
    compiled.load_weights({"head.bias": weights["head.bias"].bfloat16().requires_grad_()})
    assert np.array_equal(network.head.bias.asnumpy(), weights["head.bias"].bfloat16().float().numpy())
    with pytest.raises(KeyError, match=r"no parameter 'norm\.num_batches_tracked'"):
        compiled.load_weights({"norm.num_batches_tracked": np.zeros(())})
