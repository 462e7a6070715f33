"""Durations: how many updates, or epochs, an expression stands for.

Everything is exact: numbers are the decimals that were written, so 7 % of 100 updates is 7, and a duration is rounded
to a double only when it becomes part of a curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NoReturn

from optplan.expression import Binary, Call, Element, Name, Negative, Number, Quantity
from optplan.resolve.horizon import amount, exact
from optplan.resolve.value import EvaluationError, evaluate

if TYPE_CHECKING:
    from optplan.diagnostics import Collector
    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.horizon import Amount, Horizon
    from optplan.resolve.value import Scope


# What a curve can tell apart: doubles count so far, and a boundary has a little width (see `shape`).
LONGEST = 2**53
SHORTEST = Fraction(1, 10_000)


@dataclass(frozen=True, slots=True)
class Clock:
    """The unit in which a policy counts, updates or epochs of the run.

    `whole` is how many of them the run has, which is what a percentage is taken of; `given` is what an enclosing
    phase leaves to this policy, where it is one of several.
    """

    horizon: Horizon
    per_epoch: bool = False
    given: Fraction | None = None

    @property
    def whole(self) -> Fraction | None:
        """How many of its units the run has; None if that is not known."""
        return self.horizon.rounds if self.per_epoch else self.horizon.total

    @property
    def available(self) -> Fraction | None:
        """How many are left to what is being resolved."""
        return self.whole if self.given is None else self.given

    @property
    def epoch(self) -> Fraction | None:
        """How many of its units an epoch has."""
        if self.per_epoch:
            return Fraction(1)
        return self.horizon.length

    def sees(self, unit: str) -> tuple[Fraction | None, str]:
        """The `samples` or `tokens` in one of its units, None where they are not known, and the key that tells them."""
        key = f"{unit}_per_step"
        seen: Amount | None = getattr(self.horizon, key)
        if seen is None or not self.per_epoch:
            return None if seen is None else exact(seen), key
        return None if self.horizon.length is None else exact(seen) * self.horizon.length, "steps_per_epoch"

    @property
    def key(self) -> str:
        """The key of the horizon that is missing to know how many the run has."""
        if self.per_epoch:
            return "epochs"
        return "steps" if self.horizon.epochs is None else "steps_per_epoch"

    @property
    def noun(self) -> str:
        """What it counts."""
        return "epochs" if self.per_epoch else "updates"


class PolicyFaultError(Exception):
    """A policy that cannot be resolved; what is to be said has been said."""


class Faults:
    """Where what is wrong with a policy is reported; with `strict` off a horizon that is missing is only a note."""

    def __init__(self, collector: Collector, *, strict: bool) -> None:
        self.collector = collector
        self._strict = strict

    def need(self, value: Fraction | None, place: Policy | Value, what: str, key: str) -> Fraction:
        """`value`, or the fault that the horizon does not tell it."""
        if value is not None:
            return value
        given = f"`{key}=N`, on the command line `--{key.replace('_', '-')} N`"
        cure = f"say `horizon: {{{key}: ...}}` in the file, or give it when the plan is made: {given}"
        span = place.span
        if self._strict:
            self.collector.error("OP407", f"the horizon is missing: {what} needs `{key}`", span, help=cure)
        else:
            self.collector.note("OP408", f"not checked: {what} needs `{key}`", span, help=cure)
        raise PolicyFaultError

    def fault(self, code: str, message: str, place: Policy | Value | Argument, cure: str = "") -> NoReturn:
        """Report a fault, and give the policy up."""
        self.collector.error(code, message, place.span, help=cure or None)
        raise PolicyFaultError


class Counter:
    """Counts out durations, with the numbers of a `Scope`."""

    def __init__(self, scope: Scope, faults: Faults) -> None:
        self._scope = scope
        self._faults = faults

    def count(self, node: Value, clock: Clock) -> Fraction:
        """A time in the clock's unit."""
        match node:
            case Number(value):
                return exact(value)
            case Quantity(value, "epochs"):
                return exact(value) * self._faults.need(clock.epoch, node, f"`{node}`", "steps_per_epoch")
            case Quantity(value, "%"):
                return exact(value) / 100 * self._faults.need(clock.whole, node, f"`{node}`", clock.key)
            case Quantity(value, "samples" | "tokens" as unit):
                seen, key = clock.sees(unit)
                return exact(value) / self._faults.need(seen, node, f"`{node}`", key)
            case Negative(item):
                return -self.count(item, clock)
            case Name() | Element():
                return self._named(node)
            case Binary(operator, left, right) if operator in "+-*/":
                return self._arithmetic(node, operator, self.count(left, clock), self.count(right, clock))
            case Call(function, arguments):
                return self._function(node, function, [self.count(argument, clock) for argument in arguments])
        return self._faults.fault("OP403", f"`{node}` is no duration", node, "write `500`, `5 epochs` or `10%`")

    def _named(self, node: Name | Element) -> Fraction:
        try:
            return exact(evaluate(node, self._scope))
        except EvaluationError as fault:
            self._faults.fault(fault.code, fault.message, node, fault.help or "")

    def _arithmetic(self, node: Value, operator: str, left: Fraction, right: Fraction) -> Fraction:
        if operator == "/" and right == 0:
            self._faults.fault("OP303", f"`{node}` divides by zero", node, "")
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case _:
                return left / right

    def _function(self, node: Value, function: str, arguments: list[Fraction]) -> Fraction:
        match function:
            case "min":
                return min(arguments)
            case "max":
                return max(arguments)
            case "floor":
                return Fraction(math.floor(arguments[0]))
            case "ceil":
                return Fraction(math.ceil(arguments[0]))
            case "round":
                return Fraction(round(arguments[0]))
        return self._faults.fault(
            "OP403", f"`{function}` has no place in a duration", node, "use + - * / min max floor ceil round"
        )


def shown(number: Fraction) -> str:
    """A count as messages show it."""
    try:
        return f"{amount(number):,}"
    except (OverflowError, ValueError):  # beyond a double, or beyond what Python writes out
        return "beyond all bounds"
