"""A plan as a table: the groups, one a line, and below them what they have in common.

A column is `lr` or a setting in which groups differ; a setting that all groups of an optimizer share, and that is not
the optimizer's default, is told once below.  So is a policy: in the table stand the keys that have one, marked `a`,
`b`, ... where a key has several.  `#` is the group's place among the optimizer's groups.

    3 groups for torch, 32 parameters, 106,752 elements; 5,000 updates

    #  group     optimizer  parameters   numel  lr    weight_decay
    -  --------  ---------  ----------  ------  ----  ------------
    0  default   adamw              10   4,000  3e-4  0.05
    ...
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.report.notation import (
    BOLD,
    DIM,
    aligned,
    counted,
    listed,
    painted,
    printable,
    shortened,
    told_apart,
    wrapped,
    written,
)
from optplan.report.recognised import recognised
from optplan.targets.choose import framework, lowering

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Group, Plan, Setting
    from optplan.resolve.training import LossScale

WIDTH = 100
_NARROWEST = 16
_LIMITED = {"norm": "by the norm of all gradients together", "value": "each element of a gradient"}
_STILL = "frozen in the network itself; a rule with `freeze: false` takes them in"
# columns that every plan has: place, name, optimizer, parameters, numel
_FIRST = 5
_NAMES = 4


@dataclass(frozen=True, slots=True)
class Remark:
    """A line below the table: what it is about, of what, and the text."""

    topic: str
    of: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """What both faces show; the cells in `right` (columns by number) are numbers that end under each other."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None
    right: frozenset[int]
    remarks: tuple[Remark, ...]


def plan_table(plan: Plan, *, width: int = WIDTH, most: int | None = 40, colour: bool = False) -> str:
    """The plan in lines of at most `width` characters; of more than `most` groups the middle ones are only counted.

    A name too long for its column is cut in its middle.
    """
    table = _table(plan)
    if not table.rows:
        lines = [table.title]
    else:
        lines = [painted(table.title, BOLD, colour=colour), ""]
        head, rule, *rows = _grid(table, width)
        total = rows.pop() if table.total is not None else None
        lines += [painted(head, BOLD, colour=colour), painted(rule, DIM, colour=colour)]
        if most is not None and len(rows) > most:
            shown = most // 2
            rows[shown:-shown] = [f"... {len(rows) - 2 * shown:,} more groups"]
        lines += rows
        lines += [painted(rule, DIM, colour=colour), total] if total is not None else []
    if table.remarks:
        lines.append("")
        cells = aligned([(remark.topic, remark.of, "") for remark in table.remarks])
        margin = max(map(len, cells)) + 2
        for cell, remark in zip(cells, table.remarks, strict=True):
            first, *more = wrapped(cell.ljust(margin) + remark.text, width, " " * margin)
            lines += [painted(first[:margin], DIM, colour=colour) + first[margin:], *more]
    return "\n".join(lines)


def plan_html(plan: Plan) -> str:
    """The plan as an HTML table, for notebooks; every name and value is escaped."""
    table = _table(plan)

    def cells(row: Sequence[str], tag: str) -> str:
        aligns = ("right" if place in table.right else "left" for place in range(len(row)))
        return "".join(
            f'<{tag} style="text-align:{align}">{escape(cell)}</{tag}>' for cell, align in zip(row, aligns, strict=True)
        )

    parts = ["<div>", f"<p>{escape(table.title)}</p>"]
    if table.rows:
        parts.append(f"<table><thead><tr>{cells(table.head, 'th')}</tr></thead><tbody>")
        parts += [f"<tr>{cells(row, 'td')}</tr>" for row in table.rows]
        foot = "" if table.total is None else f"<tfoot><tr>{cells(table.total, 'th')}</tr></tfoot>"
        parts.append(f"</tbody>{foot}</table>")
    for remark in table.remarks:
        about = " ".join(filter(None, (remark.topic, remark.of)))
        parts.append(f"<p><b>{escape(about)}</b> {escape(remark.text)}</p>")
    return "\n".join([*parts, "</div>"])


def policy_texts(plan: Plan, group: int) -> dict[str, str]:
    """The policy of each scheduled key of a group, as the document has it where the plan remembers that."""
    curves = plan.groups[group].schedule
    texts = {}
    for case in plan.cases:
        if case.group == group:
            for touch in case.history:
                key = touch.key.removeprefix("schedule.")
                if touch.key != key and key in curves and touch.note is None:
                    texts[key] = str(touch.after)
            break
    return {key: texts.get(key, str(curve)) for key, curve in curves.items()}


def settings_of(group: Group, target: str | None) -> dict[str, Setting]:
    """The group's settings, and its options of the plan's framework as `torch.fused`; of all frameworks for None."""
    found = group.settings
    for name, options in group.options:
        if target in (None, name):
            found |= {f"{name}.{option}": value for option, value in options}
    return found


def _grid(table: Table, width: int) -> list[str]:
    """Head, rule, rows and total, within `width`: the group's name gives way first, then the last columns do.

    What those would have held follows in a line of its own below each row.
    """
    rows = [table.head, *table.rows, *([table.total] if table.total else [])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.head))]
    kept = len(widths)

    def beside() -> int:
        return sum(widths[:kept]) - widths[1] + 2 * (kept - 1)

    while kept > _FIRST + 1 and beside() + min(_NARROWEST, widths[1]) > width:
        kept -= 1
    widths[1] = min(widths[1], max(_NARROWEST, width - beside()))
    rows = [(row[0], shortened(row[1], widths[1]), *row[2:]) for row in rows]
    head, *lines = aligned([row[:kept] for row in rows], table.right)
    margin = " " * (widths[0] + 4)
    for place, row in enumerate(rows[1:]):
        more = [f"{key} {cell}" for key, cell in zip(table.head[kept:], row[kept:], strict=True) if cell]
        if more:
            lines[place] = "\n".join([lines[place], *wrapped(margin + ", ".join(more), width, margin)])
    return [head, "  ".join("-" * column for column in widths[:kept]), *lines]


def _table(plan: Plan) -> Table:
    target = plan.target
    settings = [settings_of(group, target) for group in plan.groups]
    columns = _columns(plan, settings)
    texts = {key: told_apart(each[key] for each in settings if key in each) for key in columns}
    schedules, policies = _schedules(plan)
    head = ["#", "group", "optimizer", "parameters", "numel", *columns]
    rows = []
    for place, (group, values, scheduled) in enumerate(zip(plan.groups, settings, schedules, strict=True)):
        cells = [texts[key][values[key]] if key in values else "" for key in columns]
        row = [
            str(place),
            printable(group.name),
            group.optimizer,
            f"{len(group.parameters):,}",
            f"{group.numel:,}",
            *cells,
        ]
        rows.append((*row, scheduled))
    if any(row[-1] for row in rows):
        head.append("schedule")
    else:
        rows = [row[:-1] for row in rows]
    count = sum(len(group.parameters) for group in plan.groups)
    total = None
    if len(rows) > 1:
        total = ("", "total", "", f"{count:,}", f"{plan.numel:,}", *("" for _ in head[_FIRST:]))
    known = None if plan.horizon.to_data() == dict.fromkeys(plan.horizon.to_data()) else str(plan.horizon)
    title = f"{counted(len(rows), 'group')}{f' for {target}' if target else ''}, {counted(count, 'parameter')}"
    title = f"{title}, {counted(plan.numel, 'element')}{f'; {known}' if known else ''}"
    remarks = (*policies, *_common(plan, settings, columns), *_classes(plan), *_outside(plan, count))
    return Table(title, tuple(head), tuple(rows), total, frozenset({0, 3, 4}), remarks)


def _columns(plan: Plan, settings: list[dict[str, Setting]]) -> list[str]:
    """`lr`, then what differs between groups that could have it, in the order of first mention.

    What is everywhere its own optimizer's default is no difference between groups.
    """
    having: dict[str, set[str]] = {}
    for group, each in zip(plan.groups, settings, strict=True):
        for key in each:
            having.setdefault(key, set()).add(group.optimizer)
    columns = ["lr"] if "lr" in having else []
    for key, optimizers in having.items():
        pairs = [pair for pair in zip(plan.groups, settings, strict=True) if pair[0].optimizer in optimizers]
        # an option that one group of an optimizer has and another lacks differs too
        texts = {written(each[key]) if key in each else "" for _, each in pairs}
        if key != "lr" and len(texts) > 1 and not all(_usual(group, key, each) for group, each in pairs):
            columns.append(key)
    return columns


def _usual(group: Group, key: str, settings: dict[str, Setting]) -> bool:
    """Whether the group has the default of its optimizer there."""
    kind = catalog().optimizers.get(group.optimizer)
    return kind is not None and key in kind.defaults and written(kind.defaults[key]) == written(settings.get(key))


def _schedules(plan: Plan) -> tuple[list[str], list[Remark]]:
    """The cell of each group, empty where all groups have the same policies, and the policies."""
    curves: dict[str, dict[Curve, str]] = {}
    for place, group in enumerate(plan.groups):
        texts = policy_texts(plan, place)
        for key, curve in group.curves:
            curves.setdefault(key, {}).setdefault(curve, texts[key])
    marks = {
        (key, curve): f" {_mark(place)}" if len(each) > 1 else ""
        for key, each in curves.items()
        for place, curve in enumerate(each)
    }
    stock = _stock(plan)
    remarks = []
    for key, each in curves.items():
        twice = len(set(each.values())) < len(each)
        for curve, text in each.items():
            # one text makes two curves where `base` stands for different ones
            said = printable(str(curve) if twice else text)
            call = stock.get(curve) if key == "lr" else None
            said += f"; the values of {call}" if call else ""
            remarks.append(Remark("schedule", key + marks[key, curve], said))
    if len({group.curves for group in plan.groups}) <= 1:
        return ["" for _ in plan.groups], remarks
    return [", ".join(key + marks[key, curve] for key, curve in group.curves) or "-" for group in plan.groups], remarks


def _stock(plan: Plan) -> dict[Curve, str]:
    """By the policy of a rate, the scheduler of the framework that has its values for each group under it."""
    calls: dict[Curve, set[tuple[str | None, Setting]]] = {}
    target, steps = framework(plan, catalog()), plan.horizon.steps
    for group in plan.groups:
        curve, own = group.schedule.get("lr"), group.settings.get("lr")
        if curve is not None:
            known = recognised(curve, target, own, steps) if isinstance(own, float) else None
            # transformers multiplies the rates of all groups by one number: an absolute end is that of one rate only
            alone = own if known and "transformers." in known and not curve.relative else None
            calls.setdefault(curve, set()).add((known, alone))
    return {curve: call for curve, ((call, _), *others) in calls.items() if call and not others}


def _mark(place: int) -> str:
    """`a` to `z`, then `a1`, `b1`, ..."""
    return chr(ord("a") + place % 26) + (str(place // 26) if place >= 26 else "")


def _common(plan: Plan, settings: list[dict[str, Setting]], columns: Iterable[str]) -> list[Remark]:
    """By optimizer, what is not its default and stands in no column."""
    shown = set(columns)
    remarks: dict[str, str] = {}
    for group, values in zip(plan.groups, settings, strict=True):
        told = [
            f"{key} {written(value)}"
            for key, value in values.items()
            if key not in shown and not _usual(group, key, values)
        ]
        if told:
            remarks.setdefault(group.optimizer, ", ".join(told))
    return [Remark("settings", optimizer, text) for optimizer, text in remarks.items()]


def _classes(plan: Plan) -> list[Remark]:
    """The classes that carry the groups out, and why these, where a framework's namesakes compute something else."""
    if plan.target != "mindspore":
        return []
    chosen = {}
    for group in plan.groups:
        by = lowering(group, plan.target, catalog()) if group.optimizer in catalog().optimizers else None
        if by is not None:
            chosen[group.optimizer, by.class_name] = by
    return [
        Remark("class", name, f"{by.class_name}: {by.reason}{_only(by.devices)}") for (name, _), by in chosen.items()
    ]


def _only(devices: Sequence[str]) -> str:
    return f"; runs on {' and '.join(devices)} only" if devices else ""


def _outside(plan: Plan, trained: int) -> list[Remark]:
    """What is not trained, what is trained against the network's own word, and what else a plan does."""
    remarks = []
    if plan.frozen:
        remarks.append(_names("frozen", plan.frozen, plan))
    if plan.thawed:
        remarks.append(_names("thawed", plan.thawed, plan))
    still = len(plan.names) - trained - len(plan.frozen)
    if still:
        remarks.append(
            Remark(
                "left out",
                counted(still, "parameter"),
                _STILL,
            )
        )
    if plan.accumulate > 1:
        remarks.append(Remark("accumulate", "", f"{plan.accumulate} batches make one update"))
    if plan.clip is not None:
        remarks.append(Remark("clip", "", f"{plan.clip}, {_LIMITED[plan.clip.kind]}"))
    if plan.loss_scale is not None:
        remarks.append(Remark("loss scale", "", f"{plan.loss_scale}{_peculiar(plan.loss_scale, plan.target)}"))
    if plan.diagnostics:
        remarks.append(Remark(counted(len(plan.diagnostics), "warning"), "", "`plan.diagnostics` has them"))
    return remarks


def _peculiar(scale: LossScale, target: str | None) -> str:
    """What MindSpore's own way of scaling a loss does otherwise than PyTorch's, where it matters."""
    if target != "mindspore" or (scale.kind == "fixed" and scale.drop_overflow):
        return ""
    if scale.kind == "fixed":
        return "; the optimizer itself takes it out of the gradients, by its argument `loss_scale`"
    if scale.init >= 1 and scale.growth.is_integer() and scale.backoff == 1 / scale.growth:
        return "; `mindspore.amp.DynamicLossScaler` stops at a floor of 1, where PyTorch has none"
    return "; a scaler of our own, since MindSpore's has a floor of 1, a whole growth and a backoff of 1 / growth"


def _names(topic: str, names: tuple[str, ...], plan: Plan) -> Remark:
    return Remark(topic, counted(len(names), "parameter"), listed(names, plan.names, _NAMES))
