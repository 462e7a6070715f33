"""Numbers that an optimizer looks up by its update: the curves of a plan as float32 tables, and constants.

A curve is computed in double precision, for t = 0, 1, ... up to its last change or the horizon, and rounded once; the
optimizer reads entry t at update t and, past the end, the last one.  What a formula makes of a hyper-parameter that
float32 would spoil, such as 1 - beta, is computed in double precision as well: `cell(value, lambda b: 1.0 - b)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Fixed", "Number", "Table", "cell"]


class Table(LearningRateSchedule):
    """The value of update t, a float32 scalar: entry t of `values` (float64, shape (n,)), past its end the last."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        super().__init__()
        self.values = values
        self.table = Tensor(values.astype(np.float32))
        self.last = len(values) - 1

    def construct(self, global_step: Tensor) -> Tensor:
        """The value of update `global_step` (int32, one element, 0 for the first)."""
        at = ops.minimum(global_step.reshape((1,)), self.last)
        return ops.gather(self.table, at, 0).reshape(())


class Fixed(LearningRateSchedule):
    """One number at every update, a float32 scalar."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = Tensor(value, mstype.float32)

    def construct(self, global_step: Tensor) -> Tensor:  # noqa: ARG002 - the same at every update
        """The number."""
        return self.value


Number = float | Table
"""A hyper-parameter: a constant, or what changes from one update to the next."""


def cell(value: Number, of: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None) -> Table | Fixed:
    """What gives `value`, or the function `of` it, at each update; `of` takes and gives float64 arrays."""
    if isinstance(value, Table):
        return value if of is None else Table(of(value.values))
    return Fixed(value if of is None else float(of(np.array([value]))[0]))
