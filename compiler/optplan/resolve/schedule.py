"""Policies to curves.

A policy of the file becomes a `Curve` for one horizon: durations are counted out in updates, exactly; values become
levels; phases know where they begin.  What cannot be counted or does not fit is reported at its place.  `base` in a
rule's policy is the curve that stood before.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.expression import Before, Listing, Name, Number, PerEpoch, Phase, Then
from optplan.resolve.curve import Epochs, Hold, Poly, Ramp, chain, end_of, moved
from optplan.resolve.duration import LONGEST, SHORTEST, Clock, Counter, Faults, PolicyFaultError, shown
from optplan.resolve.level import Level, as_level
from optplan.resolve.own_phase import own_curve
from optplan.resolve.stairs import Stairs, Steps
from optplan.resolve.value import EvaluationError, Scope, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optplan.diagnostics import Collector
    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.level import AnyLevel

# Phases that last for ever unless told otherwise; every other one needs a duration or takes what is left.
_ENDLESS = frozenset({"hold", "step", "multistep"})

# Arguments that are a level, and plain numbers, wherever they stand.
_LEVELS = frozenset({"from", "to", "at"})
_NUMBERS = frozenset({"start", "power", "gamma"})

_ONE = Level(ratio=1.0)
_FIRST: AnyLevel = _ONE


class Resolver:
    """Resolves the policies of one file for one horizon.

    With `strict` off (a `check` without a network) a horizon that is missing is a note, not an error.
    """

    def __init__(self, horizon: Horizon, let: Mapping[str, int | float], collector: Collector, *, strict: bool) -> None:
        self._horizon = horizon
        self._scope = Scope(let)
        self._faults = Faults(collector, strict=strict)
        self._counter = Counter(let, self._faults)

    def resolve(self, policy: Policy, before: Curve | None = None) -> Curve | None:
        """The curve of `policy`, None if there was a fault; `before` is what `base` stands for, `hold(1x)` at first."""
        try:
            sound = [self._sound(phase) for phase in _phases(policy)]  # each one, to report them all
            if not all(sound):
                return None
            return self._chain((policy,), Clock(self._horizon), before or Hold(_ONE))
        except PolicyFaultError:
            return None

    # Structure

    def _chain(self, policies: tuple[Policy, ...], clock: Clock, base: Curve) -> Curve:
        """`policies` one after the other."""
        flat = [part for policy in policies for part in _parts(policy)]
        durations = self._durations(flat, clock)
        phases: list[tuple[Curve, float]] = []
        at, level = Fraction(0), _FIRST
        for policy, duration in zip(flat, durations, strict=True):
            curve = self._single(policy, duration, at, level, clock, base)
            phases.append((curve, float(at)))
            level = end_of(curve, None if duration is None else float(duration))
            at += duration or 0
        return chain(phases)

    def _single(
        self, policy: Policy, duration: Fraction | None, begin: Fraction, level: AnyLevel, clock: Clock, base: Curve
    ) -> Curve:
        match policy:
            case Phase():
                return self._phase(policy, duration, level, clock)
            case Before() if clock.per_epoch:
                cure = "write `per epoch` in the policy that it stands for"
                return self._faults.fault("OP109", "`base` that counts epochs is not supported yet", policy, cure)
            case Before():
                return moved(base, float(begin))
            case PerEpoch(item):
                length = self._faults.need(clock.epoch, policy, "`per epoch`", "steps_per_epoch")
                given = None if duration is None else duration / length
                inner = self._chain((item,), Clock(self._horizon, per_epoch=True, given=given), base)
                return Epochs(inner, float(length), float(begin / length))
            case _:
                raise AssertionError(policy)  # the front end lets nothing else through

    def _durations(self, policies: list[Policy], clock: Clock) -> list[Fraction | None]:
        """How long each lasts; the one that does not say takes what is left, the last one may last for ever."""
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
                whole = self._faults.need(whole, policy, f"`{_short(policy)}`, which takes what is left,", clock.key)
            if whole is None:
                return durations
            if said > whole or (said == whole and not endless):
                self._too_long(policies, durations, whole, clock)
            if said < whole and (not endless or isinstance(policy, PerEpoch)):
                durations[place] = whole - said
        elif whole is not None and said > whole:
            self._too_long(policies, durations, whole, clock)
        return durations

    def _too_long(
        self, policies: list[Policy], durations: list[Fraction | None], whole: Fraction, clock: Clock
    ) -> None:
        """Report phases that together are longer than the run, or than what it leaves to them."""
        cure = f"the horizon is {shown(whole)} {clock.noun}"
        if clock.given is not None:
            cure = f"the phases before leave {shown(whole)} {clock.noun} of the horizon"
        total = Fraction(0)
        for policy, duration in zip(policies, durations, strict=True):
            total += duration or 0
            if total > whole:
                message = f"`{_short(policy)}` ends at {shown(total)} {clock.noun}, after the horizon"
                if _names(policy) == {"warmup"} and duration is not None and duration > whole:
                    message = f"the warm-up of {shown(duration)} {clock.noun} is longer than the horizon"
                self._faults.fault("OP404", message, policy, cure)
        policy = next(item for item, duration in zip(policies, durations, strict=True) if duration is None)
        self._faults.fault("OP404", f"nothing is left of the horizon for `{_short(policy)}`", policy, cure)

    def _endless(self, policy: Policy) -> bool:
        """Whether `policy`, the last of a chain, may go on for ever: it says no duration, and needs none."""
        match policy:
            case Before():
                return True
            case Phase("step"):
                # What grows has to end.
                return self._number(policy, "gamma", 1.0) <= 1.0
            case Phase(name):
                own = catalog().policies.get(name)
                return name in _ENDLESS or (own is not None and own.endless)
            case PerEpoch(item) | Then((*_, item)):
                return self._length(item) is None and self._endless(item)
            case _:
                return False

    def _duration(self, policy: Policy, clock: Clock) -> Fraction | None:
        match policy:
            case Phase():
                argument = policy.argument("for")
                return None if argument is None else self._lasting(policy, argument, clock)
            case PerEpoch(item):
                inner = self._length(item)
                if inner is None:
                    return None
                length = self._faults.need(clock.epoch, policy, "`per epoch`", "steps_per_epoch")
                return inner * length
            case _:
                return None

    def _length(self, item: Policy) -> Fraction | None:
        """How many epochs a policy under `per epoch` lasts."""
        clock = Clock(self._horizon, per_epoch=True)
        durations = [self._duration(part, clock) for part in _parts(item)]
        if any(duration is None for duration in durations):
            return None
        return sum((duration for duration in durations if duration is not None), Fraction(0))

    # Phases

    def _phase(self, phase: Phase, duration: Fraction | None, level: AnyLevel, clock: Clock) -> Curve:
        origin = self._level(phase, "from", level)
        lasting = None if duration is None else float(duration)
        match phase.name:
            case "hold":
                return Hold(self._level(phase, "at", level))
            case "warmup":
                origin = self._level(phase, "from", Level())
                start = self._number(phase, "start", 0.0)
                shape = self._word(phase, "shape", "linear")
                return self._ramp(phase, origin, _ONE, lasting, shape, start)
            case "linear" | "cosine" | "exp":
                to = self._level(phase, "to", Level())
                return self._ramp(phase, origin, to, lasting, phase.name, 0.0)
            case "poly":
                to = self._level(phase, "to", Level())
                self._falls(phase, origin, to)
                return Poly(origin, to, lasting or 0.0, self._number(phase, "power", 1.0))
            case "step":
                self._falls(phase, origin, origin)
                every = self._time(phase, "every", clock)
                return Stairs(origin, self._number(phase, "gamma", 1.0), every, lasting)
            case "multistep":
                self._falls(phase, origin, origin)
                at = self._times(phase, "at", clock)
                return Steps(origin, self._number(phase, "gamma", 1.0), at, lasting)
            case _:
                return own_curve(
                    phase, origin, lasting, self._evaluated, lambda name: self._time(phase, name, clock), self._faults
                )

    def _ramp(
        self, phase: Phase, origin: AnyLevel, to: AnyLevel, lasting: float | None, shape: str, start: float
    ) -> Curve:
        if shape == "exp":
            self._above_zero(phase, "from", origin)
            self._above_zero(phase, "to", to)
        elif phase.name != "warmup":
            self._falls(phase, origin, to)
        return Ramp(origin, to, lasting or 0.0, shape, start)

    def _evaluated(self, argument: Argument) -> float:
        try:
            return float(evaluate(argument.value, self._scope))
        except EvaluationError as fault:
            self._faults.collector.error(fault.code, fault.message, fault.node.span or argument.span, help=fault.help)
            raise PolicyFaultError from None

    def _above_zero(self, phase: Phase, name: str, level: AnyLevel) -> None:
        """Report an end of an exponential that is not above 0."""
        if level.at(1.0) <= 0.0:
            argument = phase.argument(name)
            place = phase.name_span if argument is None else argument.value.span
            which = "begins" if name == "from" else "ends"
            message = f"an exponential needs two values above 0, and `{phase.name}` {which} at 0"
            self._faults.collector.error("OP405", message, place, help=f"say `{name}=`, such as `{name}=0.01x`")
            raise PolicyFaultError

    def _falls(self, phase: Phase, origin: AnyLevel, to: AnyLevel) -> None:
        """Report a decay from 0, which stays where it is."""
        if origin.at(1.0) == 0.0 and to.at(1.0) == 0.0:
            self._faults.collector.error(
                "OP405",
                f"`{phase.name}` decays from 0 to 0",
                phase.name_span or phase.span,
                help="say where it begins: `from=1x`",
                severity="warning",
            )

    # Arguments

    def _sound(self, phase: Phase) -> bool:
        """Whether the arguments of `phase` have values that they can have, which no horizon has a part in."""
        exponential = phase.name == "exp" or self._word(phase, "shape", "") == "exp"
        kind = catalog().policies.get(phase.name)
        own = kind is None or kind.function is not None
        try:
            for argument in phase.arguments:
                if own and argument.name != "from":
                    continue
                if argument.name in _LEVELS and not isinstance(argument.value, Listing):
                    level = self._as_level(argument.value)
                    if exponential:
                        self._above_zero(phase, str(argument.name), level)
                elif argument.name in _NUMBERS:
                    self._number(phase, str(argument.name), 0.0)
        except PolicyFaultError:
            return False
        return True

    def _level(self, phase: Phase, name: str, default: AnyLevel) -> AnyLevel:
        argument = phase.argument(name)
        return default if argument is None else self._as_level(argument.value)

    def _as_level(self, node: Value) -> AnyLevel:
        try:
            return as_level(node, self._scope)
        except EvaluationError as fault:
            self._faults.collector.error(fault.code, fault.message, fault.node.span or node.span, help=fault.help)
            raise PolicyFaultError from None

    def _number(self, phase: Phase, name: str, default: float) -> float:
        argument = phase.argument(name)
        if argument is None:
            return default
        value = self._evaluated(argument)
        if value < 0:
            self._faults.fault("OP405", f"`{name}` of `{phase.name}` must not be negative", argument.value)
        if value == 0 and name == "power":
            self._faults.fault("OP405", f"`{name}` of `{phase.name}` must be above 0", argument.value)
        return value

    def _word(self, phase: Phase, name: str, default: str) -> str:
        argument = phase.argument(name)
        return argument.value.name if argument is not None and isinstance(argument.value, Name) else default

    def _time(self, phase: Phase, name: str, clock: Clock) -> float:
        argument = phase.argument(name)
        return 1.0 if argument is None else float(self._span(argument, clock))

    def _times(self, phase: Phase, name: str, clock: Clock) -> tuple[float, ...]:
        argument = phase.argument(name)
        if argument is None or not isinstance(argument.value, Listing):
            return ()
        times = [self._counter.count(item, clock) for item in argument.value.items]
        if times[0] < 0:
            self._faults.fault("OP403", f"a time is 0 or more, and this is {shown(times[0])}", argument.value.items[0])
        for k in range(1, len(times)):
            if times[k] <= times[k - 1]:
                self._faults.fault("OP403", f"`{name}` must rise", argument.value.items[k], "list the drops in order")
        if times[-1] > LONGEST:
            self._faults.fault("OP403", f"`{argument.value.items[-1]}` is too long to be counted", argument.value)
        return tuple(map(float, times))

    # Durations

    def _lasting(self, phase: Phase, argument: Argument, clock: Clock) -> Fraction:
        """How long a phase lasts; one of 0 governs no update, and is at its end at once."""
        count = self._counter.count(argument.value, clock)
        if count == 0:
            return count
        if count < 0:
            self._faults.fault("OP403", f"a duration must not be below 0, and this is {shown(count)}", argument.value)
        if phase.name == "warmup" and 0 < count < 1 and isinstance(argument.value, Number) and not clock.per_epoch:
            self._faults.collector.warning(
                "OP403",
                f"a warm-up of {argument.value} updates is none",
                argument.value.span,
                help=f"a part of the horizon is written `{count * 100 if count * 100 % 1 else int(count * 100)}%`",
            )
        return self._span(argument, clock)

    def _span(self, argument: Argument, clock: Clock) -> Fraction:
        """A duration, above 0."""
        count = self._counter.count(argument.value, clock)
        if count <= 0:
            self._faults.fault("OP403", f"a duration must be above 0, and this is {shown(count)}", argument.value)
        if not SHORTEST <= count <= LONGEST:
            what = "short" if count < 1 else "long"
            self._faults.fault("OP403", f"`{argument.value}` is too {what} to be counted", argument.value)
        return count


def _parts(policy: Policy) -> Iterator[Policy]:
    """What follows each other in `policy`, first to last."""
    match policy:
        case Then(items):
            for item in items:
                yield from _parts(item)
        case _:
            yield policy


def _phases(policy: Policy) -> Iterator[Phase]:
    """The phases in `policy`, first to last."""
    match policy:
        case Phase():
            yield policy
        case PerEpoch(item):
            yield from _phases(item)
        case Then(items):
            for item in items:
                yield from _phases(item)


def _names(policy: Policy) -> set[str]:
    """The names of the phases in `policy`."""
    match policy:
        case Phase(name):
            return {name}
        case PerEpoch(item):
            return _names(item)
        case Then(items):
            return _names(items[-1])
        case _:
            return set()


def _short(policy: Policy) -> str:
    return policy.name if isinstance(policy, Phase) else str(policy)
