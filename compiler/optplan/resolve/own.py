"""Curves of policies that were registered.

Such a curve holds the name of its policy and the numbers that this was given, so it is data as every curve is; the
function is looked up when a value is asked for.  With s = t - begin and D its duration,

    Own     a f(s, D, **arguments),  s at most D                           a f(0, D) at s = 0, a f(D, D) from s = D on

where f is the registered function and a the level at which the phase begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.diagnostics import ConfigError, diagnostic
from optplan.resolve.level import Level
from optplan.resolve.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.catalog import PolicyType
    from optplan.resolve.level import AnyLevel

Arguments = tuple[tuple[str, float], ...]

# At how many updates a function of which nothing is known is asked for its least and its greatest value.
_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Own(Shape):
    """`origin` times the factor of the registered policy `policy`, for `duration`, or for ever."""

    policy: str
    origin: AnyLevel
    duration: float | None
    arguments: Arguments = ()

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative

    @property
    def settled(self) -> float | None:
        """At its end."""
        return self.duration

    def extremes(self, base: float) -> list[float]:
        """Its two ends, and the least and the greatest of its values at a thousand updates between them."""
        kind = registered(self.policy)
        level = self.origin.at(base)
        return [level * factor for factor in _reach(kind, self.duration, self.arguments)]

    def raw(self, t: float, base: float) -> float:
        """See the head of the module."""
        return self.origin.at(base) * _factor(registered(self.policy), t, self.duration, self.arguments)

    def before(self, t: float | None, base: float) -> float:
        """The value at `t`, or at its end."""
        end = self.duration if t is None else t
        return self.raw(0.0 if end is None else end, base)

    def __str__(self) -> str:
        parts = [] if self.duration is None else [f"{self.duration:g}"]
        parts += [] if self.origin == Level(ratio=1.0) else [f"from={self.origin}"]
        return f"{self.policy}({', '.join([*parts, *(f'{name}={value:g}' for name, value in self.arguments)])})"


def registered(name: str) -> PolicyType:
    """The registered policy of this name; ConfigError (OP505) where there is none, as for a plan made elsewhere."""
    kind = catalog().policies.get(name)
    if kind is None or kind.function is None:
        from optplan.registry.mention import Mention  # noqa: PLC0415 - few plans are made elsewhere
        from optplan.registry.registration import require  # noqa: PLC0415 - as above

        require([Mention("policy", name)])
        kind = catalog().policies[name]
    return kind


def _factor(kind: PolicyType, t: float, duration: float | None, arguments: Arguments) -> float:
    s = max(t, 0.0) if duration is None else min(max(t, 0.0), duration)
    numbers = {name: int(value) if kind.arguments[name].kind == "count" else value for name, value in arguments}
    function: Callable[..., float] = kind.function  # type: ignore[assignment]  # a registered one has it
    try:
        value = float(function(s, duration, **numbers))
    except Exception as fault:
        raise _fault(kind, s, f"{type(fault).__name__}: {fault}") from fault
    if not (isfinite(value) and value >= 0):
        raise _fault(kind, s, f"its factor is {value:g}")
    return value


@lru_cache(maxsize=64)
def _reach(kind: PolicyType, duration: float | None, arguments: Arguments) -> tuple[float, ...]:
    """First and last factor, least and greatest one."""
    last = duration if duration is not None else float(_SAMPLES)
    count = min(_SAMPLES, max(1, int(last)))
    factors = [_factor(kind, last * part / count, duration, arguments) for part in range(count + 1)]
    return factors[0], factors[-1], min(factors), max(factors)


def _fault(kind: PolicyType, s: float, what: str) -> ConfigError:
    message = f"the policy `{kind.name}` has no value {s:g} updates after its begin: {what}"
    return ConfigError([diagnostic("OP405", message, help="a factor is a finite number of 0 or more")])
