"""The settings of a registered optimizer as entries of the schema.

Takes defaults and `SettingSchema`s, or the class whose signature has them; gives entries whose default is within their
range.  What cannot be one is a ValueError or TypeError that names the setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from optplan.catalog import read_setting

if TYPE_CHECKING:
    from optplan.setting import Plain, Setting

Entry = dict[str, Any]

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Keys of an optimizer or a rule in a document, and of a group dict in PyTorch.
_TAKEN = frozenset(
    {"type", "where", "name", "use", "freeze", "optional", "schedule", "torch", "mindspore"}
    | {"params", "optimizer", "initial_lr", "param_names"}
)
_WORDS = frozenset(
    {"type", "description", "default", "enum", "prefixItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_TYPES = ("number", "integer", "boolean", "array", "string", "null")
# What the constructor of a class takes beside its settings.
_BESIDE = frozenset({"params", "parameters", "learning_rate", "loss_scale", "defaults"})


def setting_entries(given: Mapping[str, Any], document: Mapping[str, Any]) -> Entry:
    """The entry of each setting by its name, `lr` among them; `document` has the settings of the language."""
    known = document["$defs"]["settings"]
    options = {name for block in document["$defs"]["options"].values() for name in block["properties"]}
    entries = {} if "lr" in given else {"lr": {"$ref": "#/$defs/settings/lr", "default": 1e-3}}
    for name, each in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a setting")
        if name in _TAKEN or name in options:
            raise ValueError(f"a setting cannot be called {name!r}: that has a meaning of its own")
        said = dict(each) if isinstance(each, Mapping) else {"default": each}
        if name == "lr":
            said.setdefault("default", 1e-3)
        entries[name] = _entry(name, said, name in known, document)
    return entries


def _entry(name: str, said: Entry, known: bool, document: Mapping[str, Any]) -> Entry:
    strange = [word for word in said if word not in _WORDS]
    if strange:
        raise ValueError(f"setting {name!r}: {strange[0]!r} is none of {', '.join(sorted(_WORDS))}")
    if "default" not in said:
        raise ValueError(f"setting {name!r} has no default")
    default = said["default"]
    same = {"$ref": f"#/$defs/settings/{name}"}
    if known and said.keys() <= {"default", "description"} and _alike(default, read_setting(name, same, document)):
        # A setting that the language has means the same here, unless it is something else altogether.
        entry = {**same, **said, "default": _listed(default)}
    else:
        entry = _written(name, said, default)
    fault = _fault(name, entry, document)
    if fault is not None:
        raise ValueError(f"setting {name!r}: its default {default!r} {fault}")
    return entry


def _alike(default: Any, known: Setting) -> bool:
    """Whether `default` is of the kind that the language's setting of the same name is."""
    if isinstance(default, (list, tuple)):
        return len(default) == len(known.items)
    if default is None:
        return known.nullable
    if isinstance(default, bool):
        return known.kind == "bool"
    return known.numeric if isinstance(default, (int, float)) else default in known.words


def _fault(name: str, entry: Entry, document: Mapping[str, Any]) -> str | None:
    """What is wrong with the default of `entry`."""
    setting = read_setting(name, {key: each for key, each in entry.items() if key != "default"}, document)
    return setting.check(entry["default"])


def _written(name: str, said: Entry, default: Any) -> Entry:
    """The entry of a setting of which the language knows nothing."""
    entry: Entry = {"description": said.get("description", f"{name} of this optimizer.")}
    if "enum" in said:
        words = list(said["enum"])
        if not any(isinstance(word, str) for word in words):
            raise ValueError(f"setting {name!r}: `enum` lists words, and None where null is allowed")
        return {**entry, "enum": words, "default": default}
    kinds = _kinds(name, said, default)
    if "array" in kinds:
        parts = said.get("prefixItems") or [{} for _ in (default if isinstance(default, Sequence) else ())]
        if not parts:
            raise ValueError(f"setting {name!r}: a list says by `prefixItems`, or by its default, what stands in it")
        items = [_element(f"{name}[{place}]", dict(part)) for place, part in enumerate(parts)]
        entry |= {"type": _single(kinds), "prefixItems": items, "items": False}
        entry |= {"minItems": len(items), "maxItems": len(items)}
    elif "boolean" in kinds:
        entry["type"] = _single(kinds)
    else:
        entry |= _number(kinds, said)
    return {**entry, "default": _listed(default)}


def _element(name: str, said: Entry) -> Entry:
    """One element of a list, which is a number."""
    kinds = _kinds(name, {"type": "number", **said}, 0.0)
    if not {"number", "integer"} & set(kinds):
        raise ValueError(f"setting {name!r}: the elements of a list are numbers")
    return {"description": said.get("description", f"Element {name}."), **_number(kinds, said)}


def _number(kinds: list[str], said: Entry) -> Entry:
    # An expression may stand for every number.
    first, *others = kinds
    return {"type": [first, "string", *others], **{word: said[word] for word in _BOUNDS if word in said}}


def _kinds(name: str, said: Entry, default: Any) -> list[str]:
    """The JSON types of a setting, `null` last."""
    if "type" in said:
        kinds = [said["type"]] if isinstance(said["type"], str) else list(said["type"])
    elif isinstance(default, bool):
        kinds = ["boolean"]
    elif isinstance(default, (int, float)):
        kinds = ["number"]
    elif isinstance(default, (list, tuple)):
        kinds = ["array"]
    else:
        raise TypeError(
            f"setting {name!r}: its default {default!r} does not say its `type`, or the words of its `enum`"
        )
    plain = [kind for kind in kinds if kind not in ("null", "string")]
    if len(plain) != 1 or plain[0] not in _TYPES:
        raise ValueError(f"setting {name!r}: `type` is `number`, `integer`, `boolean` or `array`, not {said['type']!r}")
    return [*plain, *(["null"] if "null" in kinds else [])]


def _single(kinds: list[str]) -> str | list[str]:
    return kinds if len(kinds) > 1 else kinds[0]


def _listed(value: Any) -> Any:
    """A default as JSON has it."""
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def settings_of(cls: type, options: frozenset[str]) -> tuple[dict[str, Mapping[str, Any] | Plain], tuple[str, ...]]:
    """The settings and the options that the constructor of `cls` takes, read off its signature.

    `options` are those of its framework, which are no settings.  TypeError where an argument does not say what it is.
    """
    settings: dict[str, Any] = {}
    taken = []
    # of the function, since a framework's class may have a metaclass that takes anything; the first is `self`
    for parameter in list(signature(cls.__init__).parameters.values())[1:]:  # type: ignore[misc]  # of the class as it is
        if parameter.name in _BESIDE:
            continue
        if parameter.name in options:
            taken.append(parameter.name)
            continue
        where = f"the signature of {cls.__qualname__}"
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY):
            raise TypeError(f"{where} does not name its settings (`{parameter}`): give `settings`")
        default = parameter.default
        if default is Parameter.empty:
            if parameter.name == "lr":
                continue
            raise TypeError(f"{where} has no default for {parameter.name!r}: give `settings`")
        if not isinstance(default, (bool, int, float, tuple, list)):
            raise TypeError(f"{where} does not say what {parameter.name!r} may be: give `settings`")
        whole = type(default) is int and parameter.annotation in (int, "int")
        settings[parameter.name] = {"type": "integer", "default": default} if whole else default
    return settings, tuple(taken)
