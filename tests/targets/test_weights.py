"""What is loaded into a network of PyTorch by `compiled.load_weights`, by the names of either framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import optplan

CONFIG = {"optplan": 1, "optimizer": {"type": "adamw"}}


def build() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("1.gamma", (3,)), ("1.moving_mean", (3,)), ("1.moving_variance", (3,)), ("1.bn2d.beta", (3,))],
)
def test_the_other_frameworks_names(name: str, shape: tuple[int, ...]) -> None:
    own = {"1.gamma": "1.weight", "1.moving_mean": "1.running_mean", "1.moving_variance": "1.running_var"}
    model = build()
    optplan.compile(CONFIG, model).load_weights({name: np.full(shape, 5.0, np.float32)})
    assert torch.equal(model.state_dict()[own.get(name, "1.bias")], torch.full(shape, 5.0))


def test_the_other_frameworks_shape_of_a_convolution_along_a_line() -> None:
    model = build()
    compiled = optplan.compile(CONFIG, model)
    values = np.arange(18, dtype=np.float32).reshape(3, 2, 1, 3)
    compiled.load_weights({"0.weight": values})
    assert np.array_equal(model.state_dict()["0.weight"].numpy(), values[:, :, 0])
    with pytest.raises(ValueError, match=r"'0\.weight' has shape \(3, 1, 2, 3\), and the parameter \(3, 2, 3\)"):
        compiled.load_weights({"0.weight": values.reshape(3, 1, 2, 3)})


def test_a_name_that_stands_there_itself_is_not_translated() -> None:
    """`gamma` beside `weight` of the same owner is another thing, and no second value of that."""
    model = build()
    compiled = optplan.compile(CONFIG, model)
    with pytest.raises(KeyError, match=r"the network has no parameter '1\.gamma'"):
        compiled.load_weights({"1.weight": torch.zeros(3), "1.gamma": torch.ones(3)})
    assert torch.equal(model.state_dict()["1.weight"], torch.ones(3))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("weights.pt", r"a `str`; read it first, by `torch\.load"),
        (Path("weights.pt"), "; read it first"),
        (build(), r"a `Sequential`; pass its `state_dict\(\)`"),
        ({"model": build().state_dict()}, "'model' is a mapping itself: are these the weights"),
    ],
)
def test_what_are_no_weights(weights: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        optplan.compile(CONFIG, build()).load_weights(weights)


# Of any framework: what has a shape, and no values that a network could have
NO_VALUES: list[tuple[Any, str]] = [
    (np.array(["a", "b", "c"]), "."),
    (np.array([None, 1, 2], object), "."),
    (np.array([1j, 2, 3]), "complex"),
    (torch.empty(3, device="meta"), "meta"),
    (torch.ones(3).to_sparse(), "[Ss]parse"),
]


@pytest.mark.parametrize(("values", "why"), NO_VALUES)
def test_what_cannot_be_written_leaves_all_as_it_was(values: Any, why: str) -> None:
    model = build()
    before = model.state_dict()["0.weight"].clone()
    with pytest.raises(TypeError, match=rf"the values of '1\.bias' cannot be written: .*{why}"):
        optplan.compile(CONFIG, model).load_weights({"0.weight": torch.zeros(3, 2, 3), "1.bias": values})
    assert torch.equal(model.state_dict()["0.weight"], before)


@pytest.mark.parametrize("values", [np.array([3, 2, 1], np.float32)[::-1], np.array([1, 2, 3], ">f4")])
def test_arrays_that_only_numpy_has(values: Any) -> None:
    model = build()
    optplan.compile(CONFIG, model).load_weights({"1.bias": values})
    assert model.state_dict()["1.bias"].tolist() == [1.0, 2.0, 3.0]


class Tied(nn.Module):
    """One weight by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
        self.other.weight = self.one.weight


def test_one_parameter_by_two_names_has_one_value() -> None:
    model = Tied()
    compiled = optplan.compile(CONFIG, model)
    values = torch.tensor([[1.0, float("nan")], [3.0, 4.0]])
    compiled.load_weights({"one.weight": values, "other.weight": values.double().numpy()})
    assert torch.equal(model.one.weight[1], values[1])
    with pytest.raises(ValueError, match=r"'one\.weight' and 'other\.weight' are one parameter here, and have differ"):
        compiled.load_weights({"one.weight": torch.zeros(2, 2), "other.weight": torch.ones(2, 2)})
    assert torch.equal(model.one.weight[1], values[1])


def test_weights_are_told_by_names() -> None:
    with pytest.raises(TypeError, match="weights are told by names, and 0 is a `int`"):
        optplan.compile(CONFIG, build()).load_weights({0: torch.zeros(3)})  # type: ignore[dict-item]  # the mistake
