"""Phases of registered policies to curves, with the arguments that are given and those that are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.diagnostics import ConfigError
from optplan.resolve.duration import PolicyFaultError
from optplan.resolve.own import Own, registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.catalog import ArgumentType
    from optplan.expression import Argument, Phase
    from optplan.resolve.duration import Faults
    from optplan.resolve.level import AnyLevel


def own_curve(
    phase: Phase,
    origin: AnyLevel,
    lasting: float | None,
    number: Callable[[Argument], float],
    time: Callable[[str], float],
    faults: Faults,
) -> Own:
    """The curve of `phase`, which begins at the level `origin`; PolicyFaultError, and a report, where there is none.

    `number` is the value of an argument, `time` the updates that the argument of a name stands for.
    """
    numbers: dict[str, float] = {}
    for name, kind in registered(phase.name).arguments.items():
        argument = phase.argument(name)
        if name in ("for", "from"):
            continue
        if argument is None:
            numbers[name] = float(kind.default or 0.0)
        elif kind.kind == "duration":
            numbers[name] = time(name)
        else:
            numbers[name] = number(argument)
            check_number(phase, argument, kind, numbers[name], faults)
    curve = Own(phase.name, origin, lasting, tuple(numbers.items()))
    try:
        curve.extremes(1.0)
    except ConfigError as fault:
        for each in fault.diagnostics:
            faults.collector.error(each.code, each.message, phase.span, help=each.help)
        raise PolicyFaultError from None
    return curve


def check_number(phase: Phase, argument: Argument, kind: ArgumentType, value: float, faults: Faults) -> None:
    """Report a number that the argument cannot be; one that is written out was looked at before."""
    low, high = kind.minimum, kind.maximum
    what = f"`{kind.name}` of `{phase.name}`"
    if low is not None and (value <= low if kind.exclusive_minimum else value < low):
        relation = "above" if kind.exclusive_minimum else "at least"
        faults.fault("OP405", f"{what} must be {relation} {low:g}, and this is {value:g}", argument.value)
    if high is not None and (value >= high if kind.exclusive_maximum else value > high):
        relation = "below" if kind.exclusive_maximum else "at most"
        faults.fault("OP405", f"{what} must be {relation} {high:g}, and this is {value:g}", argument.value)
    if kind.kind == "count" and not value.is_integer():
        faults.fault("OP405", f"{what} must be a whole number, and this is {value:g}", argument.value)
