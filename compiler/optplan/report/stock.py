"""What `help` says of stock schedulers: the policy that has the same values, or why there is none."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from optplan.counterparts import COMPUTES, counterparts
from optplan.report.mapped import schedulers_counterparts
from optplan.report.prose import prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.counterparts import Counterpart, Form


def known_schedulers() -> list[str]:
    """The full names, and those that are called otherwise too."""
    return [name for each in counterparts().values() for name in (each.name, *each.also)]


def schedulers_list() -> str:
    """Every stock scheduler and the policy of its usual call, library by library."""
    parts = ["Schedulers of frameworks, and the policies with the same values, their arguments by the names there:"]
    for library, group in groupby(counterparts().values(), key=lambda each: each.library):
        parts.append(f"{library}\n{table((each.short, _usual(each)) for each in group)}")
    return "\n\n".join(parts)


def scheduler_pages(topic: str) -> Iterator[str]:
    """A page for each stock scheduler that `topic` names, by its full name or by the last part of it."""
    for each in counterparts().values():
        if each.answers(topic):
            shown = topic if topic in each.also else each.name
            page = [f"scheduler `{shown}`", *(_form(form) for form in each.forms), schedulers_counterparts(each.name)]
            yield "\n\n".join(part for part in page if part)


def _usual(scheduler: Counterpart) -> str:
    first = scheduler.forms[0]
    return first.policy or f"none: {first.reason.partition(':')[0]}"


def _form(form: Form) -> str:
    lines = [prose(form.call)]
    if form.policy is None:
        return "\n".join([*lines, prose(f"none: {form.reason}", "  ")])
    lines += [prose(f"lr: {form.policy}", "    ")]
    if form.momentum is not None:
        lines += [prose(f"momentum: {form.momentum}", "    ")]
    if form.lr != "lr":
        lines.append(prose(f"The parameter's own value is `{form.lr}`.", "  "))
    if form.horizon:
        said = ", ".join(f"{key}: {value}" for key, value in form.horizon.items())
        lines.append(prose(f"The horizon is `{{{said}}}`.", "  "))
    lines.append(prose(f"Computed there {COMPUTES[form.computes]}.", "  "))
    if form.note:
        lines.append(prose(form.note, "  "))
    return "\n".join(lines)
