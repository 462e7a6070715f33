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

`Chain` governs t by its last phase that has begun; past a phase's end its last value stands.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields
from math import ceil, cos, floor, pi
from typing import TYPE_CHECKING, Any

from optplan.resolve.level import Bound, Last, Level

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the curves have in common."""

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        raise NotImplementedError

    @property
    def settled(self) -> float | None:
        """The update from which on the value is constant; None if it never is."""
        raise NotImplementedError

    def value(self, t: int, base: float) -> float:
        """The value that update `t` uses for a parameter whose own value is `base`."""
        return base * self.raw(t, 1.0) if self.relative else self.raw(t, base)

    def factor(self, t: int) -> float:
        """What multiplies `base` at update `t`; of a `relative` curve."""
        return self.raw(t, 1.0)

    def raw(self, t: float, base: float) -> float:
        """The formula, at a time that need not be whole."""
        raise NotImplementedError

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`, which need not be whole; at the very end for None."""
        raise NotImplementedError

    @property
    def neutral(self) -> bool:
        """Whether it leaves the own value as it is."""
        return False

    def extremes(self, base: float) -> list[float]:
        """The values at which its pieces begin and end; between them it is monotone."""
        raise NotImplementedError

    def rising(self, base: float) -> float | None:
        """The absolute value to which a decay climbs instead of falling; None if there is none."""
        del base
        return None

    def to_data(self) -> dict[str, Any]:
        """The curve as JSON data; `from_data` gives an equal one."""
        data: dict[str, Any] = _to_data(self)
        return data


@dataclass(frozen=True, slots=True)
class Hold(_Shape):
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

    def __str__(self) -> str:
        return f"hold({self.at})"


@dataclass(frozen=True, slots=True)
class Ramp(_Shape):
    """From `origin` to `to` in `duration`, in a line, half a cosine or an exponential; `start` is added to s."""

    origin: AnyLevel
    to: AnyLevel
    duration: float
    shape: str = "linear"
    start: float = 0.0

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative and self.to.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return max(0.0, self.duration - self.start)

    def extremes(self, base: float) -> list[float]:
        """Its two ends."""
        return [self.origin.at(base), self.to.at(base)]

    def rising(self, base: float) -> float | None:
        """`to`, where it is absolute and above `origin`."""
        a, b = self.origin.at(base), self.to.at(base)
        return None if self.shape == "linear" or self.to.relative or not 0 < a < b else b

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        a, b = self.origin.at(base), self.to.at(base)
        elapsed = t + self.start
        if elapsed >= self.duration:
            return b
        w = max(0.0, elapsed / self.duration)
        match self.shape:
            case "cosine":
                return b + (a - b) * (1.0 + cos(pi * w)) / 2.0
            case "exp":
                value: float = a * (b / a) ** w if a else 0.0
                return value
            case _:
                return a + (b - a) * w

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: a ramp has no jumps."""
        return self.to.at(base) if t is None else self.raw(t, base)

    def __str__(self) -> str:
        tail = f", start={self.start:g}" if self.start else ""
        shape = f", shape={self.shape}" if self.shape != "linear" else ""
        return f"ramp({self.duration:g}, from={self.origin}, to={self.to}{shape}{tail})"


@dataclass(frozen=True, slots=True)
class Poly(_Shape):
    """From `origin` to `to` in `duration` by the power `power` of what is left."""

    origin: AnyLevel
    to: AnyLevel
    duration: float
    power: float = 1.0

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative and self.to.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return self.duration

    def extremes(self, base: float) -> list[float]:
        """Its two ends."""
        return [self.origin.at(base), self.to.at(base)]

    def rising(self, base: float) -> float | None:
        """`to`, where it is absolute and above `origin`."""
        a, b = self.origin.at(base), self.to.at(base)
        return None if self.to.relative or not 0 < a < b else b

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        a, b = self.origin.at(base), self.to.at(base)
        if t >= self.duration:
            return b
        return b + (a - b) * (1.0 - max(0.0, t / self.duration)) ** self.power

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.to.at(base) if t is None else self.raw(t, base)

    def __str__(self) -> str:
        return f"poly({self.duration:g}, from={self.origin}, to={self.to}, power={self.power:g})"


@dataclass(frozen=True, slots=True)
class Stairs(_Shape):
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
        if self.duration is None:
            return 0.0 if self.gamma == 1.0 else None
        return (ceil(self.duration / self.every) - 1) * self.every

    def extremes(self, base: float) -> list[float]:
        """The first and the last stair."""
        return [self.origin.at(base), self.before(None, base)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        if self.duration is not None and t >= self.duration:
            return self.before(self.duration, base)
        return self.origin.at(base) * self.gamma ** floor(max(t, 0.0) / self.every)

    def before(self, t: float | None, base: float) -> float:
        """The stair on which `t` is reached."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        count = 0 if at is None else max(0, ceil(at / self.every) - 1)
        return self.origin.at(base) * self.gamma**count

    def __str__(self) -> str:
        return f"step({self.every:g}, from={self.origin}, gamma={self.gamma:g})"


@dataclass(frozen=True, slots=True)
class Steps(_Shape):
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
        return max((at for at in self.at if self.duration is None or at < self.duration), default=0.0)

    def extremes(self, base: float) -> list[float]:
        """The first and the last stair."""
        return [self.origin.at(base), self.before(None, base)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        if self.duration is not None and t >= self.duration:
            return self.before(self.duration, base)
        return self.origin.at(base) * self.gamma ** bisect_right(self.at, t)

    def before(self, t: float | None, base: float) -> float:
        """The value after the drops that lie before `t`."""
        at = self.duration if t is None or (self.duration is not None and t > self.duration) else t
        count = len(self.at) if at is None else sum(drop < at for drop in self.at)
        return self.origin.at(base) * self.gamma**count

    def __str__(self) -> str:
        return f"multistep({', '.join(f'{at:g}' for at in self.at)}; from={self.origin}, gamma={self.gamma:g})"


@dataclass(frozen=True, slots=True)
class Epochs(_Shape):
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
        return (
            None if settled is None else max(0.0, ceil(settled + self.begin) * self.length - self.begin * self.length)
        )

    def extremes(self, base: float) -> list[float]:
        """Those of the item."""
        return self.item.extremes(base)

    def rising(self, base: float) -> float | None:
        """That of the item."""
        return self.item.rising(base)

    def _epoch(self, t: float) -> float:
        # `t` counts from the phase's own start; whole epochs are those of the run.
        return max(0.0, floor(t / self.length + self.begin) - self.begin)

    def raw(self, t: float, base: float) -> float:
        """The item's value at the epoch that `t` is in."""
        return self.item.raw(self._epoch(t), base)

    def before(self, t: float | None, base: float) -> float:
        """The value of the last epoch that begins before `t`."""
        if t is None:
            return self.item.before(None, base)
        return self.item.raw(max(0.0, ceil(t / self.length + self.begin) - 1 - self.begin), base)

    def __str__(self) -> str:
        return f"{self.item} per epoch"


@dataclass(frozen=True, slots=True)
class Chain(_Shape):
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

    def extremes(self, base: float) -> list[float]:
        """Those of the phases."""
        return [value for phase in self.phases for value in phase.extremes(base)]

    def rising(self, base: float) -> float | None:
        """That of the first phase that has one."""
        return next((rise for phase in self.phases if (rise := phase.rising(base)) is not None), None)

    def raw(self, t: float, base: float) -> float:
        """The value of the phase that governs `t`."""
        phase = max(0, bisect_right(self.begins, t) - 1)
        return self.phases[phase].raw(t - self.begins[phase], base)

    def before(self, t: float | None, base: float) -> float:
        """The value just before `t`."""
        if t is None:
            return self.phases[-1].before(None, base)
        phase = max(0, sum(begin < t for begin in self.begins) - 1)
        return self.phases[phase].before(t - self.begins[phase], base)

    def __str__(self) -> str:
        return " -> ".join(map(str, self.phases))


Curve = Hold | Ramp | Poly | Stairs | Steps | Epochs | Chain

_NODES: dict[str, type[Any]] = {
    node.__name__.lower(): node for node in (Level, Bound, Last, Hold, Ramp, Poly, Stairs, Steps, Epochs, Chain)
}


def _to_data(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_data(item) for item in value]
    kind = type(value).__name__.lower()
    if kind not in _NODES:
        return value
    return {"kind": kind} | {part.name: _to_data(getattr(value, part.name)) for part in fields(value)}


def from_data(data: Any) -> Curve:
    """The curve that `to_data` wrote; KeyError or TypeError for anything else."""
    curve: Curve = _from_data(data)
    return curve


def _from_data(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    kind = _NODES[data["kind"]]
    return kind(**{name: _from_data(value) for name, value in data.items() if name != "kind"})
