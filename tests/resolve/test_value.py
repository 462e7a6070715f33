"""Values: what expressions are, by Python and by hand, and what has none."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from optplan.diagnostics import Collector
from optplan.resolve.value import Attributes, EvaluationError, Scope, evaluate, evaluate_let, reads
from tests.resolve.making import expression

MATRIX = Attributes((6, 4), layer=3)


def value(text: str, **scope: Any) -> int | float:
    node = expression(text, names=scope.get("let"))
    return evaluate(node, Scope(**scope))


# As Python computes them

PYTHON = [
    "1 + 2",
    "1 - 2 - 3",
    "2 * 3 + 4",
    "2 + 3 * 4",
    "(2 + 3) * 4",
    "7 / 2",
    "6 / 3",
    "8 / 2 / 2",
    "2 ** 3 ** 2",
    "(2 ** 3) ** 2",
    "-2 ** 2",
    "(-2) ** 2",
    "(-2) ** 3",
    "2 ** -1",
    "2 ** -2 ** 2",
    "--3",
    "-(2 + 3)",
    "- 3 + 5",
    "0 ** 0",
    "0.0 ** 0",
    "1e-3 * 512 / 256",
    "5e-4 * 1024 / 512",
    "0.1 + 0.2",
    "0.1 * 3",
    "2 ** 0.5",
    "1024 ** 6",
    "10 ** 15",
    "10 ** 22",
    "min(3, 1, 2)",
    "max(3, 1.5, 2)",
    "min(1, 1.0)",
    "round(2.5)",
    "round(3.5)",
    "round(-2.5)",
    "round(0.5)",
    "min(2, 3) ** max(1, 2)",
    "1 - 1e-17",
]


@pytest.mark.parametrize("text", PYTHON)
def test_as_python_computes_it(text: str) -> None:
    expected = eval(text)  # noqa: S307 - the table above
    found = value(text)
    assert found == expected
    assert type(found) is type(expected) or abs(expected) > 2**53


HAND: list[tuple[str, int | float]] = [
    ("sqrt(9)", 3.0),
    ("sqrt(1024 / 256)", 2.0),
    ("log(1)", 0.0),
    ("floor(2.7)", 2),
    ("floor(-2.7)", -3),
    ("ceil(2.1)", 3),
    ("ceil(-2.1)", -2),
    ("round(2.4)", 2),
    ("10k", 10_000),
    ("1.5M", 1_500_000),
    ("2B", 2_000_000_000),
    ("1e-3", 0.001),
]


@pytest.mark.parametrize(("text", "expected"), HAND)
def test_by_hand(text: str, expected: float) -> None:
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


WHOLE = [("2 ** 53", int), ("2 ** 53 + 1", float), ("2 ** 60 - 2 ** 60", float), ("3 * 4 - 2", int), ("4 / 2", float)]


@pytest.mark.parametrize(("text", "kind"), WHOLE)
def test_integers_stay_integers_while_doubles_hold_them(text: str, kind: type) -> None:
    assert type(value(text)) is kind


NONE_AT_ALL = [
    ("1 / 0", "OP303", "1 / 0"),
    ("1 / (2 - 2)", "OP303", "1 / (2 - 2)"),
    ("3 + 1 / 0.0", "OP303", "1 / 0.0"),
    ("0 ** -1", "OP303", "0 ** (-1)"),
    ("(-8) ** 0.5", "OP303", "(-8) ** 0.5"),
    ("(0 - 8) ** (1 / 3)", "OP303", "(0 - 8) ** (1 / 3)"),
    ("sqrt(-1)", "OP303", "sqrt(-1)"),
    ("sqrt(0 - 1)", "OP303", "sqrt(0 - 1)"),
    ("log(0)", "OP303", "log(0)"),
    ("log(-1)", "OP303", "log(-1)"),
    ("1e308 * 10", "OP303", "1e308 * 10.0"),
    ("1e308 + 1e308", "OP303", "1e+308 + 1e+308"),
    ("10 ** 400", "OP303", "10 ** 400"),
    ("10.0 ** 400", "OP303", "10.0 ** 400"),
    ("10 ** 10 ** 10", "OP303", "10 ** 10 ** 10"),
    ("9 ** 9 ** 9 ** 9", "OP303", "9 ** 9 ** 9"),
    ("2 * (1 + 1 / 0)", "OP303", "1 / 0"),
]


@pytest.mark.parametrize(("text", "code", "blamed"), NONE_AT_ALL)
def test_without_a_finite_real_value(text: str, code: str, blamed: str) -> None:
    began = time.perf_counter()
    with pytest.raises(EvaluationError) as caught:
        value(text)
    assert time.perf_counter() - began < 1
    assert caught.value.code == code
    assert eval_text(str(caught.value.node)) == eval_text(blamed)


def eval_text(text: str) -> str:
    """Numbers written alike."""
    return text.replace(" ", "").replace("+308", "308").replace("10.0", "10")


# Names

SCOPED: list[tuple[str, dict[str, Any], float]] = [
    ("batch / 256", {"let": {"batch": 1024}}, 4.0),
    ("base * 0.5", {"base": 0.3}, 0.15),
    ("0.5x", {"base": 0.3}, 0.15),
    ("0.5x + 1", {"base": 0.3}, 1.15),
    ("2x * 3", {"base": 1}, 6),
    ("min(0.5x, 0.1)", {"base": 0.3}, 0.1),
    ("ndim", {"attributes": MATRIX}, 2),
    ("numel", {"attributes": MATRIX}, 24),
    ("fan_in", {"attributes": MATRIX}, 4),
    ("fan_out", {"attributes": MATRIX}, 6),
    ("shape[0]", {"attributes": MATRIX}, 6),
    ("shape[1]", {"attributes": MATRIX}, 4),
    ("shape[-1]", {"attributes": MATRIX}, 4),
    ("shape[-2]", {"attributes": MATRIX}, 6),
    ("layer", {"attributes": MATRIX}, 3),
    ("layers - 1 - layer", {"attributes": MATRIX, "layers": 14}, 10),
    ("0.75 ** (layers - 1 - layer)", {"attributes": MATRIX, "layers": 6}, 0.5625),
]


@pytest.mark.parametrize(("text", "scope", "expected"), SCOPED)
def test_names(text: str, scope: dict[str, Any], expected: float) -> None:
    assert value(text, **scope) == expected


# Sizes of tensors as frameworks keep them; fans as `torch.nn.init._calculate_fan_in_and_fan_out`, except that a
# transposed weight, stored as (in, out, ...), is read the way it is used.
FANS = [
    ("linear 4 to 6", Attributes((6, 4)), 4, 6),
    ("convolution 3 to 6 by 2 x 4", Attributes((6, 3, 2, 4)), 24, 48),
    ("1-D convolution 3 to 6 by 5", Attributes((6, 3, 5)), 15, 30),
    ("transposed convolution 6 to 3 by 2 x 2", Attributes((6, 3, 2, 2), transposed=True), 24, 12),
    ("Conv1D of GPT-2, 4 to 12", Attributes((4, 12), transposed=True), 4, 12),
    ("bias", Attributes((6,)), None, None),
    ("scalar", Attributes(()), None, None),
]


@pytest.mark.parametrize(("_name", "attributes", "fan_in", "fan_out"), FANS, ids=[each[0] for each in FANS])
def test_fans(_name: str, attributes: Attributes, fan_in: int | None, fan_out: int | None) -> None:
    assert (attributes.fan_in, attributes.fan_out) == (fan_in, fan_out)


def test_fans_agree_with_pytorch() -> None:
    import torch  # noqa: PLC0415 - only here

    for shape in ((6, 4), (6, 3, 2, 4), (6, 3, 5), (2, 3, 4, 5, 6)):
        ours = Attributes(shape)
        assert (ours.fan_in, ours.fan_out) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))  # noqa: SLF001 - no public one


def test_sizes_of_a_scalar() -> None:
    scalar = Attributes(())
    assert (scalar.ndim, scalar.numel, scalar.get("shape", 0), scalar.get("shape", -1)) == (0, 1, None, None)


MISSING: list[tuple[str, dict[str, Any], str]] = [
    ("layer", {"attributes": Attributes((2, 3))}, "OP304"),
    ("layers", {"attributes": MATRIX}, "OP304"),
    ("fan_in", {"attributes": Attributes((2,))}, "OP304"),
    ("shape[2]", {"attributes": MATRIX}, "OP304"),
    ("shape[-3]", {"attributes": MATRIX}, "OP304"),
    ("ndim", {}, "OP304"),
    ("base", {}, "OP306"),
    ("0.1x", {}, "OP306"),
]


@pytest.mark.parametrize(("text", "scope", "code"), MISSING)
def test_what_is_not_there(text: str, scope: dict[str, Any], code: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(text, **scope)
    assert caught.value.code == code
    assert str(caught.value.node) == text


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate(expression("bach", names={"bach": 1}), Scope({"batch": 1}))
    assert (caught.value.code, caught.value.help) == ("OP302", "did you mean `batch`?")


READS = [
    ("1 + 2", set()),
    ("0.1x", {"base"}),
    ("base * fan_in", {"base", "fan_in"}),
    ("shape[0] + shape[1]", {"shape"}),
    ("0.75 ** (layers - 1 - layer)", {"layers", "layer"}),
    ("max(numel, -ndim)", {"numel", "ndim"}),
]


@pytest.mark.parametrize(("text", "names"), READS)
def test_what_an_expression_reads(text: str, names: set[str]) -> None:
    assert reads(expression(text)) == names


# `let`


def let(entries: dict[str, str], given: dict[str, float] | None = None) -> tuple[dict[str, Any], list[str]]:
    collector = Collector()
    nodes = {name: expression(text, names=dict.fromkeys(entries, 0.0), base=False) for name, text in entries.items()}
    return evaluate_let(nodes, given or {}, collector), [each.code for each in collector.diagnostics]


def test_let_entries_use_each_other_in_any_order() -> None:
    found, codes = let({"a": "b * 2", "b": "c + 1", "c": "3"})
    assert (found, codes) == ({"a": 8, "b": 4, "c": 3}, [])


def test_the_callers_numbers_come_first() -> None:
    found, codes = let({"lr": "5e-4 * batch / 512", "batch": "1024"}, {"batch": 256})
    assert (found, codes) == ({"lr": 5e-4 * 256 / 512, "batch": 256}, [])


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        ({"a": "a"}, 1),
        ({"a": "b", "b": "a"}, 1),
        ({"a": "b", "b": "c", "c": "a"}, 1),
        ({"a": "a", "b": "b"}, 2),
        # what merely needs a circle is none
        ({"a": "b + 1", "b": "b"}, 1),
        ({"a": "1", "b": "a"}, 0),
    ],
)
def test_circles(entries: dict[str, str], count: int) -> None:
    assert let(entries)[1] == ["OP114"] * count


def test_a_circle_is_broken_by_the_caller() -> None:
    assert let({"a": "b", "b": "a"}, {"b": 3}) == ({"a": 3, "b": 3}, [])


def test_an_entry_without_a_value_is_one_fault() -> None:
    found, codes = let({"a": "1 / 0", "b": "a * 2", "c": "b + a"})
    assert codes == ["OP303"]
    assert set(found) == {"a", "b", "c"}


def test_a_long_row_of_entries_takes_no_time() -> None:
    entries = {f"n{k}": f"n{k + 1} + 1" for k in range(2000)} | {"n2000": "0"}
    nodes = {name: expression(text, names=dict.fromkeys(entries, 0.0), base=False) for name, text in entries.items()}
    began = time.perf_counter()
    found = evaluate_let(nodes, {}, Collector())
    assert time.perf_counter() - began < 1
    assert found["n0"] == 2000
    nodes["n2000"] = expression("n0", names={"n0": 0.0})
    collector = Collector()
    evaluate_let(nodes, {}, collector)
    assert [each.code for each in collector.diagnostics] == ["OP114"]
    nodes["n2000"] = expression("n2000", names={"n2000": 0.0})
    evaluate_let(nodes, {}, collector)
    assert len(collector.diagnostics) == 2
    assert time.perf_counter() - began < 3


def test_a_shape_of_many_dimensions() -> None:
    assert math.isclose(value("sqrt(numel)", attributes=Attributes((2,) * 20)), 1024.0)
