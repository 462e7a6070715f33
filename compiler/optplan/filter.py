"""The nodes of filters and of the patterns in them, whose grammar is in `optplan.grammar`.

    Filter  = And | Or | Not | Predicate | SetName | Path | Regex | TypeIs | Inside | Compare
    Part    = str | Any | One | Among | Choice | Range | Index       (of one segment of a path)

Each is frozen and knows its `span`, which takes no part in comparison.  `str()` of a node is its text in the language;
reading that text again gives an equal node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optplan.source import Span


def span_field() -> Span | None:
    """The field `span` of a node: it takes no part in comparison, so that what says the same is equal."""
    return field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    """Every one of `items`, two or more, holds."""

    items: tuple[Filter, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return " and ".join(bracketed(item, (And, Or)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Or:
    """One of `items`, two or more, holds."""

    items: tuple[Filter, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return " or ".join(bracketed(item, (Or,)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Not:
    """`item` does not hold."""

    item: Filter
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"not {bracketed(self.item, (And, Or))}"


@dataclass(frozen=True, slots=True)
class Predicate:
    """A built-in predicate: `norm`, `bias`, `frozen`, ..."""

    name: str
    span: Span | None = span_field()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SetName:
    """A filter named under `sets`."""

    name: str
    span: Span | None = span_field()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Any:
    """In a segment, `*`: a run of characters, none too."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class One:
    """In a segment, `?`: one character."""

    def __str__(self) -> str:
        return "?"


@dataclass(frozen=True, slots=True)
class Among:
    """In a segment, `[ab]`: one of these characters; `ranges` holds pairs, both ends taken."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """In a segment, `{up,down}`: one of these texts, each a run of parts without a choice of its own."""

    options: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """In a segment, `{0..5}`: a decimal number without leading zeros, both ends taken."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Index:
    """In a segment of a `layers` entry, `{i}`: digits, which number the layers."""


Part = str | Any | One | Among | Choice | Range | Index


@dataclass(frozen=True, slots=True)
class Path:
    """A pattern of a name, `segments` from the root, or from any depth where it is not `anchored`.

    A segment is a tuple of parts; None stands for `**`, any number of segments.  `form` tells how it was written:
    `bare` (encoder.layers), `call` (path(norm)) or `literal` (path("odd name")); `text` is the pattern, without the
    leading dot of a path that may start anywhere.
    """

    text: str
    segments: tuple[tuple[Part, ...] | None, ...] = field(compare=False, repr=False)
    anchored: bool = True
    form: str = "bare"
    span: Span | None = span_field()

    def __str__(self) -> str:
        pattern = self.text if self.anchored else f".{self.text}"
        if self.form == "literal":
            return f"path({quoted(pattern)})"
        return pattern if self.form == "bare" else f"path({pattern})"


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression in RE2 syntax, searched in the full name."""

    pattern: str
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"/{self.pattern.replace('/', chr(92) + '/')}/"


@dataclass(frozen=True, slots=True)
class TypeIs:
    """The owner's class, or one that it derives from, has one of these names; `*` and `?` stand for characters."""

    names: tuple[str, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"type({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Inside:
    """The owner or a module above it has such a class."""

    names: tuple[str, ...]
    span: Span | None = span_field()

    def __str__(self) -> str:
        return f"inside({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Compare:
    """`attribute operator value`; `index` is the one of `shape[index]`, `value` a word for `dtype` only."""

    attribute: str
    index: int | None
    operator: str
    value: int | float | str
    span: Span | None = span_field()

    def __str__(self) -> str:
        element = "" if self.index is None else f"[{self.index}]"
        return f"{self.attribute}{element} {self.operator} {self.value}"


Filter = And | Or | Not | Predicate | SetName | Path | Regex | TypeIs | Inside | Compare


def bracketed(node: object, looser: tuple[type, ...]) -> str:
    """The text of an operand, in parentheses where it binds less than what it stands in."""
    return f"({node})" if isinstance(node, looser) else str(node)


def quoted(text: str) -> str:
    r"""`text` between double quotes, `"` and `\` escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
