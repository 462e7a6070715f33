"""What holds for every expression: Python computes the same, and what has no value says so."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optplan import ConfigError
from optplan.resolve.value import Attributes, EvaluationError, Scope, evaluate, parts, reads
from tests.resolve.making import expression

NUMBERS = st.one_of(
    st.integers(0, 2000).map(str),
    st.floats(0, 1e6, allow_subnormal=False).map(repr),
    st.sampled_from(["1e308", "1e-308", "0", "0.0", "1e-3", "9007199254740993"]),
)
NAMES = st.sampled_from(["batch", "rate", "ndim", "numel", "fan_in", "layers", "base"])


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda text: f"-({text})"),
        st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=3)).map(
            lambda t: f"{t[0]}({', '.join(t[1])})"
        ),
        st.tuples(st.sampled_from(["sqrt", "log", "floor", "ceil", "round"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
    )


EXPRESSIONS = st.recursive(st.one_of(NUMBERS, NAMES), _compound, max_leaves=8)
LET = {"batch": 1024, "rate": 5e-4}
ATTRIBUTES = Attributes((6, 4), layer=3)
SCOPE = Scope(LET, ATTRIBUTES, 12, 0.3)
PYTHON: dict[str, Any] = LET | {"ndim": 2, "numel": 24, "fan_in": 4, "layers": 12, "base": 0.3}
PYTHON |= {"min": min, "max": max, "round": round}
PYTHON |= {"sqrt": math.sqrt, "log": math.log, "floor": math.floor, "ceil": math.ceil}


@given(text=EXPRESSIONS)
@settings(max_examples=400)
def test_python_computes_the_same(text: str) -> None:
    try:
        found = evaluate(expression(text, names=LET), SCOPE)
    except (EvaluationError, ConfigError):
        found = None
    if "**" in text and found is None:
        return  # Python may take for ever
    try:
        expected = eval(text, {"__builtins__": {}}, PYTHON)  # noqa: S307 - an expression from above
    except (ArithmeticError, ValueError, TypeError):
        expected = None
    if isinstance(expected, complex) or (expected is not None and abs(expected) > 1.79e308):  # about the largest double
        expected = None
    if isinstance(expected, float) and not math.isfinite(expected):
        expected = None
    if found is None or expected is None:
        # what is beyond a double only on the way is a fault for us and may be none for Python's integers
        assert found is None
        return
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert math.isfinite(found)


@given(text=EXPRESSIONS)
def test_an_expression_without_a_value_blames_a_part_of_itself(text: str) -> None:
    try:
        node = expression(text, names=LET)
    except ConfigError:
        return
    found = None
    try:
        evaluate(node, SCOPE)
    except EvaluationError as fault:
        found = fault
    if found is not None:
        assert found.code == "OP303"
        assert found.node in parts(node)
        span = found.node.span
        assert span is not None
        assert expression(text[span.start : span.end], names=LET) == found.node


@given(text=EXPRESSIONS)
def test_what_is_not_read_does_not_matter(text: str) -> None:
    try:
        node = expression(text, names=LET)
    except ConfigError:
        return
    asked = reads(node)
    other = Scope(
        {name: number for name, number in LET.items() if name in asked},
        ATTRIBUTES if asked & {"ndim", "numel", "fan_in"} else None,
        12 if "layers" in asked else None,
        0.3 if "base" in asked else None,
    )
    results = []
    for scope in (SCOPE, other):
        try:
            results.append(repr(evaluate(node, scope)))
        except EvaluationError as fault:
            results.append(fault.message)
    assert results[0] == results[1]


@given(text=EXPRESSIONS)
def test_printing_an_expression_keeps_its_value(text: str) -> None:
    try:
        node = expression(text, names=LET)
    except ConfigError:
        return
    again = expression(str(node), names=LET)
    assert again == node


@given(shape=st.lists(st.integers(1, 50), max_size=6), index=st.integers(-7, 7))
def test_elements_of_a_shape_are_those_of_a_list(shape: list[int], index: int) -> None:
    attributes = Attributes(tuple(shape))
    try:
        expected: int | None = shape[index]
    except IndexError:
        expected = None
    assert attributes.get("shape", index) == expected
    assert attributes.numel == math.prod(shape)
    assert attributes.ndim == len(shape)


@given(ratio=st.floats(0, 100, allow_subnormal=False), base=st.floats(-1e3, 1e3, allow_subnormal=False))
def test_a_ratio_is_base_times_a_number(ratio: float, base: float) -> None:
    ratio_text, times_text = f"{ratio!r}x", f"base * {ratio!r}"
    scope = Scope(base=base)
    assert evaluate(expression(ratio_text), scope) == evaluate(expression(times_text), scope) == base * ratio
