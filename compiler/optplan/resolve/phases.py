"""Phases with formulas of their own to curves: decays, cycles and pieces, with all their arguments.

Takes a phase, the level at which it begins, how long it lasts and how its arguments are read; gives its curve, or
raises PolicyFaultError once what is wrong has been reported at its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from optplan.expression import Lines, Listing
from optplan.resolve.cycles import Cycle, OneCycle, Restarts
from optplan.resolve.decays import Decay, InverseSqrt, InverseTime, NaturalExp, Noam, Sqrt
from optplan.resolve.level import Level
from optplan.resolve.plateau import Plateau
from optplan.resolve.stairs import Pieces, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.expression import Phase
    from optplan.resolve.curve import Curve
    from optplan.resolve.duration import Faults
    from optplan.resolve.level import AnyLevel

# Those that are made here; the others are made by `schedule` itself, or were registered.
MADE = frozenset(
    {
        *("sqrt", "decay", "inverse_time", "natural_exp", "inverse_sqrt", "noam"),
        *("piecewise", "table", "restarts", "cycle", "onecycle", "plateau"),
    }
)

# Of these, those that need no end; all but `noam` would have none either where there is a horizon.
ENDLESS = MADE - {"sqrt", "onecycle"}

_ONE = Level(ratio=1.0)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a phase by name: levels, numbers, words, times in the unit of its clock.

    What takes a default gives it where the argument is left out; `time` gives 1 then.
    """

    level: Callable[[str, AnyLevel], AnyLevel]
    levels: Callable[[str], tuple[AnyLevel, ...]]
    number: Callable[[str, float], float]
    word: Callable[[str, str], str]
    time: Callable[[str], float]
    times: Callable[[str], tuple[float, ...]]
    falls: Callable[[AnyLevel, AnyLevel], None]
    """Reports a decay from 0."""


def made_curve(phase: Phase, origin: AnyLevel, lasting: float | None, given: Arguments, faults: Faults) -> Curve:
    """The curve of `phase`, which begins at the level `origin` and lasts `lasting`, None where it has no end."""
    match phase.name:
        case "sqrt" | "restarts":
            to = given.level("to", Level())
            given.falls(origin, to)
            if phase.name == "sqrt":
                return Sqrt(origin, to, lasting or 0.0)
            return Restarts(origin, to, given.time("period"), given.number("mult", 1.0), lasting)
        case "piecewise":
            return _pieces(phase, lasting, given, faults)
        case "table":
            return _table(phase, lasting)
        case "plateau":
            return _plateau(origin, given)
        case "noam":
            return Noam(given.number("d_model", 1.0), given.time("warmup"), lasting)
        case "cycle":
            return _cycle(phase, lasting, given, faults)
        case "onecycle":
            return _one_cycle(phase, lasting or 0.0, given, faults)
    given.falls(origin, origin)
    match phase.name:
        case "decay":
            return Decay(origin, lasting, given.number("gamma", 1.0), given.time("every"))
        case "inverse_time":
            return InverseTime(origin, lasting, given.number("rate", 0.0), given.time("every"))
        case "natural_exp":
            return NaturalExp(origin, lasting, given.number("rate", 0.0), given.time("every"))
        case "inverse_sqrt":
            return InverseSqrt(origin, lasting, given.time("timescale"))
    raise AssertionError(phase)


def _pieces(phase: Phase, lasting: float | None, given: Arguments, faults: Faults) -> Pieces:
    at, values = given.times("at"), given.levels("values")
    if len(values) != len(at) + 1:
        _miscounted(phase, len(at), len(values), faults)
    return Pieces(at, values, lasting)


def _plateau(origin: AnyLevel, given: Arguments) -> Plateau:
    to = given.level("to", Level())
    given.falls(origin, to)
    return Plateau(
        origin,
        to,
        given.word("metric", ""),
        given.number("factor", 0.1),
        int(given.number("patience", 10.0)),
        int(given.number("cooldown", 0.0)),
        given.number("threshold", 1e-4),
        given.word("threshold_mode", "rel"),
        given.word("mode", "min"),
    )


def _table(phase: Phase, lasting: float | None) -> Table:
    argument = phase.argument("file")
    if argument is None or not isinstance(argument.value, Lines):
        raise AssertionError(phase)  # the front end has read it
    return Table(argument.value.numbers, lasting)


def check_count(phase: Phase, faults: Faults) -> None:
    """Report values of `piecewise` that are not one more than its times, which shows without any horizon."""
    at, values = phase.argument("at"), phase.argument("values")
    if at is None or values is None:
        return
    if isinstance(at.value, Listing) and isinstance(values.value, Listing):
        times, count = len(at.value.items), len(values.value.items)
        if count != times + 1:
            _miscounted(phase, times, count, faults)


def _miscounted(phase: Phase, times: int, values: int, faults: Faults) -> NoReturn:
    argument = phase.argument("values")
    message = f"`values` has {_counted(values, 'value')} for {_counted(times, 'time')}"
    cure = "give one value more than times: the first stands until the first time"
    faults.fault("OP405", message, phase if argument is None else argument.value, cure)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cycle(phase: Phase, lasting: float | None, given: Arguments, faults: Faults) -> Cycle:
    shape, gamma = given.word("shape", "triangular"), phase.argument("gamma")
    if shape == "exp_range" and gamma is None:
        argument = phase.argument("shape")
        place = phase if argument is None else argument.value
        faults.fault(
            "OP402", "`exp_range` needs `gamma`", place, "add `gamma=`, the factor of each update, such as 0.999"
        )
    if shape != "exp_range" and gamma is not None:
        faults.fault("OP402", f"`gamma` has no part in `{shape}`", gamma, "it goes with `shape=exp_range`")
    up = given.time("up")
    down = up if phase.argument("down") is None else given.time("down")
    low, high = given.level("low", Level()), given.level("high", _ONE)
    return Cycle(low, high, up, down, shape, given.number("gamma", 1.0), lasting)


# How much of its time `onecycle` rises, where it does not say.
_RISE = 0.3


def _one_cycle(phase: Phase, lasting: float, given: Arguments, faults: Faults) -> OneCycle:
    argument = phase.argument("up")
    found = OneCycle(
        given.level("peak", _ONE),
        lasting * _RISE if argument is None else given.time("up"),
        given.number("div", 25.0),
        given.number("final_div", 1e4),
        lasting,
        given.word("shape", "cosine"),
        int(given.number("phases", 2.0)),
    )
    if found.rise >= lasting > 0:
        what = "rises" if found.phases == 2 else "rises and falls"
        message = f"`onecycle` {what} for {found.rise:,g} and lasts {lasting:,g}: nothing is left of it for the end"
        faults.fault("OP404", message, phase if argument is None else argument.value)
    return found
