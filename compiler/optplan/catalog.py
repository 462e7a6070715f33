"""What there is: optimizers, their settings and native classes, policies, predicates, attributes.

Read from `optplan.schema`, the one home of names, types, ranges, defaults and descriptions, into one immutable value.
What is registered makes a new value that takes the place of the one before; nothing in a value ever changes.
No framework takes part, and nothing here validates a document: the front end does that with the same schema, while
the stages that meet numbers after it ask `Setting.check`.  In the schema's terms

    $defs/optimizers/<name>/properties   the settings, each `$ref` to $defs/settings with a default, in torch's order
    $defs/optimizers/<name>/x-optplan    targets (a list of classes, best first, or a refusal), requires, scheduled;
                                         canonical, the optimizer nearest to a variant that one target alone has
    $defs/policies/<phase>/x-optplan     supported, arguments
    properties/<key>/x-optplan           forms, the part of $defs that has what the key can hold, `clips`; number, the
                                         form that a number alone is

A condition is written there as `["momentum", ">", 0]`, or about elements as `["etas[0]", "<=", "etas[1]"]`, a
constraint as `{"when": [...], "need": [...]}` of such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from optplan.form_type import Forms, FormType, read_forms
from optplan.policy_type import ArgumentType, PolicyType, read_policy_type
from optplan.requirement import Condition, Constraint, Requirements
from optplan.setting import Kind, Plain, Setting, read_setting, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "ELSEWHERE",
    "ArgumentType",
    "Catalog",
    "Condition",
    "Constraint",
    "FormType",
    "Forms",
    "Kind",
    "Lowering",
    "OptimizerType",
    "Plain",
    "PolicyType",
    "Requirements",
    "Setting",
    "catalog",
    "change_catalog",
    "read_catalog",
    "read_setting",
    "resolved",
    "schema",
    "schema_text",
]

# What other programs call a setting, for help with a name that is not known where it stands.
ELSEWHERE = {
    "wd": "weight_decay",
    "decay": "weight_decay",
    "l2": "weight_decay",
    "learning_rate": "lr",
    "lr_rate": "lr",
    "eta": "lr",
}


@dataclass(frozen=True, slots=True)
class Lowering:
    """A native class by which a target carries an optimizer out, and why that one.

    It computes the formula for the settings of which all of `when` hold, and changes from one update to the next what
    `scheduled` lists; None stands for whatever the optimizer itself allows.  `arguments` names the argument of the
    class for a setting, or the arguments for the elements of one, where the name is another; `constants` are arguments
    that never change.  `options` are the names of the target's options that it takes, `excludes` what these ask of each
    other, `tensors` the settings that the class also takes as tensors; `devices` those that it runs on, () for all.
    `shares` tells whether groups that differ in rate and decay alone can share one object of the class.  `gradients`
    is the kind that it takes, where the optimizer takes both.  `loss_scale` says whether a class of MindSpore
    takes a loss scale out of its gradients itself, by an argument of that name.  `state` says by the names that torch
    has for the state of a parameter what they are called by a class of MindSpore; None where it has its own state.
    """

    target: str
    class_name: str
    reason: str
    options: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    excludes: tuple[Constraint, ...] = ()
    when: tuple[Condition, ...] = ()
    scheduled: tuple[str, ...] | None = None
    arguments: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, Plain] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    shares: bool = True
    gradients: Literal["dense", "sparse"] | None = None
    loss_scale: bool = True
    state: Mapping[str, str] | None = None

    def argument(self, key: str) -> str | tuple[str, ...] | None:
        """The argument of the class for a setting, a tuple for the elements of one.

        None for a setting that `when` pins to one value and that `arguments` does not name: the class has none for it.
        """
        if key not in self.arguments and any(each.key == key and each.operator == "==" for each in self.when):
            return None
        return self.arguments.get(key, key)

    def fits(self, settings: Mapping[str, Plain], scheduled: Iterable[str]) -> bool:
        """Whether the class computes the formula with `settings`, those in `scheduled` changing."""
        keys = self.scheduled
        return all(each.holds(settings) for each in self.when) and (
            keys is None or all(key in keys for key in scheduled)
        )

    def check_together(self, options: Mapping[str, Plain]) -> list[tuple[str, str]]:
        """The option to blame and the message, for each pair of options that exclude each other."""
        return [(each.key, each.message) for each in self.excludes if each.broken(options)]


@dataclass(frozen=True, slots=True)
class OptimizerType:
    """An optimizer under its canonical name, one formula on every target, or a variant of one (`mindspore.Adam`).

    `settings` are in the order of the torch class's arguments; `scheduled` lists the settings and elements
    (`lr`, `betas[0]`) whose value may change from one update to the next.  `lowerings` has, by target, the native
    classes that compute it, the preferred one first; `refusals` says by target why there is none.  `canonical` is the
    optimizer that is nearest to a variant; None of any other, and where none is near.
    """

    name: str
    description: str
    settings: Mapping[str, Setting]
    lowerings: Mapping[str, tuple[Lowering, ...]]
    requirements: Requirements = field(default_factory=Requirements)
    scheduled: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    canonical: str | None = None

    @property
    def defaults(self) -> dict[str, Plain]:
        """The value of each setting that a document leaves out; None of one that it must not."""
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

    def lowering(self, target: str, settings: Mapping[str, Plain], scheduled: Iterable[str] = ()) -> Lowering | None:
        """The first class of `target` that computes it with `settings`, of which `scheduled` change; None if none."""
        keys = tuple(scheduled)
        return next((each for each in self.lowerings.get(target, ()) if each.fits(settings, keys)), None)

    def options(self, target: str) -> tuple[str, ...]:
        """The options of `target` that one of its classes takes."""
        return tuple(dict.fromkeys(name for each in self.lowerings.get(target, ()) for name in each.options))

    def check_together(self, settings: Mapping[str, Plain]) -> list[tuple[str, str]]:
        """The setting to blame and the message, for each pair of values that do not go together.

        A setting that `settings` leaves out has its default.
        """
        values = {**self.defaults, **settings}
        return [(each.key, each.message) for each in self.requirements.together if each.broken(values)]


@dataclass(frozen=True, eq=False)
class Catalog:
    """All that a document can name; immutable, so a new optimizer makes a new catalog.

    `document` is the JSON Schema that all the rest was read from, to be read only.
    """

    document: Mapping[str, Any] = field(repr=False)
    optimizers: Mapping[str, OptimizerType]
    options: Mapping[str, Mapping[str, Setting]]
    policies: Mapping[str, PolicyType]
    forms: Mapping[str, Forms]
    predicates: Mapping[str, str]
    attributes: Mapping[str, str]
    keys: Mapping[str, str]

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
        return tuple(name for name, each in self.optimizers.items() if option in each.options(target))


def schema_text() -> str:
    """The JSON Schema of a document, as it is shipped."""
    return files("optplan.schema").joinpath("optplan-1.schema.json").read_text(encoding="utf-8")


def schema() -> Mapping[str, Any]:
    """The JSON Schema of a document as it is now, what was registered included, to be read only."""
    return catalog().document


# The one name of the package whose value changes; each of its values is immutable.
_current: Catalog | None = None
_changing = RLock()


def catalog() -> Catalog:
    """All that a document can name now: what this release ships, and what was registered since."""
    return _current or change_catalog(lambda shipped: shipped)


def change_catalog(change: Callable[[Catalog], Catalog]) -> Catalog:
    """Let `catalog()` give `change(catalog())` from now on; values that were handed out stay as they are."""
    global _current  # noqa: PLW0603 - see above
    with _changing:
        _current = change(_current or read_catalog(json.loads(schema_text())))
        return _current


def read_catalog(document: Mapping[str, Any], functions: Mapping[str, Callable[..., float]] | None = None) -> Catalog:
    """The catalog that the schema `document` describes; `functions` are those of policies that were registered."""
    definitions = document["$defs"]
    options = {
        target: MappingProxyType(
            {name: read_setting(name, entry, document) for name, entry in block["properties"].items()}
        )
        for target, block in definitions["options"].items()
    }
    optimizers = {name: _optimizer(name, entry, document) for name, entry in definitions["optimizers"].items()}
    keys = dict(_keys("", document["properties"], document))
    keys |= _keys("rules.", definitions["rule"]["properties"], document)
    keys["optimizer.type"] = definitions["optimizer"]["properties"]["type"]["description"]
    for target, block in options.items():
        keys |= {f"{target}.{name}": option.description for name, option in block.items()}
    for optimizer in optimizers.values():
        keys |= _optimizer_keys(optimizer)
    forms = read_forms(document, read_setting)
    for form in forms.values():
        keys |= form.keys()
    policies = {
        name: read_policy_type(name, entry, (functions or {}).get(name))
        for name, entry in definitions["policies"].items()
    }
    return Catalog(
        document,
        MappingProxyType(optimizers),
        MappingProxyType(options),
        MappingProxyType(policies),
        forms,
        MappingProxyType({name: entry["description"] for name, entry in definitions["predicates"].items()}),
        MappingProxyType({name: entry["description"] for name, entry in definitions["attributes"].items()}),
        MappingProxyType(keys),
    )


def _optimizer(name: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> OptimizerType:
    extra = entry["x-optplan"]
    needs = extra["requires"]
    settings = {
        key: replace(read_setting(key, each, document), required=key in entry["required"])
        for key, each in entry["properties"].items()
        if key not in ("type", *document["$defs"]["options"])
    }
    lowerings = {
        target: tuple(_lowering(target, each) for each in entries)
        for target, entries in extra["targets"].items()
        if isinstance(entries, list)
    }
    refusals = {target: each["refused"] for target, each in extra["targets"].items() if isinstance(each, dict)}
    requirements = Requirements(
        _conditions(needs.get("parameters", ())),
        needs["gradients"],
        _conditions(needs.get("sparse", ())),
        needs.get("groups") == "one",
        needs.get("alone", False),
        tuple(needs.get("shared", ())),
        tuple(needs.get("from_start", ())),
        _constraints(needs.get("together", ())),
        needs.get("closure", False),
    )
    return OptimizerType(
        name,
        entry["description"],
        MappingProxyType(settings),
        MappingProxyType(lowerings),
        requirements,
        tuple(extra["scheduled"]),
        MappingProxyType(refusals),
        extra.get("canonical"),
    )


def _lowering(target: str, entry: dict[str, Any]) -> Lowering:
    arguments = {
        key: tuple(name) if isinstance(name, list) else name for key, name in entry.get("arguments", {}).items()
    }
    scheduled = entry.get("scheduled")
    return Lowering(
        target,
        entry["class"],
        entry["reason"],
        tuple(entry.get("options", ())),
        tuple(entry.get("tensors", ())),
        _constraints(entry.get("excludes", ())),
        _conditions(entry.get("when", ())),
        None if scheduled is None else tuple(scheduled),
        MappingProxyType(arguments),
        MappingProxyType(entry.get("constants", {})),
        tuple(entry.get("devices", ())),
        entry.get("shares", True),
        entry.get("gradients"),
        entry.get("loss_scale", True),
        MappingProxyType(entry["state"]) if "state" in entry else None,
    )


def _conditions(entries: list[Any] | tuple[()]) -> tuple[Condition, ...]:
    return tuple(Condition(*each) for each in entries)


def _constraints(entries: list[Any] | tuple[()]) -> tuple[Constraint, ...]:
    return tuple(Constraint(_conditions(e["when"]), _conditions(e["need"]), e["message"]) for e in entries)


def _keys(prefix: str, properties: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, entry in properties.items():
        yield f"{prefix}{key}", resolved(entry, document)["description"]
        if "$ref" not in entry:
            yield from _keys(f"{prefix}{key}.", entry.get("properties", {}), document)


def _optimizer_keys(optimizer: OptimizerType) -> dict[str, str]:
    """`optimizer.adamw`, `optimizer.adamw.lr`, `optimizer.adamw.betas[0]`, ... with their descriptions."""
    keys = {f"optimizer.{optimizer.name}": optimizer.description}
    for key in optimizer.keys():  # noqa: SIM118 - a method, this is no mapping
        setting = optimizer.setting(key)
        if setting is not None:
            keys[f"optimizer.{optimizer.name}.{key}"] = setting.description
    return keys
