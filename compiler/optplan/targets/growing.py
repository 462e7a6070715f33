"""What is new in a network that has grown, as a plan: data, no framework.

Takes the plan of a run and a plan of the network as it is now; gives the plan of the whole, in which what is trained
already keeps its groups, and what is new has groups of its own behind them.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector, ConfigError, diagnostic
from optplan.targets.fit import check_network, find_optimizer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from optplan.resolve.network import Network
    from optplan.resolve.plan import Case, Group, Plan

__all__ = ["fault", "grown", "some"]

# How many names a message tells
_NAMED = 5


def grown(
    before: Plan,
    plan: Plan | None,
    network: Network,
    were: Mapping[str, object],
    now: Mapping[str, object],
    inside: Iterable[object],
    model: str,
) -> Plan:
    """The plan of a whole network that has grown by the parameters `inside`; see `new_names` for `were` and `now`.

    `plan` is what the caller made of `network`; None where it is made again as `before` was.  `model` is what the
    framework calls a network.  ConfigError (OP709) where it cannot be added, or nothing of it is trained.
    """
    new = new_names(were, now, inside)
    if plan is None:
        again = getattr(before, "again", None)
        if again is None:
            cure = f"pass `plan=optplan.plan(config, {model}, ...)`, made from the network as it is now"
            raise fault("this plan was read from JSON, or copied, and knows no file to go by", cure)
        plan = again(network)
    else:
        check_network(plan, network)
    check_same(before, plan, new)
    whole = joined(before, plan, new)
    if len(whole.groups) == len(before.groups):
        raise fault(f"nothing new in the module is trained: {some(new)}", "a rule freezes it, or its own gradients")
    for group in whole.groups[len(before.groups) :]:
        kind = find_optimizer(group.optimizer)
        if kind is not None and kind.requirements.one_group:
            what = f"`{group.optimizer}` takes one group, and `{group.parameters[0]}` would be of another"
            raise fault(what, f"bind a plan of the {model} as it is, and load the state with `strict=False`")
    again = getattr(plan, "again", None)
    if again is not None:
        # A network may grow more than once
        whole.__dict__["again"] = again
    return whole


def new_names(were: Mapping[str, object], now: Mapping[str, object], inside: Iterable[object]) -> list[str]:
    """The names of what is new in a network, all of it in a part of it.

    `were` has the parameters that were planned by name, `now` those of the network as it is, `inside` those of the
    part.  ConfigError (OP709) where there is nothing new, or more than that, or what was there is not.
    """
    names = {id(parameter): name for name, parameter in now.items()}
    found = {names.get(id(parameter)) for parameter in inside}
    if None in found:
        cure = "make it a part of the network first: `model.head = head`, then `compiled.add_group(model.head)`"
        raise fault("the module has parameters that the network which the plan is bound to does not have", cure)
    anew = "bind a plan of the network as it is, and load the state"
    gone = [name for name in were if name not in now]
    if gone:
        raise fault(f"the network no longer has {some(gone)}", anew)
    moved = [name for name, parameter in were.items() if now[name] is not parameter]
    if moved:
        raise fault(f"other parameters than those that are trained have the names {some(moved)}", anew)
    new = [name for name in now if name not in were]
    outside = [name for name in new if name not in found]
    if outside:
        raise fault(f"the network has more that is new: {some(outside)}", "pass a module that has all of it")
    if not new:
        raise fault("the module has no new parameters: the plan knows all of them", "it is trained already")
    return new


def check_same(before: Plan, after: Plan, new: Collection[str]) -> None:
    """ConfigError (OP709) with what the new plan does otherwise to what is there already."""
    collector = Collector()
    for what in ("clip", "loss_scale", "accumulate"):
        was, now = getattr(before, what), getattr(after, what)
        if was != now:
            collector.error("OP709", f"`{what}` is {was} in this run, and would be {now}")
    changed: dict[str, list[str]] = {}
    for name in before.names:
        told = _change(before.group_of(name), after.group_of(name))
        if told:
            changed.setdefault(told, []).append(name)
    for told, names in changed.items():
        cure = (
            "a rule that counts layers, or names them, sees other ones now: bind a plan of the whole and load the state"
        )
        collector.error("OP709", f"{told} would change for {some(names)}", help=cure)
    strange = [name for name in after.names if name not in new and name not in set(before.names)]
    if strange:
        raise AssertionError(strange)
    collector.check()


def _change(was: Group | None, now: Group | None) -> str | None:
    """What is other in how a parameter is treated."""
    if was is None or now is None:
        return None if was is now else "whether it is trained"
    if was.optimizer != now.optimizer:
        return "the optimizer"
    for key in was.settings:
        if was.settings[key] != now.settings.get(key):
            return f"`{key}`, {was.settings[key]!r:.40} to {now.settings.get(key)!r:.40},"
    for key in {**was.schedule, **now.schedule}:
        if was.schedule.get(key) != now.schedule.get(key):
            return f"the schedule of `{key}`"
    return "an option of a framework" if was.options != now.options else None


def joined(before: Plan, after: Plan, new: Collection[str]) -> Plan:
    """The plan of the whole, whose first groups are those that are there, and whose last ones the new."""
    fresh = set(new)
    taken = {group.name for group in before.groups}
    groups: list[Group] = []
    place_of: dict[int, int] = {}
    sizes = dict(zip(after.names, after.shapes, strict=True))
    for number, group in enumerate(after.groups):
        names = tuple(name for name in group.parameters if name in fresh)
        if names:
            place_of[number] = len(before.groups) + len(groups)
            name = _free(group.name, taken)
            taken.add(name)
            groups.append(replace(group, name=name, parameters=names, numel=sum(prod(sizes[each]) for each in names)))
    at = {name: number for number, group in enumerate(before.groups) for name in group.parameters}
    cases: dict[Case, int] = {}
    case_of = []
    for name, number in zip(after.names, after.case_of, strict=True):
        case = after.cases[number]
        place = (place_of[case.group] if name in fresh else at[name]) if case.group >= 0 else -1
        case_of.append(cases.setdefault(replace(case, group=place), len(cases)))
    order = {name: place for place, name in enumerate(after.names)}
    kept = tuple(
        replace(group, parameters=tuple(sorted(group.parameters, key=order.__getitem__)), origin=_origin(group, after))
        for group in before.groups
    )
    return replace(after, groups=(*kept, *groups), cases=tuple(cases), case_of=tuple(case_of))


def _origin(group: Group, after: Plan) -> int:
    """Where the optimizer of a group was chosen, by the new plan's places."""
    now = after.group_of(group.parameters[0])
    return group.origin if now is None else now.origin


def _free(name: str, taken: Collection[str]) -> str:
    """A name for a group that no other has."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}/added={number - 1}", number + 1
    return found


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    told = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return told if len(names) <= _NAMED else f"{told} and {len(names) - _NAMED} more"


def fault(message: str, cure: str) -> ConfigError:
    """The error of a module that cannot be added (OP709)."""
    return ConfigError([diagnostic("OP709", message, help=cure)])
