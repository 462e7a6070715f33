"""What the catalog knows of the forms of `clip` and `loss_scale`: `norm(1.0)`, `dynamic(init=65536)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optplan.setting import Setting


@dataclass(frozen=True, slots=True, eq=False)
class FormType:
    """A form: its arguments by name, how it can be written, and which argument may stand without its name."""

    name: str
    description: str
    arguments: Mapping[str, Setting]
    example: str
    positional: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """The forms that a key of the document can have; `number` names the one that a number alone is, if there is one."""

    key: str
    types: Mapping[str, FormType]
    number: str | None = None

    def keys(self) -> dict[str, str]:
        """`clip.norm`, `clip.norm.limit`, ... with their descriptions."""
        found = {}
        for form in self.types.values():
            found[f"{self.key}.{form.name}"] = form.description
            found |= {f"{self.key}.{form.name}.{each.name}": each.description for each in form.arguments.values()}
        return found

    @property
    def word(self) -> str:
        """What stands there: `loss scale`."""
        return self.key.replace("_", " ")

    @property
    def noun(self) -> str:
        """What stands there, with its article: `a loss scale`."""
        return f"a {self.word}"


def read_forms(
    document: Mapping[str, Any], read: Callable[[str, Mapping[str, Any], Mapping[str, Any]], Setting]
) -> Mapping[str, Forms]:
    """The forms by the key that has them, from the schema `document`; `read` makes a setting of an entry of it."""
    found = {}
    for key, entry in document["properties"].items():
        extra = entry.get("x-optplan", {})
        if "forms" in extra:
            types = {
                name: FormType(
                    name,
                    form["description"],
                    MappingProxyType(
                        {
                            each: replace(read(each, part, document), required=each in form.get("required", ()))
                            for each, part in form["properties"].items()
                        }
                    ),
                    form["x-optplan"]["example"],
                    form["x-optplan"].get("positional"),
                )
                for name, form in document["$defs"][extra["forms"]].items()
            }
            found[key] = Forms(key, MappingProxyType(types), extra.get("number"))
    return MappingProxyType(found)
