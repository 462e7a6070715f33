"""What optimizers ask: of their settings, of each other, of the parameters that they take.

Conditions are data, read from the schema or given when an optimizer is registered; nothing here knows a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optplan.setting import Plain

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


@dataclass(frozen=True, slots=True)
class Condition:
    """`key operator value`, for a setting, an option or an attribute of a parameter."""

    key: str
    operator: str
    value: Plain

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds among `values`; a key that is missing counts as None, which is neither above nor below."""
        actual = _at(values, self.key)
        if actual is None and self.operator not in ("==", "!="):
            return False
        other = self.value
        if isinstance(other, str) and other.endswith("]"):
            other = _at(values, other)
        return _OPERATORS[self.operator](actual, other)

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key} {self.operator} {value}"


def _at(values: Mapping[str, Any], key: str) -> Any:
    """What `values` has for a key, or for the element of a list; None where it is missing."""
    name, _, place = key.removesuffix("]").partition("[")
    found = values.get(name)
    return found[int(place)] if place and found is not None else found


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
    state.  `together`: what settings ask of each other.  `closure`: an update evaluates the loss itself, several
    times.
    """

    parameters: tuple[Condition, ...] = ()
    gradients: Literal["dense", "sparse", "both"] = "dense"
    sparse: tuple[Condition, ...] = ()
    one_group: bool = False
    alone: bool = False
    shared: tuple[str, ...] = ()
    from_start: tuple[str, ...] = ()
    together: tuple[Constraint, ...] = ()
    closure: bool = False
