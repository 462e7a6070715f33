"""One document from several files and single values: `extends` and `--set`.

The files that `extends` names are read first, each once, from inside the first file's directory tree.  Mappings merge
key by key; rules are appended, and one with the name of an earlier file's rule takes its place; everything else is
replaced.  Overrides are applied last.  Every node of the result keeps its span in the text that it came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector, suggestion
from optplan.frontend.document import Entry, Mapping, Node, Scalar, Sequence, read, read_file, read_value, refuse
from optplan.frontend.findings import check_version
from optplan.frontend.tree import PlaceError, Tree
from optplan.source import Source, Span, Text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

_MOST_FILES = 64
_MOST_CHAIN = 16

# What may stand at the top of a document; `extends` is not among them, as it is done when overrides come.
TOP_KEYS = (
    "optplan",
    "let",
    "optimizer",
    "optimizers",
    "layers",
    "sets",
    "rules",
    "horizon",
    "schedule",
    "accumulate",
    "clip",
    "loss_scale",
    "torch",
    "mindspore",
)


@dataclass(frozen=True, slots=True)
class Composed:
    """The merged document, without `extends`, and the texts that it came from, the first one first.

    `overridden` says whether single values were changed after that.
    """

    root: Mapping
    sources: tuple[Source, ...]
    tree: Tree = field(default_factory=lambda: Tree(None, {}))
    overridden: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the texts."""
        return tuple(source.name for source in self.sources)


def compose(
    root: Source | str | os.PathLike[str],
    overrides: str | Iterable[str],
    collector: Collector,
    *,
    directory: str | os.PathLike[str] | None = None,
) -> Composed | None:
    """The document at the path `root`, or in the text `root`, with all that it extends and `overrides` applied.

    A text may extend files only where `directory` says what they are relative to.  None where a text could not be read
    or is no mapping; other faults are reported and the result leaves out what is faulty.
    """
    if isinstance(root, Source):
        source, home = root, None if directory is None else Path(directory)
        place = None
    else:
        found = read_file(root, collector)
        if found is None:
            return None
        source, home = found, Path(root).parent
        place = _resolved(Path(root))
    composer = _Composer(collector, None if home is None else _resolved(home))
    merged = composer.take(source, home, (place,) if place else ())
    if merged is None or composer.failed:
        return None
    changes = (overrides,) if isinstance(overrides, str) else tuple(overrides)
    for text in changes:
        if isinstance(text, str):
            merged = _override(merged, Source("--set", text), collector)
        else:
            message = f"an override is a text, not a `{type(text).__name__}`"
            collector.error("OP111", message, help=_OVERRIDE_CURE)
    if home is not None:
        composer.tree.folders["--set"] = home
    return Composed(merged, tuple(composer.sources), composer.tree, overridden=bool(changes))


class _Composer:
    """Reads files into one mapping; `fence` is the directory that none may be outside of."""

    def __init__(self, collector: Collector, fence: Path | None) -> None:
        self.collector = collector
        self.tree = Tree(fence, {})
        self.sources: list[Source] = []
        self.read: set[Path] = set()
        self.failed = False

    def take(self, source: Source, home: Path | None, chain: tuple[Path, ...]) -> Mapping | None:
        """The document in `source` with what it extends; `chain` are the files being read, this one last."""
        self.sources.append(source)
        if home is not None:
            self.tree.folders[source.name] = home
        self.read.update(chain)
        node = read(source, self.collector)
        if node is None:
            self.failed = True
            return None
        if not isinstance(node, Mapping):
            self.failed = True
            if not refuse(node, self.collector):
                kind = "list" if isinstance(node, Sequence) else "text"
                cure = "begin with `optplan: 1` and `optimizer:`; a colon needs a space after it"
                self.collector.error("OP103", f"a document is a mapping, not a {kind}", node.span, help=cure)
            return None
        self.check_names(node)
        version = node.get("optplan")
        if len(self.sources) > 1 and version is not None and isinstance(version.value, Scalar):
            # The first file's version, which lies over it, is checked with the rest of the document.
            check_version(version.value.value, version.value.span, self.collector)
        merged: Mapping | None = None
        for item in self.extended(node):
            below = self.follow(item, source, chain)
            if below is not None:
                merged = below if merged is None else _merge_documents(merged, below)
        own = replace(node, entries=tuple(entry for entry in node.entries if entry.name != "extends"))
        return own if merged is None else _merge_documents(merged, own)

    def extended(self, node: Mapping) -> list[Scalar]:
        """The file names that `extends` lists."""
        entry = node.get("extends")
        if entry is None:
            return []
        names: list[Scalar] = []
        for item in entry.value.items if isinstance(entry.value, Sequence) else (entry.value,):
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
                names.append(item)
                continue
            self.failed = True
            if not refuse(item, self.collector):
                cure = "write `extends: base.optim.yaml`, or a list of such names"
                self.collector.error("OP103", "`extends` takes names of files", item.span, help=cure)
        return names

    def follow(self, item: Scalar, source: Source, chain: tuple[Path, ...]) -> Mapping | None:
        """The document in the file that `item` names; None for one that is merged already, or faulty."""
        name = item.text.value
        try:
            place = self.tree.place(name, source, "extends")
        except PlaceError as fault:
            return self.fault(item, fault.message, fault.cure)
        if place in chain:
            loop = " -> ".join(f"`{path.name}`" for path in (*chain[chain.index(place) :], place))
            return self.fault(item, f"`{name}` extends itself: {loop}", "take one of them out")
        if place in self.read:
            return None
        if len(chain) >= _MOST_CHAIN or len(self.sources) >= _MOST_FILES:
            most = f"{_MOST_CHAIN} files in a chain" if len(chain) >= _MOST_CHAIN else f"{_MOST_FILES} files"
            return self.fault(item, f"`{name}` is one too many: {most} are the most that is read")
        faults = Collector()
        below = read_file(place, faults, self.tree.shown(name, source))
        if below is None:
            cure = f"`extends` is relative to the folder of `{source.name}`"
            return self.fault(item, faults.diagnostics[0].message, cure)
        return self.take(below, place.parent, (*chain, place))

    def fault(self, item: Scalar, message: str, cure: str | None = None) -> Mapping | None:
        """Report that the file which `item` names cannot be taken in."""
        self.failed = True
        self.collector.error("OP110", message, item.span, help=cure)
        return None

    def check_names(self, node: Mapping) -> None:
        """Report rules of one name in one file."""
        first: dict[str, Scalar] = {}
        for rule in _rules(node):
            name = _rule_name(rule)
            if name is None:
                continue
            if name.text.value in first:
                source = name.span.source
                line = source.position(first[name.text.value].span.start)[0]
                message = f"two rules of this file have the name `{name.text.value}`"
                notes = [f"the first one stands in line {line}"]
                self.collector.error("OP112", message, name.span, help="give one of them another name", notes=notes)
            else:
                first[name.text.value] = name


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute()


def _rules(document: Mapping) -> tuple[Node, ...]:
    entry = document.get("rules")
    return entry.value.items if entry is not None and isinstance(entry.value, Sequence) else ()


def _rule_name(rule: Node) -> Scalar | None:
    entry = rule.get("name") if isinstance(rule, Mapping) else None
    return entry.value if entry is not None and isinstance(entry.value, Scalar) else None


def _merge_documents(base: Mapping, top: Mapping) -> Mapping:
    """`top` over `base`, whose rules it adds to."""
    merged = _merge(base, top)
    below, above = base.get("rules"), top.get("rules")
    if below is None or above is None or not isinstance(below.value, Sequence) or not isinstance(above.value, Sequence):
        return merged
    rules = list(below.value.items)
    places = {name.text.value: at for at, rule in enumerate(rules) if (name := _rule_name(rule)) is not None}
    for rule in above.value.items:
        name = _rule_name(rule)
        if name is not None and name.text.value in places:
            rules[places[name.text.value]] = rule
        else:
            rules.append(rule)
    return _with(merged, Entry(above.key, replace(above.value, items=tuple(rules))))


def _merge(base: Mapping, top: Mapping) -> Mapping:
    entries = {entry.name: entry for entry in base.entries}
    for entry in top.entries:
        below = entries.get(entry.name)
        if below is not None and isinstance(below.value, Mapping) and isinstance(entry.value, Mapping):
            entries[entry.name] = Entry(entry.key, _merge(below.value, entry.value))
        else:
            entries[entry.name] = entry
    return replace(top, entries=tuple(entries.values()))


def _with(mapping: Mapping, entry: Entry) -> Mapping:
    """`mapping` with `entry` in the place of the one of its name, or at the end."""
    entries = {old.name: old for old in mapping.entries}
    entries[entry.name] = entry
    return replace(mapping, entries=tuple(entries.values()))


# Overrides

_OVERRIDE_CURE = "write `key=value`, as in `optimizer.lr=3e-4`"
_STEP = re.compile(r"([A-Za-z_][\w-]*|[0-9]+)(?:\[([0-9]+)\])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Step:
    """One part of an override's path: `lr`, `0`, or `betas[0]` with its index."""

    name: str
    index: int | None
    span: Span
    before: str

    @property
    def key(self) -> Scalar:
        """The step as a key of a mapping."""
        text = self.span.text
        return Scalar(text, Text(text, self.span.source, self.span.start), "plain", self.span)


class _FaultError(Exception):
    """The override cannot be applied, which has been reported."""


def _override(root: Mapping, source: Source, collector: Collector) -> Mapping:
    """`root` with the one value that the override in `source` sets."""
    path, equals, rest = source.text.partition("=")
    cure = _OVERRIDE_CURE
    if not equals:
        whole = Span(source, 0, len(source.text))
        collector.error("OP111", "an override without `=`", whole, help=cure)
        return root
    if not rest.strip():
        here = Span(source, len(path), len(path) + 1)
        cure = f"write `{path.strip()}=null` to set it to null"
        collector.error("OP111", "an override without a value", here, help=cure)
        return root
    steps: list[_Step] = []
    at = len(path) - len(path.lstrip())
    for part in path.strip().split("."):
        found = _STEP.fullmatch(part)
        span = Span(source, at, at + len(part))
        if found is None:
            message = f"`{part}` is no key" if part else "an empty key"
            collector.error("OP111", message, span if part else Span(source, at, at + 1), help=cure)
            return root
        index = None if found[2] is None else int(found[2][:9])
        steps.append(_Step(found[1], index, span, path.strip()[: max(0, at - 1)].strip()))
        at += len(part) + 1
    first = steps[0]
    if first.name not in TOP_KEYS:
        otherwise = "settings of the main optimizer begin with `optimizer.`, such as `optimizer.lr`"
        cure = suggestion(first.name, TOP_KEYS, otherwise) or cure
        if first.name == "extends":
            cure = "put `extends` in the file"
        collector.error("OP111", f"a document has no `{first.span.text}` to set", first.span, help=cure)
        return root
    value = read_value(source, len(source.text) - len(rest.lstrip()), collector)
    if value is None:
        return root
    try:
        changed = _set(root, steps, value, collector)
    except _FaultError:
        return root
    return changed if isinstance(changed, Mapping) else root


def _set(node: Node | None, steps: list[_Step], value: Node, collector: Collector) -> Node:
    """`node` with `value` at the end of `steps`; mappings that are not there are made."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if node is None or (isinstance(node, Scalar) and node.value is None):
        if step.name.isdigit():
            raise _fault(collector, step, f"`{step.before}` has no items")
        node = Mapping((), flow=False, span=step.span)
    if isinstance(node, Mapping):
        whole, part = node.get(step.span.text), node.get(step.name)
        if step.index is not None and whole is None and part is not None and isinstance(part.value, Sequence):
            inner = _set_item(part.value, step.index, steps, value, collector)
            return _with(node, Entry(part.key, inner))
        below = _set(None if whole is None else whole.value, rest, value, collector)
        return _with(node, Entry(step.key, below))
    if isinstance(node, Sequence):
        index = _index(node, step, collector)
        return _set_item(node, index, steps, value, collector)
    raise _fault(collector, step, f"`{step.before}` is a single value and has no `{step.span.text}`")


def _set_item(node: Sequence, index: int, steps: list[_Step], value: Node, collector: Collector) -> Sequence:
    step, rest = steps[0], steps[1:]
    if index >= len(node.items):
        counted = f"{len(node.items)} item{'' if len(node.items) == 1 else 's'}"
        raise _fault(collector, step, f"there is no item {index}: the list has {counted}", "items count from 0")
    items = list(node.items)
    items[index] = _set(items[index], rest, value, collector)
    return replace(node, items=tuple(items))


def _index(node: Sequence, step: _Step, collector: Collector) -> int:
    """The place in a list that a step means: a number, or the name of a rule."""
    if step.name.isdigit() and step.index is None:
        return int(step.name[:9])
    names = [name.text.value if (name := _rule_name(item)) is not None else None for item in node.items]
    if step.span.text in names:
        return names.index(step.span.text)
    if step.before == "rules":
        cure = suggestion(step.span.text, [name for name in names if name], "name the rule, or give its index from 0")
        raise _fault(collector, step, f"no rule has the name `{step.span.text}`", cure)
    message = f"`{step.before}` is a list and has no `{step.span.text}`"
    raise _fault(collector, step, message, "items are named by index, from 0")


def _fault(collector: Collector, step: _Step, message: str, cure: str | None = None) -> _FaultError:
    collector.error("OP111", message, step.span, help=cure)
    return _FaultError()
