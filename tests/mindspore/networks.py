"""Cells to look at: every way in which MindSpore holds parameters."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn


def ones(*shape: int, name: str | None = None, requires_grad: bool = True) -> Parameter:
    """A parameter of ones."""
    return Parameter(Tensor(np.ones(shape, np.float32)), name=name, requires_grad=requires_grad)


class Pictures(nn.Cell):
    """A convolution, norms of three kinds, a matrix and biases."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, has_bias=True)
        self.batch = nn.BatchNorm2d(4)
        self.norm = nn.GroupNorm(2, 4)
        self.body = nn.Dense(64, 12)
        self.act = nn.PReLU()
        self.final = nn.LayerNorm((12,))
        self.head = nn.Dense(12, 3)


class Words(nn.Cell):
    """An embedding whose table is the head's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm((4,))
        self.head = nn.Dense(4, 7, has_bias=False)
        self.head.weight = self.embed.embedding_table


class HeadFirst(nn.Cell):
    """The same table, but found at the head first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Dense(4, 7, has_bias=False)
        self.embed = nn.Embedding(7, 4)
        self.embed.embedding_table = self.head.weight


class Containers(nn.Cell):
    """Every container, and Cells attached later."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = nn.CellList([nn.Dense(2, 2), nn.ReLU(), nn.LayerNorm((2,))])
        self.row = nn.SequentialCell(nn.Dense(2, 2), nn.SequentialCell([nn.LayerNorm((2,))]))
        self.called = nn.SequentialCell(OrderedDict(first=nn.Dense(2, 2, has_bias=False), act=nn.ReLU()))
        self.keyed = nn.CellDict({"up": nn.Dense(2, 2, has_bias=False), "down": nn.PReLU()})
        self.empty = nn.SequentialCell()
        self.gone = nn.Dense(2, 2)
        self.gone = None
        self.own = ones(3)
        self.listed.append(nn.Embedding(3, 2))
        self.row.append(nn.Dense(2, 2, has_bias=False))
        self.insert_child_to_cell("late", nn.Dense(2, 2, has_bias=False))


class Named(nn.Cell):
    """Parameters whose own names say something else."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = ones(2, name="another.name")
        self.body = nn.Dense(2, 2)
        self.body.weight.name = "weight_of_something"
        self.body.bias.name = "weight_of_something.bias"


class Twice(nn.Cell):
    """One parameter under two names of one Cell."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ones(2)
        self.second = self.first


class Shared(nn.Cell):
    """Cells that stand in several places."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.SequentialCell(nn.Dense(2, 2), nn.LayerNorm((2,)))
        self.first = inner
        self.second = nn.CellList([inner[0], inner])


class Looped(nn.Cell):
    """A Cell that a Cell below it contains, and one that contains itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dense(2, 2)
        self.inner.insert_child_to_cell("parent", self)
        self.inner.insert_child_to_cell("itself", self.inner)


class Gains(nn.Cell):
    """No norm: `gamma` and `beta` are its own names."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = ones(2)
        self.beta = ones(2)
        self.w = ones(2)
        self.embedding_table = ones(2, 2)
        self.moving_mean = ones(2)


class LlamaRMSNorm(nn.Cell):
    """A norm by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = ones(2)


class TwoScales(nn.LayerNorm):
    """A norm with both frameworks' names."""

    def __init__(self) -> None:
        super().__init__((2,))
        self.weight = ones(2)


class Listed(nn.Cell):
    """Parameters that a tuple holds, with and without names of their own, and a list that is none of MindSpore's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Dense(2, 2)
        self.pair = ParameterTuple([ones(2, name="left"), ones(3, name="right")])
        self.loose = [ones(2, name="loose")]


class Gradients(nn.Cell):
    """What guides write around a network: it lists the parameters, and owns none."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.network = network
        self.weights = ParameterTuple(network.trainable_params())


class Early(nn.Cell):
    """The same, with the list made before the network has a name."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.weights = ParameterTuple(network.trainable_params())
        self.network = network


class ListedAndTied(nn.Cell):
    """A parameter that stands as an attribute and in a Cell, and is listed too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Dense(2, 2, has_bias=False)
        self.again = self.body.weight
        self.weights = ParameterTuple(self.trainable_params())


class Step(nn.Cell):
    """A training step of the user's own."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.network = network
        self.optimizer = nn.Momentum(network.trainable_params(), learning_rate=0.1, momentum=0.9)
        self.weights = self.optimizer.parameters


class Uncertain(nn.Cell):
    """A loss function with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = ones(1)

    def construct(self, logits: Any, label: Any) -> Any:
        """The loss, weighted."""
        return ((logits - label) ** 2).mean() * self.spread


class Weighted(nn.WithLossCell):
    """A wrapper with a parameter of its own."""

    def __init__(self, backbone: nn.Cell) -> None:
        super().__init__(backbone, nn.MSELoss())
        self.balance = ones(2)


class Attentive(nn.Cell):
    """Attention and recurrence, with all their biases."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1)
        self.recurrent = nn.LSTM(8, 8, num_layers=2, bidirectional=True)


class Kernel(nn.Conv1d):
    """A kernel over one dimension, and a parameter that only looks like one."""

    def __init__(self, *sizes: int, has_bias: bool) -> None:
        super().__init__(*sizes, has_bias=has_bias)
        self.scale = ones(2, 2, 1, 2)


class Wide(nn.Cell):
    """Some six gigabytes of parameters."""

    def __init__(self, layers: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(50_000, 8192)
        self.body = nn.CellList([nn.Dense(8192, 8192) for _ in range(layers)])
        self.norm = nn.LayerNorm((8192,))


def doubled() -> nn.Cell:
    """A network whose maker computes with its weights."""
    made = nn.Dense(3, 4)
    made.bias.set_data((made.weight * 2).sum(1))
    return made


def broken() -> nn.Cell:
    """A maker that fails."""
    raise ValueError("no such size")


READY = Words()
