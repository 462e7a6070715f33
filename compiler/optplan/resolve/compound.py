"""Curves that are made of curves: one over another, one into another, and products.

All parts count s from where the whole begins, in updates (inside an `Epochs`, in epochs).  With a, b, c, ... the parts
and D how long a lasts,

    Overlay  a(s) for s < D, then b(s), for more parts up to each one's end     a(0) at s = 0, b(D) at s = D
    Blend    a(s) + (b(s) - a(s)) s / D for s < D, then b(s)                    a(0) at s = 0, b(D) at s = D
    Product  a(s) b(s) c(s) ..., where b, c, ... are factors, and a may be      a(0) b(0) c(0) ... at s = 0
             what they multiply: a curve with absolute values

A part that has ended keeps its last value, so a product goes on until the last of its parts has ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, prod
from typing import TYPE_CHECKING

from optplan.resolve.shape import SLACK, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.resolve.curve import Curve

# At how many updates a compound is asked for its least and greatest value, beside those where a part begins or ends.
_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Overlay(Shape):
    """`parts`, all running from the start; part k governs up to `ends[k]`, the last one from then on."""

    parts: tuple[Curve, ...]
    ends: tuple[float, ...]

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return all(part.relative for part in self.parts)

    @property
    def settled(self) -> float | None:
        """When the last part is, once it governs."""
        settled = self.parts[-1].settled
        return None if settled is None else max(self.ends[-1], settled)

    @property
    def sound(self) -> bool:
        """Whether there is a part for each stretch of time."""
        return len(self.parts) == len(self.ends) + 1 and list(self.ends) == sorted(self.ends)

    @property
    def neutral(self) -> bool:
        """Whether it leaves the own value as it is."""
        return all(part.neutral for part in self.parts)

    @property
    def breaks(self) -> list[float]:
        """The ends, and those of the parts."""
        return [*self.ends, *(at for part in self.parts for at in part.breaks)]

    def extremes(self, base: float) -> list[float]:
        """Its first and last value, the least and the greatest: see `_reach`."""
        return _reach(self, base)

    def rising(self, base: float) -> float | None:
        """That of the first part that has one."""
        return next((rise for part in self.parts if (rise := part.rising(base)) is not None), None)

    def raw(self, t: float, base: float) -> float:
        """The value of the part that governs `t`."""
        return self.parts[bisect_right(self.ends, t + SLACK)].raw(t, base)

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`."""
        if t is None:
            return self.parts[-1].before(None, base)
        return self.parts[bisect_left(self.ends, t - SLACK)].before(t, base)

    def __str__(self) -> str:
        before = [_part(part.lasting(end)) for part, end in zip(self.parts, self.ends, strict=False)]
        return " over ".join([*before, _part(str(self.parts[-1]))])


@dataclass(frozen=True, slots=True)
class Blend(Shape):
    """Over `duration`, in a straight line from `first` to `second`, both of which run from the start."""

    first: Curve
    second: Curve
    duration: float

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.first.relative and self.second.relative

    @property
    def settled(self) -> float | None:
        """When the second is, once it has been reached."""
        settled = self.second.settled
        return None if settled is None else max(self.duration, settled)

    @property
    def sound(self) -> bool:
        """Whether its line has a length."""
        return self.duration > 0.0

    @property
    def neutral(self) -> bool:
        """Whether it leaves the own value as it is."""
        return self.first.neutral and self.second.neutral

    @property
    def breaks(self) -> list[float]:
        """The end of the line, and those of the parts."""
        return [self.duration, *self.first.breaks, *self.second.breaks]

    def extremes(self, base: float) -> list[float]:
        """Its first and last value, the least and the greatest: see `_reach`."""
        return _reach(self, base)

    def rising(self, base: float) -> float | None:
        """That of the first part that has one."""
        rise = self.first.rising(base)
        return self.second.rising(base) if rise is None else rise

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        if t + SLACK >= self.duration:
            return self.second.raw(t, base)
        return self._between(t, self.first.raw(t, base), self.second.raw(t, base))

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`."""
        if t is None or t - SLACK > self.duration:
            return self.second.before(t, base)
        return self._between(t, self.first.before(t, base), self.second.before(t, base))

    def _between(self, t: float, a: float, b: float) -> float:
        if a == b:
            return a
        return a + (b - a) * min(max(t, 0.0) / self.duration, 1.0)

    def __str__(self) -> str:
        return f"{_part(self.first.lasting(self.duration))} into {_part(str(self.second))}"


@dataclass(frozen=True, slots=True)
class Product(Shape):
    """`factors` multiplied; all but the first are of ratios."""

    factors: tuple[Curve, ...]

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.factors[0].relative

    @property
    def settled(self) -> float | None:
        """When all factors are."""
        settled = [factor.settled for factor in self.factors]
        known = [each for each in settled if each is not None]
        return max(known) if len(known) == len(settled) else None

    @property
    def sound(self) -> bool:
        """Whether the factors multiply."""
        return all(factor.relative for factor in self.factors[1:])

    @property
    def breaks(self) -> list[float]:
        """Those of the factors."""
        return [at for factor in self.factors for at in factor.breaks]

    def extremes(self, base: float) -> list[float]:
        """Its first and last value, the least and the greatest: see `_reach`."""
        return _reach(self, base)

    def rising(self, base: float) -> float | None:
        """That of what is multiplied; a factor has no absolute value."""
        return self.factors[0].rising(base)

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        first, *rest = self.factors
        return _multiplied([first.raw(t, base), *(factor.raw(t, 1.0) for factor in rest)])

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`."""
        first, *rest = self.factors
        return _multiplied([first.before(t, base), *(factor.before(t, 1.0) for factor in rest)])

    def __str__(self) -> str:
        return " * ".join(_part(str(factor)) for factor in self.factors)


Compound = Overlay | Blend | Product


def inside(curve: Compound) -> tuple[Curve, ...]:
    """The curves that it is made of, first to last."""
    match curve:
        case Overlay(parts) | Product(parts):
            return parts
        case Blend(first, second):
            return first, second


def _multiplied(values: list[float]) -> float:
    """The product; 0 times what is beyond a double is 0."""
    return 0.0 if 0.0 in values else prod(values)


def _part(text: str) -> str:
    return f"({text})" if any(word in text for word in (" -> ", " over ", " into ", " * ")) else text


def _reach(curve: Compound, base: float) -> list[float]:
    """The first and the last value of `curve`, the least and the greatest.

    Parts that rise and fall at once have their least and greatest values anywhere: they are looked for where a part
    begins, just before it ends, and at a thousand updates between, so at every one of a short run.
    """
    if curve.relative:
        return [base * value for value in _seen(curve, 1.0)]
    return list(_seen(curve, base))


@lru_cache(maxsize=256)
def _seen(curve: Compound, base: float) -> tuple[float, ...]:
    marks = sorted({0.0, *curve.breaks})
    values = [curve.raw(t, base) for t in (*marks, *map(float, _between(marks, curve.settled)))]
    values += [curve.before(t, base) for t in marks[1:]]
    last = values[len(marks) - 1] if curve.settled is None else curve.before(None, base)
    return values[0], last, min(*values, last), max(*values, last)


def _between(marks: list[float], settled: float | None) -> Iterator[int]:
    """Updates between the marks; behind the last of them too where a curve falls for ever, or begins anew."""
    for begin, end in pairwise(map(ceil, marks)):
        count = min(end - begin, max(2, _SAMPLES // len(marks)))
        yield from (begin + (end - begin) * k // count for k in range(count))
    if settled is None:
        yield from (ceil(marks[-1]) + k for k in range(_SAMPLES))
