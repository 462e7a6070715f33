"""Curves in steps: by a factor at equal distances or at the times of a list, values of their own, one each update.

With s = t - begin of the phase, a the level at which it begins, all times in updates (under `per epoch` in epochs):

    Stairs  a gamma^floor(s / every)                     a gamma^k from s = k every on
    Steps   a gamma^k, k the number of `at` <= s         the drop is at `at` itself
    Pieces  values[k], k the number of `at` <= s         values[0] before the first time, values[k] from at[k - 1] on
    Table   factors[floor(s)] of the own value           factors[0] at s = 0; past the last that one

Sources: `StepLR` and `MultiStepLR` of `torch.optim.lr_scheduler`; `piecewise_constant_lr` of `mindspore.nn.dynamic_lr`,
whose milestones are, as here, where the next piece begins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optplan.resolve.level import Level
from optplan.resolve.shape import SLACK, Shape, passed, passed_before, scaled

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel


@dataclass(frozen=True, slots=True)
class Stairs(Shape):
    """`origin`, times `gamma` once more after each `every`; it lasts `duration`, or for ever."""

    origin: AnyLevel
    gamma: float
    every: float
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative

    @property
    def settled(self) -> float | None:
        """At the beginning of its last stair."""
        if self.gamma == 1.0:
            return 0.0
        if self.duration is not None:
            return self.drops_before(None) * self.every
        return self.every if self.gamma == 0.0 else None

    def extremes(self, base: float) -> list[float]:
        """The first and the last stair."""
        return [self.origin.at(base), self.before(None, base)]

    def drops_before(self, t: float | None) -> int:
        """How many drops lie before `t`, or before its end; none for the end of what lasts for ever."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        return 0 if at is None else max(0, passed_before(at, self.every))

    def raw(self, t: float, base: float) -> float:
        """See the head of `optplan.resolve.curve`."""
        if self.duration is not None and t + SLACK >= self.duration:
            return self.before(None, base)
        return scaled(self.origin.at(base), self.gamma, passed(max(t, 0.0), self.every))

    def before(self, t: float | None, base: float) -> float:
        """The stair on which `t` is reached."""
        return scaled(self.origin.at(base), self.gamma, self.drops_before(t))

    def __str__(self) -> str:
        return f"step({self.every:g}, from={self.origin}, gamma={self.gamma:g})"


@dataclass(frozen=True, slots=True)
class Steps(Shape):
    """`origin`, times `gamma` once more at each of `at`, which rise; it lasts `duration`, or for ever."""

    origin: AnyLevel
    gamma: float
    at: tuple[float, ...]
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative

    @property
    def settled(self) -> float | None:
        """At its last drop."""
        count = self.drops_before(None)
        return self.at[count - 1] if count and self.gamma != 1.0 else 0.0

    def extremes(self, base: float) -> list[float]:
        """The first and the last stair."""
        return [self.origin.at(base), self.before(None, base)]

    def drops_before(self, t: float | None) -> int:
        """How many drops lie before `t`, or before its end."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        return len(self.at) if at is None else bisect_left(self.at, at - SLACK)

    def raw(self, t: float, base: float) -> float:
        """See the head of `optplan.resolve.curve`."""
        if self.duration is not None and t + SLACK >= self.duration:
            return self.before(None, base)
        return scaled(self.origin.at(base), self.gamma, bisect_right(self.at, t + SLACK))

    def before(self, t: float | None, base: float) -> float:
        """The value after the drops that lie before `t`."""
        return scaled(self.origin.at(base), self.gamma, self.drops_before(t))

    def __str__(self) -> str:
        return f"multistep({', '.join(f'{at:g}' for at in self.at)}; from={self.origin}, gamma={self.gamma:g})"


@dataclass(frozen=True, slots=True)
class Pieces(Shape):
    """`values[k]`, once k of the times `at`, which rise, are reached; it lasts `duration`, or for ever."""

    at: tuple[float, ...]
    values: tuple[AnyLevel, ...]
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return all(level.relative for level in self.values)

    @property
    def settled(self) -> float | None:
        """At its last change."""
        count = self.changes_before(None)
        return self.at[count - 1] if count else 0.0

    @property
    def sound(self) -> bool:
        """Whether there is a value for each time, and one before them."""
        return len(self.values) == len(self.at) + 1 and list(self.at) == sorted(self.at)

    @property
    def breaks(self) -> list[float]:
        """Its begin, and its changes."""
        return [0.0, *self.at[: self.changes_before(None)]]

    def extremes(self, base: float) -> list[float]:
        """The values that it comes to."""
        return [level.at(base) for level in self.values[: self.changes_before(None) + 1]]

    def changes_before(self, t: float | None) -> int:
        """How many changes lie before `t`, or before its end."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        return len(self.at) if at is None else bisect_left(self.at, at - SLACK)

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        if self.duration is not None and t + SLACK >= self.duration:
            return self.before(None, base)
        return self.values[bisect_right(self.at, t + SLACK)].at(base)

    def before(self, t: float | None, base: float) -> float:
        """The value after the changes that lie before `t`."""
        return self.end(t).at(base)

    def end(self, duration: float | None) -> AnyLevel:
        """The level at which it ends after `duration`, None for its own."""
        return self.values[self.changes_before(duration)]

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        parts += [f"at=[{', '.join(f'{at:g}' for at in self.at)}]", f"values=[{', '.join(map(str, self.values))}]"]
        return f"piecewise({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Table(Shape):
    """`factors[k]` of the own value at update k, past the last that one; it lasts `duration`, or for ever."""

    factors: tuple[float, ...]
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Always."""
        return True

    @property
    def settled(self) -> float | None:
        """At its last line, or at the last that it comes to."""
        return float(self._last)

    def extremes(self, base: float) -> list[float]:
        """The first value and the last, the least and the greatest."""
        reached = self.factors[: self._last + 1]
        return [base * factor for factor in (reached[0], reached[-1], min(reached), max(reached))]

    @property
    def _last(self) -> int:
        last = len(self.factors) - 1
        return last if self.duration is None else max(0, min(last, passed_before(self.duration, 1.0)))

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        return base * self.factors[min(passed(max(t, 0.0), 1.0), self._last)]

    def before(self, t: float | None, base: float) -> float:
        """The value of the update before `t`."""
        return base * self._factor_before(t)

    def end(self, duration: float | None) -> AnyLevel:
        """The level at which it ends after `duration`, None for its own."""
        return Level(self._factor_before(duration))

    def _factor_before(self, t: float | None) -> float:
        return self.factors[self._last if t is None else max(0, min(passed_before(t, 1.0), self._last))]

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        return f"table({', '.join([*parts, f'{len(self.factors)} lines'])})"
