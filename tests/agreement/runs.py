"""A case carried out in each framework, from the same document, weights and gradients, through `optplan.compile`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import optplan
from tests.agreement.gradients import Sparse, gradients, weights
from tests.agreement.networks import Twice
from tests.agreement.settings import UPDATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from optplan.resolve.plan import Group, Plan
    from tests.agreement.gradients import Gradients
    from tests.agreement.settings import Case

# Tensors of a few dozen elements gain nothing from threads, which wait for each other on a busy machine.
torch.set_num_threads(1)
torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]  # torch's own

# What stands for Adafactor's eps[0] where the file has none: the distance of 1 to the next float32.
_EPS = 2.0**-23


@dataclass(frozen=True, slots=True)
class Run:
    """What came out: the plan, and the weights after the first and after the last update, in double precision."""

    plan: Plan
    first: Mapping[str, NDArray[np.float64]]
    last: Mapping[str, NDArray[np.float64]]


def train_torch(
    case: Case,
    dtype: torch.dtype = torch.float32,
    updates: Sequence[Gradients] | None = None,
    losses: Sequence[float] = (),
) -> Run:
    """The case in PyTorch, in float32 or float64; `updates` in place of its gradients, `losses` reported after each."""
    model = Twice(case.network).to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(weights(case.network)[name]))
    document = case.document()
    if dtype == torch.float64 and case.optimizer == "adafactor" and "eps" not in case.values:
        document["optimizer"]["eps"] = [_EPS, case.kind.defaults["eps"][1]]  # type: ignore[index]  # a tuple there
    compiled = optplan.compile(document, model, steps=UPDATES)
    parameters = dict(model.named_parameters())
    first: dict[str, NDArray[np.float64]] = {}
    for t, update in enumerate(gradients(case.network) if updates is None else updates):
        for name, parameter in parameters.items():
            parameter.grad = _torch_gradient(update[name], parameter)
        compiled.optimizer.step()
        assert compiled.scheduler is not None
        compiled.scheduler.step()
        if losses:
            compiled.report(loss=losses[t])
        first = first or {name: each.detach().double().numpy() for name, each in parameters.items()}
    return Run(compiled.plan, first, {name: each.detach().double().numpy() for name, each in parameters.items()})


def _torch_gradient(values: Any, parameter: torch.Tensor) -> torch.Tensor:
    if not isinstance(values, Sparse):
        return torch.from_numpy(values).to(parameter.dtype)
    rows = torch.from_numpy(values.rows)[None].long()
    made: torch.Tensor = torch.sparse_coo_tensor(
        rows, torch.from_numpy(values.values).to(parameter.dtype), parameter.shape
    )
    return made


def train_mindspore(case: Case, losses: Sequence[float] = ()) -> tuple[Run, set[str]]:
    """The case in MindSpore, in the mode that this process is in, and the classes that carried it out.

    `losses` are reported, one after each update.
    """
    # Only what runs MindSpore imports it: half of the tests here do not
    from mindspore import Tensor  # noqa: PLC0415

    from tests.agreement.cells import SparseStep, named  # noqa: PLC0415
    from tests.agreement.cells import Twice as Cells  # noqa: PLC0415

    cell = Cells(case.network)
    parameters = named(cell)
    for name, values in weights(case.network).items():
        parameters[name].set_data(Tensor(values))
    compiled = optplan.compile(case.document(), cell, steps=UPDATES)
    assert compiled.scheduler is None
    names = {id(parameter): name for name, parameter in parameters.items()}
    order = tuple(names[id(parameter)] for parameter in compiled.parameters)
    first: dict[str, NDArray[np.float64]] = {}
    step = SparseStep(compiled.optimizer) if case.network == "tables" else None
    for t, update in enumerate(_mindspore_gradients(case.network, order)):
        if step is None:
            compiled.optimizer(update)
        else:
            step(*update)
        if losses:
            compiled.report(loss=losses[t])
        first = first or {name: each.asnumpy().astype(np.float64) for name, each in parameters.items()}
    last = {name: each.asnumpy().astype(np.float64) for name, each in parameters.items()}
    return Run(compiled.plan, first, last), _classes(compiled.optimizer)


def _classes(optimizer: Any) -> set[str]:
    """The full names of an optimizer's members, MindSpore's own by their public ones."""
    from mindspore import nn  # noqa: PLC0415 - as above

    found = set()
    for each in getattr(optimizer, "members", [optimizer]):
        cls = type(each)
        public = getattr(nn, cls.__name__, None) is cls
        found.add(f"mindspore.nn.{cls.__name__}" if public else f"{cls.__module__}.{cls.__qualname__}")
    return found


@cache
def _mindspore_gradients(network: str, order: tuple[str, ...]) -> list[tuple[Any, ...]]:
    from mindspore import Tensor  # noqa: PLC0415 - as above

    found: list[tuple[Any, ...]] = []
    for update in gradients(network):
        each = [update[name] for name in order]
        if isinstance(each[0], Sparse):
            # In two tensors: a tuple of them would be compiled anew at every update
            found.append((Tensor(np.stack([a.rows for a in each])), Tensor(np.stack([a.values for a in each]))))
        else:
            found.append(tuple(map(Tensor, each)))
    return found


def difference(one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]], half: str) -> float:
    """The largest |a - b| / max(|a|, rms of a's tensor) over the weights of one half of a network; inf for a nan."""
    largest = 0.0
    for name, a in one.items():
        if name.startswith(half):
            size = np.maximum(np.abs(a), np.sqrt(np.mean(a**2)))
            # A tensor may still be all zeros: no difference is none of it, and any is too much
            each = float(np.max(np.abs(a - other[name]) / np.maximum(size, np.finfo(np.float64).tiny)))
            largest = max(largest, each) if np.isfinite(each) else np.inf
    return largest


def treatment(group: Group) -> tuple[Any, ...]:
    """What a group of a plan is, whichever framework it was made for."""
    return group.name, group.optimizer, group.values, group.curves, group.parameters, group.numel
