"""A composed document to a `Config`.

The shape is checked first, then every expression is read where it stands.  A part with a fault is left out of the
result, so that the stages that follow can look at the rest and a file's faults come in one run; the caller raises
when there is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from optplan.config import Assignment, Config, Horizon, Layer, Optimizer, Option, Rule, Scheduled
from optplan.diagnostics import suggestion
from optplan.expression import Constant, Listing, Number
from optplan.filter import And, Not, Or, SetName
from optplan.frontend.filters import parse_filter
from optplan.frontend.forms import NONE, parse_form
from optplan.frontend.grammar import DEPTH
from optplan.frontend.misplaced import read_number
from optplan.frontend.multipliers import Multipliers
from optplan.frontend.nodes import Mapping, Scalar, Sequence
from optplan.frontend.patterns import parse_path
from optplan.frontend.places import PLAIN
from optplan.frontend.policies import parse_policy
from optplan.frontend.shape import check_shape
from optplan.frontend.values import FUNCTIONS, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.catalog import Catalog
    from optplan.diagnostics import Collector
    from optplan.expression import Form, Value
    from optplan.filter import Filter
    from optplan.frontend.compose import Composed
    from optplan.frontend.nodes import Entry, Node
    from optplan.frontend.places import Checked
    from optplan.frontend.tree import Tree

# Words of the expression languages that are no attribute, function, phase or unit.
_OPERATORS = frozenset({"and", "or", "not", "over", "into", "per"})
_WORDS = _OPERATORS | {"base", "layers", "true", "false", "null", "x", "all", NONE}
_ELEMENT = re.compile(r"([A-Za-z_]\w*)\[(\d+)\]")


def build(composed: Composed, catalog: Catalog, collector: Collector) -> Config | None:
    """The Config of a document; None where it has no usable optimizer, and every fault reported."""
    checked = check_shape(composed.root, catalog, collector)
    return _Builder(checked, catalog, collector, composed.tree).config(composed.names)


class _Builder:
    def __init__(self, checked: Checked, catalog: Catalog, collector: Collector, tree: Tree) -> None:
        self._checked, self._catalog, self._collector = checked, catalog, collector
        self._multipliers = Multipliers(tree, collector)
        self._names: tuple[str, ...] = self._keys("let")
        self._sets: tuple[str, ...] = self._keys("sets")
        self._optimizers: tuple[str, ...] = ("optimizer", *self._keys("optimizers"))

    def config(self, sources: tuple[str, ...]) -> Config | None:
        let = self._let()
        sets = self._read_sets()
        optimizer = self._main_optimizer()
        optimizers = dict(self._further_optimizers())
        layers = tuple(self._layers())
        rules = tuple(self._rules())
        schedule = tuple(self._schedule(self._checked.root, (), base=False))
        options = tuple(self._options(self._checked.root, ()))
        horizon = self._horizon()
        step = self._accumulate(), self._form("clip"), self._form("loss_scale")
        if optimizer is None:
            return None
        whole = let, layers, sets, rules, horizon, schedule, options, *step
        return Config(optimizer, optimizers, *whole, sources=sources)

    # Access

    def _keys(self, name: str) -> tuple[str, ...]:
        entry = self._checked.root.get(name)
        return entry.value.keys() if entry is not None and isinstance(entry.value, Mapping) else ()

    def _entries(self, node: Node | None, path: tuple[str | int, ...]) -> Iterator[Entry]:
        """The sound entries of a mapping."""
        if isinstance(node, Mapping):
            for entry in node.entries:
                if self._checked.sound(*path, entry.name):
                    yield entry

    def _value_at(self, name: str) -> Node | None:
        entry = self._checked.root.get(name)
        return entry.value if entry is not None and self._checked.sound(name) else None

    # Names

    def _let(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        reserved = {*self._catalog.attributes, *FUNCTIONS, *UNITS, *_WORDS}
        for entry in self._entries(self._value_at("let"), ("let",)):
            if entry.name in reserved:
                message = f"`{entry.name}` has a meaning of its own in expressions"
                self._collector.error("OP112", message, entry.key.span, help="give the number another name")
                continue
            if "-" in entry.name:
                message = f"`{entry.name}` would be a subtraction in an expression"
                cure = f"call it `{entry.name.replace('-', '_')}`"
                self._collector.error("OP108", message, entry.key.span, help=cure)
                continue
            value = self._value(entry.value, frozenset(), base=False, attributes=())
            if value is not None:
                found[entry.name] = value
        return found

    def _read_sets(self) -> dict[str, Filter]:
        found: dict[str, Filter] = {}
        taken = {*self._catalog.predicates, *self._catalog.attributes, "and", "or", "not", "path", "type", "inside"}
        for entry in self._entries(self._value_at("sets"), ("sets",)):
            if entry.name in taken:
                message = f"`{entry.name}` has a meaning of its own in filters"
                self._collector.error("OP112", message, entry.key.span, help="give the set another name")
                continue
            node = self._filter(entry.value)
            if node is not None:
                found[entry.name] = node
        self._check_circles(found)
        return found

    def _check_circles(self, sets: dict[str, Filter]) -> None:
        """Report sets that are named by themselves or too deep, and leave out the first with those that need them."""
        uses = {name: {each.name for each in _set_names(node)} for name, node in sets.items()}
        levels: dict[str, int] = {}
        for name in _settled(uses):
            levels[name] = _levels(sets[name], levels)
            if levels[name] > DEPTH:
                place = next(each.span for each in _set_names(sets[name]))
                message = f"sets of sets nested more than {DEPTH} deep"
                self._collector.error("OP201", message, place, help="write out what is meant")
                return
        # Who is on a circle needs one who has not settled, and is needed by one.
        users: dict[str, set[str]] = {name: set() for name in sets if name not in levels}
        for name in users:
            for used in uses[name] & users.keys():
                users[used].add(name)
        told = set(_settled(users))
        for name in users:
            if name not in told and (circle := _circle(name, uses)):
                told.update(circle)
                place = next(each.span for each in _set_names(sets[name]) if each.name == circle[1])
                cure = "write out what is meant"
                if len(circle) == 2:
                    cure += f"; a path of that name is `path({name})`"
                notes = [" needs ".join(f"`{each}`" for each in circle)]
                self._collector.error("OP114", f"the set `{name}` is defined by itself", place, help=cure, notes=notes)
        for name in users:
            del sets[name]

    # Optimizers

    def _main_optimizer(self) -> Optimizer | None:
        node = self._value_at("optimizer")
        return self._optimizer("optimizer", node, ("optimizer",)) if isinstance(node, Mapping) else None

    def _further_optimizers(self) -> Iterator[tuple[str, Optimizer]]:
        for entry in self._entries(self._value_at("optimizers"), ("optimizers",)):
            if entry.name == "optimizer":
                message = "`optimizer` is the name of the main optimizer"
                self._collector.error("OP112", message, entry.key.span, help="give this one another name")
            elif isinstance(entry.value, Mapping):
                made = self._optimizer(entry.name, entry.value, ("optimizers", entry.name))
                if made is not None:
                    yield entry.name, made

    def _optimizer(self, name: str, node: Mapping, path: tuple[str, ...]) -> Optimizer | None:
        kind = node.get("type")
        if kind is None or not self._checked.sound(*path, "type") or not isinstance(kind.value, Scalar):
            return None
        settings = tuple(self._settings(node, path, base=False))
        options = tuple(self._options(node, path))
        return Optimizer(name, kind.value.text.value, settings, options, kind.value.span)

    def _settings(self, node: Mapping, path: tuple[str | int, ...], *, base: bool) -> Iterator[Assignment]:
        for entry in self._entries(node, path):
            if entry.name in PLAIN:
                continue
            value = self._setting(entry, base=base)
            if value is not None:
                key, index = _element(entry.name)
                yield Assignment(key, value, index, entry.value.span, entry.key.span)

    def _setting(self, entry: Entry, *, base: bool) -> Value | None:
        node = entry.value
        kinds = {setting.kind for setting in self._catalog.all_settings.get(entry.name, ())}
        if "word" in kinds and isinstance(node, Scalar) and isinstance(node.value, str):
            return Constant(node.value, node.span)
        return self._value(node, self._names, base=base, attributes=tuple(self._catalog.attributes))

    def _value(
        self, node: Node, names: frozenset[str] | tuple[str, ...], *, base: bool, attributes: tuple[str, ...]
    ) -> Value | None:
        if isinstance(node, Sequence):
            items = [self._value(item, names, base=base, attributes=attributes) for item in node.items]
            known = [item for item in items if item is not None]
            return Listing(tuple(known), node.span) if len(known) == len(items) else None
        if not isinstance(node, Scalar):
            return None
        value = node.value
        if value is None or isinstance(value, bool):
            return Constant(value, node.span)
        if isinstance(value, (int, float)):
            return Number(value, node.span)
        given, phases = names or self._names, self._catalog.policies
        return read_number(node.text, self._collector, names=given, base=base, attributes=attributes, phases=phases)

    def _options(self, node: Mapping, path: tuple[str | int, ...]) -> Iterator[Option]:
        for target in self._catalog.options:
            entry = node.get(target)
            if entry is None or not self._checked.sound(*path, target):
                continue
            for each in self._entries(entry.value, (*path, target)):
                if isinstance(each.value, Scalar) and each.value.value is not None:
                    yield Option(target, each.name, each.value.value, each.key.span)

    # Rules

    def _rules(self) -> Iterator[Rule]:
        node = self._value_at("rules")
        if not isinstance(node, Sequence):
            return
        for place, item in enumerate(node.items):
            if isinstance(item, Mapping):
                rule = self._rule(item, ("rules", place))
                if rule is not None:
                    yield rule

    def _rule(self, node: Mapping, path: tuple[str | int, ...]) -> Rule | None:
        entries = {entry.name: entry for entry in self._entries(node, path)}
        parts = {name: entry.value for name, entry in entries.items()}
        where = parts.get("where")
        selected = self._filter(where) if where is not None else None
        use = parts.get("use")
        if isinstance(use, Scalar) and use.text.value not in self._optimizers:
            name = use.text.value
            cure = suggestion(name, self._optimizers, "define it under `optimizers`")
            self._collector.error("OP105", f"there is no optimizer named `{name}`", use.span, help=cure)
            use = None
        settings = tuple(self._settings(node, path, base=True))
        schedule = tuple(self._schedule(node, path, base=True))
        options = tuple(self._options(node, path))
        if selected is None or where is None:
            return None
        return Rule(
            selected,
            _text(parts.get("name")),
            _text(use),
            _truth(parts.get("freeze")),
            bool(_truth(parts.get("optional"))),
            settings,
            schedule,
            options,
            node.span,
            where.span,
            *(entries[key].key.span if key in entries else None for key in ("use", "freeze")),
        )

    def _filter(self, node: Node) -> Filter | None:
        if not isinstance(node, Scalar):
            return None
        return parse_filter(
            node.text,
            self._collector,
            sets=self._sets,
            predicates=self._catalog.predicates,
            attributes=self._catalog.attributes,
        )

    # The rest

    def _layers(self) -> Iterator[Layer]:
        node = self._value_at("layers")
        for item in node.items if isinstance(node, Sequence) else ():
            scalars = item.items if isinstance(item, Sequence) else (item,)
            paths = [parse_path(each.text, self._collector, index=True) for each in scalars if isinstance(each, Scalar)]
            sound = tuple(path for path in paths if path is not None)
            if sound:
                yield Layer(sound, item.span)

    def _schedule(self, node: Mapping, path: tuple[str | int, ...], *, base: bool) -> Iterator[Scheduled]:
        entry = node.get("schedule")
        if entry is None or not self._checked.sound(*path, "schedule"):
            return
        for each in self._entries(entry.value, (*path, "schedule")):
            if not isinstance(each.value, Scalar):
                continue
            policy = parse_policy(
                each.value.text,
                self._collector,
                names=self._names,
                base=base,
                attributes=tuple(self._catalog.attributes) if base else (),
                phases=self._catalog.policies,
            )
            policy = policy and self._multipliers.into(policy)
            if policy is not None:
                key, index = _element(each.name)
                yield Scheduled(key, policy, index, each.value.span, each.key.span)

    def _horizon(self) -> Horizon:
        node = self._value_at("horizon")
        values: dict[str, Any] = {
            entry.name: entry.value.value
            for entry in self._entries(node, ("horizon",))
            if isinstance(entry.value, Scalar)
        }
        for name in ("steps", "steps_per_epoch"):
            if isinstance(values.get(name), float):
                values[name] = int(values[name])
        return Horizon(**values, span=None if node is None else node.span)

    def _accumulate(self) -> int:
        node = self._value_at("accumulate")
        return int(node.value) if isinstance(node, Scalar) and isinstance(node.value, (int, float)) else 1

    def _form(self, key: str) -> Form | None:
        node = self._value_at(key)
        if not isinstance(node, Scalar):
            return None
        return parse_form(node.text, self._collector, key=key, names=self._names, forms=self._catalog.forms)


def _element(name: str) -> tuple[str, int | None]:
    found = _ELEMENT.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)


def _text(node: Node | None) -> str | None:
    return node.text.value if isinstance(node, Scalar) else None


def _truth(node: Node | None) -> bool | None:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, bool) else None


def _set_names(node: Filter) -> Iterator[SetName]:
    match node:
        case And(items) | Or(items):
            for item in items:
                yield from _set_names(item)
        case Not(item):
            yield from _set_names(item)
        case SetName():
            yield node


def _levels(node: Filter, of_sets: dict[str, int]) -> int:
    """How deep a filter is nested, the sets that it names written out."""
    match node:
        case And(items) | Or(items):
            return 1 + max(_levels(item, of_sets) for item in items)
        case Not(item):
            return 1 + _levels(item, of_sets)
        case SetName(name):
            return 1 + of_sets[name]
    return 0


def _settled(needs: dict[str, set[str]]) -> list[str]:
    """The names that are on no circle and need none that is, nor one that is not there; each after those it needs."""
    users: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for each in needed:
            users.setdefault(each, []).append(name)
    open_needs = {name: len(needed) for name, needed in needs.items()}
    settled = [name for name, count in open_needs.items() if not count]
    for name in settled:
        for user in users.get(name, ()):
            open_needs[user] -= 1
            if not open_needs[user]:
                settled.append(user)
    return settled


def _circle(start: str, uses: dict[str, set[str]]) -> list[str]:
    """A shortest way from `start` back to itself, both ends included; empty if there is none."""
    through: dict[str, str] = {}
    reached = [start]
    for name in reached:
        for used in sorted(uses.get(name, ())):
            if used not in through:
                through[used] = name
                reached.append(used)
        if start in through:
            break
    else:
        return []
    circle = [start, through[start]]
    while circle[-1] != start:
        circle.append(through[circle[-1]])
    return circle[::-1]
