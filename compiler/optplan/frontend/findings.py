"""What a validator finds wrong with a document's shape, as diagnostics at the nodes that it is about.

Each finding becomes one message; the place that it is about joins the faulty ones, which are not read further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optplan.catalog import ELSEWHERE
from optplan.diagnostics import nearest, suggestion
from optplan.frontend.elsewhere import as_horizon, elsewhere
from optplan.frontend.namesakes import as_type, same_class
from optplan.frontend.nodes import Mapping, Scalar
from optplan.frontend.places import is_setting
from optplan.frontend.scalars import core_value

if TYPE_CHECKING:
    from collections import abc

    from jsonschema import ValidationError

    from optplan.catalog import Catalog
    from optplan.diagnostics import Collector
    from optplan.frontend.elsewhere import Place
    from optplan.frontend.nodes import Node
    from optplan.frontend.places import Checked, Path
    from optplan.source import Span

# What to write where a required key is missing.
_REQUIRED = {
    "optplan": "begin with `optplan: 1`",
    "optimizer": "say `optimizer: {type: adamw, lr: 1e-3}`",
    "where": "say which parameters it is for; `where: all` is every one",
    "type": "say which optimizer it is, such as `type: adamw`",
    "lr": "the class has no default for it; say `lr: 0.1`",
    "momentum": "the class has no default for it; say `momentum: 0.9`",
}

_ELSEWHERE_IN_A_RULE = {
    "params": "where",
    "filter": "where",
    "match": "where",
    "type": "use",
    "optimizer": "use",
}

_PLACES: dict[str, Place] = {
    "": "document",
    "horizon": "horizon",
    "optimizer": "optimizer",
    "optimizers": "optimizer",
    "rules": "rule",
}

_OTHER_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})

_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


class Findings:
    """Reports the findings about one document; `nodes` and `keys` are its values and its keys' places, by path."""

    def __init__(
        self,
        checked: Checked,
        nodes: abc.Mapping[Path, Node],
        keys: abc.Mapping[Path, Span],
        catalog: Catalog,
        collector: Collector,
    ) -> None:
        self._checked, self._nodes, self._keys = checked, nodes, keys
        self._catalog, self._collector = catalog, collector

    def report(self, error: ValidationError) -> None:
        """Report one finding of the validator."""
        path: Path = tuple(error.absolute_path)
        keyword = str(error.validator)
        match keyword:
            case "additionalProperties":
                self._unknown_keys(error, path)
            case "required":
                self._missing_keys(error, path)
            case "propertyNames":
                # Its parent reports names, one by one, with their spans.
                self._bad_name(error, path)
            case "pattern":
                self._bad_name(error, path)
            case "const" | "enum":
                self._unknown_word(error, path)
            case "type" | "minItems" | "maxItems" | "items" | "prefixItems":
                self._wrong_type(error, path)
            case _:
                self._out_of_range(error, path)
        if keyword not in {"additionalProperties", "required", "propertyNames"}:
            self._checked.faulty.add(path)

    def _span(self, path: Path) -> Span:
        return self._nodes[path].span

    def _unknown_keys(self, error: ValidationError, path: Path) -> None:
        known = list(_schema(error)["properties"])
        for name in _given(error):
            if name in known:
                continue
            below = (*path, name)
            self._checked.faulty.add(below)
            code, message, cure = self._unknown_key(name, path, known)
            self._collector.error(code, message, self._keys[below], help=cure)

    def _unknown_key(self, name: str, path: Path, known: list[str]) -> tuple[str, str, str | None]:
        settings = self._catalog.all_settings
        owner = self._optimizer_at(path)
        if path and path[-1] == "schedule":
            if name in settings:
                elements = [key for key in settings if key.startswith(f"{name}[")]
                only = f"schedule one element: `{'` or `'.join(elements)}`" if elements else "only numbers can change"
                return "OP406", f"`{name}` cannot have a policy", only
            return "OP101", f"no optimizer has a setting `{name}`", _meant(name, path, known)
        if path and path[-1] in self._catalog.options:
            target = str(path[-1])
            if name in self._catalog.options[target]:
                having = self._catalog.optimizers_with_option(target, name)
                return "OP115", f"`{owner}` has no option `{name}`", f"these have: {_listed(having)}"
            return "OP101", f"unknown option `{name}` of {target}", suggestion(name, self._catalog.options[target])
        if owner is not None:
            cure = self._as_option(name, path, owner)
            if name not in settings:
                cure = cure or self._elsewhere(name, path, known)
            cure = cure or _meant(name, path, known)
            if name in settings:
                having = self._catalog.optimizers_with(name)
                return "OP113", f"`{owner}` has no setting `{name}`", cure or f"these have: {_listed(having)}"
            return "OP101", f"`{owner}` has no setting `{name}`", cure or f"its settings are {_listed(known[1:])}"
        where = {"rules": " of a rule", "horizon": " of `horizon`"}.get(str(path[0]) if path else "", "")
        otherwise = None if len(known) > 20 else f"the keys are {_listed(known)}"
        cure = self._as_option(name, path, None) if not path or _is_rule(path) else None
        cure = cure or self._elsewhere(name, path, known) or _meant(name, path, known, otherwise)
        return "OP101", f"unknown key `{name}`{where}", cure

    def _elsewhere(self, name: str, path: Path, known: list[str]) -> str | None:
        """How to write what has another form or another place."""
        place = _PLACES.get(str(path[0]) if path else "")
        node = self._nodes.get((*path, name))
        return None if place is None else elsewhere(name, node, place, known, self._catalog)

    def _as_option(self, name: str, path: Path, owner: str | None) -> str | None:
        """How to write an option of torch that stands where settings do; None where `owner` has no such option."""
        having = self._catalog.optimizers_with_option("torch", name)
        if not having or (owner is not None and owner not in having):
            return None
        node = self._nodes.get((*path, name))
        return f"write `torch: {{{name}: {node.text.value if isinstance(node, Scalar) else '...'}}}`"

    def _optimizer_at(self, path: Path) -> str | None:
        """The type of the optimizer that `path` is in, None where it is in none."""
        depth = {"optimizer": 1, "optimizers": 2}.get(str(path[0]) if path else "", 0)
        node = self._nodes.get(path[:depth]) if depth else None
        entry = node.get("type") if isinstance(node, Mapping) else None
        return entry.value.text.value if entry is not None and isinstance(entry.value, Scalar) else None

    def _missing_keys(self, error: ValidationError, path: Path) -> None:
        known = _schema(error).get("properties", {})
        unknown = [name for name in _given(error) if name not in known]
        for name in _schema(error)["required"]:
            below = (*path, name)
            if name in _given(error) or below in self._checked.faulty:
                continue
            if any(name in _candidates(other, path, known) for other in unknown):
                # `optimzer` has a message of its own, which says what it was meant to be
                continue
            if not path:
                owner, start = "the document", self._checked.root.span
                span = type(start)(start.source, start.start, start.start + 1)
            else:
                owner = f"rule {path[1]}" if path[0] == "rules" else f"`{path[-1]}`"
                span = self._keys.get(path) or self._first_key(path)
            self._collector.error("OP102", f"{owner} has no `{name}`", span, help=_REQUIRED.get(name))

    def _first_key(self, path: Path) -> Span:
        node = self._nodes[path]
        return node.entries[0].key.span if isinstance(node, Mapping) and node.entries else node.span

    def _bad_name(self, error: ValidationError, path: Path) -> None:
        # For names of keys the validator gives the name as instance, and the path of their mapping.
        name = str(error.instance)
        below = (*path, name)
        span = self._keys.get(below) if below in self._keys else self._span(path)
        if below in self._keys:
            self._checked.faulty.add(below)
        cure = "names are letters, digits, `_` and `-`, and do not begin with a digit or `-`"
        self._collector.error("OP108", f"`{name}` is no valid name", span, help=cure)

    def _unknown_word(self, error: ValidationError, path: Path) -> None:
        value, key = error.instance, path[-1] if path else ""
        span = self._span(path)
        if path == ("optplan",):
            if not check_version(value, span, self._collector):
                self._collector.error(
                    "OP103", "`optplan` is the version of the language, the number 1", span, help="`optplan: 1`"
                )
            return
        if key == "type":
            self._unknown_type(value, _schema(error)["x-optplan"]["refused"], span)
            return
        allowed: list[Any] = list(_schema(error).get("enum", ()))
        words = [word for word in allowed if word is not None]
        null = " or null" if None in allowed else ""
        message = f"`{key}` must be {' or '.join(f'`{word}`' for word in words)}{null}, not {_shown(value)}"
        code = "OP104" if isinstance(value, str) else "OP103"
        self._collector.error(code, message, span, help=suggestion(value, words) if isinstance(value, str) else None)

    def _unknown_type(self, value: Any, refused: dict[str, str], span: Span) -> None:
        if not isinstance(value, str):
            self._collector.error("OP105", "`type` must be the name of an optimizer", span)
            return
        why = next((why for name, why in refused.items() if same_class(value, name)), None)
        if why is not None:
            self._collector.error("OP105", f"`{value}` cannot be used as an optimizer: {why}", span)
            return
        known = self._catalog.optimizers
        plain = [name for name in known if "." not in name]
        cure = as_type(value, list(known)) or f"there are {_listed(plain)}, and those of one framework alone"
        self._collector.error("OP105", f"unknown optimizer `{value}`", span, help=cure)

    def _wrong_type(self, error: ValidationError, path: Path) -> None:
        if path in self._checked.faulty:
            return
        name = _name(path)
        expects = self._expects(path) or _types(_schema(error).get("type", ()))
        value = _shown(error.instance)
        span = self._span(path) if path else None
        cure = self._type_cure(error.instance, path, expects)
        self._collector.error("OP103", f"{name} must be {expects}, not {value}", span, help=cure)

    def _type_cure(self, value: Any, path: Path, expects: str) -> str | None:
        if value is None:
            if isinstance(path[-1], int):
                return "nothing stands behind its `-`; leave that out, or write what is meant"
            return "leave the key out, or give it a value"
        if path == ("rules",) and isinstance(value, dict):
            return "begin each rule with `- `"
        if path == ("horizon",):
            return as_horizon(value)
        if path[-1] == "schedule" and isinstance(value, list) and all(isinstance(each, str) for each in value):
            return f"say below it what has the policy: `lr: {' -> '.join(value) or 'cosine()'}`"
        if not isinstance(value, str):
            return None
        if "true or false" in expects:
            if value.lower() in {"true", "false"}:
                return f"write it without quotes: `{value.lower()}`"
            return "YAML 1.2 knows only `true` and `false`" if value.lower() in _OTHER_BOOLEANS else None
        if expects.endswith("number"):
            if core_value(value) == value:
                return "a plain number stands here, no expression"
            return "a plain number stands here, without quotes"
        if path == ("layers",):
            return f"write `[{value}]`"
        if path[-1] == "schedule":
            return f"say below it what has the policy: `lr: {value}`"
        if expects == "a mapping" and value in self._catalog.optimizers:
            return f"write `{{type: {value}}}`"
        return None

    def _out_of_range(self, error: ValidationError, path: Path) -> None:
        name = _name(path)
        expects = self._expects(path)
        if expects is None:
            word = {
                "minimum": "of at least",
                "exclusiveMinimum": "above",
                "maximum": "of at most",
                "exclusiveMaximum": "below",
            }
            whole = "a whole number" if _schema(error).get("type") == "integer" else "a number"
            expects = f"{whole} {word.get(str(error.validator), '')} {error.validator_value}"
        message = f"{name} must be {expects}, not {_shown(error.instance)}"
        self._collector.error("OP104", message, self._span(path))

    def _expects(self, path: Path) -> str | None:
        """What the setting at `path` may be, in words."""
        if not is_setting(path) or path[0] == "let":
            return None
        keys = [
            str(step) if isinstance(step, str) else f"[{step}]" for step in path[1 if path[0] == "optimizer" else 2 :]
        ]
        key = "".join(keys)
        owner = self._optimizer_at(path)
        if owner is not None and owner in self._catalog.optimizers:
            setting = self._catalog.optimizers[owner].setting(key)
            return setting.expects if setting is not None else None
        shapes = self._catalog.all_settings.get(key, ())
        return shapes[0].expects if shapes else None


def check_version(value: object, span: Span, collector: Collector) -> bool:
    """Report a version of the language that this release does not read (OP106); whether that was the fault."""
    if not isinstance(value, int) or isinstance(value, bool) or value == 1:
        return False
    message = f"this release reads version 1 of the language, not {value}"
    collector.error("OP106", message, span, help="a newer release may read it")
    return True


def _is_rule(path: Path) -> bool:
    return len(path) == 2 and path[0] == "rules"


def _candidates(name: str, path: Path, known: list[str] | dict[str, Any]) -> list[str]:
    """The keys among `known` that `name` was probably meant to be."""
    other = _ELSEWHERE_IN_A_RULE.get(name) if _is_rule(path) else None
    other = other or ELSEWHERE.get(name)
    if other is not None and other in known:
        return [other]
    # Any short word is near a setting of one letter.
    return nearest(name, [key for key in known if len(key) > 1 or key == name.lower()])


def _meant(name: str, path: Path, known: list[str], otherwise: str | None = None) -> str | None:
    """The help for an unknown key."""
    close = _candidates(name, path, known)
    return f"did you mean {' or '.join(f'`{key}`' for key in close)}?" if close else otherwise


def _schema(error: ValidationError) -> dict[str, Any]:
    """The part of the schema that was not met."""
    part: Any = error.schema
    return dict(part)


def _given(error: ValidationError) -> dict[str, Any]:
    """The mapping that a finding about keys is about."""
    given: Any = error.instance
    return dict(given)


def _name(path: Path) -> str:
    if not path:
        return "the document"
    named = [step for step in path if isinstance(step, str)]
    if isinstance(path[-1], int):
        return f"rule {path[-1]}" if path[0] == "rules" and len(path) == 2 else f"item {path[-1]} of `{named[-1]}`"
    return f"`{path[-1]}`"


def _types(types: str | list[str]) -> str:
    names = [types] if isinstance(types, str) else list(types)
    if names == ["number", "string"]:
        return "a number or an expression"
    return " or ".join(_TYPES[name] for name in names)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return f"the text `{value}`" if value else "an empty text"
    return (
        {True: "true", False: "false", None: "null"}.get(value, repr(value))
        if value is None or isinstance(value, bool)
        else repr(value)
    )


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
