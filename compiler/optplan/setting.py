"""A hyper-parameter: what it may be, in numbers and in words, and how the schema says so.

`Setting` is how the catalog describes a hyper-parameter of an optimizer, an element of one (`betas[0]`) or an option of
a framework.  It judges values, the plain numbers that are left when every expression has been evaluated, and
guarantees that what it allows is finite and within the bounds that the native class enforces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from sys import float_info
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["float", "int", "bool", "word", "list"]
Plain = float | int | bool | str | tuple["Plain", ...] | None

_KINDS: dict[str, Kind] = {"number": "float", "integer": "int", "boolean": "bool", "array": "list"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A hyper-parameter, or an option of a framework: what it may be and what it is when left out.

    `items` are the elements of a list, each a setting named `betas[0]`; `words` what a word may be.  A default has the
    setting's own kind: a float where it is a number, a tuple where it is a list; one that is `required` has none.
    """

    name: str
    kind: Kind
    description: str = ""
    default: Plain = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    nullable: bool = False
    words: tuple[str, ...] = ()
    items: tuple[Setting, ...] = ()
    required: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it is one number, so that an expression may stand for it."""
        return self.kind in ("float", "int")

    @property
    def expects(self) -> str:
        """What may stand there, in words: `a number of at least 0 or an expression`."""
        if self.numeric:
            return _either([*self._plain(), "an expression"])
        return _either(self._plain())

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, as the end of a sentence about it, or None where it is allowed.

        A whole float is allowed for an integer, an integer for a number; a boolean is no number, and a number is
        finite.
        """
        if value is None and self.nullable:
            return None
        if self.kind == "list":
            return self._check_list(value)
        if self.kind == "bool":
            return None if isinstance(value, bool) else f"must be {self.expects}"
        if self.kind == "word":
            return None if isinstance(value, str) and value in self.words else f"must be {self.expects}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"must be {_either(self._plain())}"
        if not -float_info.max <= value <= float_info.max:  # nan too
            return "must be finite"
        if self.kind == "int" and value != int(value):
            return "must be a whole number"
        return self._check_range(value)

    def cast(self, value: Plain) -> Plain:
        """`value`, which `check` allows, in the setting's own type, so that equal values are the same doubles."""
        if value is None:
            return None
        if self.kind == "float":
            return float(value)  # type: ignore[arg-type]  # `check` allows numbers only
        if self.kind == "int":
            return int(value)  # type: ignore[arg-type]  # as above
        if self.kind == "list":
            return tuple(item.cast(part) for item, part in zip(self.items, value, strict=True))  # type: ignore[arg-type]  # as above
        return value

    def _check_list(self, value: object) -> str | None:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            return f"must be {self.expects}"
        for place, (item, part) in enumerate(zip(self.items, value, strict=True)):
            fault = item.check(part)
            if fault is not None:
                return f"element {place} {fault}"
        return None

    def _check_range(self, value: float) -> str | None:
        low, high = self.minimum, self.maximum
        if low is not None and (value <= low if self.exclusive_minimum else value < low):
            return f"must be {'above' if self.exclusive_minimum else 'at least'} {_shown(low)}"
        if high is not None and (value >= high if self.exclusive_maximum else value > high):
            return f"must be {'below' if self.exclusive_maximum else 'at most'} {_shown(high)}"
        return None

    def _plain(self) -> list[str]:
        """What may stand there other than an expression."""
        if self.kind == "bool":
            parts = ["true", "false"]
        elif self.kind == "word":
            parts = [f"`{word}`" for word in self.words]
        elif self.kind == "list":
            parts = [f"a list of {len(self.items)} numbers"]
        else:
            bounds = []
            if self.minimum is not None:
                bounds.append(f"{'above' if self.exclusive_minimum else 'of at least'} {_shown(self.minimum)}")
            if self.maximum is not None:
                most = "below" if self.exclusive_maximum else "at most" if bounds else "of at most"
                bounds.append(f"{most} {_shown(self.maximum)}")
            parts = [" ".join(["a whole number" if self.kind == "int" else "a number", " and ".join(bounds)]).rstrip()]
        return [*parts, "null"] if self.nullable else parts


def _either(parts: list[str]) -> str:
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def resolved(entry: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """`entry` with what it refers to, its own keys on top."""
    if "$ref" not in entry:
        return dict(entry)
    target: Any = document
    for step in entry["$ref"].removeprefix("#/").split("/"):
        target = target[int(step)] if isinstance(target, list) else target[step]
    return {**resolved(target, document), **entry}


def read_setting(name: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> Setting:
    """The setting that an entry of the schema describes; of `document`, in which it refers to others."""
    entry = resolved(entry, document)
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
        tuple(
            read_setting(f"{name}[{place}]", item, document) for place, item in enumerate(entry.get("prefixItems", ()))
        ),
    )
    default = setting.cast(entry.get("default"))
    # an element left out has the element of the list's default
    parts = default if isinstance(default, tuple) else ()
    items = tuple(replace(item, default=part) for item, part in zip(setting.items, parts, strict=False))
    return replace(setting, default=default, items=items or setting.items)


def _shown(limit: float) -> str:
    """A limit as a file would have it: counts in full."""
    return str(limit) if isinstance(limit, int) else f"{limit:g}"
