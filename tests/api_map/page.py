"""The page of the documentation with the whole map; `python -m tests.api_map.page` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optplan.api_map import (
    VERDICTS,
    Pair,
    Row,
    arguments,
    canonical,
    lone_arguments,
    optimizer_classes,
    pairs,
    rows,
    variant,
)
from optplan.catalog import catalog
from optplan.counterparts import counterparts
from optplan.report.mapped import NO_KEY, argument_text, figure_text, is_option, verdict_text
from optplan.report.notation import written

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

HEAD = """\
# The optimizers of PyTorch and MindSpore, name by name

For each optimizer, each of its arguments, each method and attribute of the base classes and each scheduler: what it is
in the other framework, and what stands for it here. `optplan help torch.optim.SGD` prints a part of this page, and so
does any other name on it, of either framework.

- **the same**: it does the same. Tests train with both and compare the weights.
- **different**: it says how. Where two optimizers differ, the figures say how far weights come apart.
- **none**: there is nothing like it; what stands behind it says why, or what is done there.
- **not measured**: it does not run on a CPU, and nothing is claimed.

A figure is the largest |a - b| / max(|a|, rms of the tensor that a is in) after 50 updates with the same gradients.
`plain` gradients are ordinary; `mixed` ones span nine decades and have exact zeros. Both classes have torch's defaults;
where they are the same, the figure is the largest of all their settings. PyNative and Graph mode agree where nothing
else is said. [The table of schedulers](schedulers.md) has their policies.

On this page: [optimizers](#optimizers), [their arguments](#arguments-of-optimizers),
[methods, attributes and functions](#methods-attributes-and-functions), [schedulers](#schedulers).
"""

ARGUMENTS = """\
A document has torch's names beside `type`, in both frameworks. `params` are the groups that `rules:` makes: in torch
tensors, pairs of a name and a tensor, or groups with any key of the class; in `mindspore.nn` parameters, of which those
with `beta` or `gamma` in their names are spared the decay by all but AdaFactor and FTRL, or groups with `params`, `lr`,
`weight_decay`, `grad_centralization` and `order_params` alone; in the other two of MindSpore parameters, or groups with
any key of the class. What says how torch computes, and changes no number, no class of MindSpore has:
"""


def page() -> str:
    """The text of the page."""
    lines = [HEAD, "## Optimizers", "", *_table("torch | MindSpore | | plain | mixed", map(_pair, pairs()))]
    lines += ["", "Without counterpart:", ""]
    lines += _table("optimizer | why | in a document", _alone())
    lines += ["", "## Arguments of optimizers", "", ARGUMENTS, *_options(), ""]
    for torch in dict.fromkeys(pair.torch for pair in pairs()):
        lines += _arguments(torch, [pair for pair in pairs() if pair.torch == torch])
    for name in optimizer_classes():
        if name in rows():
            lines += [f"### `{name}`", "", *_table("argument | in a document", _lone(name)), ""]
    lines += ["## Methods, attributes and functions", ""]
    owners = dict.fromkeys(
        placed(row)[0]
        for each in rows().values()
        for row in each
        if row.name not in (*optimizer_classes(), *counterparts())
    )
    for owner in owners:
        lines += [f"### `{owner}`", ""]
        lines += [*_table("name | in the other framework | here", _members(owner)), ""]
    lines += ["## Schedulers", ""]
    lines += _table("scheduler | in the other framework | policy", _schedulers())
    return "\n".join(lines) + "\n"


def _table(head: str, body: Iterator[str]) -> Iterator[str]:
    yield f"| {head} |"
    yield f"|{' --- |' * (head.count('|') + 1)}"
    yield from body


def _pair(pair: Pair) -> str:
    how = f": {pair.how}" if pair.how else ""
    return f"| `{pair.torch}` | `{pair.mindspore}` | **{VERDICTS[pair.verdict]}**{how} | {_figures(pair)} |"


def _figures(pair: Pair) -> str:
    if pair.figures is None:
        return " | "
    given = "".join(f"; {key}={written(value)}" for key, value in pair.at.items())
    halves = [[pair.figures.plain, pair.figures.mixed]]
    halves += [[pair.graph.plain, pair.graph.mixed]] if pair.graph is not None else []
    cells = ["; Graph ".join(figure_text(each) for each in half) for half in zip(*halves, strict=True)]
    return " | ".join(cell + given for cell in cells)


def _alone() -> Iterator[str]:
    for name in optimizer_classes():
        for row in rows().get(name, ()):
            own, kind = variant(name, catalog()), canonical(name, catalog())
            types = ", ".join(f"`type: {each.name}`" for each in (own, kind) if each is not None)
            yield f"| `{name}` | {row.how} | {row.here or types} |"


def _options() -> Iterator[str]:
    """What every class of torch may have, and no class of MindSpore."""
    found = {each.torch: each for pair in pairs() for each in arguments(pair, catalog()) if is_option(each)}
    body = (f"| `{name}` | {argument_text(each, 'torch.optim')} | {each.key} |" for name, each in found.items())
    yield from _table("torch | MindSpore | in a document", body)


def _arguments(torch: str, others: list[Pair]) -> Iterator[str]:
    """The arguments of a class of torch, with a column for each counterpart."""
    yield f"### `{torch}`"
    yield ""
    by_class = [{each.torch: each for each in arguments(pair, catalog())} for pair in others]
    heads = " | ".join(f"`{pair.mindspore.removeprefix('mindspore.')}`" for pair in others)
    body = (
        f"| `{name}` | {' | '.join(argument_text(each[name], torch) for each in by_class)} |"
        for name, first in by_class[0].items()
        if name not in (None, "params") and not is_option(first)
    )
    yield from _table(f"torch | {heads}", body)
    yield ""
    alone: dict[str, list[str]] = {}
    for pair in others:
        for each in arguments(pair, catalog()):
            if each.torch is None:
                text = f"`{each.mindspore[0]}`: {argument_text(each, pair.mindspore)}"
                alone.setdefault(text, []).append(f"`{pair.mindspore.removeprefix('mindspore.')}`")
    yield from (f"- {text} ({', '.join(classes)})" for text, classes in alone.items())
    if alone:
        yield ""


def _lone(name: str) -> Iterator[str]:
    for each in lone_arguments(name, catalog()):
        called = ", ".join((each.torch or "", *each.mindspore)).strip(", ")
        yield f"| `{called}` | {each.key or NO_KEY} |"


def placed(row: Row) -> tuple[str, str]:
    """Under which heading a row stands, and as what: the functions of torch.optim's modules stand together."""
    module, _, last = row.owner.rpartition(".")
    return (module, f"{last}.{row.short}") if last == row.short else (row.owner, row.short)


def _members(owner: str) -> Iterator[str]:
    """The names of a class or module; those of which the same is said in one row."""
    found: dict[str, list[str]] = {}
    for name, each in rows().items():
        for row in each:
            if placed(row)[0] == owner and name not in (*optimizer_classes(), *counterparts()):
                found.setdefault(f"{verdict_text(row)} | {row.here}", []).append(f"`{placed(row)[1]}`")
    yield from (f"| {', '.join(names)} | {text} |" for text, names in found.items())


def _schedulers() -> Iterator[str]:
    """Each scheduler of torch with each counterpart, and what has none."""
    for name, each in rows().items():
        for row in each:
            if name in counterparts() and (name.startswith("torch.") or row.other is None):
                yield f"| `{name}` | {verdict_text(row)} | {row.here} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
