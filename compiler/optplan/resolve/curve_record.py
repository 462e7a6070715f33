"""Curves from JSON data, read strictly: the counterpart of `Shape.to_data`."""

from __future__ import annotations

from dataclasses import fields
from math import inf
from typing import TYPE_CHECKING, Any

from optplan.resolve.compound import Blend, Overlay, Product
from optplan.resolve.curve import Chain, Curve, Epochs, Hold, Poly, Ramp
from optplan.resolve.cycles import Cycle, OneCycle, Restarts
from optplan.resolve.decays import Decay, InverseSqrt, InverseTime, NaturalExp, Noam, Sqrt
from optplan.resolve.level import AnyLevel, Bound, Last, Level
from optplan.resolve.own import Own
from optplan.resolve.plateau import Plateau
from optplan.resolve.shape import Shape
from optplan.resolve.stairs import Pieces, Stairs, Steps, Table

if TYPE_CHECKING:
    from collections.abc import Callable

# How deep curves and levels may lie in each other: enough for what policies make, too little for Python's stack.
_DEEPEST = 200

_NODES: dict[str, type[Any]] = {
    node.__name__.lower(): node
    for node in (
        Level,
        Bound,
        Last,
        Hold,
        Ramp,
        Poly,
        Stairs,
        Steps,
        Epochs,
        Chain,
        Overlay,
        Blend,
        Product,
        Own,
        Sqrt,
        Decay,
        InverseTime,
        NaturalExp,
        InverseSqrt,
        Noam,
        Pieces,
        Table,
        Restarts,
        Cycle,
        OneCycle,
        Plateau,
    )
}


def from_data(data: Any) -> Curve:
    """The curve that `to_data` wrote; ValueError, KeyError or TypeError for anything else."""
    return _curve(_from_data(data, 0))


def _from_data(data: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("a curve that is too deep")
    if isinstance(data, list):
        return tuple([_from_data(item, depth) for item in data])
    if not isinstance(data, dict):
        return data
    kind = _NODES[data["kind"]]
    node = kind(**{name: _from_data(value, depth + 1) for name, value in data.items() if name != "kind"})
    for part in fields(node):
        _READ[str(part.type)](getattr(node, part.name))
    if isinstance(node, Chain) and not (
        0 < len(node.phases) == len(node.begins) and node.begins == (0.0, *sorted(node.begins[1:]))
    ):
        raise ValueError("phases that do not follow each other")
    if isinstance(node, (Stairs, Epochs)) and not min(getattr(node, "every", 1.0), getattr(node, "length", 1.0)) > 0:
        raise ValueError("stairs without a length")
    if isinstance(node, Shape) and not node.sound:
        raise ValueError("numbers that make no curve")
    return node


def _curve(value: Any) -> Curve:
    if not isinstance(value, Curve):
        raise TypeError("something that is no curve")
    return value


def _level(value: Any) -> None:
    if not isinstance(value, AnyLevel):
        raise TypeError("something that is no level")


def _number(value: Any) -> None:
    if not isinstance(value, float) or not 0 <= value < inf:
        raise TypeError("something that is no number of 0 or more")


def _count(value: Any) -> None:
    if type(value) is not int or value < 0:
        raise TypeError("something that is no count")


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError("something that is no text")


def _named(value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(item, tuple) and len(item) == 2 for item in value):
        raise TypeError("something that is no list of arguments")
    for name, number in value:
        _text(name)
        if not isinstance(number, float) or not -inf < number < inf:
            raise TypeError("an argument that is no number")


def _some(read: Callable[[Any], object]) -> Callable[[Any], None]:
    def some(value: Any) -> None:
        if not isinstance(value, tuple) or not value:
            raise TypeError("something that is no list")
        for item in value:
            read(item)

    return some


# By the type of a field, as it is written.
_READ: dict[str, Callable[[Any], object]] = {
    "Curve": _curve,
    "tuple[Curve, ...]": _some(_curve),
    "AnyLevel": _level,
    "tuple[AnyLevel, ...]": _some(_level),
    "float": _number,
    "float | None": lambda value: None if value is None else _number(value),
    "tuple[float, ...]": _some(_number),
    "int": _count,
    "str": _text,
    "Arguments": _named,
}
