"""Curves that fall by a factor at certain times: at equal distances, or at those of a list."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
