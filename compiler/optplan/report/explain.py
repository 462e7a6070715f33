"""Why one parameter is treated as it is: the cascade line by line, and what it comes to.

Takes a plan and a name; everything is told from the plan alone, so a plan that was saved explains itself.  Values are
exact.  Schedules are tabulated at the updates where something begins or ends: 0, the phases' ends, the last update.
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING

from optplan.diagnostics import suggestion
from optplan.report.notation import (
    BOLD,
    CYAN,
    DIM,
    aligned,
    counted,
    number,
    painted,
    printable,
    wrapped,
    written,
)
from optplan.report.plans import policy_texts, settings_of
from optplan.report.recognised import recognised
from optplan.resolve.compound import Blend, Overlay, Product, inside
from optplan.resolve.curve import Chain, Epochs, Poly, Ramp
from optplan.resolve.stairs import Stairs, Steps
from optplan.targets.choose import framework, lowering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.catalog import Catalog
    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Group, Plan, Touch, Treatment

_WIDTH = 100
_MOST_POINTS = 12
_MOST_CHANGE = 32
_MOST_NEAR = 8


def explain(plan: Plan, name: str, catalog: Catalog, *, colour: bool = False) -> str:
    """The explanation of the parameter `name`, any of its names if it is tied; KeyError if there is none."""
    treatment = plan.parameter(name)
    group = plan.group_of(name)
    lines = [painted(printable(treatment.name), BOLD, colour=colour)]
    facts = [(topic, text) for topic, text in _facts(plan, treatment, group, catalog) if text]
    for topic, text in facts:
        lines += wrapped(f"  {topic:<9}  {printable(text)}", _WIDTH, " " * 13)
    for title, block in (
        ("cascade", _cascade(treatment.history)),
        ("values", _values(plan, treatment, group, catalog) if group else []),
        ("schedule", list(_schedule(plan, group, catalog)) if group else []),
        ("step", _step(plan) if group else []),
    ):
        if block:
            lines += ["", painted(title, CYAN, colour=colour), *(_dimmed(line, colour=colour) for line in block)]
    return "\n".join(lines)


def points(curve: Curve, steps: float | None) -> list[int]:
    """The updates at which `curve` is worth a look: 0, where its phases and stairs begin, its end, and the last one.

    Those before `steps`, where that is known, and at most twelve: the first ones and the last.
    """
    found = {0, *(ceil(t) for t in _breaks(curve))}
    if steps is not None:
        found = {t for t in found if t < steps} | {max(0, ceil(steps) - 1)}
    ordered = sorted(found)
    return ordered if len(ordered) <= _MOST_POINTS else [*ordered[: _MOST_POINTS - 1], ordered[-1]]


def _breaks(curve: Curve) -> Iterator[float]:
    match curve:
        case Ramp(duration=duration, start=start):
            yield max(0.0, duration - start)
        case Poly(duration=duration):
            yield duration
        case Stairs(every=every, duration=duration):
            count = _MOST_POINTS if duration is None else min(_MOST_POINTS, ceil(duration / every) - 1)
            yield from (every * place for place in range(1, count + 1))
        case Steps(at=at, duration=duration):
            yield from (drop for drop in at if duration is None or drop < duration)
        case Epochs(item=item, length=length, begin=begin):
            yield from (max(0.0, (ceil(t + begin) - begin) * length) for t in _breaks(item))
        case Chain(phases=phases, begins=begins):
            ends = (*begins[1:], float("inf"))
            for phase, begin, end in zip(phases, begins, ends, strict=True):
                yield begin
                yield from (begin + t for t in _breaks(phase) if begin + t < end)
        case Overlay() | Blend() | Product():
            yield from curve.breaks
            yield from (t for part in inside(curve) for t in _breaks(part))
        case _:
            yield from curve.breaks


def _facts(plan: Plan, treatment: Treatment, group: Group | None, catalog: Catalog) -> Iterator[tuple[str, str]]:
    shape = " x ".join(map(str, treatment.shape)) or "a scalar"
    yield "shape", f"{shape}, {counted(prod(treatment.shape), 'element')}"
    yield "tied to", ", ".join(treatment.aliases)
    if group is None:
        yield "frozen", _why_frozen(plan, treatment)
        return
    yield "group", f"{group.name}, {counted(len(group.parameters), 'parameter')}"
    yield "optimizer", _carried_out(plan, group, catalog)
    if treatment.name in plan.thawed:
        yield "thawed", "the network has its gradient switched off, and a rule switches it on"


def _why_frozen(plan: Plan, treatment: Treatment) -> str:
    """Which rule takes the parameter out, or that the network does."""
    rules = [touch for touch in treatment.history if touch.key == "freeze"]
    if treatment.name in plan.frozen and rules:
        last = rules[-1]
        return (
            f"by rule `{last.rule}`{f' at {last.source}:{last.line}' if last.line else ''}; nothing is computed for it"
        )
    return "the network has its gradient switched off; a rule with `freeze: false` would take it in"


def _carried_out(plan: Plan, group: Group, catalog: Catalog) -> str:
    """The optimizer, its native class on the plan's target, or on that which it is held against, and why that class."""
    if group.optimizer not in catalog.optimizers:
        return group.optimizer
    native = lowering(group, framework(plan, catalog), catalog)
    return group.optimizer if native is None else f"{group.optimizer}, as {native.class_name}: {native.reason}"


def _cascade(history: tuple[Touch, ...]) -> list[str]:
    """One line for each touch: key, before and after, rule, place."""
    rows = []
    for touch in history:
        change = touch.note
        if change is None:
            change = f"{_said(touch.before, touch.key)} -> {_said(touch.after, touch.key)}"
        place = f"{touch.source}:{touch.line}" if touch.line else touch.source
        rows.append((f"  {printable(touch.key)}", printable(change), printable(touch.rule), printable(place)))
    if not rows:
        return []
    # a long change stands below the line that says by whom, and of two policies each, for a chain has arrows of its own
    apart = [_policies(touch) for touch in history]
    short = [
        (key, "" if pair or len(change) > _MOST_CHANGE else change, rule, place)
        for pair, (key, change, rule, place) in zip(apart, rows, strict=True)
    ]
    lines = []
    for pair, (_, change, _, _), head in zip(apart, rows, aligned(short), strict=True):
        lines.append(head)
        if pair:
            before, after = (printable(written(policy)) for policy in pair)
            lines += [*wrapped(f"      {before}", _WIDTH, " " * 9), *wrapped(f"   -> {after}", _WIDTH, " " * 9)]
        elif len(change) > _MOST_CHANGE:
            lines += wrapped(f"      {change}", _WIDTH, " " * 9)
    return lines


def _policies(touch: Touch) -> tuple[object, object] | None:
    """The policy before and after, where one replaces another."""
    if touch.note is not None or not touch.key.startswith("schedule.") or None in (touch.before, touch.after):
        return None
    return touch.before, touch.after


def _said(value: object, key: str) -> str:
    if value is None and (key.startswith("schedule.") or "." in key):
        return "none"
    return written(value)


def _values(plan: Plan, treatment: Treatment, group: Group, catalog: Catalog) -> list[str]:
    """Every setting, exact; those that nothing set are marked as defaults."""
    touched = {touch.key.partition("[")[0] for touch in treatment.history if touch.note is None}
    known = group.optimizer in catalog.optimizers
    rows = [
        (f"  {printable(key)}", written(value), "" if key in touched or not known else "default")
        for key, value in settings_of(group, plan.target).items()
    ]
    return aligned(rows)


def _schedule(plan: Plan, group: Group, catalog: Catalog) -> Iterator[str]:
    texts = policy_texts(plan, plan.groups.index(group))
    for key, curve in group.curves:
        yield from wrapped(f"  {key}: {printable(texts[key])}", _WIDTH, " " * 6)
        target, own = framework(plan, catalog), group.settings.get("lr")
        if key == "lr" and isinstance(own, float) and (known := recognised(curve, target, own, plan.horizon.steps)):
            yield from wrapped(f"    the values of {known}", _WIDTH, " " * 6)
        own = group.own(key)
        rows = [("    update", f"{t:,}", number(curve.value(t, own), 6)) for t in points(curve, plan.horizon.steps)]
        yield from aligned(rows, frozenset({1}))
        if curve.waits is not None:
            begin, plateau = curve.waits
            line = f"    from update {ceil(begin):,} on times {plateau.gamma:g} at each reduction by `{plateau.metric}`"
            yield f"{line}, which the training loop reports"


def _step(plan: Plan) -> list[str]:
    """What the whole plan does with a loss and its gradients before an update, and where that stands."""
    rows = [("  accumulate", f"{plan.accumulate} batches make one update", "")] if plan.accumulate > 1 else []
    for topic, part in (("clip", plan.clip), ("loss scale", plan.loss_scale)):
        if part is not None:
            place = part.origin
            where = "" if place is None else f"{place.source}:{place.line}" if place.line else place.source
            rows.append((f"  {topic}", str(part), printable(where)))
    return aligned(rows) if rows else []


def _dimmed(line: str, *, colour: bool) -> str:
    """The line with its mark as a default dimmed."""
    body = line.removesuffix("  default")
    return line if body == line else body + painted("  default", DIM, colour=colour)


def unknown_parameter(plan: Plan, name: str) -> str | None:
    """What to say where the plan has no parameter `name`: what lies below a module of that name, else near ones."""
    names = dict.fromkeys([*plan.names, *plan.aliases])
    if name in names:
        return None
    below = [each for each in names if each.startswith(f"{name}.")]
    more = f" and {len(below) - _MOST_NEAR:,} more" if len(below) > _MOST_NEAR else ""
    cure = f"below it are {', '.join(below[:_MOST_NEAR])}{more}" if below else suggestion(name, names)
    lines = [f"error: the network has no parameter `{printable(name)}`"]
    return "\n".join(lines + ([f"   = help: {printable(cure)}"] if cure else []))
