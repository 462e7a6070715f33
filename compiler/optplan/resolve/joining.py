"""Joining curves: one after the other, one over another, one into another, products; and where a next one begins.

What comes to the same is the same curve, so that parameters with such policies share a group: no chain lies in another,
no part that never governs is kept, and no factor that changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import fields, is_dataclass
from math import inf, prod
from typing import TYPE_CHECKING

from optplan.resolve.compound import Blend, Overlay, Product
from optplan.resolve.curve import Chain, Curve, Epochs, Hold, Poly, Ramp
from optplan.resolve.decays import Fading, Sqrt
from optplan.resolve.level import Last, Level, times
from optplan.resolve.shape import SLACK
from optplan.resolve.stairs import Pieces, Stairs, Steps, Table

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel

# How deep curves, levels and lists of them may lie in each other in what a policy makes; a little less than in data.
DEEPEST = 150


def end_of(curve: Curve, duration: float | None) -> AnyLevel:
    """The level at which `curve` ends after `duration`, None for its own: where a next phase begins.

    A ramp has arrived by then, one that counts epochs too, although no update saw it there; stairs stand where they
    stood just before.
    """
    match curve:
        case Hold(at):
            return at
        case Ramp(_, to, own) | Poly(_, to, own) | Sqrt(_, to, own) if duration is None or duration >= own - SLACK:
            return to
        case Stairs(origin, gamma) | Steps(origin, gamma):
            return times(origin, gamma, curve.drops_before(duration))
        case Fading() | Pieces() | Table():
            return curve.end(duration)
        case Epochs(item, length):
            return end_of(item, None if duration is None else duration / length)
        case Chain(phases, begins):
            last = len(phases) - 1 if duration is None else max(0, bisect_left(begins, duration - SLACK) - 1)
            return end_of(phases[last], None if duration is None else duration - begins[last])
        case Overlay((*_, second), (*_, own)) | Blend(_, second, own) if duration is None or duration >= own - SLACK:
            # the second takes over at the very end, even where nothing is left for it
            return end_of(second, duration)
        case Product((first, *factors)):
            ends = [end_of(factor, duration).at(1.0) for factor in factors]
            return times(end_of(first, duration), prod(ends), 1)
        case _ if curve.relative:
            return Level(curve.before(duration, 1.0))
        case _:
            return Last(curve, duration)


def too_deep(part: Curve | AnyLevel) -> bool:
    """Whether curves and levels lie in each other more than `DEEPEST` deep; Python's own stack has no part in it.

    Such are phases that begin where the one before them happens to end, one after the other by the hundred.
    """
    row: dict[int, object] = {id(part): part}
    for _ in range(DEEPEST):
        below: dict[int, object] = {}
        for each in row.values():
            inner = [getattr(each, field.name) for field in fields(each)] if is_dataclass(each) else each
            if isinstance(inner, (list, tuple)):
                below.update((id(item), item) for item in inner if is_dataclass(item) or isinstance(item, tuple))
        row = below
        if not row:
            return False
    return True


def moved(curve: Curve, begin: float) -> Curve:
    """`curve` for a phase that begins `begin` later than it was made for: the epochs of the run stay where they are."""
    match curve:
        case Epochs(item, length, own):
            return Epochs(item, length, own + begin / length)
        case Chain(phases, begins):
            return Chain(tuple([moved(phase, begin) for phase in phases]), begins)
        case Overlay(parts, ends):
            return Overlay(tuple([moved(part, begin) for part in parts]), ends)
        case Blend(first, second, duration):
            return Blend(moved(first, begin), moved(second, begin), duration)
        case Product(factors):
            return Product(tuple([moved(factor, begin) for factor in factors]))
        case _:
            return curve


def chain(phases: list[tuple[Curve, float]]) -> Curve:
    """The phases, each with its begin, one after the other; chains among them are opened: none lies in another."""
    flat: list[tuple[Curve, float]] = []
    for place, (phase, begin) in enumerate(phases):
        end = phases[place + 1][1] if place + 1 < len(phases) else inf
        parts = zip(phase.phases, phase.begins, strict=True) if isinstance(phase, Chain) else [(phase, 0.0)]
        flat += [(part, begin + own) for part, own in parts if begin + own < end]
    if len(flat) == 1:
        return flat[0][0]
    return Chain(tuple([phase for phase, _ in flat]), tuple([begin for _, begin in flat]))


def overlay(first: Curve, duration: float, second: Curve, whole: float | None) -> Curve:
    """`first` for `duration`, then `second` as if it had run from the start; both last for `whole`.

    A second overlay is opened, so that none lies in another on its right.
    """
    if duration == 0.0:
        return second
    if isinstance(second, Hold) and (whole is None or whole > duration):
        return chain([(first, 0.0), (second, duration)])
    if not isinstance(second, Overlay):
        return Overlay((first, second), (duration,))
    hidden = sum(end <= duration for end in second.ends)
    return Overlay((first, *second.parts[hidden:]), (duration, *second.ends[hidden:]))


def blend(first: Curve, duration: float, second: Curve) -> Curve:
    """Over `duration`, in a straight line from `first` to `second`, both running from the start."""
    if duration == 0.0:
        return second
    if isinstance(first, Hold) and isinstance(second, Hold):
        return Ramp(first.at, second.at, duration)
    return Blend(first, second, duration)


def product(factors: list[Curve]) -> Curve:
    """The factors multiplied: products among them opened, and none of them that changes nothing."""
    flat: list[Curve] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else [] if factor.neutral else [factor]
    if len(flat) > 1:
        return Product(tuple(flat))
    return flat[0] if flat else Hold(Level(ratio=1.0))
