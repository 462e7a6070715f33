"""What a document says, as data.

`Config` is what the front end makes of a text and what `optplan.resolve` reads.  Every part is frozen and knows its
`span`, which takes no part in comparison: two documents that say the same are equal.  Nothing here has met a network,
so a filter is still a filter and an expression an expression.

The nodes of the three expression languages (their grammar is in `optplan.grammar`):

    Filter  = And | Or | Not | Predicate | SetName | Path | Regex | TypeIs | Inside | Compare
    Value   = Constant | Number | Ratio | Quantity | Name | Element | Negative | Binary | Call | Listing
    Policy  = Phase | Before | Then | Over | Into | Times | PerEpoch

`str()` of a node is its text in the language; reading that text again gives an equal node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optplan.source import Span


def _place() -> Span | None:
    return field(default=None, compare=False, repr=False)


# Filters


@dataclass(frozen=True, slots=True)
class And:
    """Every one of `items`, two or more, holds."""

    items: tuple[Filter, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return " and ".join(_operand(item, (And, Or)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Or:
    """One of `items`, two or more, holds."""

    items: tuple[Filter, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return " or ".join(_operand(item, (Or,)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Not:
    """`item` does not hold."""

    item: Filter
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"not {_operand(self.item, (And, Or))}"


@dataclass(frozen=True, slots=True)
class Predicate:
    """A built-in predicate: `norm`, `bias`, `frozen`, ..."""

    name: str
    span: Span | None = _place()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SetName:
    """A filter named under `sets`."""

    name: str
    span: Span | None = _place()

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
    span: Span | None = _place()

    def __str__(self) -> str:
        pattern = self.text if self.anchored else f".{self.text}"
        if self.form == "literal":
            return f"path({quoted(pattern)})"
        return pattern if self.form == "bare" else f"path({pattern})"


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression in RE2 syntax, searched in the full name."""

    pattern: str
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"/{self.pattern.replace('/', chr(92) + '/')}/"


@dataclass(frozen=True, slots=True)
class TypeIs:
    """The owner's class, or one that it derives from, has one of these names; `*` and `?` stand for characters."""

    names: tuple[str, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"type({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Inside:
    """The owner or a module above it has such a class."""

    names: tuple[str, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"inside({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Compare:
    """`attribute operator value`; `index` is the one of `shape[index]`, `value` a word for `dtype` only."""

    attribute: str
    index: int | None
    operator: str
    value: int | float | str
    span: Span | None = _place()

    def __str__(self) -> str:
        element = "" if self.index is None else f"[{self.index}]"
        return f"{self.attribute}{element} {self.operator} {self.value}"


Filter = And | Or | Not | Predicate | SetName | Path | Regex | TypeIs | Inside | Compare


# Values


@dataclass(frozen=True, slots=True)
class Constant:
    """A boolean, a word or null."""

    value: bool | str | None
    span: Span | None = _place()

    def __str__(self) -> str:
        return {True: "true", False: "false", None: "null"}.get(self.value, str(self.value))  # type: ignore[arg-type]  # a str falls through to the default


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number; an int where it was written as one."""

    value: int | float
    span: Span | None = _place()

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Ratio:
    """`0.1x`: so many times what stood before (in a value), or the parameter's own value (in a policy)."""

    value: int | float
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{self.value!r}x"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit, in a duration: `5 epochs`, `10%`, `2B tokens`; `unit` is `epochs`, `%`, `tokens` or `samples`."""

    value: int | float
    unit: str
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{self.value!r}%" if self.unit == "%" else f"{self.value!r} {self.unit}"


@dataclass(frozen=True, slots=True)
class Name:
    """A name from `let`, an attribute of the parameter, `layers` or `base`; in a policy's argument also a word."""

    name: str
    span: Span | None = _place()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Element:
    """`shape[index]`."""

    name: str
    index: int
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Negative:
    """`-item`."""

    item: Value
    span: Span | None = _place()

    def __str__(self) -> str:
        tight = isinstance(self.item, Binary) and self.item.operator != "**"
        return f"-({self.item})" if tight else f"-{self.item}"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`, with one of `+ - * / **`."""

    operator: str
    left: Value
    right: Value
    span: Span | None = _place()

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
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Listing:
    """`[a, b]`: one value for each place."""

    items: tuple[Value, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


Value = Constant | Number | Ratio | Quantity | Name | Element | Negative | Binary | Call | Listing


# Policies


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a phase; `name` is None for the positional one, its duration."""

    name: str | None
    value: Value
    span: Span | None = _place()

    def __str__(self) -> str:
        return str(self.value) if self.name is None else f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Phase:
    """`name(arguments)`; `name_span` is the place of the name alone."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span | None = _place()
    name_span: Span | None = _place()

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

    span: Span | None = _place()

    def __str__(self) -> str:
        return "base"


@dataclass(frozen=True, slots=True)
class Then:
    """`a -> b`, two or more policies one after the other."""

    items: tuple[Policy, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return " -> ".join(_operand(item, (Then,)) for item in self.items)


@dataclass(frozen=True, slots=True)
class Over:
    """`a over b`: `a` for its duration, then `b` as if it had run from the start."""

    first: Policy
    second: Policy
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{_operand(self.first, (Then, Over, Into))} over {_operand(self.second, (Then,))}"


@dataclass(frozen=True, slots=True)
class Into:
    """`a into b`: over the duration of `a`, in a straight line from `a` to `b`."""

    first: Policy
    second: Policy
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{_operand(self.first, (Then, Over, Into))} into {_operand(self.second, (Then,))}"


@dataclass(frozen=True, slots=True)
class Times:
    """`a * b`: two or more policies multiplied."""

    items: tuple[Policy, ...]
    span: Span | None = _place()

    def __str__(self) -> str:
        return " * ".join(_operand(item, (Then, Over, Into, Times)) for item in self.items)


@dataclass(frozen=True, slots=True)
class PerEpoch:
    """`a per epoch`: `a` counts whole epochs of the run instead of updates."""

    item: Policy
    span: Span | None = _place()

    def __str__(self) -> str:
        return f"{_operand(self.item, (Then, Over, Into, Times))} per epoch"


Policy = Phase | Before | Then | Over | Into | Times | PerEpoch


def _operand(node: Filter | Policy, looser: tuple[type, ...]) -> str:
    return f"({node})" if isinstance(node, looser) else str(node)


def quoted(text: str) -> str:
    r"""`text` between double quotes, `"` and `\` escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# The document


@dataclass(frozen=True, slots=True)
class Assignment:
    """`key: value`, or `key[index]: value`, for a hyper-parameter."""

    key: str
    value: Value
    index: int | None = None
    span: Span | None = _place()
    key_span: Span | None = _place()

    @property
    def name(self) -> str:
        """The key as it was written: `betas[0]`."""
        return self.key if self.index is None else f"{self.key}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one framework: `target` is `torch` or `mindspore`."""

    target: str
    name: str
    value: bool | int | float | str
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A policy for one hyper-parameter: `key` is `lr`, `weight_decay` or `betas` with `index` 0."""

    key: str
    policy: Policy
    index: int | None = None
    span: Span | None = _place()
    key_span: Span | None = _place()

    @property
    def name(self) -> str:
        """The key as it was written: `betas[0]`."""
        return self.key if self.index is None else f"{self.key}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`optimizer`, or an entry of `optimizers`: `name` is `optimizer` or that entry's, `type` a canonical name."""

    name: str
    type: str
    settings: tuple[Assignment, ...] = ()
    options: tuple[Option, ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of the cascade."""

    where: Filter
    name: str | None = None
    use: str | None = None
    freeze: bool | None = None
    optional: bool = False
    settings: tuple[Assignment, ...] = ()
    schedule: tuple[Scheduled, ...] = ()
    options: tuple[Option, ...] = ()
    span: Span | None = _place()
    where_span: Span | None = _place()
    use_span: Span | None = _place()
    freeze_span: Span | None = _place()

    @property
    def label(self) -> str:
        """What messages and group names call it: its name, else its filter."""
        return self.name if self.name is not None else str(self.where)


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of `layers`: its patterns cover it together."""

    patterns: tuple[Path, ...]
    span: Span | None = _place()

    @property
    def indexed(self) -> bool:
        """Whether it stands for one layer per index found."""
        return any(Index() in (segment or ()) for path in self.patterns for segment in path.segments)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How long the run is: each entry a positive number, or None where the file leaves it out."""

    steps: int | None = None
    epochs: int | float | None = None
    steps_per_epoch: int | None = None
    samples_per_step: int | float | None = None
    tokens_per_step: int | float | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Config:
    """One document, composed of all the files that it extends."""

    optimizer: Optimizer
    optimizers: Mapping[str, Optimizer] = field(default_factory=dict)
    let: Mapping[str, Value] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    sets: Mapping[str, Filter] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    horizon: Horizon = field(default_factory=Horizon)
    schedule: tuple[Scheduled, ...] = ()
    options: tuple[Option, ...] = ()
    version: int = 1
    sources: tuple[str, ...] = field(default=(), compare=False)

    def all_optimizers(self) -> Iterable[Optimizer]:
        """The main optimizer, then the further ones."""
        yield self.optimizer
        yield from self.optimizers.values()
