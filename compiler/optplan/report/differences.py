"""Two plans, and the parameters that they treat differently.

Parameters are matched by name.  What counts is what is done: optimizer, values, curves and options, in or out; not how
groups are cut or called, nor by which rule.  Parameters that differ in the same way are told once.  Of two schedules
it is told where they part and by how much, see `partings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from optplan.report.notation import BOLD, DIM, aligned, counted, listed, painted, told_apart, wrapped, written
from optplan.report.partings import common_updates, parting
from optplan.report.plans import policy_texts, settings_of

if TYPE_CHECKING:
    from optplan.report.partings import Parting
    from optplan.resolve.plan import Group, Plan

FORMAT = "optplan.difference/1"
_WIDTH = 100
_NAMES = 6


@dataclass(frozen=True, slots=True)
class Change:
    """One key, and what it is in either plan; None where it is not there.  `parting` is that of two schedules."""

    key: str
    before: Any
    after: Any
    parting: Parting | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Parameters that change in the same way."""

    parameters: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two plans; `whole` is what is not a matter of one parameter (clipping, accumulation)."""

    parameters: tuple[Difference, ...]
    whole: tuple[Change, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the plans do the same."""
        return not (self.parameters or self.whole or self.removed or self.added)

    def to_data(self) -> dict[str, Any]:
        """The differences as JSON data, in the format `optplan.difference/1`."""
        return {
            "format": FORMAT,
            "same": self.same,
            "differences": [
                {"parameters": list(each.parameters), "changes": [_change_data(change) for change in each.changes]}
                for each in self.parameters
            ],
            "plan": [_change_data(change) for change in self.whole],
            "removed": list(self.removed),
            "added": list(self.added),
        }


def compare(before: Plan, after: Plan) -> Differences:
    """What `after` does otherwise than `before`."""
    shapes, others = ({**dict(zip(plan.names, plan.shapes, strict=True))} for plan in (before, after))
    first, second = _Side(before), _Side(after)
    found: dict[tuple[object, ...], tuple[list[str], tuple[Change, ...]]] = {}
    pairs: dict[tuple[int, int], tuple[Change, ...]] = {}
    for name, shape in shapes.items():
        if name not in others:
            continue
        pair = first.group(name), second.group(name)
        if pair not in pairs:
            pairs[pair] = _changes(first, pair[0], second, pair[1])
        changes = pairs[pair]
        if shape != others[name]:
            changes = (Change("shape", list(shape), list(others[name])), *changes)
        if changes:
            key = tuple((change.key, repr(change.before), repr(change.after), change.parting) for change in changes)
            found.setdefault(key, ([], changes))[0].append(name)
    whole = [
        Change(key, _whole(before, key), _whole(after, key))
        for key in ("clip", "loss_scale", "accumulate")
        if getattr(before, key) != getattr(after, key)
    ]
    return Differences(
        tuple(Difference(tuple(names), changes) for names, changes in found.values()),
        tuple(whole),
        tuple(name for name in shapes if name not in others),
        tuple(name for name in others if name not in shapes),
    )


def _whole(plan: Plan, key: str) -> str | int:
    value = getattr(plan, key)
    return value if isinstance(value, int) else "none" if value is None else str(value)


def difference_text(found: Differences, before: Plan, after: Plan, *, colour: bool = False) -> str:
    """The differences in blocks: how many and which parameters, and below them what changes."""
    blocks = []
    for each in found.parameters:
        head = f"{counted(len(each.parameters), 'parameter')}: {listed(each.parameters, before.names, _NAMES)}"
        blocks.append([_head(head, colour=colour), *_lines(each.changes, colour=colour)])
    for what, names, plan in (("only in the first", found.removed, before), ("only in the second", found.added, after)):
        if names:
            head = f"{counted(len(names), 'parameter')} {what}: {listed(names, plan.names, _NAMES)}"
            blocks.append([_head(head, colour=colour)])
    if found.whole:
        blocks.append([_head("the whole plan", colour=colour), *_lines(found.whole, colour=colour)])
    return "\n\n".join("\n".join(block) for block in blocks)


class _Side:
    """One of the two plans, with what is asked of each of its groups once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._group_of = {name: plan.cases[case].group for name, case in zip(plan.names, plan.case_of, strict=True)}

    def group(self, name: str) -> int:
        return self._group_of[name]

    def facts(self, number: int) -> tuple[Group, dict[str, Any]]:
        group = self.plan.groups[number]
        return group, settings_of(group, self.plan.target)


def _changes(first: _Side, before: int, second: _Side, after: int) -> tuple[Change, ...]:
    """How a parameter of group `before` differs in group `after`; -1 for one that stays out."""
    if before < 0 or after < 0:
        if before == after:
            return ()
        group, _ = first.facts(before) if before >= 0 else second.facts(after)
        sides = (None, group.optimizer) if before < 0 else (group.optimizer, None)
        return Change("frozen", before < 0, after < 0), Change("optimizer", *sides)
    (old, olds), (new, news) = first.facts(before), second.facts(after)
    changes = []
    if old.optimizer != new.optimizer:
        changes.append(Change("optimizer", old.optimizer, new.optimizer))
    # what only the one optimizer has follows from the optimizers; an option may be left out by one that has it
    keys = [key for key in olds if key in news] if old.optimizer != new.optimizer else dict.fromkeys([*olds, *news])
    # 1 and true are equal, and not the same
    changes += [Change(k, olds.get(k), news.get(k)) for k in keys if written(olds.get(k)) != written(news.get(k))]
    curves, others = old.schedule, new.schedule
    texts, further = policy_texts(first.plan, before), policy_texts(second.plan, after)
    for key in dict.fromkeys([*curves, *others]):
        if curves.get(key) == others.get(key):
            continue
        said, then = texts.get(key), further.get(key)
        if said == then:
            # the same words over another horizon
            said, then = str(curves[key]), str(others[key])
        changes.append(Change(f"schedule.{key}", said, then, _parting(first, before, second, after, key)))
    return tuple(changes)


def _parting(first: _Side, before: int, second: _Side, after: int, key: str) -> Parting | None:
    """How the schedules of `key` part; None where one of the optimizers does not have it."""
    (old, _), (new, _) = first.facts(before), second.facts(after)
    try:
        own, other = old.own(key), new.own(key)
    except KeyError:
        return None
    curve, twin = old.schedule.get(key), new.schedule.get(key)
    updates = common_updates(first.plan.horizon, second.plan.horizon, curve, twin)
    return parting(curve, own, twin, other, updates)


def _head(text: str, *, colour: bool) -> str:
    count, colon, names = text.partition(":")
    lines = wrapped(f"{count}{colon}{names}", _WIDTH, "    ")
    lines[0] = painted(count, BOLD, colour=colour) + lines[0][len(count) :]
    return "\n".join(lines)


def _lines(changes: tuple[Change, ...], *, colour: bool) -> list[str]:
    """A line for each change, two where it is long."""
    keys = aligned([(f"  {change.key}", "") for change in changes])
    margin = max(map(len, keys)) + 2
    lines = []
    for key, change in zip(keys, changes, strict=True):
        old, new = _sides(change)
        lead = key.ljust(margin)
        if margin + len(old) + len(new) + 4 <= _WIDTH:
            lines.append(lead + painted(old, DIM, colour=colour) + " -> " + new)
        else:
            lines += wrapped(lead + old, _WIDTH, " " * margin)
            lines += wrapped(" " * (margin - 3) + "-> " + new, _WIDTH, " " * margin)
        if change.parting is not None:
            lines += wrapped(" " * margin + str(change.parting), _WIDTH, " " * margin)
    return lines


def _sides(change: Change) -> tuple[str, str]:
    """Both values, numbers as short as tells them apart."""
    sides = [tuple(value) if isinstance(value, list) else value for value in (change.before, change.after)]
    if any(value is None or isinstance(value, bool) for value in sides):
        old, new = ("none" if value is None else written(value) for value in sides)
    else:
        texts = told_apart(sides, 6)
        old, new = (texts[value] for value in sides)
    return old, new


def _change_data(change: Change) -> dict[str, Any]:
    data = {"key": change.key, "before": change.before, "after": change.after}
    return data if change.parting is None else data | {"parting": asdict(change.parting)}
