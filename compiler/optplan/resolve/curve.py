"""A resolved policy: a pure function of the update, as data.

Durations are in updates (or, inside an `Epochs`, in epochs), values are levels; nothing is left of the text.  With
`base` the parameter's own value, `curve.value(t, base)` is the value that update `t` uses, t = 0 for the first.
A curve that is made of ratios only is a multiple of `base`: `base * curve.factor(t)`, so one evaluation serves all
groups.  Curves compare by what they are and go through JSON exactly.

Every shape counts s = t - begin of its phase, lasts D updates, and runs from a level a to a level b:

    Hold    a                                                              a everywhere
    Ramp    a + (b - a) w,  w = min((s + start) / D, 1)                    a at s = 0 (start = 0), b at s = D
            cosine: b + (a - b) (1 + cos(pi w)) / 2,  exp: a (b / a)^w
    Poly    b + (a - b) (1 - w)^power,  w = min(s / D, 1)                  a at s = 0, b at s = D
    Stairs  a gamma^floor(s / every)                                       a gamma^k at s = k every
    Steps   a gamma^(how many of `at` are <= s)                            the drop is at `at` itself
    Own     a times the factor of a registered policy

Those of `stairs`, `decays`, `cycles` and `plateau` have their formulas there,
and so have those of `compound`, which are made of several curves that run at once.

`Chain` governs t by its last phase that has begun; past a phase's end its last value stands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, inf, pi
from typing import TYPE_CHECKING

from optplan.resolve.compound import Blend, Overlay, Product
from optplan.resolve.cycles import Cycle, OneCycle, Restarts
from optplan.resolve.decays import Decay, InverseSqrt, InverseTime, NaturalExp, Noam, Sqrt
from optplan.resolve.level import Level
from optplan.resolve.own import Own
from optplan.resolve.plateau import Plateau
from optplan.resolve.shape import SLACK, Between, Shape, passed, passed_before
from optplan.resolve.stairs import Pieces, Stairs, Steps, Table

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel


@dataclass(frozen=True, slots=True)
class Hold(Shape):
    """The level `at`, for ever."""

    at: AnyLevel

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.at.relative

    @property
    def settled(self) -> float | None:
        """Always."""
        return 0.0

    @property
    def neutral(self) -> bool:
        """Whether it leaves the own value as it is."""
        return self.at == Level(ratio=1.0)

    def extremes(self, base: float) -> list[float]:
        """Its one value."""
        return [self.at.at(base)]

    def raw(self, t: float, base: float) -> float:  # noqa: ARG002 - the same at every update
        """`at`."""
        return self.at.at(base)

    def before(self, t: float | None, base: float) -> float:  # noqa: ARG002 - as above
        """`at`."""
        return self.at.at(base)

    def lasting(self, duration: float) -> str:
        """With how long that is."""
        return f"hold({duration:g}, at={self.at})"

    def __str__(self) -> str:
        return f"hold({self.at})"


@dataclass(frozen=True, slots=True)
class Ramp(Between):
    """From `origin` to `to` in `duration`, in a line, half a cosine or an exponential; `start` is added to s."""

    shape: str = "linear"
    start: float = 0.0

    @property
    def settled(self) -> float | None:
        """At its end."""
        return max(0.0, self.duration - self.start)

    @property
    def sound(self) -> bool:
        """Whether its form is one."""
        return self.shape in ("linear", "cosine", "exp")

    def rising(self, base: float) -> float | None:
        """As of all that run between two levels; a line may climb."""
        return None if self.shape == "linear" else Between.rising(self, base)

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        a, b = self.origin.at(base), self.to.at(base)
        elapsed = t + self.start
        if elapsed >= self.duration:
            return b
        if elapsed <= 0.0:
            return a
        w = elapsed / self.duration
        match self.shape:
            case "cosine":
                return b + (a - b) * (1.0 + cos(pi * w)) / 2.0
            case "exp":
                value: float = a ** (1.0 - w) * b**w if a else 0.0  # a (b / a)^w, where b / a may be too large
                return value
            case _:
                return a + (b - a) * w

    def __str__(self) -> str:
        tail = f", start={self.start:g}" if self.start else ""
        return f"{self.shape}({self.duration:g}, from={self.origin}, to={self.to}{tail})"


@dataclass(frozen=True, slots=True)
class Poly(Between):
    """From `origin` to `to` in `duration` by the power `power` of what is left."""

    power: float = 1.0

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        a, b = self.origin.at(base), self.to.at(base)
        if t >= self.duration:
            return b
        if t <= 0.0:
            return a
        left: float = (1.0 - t / self.duration) ** self.power
        return b + (a - b) * left

    def __str__(self) -> str:
        return f"poly({self.duration:g}, from={self.origin}, to={self.to}, power={self.power:g})"


@dataclass(frozen=True, slots=True)
class Epochs(Shape):
    """`item`, whose time is the whole epochs of the run, each `length` updates, from the epoch `begin` on."""

    item: Curve
    length: float
    begin: float = 0.0

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.item.relative

    @property
    def settled(self) -> float | None:
        """The first epoch in which the item is settled."""
        settled = self.item.settled
        return None if settled is None else self._first(settled)

    @property
    def breaks(self) -> list[float]:
        """The first epochs of the pieces of the item."""
        return [self._first(at) for at in self.item.breaks]

    def _first(self, at: float) -> float:
        """When the first epoch begins whose time is `at` or later."""
        return max(0.0, (passed_before(at, 1.0, self.begin) + 1 - self.begin) * self.length)

    def extremes(self, base: float) -> list[float]:
        """Those of the item."""
        return self.item.extremes(base)

    def rising(self, base: float) -> float | None:
        """That of the item."""
        return self.item.rising(base)

    def raw(self, t: float, base: float) -> float:
        """The item's value at the epoch that `t` is in."""
        # `t` counts from the phase's own start; whole epochs are those of the run.
        return self.item.raw(max(0.0, passed(t, self.length, self.begin) - self.begin), base)

    def before(self, t: float | None, base: float) -> float:
        """The value of the last epoch that begins before `t`."""
        if t is None:
            return self.item.before(None, base)
        return self.item.raw(max(0.0, passed_before(t, self.length, self.begin) - self.begin), base)

    def __str__(self) -> str:
        return f"{self.item} per epoch"


@dataclass(frozen=True, slots=True)
class Chain(Shape):
    """Phases one after the other: phase k governs `begins[k] <= t < begins[k + 1]` and counts from its own begin."""

    phases: tuple[Curve, ...]
    begins: tuple[float, ...]

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return all(phase.relative for phase in self.phases)

    @property
    def settled(self) -> float | None:
        """When the last phase is."""
        settled = self.phases[-1].settled
        return None if settled is None else self.begins[-1] + settled

    @property
    def breaks(self) -> list[float]:
        """Those of the phases while they govern."""
        ends = [*self.begins[1:], inf]
        return [
            min(begin + at, end)
            for phase, begin, end in zip(self.phases, self.begins, ends, strict=True)
            for at in phase.breaks
        ]

    @property
    def waits(self) -> tuple[float, Plateau] | None:
        """When the last phase waits, if it does."""
        last = self.phases[-1].waits
        return None if last is None else (self.begins[-1] + last[0], last[1])

    def extremes(self, base: float) -> list[float]:
        """Those of the phases."""
        return [value for phase in self.phases for value in phase.extremes(base)]

    def rising(self, base: float) -> float | None:
        """That of the first phase that has one."""
        return next((rise for phase in self.phases if (rise := phase.rising(base)) is not None), None)

    def raw(self, t: float, base: float) -> float:
        """The value of the phase that governs `t`."""
        phase = max(0, bisect_right(self.begins, t + SLACK) - 1)
        return self.phases[phase].raw(max(0.0, t - self.begins[phase]), base)

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`."""
        if t is None:
            return self.phases[-1].before(None, base)
        phase = max(0, bisect_left(self.begins, t - SLACK) - 1)
        return self.phases[phase].before(max(0.0, t - self.begins[phase]), base)

    def __str__(self) -> str:
        lengths = (end - begin for begin, end in pairwise(self.begins))
        first = [phase.lasting(length) for phase, length in zip(self.phases, lengths, strict=False)]
        return " -> ".join([*first, str(self.phases[-1])])


Curve = (
    Hold
    | Ramp
    | Poly
    | Sqrt
    | Stairs
    | Steps
    | Pieces
    | Table
    | Epochs
    | Chain
    | Overlay
    | Blend
    | Product
    | Own
    | Decay
    | InverseTime
    | NaturalExp
    | InverseSqrt
    | Noam
    | Restarts
    | Cycle
    | OneCycle
    | Plateau
)


def reduced(curve: Curve, reductions: int) -> Curve:
    """`curve`, whose last phase waits for a metric, after so many reductions."""
    match curve:
        case Plateau():
            return replace(curve, reductions=reductions)
        case Chain(phases):
            return replace(curve, phases=(*phases[:-1], reduced(phases[-1], reductions)))
        case _:
            return curve
