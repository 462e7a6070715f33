"""Levels: what a policy's value is at one moment, before it is known whose value it is.

A ratio of the parameter's own value, an absolute number, a floor or ceiling of such, or where another curve ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optplan.resolve.curve import Curve


@dataclass(frozen=True, slots=True)
class Level:
    """`ratio * base + absolute`; one of the two is 0 in what people write."""

    ratio: float = 0.0
    absolute: float = 0.0

    def at(self, base: float) -> float:
        """The number it is for a parameter whose own value is `base`."""
        if not self.absolute:
            return self.ratio * base
        return self.ratio * base + self.absolute if self.ratio else self.absolute

    @property
    def relative(self) -> bool:
        """Whether it is a multiple of `base`."""
        return not self.absolute

    def __str__(self) -> str:
        if self.relative:
            return f"{self.ratio:g}x"
        return f"{self.ratio:g}x + {self.absolute:g}" if self.ratio else f"{self.absolute:g}"


@dataclass(frozen=True, slots=True)
class Bound:
    """The smaller (`min`) or greater (`max`) of two or more levels: a floor such as `max(0.1x, 1e-6)`."""

    function: str
    levels: tuple[AnyLevel, ...]

    def at(self, base: float) -> float:
        """The number it is for a parameter whose own value is `base`."""
        values = [level.at(base) for level in self.levels]
        return min(values) if self.function == "min" else max(values)

    @property
    def relative(self) -> bool:
        """Whether it is a multiple of `base`; own values are not negative."""
        return all(level.relative for level in self.levels)

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.levels))})"


@dataclass(frozen=True, slots=True)
class Last:
    """The level at which `curve` ends, or where it stands just before its update `at`: where a next phase begins."""

    curve: Curve
    at_update: float | None

    def at(self, base: float) -> float:
        """The number it is for a parameter whose own value is `base`."""
        return self.curve.before(self.at_update, base)

    @property
    def relative(self) -> bool:
        """Whether it is a multiple of `base`."""
        return self.curve.relative

    def __str__(self) -> str:
        return "current"


AnyLevel = Level | Bound | Last
