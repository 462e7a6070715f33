"""Where two schedules of one key part, and by how much.

Takes a policy of either plan, or none, with the own values that they start from.  Where both are multiples of the own
value the multiples are compared, whatever the own values are; else the numbers themselves.  Up to `EXACT` updates each
one is looked at; of a longer run so many, evenly spread, and then all around those where something was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from optplan.report.curves import spread
from optplan.report.notation import counted, number, told_apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon

EXACT = 100_000
# where neither plan has a horizon, and a policy has no end
_OPEN = 10_000


@dataclass(frozen=True, slots=True)
class Farthest:
    """The update at which two schedules are farthest apart, the first of these, and the numbers of both there."""

    update: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Parting:
    """What two schedules do over `updates` updates: `first` is where they differ first, None if they never do.

    `relative` numbers are multiples of the own value.
    """

    updates: int
    relative: bool
    first: int | None = None
    farthest: Farthest | None = None

    def __str__(self) -> str:
        if self.farthest is None:
            return f"equal at each of {counted(self.updates, 'update')}"
        unit = "x" if self.relative else ""
        before, after = self.farthest.before, self.farthest.after
        texts = told_apart((before, after), 6)
        difference = number(after - before, 4)
        if after > before:
            difference = f"+{difference}"
        return (
            f"part at update {self.first:,}, farthest at update {self.farthest.update:,}: "
            f"{texts[before]}{unit} -> {texts[after]}{unit} ({difference}{unit})"
        )


def parting(first: Curve | None, own: float, second: Curve | None, other: float, updates: int) -> Parting:
    """How `first` for the own value `own` and `second` for `other` part; None is a schedule that changes nothing."""
    relative = (first is None or first.relative) and (second is None or second.relative)
    a, b = _numbers(first, own, relative=relative), _numbers(second, other, relative=relative)
    looked = spread(updates, EXACT)
    seen, found, most, best = -1, None, 0, -1.0
    for t in looked:
        before, after = a(t), b(t)
        if before != after:
            if found is None:
                found = range(seen + 1, t + 1)
            if abs(after - before) > best:
                most, best = t, abs(after - before)
        elif found is None:
            seen = t
    if found is None:
        return Parting(updates, relative)
    stride = ceil(updates / len(looked))
    around = range(max(0, most - stride + 1), min(updates, most + stride))
    most = max(around, key=lambda t: abs(a(t) - b(t)))
    return Parting(updates, relative, next(t for t in found if a(t) != b(t)), Farthest(most, a(most), b(most)))


def common_updates(first: Horizon, second: Horizon, *curves: Curve | None) -> int:
    """How many updates both runs have; without a horizon, those until the curves have come to rest."""
    known = [ceil(each.total) for each in (first, second) if each.total is not None]
    if known:
        return min(known)
    settled = [curve.settled for curve in curves if curve is not None]
    ends = [each for each in settled if each is not None]
    return ceil(max(ends, default=0.0)) + 1 if len(ends) == len(settled) else _OPEN


def _numbers(curve: Curve | None, own: float, *, relative: bool) -> Callable[[int], float]:
    if curve is None:
        return lambda _: 1.0 if relative else own
    if relative:
        return curve.factor
    return lambda t: curve.value(t, own)
