"""Training by gradients that nobody computes, in either framework, from the agreement's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import optplan
from tests.agreement.gradients import Sparse, weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tests.agreement.gradients import Gradients

    Weights = dict[str, NDArray[np.float32]]


class Torch:
    """The network of this kind in PyTorch, under a document."""

    def __init__(self, kind: str, document: Any, steps: int = 200) -> None:
        import torch  # noqa: PLC0415 - half of the tests do without it

        from tests.agreement.networks import Twice  # noqa: PLC0415 - as above

        self.network = Twice(kind)
        self.parameters = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, values in weights(kind).items():
                self.parameters[name].copy_(torch.from_numpy(values))
        self.compiled = optplan.compile(document, self.network, steps=steps)

    def train(self, gradients: Sequence[Gradients]) -> None:
        """An update with each."""
        import torch  # noqa: PLC0415 - as above

        for update in gradients:
            for name, parameter in self.parameters.items():
                values = update[name]
                if isinstance(values, Sparse):
                    rows = torch.from_numpy(values.rows)[None].long()
                    made: Any = torch.sparse_coo_tensor(rows, torch.from_numpy(values.values), parameter.shape)
                else:
                    made = torch.from_numpy(values).to(parameter.dtype)
                parameter.grad = made
            self.compiled.optimizer.step()
            if self.compiled.scheduler is not None:
                self.compiled.scheduler.step()

    @property
    def weights(self) -> Weights:
        """Copies of the weights."""
        return {name: each.detach().numpy().copy() for name, each in self.parameters.items()}


class MindSpore:
    """The network of this kind in MindSpore, under a document."""

    def __init__(self, kind: str, document: Any, steps: int = 200) -> None:
        from mindspore import Tensor  # noqa: PLC0415 - as above

        from tests.agreement.cells import SparseStep, Twice, named  # noqa: PLC0415 - as above

        self.network = Twice(kind)
        self.parameters = named(self.network)
        for name, values in weights(kind).items():
            self.parameters[name].set_data(Tensor(values))
        self.compiled = optplan.compile(document, self.network, steps=steps)
        self._sparse = SparseStep(self.compiled.optimizer) if kind == "tables" else None

    def train(self, gradients: Sequence[Gradients]) -> None:
        """An update with each."""
        from mindspore import Tensor  # noqa: PLC0415 - as above

        names = {id(parameter): name for name, parameter in self.parameters.items()}
        for update in gradients:
            each = [update[names[id(parameter)]] for parameter in self.compiled.parameters]
            if self._sparse is not None:
                self._sparse(Tensor(np.stack([a.rows for a in each])), Tensor(np.stack([a.values for a in each])))
            else:
                self.compiled.optimizer(tuple(map(Tensor, each)))

    @property
    def weights(self) -> Weights:
        """Copies of the weights."""
        return {name: each.asnumpy().copy() for name, each in self.parameters.items()}


def difference(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> float:
    """The largest |a - b| / max(|a|, rms of a's tensor) over all weights; inf for a nan."""
    largest = 0.0
    for name, a in one.items():
        wide, also = a.astype(np.float64), other[name].astype(np.float64)
        size = np.maximum(np.abs(wide), np.sqrt(np.mean(wide**2)))
        each = float(np.max(np.abs(wide - also) / np.maximum(size, np.finfo(np.float64).tiny)))
        largest = max(largest, each) if np.isfinite(each) else np.inf
    return largest
