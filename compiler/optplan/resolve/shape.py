"""What all curves have in common, as a formula and as data."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from math import ceil, floor, inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel
    from optplan.resolve.plateau import Plateau

# Times are exact while a policy is resolved and doubles in a curve.  A time that is this little short of a boundary, in
# updates, is on it: the rest is what rounding has left.
SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Shape:
    """A function of time s >= 0, counted from the beginning of its phase, and of the parameter's own value."""

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        raise NotImplementedError

    @property
    def settled(self) -> float | None:
        """The time from which on the value is constant; None if it never is."""
        raise NotImplementedError

    @property
    def waits(self) -> tuple[float, Plateau] | None:
        """From when on the value depends on a metric that is reported, and the phase that waits for it; None: never."""
        return None

    @property
    def sound(self) -> bool:
        """Whether its numbers are those of a curve; one that was read from a file may have any."""
        return True

    def value(self, t: int, base: float) -> float:
        """The value that update `t` uses for a parameter whose own value is `base`."""
        return base * self.raw(t, 1.0) if self.relative else self.raw(t, base)

    @property
    def endless(self) -> bool:
        """Whether it changes for ever by itself: the run's last update is then the last at which it does."""
        return self.settled is None and self.waits is None

    def factor(self, t: int) -> float:
        """What multiplies `base` at update `t`; of a `relative` curve."""
        return self.raw(t, 1.0)

    def lasting(self, duration: float) -> str:  # noqa: ARG002 - most say themselves how long they last
        """Its text where it gives way after `duration`."""
        return str(self)

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

    @property
    def breaks(self) -> list[float]:
        """The times at which its pieces begin and end; between them it is monotone."""
        settled = self.settled
        return [0.0] if settled is None else [0.0, settled]

    def extremes(self, base: float) -> list[float]:
        """The values at which its pieces begin and end; between them it is monotone."""
        raise NotImplementedError

    def rising(self, base: float) -> float | None:
        """The absolute value to which a decay climbs instead of falling; None if there is none."""
        del base
        return None

    def to_data(self) -> dict[str, Any]:
        """The curve as JSON data; `optplan.resolve.curve_record.from_data` gives an equal one."""
        data: dict[str, Any] = _to_data(self)
        return data


@dataclass(frozen=True, slots=True)
class Between(Shape):
    """From `origin` to `to` in `duration`, without a jump."""

    origin: AnyLevel
    to: AnyLevel
    duration: float

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
        """`to`, where it is absolute and above an `origin` that follows the own value."""
        a, b = self.extremes(base)
        return b if self.origin.relative and not self.to.relative and 0 < a < b else None

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.to.at(base) if t is None else self.raw(t, base)


def _to_data(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_data(item) for item in value]
    if not is_dataclass(value):
        return value
    kind = type(value).__name__.lower()
    return {"kind": kind} | {part.name: _to_data(getattr(value, part.name)) for part in fields(value)}


def passed(t: float, every: float, offset: float = 0.0) -> int:
    """How many whole `every` lie in the time from `-offset` (counted in `every`) to `t`, `t` included."""
    return floor((t + SLACK) / every + offset)


def passed_before(t: float, every: float, offset: float = 0.0) -> int:
    """How many whole `every` there are before `t`, `t` itself not included."""
    return ceil((t - SLACK) / every + offset) - 1


def scaled(value: float, gamma: float, count: float) -> float:
    """`value` times `gamma` to the power `count`; infinite where that is beyond a double."""
    try:
        power: float = gamma**count
        return value * power
    except OverflowError:
        return inf if value else 0.0
