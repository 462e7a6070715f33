"""Expressions to numbers.

One evaluation is one expression for one parameter: the names of `let`, the parameter's attributes, `layers` and
`base` come from a `Scope`.  Integers stay integers while they are exactly representable as doubles, everything else is
a double; what has no finite real value is an `EvaluationError`, which carries the node to blame.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optplan.diagnostics import suggestion
from optplan.expression import Binary, Call, Constant, Element, Listing, Name, Negative, Number, Quantity, Ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optplan.diagnostics import Collector
    from optplan.expression import Value
    from optplan.resolve.network import Shape
    from optplan.setting import Plain, Setting

Scalar = int | float

# Beyond this, integers are not all doubles.
_EXACT = 2**53

ATTRIBUTES = frozenset({"ndim", "numel", "fan_in", "fan_out", "layer"})


class EvaluationError(Exception):
    """An expression without a value: `code` and `message` for the diagnostic, `node` the smallest part to blame."""

    def __init__(self, code: str, message: str, node: Value, help: str | None = None) -> None:  # noqa: A002 - the field of a diagnostic
        super().__init__(message)
        self.code, self.message, self.node, self.help = code, message, node, help


@dataclass(frozen=True, slots=True)
class Attributes:
    """The numbers of one parameter that an expression or a comparison can ask; None is what it does not have.

    `fan_in` and `fan_out` follow `torch.nn.init`: for two dimensions or more, the sizes of the input and the output
    dimension times the product of the rest.
    """

    shape: Shape
    transposed: bool = False
    layer: int | None = None

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int | None:
        """Inputs of one output unit; None below two dimensions."""
        return self._fan(0 if self.transposed else 1)

    @property
    def fan_out(self) -> int | None:
        """Outputs of one input unit; None below two dimensions."""
        return self._fan(1 if self.transposed else 0)

    def _fan(self, dimension: int) -> int | None:
        if len(self.shape) < 2:
            return None
        return self.shape[dimension] * math.prod(self.shape[2:])

    def get(self, name: str, index: int | None = None) -> int | None:
        """The attribute `name`, or element `index` of `shape`."""
        if name == "shape" and index is not None:
            return self.shape[index] if -len(self.shape) <= index < len(self.shape) else None
        found: int | None = getattr(self, name)
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names of an expression stand for; None where there is nothing of the kind."""

    let: Mapping[str, Scalar] = field(default_factory=dict)
    attributes: Attributes | None = None
    layers: int | None = None
    base: Scalar | None = None


def evaluate(node: Value, scope: Scope) -> Scalar:
    """The finite number that `node` stands for."""
    match node:
        case Number(value):
            return value
        case Ratio(value):
            return _finite(_base(node, scope) * value, node)
        case Name(name):
            return _named(node, name, scope)
        case Element(name, index):
            return _attribute(node, name, index, scope)
        case Negative(item):
            return -evaluate(item, scope)
        case Binary(operator, left, right):
            return _binary(node, operator, evaluate(left, scope), evaluate(right, scope))
        case Call(function, arguments):
            return _call(node, function, [evaluate(argument, scope) for argument in arguments])
        case Quantity():
            raise EvaluationError("OP305", f"`{node}` is a duration, not a value", node)
        case _:
            raise EvaluationError("OP305", f"`{node}` is not a number", node)


def _finite(value: Scalar, node: Value) -> Scalar:
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else float(value)
    if not math.isfinite(value):
        raise EvaluationError("OP303", f"`{node}` has no finite value", node)
    return value


def _base(node: Value, scope: Scope) -> Scalar:
    if scope.base is None:
        raise EvaluationError("OP306", f"there is nothing before `{node}` to take it of", node)
    return scope.base


def _named(node: Value, name: str, scope: Scope) -> Scalar:
    if name in scope.let:
        return scope.let[name]
    if name == "base":
        return _base(node, scope)
    if name == "layers" and scope.layers is not None:
        return scope.layers
    if name == "layers" and scope.attributes is not None:
        raise EvaluationError("OP304", "there are no `layers`", node, "`layers` at the top numbers the network")
    if name in ATTRIBUTES:
        return _attribute(node, name, None, scope)
    known = [*scope.let, *ATTRIBUTES, "layers", "base"]
    raise EvaluationError(
        "OP302", f"unknown name `{name}`", node, suggestion(name, known, "numbers get a name under `let`")
    )


def _attribute(node: Value, name: str, index: int | None, scope: Scope) -> Scalar:
    if scope.attributes is None:
        raise EvaluationError("OP304", f"`{node}` has a value only for a parameter", node)
    found = scope.attributes.get(name, index)
    if found is None:
        cure = f"add `and ndim >= 2` or the like: its shape is {list(scope.attributes.shape)}"
        if name == "layer" and scope.layers is None:
            cure = "`layers` at the top numbers the network"
        elif name == "layer":
            cure = 'no entry of `layers` covers it; a last entry `"**"` takes the rest'
        raise EvaluationError("OP304", f"there is no `{node}`", node, cure)
    return found


def _binary(node: Value, operator: str, left: Scalar, right: Scalar) -> Scalar:
    try:
        match operator:
            case "+":
                return _finite(left + right, node)
            case "-":
                return _finite(left - right, node)
            case "*":
                return _finite(left * right, node)
            case "/":
                return _finite(left / right, node)
            case _:
                return _power(node, left, right)
    except ZeroDivisionError:
        raise EvaluationError("OP303", f"`{node}` divides by zero", node) from None
    except OverflowError:
        raise EvaluationError("OP303", f"`{node}` has no finite value", node) from None


def _power(node: Value, left: Scalar, right: Scalar) -> Scalar:
    # Exact only where it is sure to stay small: 10 ** 10 ** 10 must not be computed as an integer.
    small = isinstance(left, int) and isinstance(right, int) and 0 <= right <= 64 and abs(left) <= 1024
    result: Scalar | complex = left**right if small else float(left) ** float(right)
    if isinstance(result, complex):
        raise EvaluationError("OP303", f"`{node}` has no real value: the root of a negative number", node)
    return _finite(result, node)


_FUNCTIONS: dict[str, Callable[..., Scalar]] = {
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "log": math.log,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
}
FUNCTIONS = frozenset(_FUNCTIONS)


def _call(node: Value, function: str, arguments: list[Scalar]) -> Scalar:
    try:
        return _finite(_FUNCTIONS[function](*arguments), node)
    except (ValueError, OverflowError):
        raise EvaluationError("OP303", f"`{node}` has no real value", node) from None


def parts(node: Value) -> Iterator[Value]:
    """`node` and every node below it."""
    yield node
    match node:
        case Negative(item):
            yield from parts(item)
        case Binary(_, left, right):
            yield from parts(left)
            yield from parts(right)
        case Call(_, items) | Listing(items):
            for item in items:
                yield from parts(item)


def reads(node: Value) -> frozenset[str]:
    """The attributes, `layers` and `base` that `node` asks; `base` for a ratio too, `shape[i]` whole."""
    found: set[str] = set()
    for part in parts(node):
        match part:
            case Name(name):
                found.add(name)
            case Element():
                found.add("shape")
            case Ratio():
                found.add("base")
    return frozenset(found)


def plain(node: Value) -> bool:
    """Whether `node` is written out: nothing to evaluate."""
    return isinstance(node, (Number, Constant))


def evaluate_let(let: Mapping[str, Value], given: Mapping[str, Scalar], collector: Collector) -> dict[str, Scalar]:
    """The numbers of `let`, those of `given` first; entries may use each other in any order, not in a circle."""
    values: dict[str, Scalar] = dict(given)
    nodes = {name: node for name, node in let.items() if name not in values}
    needs = {name: reads(node) & nodes.keys() for name, node in nodes.items()}
    missing = {name: len(each) for name, each in needs.items()}
    users: dict[str, list[str]] = {name: [] for name in nodes}
    for name, each in needs.items():
        for needed in sorted(each):
            users[needed].append(name)
    ready = [name for name, count in missing.items() if not count]
    for name in ready:
        node = nodes.pop(name)
        try:
            values[name] = evaluate(node, Scope(values))
        except EvaluationError as fault:
            collector.error(fault.code, fault.message, fault.node.span or node.span, help=fault.help)
            values[name] = 1
        for user in users[name]:
            missing[user] -= 1
            if not missing[user]:
                ready.append(user)
    _report_circles(nodes, collector)
    return values


def _report_circles(pending: Mapping[str, Value], collector: Collector) -> None:
    """Report each circle among `let` entries once, at the name by which its first entry comes to need itself."""
    uses = {name: sorted(reads(node) & pending.keys()) for name, node in pending.items()}
    users = Counter(used for each in uses.values() for used in each)
    # What nothing needs is on no circle, nor what only such entries need.
    aside = [name for name in pending if not users[name]]
    for name in aside:
        users.subtract(uses[name])
        aside += [used for used in uses[name] if not users[used]]
    told = set(aside)
    for start in pending:
        if start in told:
            continue
        # By entry, the one through which it is first reached from `start`.
        through: dict[str, str] = {}
        reached = [start]
        for name in reached:
            fresh = [used for used in uses[name] if used not in through]
            through.update(dict.fromkeys(fresh, name))
            reached += fresh
            if start in through:
                break
        else:
            continue
        circle = [start]
        while len(circle) == 1 or circle[-1] != start:
            circle.append(through[circle[-1]])
        circle.reverse()
        told.update(circle)
        place = next(part for part in parts(pending[start]) if isinstance(part, Name) and part.name == circle[1])
        note = " needs ".join(f"`{name}`" for name in circle)
        collector.error("OP114", f"`{start}` is defined by itself", place.span, notes=[note])


def misfit(setting: Setting, node: Value, value: Plain) -> tuple[str, Value] | None:
    """Why `setting` cannot be `value`, which `node` gave, and the smallest part of `node` to blame; None if it can."""
    if isinstance(node, Listing) and isinstance(value, tuple) and len(value) == len(setting.items):
        each = zip(setting.items, node.items, value, strict=True)
        return next((found for item in each if (found := misfit(*item)) is not None), None)
    wrong = setting.check(value)
    if wrong is None:
        return None
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    return f"`{setting.name}` {wrong}, and is {shown}", node
