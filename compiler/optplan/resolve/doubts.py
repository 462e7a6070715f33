"""What is probably not meant in a policy, for one parameter: no fault, but worth a warning when the plan is made.

Takes a policy, its curve, the parameter's own value and the horizon; gives a code, a message, its place and the cure
for each doubt: a rate whose decay climbs, a warm-up that falls, a rate that is 0 long before the run ends, and drops
that come after it.
"""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

from optplan.expression import Before, Phase
from optplan.resolve.curve import Chain, Epochs
from optplan.resolve.level import as_level
from optplan.resolve.shape import SLACK
from optplan.resolve.stairs import Stairs, Steps
from optplan.resolve.structure import asked, atoms, found_in, parts, phases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.config import Scheduled
    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.value import Scope
    from optplan.source import Span

_RATIO = "an absolute value is the same for all groups; a ratio such as `{}=0.01x` follows each group's own"

# What a policy may leave of the run without a word, where the rate is 0: durations are rounded.
_REST = 0.01


class Doubt(NamedTuple):
    """A warning: its code, what is odd, where, and the cure."""

    code: str
    message: str
    span: Span | None
    help: str


def doubts(scheduled: Scheduled, curve: Curve, own: float, scope: Scope, horizon: Horizon) -> Iterator[Doubt]:
    """What is odd about the `curve` of a policy for a parameter whose own value is `own`; `scope` has its numbers."""
    policy, place = scheduled.policy, scheduled.policy.span or scheduled.span
    rise = curve.rising(own)
    # Weight decay and momentum are often meant to rise
    if rise is not None and scheduled.name == "lr":
        floor = found_in(policy, rise, own, scope) or policy
        message = f"the policy ends at {rise:g}, above the {own:g} that it decays from"
        yield Doubt("OP405", message, floor.span or place, _RATIO.format("to"))
    for phase in phases(policy):
        begin = phase.argument("from") if phase.name == "warmup" else None
        if begin is not None and (level := as_level(begin.value, scope).at(own)) > own:
            message = f"the warm-up begins at {level:g}, above the {own:g} that it ends at"
            yield Doubt("OP405", message, begin.value.span or place, _RATIO.format("from"))
    if horizon.steps is not None:
        if scheduled.name == "lr":
            yield from _idle(scheduled, curve, own, float(horizon.steps))
        yield from _never(scheduled, curve, float(horizon.steps))


def _idle(scheduled: Scheduled, curve: Curve, own: float, total: float) -> Iterator[Doubt]:
    """A rate that is 0 for more than the last bit of the run; a `hold` at the end says that it is meant."""
    policy, settled = scheduled.policy, curve.settled
    *_, last = parts(policy)
    said = isinstance(last, Phase) and last.name == "hold"
    if said or not settled or curve.waits is not None or any(isinstance(each, Before) for each in atoms(policy)):
        return
    first = ceil(settled - SLACK)
    left = total - first
    if own > 0 and left > max(1.0, _REST * total) and curve.value(first, own) == 0:
        message = f"`lr` is 0 from update {first:,} on, the last {left / total:.0%} of the run"
        cure = "end above 0, such as `to=0.1x`, or leave the last phase's duration out: it takes what is left"
        yield Doubt("OP404", message, last.span or policy.span or scheduled.span, cure)


def _never(scheduled: Scheduled, curve: Curve, total: float) -> Iterator[Doubt]:
    """Drops that the run does not reach, where each part of the curve is a part of the text."""
    steps = [each for each in phases(scheduled.policy) if each.name in ("step", "multistep")]
    found = list(_drops(curve, 0.0, inf))
    if len(found) != len(steps) or asked(scheduled.policy):
        return
    for phase, (begin, end, drops) in zip(steps, found, strict=True):
        late = [drop for drop in drops if begin + drop > min(end, total) + SLACK]
        argument = phase.argument("every" if phase.name == "step" else "at")
        if late and argument is not None:
            what = "the run" if total <= end else "the phase"
            message = f"`{phase.name}` drops at update {begin + late[0]:,.10g}, and {what} ends at {min(end, total):,g}"
            yield Doubt("OP404", message, argument.value.span, "write a time that lies before, such as `30%`")


def _drops(curve: Curve, begin: float, end: float) -> Iterator[tuple[float, float, tuple[float, ...]]]:
    """Of each part that drops: where it begins and ends in the run, and its first drop, or each that it lists."""
    match curve:
        case Stairs():
            yield begin, end, (curve.every,)
        case Steps():
            yield begin, end, curve.at
        case Epochs(Stairs(every=every), length):
            yield begin, end, (every * length,)
        case Chain(items, begins):
            for item, first, after in zip(items, begins, (*begins[1:], end - begin), strict=True):
                yield from _drops(item, begin + first, begin + after)
