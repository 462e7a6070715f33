"""Policies to curves.

A policy of the file becomes a `Curve` for one horizon: durations are counted out in updates, exactly; values become
levels; phases know where they begin.  What cannot be counted or does not fit is reported at its place.  `base` in a
rule's policy is the curve that stood before.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from optplan.expression import Before, Binary, Call, Listing, Name, Negative, PerEpoch, Phase, Ratio, Then
from optplan.resolve.curve import Chain, Epochs, Hold, Poly, Ramp, Stairs, Steps
from optplan.resolve.duration import Clock, Counter, Faults, PolicyFaultError, shown
from optplan.resolve.level import Bound, Last, Level
from optplan.resolve.value import EvaluationError, Scope, evaluate, reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.diagnostics import Collector
    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.level import AnyLevel

# Phases that last for ever unless told otherwise; every other one needs a duration or takes what is left.
_ENDLESS = frozenset({"hold", "step", "multistep"})

_ONE = Level(ratio=1.0)


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
            return self._chain((policy,), Clock(self._horizon), before or Hold(_ONE))
        except PolicyFaultError:
            return None

    # Structure

    def _chain(self, policies: tuple[Policy, ...], clock: Clock, base: Curve) -> Curve:
        """`policies` one after the other."""
        flat: list[Policy] = []
        for policy in policies:
            flat.extend(policy.items if isinstance(policy, Then) else (policy,))
        if any(isinstance(policy, Then) for policy in flat):
            return self._chain(tuple(flat), clock, base)
        durations = self._durations(flat, clock)
        phases: list[Curve] = []
        begins: list[Fraction] = []
        at, current = Fraction(0), _ONE
        level: AnyLevel = current
        for policy, duration in zip(flat, durations, strict=True):
            curve = self._single(policy, duration, at, level, clock, base)
            phases.append(curve)
            begins.append(at)
            level = _end(curve, None if duration is None else float(duration))
            if duration is not None:
                at += duration
        if len(phases) == 1:
            return phases[0]
        return Chain(tuple(phases), tuple(float(begin) for begin in begins))

    def _single(
        self, policy: Policy, duration: Fraction | None, begin: Fraction, level: AnyLevel, clock: Clock, base: Curve
    ) -> Curve:
        match policy:
            case Phase():
                return self._phase(policy, duration, level, clock)
            case Before():
                return base
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
            endless = isinstance(policy, Before) or _names(policy) <= _ENDLESS
            if place < len(policies) - 1 or not endless:
                whole = self._faults.need(whole, policy, f"`{_short(policy)}`, which takes what is left,", clock.key)
                if whole <= said:
                    self._too_long(policies, durations, whole, clock)
                durations[place] = whole - said
        elif whole is not None and said > whole:
            self._too_long(policies, durations, whole, clock)
        return durations

    def _too_long(
        self, policies: list[Policy], durations: list[Fraction | None], whole: Fraction, clock: Clock
    ) -> None:
        """Report phases that together are longer than the run."""
        total = Fraction(0)
        for policy, duration in zip(policies, durations, strict=True):
            total += duration or 0
            if total >= whole and (duration is None or total > whole or policy is not policies[-1]):
                what = f"`{_short(policy)}`"
                if _names(policy) == {"warmup"} and duration is not None and duration > whole:
                    message = f"the warm-up of {shown(duration)} {clock.noun} is longer than the horizon"
                elif duration is None:
                    message = f"nothing is left of the horizon for {what}"
                else:
                    message = f"{what} ends at {shown(total)} {clock.noun}, after the horizon"
                self._faults.fault("OP404", message, policy, f"the horizon is {shown(whole)} {clock.noun}")
        policy = next(item for item, duration in zip(policies, durations, strict=True) if duration is None)
        self._faults.fault(
            "OP404",
            f"nothing is left of the horizon for `{_short(policy)}`",
            policy,
            f"the horizon is {shown(whole)} {clock.noun}",
        )

    def _duration(self, policy: Policy, clock: Clock) -> Fraction | None:
        match policy:
            case Phase():
                argument = policy.argument("for")
                return None if argument is None else self._span(argument, clock)
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
        items = item.items if isinstance(item, Then) else (item,)
        durations = [self._duration(part, clock) for part in items]
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
                self._falls(phase, origin, self._level(phase, "to", Level()))
                power = self._number(phase, "power", 1.0)
                return Poly(origin, self._level(phase, "to", Level()), lasting or 0.0, power)
            case "step":
                every = self._time(phase, "every", clock)
                return Stairs(origin, self._number(phase, "gamma", 1.0), every, lasting)
            case "multistep":
                at = self._times(phase, "at", clock)
                return Steps(origin, self._number(phase, "gamma", 1.0), at, lasting)
            case _:
                raise AssertionError(phase.name)  # the front end lets nothing else through

    def _ramp(
        self, phase: Phase, origin: AnyLevel, to: AnyLevel, lasting: float | None, shape: str, start: float
    ) -> Curve:
        if shape == "exp":
            for level, word in ((origin, "from"), (to, "to")):
                if level.at(1.0) <= 0.0:
                    argument = phase.argument(word)
                    self._faults.fault(
                        "OP405",
                        f"an exponential needs two values above 0, and `{phase.name}` {'begins' if word == 'from' else 'ends'} at 0",
                        argument or phase,
                        f"say `{word}=`, such as `{word}=0.01x`",
                    )
        elif phase.name != "warmup":
            self._falls(phase, origin, to)
        return Ramp(origin, to, lasting or 0.0, shape, start)

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

    def _level(self, phase: Phase, name: str, default: AnyLevel) -> AnyLevel:
        argument = phase.argument(name)
        return default if argument is None else self._as_level(argument.value)

    def _as_level(self, node: Value) -> AnyLevel:
        try:
            if isinstance(node, Call) and node.function in {"min", "max"} and "base" in reads(node):
                return Bound(node.function, tuple(self._as_level(item) for item in node.arguments))
            ratio, absolute = self._affine(node)
        except EvaluationError as fault:
            self._faults.collector.error(fault.code, fault.message, fault.node.span or node.span, help=fault.help)
            raise PolicyFaultError from None
        if ratio < 0 or absolute < 0:
            self._faults.fault("OP405", f"`{node}` is below 0", node, "a policy's values are 0 or more")
        return Level(ratio, absolute)

    def _affine(self, node: Value) -> tuple[float, float]:
        """`node` as (ratio, absolute)."""
        if "base" not in reads(node):
            return 0.0, float(evaluate(node, self._scope))
        match node:
            case Ratio(value):
                return float(value), 0.0
            case Negative(item):
                ratio, absolute = self._affine(item)
                return -ratio, -absolute
            case Binary("+" | "-" as operator, left, right):
                (a, b), (c, d) = self._affine(left), self._affine(right)
                return (a + c, b + d) if operator == "+" else (a - c, b - d)
            case Binary("*", left, right) if not ("base" in reads(left) and "base" in reads(right)):
                (a, b), (c, d) = self._affine(left), self._affine(right)
                # One side is a plain number, which multiplies the other's two parts.
                factor, (ratio, absolute) = (d, (a, b)) if "base" in reads(left) else (b, (c, d))
                return factor * ratio, factor * absolute
            case Binary("/", left, right) if "base" not in reads(right):
                ratio, absolute = self._affine(left)
                divisor = evaluate(right, self._scope)
                if divisor == 0:
                    raise EvaluationError("OP303", f"`{node}` divides by zero", node)
                return ratio / divisor, absolute / divisor
        raise EvaluationError(
            "OP405", f"`{node}` is neither a multiple of the own value nor a number", node, "write `0.1x` or `1e-5`"
        )

    def _number(self, phase: Phase, name: str, default: float) -> float:
        argument = phase.argument(name)
        if argument is None:
            return default
        try:
            value = float(evaluate(argument.value, self._scope))
        except EvaluationError as fault:
            self._faults.collector.error(fault.code, fault.message, fault.node.span or argument.span, help=fault.help)
            raise PolicyFaultError from None
        if value < 0:
            self._faults.fault("OP405", f"`{name}` of `{phase.name}` must not be negative", argument, "")
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
        for k in range(1, len(times)):
            if times[k] <= times[k - 1]:
                self._faults.fault("OP403", f"`{name}` must rise", argument.value.items[k], "list the drops in order")
        return tuple(map(float, times))

    # Durations

    def _span(self, argument: Argument, clock: Clock) -> Fraction:
        """A duration, above 0."""
        count = self._counter.count(argument.value, clock)
        if count <= 0:
            self._faults.fault("OP403", f"a duration must be above 0, and this is {shown(count)}", argument, "")
        return count


def _end(curve: Curve, duration: float | None) -> AnyLevel:
    """The level from which the next phase starts."""
    match curve:
        case Hold(at):
            return at
        case Ramp(_, to) | Poly(_, to):
            return to
        case _:
            return Last(curve, duration)


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
