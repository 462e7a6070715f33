"""How long everything in a policy lasts: durations counted out, and shared out where one is left open.

Takes policies and a `Clock`, gives exact times in the clock's unit.  What says no duration takes what the others leave
of the horizon, or goes on for ever where it stands last and can; what does not fit is reported at its own place.

    a -> b                       as long as both together
    a over b, a into b, a * b    as long as the longer
    a per epoch                  so many epochs
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.expression import Before, Into, Number, Over, PerEpoch, Phase, Ratio, Then, Times
from optplan.resolve.duration import LONGEST, SHORTEST, Clock, shown
from optplan.resolve.phases import ENDLESS
from optplan.resolve.structure import inner, is_open, last_name, parts, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.duration import Counter, Faults
    from optplan.source import Span

# Times that are no measure of how fast a value falls, and so are whole updates, or more than one.
_WHOLE = frozenset({"up", "down", "period"})

# Phases that last for ever unless told otherwise; every other one needs a duration or takes what is left.
_ENDLESS = ENDLESS | {"hold", "step", "multistep"}


class Layout:
    """Lays out the policies of one file; `number` is the value of a phase's argument, by name."""

    def __init__(self, counter: Counter, faults: Faults, number: Callable[[Phase, str, float], float]) -> None:
        self._counter, self._faults, self._number = counter, faults, number
        self._told: list[Span | None] = []

    def durations(self, policies: list[Policy], clock: Clock) -> list[Fraction | None]:
        """How long each of a chain lasts; the one that does not say takes what is left, None for one without an end."""
        durations = [self._duration(policy, clock) for policy in policies]
        open_ended = [place for place, duration in enumerate(durations) if duration is None]
        said = sum((duration for duration in durations if duration is not None), Fraction(0))
        whole = clock.available
        if len(open_ended) > 1:
            second = policies[open_ended[1]]
            self._faults.fault(
                "OP404", "only one phase may leave out its duration", second, "give all others one, such as `10%`"
            )
        if open_ended:
            place = open_ended[0]
            policy = policies[place]
            endless = place == len(policies) - 1 and self._endless(policy)
            if not endless:
                whole = self._faults.need(whole, policy, f"`{short(policy)}`, which takes what is left,", clock.key)
            if whole is None:
                return durations
            if said > whole or (said == whole and not endless):
                self._too_long(policies, durations, whole, clock)
            if said < whole and (not endless or inner(policy)):
                durations[place] = whole - said
        elif whole is not None and said > whole:
            self._too_long(policies, durations, whole, clock)
        return durations

    def length(self, policy: Policy, clock: Clock) -> Fraction | None:
        """How long `policy` says that it lasts; None where it takes what is left."""
        durations = [self._duration(part, clock) for part in parts(policy)]
        known = [duration for duration in durations if duration is not None]
        return sum(known, Fraction(0)) if len(known) == len(durations) else None

    def span(self, argument: Argument, clock: Clock) -> Fraction:
        """A duration, above 0."""
        count = self._counter.count(argument.value, clock)
        if count <= 0:
            self._faults.fault("OP403", f"a duration must be above 0, and this is {shown(count)}", argument.value)
        if not SHORTEST <= count <= LONGEST:
            what = "short" if count < 1 else "long"
            self._faults.fault("OP403", f"`{argument.value}` is too {what} to be counted", argument.value)
        if argument.name in _WHOLE:
            self.whole(argument.value, count, clock, f"`{argument.name}`")
        return count

    def whole(self, value: Value, count: Fraction, clock: Clock, what: str) -> None:
        """Warn of a time that is written as less than one update: it is meant as a part of the horizon."""
        if not self._short(value, count, clock) or value.span in self._told:
            return
        self._told.append(value.span)
        message = f"{what} of {value} updates is none" if what[0] == "a" else f"{what} is {value} of one update"
        cure = f"a part of the horizon is written `{_part(count)}`"
        self._faults.collector.warning("OP403", message, value.span, help=cure)

    def _short(self, value: Value, count: Fraction, clock: Clock) -> bool:
        """Whether a time is written as less than one update."""
        return isinstance(value, Number) and 0 < count < 1 and not clock.per_epoch

    def _spent(self, phase: Phase) -> bool:
        """Whether `phase` decays to 0."""
        if "to" not in catalog().policies[phase.name].arguments:
            return False
        to = phase.argument("to")
        return to is None or (isinstance(to.value, (Number, Ratio)) and to.value.value == 0)

    def _duration(self, policy: Policy, clock: Clock) -> Fraction | None:
        match policy:
            case Phase():
                argument = policy.argument("for")
                return None if argument is None else self._lasting(policy, argument, clock)
            case PerEpoch(item):
                epochs = self.length(item, Clock(clock.horizon, per_epoch=True))
                if epochs is None:
                    return None
                return epochs * self._faults.need(clock.epoch, policy, "`per epoch`", "steps_per_epoch")
            case Over() | Into() | Times():
                lengths = [self.length(item, clock) for item in inner(policy)]
                known = [length for length in lengths if length is not None]
                return max(known) if len(known) == len(lengths) else None
            case _:
                return None

    def _lasting(self, phase: Phase, argument: Argument, clock: Clock) -> Fraction:
        """How long a phase lasts; one of 0 governs no update, and is at its end at once."""
        count = self._counter.count(argument.value, clock)
        if count == 0:
            return count
        if count < 0:
            self._faults.fault("OP403", f"a duration must not be below 0, and this is {shown(count)}", argument.value)
        if self._spent(phase) and self._short(argument.value, count, clock):
            message = f"a `{phase.name}` of {argument.value} updates is none: it is at 0 from the next update on"
            cure = f"a part of the horizon is written `{_part(count)}`, a value to end at `to={argument.value}x`"
            self._faults.fault("OP403", message, argument.value, cure)
        if phase.name != "hold":  # which may well keep a value for the first update alone
            self.whole(argument.value, count, clock, f"a `{phase.name}`" if phase.name != "warmup" else "a warm-up")
        return self.span(argument, clock)

    def _endless(self, policy: Policy) -> bool:
        """Whether `policy`, the last of a chain, may go on for ever: it says no duration, and needs none."""
        match policy:
            case Before():
                return True
            case Phase("step" | "decay"):
                # What grows has to end.
                return self._number(policy, "gamma", 1.0) <= 1.0
            case Phase(name):
                own = catalog().policies.get(name)
                return name in _ENDLESS or (own is not None and own.endless)
            case PerEpoch(item) | Then((*_, item)) | Over(_, item) | Into(_, item):
                return is_open(item) and self._endless(item)
            case Times(items):
                return all(self._endless(item) for item in items if is_open(item))
            case _:
                return False

    def _too_long(
        self, policies: list[Policy], durations: list[Fraction | None], whole: Fraction, clock: Clock
    ) -> None:
        """Report phases that together are longer than the run, or than what it leaves to them."""
        cure = f"the horizon is {_many(whole, clock)}"
        if whole != clock.whole:
            cure = f"the phases before leave {_many(whole, clock)} of the horizon"
        total = Fraction(0)
        for policy, duration in zip(policies, durations, strict=True):
            total += duration or 0
            if total > whole and duration and isinstance(policy, (Over, Into, Times)):
                for item in inner(policy):  # one of them is too long
                    self.durations(list(parts(item)), replace(clock, given=whole - total + duration))
            if total > whole:
                message = f"`{short(policy)}` ends at {_many(total, clock)}, after the horizon"
                if last_name(policy) == "warmup" and duration is not None and duration > whole:
                    message = f"the warm-up of {_many(duration, clock)} is longer than the horizon"
                self._faults.fault("OP404", message, policy, cure)
        policy = next(item for item, duration in zip(policies, durations, strict=True) if duration is None)
        self._faults.fault("OP404", f"nothing is left of the horizon for `{short(policy)}`", policy, cure)


def _part(count: Fraction) -> str:
    """A part of the horizon as it is written: `10%`."""
    part = count * 100
    return f"{float(part) if part % 1 else int(part)}%"


def _many(count: Fraction, clock: Clock) -> str:
    """`1 update`, `1,000 updates`, `2.5 epochs`."""
    return f"{shown(count)} {clock.noun.removesuffix('s') if count == 1 else clock.noun}"
