"""The networks of `networks` in MindSpore, layer by layer, and one whose weights show what an optimizer used."""

from __future__ import annotations

from typing import Any

from mindspore import Parameter, Tensor, jit, nn
from mindspore import dtype as mstype
from mindspore.common.sparse_tensor import RowTensorInner

from tests.agreement.networks import BROAD, CHANNELS, INNER, NARROW, OUTER, WIDTH, WORDS

# What MindSpore calls by another name.
_CANONICAL = {"gamma": "weight", "beta": "bias", "embedding_table": "weight"}


class Layers(nn.Cell):
    """A tensor of four dimensions, a norm's scale and bias, matrices and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, CHANNELS, 3, has_bias=False)
        self.norm = nn.GroupNorm(2, CHANNELS)
        self.body = nn.Dense(INNER, OUTER)
        self.head = nn.Dense(OUTER, WIDTH, has_bias=False)


class Matrices(nn.Cell):
    """A high, a wide and a square matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Dense(NARROW, BROAD, has_bias=False)
        self.body = nn.Dense(BROAD, NARROW, has_bias=False)
        self.head = nn.Dense(BROAD, BROAD, has_bias=False)


class Tables(nn.Cell):
    """Embeddings whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.EmbeddingLookup(WORDS, WIDTH)
        self.body = nn.EmbeddingLookup(WORDS, WIDTH)
        self.head = nn.EmbeddingLookup(WORDS, WIDTH)


KINDS = {"layers": Layers, "matrices": Matrices, "tables": Tables}


class Twice(nn.Cell):
    """The network of this kind, once for ordinary and once for mixed gradients."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.plain = KINDS[kind]()
        self.mixed = KINDS[kind]()


class SparseStep(nn.Cell):
    """One update of embeddings by sparse gradients, which in MindSpore live inside a compiled step only."""

    def __init__(self, optimizer: nn.Optimizer) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.shapes = tuple(tuple(parameter.shape) for parameter in optimizer.parameters)

    @jit
    def construct(self, rows: Tensor, values: Tensor) -> Any:
        """An update with `values[n]` for `rows[n]` of the optimizer's parameter n."""
        gradients: Any = ()
        for place in range(len(self.shapes)):
            gradients += (RowTensorInner(rows[place], values[place], self.shapes[place]),)
        return self.optimizer(gradients)


class Number(nn.Cell):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(Tensor([0.0], mstype.float32))


class Numbers(nn.Cell):
    """`numbers.0.weight` and so on, each a group of its own where a rule wants it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.numbers = nn.CellList([Number() for _ in range(count)])


def named(cell: Any) -> dict[str, Parameter]:
    """The parameters by the names that they have in PyTorch."""
    found = {}
    for native, parameter in cell.parameters_and_names():
        path, _, local = native.rpartition(".")
        found[f"{path}.{_CANONICAL.get(local, local)}"] = parameter
    return found
