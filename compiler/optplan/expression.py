"""The nodes of values, policies and forms, whose grammar is in `optplan.grammar`.

    Value   = Constant | Number | Ratio | Quantity | Name | Element | Negative | Binary | Call | Listing | Lines
    Policy  = Phase | Before | Then | Over | Into | Times | PerEpoch
    Form

Each is frozen and knows its `span`, which takes no part in comparison.  `str()` of a node is its text in the language;
reading that text again gives an equal node.
"""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from typing import TYPE_CHECKING

from optplan.filter import bracketed, span_field

if TYPE_CHECKING:
    from optplan.source import Span


# Values


@dataclass(frozen=True, slots=True)
class Constant:
    """A boolean, a word or null."""

    value: bool | str | None
    span: Span | None = span_field()

    def __str__(self) -> str:
        return {True: "true", False: "false", None: "null"}.get(self.value, str(self.value))  # type: ignore[arg-type]  # a str falls through to the default


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number; an int where it was written as one."""

    value: int | float
    span: Span | None = span_field()

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Ratio:
    """`0.1x`: so many times what stood before (in a value), or the parameter's own value (in a policy)."""

    value: int | float
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{self.value!r}x"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit, in a duration: `5 epochs`, `10%`; `unit` is `epochs`, `%`, `tokens` or `samples`."""

    value: int | float
    unit: str
    span: Span | None = span_field()

    def __str__(self) -> str:
        if self.unit == "%":
            return f"{self.value!r}%"
        # "1 epoch" is what people write; tokens and samples have no singular in the language.
        return f"{self.value!r} {'epoch' if self.unit == 'epochs' and self.value == 1 else self.unit}"


@dataclass(frozen=True, slots=True)
class Name:
    """A name from `let`, an attribute of the parameter, `layers` or `base`; in a policy's argument also a word."""

    name: str
    span: Span | None = span_field()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Element:
    """`shape[index]`."""

    name: str
    index: int
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Negative:
    """`-item`."""

    item: Value
    span: Span | None = span_field()

    def __str__(self) -> str:
        tight = isinstance(self.item, Binary) and self.item.operator != "**"
        return f"-({self.item})" if tight else f"-{self.item}"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`, with one of `+ - * / **`."""

    operator: str
    left: Value
    right: Value
    span: Span | None = span_field()

    def __str__(self) -> str:
        level = _LEVEL[self.operator]
        left, right = (f"({side})" if _level(side) < level else str(side) for side in (self.left, self.right))
        if self.operator == "**":
            # a power binds to the right and closer than a sign on its left
            left = f"({self.left})" if _level(self.left) <= level else left
        elif _level(self.right) == level:
            right = f"({self.right})"
        return f"{left} {self.operator} {right}"


_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}


def _level(node: Value) -> int:
    """How closely the outermost operator of `node` binds; a power may stand right of a power, a sign too."""
    if isinstance(node, Binary):
        return _LEVEL[node.operator]
    if isinstance(node, Negative) or (isinstance(node, (Number, Ratio, Quantity)) and node.value < 0):
        return 3
    return 5


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`, with one of `min max sqrt log floor ceil round`."""

    function: str
    arguments: tuple[Value, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Listing:
    """`[a, b]`: one value for each place."""

    items: tuple[Value, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True)
class Lines:
    """`"file"`, the name of a file, with the numbers that stand in it, one a line."""

    file: str
    numbers: tuple[float, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return dumps(self.file, ensure_ascii=False)


Value = Constant | Number | Ratio | Quantity | Name | Element | Negative | Binary | Call | Listing | Lines


# Policies


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a phase or a form; `name` is None for the positional one, of a phase its duration."""

    name: str | None
    value: Value
    span: Span | None = span_field()

    def __str__(self) -> str:
        return str(self.value) if self.name is None else f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Phase:
    """`name(arguments)`; `name_span` is the place of the name alone."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span | None = span_field()
    name_span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"

    def argument(self, name: str) -> Argument | None:
        """The argument of this name; `for` also finds the positional one."""
        for argument in self.arguments:
            if argument.name == name or (argument.name is None and name == "for"):
                return argument
        return None


@dataclass(frozen=True, slots=True)
class Before:
    """`base`: in a rule's schedule, the policy that stood before."""

    span: Span | None = span_field()

    def __str__(self) -> str:
        return "base"


@dataclass(frozen=True, slots=True)
class Then:
    """`a -> b`, two or more policies one after the other."""

    items: tuple[Policy, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return " -> ".join(bracketed(item, (Then,)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Over:
    """`a over b`: `a` for its duration, then `b` as if it had run from the start."""

    first: Policy
    second: Policy
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{bracketed(self.first, (Then, Over, Into))} over {bracketed(self.second, (Then,))}"


@dataclass(frozen=True, slots=True)
class Into:
    """`a into b`: over the duration of `a`, in a straight line from `a` to `b`."""

    first: Policy
    second: Policy
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{bracketed(self.first, (Then, Over, Into))} into {bracketed(self.second, (Then,))}"


@dataclass(frozen=True, slots=True)
class Times:
    """`a * b`: two or more policies multiplied."""

    items: tuple[Policy, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return " * ".join(bracketed(item, (Then, Over, Into, Times)) for item in self.items)


@dataclass(frozen=True, slots=True)
class PerEpoch:
    """`a per epoch`: `a` counts whole epochs of the run instead of updates."""

    item: Policy
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{bracketed(self.item, (Then, Over, Into, Times))} per epoch"


Policy = Phase | Before | Then | Over | Into | Times | PerEpoch


# Clip and loss scale


@dataclass(frozen=True, slots=True)
class Form:
    """`norm(1.0)`, `dynamic(init=65536)`: what `clip` or `loss_scale` holds; `name_span` is the name's place alone."""

    name: str
    arguments: tuple[Argument, ...] = ()
    span: Span | None = span_field()
    name_span: Span | None = span_field()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"
