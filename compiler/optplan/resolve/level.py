"""Levels: what a policy's value is at one moment, before it is known whose value it is.

A ratio of the parameter's own value, an absolute number, a floor or ceiling of such, or where another curve ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from optplan.expression import Binary, Call, Negative, Ratio
from optplan.resolve.shape import scaled
from optplan.resolve.value import EvaluationError, evaluate, reads

if TYPE_CHECKING:
    from optplan.expression import Value
    from optplan.resolve.curve import Curve
    from optplan.resolve.value import Scope


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
    """`gamma` times the level at which `curve` ends, or where it stands just before its update `at_update`."""

    curve: Curve
    at_update: float | None
    gamma: float = 1.0

    def at(self, base: float) -> float:
        """The number it is for a parameter whose own value is `base`."""
        return self.gamma * self.curve.before(self.at_update, base)

    @property
    def relative(self) -> bool:
        """Whether it is a multiple of `base`."""
        return self.curve.relative

    def __str__(self) -> str:
        return "current"


AnyLevel = Level | Bound | Last


def times(level: AnyLevel, gamma: float, count: int) -> AnyLevel:
    """`level` times `gamma` to the power `count`."""
    if not count:
        return level
    match level:
        case Level(ratio, absolute):
            return Level(scaled(ratio, gamma, count), scaled(absolute, gamma, count))
        case Bound(function, levels):
            return Bound(function, tuple([times(each, gamma, count) for each in levels]))
        case Last(curve, at, gained):
            return Last(curve, at, scaled(gained, gamma, count))


def as_level(node: Value, scope: Scope) -> Level | Bound:
    """The level that an argument of a phase is; EvaluationError for what makes none, or one below 0."""
    match node:
        case Call("min" | "max" as function, items) if "base" in reads(node):
            levels = tuple([as_level(item, scope) for item in items])
            if not all(level.relative for level in levels):
                return Bound(function, levels)
    ratio, absolute = _affine(node, scope)
    if ratio < 0 or absolute < 0:
        raise EvaluationError("OP405", f"`{node}` is below 0", node, "a policy's values are 0 or more")
    if not (isfinite(ratio) and isfinite(absolute)):
        raise EvaluationError("OP303", f"`{node}` has no finite value", node)
    return Level(ratio, absolute)


def _affine(node: Value, scope: Scope) -> tuple[float, float]:
    """`node` as (ratio, absolute)."""
    if "base" not in reads(node):
        return 0.0, float(evaluate(node, scope))
    match node:
        case Ratio(value):
            return float(value), 0.0
        case Negative(item):
            ratio, absolute = _affine(item, scope)
            return -ratio, -absolute
        case Binary("+" | "-" as operator, left, right):
            (a, b), (c, d) = _affine(left, scope), _affine(right, scope)
            return (a + c, b + d) if operator == "+" else (a - c, b - d)
        case Binary("*", left, right) if not ("base" in reads(left) and "base" in reads(right)):
            (a, b), (c, d) = _affine(left, scope), _affine(right, scope)
            # One side is a plain number, which multiplies the other's two parts.
            factor, (ratio, absolute) = (d, (a, b)) if "base" in reads(left) else (b, (c, d))
            return factor * ratio, factor * absolute
        case Binary("/", left, right) if "base" not in reads(right):
            ratio, absolute = _affine(left, scope)
            divisor = evaluate(right, scope)
            if divisor == 0:
                raise EvaluationError("OP303", f"`{node}` divides by zero", node)
            return ratio / divisor, absolute / divisor
        case Call("min" | "max" as function, items):
            ratios, absolutes = zip(*(_affine(item, scope) for item in items), strict=True)
            if not any(absolutes):
                # Own values are not negative.
                return (min if function == "min" else max)(ratios), 0.0
    raise EvaluationError(
        "OP405", f"`{node}` is neither a multiple of the own value nor a number", node, "write `0.1x` or `1e-5`"
    )
