"""What there is: optimizers, their settings and native classes, policies, predicates, attributes.

Read from `optplan.schema`, the one home of names, types, ranges, defaults and descriptions, into one immutable value.
No framework takes part, and nothing here validates a document: the front end does that with the same schema, while
the stages that meet numbers after it ask `Setting.check`.  In the schema's terms

    $defs/optimizers/<name>/properties   the settings, each `$ref` to $defs/settings with a default, in torch's order
    $defs/optimizers/<name>/x-optplan    targets (class, options, reason), requires, scheduled
    $defs/policies/<phase>/x-optplan     supported, arguments

A condition is written there as `["momentum", ">", 0]`, a constraint as `{"when": [...], "need": [...]}` of such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.resources import files
from operator import eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from optplan.setting import Kind, Plain, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "ArgumentType",
    "Catalog",
    "Condition",
    "Constraint",
    "Kind",
    "Lowering",
    "OptimizerType",
    "Plain",
    "PolicyType",
    "Requirements",
    "Setting",
    "catalog",
    "schema",
    "schema_text",
]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_KINDS: dict[str, Kind] = {"number": "float", "integer": "int", "boolean": "bool", "array": "list"}


@dataclass(frozen=True, slots=True)
class Condition:
    """`key operator value`, for a setting, an option or an attribute of a parameter."""

    key: str
    operator: str
    value: Plain

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds among `values`; a key that is missing counts as None, which is neither above nor below."""
        actual = values.get(self.key)
        if actual is None and self.operator not in ("==", "!="):
            return False
        return _OPERATORS[self.operator](actual, self.value)

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key} {self.operator} {value}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """Where all of `when` hold, all of `need` must; `message` says so."""

    when: tuple[Condition, ...]
    need: tuple[Condition, ...]
    message: str

    @property
    def key(self) -> str:
        """The key to blame: the first that asks for the rest."""
        return self.when[0].key

    def broken(self, values: Mapping[str, Any]) -> bool:
        """Whether `values` break it."""
        return all(c.holds(values) for c in self.when) and not all(c.holds(values) for c in self.need)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an optimizer asks for beyond the range of each setting.

    `parameters`: what each parameter that it takes must satisfy (`ndim == 2`).  `gradients`: what kind it takes, and
    `sparse`, what settings and options must satisfy for the sparse ones.  `one_group`: all its parameters are one
    group; `alone`: no other optimizer stands beside it.  `shared`: settings whose value all groups have in common.
    `from_start`: settings that may rise above 0 later only if they are above 0 at the first update, which makes their
    state.  `together`: what settings ask of each other.
    """

    parameters: tuple[Condition, ...] = ()
    gradients: Literal["dense", "sparse", "both"] = "dense"
    sparse: tuple[Condition, ...] = ()
    one_group: bool = False
    alone: bool = False
    shared: tuple[str, ...] = ()
    from_start: tuple[str, ...] = ()
    together: tuple[Constraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Lowering:
    """The native class by which a target carries an optimizer out, and why that one.

    `options` are the names of the target's options that it takes, `excludes` what these ask of each other, `tensors`
    the settings that the class also takes as tensors.
    """

    target: str
    class_name: str
    reason: str
    options: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    excludes: tuple[Constraint, ...] = ()

    def check_together(self, options: Mapping[str, Plain]) -> list[tuple[str, str]]:
        """The option to blame and the message, for each pair of options that exclude each other."""
        return [(each.key, each.message) for each in self.excludes if each.broken(options)]


@dataclass(frozen=True, slots=True)
class OptimizerType:
    """An optimizer under its canonical name: one formula, the same on every target.

    `settings` are in the order of the torch class's arguments; `scheduled` lists the settings and elements
    (`lr`, `betas[0]`) whose value may change from one update to the next.
    """

    name: str
    description: str
    settings: Mapping[str, Setting]
    lowerings: Mapping[str, Lowering]
    requirements: Requirements = field(default_factory=Requirements)
    scheduled: tuple[str, ...] = ()

    @property
    def defaults(self) -> dict[str, Plain]:
        """The value of each setting that a document leaves out."""
        return {name: setting.default for name, setting in self.settings.items()}

    def setting(self, key: str) -> Setting | None:
        """The setting, or the element of one, that `key` names (`lr`, `betas[0]`); None where there is none."""
        if key in self.settings:
            return self.settings[key]
        base = self.settings.get(key.partition("[")[0])
        return next((item for item in base.items if item.name == key), None) if base is not None else None

    def keys(self) -> Iterator[str]:
        """Every key that a rule can set: the settings, each followed by its elements."""
        for setting in self.settings.values():
            yield setting.name
            for item in setting.items:
                yield item.name

    def check_together(self, settings: Mapping[str, Plain]) -> list[tuple[str, str]]:
        """The setting to blame and the message, for each pair of values that do not go together.

        A setting that `settings` leaves out has its default.
        """
        values = {**self.defaults, **settings}
        return [(each.key, each.message) for each in self.requirements.together if each.broken(values)]


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """An argument of a phase; `default` is its text in the language, or the words for what stands without it."""

    name: str
    kind: Literal["duration", "value", "count", "number", "word", "list"]
    description: str
    default: str | None = None
    required: bool = False
    words: tuple[str, ...] = ()
    items: Literal["duration", "value"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False


@dataclass(frozen=True, slots=True)
class PolicyType:
    """A phase of the schedule language.

    `supported` is False where this release knows its name only; `last` is True where nothing may follow it.
    """

    name: str
    description: str
    arguments: Mapping[str, ArgumentType]
    supported: bool = True
    last: bool = False


@dataclass(frozen=True)
class Catalog:
    """All that a document can name; immutable, so a new optimizer makes a new catalog."""

    optimizers: Mapping[str, OptimizerType]
    options: Mapping[str, Mapping[str, Setting]]
    policies: Mapping[str, PolicyType]
    predicates: Mapping[str, str]
    attributes: Mapping[str, str]
    keys: Mapping[str, str]

    def with_optimizer(self, optimizer: OptimizerType) -> Catalog:
        """A catalog that knows `optimizer` too; one of the same name is replaced."""
        keys = {**self.keys, **_optimizer_keys(optimizer)}
        optimizers = {**self.optimizers, optimizer.name: optimizer}
        return replace(self, optimizers=MappingProxyType(optimizers), keys=MappingProxyType(keys))

    @cached_property
    def all_settings(self) -> Mapping[str, tuple[Setting, ...]]:
        """Every setting and element that some optimizer has, with its different shapes and defaults."""
        found: dict[str, dict[Setting, None]] = {}
        for optimizer in self.optimizers.values():
            for key in optimizer.keys():  # noqa: SIM118 - a method, this is no mapping
                setting = optimizer.setting(key)
                if setting is not None:
                    found.setdefault(key, {})[setting] = None
        return MappingProxyType({key: tuple(shapes) for key, shapes in found.items()})

    def optimizers_with(self, key: str) -> tuple[str, ...]:
        """The names of the optimizers that have this setting, or element of one."""
        return tuple(name for name, each in self.optimizers.items() if each.setting(key) is not None)

    def optimizers_with_option(self, target: str, option: str) -> tuple[str, ...]:
        """The names of the optimizers whose class on `target` takes this option."""
        return tuple(
            name
            for name, each in self.optimizers.items()
            if target in each.lowerings and option in each.lowerings[target].options
        )


def schema_text() -> str:
    """The JSON Schema of a document, as it is shipped."""
    return files("optplan.schema").joinpath("optplan-1.schema.json").read_text(encoding="utf-8")


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a document, parsed; every caller gets the same dict, to be read only."""
    parsed: dict[str, Any] = json.loads(schema_text())
    return parsed


@cache
def catalog() -> Catalog:
    """What this release ships."""
    document = schema()
    definitions = document["$defs"]
    options = {
        target: MappingProxyType({name: _setting(name, entry) for name, entry in block["properties"].items()})
        for target, block in definitions["options"].items()
    }
    optimizers = {name: _optimizer(name, entry) for name, entry in definitions["optimizers"].items()}
    keys = dict(_keys("", document["properties"]))
    keys |= _keys("rules.", definitions["rule"]["properties"])
    keys["optimizer.type"] = definitions["optimizer"]["properties"]["type"]["description"]
    for target, block in options.items():
        keys |= {f"{target}.{name}": option.description for name, option in block.items()}
    for optimizer in optimizers.values():
        keys |= _optimizer_keys(optimizer)
    return Catalog(
        MappingProxyType(optimizers),
        MappingProxyType(options),
        MappingProxyType({name: _policy(name, entry) for name, entry in definitions["policies"].items()}),
        MappingProxyType({name: entry["description"] for name, entry in definitions["predicates"].items()}),
        MappingProxyType({name: entry["description"] for name, entry in definitions["attributes"].items()}),
        MappingProxyType(keys),
    )


def _resolved(entry: dict[str, Any]) -> dict[str, Any]:
    """`entry` with what it refers to, its own keys on top."""
    if "$ref" not in entry:
        return entry
    target: Any = schema()
    for step in entry["$ref"].removeprefix("#/").split("/"):
        target = target[int(step)] if isinstance(target, list) else target[step]
    return {**_resolved(target), **entry}


def _setting(name: str, entry: dict[str, Any]) -> Setting:
    entry = _resolved(entry)
    types = entry.get("type", ())
    types = (types,) if isinstance(types, str) else types
    words = tuple(word for word in entry.get("enum", ()) if word is not None)
    setting = Setting(
        name,
        "word" if words else next(_KINDS[each] for each in types if each in _KINDS),
        entry["description"],
        None,
        entry.get("exclusiveMinimum", entry.get("minimum")),
        entry.get("exclusiveMaximum", entry.get("maximum")),
        "exclusiveMinimum" in entry,
        "exclusiveMaximum" in entry,
        "null" in types or None in entry.get("enum", ()),
        words,
        tuple(_setting(f"{name}[{place}]", item) for place, item in enumerate(entry.get("prefixItems", ()))),
    )
    default = setting.cast(entry.get("default"))
    # an element left out has the element of the list's default
    parts = default if isinstance(default, tuple) else ()
    items = tuple(replace(item, default=part) for item, part in zip(setting.items, parts, strict=False))
    return replace(setting, default=default, items=items or setting.items)


def _optimizer(name: str, entry: dict[str, Any]) -> OptimizerType:
    extra = entry["x-optplan"]
    needs = extra["requires"]
    settings = {
        key: _setting(key, each)
        for key, each in entry["properties"].items()
        if key not in ("type", *schema()["$defs"]["options"])
    }
    lowerings = {
        target: Lowering(
            target,
            each["class"],
            each["reason"],
            tuple(each["options"]),
            tuple(each["tensors"]),
            _constraints(each["excludes"]),
        )
        for target, each in extra["targets"].items()
    }
    requirements = Requirements(
        _conditions(needs.get("parameters", ())),
        needs["gradients"],
        _conditions(needs.get("sparse", ())),
        needs.get("groups") == "one",
        needs.get("alone", False),
        tuple(needs.get("shared", ())),
        tuple(needs.get("from_start", ())),
        _constraints(needs.get("together", ())),
    )
    return OptimizerType(
        name,
        entry["description"],
        MappingProxyType(settings),
        MappingProxyType(lowerings),
        requirements,
        tuple(extra["scheduled"]),
    )


def _conditions(entries: list[Any] | tuple[()]) -> tuple[Condition, ...]:
    return tuple(Condition(*each) for each in entries)


def _constraints(entries: list[Any] | tuple[()]) -> tuple[Constraint, ...]:
    return tuple(Constraint(_conditions(e["when"]), _conditions(e["need"]), e["message"]) for e in entries)


def _policy(name: str, entry: dict[str, Any]) -> PolicyType:
    extra = entry["x-optplan"]
    arguments = {
        each["name"]: ArgumentType(
            each["name"],
            each["kind"],
            each["description"],
            each.get("default"),
            each.get("required", False),
            tuple(each.get("words", ())),
            each.get("items"),
            each.get("exclusiveMinimum", each.get("minimum")),
            each.get("maximum"),
            "exclusiveMinimum" in each,
        )
        for each in extra["arguments"]
    }
    return PolicyType(name, entry["description"], MappingProxyType(arguments), extra["supported"], "last" in extra)


def _keys(prefix: str, properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, entry in properties.items():
        yield f"{prefix}{key}", _resolved(entry)["description"]
        if "$ref" not in entry:
            yield from _keys(f"{prefix}{key}.", entry.get("properties", {}))


def _optimizer_keys(optimizer: OptimizerType) -> dict[str, str]:
    """`optimizer.adamw`, `optimizer.adamw.lr`, `optimizer.adamw.betas[0]`, ... with their descriptions."""
    keys = {f"optimizer.{optimizer.name}": optimizer.description}
    for key in optimizer.keys():  # noqa: SIM118 - a method, this is no mapping
        setting = optimizer.setting(key)
        if setting is not None:
            keys[f"optimizer.{optimizer.name}.{key}"] = setting.description
    return keys
