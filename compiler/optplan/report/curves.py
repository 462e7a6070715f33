"""What a plan's pictures and tables are made of: the numbers of each key, by group, over the updates of the run.

Takes a plan and the keys (by default `lr` and all that is scheduled), gives panels, one for each key, of lines: groups
whose numbers are equal at every update looked at share a line.  Guarantees that each number is the very double of
`plan.value`.  A curve that is a multiple of the group's own value is evaluated once for all groups that have it.

`extent` says how long the run is; without a horizon it lasts until the last curve has come to rest.
"""

from __future__ import annotations

import csv
import io
from array import array
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from optplan.diagnostics import ConfigError, diagnostic, suggestion
from optplan.report.notation import counted, number, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Group, Plan

# As many updates are looked at for a picture, which has fewer dots than that.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """The numbers of one key at the updates of its `Curves`, and the groups that have these."""

    groups: tuple[str, ...]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """The lines of one key, in the order of their first groups."""

    key: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """The panels of a plan.

    `updates` are the updates looked at, from 0, and `end` is how many there are; `epoch` is how many an epoch has,
    None where that is not known.
    """

    title: str
    updates: Sequence[int]
    end: int
    epoch: float | None
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """One key of a group: what it starts from, and its curve if it has one."""

    key: str
    group: str
    own: float
    curve: Curve | None


def drawable_keys(plan: Plan) -> list[str]:
    """`lr`, what is scheduled, then every other number of a group: all that a curve can be drawn of."""
    keys = dict.fromkeys(["lr", *(key for group in plan.groups for key, _ in group.curves)])
    for group in plan.groups:
        for key, value in group.values:
            names = [f"{key}[{place}]" for place in range(len(value))] if isinstance(value, tuple) else [key]
            keys.update(dict.fromkeys(names))
    return [key for key in keys if any(_own(group, key) is not None for group in plan.groups)]


def usual_keys(plan: Plan) -> list[str]:
    """What is drawn unless one asks for something else: `lr`, and what any group has a policy for."""
    scheduled = {key for group in plan.groups for key, _ in group.curves}
    return [key for key in drawable_keys(plan) if key == "lr" or key in scheduled]


def unknown_key(plan: Plan, keys: Iterable[str]) -> str | None:
    """What is wrong with a key that no group has as a number, and what there is; None if all are known."""
    known = drawable_keys(plan)
    for key in keys:
        if key not in known:
            cure = suggestion(key, known, f"there are {', '.join(f'`{each}`' for each in known)}")
            return f"error: no group has a number `{printable(key)}`\n   = help: {cure}"
    return None


def extent(plan: Plan, keys: Iterable[str], steps: int | None = None) -> int:
    """How many updates there are to draw: `steps`, or the horizon, or until the curves of `keys` have come to rest.

    ConfigError (OP407) where one of them never does.
    """
    if steps is not None:
        return steps
    if plan.horizon.total is not None:
        return ceil(plan.horizon.total)
    last = 0.0
    for column in _columns(plan, keys):
        settled = 0.0 if column.curve is None else column.curve.settled
        if settled is None:
            message = f"the horizon is missing: `{column.key}` of group `{printable(column.group)}` never comes to rest"
            raise ConfigError([diagnostic("OP407", message, help="say how many updates to draw: `--steps N`")])
        last = max(last, settled)
    return ceil(last) + 1


def spread(end: int, most: int | None) -> Sequence[int]:
    """The updates from 0 to `end` (exclusive), or as many of them as `most`, evenly spread, the first and the last."""
    if most is None or end <= most:
        return range(end)
    return [place * (end - 1) // (most - 1) for place in range(most)] if most > 1 else range(1)


def curves_of(plan: Plan, keys: Sequence[str], end: int, most: int | None = MOST) -> Curves:
    """The panels of `keys`, over `end` updates of which at most so many are looked at."""
    updates = spread(end, most)
    columns = _columns(plan, keys)
    # groups that start from the same number and have the same curve are one before anything is evaluated
    alike: dict[tuple[str, float, Curve | None], list[str]] = {}
    for column in columns:
        alike.setdefault((column.key, column.own, column.curve), []).append(column.group)
    kinds = [_Column(key, groups[0], own, curve) for (key, own, curve), groups in alike.items()]
    samples = [array("d") for _ in kinds]
    for row in _rows(kinds, updates, plan.horizon.last):
        for sample, value in zip(samples, row, strict=True):
            sample.append(value)
    lines: dict[str, dict[bytes, tuple[list[str], array[float]]]] = {key: {} for key in keys}
    for kind, groups, sample in zip(kinds, alike.values(), samples, strict=True):
        lines[kind.key].setdefault(sample.tobytes(), ([], sample))[0].extend(groups)
    order = {group.name: place for place, group in enumerate(plan.groups)}
    panels = []
    for key, each in lines.items():
        found = [Line(tuple(sorted(groups, key=order.__getitem__)), sample) for groups, sample in each.values()]
        panels += [Panel(key, tuple(found))] if found else []
    length = plan.horizon.length
    epochs = None if length is None else float(end / length)
    run = counted(end, "update") + ("" if epochs is None else f" = {number(epochs, 6)} epoch{'s' * (epochs != 1)}")
    run += "" if plan.horizon.total is not None else ", the horizon is not known"
    title = f"{counted(len(plan.groups), 'group')}; {run}"
    return Curves(title, updates, end, None if length is None else float(length), tuple(panels))


def table(plan: Plan, keys: Sequence[str], updates: Sequence[int]) -> Iterator[str]:
    """The lines of a CSV table: `update`, `epoch` where an epoch has a known length, and a column `key:group` for each.

    A number has as many digits as give back the very double of `plan.value`.
    """
    columns = _columns(plan, keys)
    length = plan.horizon.length
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def line(cells: list[str]) -> str:
        text.seek(0)
        text.truncate()
        writer.writerow(cells)
        return text.getvalue()

    epochs = [] if length is None else ["epoch"]
    yield line(["update", *epochs, *(f"{column.key}:{column.group}" for column in columns)])
    for t, row in zip(updates, _rows(columns, updates, plan.horizon.last), strict=True):
        epoch = [] if length is None else [repr(float(t / length))]
        yield line([str(t), *epoch, *map(repr, row)])


def _columns(plan: Plan, keys: Iterable[str]) -> list[_Column]:
    """Each key of each group that has it, key by key."""
    found = []
    for key in keys:
        for group in plan.groups:
            own = _own(group, key)
            if own is not None:
                found.append(_Column(key, group.name, float(own), group.schedule.get(key)))
    return found


def _own(group: Group, key: str) -> float | None:
    try:
        return group.own(key)
    except KeyError:
        return None


def _rows(columns: Sequence[_Column], updates: Iterable[int], last: int | None) -> Iterator[list[float]]:
    """The numbers of all columns at each update; what is a multiple of the own value is evaluated once a curve.

    `last` is the run's last update, after which a curve without an end holds its value.
    """
    shared: dict[Curve, int] = {}
    places = []
    for column in columns:
        relative = column.curve is not None and column.curve.relative
        places.append(shared.setdefault(column.curve, len(shared)) if relative and column.curve is not None else -1)
    jobs = [(column.own, column.curve, place) for column, place in zip(columns, places, strict=True)]
    for t in updates:
        held = t if last is None else min(t, last)
        factors = [curve.factor(held if curve.endless else t) for curve in shared]
        yield [
            own
            if curve is None
            else own * factors[place]
            if place >= 0
            else curve.value(held if curve.endless else t, own)
            for own, curve, place in jobs
        ]
