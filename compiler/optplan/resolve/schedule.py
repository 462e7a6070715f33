"""Policies to curves.

A policy of the file becomes a `Curve` for one horizon: durations are counted out in updates, exactly; values become
levels; phases know where they begin.  What cannot be counted or does not fit is reported at its place.  `base` in a
rule's policy is the curve that stood before.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.expression import Before, Into, Listing, Name, Over, PerEpoch, Phase, Times
from optplan.resolve.curve import Epochs, Hold, Poly, Ramp
from optplan.resolve.duration import LONGEST, Clock, Counter, Faults, PolicyFaultError, shown
from optplan.resolve.joining import blend, chain, end_of, moved, overlay, product, too_deep
from optplan.resolve.layout import Layout
from optplan.resolve.level import Last, Level, as_level
from optplan.resolve.own_phase import check_number, own_curve
from optplan.resolve.phases import MADE, Arguments, check_count, made_curve
from optplan.resolve.stairs import Stairs, Steps
from optplan.resolve.structure import levels, parts, phases, short
from optplan.resolve.value import EvaluationError, evaluate

if TYPE_CHECKING:
    from optplan.diagnostics import Collector
    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.level import AnyLevel
    from optplan.resolve.value import Attributes, Scope

_AS_RATIO = "write its values as ratios such as `0.5x`; only what stands first in a product may have others"

_ONE = Level(ratio=1.0)
_FIRST: AnyLevel = _ONE
_START = Fraction(0)


class Resolver:
    """Resolves the policies of one file for one horizon, with the numbers of a `Scope`.

    With `strict` off (a `check` without a network) a horizon that is missing is a note, not an error.
    """

    def __init__(self, horizon: Horizon, scope: Scope, collector: Collector, *, strict: bool) -> None:
        self.horizon, self._scope, self._strict = horizon, scope, strict
        self._faults = Faults(collector, strict=strict)
        self._counter = Counter(scope, self._faults)
        self._layout = Layout(self._counter, self._faults, self._number)

    def of(self, attributes: Attributes, collector: Collector) -> Resolver:
        """One for policies that ask for a parameter's own `attributes`; what it reports goes to `collector`."""
        return Resolver(self.horizon, replace(self._scope, attributes=attributes), collector, strict=self._strict)

    def resolve(self, policy: Policy, before: Curve | None = None) -> Curve | None:
        """The curve of `policy`, None if there was a fault; `before` is what `base` stands for, `hold(1x)` at first."""
        try:
            sound = [self._sound(phase) for phase in phases(policy)]  # each one, to report them all
            if not all(sound):
                return None
            return self._chain(policy, Clock(self.horizon), before or Hold(_ONE))
        except PolicyFaultError:
            return None

    # Structure

    def _chain(
        self, policy: Policy, clock: Clock, base: Curve, level: AnyLevel = _FIRST, begin: Fraction = _START
    ) -> Curve:
        """The parts of `policy` one after the other, the first from `level`; `begin` is their place in the run."""
        flat = list(parts(policy))
        durations = self._layout.durations(flat, clock)
        made: list[tuple[Curve, float]] = []
        at = _START
        for part, duration in zip(flat, durations, strict=True):
            if made:
                self._over(made[-1][0], flat[len(made) - 1])
            curve = self._single(part, duration, begin + at, level, clock, base)
            made.append((curve, float(at)))
            level = end_of(curve, None if duration is None else float(duration))
            self._within_bounds(level, part)
            at += duration or 0
        found = chain(made)
        self._within_bounds(found, policy)
        return found

    def _within_bounds(self, made: Curve | AnyLevel, policy: Policy) -> None:
        if too_deep(made):
            what = "too many phases that begin where the one before them happens to end, or policies in each other"
            self._faults.fault("OP006", what, policy, "say `from=` in one of them, or write out what is meant")

    def _single(
        self, policy: Policy, duration: Fraction | None, begin: Fraction, level: AnyLevel, clock: Clock, base: Curve
    ) -> Curve:
        match policy:
            case Phase():
                curve = self._phase(policy, duration, level, clock)
                end = end_of(curve, 0.0) if duration == 0 else None
                # what governs no update is at its end at once, whatever its shape
                return curve if end is None or isinstance(end, Last) else Hold(end)
            case Before() if clock.per_epoch:
                cure = "write `per epoch` in the policy that it stands for"
                return self._faults.fault("OP403", "`base` has its durations in updates, not in epochs", policy, cure)
            case Before():
                return moved(base, float(begin))
            case PerEpoch(item):
                length = self._faults.need(clock.epoch, policy, "`per epoch`", "steps_per_epoch")
                given = None if duration is None else duration / length
                item_curve = self._chain(item, Clock(self.horizon, per_epoch=True, given=given), base, level)
                return Epochs(item_curve, float(length), float(begin / length))
            case Over() | Into() | Times():
                if duration is not None:
                    clock = replace(clock, given=duration)
                return self._compound(policy, begin, level, clock, base)
            case _:
                raise AssertionError(policy)  # the front end lets nothing else through

    def _compound(
        self, policy: Over | Into | Times, begin: Fraction, level: AnyLevel, clock: Clock, base: Curve
    ) -> Curve:
        """What runs at once: all parts begin at `begin`, and each may take all that is left to the whole."""
        if isinstance(policy, Times):
            # the first goes on from where the phase before ended, the others are factors of it
            first, *rest = policy.items
            factors = [self._factor(item, self._chain(item, clock, base, begin=begin)) for item in rest]
            made = [self._chain(first, clock, base, level, begin), *factors]
            for item, curve in zip(policy.items, made, strict=True):
                self._over(curve, item)
            return product(made)
        length = self._layout.length(policy.first, clock)
        if length is None:
            self._faults.fault("OP404", f"`{short(policy.first)}` has no duration", policy.first)
        before, after = (self._chain(item, clock, base, level, begin) for item in (policy.first, policy.second))
        self._over(after, policy.second)
        if isinstance(policy, Into):
            return blend(before, float(length), after)
        return overlay(before, float(length), after, None if clock.given is None else float(clock.given))

    def _over(self, curve: Curve, policy: Policy) -> None:
        """Report a `curve` that ends in a `plateau` where it is to be a part of more: such a one is `base`."""
        if curve.waits is not None:
            what = f"`base` ends in a `plateau` by `{curve.waits[1].metric}`, and that can only stand last"
            self._faults.fault("OP404", what, policy, "write its phases out, with `plateau` at the very end")

    def _factor(self, item: Policy, curve: Curve) -> Curve:
        """`curve`, which is what `item` stands for, if it can multiply."""
        if curve.relative:
            return curve
        values = (argument.value for phase in phases(item) for argument in levels(phase))
        nodes = (node for value in values for node in (value.items if isinstance(value, Listing) else (value,)))
        place = next((node for node in nodes if not self._as_level(node).relative), None)
        what = short(item) if place is None else str(place)
        return self._faults.fault("OP405", f"`*` multiplies by ratios, and `{what}` is none", place or item, _AS_RATIO)

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
            case name if name in MADE:
                return made_curve(phase, origin, lasting, self._arguments(phase, clock), self._faults)
            case _:
                return own_curve(
                    phase, origin, lasting, self._evaluated, lambda name: self._time(phase, name, clock), self._faults
                )

    def _arguments(self, phase: Phase, clock: Clock) -> Arguments:
        return Arguments(
            partial(self._level, phase),
            partial(self._levels, phase),
            partial(self._number, phase),
            partial(self._word, phase),
            lambda name: self._time(phase, name, clock),
            lambda name: self._times(phase, name, clock),
            partial(self._falls, phase),
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
        policy = catalog().policies[phase.name]
        try:
            for argument in phase.arguments:
                kind = policy.arguments[argument.name or "for"]
                if kind.kind == "value":
                    level = self._as_level(argument.value)
                    if exponential:
                        self._above_zero(phase, kind.name, level)
                elif kind.kind in ("number", "count") and policy.function is None:
                    self._number(phase, kind.name, 0.0)
                elif kind.items == "value":
                    self._levels(phase, kind.name)
            if phase.name == "piecewise":
                check_count(phase, self._faults)
        except PolicyFaultError:
            return False
        return True

    def _level(self, phase: Phase, name: str, default: AnyLevel) -> AnyLevel:
        argument = phase.argument(name)
        return default if argument is None else self._as_level(argument.value)

    def _levels(self, phase: Phase, name: str) -> tuple[AnyLevel, ...]:
        argument = phase.argument(name)
        if argument is None or not isinstance(argument.value, Listing):
            return ()
        return tuple([self._as_level(item) for item in argument.value.items])

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
        check_number(phase, argument, catalog().policies[phase.name].arguments[name], value, self._faults)
        return value

    def _word(self, phase: Phase, name: str, default: str) -> str:
        argument = phase.argument(name)
        return argument.value.name if argument is not None and isinstance(argument.value, Name) else default

    def _time(self, phase: Phase, name: str, clock: Clock) -> float:
        argument = phase.argument(name)
        return 1.0 if argument is None else float(self._layout.span(argument, clock))

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
        for item, time in zip(argument.value.items, times, strict=True):
            self._layout.whole(item, time, clock, f"`{name}`")
        if times[-1] > LONGEST:
            self._faults.fault("OP403", f"`{argument.value.items[-1]}` is too long to be counted", argument.value)
        return tuple(map(float, times))
