"""What `help` says of names of the frameworks: the counterpart in the other one, and what stands in a document.

A topic is a full name (`torch.optim.Optimizer.add_param_group`), the end of one (`Optimizer.add_param_group`), an
argument or inherited method behind an optimizer's name (`torch.optim.SGD.momentum`, `mindspore.nn.Adam.get_lr`), or a
module (`torch.optim`).  What stands in a program is made one of these by `optplan.report.spelling`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from optplan.api_map import (
    REQUIRED,
    VERDICTS,
    Argument,
    Pair,
    Row,
    arguments,
    canonical,
    lone_arguments,
    optimizer_classes,
    own_key,
    pairs,
    rows,
    variant,
)
from optplan.counterparts import counterparts
from optplan.report.notation import number, written
from optplan.report.prose import prose, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optplan.catalog import Catalog, OptimizerType

NO_KEY = "no key of a document"
CELL = "mindspore.nn.Cell"
# The classes that optimizers and schedulers of each library inherit from, the nearest first.
BASES = {
    "torch.optim": ("torch.optim.Optimizer",),
    "mindspore.nn": ("mindspore.nn.Optimizer", CELL),
    "mindspore.experimental.optim": ("mindspore.experimental.optim.Optimizer", CELL),
    "mindspore.mint.optim": ("mindspore.experimental.optim.Optimizer", CELL),
    "torch.optim.lr_scheduler": ("torch.optim.lr_scheduler.LRScheduler",),
    "torch.optim.swa_utils": ("torch.optim.lr_scheduler.LRScheduler",),
    "mindspore.experimental.optim.lr_scheduler": ("mindspore.experimental.optim.lr_scheduler.LRScheduler",),
}
SCHEDULE = "mindspore.nn.learning_rate_schedule.LearningRateSchedule"
# A column of names up to this wide leaves room for what is said of them.
_NARROW = 24


def known_names() -> list[str]:
    """Every full name of the map, for help with one that is not in it."""
    return [*optimizer_classes(), *rows()]


def classes_and_members() -> list[str]:
    """Every full name but those of functions that are a class anew, as `torch.optim.sgd.sgd` is."""
    names = dict.fromkeys(known_names())
    return [name for name in names if not name.endswith(".{0}.{0}".format(name.rpartition(".")[2]))]


def mapped_pages(topic: str, catalog: Catalog) -> Iterator[str]:
    """A page for each name of the frameworks that `topic` is."""
    for name in optimizer_classes():
        if _is(topic, name):
            yield class_page(name, catalog)
    # a scheduler has a page of its own, and what any Cell has is told behind a name
    apart = {*optimizer_classes(), *counterparts(), *(() if "." in topic else _of_any_cell())}
    found = [name for name in rows() if _is(topic, name) and name not in apart]
    yield from (_row_page(name) for name in found)
    if "." not in topic:
        yield from _argument_page(topic, catalog)
    if not found:
        yield from _within(topic, catalog)
        modules = dict.fromkeys(owner for owner in map(_owner, classes_and_members()) if owner not in rows())
        yield from (_module_page(each) for each in modules if _is(topic, each) and each not in optimizer_classes())


def namesakes(word: str) -> str:
    """The classes and members that a word of the language is called as well, in whatever letters; empty if none."""
    apart = {*counterparts(), *_of_any_cell()}
    names = [name for name in classes_and_members() if name.rpartition(".")[2].lower() == word.lower()]
    names = [name for name in names if name not in apart]
    if not names:
        return ""
    how = f"`optplan help {names[0]}` says how it differs and what stands here."
    return f"in the frameworks\n{_index(names)}\n{prose(how)}"


def schedulers_counterparts(name: str) -> str:
    """What is said of a scheduler below its policies: what it is in the other framework."""
    return "\n".join(prose(f"In {_other(name)}: {verdict_text(row)}.") for row in rows().get(name, ()))


def class_page(name: str, catalog: Catalog) -> str:
    """All of an optimizer: its counterparts, and each argument."""
    own, kind = variant(name, catalog), canonical(name, catalog)
    page = [f"`{name}` in {_other(name)}"]
    page += [
        f"{prose(f'{pair.across(name)}: {pair_text(pair)}')}\n{_arguments(pair, name, catalog)}"
        for pair in pairs()
        if name in (pair.torch, pair.mindspore)
    ]
    for row in rows().get(name, ()):
        page.append(prose(f"None: {row.how}."))
        listed = [(_called(each, name), each.key or NO_KEY) for each in lone_arguments(name, catalog)]
        page.append("arguments\n" + table(listed))
        if row.here:
            page.append(prose(f"optplan: {row.here}."))
            own = None
    types = [f"`type: {own.name}`, which is this class"] if own is not None else []
    if kind is not None:
        both = "both" if "mindspore" in kind.lowerings else "torch alone"
        types.append(f"`type: {kind.name}`, which has torch's formula and names, in {both}")
    if types:
        page.append(prose(f"In a document: {'; or '.join(types)}."))
    return "\n\n".join(page)


def class_of(kind: OptimizerType) -> str:
    """Of an optimizer that is a class of MindSpore with a counterpart: where that is told; empty of all others."""
    name = f"mindspore.nn.{kind.name.partition('.')[2]}"
    if name not in {pair.mindspore for pair in pairs()}:
        return ""
    how = "what its arguments are in torch, and under `params` which names the class itself spares the decay"
    return prose(f"`optplan help {name}` says {how}; groups of `rules:` spare none.")


def pair_text(pair: Pair) -> str:
    """The verdict on two optimizers, how they differ, and what was measured."""
    said = VERDICTS[pair.verdict] + (f": {pair.how}." if pair.how else ".")
    if pair.figures is None:
        return said
    given = "".join(f" with {key}={written(value)}" for key, value in pair.at.items())
    most = "at most " if pair.verdict == "same" else ""
    said += f" After 50 updates{given} weights differ by {most}{figure_text(pair.figures.plain)}, "
    said += f"and where gradients span nine decades by {figure_text(pair.figures.mixed)}"
    if pair.graph is not None:
        said += f"; in Graph mode by {figure_text(pair.graph.plain)} and {figure_text(pair.graph.mixed)}"
    return f"{said}."


def figure_text(value: float | None) -> str:
    """A figure to two digits."""
    return "nan" if value is None else number(value, 2)


def verdict_text(row: Row) -> str:
    """The verdict of a row, its counterpart, and how they differ."""
    if row.other is None:
        return f"none{f': {row.how}' if row.how else ''}"
    said = f"`{row.other}`, {VERDICTS[row.verdict]}" + (f": {row.how}" if row.how else "")
    return said + (f"; `{row.call}` has its values" if row.call else "")


def is_option(argument: Argument) -> bool:
    """Whether it says how torch computes, and changes no number."""
    return argument.key.endswith("under `torch:`")


def argument_text(argument: Argument, name: str) -> str:
    """What an argument of the class `name` is in the other framework, and what its default is there."""
    framework, across = ("torch", "mindspore") if name.startswith("torch.") else ("mindspore", "torch")
    there = argument.names(across)
    if not there:
        return f"none: {argument.how}"
    said = " and ".join(f"`{each}`" for each in there)
    called = "" if there == argument.names(framework) else f"{said}, "
    bounds = [argument.bounds] if argument.bounds else []
    if argument.how:
        return "; ".join([f"{called}{VERDICTS[argument.verdict]}: {argument.how}", *bounds])
    if argument.alike and argument.verdict == "different":
        torch, mindspore = argument.defaults
        but = [] if torch == mindspore else [f"{_default(mindspore)} in MindSpore and {_default(torch)} in torch"]
        return f"{called}the same, but {'; '.join([*but, *bounds])}"
    return called + VERDICTS[argument.verdict]


def _arguments(pair: Pair, name: str, catalog: Catalog) -> str:
    framework = "torch" if name == pair.torch else "mindspore"
    here = [each for each in arguments(pair, catalog) if each.names(framework)]
    listed = [each for each in here if not is_option(each)]
    lines = [table((_called(each, name), f"{argument_text(each, name)}{_written(each)}") for each in listed)]
    options = [each.torch or "" for each in here if is_option(each)]
    if options:
        lines.append(prose(f"Of torch alone, and in a document under `torch:`, are {', '.join(options)}.", "  "))
    across = "mindspore" if framework == "torch" else "torch"
    missing = [each.names(across) for each in arguments(pair, catalog) if not each.names(framework)]
    if missing:
        only = ", ".join(each for names in missing for each in names)
        lines.append(prose(f"Of {_other(name)} alone: {only}.", "  "))
    return "\n".join(lines)


def _written(argument: Argument) -> str:
    """Where in a document it is, if not under torch's name beside `type`."""
    return "" if argument.key == f"`{argument.torch}`" else f"; here {argument.key}"


def _called(argument: Argument, name: str) -> str:
    return ", ".join(argument.names("torch" if name.startswith("torch.") else "mindspore"))


def _row_page(name: str) -> str:
    """A member, a function or a class that is no optimizer; of a class also its members."""
    page = [f"`{name}`"]
    for row in rows()[name]:
        page.append(prose(f"In {_other(name)}: {verdict_text(row)}."))
        if row.here:
            page.append(prose(f"optplan: {row.here}."))
    inside = [row for each in rows().values() for row in each if row.owner == name]
    # optimizers and schedulers have pages of their own
    apart = [row.short for row in inside if row.name in (*optimizer_classes(), *counterparts())]
    members = [(row.short, verdict_text(row)) for row in inside if row.short not in apart]
    if members:
        page.append(_listed(members))
    if apart:
        page.append(prose(f"Each with a page of its own: {', '.join(dict.fromkeys(apart))}."))
    return "\n\n".join(page)


def _module_page(name: str) -> str:
    """What a module has, each with its counterparts."""
    names = dict.fromkeys(each for each in known_names() if _owner(each) == name)
    return f"`{name}` in {_other(name)}\n\n{_index(names)}"


def _index(names: Iterable[str]) -> str:
    """Names, and beside each its counterparts with the verdicts, without more."""
    found = []
    for name in names:
        said = [
            f"{pair.across(name)}, {VERDICTS[pair.verdict]}" for pair in pairs() if name in (pair.torch, pair.mindspore)
        ]
        said += [f"{row.other}, {VERDICTS[row.verdict]}" if row.other else "none" for row in rows().get(name, ())]
        found.append((name, "; ".join(said)))
    return _listed(found)


def _argument_page(word: str, catalog: Catalog) -> Iterator[str]:
    """What an argument of MindSpore's optimizers is called in torch, if it has another name there."""
    found: dict[str, list[str]] = {}
    for pair in pairs():
        for each in arguments(pair, catalog):
            if each.torch not in (None, word) and word in each.mindspore:
                found.setdefault(f"`{each.torch}`", []).append(pair.mindspore)
    if found:
        said = [(torch, ", ".join(dict.fromkeys(classes))) for torch, classes in found.items()]
        yield f"argument `{word}` of optimizers of MindSpore, in torch and in a document\n\n{table(said)}"


def _listed(items: Sequence[tuple[str, str]]) -> str:
    """Names beside what is said of them, or above it where they are long."""
    if max(len(name) for name, _ in items) <= _NARROW:
        return table(items)
    return "\n".join(f"  {name}\n{prose(text, '    ')}" for name, text in items)


@cache
def _of_any_cell() -> frozenset[str]:
    return frozenset(name for name in rows() if _owner(name) == CELL)


def _bases(name: str) -> tuple[str, ...]:
    """The classes that a class inherits from."""
    if name in counterparts() and _owner(name) == "mindspore.nn":
        return (SCHEDULE,)
    known = BASES.get(_owner(name), ())
    return known[known.index(name) + 1 :] if name in known else known


def _within(topic: str, catalog: Catalog) -> Iterator[str]:
    """An argument of an optimizer, or what it or a scheduler inherits."""
    name, _, last = topic.rpartition(".")
    bases = ("mindspore.nn.Optimizer", "mindspore.experimental.optim.Optimizer")
    known = [each for each in (*optimizer_classes(), *counterparts(), *bases) if name and _is(name, each)]
    for each in known:
        lines = []
        for pair in pairs():
            if each in (pair.torch, pair.mindspore):
                for argument in arguments(pair, catalog):
                    if last in argument.names("torch" if each == pair.torch else "mindspore"):
                        said = f"{pair.across(each)}: {argument_text(argument, each)}."
                        # another meaning has the class itself, by a name of its own
                        own = own_key(each, last, catalog) if argument.how else ""
                        own = f", or {own}, which is this class" if own and own not in argument.key else ""
                        lines += [prose(said), prose(f"In a document: {argument.key}{own}.", "  ")]
        if lines:
            yield "\n\n".join([f"argument `{last}` of `{each}`", "\n".join(lines)])
        elif inherited := next((base for base in _bases(each) if f"{base}.{last}" in rows()), None):
            yield _row_page(f"{inherited}.{last}")


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _is(topic: str, name: str) -> bool:
    """Whether `topic` is this name, or the end of it."""
    return name == topic or name.endswith(f".{topic}")


def _other(name: str) -> str:
    return "MindSpore" if name.startswith("torch.") else "torch"


def _default(value: Any) -> str:
    return REQUIRED if value == REQUIRED else f"{written(value)} by default"
