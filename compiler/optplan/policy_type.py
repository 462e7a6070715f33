"""What the catalog knows of a phase of the schedule language: its name, its arguments, where it may stand."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """An argument of a phase; `default` is its text in the language, or the words for what stands without it."""

    name: str
    kind: Literal["duration", "value", "count", "number", "word", "text", "list"]
    description: str
    default: str | None = None
    required: bool = False
    words: tuple[str, ...] = ()
    items: Literal["duration", "value"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PolicyType:
    """A phase of the schedule language.

    `supported` is False where this release knows its name only; `last` is True where nothing may follow it.  One that
    was registered has its `function`; `endless` says that this may do without a duration.
    """

    name: str
    description: str
    arguments: Mapping[str, ArgumentType]
    supported: bool = True
    last: bool = False
    function: Callable[..., float] | None = None
    endless: bool = False


def read_policy_type(name: str, entry: Mapping[str, Any], function: Callable[..., float] | None = None) -> PolicyType:
    """The phase that the schema's entry describes; `function` is that of one that was registered."""
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
            each.get("exclusiveMaximum", each.get("maximum")),
            "exclusiveMinimum" in each,
            "exclusiveMaximum" in each,
        )
        for each in extra["arguments"]
    }
    return PolicyType(
        name,
        entry["description"],
        MappingProxyType(arguments),
        extra["supported"],
        "last" in extra,
        function,
        extra.get("endless", False),
    )
