"""How long a run is, in updates and in epochs.

The file says some of `steps`, `epochs`, `steps_per_epoch`, the caller may say others; his replace the file's key by
key, and his `steps` also the file's `epochs`.  Any two of the three give the third; values that disagree are a fault.
What an update sees, in samples and in tokens, is asked for where a duration is given in these.
Everything is exact: a duration of 7 % of 100 updates is 7.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from numbers import Real
from sys import float_info
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optplan import config
    from optplan.diagnostics import Collector

Amount = int | float

# The largest double: a run of more updates cannot be put on a curve.
_MOST = int(float_info.max)

_LENGTHS = ("steps", "epochs", "steps_per_epoch")
_WHOLE = frozenset({"steps", "steps_per_epoch"})
_SEEN = ("samples_per_step", "tokens_per_step")


@dataclass(frozen=True, slots=True)
class Horizon:
    """Each entry a positive number, or None where nobody said it.

    In updates, epochs, updates an epoch; in samples and in tokens that one update sees.
    """

    steps: Amount | None = None
    epochs: Amount | None = None
    steps_per_epoch: Amount | None = None
    samples_per_step: Amount | None = None
    tokens_per_step: Amount | None = None

    @property
    def total(self) -> Fraction | None:
        """`steps`, exactly."""
        return None if self.steps is None else exact(self.steps)

    @property
    def last(self) -> int | None:
        """The run's last update, None where its length is not known: update t lies within 2.5 updates if t < 2.5."""
        return None if self.steps is None else ceil(self.steps) - 1

    @property
    def rounds(self) -> Fraction | None:
        """`epochs`, exactly: where it is what the other two make, a double may be beside it."""
        if isinstance(self.epochs, float) and self.steps is not None and isinstance(self.steps_per_epoch, int):
            return exact(self.steps) / self.steps_per_epoch
        return None if self.epochs is None else exact(self.epochs)

    @property
    def length(self) -> Fraction | None:
        """`steps_per_epoch`, exactly: it is whole unless it is what the other two make."""
        if isinstance(self.steps_per_epoch, float) and self.steps is not None and self.epochs is not None:
            return exact(self.steps) / exact(self.epochs)
        return None if self.steps_per_epoch is None else exact(self.steps_per_epoch)

    def to_data(self) -> dict[str, Amount | None]:
        """The horizon as JSON data; what an update sees is there only where it was said."""
        seen = {name: getattr(self, name) for name in _SEEN if getattr(self, name) is not None}
        return {"steps": self.steps, "epochs": self.epochs, "steps_per_epoch": self.steps_per_epoch, **seen}

    def __str__(self) -> str:
        said = [f"{value:,} {unit}" for value, unit in ((self.steps, "updates"), (self.epochs, "epochs")) if value]
        if not said and self.steps_per_epoch:
            said = [f"{self.steps_per_epoch:,} updates an epoch"]
        if not said:
            seen = ((getattr(self, name), name.partition("_")[0]) for name in _SEEN)
            said = [f"{value:,} {unit} an update" for value, unit in seen if value]
        return " = ".join(said) or "unknown"


def exact(number: Amount) -> Fraction:
    """The decimal that was written: 0.1 is one tenth."""
    return Fraction(str(number))


def amount(number: Fraction) -> Amount:
    """`number` as an int where it is one, else the nearest double."""
    return int(number) if number.denominator == 1 else float(number)


def resolve_horizon(
    written: config.Horizon,
    collector: Collector,
    *,
    steps: int | None = None,
    epochs: Amount | None = None,
    steps_per_epoch: int | None = None,
    samples_per_step: Amount | None = None,
    tokens_per_step: Amount | None = None,
) -> Horizon:
    """The horizon of the file under the caller's values; what is invalid or disagrees is reported (OP407, OP104)."""
    given: dict[str, Any] = {"steps": steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    given |= {"samples_per_step": samples_per_step, "tokens_per_step": tokens_per_step}
    given = {name: _own(value, whole=name in _WHOLE) for name, value in given.items()}
    for name, value in given.items():
        if value is not None and not _positive(value, whole=name in _WHOLE):
            what = "a whole number above 0" if name in _WHOLE else "a number above 0"
            collector.error("OP104", f"`{name}` must be {what}, not {_shown(value)}")
            return Horizon()
    said = {
        name: _own(getattr(written, name), whole=name in _WHOLE) if value is None else value
        for name, value in given.items()
    }
    if steps is not None and epochs is None:
        said["epochs"] = None
    total, rounds, length = (None if said[name] is None else exact(said[name]) for name in _LENGTHS)
    if rounds is not None and length is not None and rounds * length > _MOST:
        message = (
            f"{said['epochs']:g} epochs of {said['steps_per_epoch']:g} updates are more updates than can be counted"
        )
        collector.error("OP407", message, written.span, help="give the run a shorter horizon")
        return Horizon()
    if total is not None and rounds is not None and length is not None and total != rounds * length:
        collector.error(
            "OP407",
            f"the horizon contradicts itself: {said['epochs']} epochs of {said['steps_per_epoch']} updates "
            f"are {amount(rounds * length)} updates, not {said['steps']}",
            written.span,
            help="leave out one of `steps`, `epochs` and `steps_per_epoch`",
        )
        return Horizon()
    if total is None and rounds is not None and length is not None:
        total = rounds * length
    elif rounds is None and total is not None and length is not None:
        rounds = total / length
    elif length is None and total is not None and rounds is not None:
        length = total / rounds
        if length > _MOST:
            message = f"{said['steps']:g} updates in {said['epochs']:g} epochs are more an epoch than can be counted"
            collector.error("OP407", message, written.span, help="give the run a shorter horizon, or more epochs")
            return Horizon()
    lengths = [None if value is None else amount(value) for value in (total, rounds, length)]
    return Horizon(*lengths, *(said[name] for name in _SEEN))


def _own(value: Any, *, whole: bool) -> Any:
    """A number of another library, numpy's or the length of an array, as Python's own; anything else as it is."""
    # Some libraries take their booleans for integers, and tell them by the dtype.
    if isinstance(value, (int, float)) or str(getattr(value, "dtype", "")).endswith("bool"):
        return value
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        # a tensor has `__index__` whether it is a whole number or not
        return float(value) if isinstance(value, Real) and not whole else value


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # more digits than Python writes out
        return "a number beyond every double"


def _positive(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return 0 < value <= _MOST
