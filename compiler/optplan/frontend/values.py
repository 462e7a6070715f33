"""Values: a text such as `base * 0.75 ** (layers - 1 - layer)` in, a `Value` of `optplan.config` out.

The grammar is `value.lark` of `optplan.grammar`; the arguments of a policy are read with it too, so it knows durations,
lists and texts, which `check_value` keeps out of a hyper-parameter.  Numbers are not computed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import suggestion
from optplan.expression import Binary, Call, Constant, Element, Listing, Name, Negative, Number, Quantity, Ratio
from optplan.frontend.grammar import Fault, Language, Stop, build, fail, parse_number, place, shown, unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from optplan.diagnostics import Collector
    from optplan.expression import Value
    from optplan.frontend.automaton import Token
    from optplan.source import Span, Text

# how many arguments each function takes, at least and at most; None is any number
FUNCTIONS: dict[str, tuple[int, int | None]] = {
    "min": (2, None),
    "max": (2, None),
    "sqrt": (1, 1),
    "log": (1, 1),
    "floor": (1, 1),
    "ceil": (1, 1),
    "round": (1, 1),
}

# What else people write behind a number, and what it is here: "" counts updates.
_OTHER_UNITS = {
    **dict.fromkeys(("ep", "epo"), "epochs"),
    **dict.fromkeys(("pct", "percent"), "%"),
    **dict.fromkeys(("tok", "toks"), "tokens"),
    **dict.fromkeys(("batch", "batches", "it", "iter", "iters", "iteration", "iterations", "its"), ""),
    **dict.fromkeys(("step", "steps", "update", "updates"), ""),
}

UNITS = {"epoch": "epochs", "epochs": "epochs", "%": "%", "tokens": "tokens", "samples": "samples"}

OPERANDS = frozenset({"NUMBER", "INDEX"})

# Names that have a value for one parameter only.
_OWN = frozenset({"ndim", "numel", "fan_in", "fan_out", "layer", "layers", "shape", "dtype"})

_CONSTANTS = {"true": True, "false": False, "null": None}
_NUMBER_CURE = "write digits with a `.`, an exponent as in `1e-3`, or one of `k`, `M` and `B` behind them"
_UNIT_CURE = "the units are `epochs`, `%`, `tokens` and `samples`; a bare number counts updates"


def parse_value(
    text: Text,
    collector: Collector,
    *,
    names: Collection[str],
    base: bool,
    attributes: Collection[str],
) -> Value | None:
    """The value that `text` is, or None with every fault reported.

    It may use `names`, which `let` defines, the numbers among `attributes`, and `layers`; `base` and ratios where
    `base` says that something stands before it.
    """
    value = build(LANGUAGE, text, collector, ValueBuilder(text).make)
    if value is None:
        return None
    scope = Scope("a value", LANGUAGE.code, names, attributes, base=base, ratios=base)
    parts = value.items if isinstance(value, Listing) else (value,)
    # a word of YAML's may be a whole value, but no part of an expression
    faults = [check(part, scope, collector) for part in parts if not _is_plain(part)]
    return value if all(faults) else None


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may be made of, and what it is called; `code` is that of what has no place in it.

    Where it has no `attributes`, `otherwise` says what may ask for a parameter's own numbers.
    """

    what: str
    code: str
    names: Collection[str]
    attributes: Collection[str] = ()
    base: bool = False
    ratios: bool = False
    quantities: bool = False
    otherwise: str = "a rule's setting may use it"

    @property
    def known(self) -> list[str]:
        """Every name that it may use."""
        return [*self.names, *(("layers",) if self.attributes else ()), *self.attributes, *(("base",) * self.base)]


def check(value: Value, scope: Scope, collector: Collector) -> bool:
    """Whether everything in `value` has a place in `scope`; what has none is reported where it stands."""
    fault = _fault(value, scope)
    if fault is not None:
        code, message, cure = fault
        collector.error(code, message, value.span, help=cure)
        return False
    if isinstance(value, Binary):
        sides = [check(value.left, scope, collector), check(value.right, scope, collector)]
        return all(sides) and _check_ratio(value, collector)
    if isinstance(value, Call):
        arguments = [check(argument, scope, collector) for argument in value.arguments]
        return all(arguments)
    return check(value.item, scope, collector) if isinstance(value, Negative) else True


def walk(value: Value) -> Iterator[Value]:
    """`value` and every node in it, outer before inner, left before right."""
    yield value
    inner: tuple[Value, ...] = ()
    if isinstance(value, Binary):
        inner = value.left, value.right
    elif isinstance(value, Negative):
        inner = (value.item,)
    elif isinstance(value, (Call, Listing)):
        inner = value.arguments if isinstance(value, Call) else value.items
    for part in inner:
        yield from walk(part)


@dataclass(frozen=True, slots=True)
class ValueBuilder:
    """The nodes of the rules of `value.lark` for one text; `durations` says whether one is likely to be meant."""

    text: Text
    durations: bool = False

    def make(self, rule: str, children: Sequence[Any], begin: int, end: int) -> Any:
        """The node of one rule of the grammar."""
        span = self.text.span(begin, end)
        first = children[0] if children else None
        if rule == "number":
            return Number(_number(children[0], children[0]), span)
        if rule == "ratio":
            return Ratio(_number(children[0], children[0][:-1]), span)
        if rule == "quantity":
            return Quantity(_number(children[0], children[0]), self._unit(*children), span)
        if rule == "name":
            return Constant(_CONSTANTS[children[0]], span) if first in _CONSTANTS else Name(str(first), span)
        if rule == "element":
            return Element(str(first), _index(children[1]), span)
        if rule == "call":
            return _call(children[0], children[1:], end, span)
        if rule == "listing":
            return Listing(tuple(children), span)
        if rule == "string":
            return Constant(unquote(children[0]), span)
        if rule == "positive":
            return first
        if rule == "negative":
            return Negative(children[0], span)
        return Binary(str(children[1]), children[0], children[2], span)

    def _unit(self, number: Token, unit: Token) -> str:
        if unit in UNITS:
            return UNITS[unit]
        whole = place(number)[0], place(unit)[1]
        if unit == "x":
            return fail("a ratio is one word", whole, f"write `{number}x`")
        near = suggestion(unit, UNITS)
        if self.durations and unit.lower() in _OTHER_UNITS:
            meant = _OTHER_UNITS[unit.lower()]
            cure = f"write `{shown(number)}{' ' * (meant != '%')}{meant}`" if meant else f"write `{shown(number)}`"
            return fail(f"unknown unit `{shown(unit)}`", place(unit), f"{cure}: {_UNIT_CURE}")
        if place(number)[1] == place(unit)[0] and near is None:
            return fail(f"`{shown(number + unit)}` is no number", whole, _NUMBER_CURE)
        if self.durations or near:
            return fail(f"unknown unit `{shown(unit)}`", place(unit), near or _UNIT_CURE)
        cure = f"write `{shown(number)} * {shown(unit)}` for a product"
        return fail(f"expected an operator after `{shown(number)}`, found `{shown(unit)}`", place(unit), cure)


def _number(token: Token, word: str) -> int | float:
    value = parse_number(word)
    if value is None:
        fail(f"`{shown(token)}` is beyond every double", place(token), code="OP107")
    return value


def _index(token: Token) -> int:
    digits = re.sub(r"\s", "", token)
    if len(digits) > 9:
        fail("an index of more than 8 digits", place(token))
    return int(digits)


def _call(function: Token, arguments: Sequence[Value], end: int, span: Span) -> Call:
    if function not in FUNCTIONS:
        near = suggestion(function, FUNCTIONS, f"the functions are {_listed(FUNCTIONS)}")
        fail(f"unknown function `{shown(function)}`", place(function), near, "OP302")
    least, most = FUNCTIONS[function]
    if len(arguments) < least or (most is not None and len(arguments) > most):
        wanted = "one number" if most == 1 else "two numbers or more"
        fail(f"`{function}` takes {wanted}, not {len(arguments)}", (place(function)[0], end))
    return Call(str(function), tuple(arguments), span)


def _is_plain(value: Value) -> bool:
    return isinstance(value, Constant) and not isinstance(value.value, str)


def _fault(value: Value, scope: Scope) -> tuple[str, str, str | None] | None:
    """Code, message and cure where `value` itself has no place in `scope`."""
    if isinstance(value, Ratio) and not scope.ratios:
        return _ratio_fault(value, scope)
    if isinstance(value, Quantity) and not scope.quantities:
        return scope.code, f"expected {scope.what}, found the duration `{value}`", _quantity_cure(value, scope)
    if isinstance(value, Constant):
        what = f"the text `{shown(value.value)}`" if isinstance(value.value, str) else f"`{value}`"
        return scope.code, f"expected {scope.what}, found {what}", None
    if isinstance(value, Listing):
        return scope.code, f"expected {scope.what}, found a list", None
    if isinstance(value, Element):
        return _element_fault(value, scope)
    return _name_fault(value.name, scope) if isinstance(value, Name) else None


def _quantity_cure(value: Quantity, scope: Scope) -> str | None:
    if scope.ratios and value.unit == "%":
        return f"write `{round(value.value / 100, 12):g}x`: `%` is a part of the horizon"
    return f"write `{value.value!r}`, without a unit" if scope.what.startswith("a number") else None


def _ratio_fault(value: Ratio, scope: Scope) -> tuple[str, str, str | None]:
    if scope.what == "a value":
        cure = "write a number; a rule's setting or a policy may be a ratio"
        return "OP306", f"`{value}` is a ratio, and nothing stands before it to take it of", cure
    return scope.code, f"expected {scope.what}, found the ratio `{value}`", f"write `{value.value!r}`"


def _element_fault(value: Element, scope: Scope) -> tuple[str, str, str | None] | None:
    if value.name == "shape" and "shape" in scope.attributes:
        return None
    if value.name not in scope.known:
        return _name_fault(value.name, scope)
    return scope.code, f"`{value.name}` has no elements", f"write `{value.name}`"


def _name_fault(name: str, scope: Scope) -> tuple[str, str, str | None] | None:
    if name == "base" and not scope.base:
        cure = "only a rule's setting may use `base`"
        if scope.ratios:
            cure = "write `1x` for the parameter's own value, `0.1x` for a part of it"
        return "OP306", "`base` has no meaning here", cure
    if name in scope.names or name not in scope.known:
        if name in scope.names:
            return None
        if name in FUNCTIONS:
            return scope.code, f"the function `{name}` without its arguments", f"write `{name}(...)`"
        if name in _OWN:
            return "OP302", f"`{name}` is a parameter's own, and has no value here", scope.otherwise
        otherwise = "define it under `let`"
        if scope.base:
            otherwise = "what stood before is `base`, ten times that `10x`; other names are defined under `let`"
        return "OP302", f"unknown name `{shown(name)}`", suggestion(name, [*scope.known, *FUNCTIONS], otherwise)
    if name == "shape":
        return scope.code, "`shape` has several sizes", "write `shape[0]` for the first of them"
    if name == "dtype":
        return scope.code, "`dtype` is a word, and no number", "compare it in a rule's `where`"
    return None


def _check_ratio(value: Binary, collector: Collector) -> bool:
    ratio, where = value.right, "right of `/`"
    cure = "a ratio is one number: write `base * ...` in full where `base` may stand, else a plain number"
    if value.operator == "**":
        ratio, where = value.left, "left of `**`"
    if value.operator not in ("/", "**") or not isinstance(_unsigned(ratio), Ratio):
        return True
    collector.error("OP306", f"the ratio `{ratio}` may not stand {where}", ratio.span, help=cure)
    return False


def _unsigned(value: Value) -> Value:
    while isinstance(value, Negative):
        value = value.item
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def explain(stop: Stop) -> Fault:
    """The words for a text that stops following `value.lark`."""
    found = stop.found
    if "INDEX" in stop.expected:
        return stop.wanted("a whole number")
    if "NUMBER" in stop.expected:
        cure = None
        if found == stop.before == "/":
            cure = "write `floor(a / b)` for a whole quotient"
        elif found == "%":
            cure = "write the number first: `10%`"
        return stop.wanted("a number or a name", cure)
    if found == "^":
        return stop.fault("`^` is no operator here", "write `**` for a power")
    if found == "," and not stop.opened:
        return stop.wanted("an operator", "a decimal point is `.`, and a list stands in brackets: `[0.9, 0.999]`")
    if found[:1].isalnum() and stop.before[:1].isalnum():
        return stop.wanted("an operator", f"write `{shown(stop.before)} * {shown(found)}` for a product")
    return stop.wanted("`]`" if stop.expected == {"RSQB"} else "an operator")


LANGUAGE = Language("value", "OP301", "a number or an expression", OPERANDS, explain)
