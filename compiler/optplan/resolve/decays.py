"""Curves that fall without steps: by a factor over time, or to a value as the square root of time.

Each counts s = t - begin of its phase, in updates (or, under `per epoch`, in epochs), begins at a level a and lasts D,
or for ever; from s = D on it stays what it is there.  `every`, `timescale` and `warmup` are times in the same unit.

    Decay        a gamma^(s / every)             a at s = 0, a gamma at s = every, a gamma^k at s = k every
    InverseTime  a / (1 + rate s / every)        a at s = 0, a / (1 + rate) at s = every
    NaturalExp   a exp(-rate s / every)          a at s = 0, a / e at s = every / rate
    InverseSqrt  a sqrt(T / (s + T))             a at s = 0, a / sqrt(2) at s = T, a / 2 at s = 3 T
    Sqrt         b + (a - b) (1 - sqrt(s / D))   a at s = 0, (a + b) / 2 at s = D / 4, b at s = D
    Noam         d^-0.5 min((s + 1)^-0.5, (s + 1) w^-1.5)     its peak (d w)^-0.5 at s = w - 1, of the own value

Sources: exponential, inverse time and natural exponential decay as in `torch.optim.lr_scheduler.ExponentialLR`, and
`exponential_decay`, `inverse_decay` and `natural_exp_decay` of `mindspore.nn.dynamic_lr`, without their stairs; the
inverse square root as in `get_inverse_sqrt_schedule` of transformers, which after `hold(T)` is in proportion to the
1 / sqrt(max(n, T)) of Raffel et al., arXiv 1910.10683; 1 - sqrt as the cooldown of Haegele et al., arXiv 2405.18392;
Noam's rate by Vaswani et al., arXiv 1706.03762, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import TYPE_CHECKING

from optplan.resolve.level import times
from optplan.resolve.shape import Between, Shape, scaled

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel


@dataclass(frozen=True, slots=True)
class Fading(Shape):
    """The level `origin` times a factor of time alone, which is 1 at first, for `duration` or for ever."""

    origin: AnyLevel
    duration: float | None

    def gain(self, s: float) -> float:
        """The factor at s >= 0; it rises or falls all the way."""
        raise NotImplementedError

    @property
    def still(self) -> bool:
        """Whether the factor is 1 for ever."""
        return False

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return 0.0 if self.still else self.duration

    def extremes(self, base: float) -> list[float]:
        """Where it begins and ends; only its begin where it lasts for ever, for it falls from there."""
        return [self.origin.at(base), self.before(None, base)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        s = max(t, 0.0) if self.duration is None else min(max(t, 0.0), self.duration)
        level = self.origin.at(base)
        return level * self.gain(s) if level else 0.0

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.raw(self.duration or 0.0 if t is None else t, base)

    def end(self, duration: float | None) -> AnyLevel:
        """The level at which it ends after `duration`, None for its own."""
        ends = [each for each in (duration, self.duration) if each is not None]
        return times(self.origin, self.gain(min(ends)), 1) if ends else self.origin

    def _text(self, name: str, *arguments: str) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        return f"{name}({', '.join([*parts, f'from={self.origin}', *arguments])})"


@dataclass(frozen=True, slots=True)
class Decay(Fading):
    """`origin` times `gamma` to the power s / `every`."""

    gamma: float
    every: float

    @property
    def still(self) -> bool:
        """Without a decay, or a growth."""
        return self.gamma == 1.0

    @property
    def settled(self) -> float | None:
        """At its end, and after its begin where nothing is left then."""
        if self.gamma == 0.0:
            return 1.0 if self.duration is None else min(1.0, self.duration)
        return 0.0 if self.still else self.duration

    @property
    def sound(self) -> bool:
        """Whether the time is one."""
        return self.every > 0

    def gain(self, s: float) -> float:
        """See the head of the module."""
        return scaled(1.0, self.gamma, s / self.every)

    def __str__(self) -> str:
        return self._text("decay", f"gamma={self.gamma:g}", f"every={self.every:g}")


@dataclass(frozen=True, slots=True)
class InverseTime(Fading):
    """`origin` over 1 + `rate` s / `every`."""

    rate: float
    every: float

    @property
    def still(self) -> bool:
        """Without a decay."""
        return self.rate == 0.0

    @property
    def sound(self) -> bool:
        """Whether the time is one."""
        return self.every > 0

    def gain(self, s: float) -> float:
        """See the head of the module."""
        return 1.0 / (1.0 + self.rate * (s / self.every))

    def __str__(self) -> str:
        return self._text("inverse_time", f"rate={self.rate:g}", f"every={self.every:g}")


@dataclass(frozen=True, slots=True)
class NaturalExp(Fading):
    """`origin` times the exponential of -`rate` s / `every`."""

    rate: float
    every: float

    @property
    def still(self) -> bool:
        """Without a decay."""
        return self.rate == 0.0

    @property
    def sound(self) -> bool:
        """Whether the time is one."""
        return self.every > 0

    def gain(self, s: float) -> float:
        """See the head of the module."""
        return exp(-self.rate * (s / self.every))

    def __str__(self) -> str:
        return self._text("natural_exp", f"rate={self.rate:g}", f"every={self.every:g}")


@dataclass(frozen=True, slots=True)
class InverseSqrt(Fading):
    """`origin` times the square root of `timescale` / (s + `timescale`)."""

    timescale: float

    @property
    def sound(self) -> bool:
        """Whether the time is one."""
        return self.timescale > 0

    def gain(self, s: float) -> float:
        """See the head of the module."""
        return sqrt(self.timescale / (s + self.timescale))

    def __str__(self) -> str:
        return self._text("inverse_sqrt", f"timescale={self.timescale:g}")


@dataclass(frozen=True, slots=True)
class Sqrt(Between):
    """From `origin` to `to` in `duration`, by one minus the square root of time: fast at first."""

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        a, b = self.origin.at(base), self.to.at(base)
        if t >= self.duration:
            return b
        return a if t <= 0.0 else b + (a - b) * (1.0 - sqrt(t / self.duration))

    def __str__(self) -> str:
        return f"sqrt({self.duration:g}, from={self.origin}, to={self.to})"


@dataclass(frozen=True, slots=True)
class Noam(Shape):
    """A line up for `warmup`, then the inverse square root; of the own value, wherever the phase before ended."""

    d_model: float
    warmup: float
    duration: float | None

    @property
    def relative(self) -> bool:
        """Always."""
        return True

    @property
    def settled(self) -> float | None:
        """At its end."""
        return self.duration

    @property
    def sound(self) -> bool:
        """Whether there is a width and a time."""
        return self.d_model > 0 and self.warmup > 0

    @property
    def breaks(self) -> list[float]:
        """Its begin, its peak and its end."""
        ends = [] if self.duration is None else [self.duration]
        return [0.0, max(0.0, self.warmup - 1.0), *ends]

    def extremes(self, base: float) -> list[float]:
        """Where it begins, its peak if it comes to it, and where it ends."""
        return [self.raw(s, base) for s in self.breaks]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        n = 1.0 + (max(t, 0.0) if self.duration is None else min(max(t, 0.0), self.duration))
        # The smaller of the two, with the roots taken last: no power overflows.
        return (
            base
            * (sqrt(1.0 / n) if n >= self.warmup else n / self.warmup * sqrt(1.0 / self.warmup))
            / sqrt(self.d_model)
        )

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`: it has no jumps."""
        return self.raw(self.duration or 0.0 if t is None else t, base)

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        return f"noam({', '.join([*parts, f'd_model={self.d_model:g}', f'warmup={self.warmup:g}'])})"
