"""Curves that come back: warm restarts, cycles between two levels, and the one cycle.

Each counts s = t - begin of its phase, in updates (or, under `per epoch`, in epochs); times are in the same unit.

    Restarts  b + (a - b) (1 + cos(pi p / P)) / 2, where p is the time since the last restart and P the length of the
              period that began there: `period` at first, then `mult` times the length before
              a at each restart s = period (mult^k - 1) / (mult - 1), or k period; b just before the next one
    Cycle     l + (h - l) x f, where x rises from 0 to 1 in `up` and falls back in `down`, again and again
              l at s = k (up + down), l + (h - l) f at s = k (up + down) + up, with
              f = 1 (triangular), 2^-k in cycle k = 0, 1, ... (triangular2), gamma^s (exp_range)
    OneCycle  half cosines, or lines: peak / div at s = 0, peak at s = up - 1, peak / div / final_div at s = D - 1,
              the last update of D; of three phases, peak / div again at s = 2 up - 2

Sources: Loshchilov and Hutter, arXiv 1608.03983; Smith, arXiv 1506.01186; Smith and Topin, arXiv 1708.07120; values as
in `CosineAnnealingWarmRestarts`, `CyclicLR` and `OneCycleLR` of `torch.optim.lr_scheduler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, cos, expm1, floor, inf, log1p, pi
from typing import TYPE_CHECKING

from optplan.resolve.shape import SLACK, Shape, passed, scaled

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel

# Of what goes on and on: so many periods are worth a look.
_SHOWN = 12

# A growth so small that mult^k - 1 would lose digits; above it powers of whole numbers are exact.
_SLIGHT = 1e-2


@dataclass(frozen=True, slots=True)
class Restarts(Shape):
    """From `origin` to `to` in half a cosine wave, anew after each period; it lasts `duration`, or for ever."""

    origin: AnyLevel
    to: AnyLevel
    period: float
    mult: float = 1.0
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative and self.to.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return self.duration

    @property
    def sound(self) -> bool:
        """Whether there is a period, and none is shorter than the one before."""
        return self.period > 0 and self.mult >= 1

    @property
    def breaks(self) -> list[float]:
        """Its first restarts, and its end."""
        return _first([self.begin(k) for k in range(_SHOWN)], self.duration)

    def extremes(self, base: float) -> list[float]:
        """Its two ends."""
        return [self.origin.at(base), self.to.at(base)]

    def rising(self, base: float) -> float | None:
        """`to`, where it is absolute and above an `origin` that follows the own value."""
        a, b = self.origin.at(base), self.to.at(base)
        return b if self.origin.relative and not self.to.relative and 0 < a < b else None

    def begin(self, k: int) -> float:
        """When period `k` begins, 0 for the first."""
        growth = self.mult - 1.0
        if growth < _SLIGHT:
            return self.period * (expm1(k * log1p(growth)) / growth if growth else k)
        return self.period * (scaled(1.0, self.mult, k) - 1.0) / growth

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        if self.duration is not None and t + SLACK >= self.duration:
            return self.before(None, base)
        t = max(t, 0.0)
        k = floor(self._periods(t + SLACK))
        # the logarithm may miss a restart by a last digit
        k += self.begin(k + 1) <= t + SLACK
        k -= self.begin(k) > t + SLACK
        return self._within(t, k, base)

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`: at a restart the one to which the period before falls."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        if at is None or at <= 0.0:
            return self.origin.at(base)
        k = ceil(self._periods(max(0.0, at - SLACK))) - 1
        k += self.begin(k + 1) < at - SLACK
        k -= k > 0 and self.begin(k) >= at - SLACK
        return self._within(at, max(0, k), base)

    def _periods(self, s: float) -> float:
        """How many periods have passed, and the part of this one that is no measure of its time."""
        growth = self.mult - 1.0
        return log1p(s / self.period * growth) / log1p(growth) if growth else s / self.period

    def _within(self, s: float, k: int, base: float) -> float:
        a, b = self.origin.at(base), self.to.at(base)
        length = scaled(self.period, self.mult, k)
        passed_by = s - self.begin(k)
        if passed_by <= SLACK:
            return a
        return b if passed_by >= length - SLACK else b + (a - b) * (1.0 + cos(pi * passed_by / length)) / 2.0

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        parts += [f"from={self.origin}", f"to={self.to}", f"period={self.period:g}", f"mult={self.mult:g}"]
        return f"restarts({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Cycle(Shape):
    """From `low` to `high` in `up` and back in `down`, again and again, for `duration` or for ever."""

    low: AnyLevel
    high: AnyLevel
    up: float
    down: float
    shape: str = "triangular"
    gamma: float = 1.0
    duration: float | None = None

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.low.relative and self.high.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return self.duration

    @property
    def sound(self) -> bool:
        """Whether it takes time to rise and to fall, in a form that there is."""
        known = self.shape in ("triangular", "triangular2", "exp_range")
        return known and self.up > 0 and self.down > 0 and self.gamma <= 1

    @property
    def breaks(self) -> list[float]:
        """Its first turning points, and its end."""
        return _first([k * (self.up + self.down) + at for k in range(_SHOWN) for at in (0.0, self.up)], self.duration)

    def extremes(self, base: float) -> list[float]:
        """Its two levels."""
        return [self.low.at(base), self.high.at(base)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        s = max(t, 0.0) if self.duration is None else min(max(t, 0.0), self.duration)
        k = passed(s, self.up + self.down)
        p = max(0.0, s - k * (self.up + self.down))
        x = p / self.up if p <= self.up else max(0.0, self.up + self.down - p) / self.down
        match self.shape:
            case "triangular2":
                x = scaled(x, 0.5, k)
            case "exp_range":
                x = scaled(x, self.gamma, s)
        low, high = self.low.at(base), self.high.at(base)
        return low + (high - low) * x

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.raw(self.duration or 0.0 if t is None else t, base)

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        parts += [f"low={self.low}", f"high={self.high}", f"up={self.up:g}", f"down={self.down:g}"]
        parts += [] if self.shape == "triangular" else [f"shape={self.shape}"]
        parts += [f"gamma={self.gamma:g}"] if self.shape == "exp_range" else []
        return f"cycle({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class OneCycle(Shape):
    """Up to `peak` in `up`, and down to the last of `duration` updates, in two phases or in three."""

    peak: AnyLevel
    up: float
    div: float
    final_div: float
    duration: float
    shape: str = "cosine"
    phases: int = 2

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.peak.relative

    @property
    def settled(self) -> float | None:
        """At its last update."""
        return max(0.0, self.duration - 1.0)

    @property
    def sound(self) -> bool:
        """Whether it has room for its phases, in a form that there is."""
        known = self.shape in ("cosine", "linear") and self.phases in (2, 3)
        return known and min(self.div, self.final_div) > 0 and self.rise < self.duration

    @property
    def rise(self) -> float:
        """What its duration has to be above: the time of the rise, of three phases also of the first fall."""
        return self.up if self.phases == 2 else 2.0 * self.up - 1.0

    @property
    def breaks(self) -> list[float]:
        """Its begin, its peak, the end of the first fall, and its last update."""
        return [max(0.0, at) for at, _ in self._corners(1.0)]

    def extremes(self, base: float) -> list[float]:
        """Where its phases begin and end."""
        return [value for _, value in self._corners(base)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        corners = self._corners(base)
        for (begin, a), (end, b) in pairwise(corners):
            # one that has no time is passed by, for what is at its end
            if t < end and end > begin:
                w = max(0.0, t - begin) / (end - begin)
                return b + (a - b) * (1.0 + cos(pi * w)) / 2.0 if self.shape == "cosine" else a + (b - a) * w
        return corners[-1][1]

    def _corners(self, base: float) -> list[tuple[float, float]]:
        """Time and value where phases begin and end."""
        peak = self.peak.at(base)
        first = peak / self.div
        corners = [(0.0, first), (self.up - 1.0, peak)]
        if self.phases != 2:
            corners.append((2.0 * self.up - 2.0, first))
        return [*corners, (self.duration - 1.0, first / self.final_div)]

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.raw(self.duration if t is None else t, base)

    def __str__(self) -> str:
        parts = [f"{self.duration:g}", f"peak={self.peak}", f"up={self.up:g}", f"div={self.div:g}"]
        parts += [f"final_div={self.final_div:g}", f"shape={self.shape}", f"phases={self.phases}"]
        return f"onecycle({', '.join(parts)})"


def _first(times: list[float], duration: float | None) -> list[float]:
    """`times` up to the end, and the end."""
    ends = [] if duration is None else [duration]
    return [*(at for at in times if at < min([inf, *ends])), *ends]
