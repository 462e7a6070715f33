"""Scales of charts: round numbers at even distances, and where a number lies between the ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Self

from optplan.report.notation import number

if TYPE_CHECKING:
    from collections.abc import Sequence

# A scale begins at 0 unless all numbers are far from it: closer together than this part of the largest.
_NARROW = 0.5
# the powers of ten that a double keeps all its digits in
_LEAST, _MOST = -307, 308


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, with round numbers `ticks` between; `remark` says why it is not the one asked for."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False
    remark: str = ""

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool = False, most: int = 5) -> Self:
        """A scale for finite numbers, with about so many ticks; a logarithmic one only if one of them is above 0."""
        above = [value for value in values if value > 0]
        if log and above:
            return cls._logarithmic(min(above), max(above), most, "what is 0 or below is left out" * (min(values) <= 0))
        remark = "linear: no value is above 0" if log else ""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if low >= 0 and high - low >= _NARROW * high:
            low = 0.0
        if low == high:
            # one number lies in the middle, 0 at the bottom
            low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
        ticks = ticks_between(low, high, most, outwards=True)
        return cls(ticks[0], ticks[-1], ticks, remark=remark)

    @classmethod
    def _logarithmic(cls, low: float, high: float, most: int, remark: str) -> Self:
        first, last = max(_LEAST, floor(log10(low) + 1e-9)), min(_MOST, ceil(log10(high) - 1e-9))
        if low < high < 2 * low:
            # here both kinds of scale are nearly the same
            ticks = ticks_between(low, high, most, outwards=True)
        elif last - first <= 1:
            # within one power of ten
            round_ones = [float(f"{mantissa}e{first}") for mantissa in range(1, 11)]
            begin = max(place for place in range(9) if round_ones[place] <= low * (1 + 1e-9) or place == 0)
            stop = next(place for place in range(begin + 1, 10) if round_ones[place] >= high * (1 - 1e-9) or place == 9)
            ticks = tuple(round_ones[begin : stop + 1])
        else:
            every = max(1, ceil((last - first) / most))
            powers = range(first, last + every, every)
            ticks = tuple(float(f"1e{min(power, _MOST)}") for power in powers)
        return cls(ticks[0], ticks[-1], ticks, log=True, remark=remark)

    def place(self, value: float) -> float:
        """Where a number lies: 0 at the lower end, 1 at the upper."""
        if self.log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        # halves, for the ends may be as far apart as doubles can be
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def around(self, margin: float) -> tuple[float, float]:
        """The ends, each moved outwards by this part of the scale."""
        if self.log:
            factor = 10 ** ((log10(self.high) - log10(self.low)) * margin)
            return self.low / factor, self.high * factor
        room = (self.high / 2 - self.low / 2) * margin * 2
        return self.low - room, self.high + room

    def has(self, value: float) -> bool:
        """Whether a number has a place at all."""
        return isfinite(value) and (value > 0 or not self.log)

    def row(self, value: float, rows: int) -> int:
        """The row, from the top, of so many that a number lies in which has a place."""
        return min(rows - 1, max(0, round((1 - self.place(value)) * (rows - 1))))


def count_text(value: float) -> str:
    """A number of updates or epochs: `12,000`, `2.5`."""
    return f"{int(value):,}" if value == int(value) else number(value, 6)


def ticks_between(
    low: float, high: float, most: int, *, outwards: bool = False, whole: bool = False
) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, at most `most` distances; at least two.

    With `outwards` the first and the last enclose both ends; with `whole` they are whole numbers.
    """
    rough = max((high - low) / max(1, most), 1.0 if whole else 1e-307)
    if not isfinite(rough):
        return (low, high)
    power = floor(log10(rough))
    step = next(
        size for size in (float(f"{m}e{power + k}") for k in (0, 1) for m in (1, 2, 5)) if size >= rough * (1 - 1e-9)
    )
    first, last = low / step, high / step
    if outwards:
        begin, stop = floor(first + 1e-9), ceil(last - 1e-9)
    else:
        begin, stop = ceil(first - 1e-9), floor(last + 1e-9)
    stop = max(stop, begin + 1)
    return tuple(float(f"{place * step:.12g}") for place in range(begin, stop + 1))
