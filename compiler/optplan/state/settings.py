"""Saved settings held against those of a plan, for the parameters that keep their state.

What differs is told for the update to come, schedules included.  As own values of the plan's groups the saved settings
are held against what the optimizer allows: a file may say anything.
"""

from __future__ import annotations

from math import isclose, isnan
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.state.fields import alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.diagnostics import Collector
    from optplan.resolve.plan import Group, Plan
    from optplan.setting import Plain
    from optplan.state.saved import SavedGroup

# By how much a number that has been through float32 may be another
_ROUNDED = 2.0**-23
_UNKNOWN: Any = object()


def differing(
    plan: Plan, was: Mapping[str, SavedGroup], t: int, collector: Collector
) -> list[tuple[str, str, Plain, Plain]]:
    """Group, key, saved value and the plan's for update `t`, of what differs; a note in `collector` of each.

    `was` has the saved group of each parameter that keeps its state.
    """
    found: dict[tuple[str, str, Plain, Plain], None] = {}
    for group in plan.groups:
        for each in _sources(group, was):
            for key, own in group.values:
                if key in each.settings:
                    now = _now(plan, group, key, own, t)
                    if now is not _UNKNOWN and not _same(each.settings[key], now):
                        found[group.name, key, each.settings[key], now] = None
    for name, key, before, now in found:
        what = f"`{key}` of group `{name}` was {before!r:.60} when the state was saved, and is {now!r:.60} in the plan"
        collector.note("OP707", what)
    return list(found)


def own_values(
    plan: Plan, was: Mapping[str, SavedGroup], collector: Collector, *, saved: bool, strict: bool
) -> dict[str, dict[str, Plain]]:
    """The own values of the plan's groups, by group and key; with `saved` the saved ones in their place.

    What a class computes itself is left out.  Faults of saved values are in `collector` (OP707).
    """
    found: dict[str, dict[str, Plain]] = {}
    for group in plan.groups:
        sources = _sources(group, was) if saved else []
        kind = catalog().optimizers.get(group.optimizer)
        taken: dict[str, Plain] = {key: own for key, own in group.values if own is not None}
        for key, own in group.values:
            values = list(dict.fromkeys(_own(each, key, group) for each in sources if key in each.settings))
            setting = kind.settings.get(key) if kind is not None else None
            if len(values) > 1:
                told = " and ".join(f"{each!r:.40}" for each in values[:3])
                what = f"the parameters of group `{group.name}` were saved with {told} for `{key}`"
                if strict:
                    cure = 'load with `on_load="config"`, or with `strict=False`: the plan\'s stands then'
                    collector.error("OP707", what, help=cure)
                else:
                    collector.warning("OP707", f"{what}; the plan's stands")
            elif values and not _same(values[0], own):
                why = setting.check(values[0]) if setting is not None else None
                # What the class computes itself is no value of the file's.
                if why is None:
                    taken[key] = values[0] if setting is None else setting.cast(values[0])
                elif not (isinstance(values[0], float) and isnan(values[0])):
                    what = f"the saved `{key}` of group `{group.name}` is {values[0]!r:.40}, and {why}"
                    collector.error("OP707", what, help='load with `on_load="config"`')
            elif values and own is not None:
                taken[key] = values[0] if setting is None or values[0] == own else own
        found[group.name] = taken
    return found


def _sources(group: Group, was: Mapping[str, SavedGroup]) -> list[SavedGroup]:
    """The saved groups in which its parameters were."""
    found = {id(each): each for name in group.parameters if (each := was.get(name)) is not None}
    return [each for each in found.values() if alike(each.optimizer, group.optimizer)]


def _now(plan: Plan, group: Group, key: str, own: Plain, t: int) -> Any:
    """The value that the plan has for update `t`, elements of a list too; `_UNKNOWN` where a metric decides it."""
    if isinstance(own, tuple):
        parts = [_now(plan, group, f"{key}[{number}]", each, t) for number, each in enumerate(own)]
        return _UNKNOWN if any(part is _UNKNOWN for part in parts) else tuple(parts)
    if key not in group.schedule:
        return own
    try:
        return plan.value(group.parameters[0], key, t)
    except ValueError:
        return _UNKNOWN


def _own(saved: SavedGroup, key: str, group: Group) -> Plain:
    """The saved value of a key, which becomes the own value of the plan's group."""
    value = saved.settings[key]
    if isinstance(value, tuple):
        parts = (f"{key}[{place}]" for place in range(len(value)))
        return tuple(
            saved.own.get(part, each) if part in group.schedule else each
            for part, each in zip(parts, value, strict=True)
        )
    return saved.own.get(key, value) if key in group.schedule else value


def _same(one: Plain, other: Plain) -> bool:
    """Whether a saved value and the plan's are one: what float32 rounds is, and what the class computes itself."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if other is None or (isinstance(one, float) and isnan(one) and isinstance(other, float) and isnan(other)):
        return True
    if isinstance(one, float) and isinstance(other, (int, float)) and not isinstance(other, bool):
        return isclose(one, other, rel_tol=_ROUNDED)
    return one == other
