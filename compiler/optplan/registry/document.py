"""The JSON Schema of documents with a registered optimizer or policy in it.

Takes a schema and an entry of it, gives a new schema; neither is changed.  A setting that other optimizers have too may
be in a rule what any of them allows: which of them the rule is about is known only when it meets a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optplan.catalog import resolved

if TYPE_CHECKING:
    from collections.abc import Mapping

Entry = dict[str, Any]

_LOW = ("minimum", "exclusiveMinimum")
_HIGH = ("maximum", "exclusiveMaximum")


def with_policy(document: Mapping[str, Any], name: str, entry: Entry) -> Entry:
    """The schema that knows the phase `name` too."""
    definitions = document["$defs"]
    return {**document, "$defs": {**definitions, "policies": {**definitions["policies"], name: entry}}}


def with_optimizer(document: Mapping[str, Any], name: str, entry: Entry) -> Entry:
    """The schema that knows the optimizer `name` too: its type, its settings in rules, its policies."""
    definitions = document["$defs"]
    rule, schedule = definitions["rule"], definitions["schedule"]
    changed = {
        "optimizers": {**definitions["optimizers"], name: entry},
        "optimizer": _chosen(definitions["optimizer"], name),
        "rule": {**rule, "properties": _with_settings(rule["properties"], entry, document)},
        "schedule": {
            **schedule,
            "properties": {
                **schedule["properties"],
                **{key: {"$ref": "#/$defs/policy"} for key in entry["x-optplan"]["scheduled"]},
            },
        },
    }
    return {**document, "$defs": {**definitions, **changed}}


def _chosen(optimizer: Entry, name: str) -> Entry:
    """What chooses the definition of an optimizer by its type, with one more."""
    kind = optimizer["properties"]["type"]
    choice = {
        "if": {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {"$ref": f"#/$defs/optimizers/{name}"},
    }
    return {
        **optimizer,
        "properties": {**optimizer["properties"], "type": {**kind, "enum": [*kind["enum"], name]}},
        "allOf": [*optimizer["allOf"], choice],
    }


def _with_settings(properties: Entry, optimizer: Entry, document: Mapping[str, Any]) -> Entry:
    """The keys of a rule, and those of the settings and elements of `optimizer`."""
    found = dict(properties)
    for key, each in optimizer["properties"].items():
        if key in ("type", *document["$defs"]["options"]):
            continue
        setting = _whole(each, document)
        parts = [(f"{key}[{place}]", item) for place, item in enumerate(setting.get("prefixItems", ()))]
        for name, entry in [(key, setting), *parts]:
            new = {word: value for word, value in entry.items() if word != "default"}
            found[name] = _either(found[name], new, document) if name in found else new
    return found


def _whole(entry: Entry, document: Mapping[str, Any]) -> Entry:
    """`entry` with all that it refers to, its elements too."""
    entry = {word: value for word, value in resolved(entry, document).items() if word != "$ref"}
    if "prefixItems" in entry:
        entry["prefixItems"] = [_whole(item, document) for item in entry["prefixItems"]]
    return entry


def _either(entry: Entry, new: Entry, document: Mapping[str, Any]) -> Entry:
    """What one of two entries allows; `entry` itself where `new` allows no more."""
    old = _whole(entry, document)
    both: Entry = {"description": old["description"]}
    if "enum" in old and "enum" in new:
        both["enum"] = list(dict.fromkeys([*old["enum"], *new["enum"]]))
    else:
        kinds = list(dict.fromkeys([*_types(old), *_types(new)]))
        both["type"] = kinds if len(kinds) > 1 else kinds[0]
        # A bound is one of numbers: what is no number has none to loosen.
        numeric = [each for each in (old, new) if {"number", "integer"} & set(_types(each))]
        both |= _bound(numeric, _LOW, min) | _bound(numeric, _HIGH, max)
        both |= _elements([each for each in (old, new) if "prefixItems" in each], document)
    same = {**both, "type": set(_types(both))} == {**old, "type": set(_types(old))}
    return entry if same else both


def _types(entry: Entry) -> list[str]:
    if "enum" in entry:
        return ["string", "null"] if None in entry["enum"] else ["string"]
    kinds = entry["type"]
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _bound(entries: list[Entry], words: tuple[str, str], loosest: Any) -> Entry:
    """The looser one of bounds, none where one of the entries has none; `words` are those for it and for beyond it."""
    found = [(entry[word], word) for entry in entries for word in words if word in entry]
    if not found or len(found) < len(entries):
        return {}
    value = loosest(value for value, _ in found)
    return {words[0] if (value, words[0]) in found else words[1]: value}


def _elements(entries: list[Entry], document: Mapping[str, Any]) -> Entry:
    """The elements of lists, of which one may be longer than the other."""
    if not entries:
        return {}
    first, *others = (entry["prefixItems"] for entry in entries)
    items = list(first)
    for other in others:
        items = [_either(a, b, document) for a, b in zip(items, other, strict=False)]
        items += [*first[len(items) :], *other[len(items) :]]
    sizes = [len(entry["prefixItems"]) for entry in entries]
    return {"prefixItems": items, "items": False, "minItems": min(sizes), "maxItems": max(sizes)}
