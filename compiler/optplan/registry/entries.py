"""Definitions as entries of the schema.

Everything that a definition can get wrong is found here, when it is registered, and told as a ValueError or TypeError
in words about the definition: this is a program's fault, no document's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from inspect import Parameter, signature
from math import isfinite
from typing import TYPE_CHECKING, Any

from optplan.catalog import read_setting
from optplan.registry.definition import Native
from optplan.registry.settings import setting_entries, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.registry.definition import OwnOptimizer, OwnPolicy

Entry = dict[str, Any]

TARGETS = ("torch", "mindspore")

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_ARGUMENT_WORDS = frozenset(
    {"kind", "description", "default", "minimum", "maximum", "exclusiveMinimum"},
)
# Words of the schedule language, which are no phases.
_NO_PHASES = frozenset({"over", "into", "per", "epoch", "base", "for", "from", "min", "max", "sqrt", "log"})
_NO_PHASES |= {"floor", "ceil", "round"}


def optimizer_entry(given: OwnOptimizer, document: Mapping[str, Any]) -> Entry:
    """The entry of `$defs/optimizers` for `given`; `document` has the settings and options that there are."""
    _check_name(given.name)
    natives = {target: _native(getattr(given, target), target) for target in TARGETS}
    there = {target: native for target, native in natives.items() if native is not None}
    if not there:
        raise ValueError(f"{given.name!r} has no class: give `torch`, `mindspore` or both")
    if given.gradients not in ("dense", "sparse", "both"):
        raise ValueError(f"`gradients` is 'dense', 'sparse' or 'both', not {given.gradients!r}")
    options = {target: frozenset(document["$defs"]["options"][target]["properties"]) for target in TARGETS}
    settings, read = (given.settings, {}) if given.settings is not None else _read_off(there, options)
    if not isinstance(settings, Mapping):
        raise TypeError("`settings` is a mapping of names to defaults or schemas")
    entries = setting_entries(settings, document)
    scheduled = _names(given.scheduled, "scheduled", _numbers(entries, document))
    lowerings = {
        target: [_lowering(native, target, entries, scheduled, options[target], read.get(target, ()))]
        for target, native in there.items()
    }
    missing = f"it was registered with a class for {next(iter(there))} only"
    targets = {target: lowerings.get(target, {"refused": missing}) for target in TARGETS}
    return {
        "description": given.description or f"{given.name}, registered by a program or a package.",
        "type": "object",
        "additionalProperties": False,
        "required": ["type"],
        "properties": {
            "type": {"description": f"The optimizer: {given.name}.", "const": given.name},
            **entries,
            **{target: _options(target, lowerings.get(target)) for target in TARGETS},
        },
        "x-optplan": {
            "own": True,
            "targets": targets,
            "requires": {"gradients": given.gradients},
            "scheduled": scheduled,
        },
    }


def policy_entry(given: OwnPolicy) -> Entry:
    """The entry of `$defs/policies` for `given`."""
    if not isinstance(given.name, str) or not _PLAIN_NAME.fullmatch(given.name) or given.name in _NO_PHASES:
        raise ValueError(f"{given.name!r} is no name of a policy: lower-case letters, digits and `_`")
    if not callable(given.function):
        raise TypeError(f"the function of {given.name!r} cannot be called: {given.function!r}")
    arguments = given.arguments if given.arguments is not None else _arguments_of(given.function)
    entries = [_argument(name, each) for name, each in arguments.items()]
    try:
        signature(given.function).bind(0.0, 1.0, **dict.fromkeys(arguments, 1.0))
    except TypeError as fault:
        raise TypeError(f"the function of {given.name!r} cannot be called with its arguments: {fault}") from None
    left = "as long as the run" if given.endless else "what is left of the horizon"
    return {
        "description": given.description or f"{given.name}, registered by a program or a package.",
        "x-optplan": {
            "own": True,
            "supported": True,
            "endless": given.endless,
            "arguments": [
                {
                    "name": "for",
                    "kind": "duration",
                    "description": "How long the phase lasts; also its one positional argument.",
                    "default": left,
                },
                {
                    "name": "from",
                    "kind": "value",
                    "description": "What the policy's factor multiplies.",
                    "default": "where the phase before ended, first 1x",
                },
                *entries,
            ],
        },
    }


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not (_PLAIN_NAME.fullmatch(name) or _FULL_NAME.fullmatch(name)):
        raise ValueError(f"{name!r} is no name of an optimizer: write it in lower case, or as `package.Name`")
    if name.partition(".")[0] in TARGETS:
        raise ValueError(f"{name!r}: names that begin with `torch.` or `mindspore.` are the frameworks' own")


# Classes


def _native(given: Any, target: str) -> Native | None:
    native = given if given is None or isinstance(given, Native) else Native(given)
    if native is None:
        return None
    cls = native.cls
    if isinstance(cls, str):
        if not _FULL_NAME.fullmatch(cls):
            raise ValueError(f"{cls!r} is no name of a class: write `package.module.Class`")
    elif not isinstance(cls, type):
        raise TypeError(f"`{target}` is a class or the name of one, not {cls!r}")
    else:
        _check_class(cls, target)
    if target == "torch" and (native.arguments or native.constants):
        raise ValueError(
            "`arguments` and `constants` are for MindSpore: a class of PyTorch finds its settings in groups"
        )
    return native


def _check_class(cls: type, target: str) -> None:
    """Whether `cls` is an optimizer of `target` that can be found again by its name."""
    kinds = {(each.__module__.partition(".")[0], each.__name__) for each in cls.__mro__}
    if (target, "Optimizer") not in kinds:
        base = "torch.optim.Optimizer" if target == "torch" else "mindspore.nn.Optimizer"
        raise TypeError(f"`{target}` is a subclass of {base}, and {cls.__qualname__} is none")
    if getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is not cls:
        name = f"{cls.__module__}.{cls.__qualname__}"
        raise ValueError(f"{name} cannot be found by its name: define it at the top of a module")


def class_name(native: Native) -> str:
    """The full name of the class."""
    cls = native.cls
    return cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"


def _read_off(
    natives: Mapping[str, Native], options: Mapping[str, frozenset[str]]
) -> tuple[Mapping[str, Any], dict[str, tuple[str, ...]]]:
    """The settings of the first class that is at hand, and the options of each."""
    found = {
        target: settings_of(native.cls, options[target])
        for target, native in natives.items()
        if not isinstance(native.cls, str)
    }
    if not found:
        raise ValueError("`settings` is left out, and no class is given to read them off: give one of the two")
    return next(iter(found.values()))[0], {target: taken for target, (_, taken) in found.items()}


def _lowering(
    native: Native,
    target: str,
    entries: Entry,
    scheduled: list[str],
    known: frozenset[str],
    read: tuple[str, ...],
) -> Entry:
    entry: Entry = {
        "class": class_name(native),
        "options": _names(native.options or read, "options", known),
        "tensors": [],
        "excludes": [],
        "reason": native.reason,
    }
    if target == "mindspore":
        _names(native.arguments, "arguments", entries)
        # whether it minds that groups differ in decay is not known
        entry["shares"] = False
        entry["arguments"] = {"lr": "learning_rate", **native.arguments}
        entry["constants"] = dict(native.constants)
    if native.scheduled is not None:
        entry["scheduled"] = _names(native.scheduled, "scheduled", scheduled)
    elif target == "mindspore":
        entry["scheduled"] = [key for key in scheduled if key == "lr"]
    return entry


def _options(target: str, lowerings: list[Entry] | None) -> Entry:
    taken = lowerings[0]["options"] if lowerings else []
    there = ", ".join(taken) or "none"
    return {
        "description": f"Options of {target} that it takes: {there}.",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/$defs/options/{target}/properties/{name}"} for name in taken},
    }


def _numbers(entries: Entry, document: Mapping[str, Any]) -> list[str]:
    """The settings and elements that are one number."""
    settings = [read_setting(name, entry, document) for name, entry in entries.items()]
    return [each.name for setting in settings for each in (setting, *setting.items) if each.numeric]


def _names(given: Any, what: str, known: Any) -> list[str]:
    """The names in `given`, each one of `known`."""
    if isinstance(given, str):
        raise TypeError(f"`{what}` is a list of names, not the text {given!r}")
    names = list(given)
    strange = [name for name in names if name not in known]
    if strange:
        there = ", ".join(known) or "nothing"
        raise ValueError(f"`{what}` names {strange[0]!r}, and there is {there}")
    return names


# Arguments of policies


def _arguments_of(function: Callable[..., float]) -> dict[str, Any]:
    """The arguments of a policy after s and the duration, read off its signature."""
    parameters = list(signature(function).parameters.values())
    if len(parameters) < 2 or any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        raise TypeError(f"a policy is `function(s, duration, **arguments)`, with names for its arguments: {function!r}")
    found: dict[str, Any] = {}
    for each in parameters[2:]:
        said: Entry = {"kind": "count"} if each.annotation in (int, "int") else {}
        found[each.name] = said if each.default is Parameter.empty else {**said, "default": each.default}
    return found


def _argument(name: str, given: Any) -> Entry:
    """The entry of one argument of a policy."""
    if not isinstance(name, str) or not name.isidentifier() or name in ("s", "duration", "for", "from"):
        raise ValueError(f"{name!r} is no name of an argument")
    said = dict(given) if isinstance(given, Mapping) else {} if given is None else {"default": given}
    strange = [word for word in said if word not in _ARGUMENT_WORDS]
    if strange:
        raise ValueError(f"argument {name!r}: {strange[0]!r} is none of {', '.join(sorted(_ARGUMENT_WORDS))}")
    kind = said.get("kind", "number")
    if kind not in ("number", "count", "duration"):
        raise ValueError(f"argument {name!r}: `kind` is 'number', 'count' or 'duration', not {kind!r}")
    default = said.get("default")
    entry: Entry = {"name": name, "kind": kind, "description": said.get("description", f"{name} of this policy.")}
    entry |= {word: said[word] for word in ("minimum", "maximum", "exclusiveMinimum") if word in said}
    if default is None:
        return {**entry, "required": True}
    if isinstance(default, bool) or not isinstance(default, (int, float)) or not isfinite(default):
        raise TypeError(f"argument {name!r}: its default is a number, not {default!r}")
    return {**entry, "default": repr(default).removesuffix(".0")}
