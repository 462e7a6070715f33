"""Numbers that an optimizer looks up by its update: the curves of a plan as float32 tables, and constants.

A curve is computed in double precision, for t = 0, 1, ... up to its last change or the horizon, and rounded once; the
optimizer reads entry t at update t and, past the end, the last one.  What a formula makes of a hyper-parameter that
float32 would spoil, such as 1 - beta, is computed in double precision as well: `cell(value, lambda b: 1.0 - b)`.

Of a curve that ends in `plateau` the last entry changes whenever a metric that is reported says so, between two
updates and long after these have been compiled: it is a `Parameter`, and `Falling.move` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, ops
from mindspore import dtype as mstype
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

__all__ = ["Falling", "Fixed", "Number", "Table", "cell"]


class Table(LearningRateSchedule):
    """The value of update t, a float32 scalar: entry t of `values` (float64, shape (n,)), past its end the last."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        super().__init__()
        self.values = values
        self.table = Tensor(values.astype(np.float32))
        self.last = len(values) - 1

    @property
    def reach(self) -> NDArray[np.float64]:
        """Every value that it may have, shape (n,)."""
        return self.values

    def derived(self, of: Function) -> Table:
        """The table of what the function `of` makes of its values."""
        return Table(of(self.values))

    def construct(self, global_step: Tensor) -> Tensor:
        """The value of update `global_step` (int32, one element, 0 for the first)."""
        at = ops.minimum(global_step.reshape((1,)), self.last)
        return ops.gather(self.table, at, 0).reshape(())


class Falling(Table):
    """A table whose last value can be moved, by `move`, down to `floor`; at first it is the last of `values`.

    That value is the parameter `level`, a float32 scalar that no optimizer trains.
    """

    def __init__(self, values: NDArray[np.float64], floor: NDArray[np.float64]) -> None:
        super().__init__(values)
        self.floor = floor
        self.level = Parameter(Tensor(values[-1], mstype.float32), name="level", requires_grad=False)
        self._derived: list[tuple[Function, Falling]] = []

    @property
    def reach(self) -> NDArray[np.float64]:
        """Its values, and the least that the last of them may come to."""
        return np.concatenate([self.values, self.floor])

    @property
    def levels(self) -> Iterator[Parameter]:
        """Its level, and those of all tables derived from it."""
        yield self.level
        for _, table in self._derived:
            yield from table.levels

    def derived(self, of: Function) -> Falling:
        """The table of what `of` makes of its values, which moves with it."""
        table = Falling(of(self.values), of(self.floor))
        self._derived.append((of, table))
        return table

    def move(self, level: float) -> None:
        """Put `level` in the place of the last value, from the next update on."""
        ops.assign(self.level, Tensor(level, mstype.float32))
        for of, table in self._derived:
            table.move(float(of(np.array([level]))[0]))

    def construct(self, global_step: Tensor) -> Tensor:
        """The value of update `global_step` (int32, one element, 0 for the first)."""
        at = ops.minimum(global_step.reshape((1,)), self.last)
        planned = ops.gather(self.table, at, 0).reshape(())
        return ops.where(global_step.reshape(()) < self.last, planned, self.level)


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


def cell(value: Number, of: Function | None = None) -> Table | Fixed:
    """What gives `value`, or the function `of` it, at each update; `of` takes and gives float64 arrays."""
    if isinstance(value, Table):
        return value if of is None else value.derived(of)
    return Fixed(value if of is None else float(of(np.array([value]))[0]))
