"""The page of the documentation with the whole table; `python -m tests.schedulers.page` writes it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from optplan.counterparts import COMPUTES, counterparts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.counterparts import Form

PAGE = Path(__file__).parents[2] / "docs" / "schedulers.md"

HEAD = """\
# Schedulers of frameworks, and the policies with their values

For each scheduler of PyTorch, of MindSpore and of transformers' `get_scheduler`: the
[policy](../grammar/README.md#schedules) with the same value at every update, or why there is none.
`optplan help policies` prints this table, `optplan help torch.optim.lr_scheduler.StepLR` one of its rows, and the tests
run each row beside the scheduler for 500 updates.

A name in the call is the same number in the policy: an argument there, an entry under `let` here. The parameter's own
value, `1x`, is the optimizer's `lr` unless the row says otherwise. A scheduler that is stepped once per epoch is the
same policy with `per epoch` behind it, in parentheses where it has several phases. After its end a policy keeps its
last value. The last column tells how the scheduler computes its values:
"""


def page() -> str:
    """The text of the page."""
    lines = [HEAD, *(f"- {word}: {text}." for word, text in COMPUTES.items())]
    for library, group in groupby(counterparts().values(), key=lambda each: each.library):
        lines += ["", f"## `{library}`", "", "| call | policy | computes |", "| --- | --- | --- |"]
        lines += [
            f"| `{form.call}` | {'<br>'.join(_says(form))} | {_computes(form)} |"
            for each in group
            for form in each.forms
        ]
    return "\n".join(lines) + "\n"  # fmt: skip


def _says(form: Form) -> Iterator[str]:
    if form.policy is None:
        yield f"none: {form.reason}"
        return
    yield f"`{form.policy}`"
    if form.momentum is not None:
        yield f"`momentum`: `{form.momentum}`"
    if form.lr != "lr":
        yield f"`1x` is `{form.lr}`"
    for key, value in form.horizon.items():
        yield f"`{key}` of the horizon is `{value}`"
    if form.note:
        yield form.note


def _computes(form: Form) -> str:
    return "" if form.policy is None else form.computes


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
