"""How values and names are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optplan.report.notation import folded, gathered, number, printable, shortened, told_apart, wrapped, written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0005, "0.0005"),
        (0.00001, "1e-5"),
        (1e30, "1e30"),
        (1.0, "1"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ((0.9, 0.999), "[0.9, 0.999]"),
        ("original", "original"),
    ],
)
def test_values_are_written_as_a_document_has_them(value: object, text: str) -> None:
    assert written(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_an_exact_number_is_the_number(value: float) -> None:
    assert float(number(value)) == value


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_different_numbers_are_written_differently(values: list[float]) -> None:
    texts = told_apart(values)
    assert len(set(texts.values())) == len(set(values))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.0.w", "a.1.w", "a.2.w"], ["a.{0..2}.w"]),
        (["a.0.w", "b", "a.1.w"], ["a.{0..1}.w", "b"]),
        (["a.0", "a.1", "a.5"], ["a.{0..1}", "a.5"]),
        (["a.9", "a.10", "a.11"], ["a.{9..11}"]),
        (["a0", "a1"], ["a0", "a1"]),
        (["a.00", "a.1"], ["a.00", "a.1"]),
        ([], []),
    ],
)
def test_names_that_differ_in_a_number_are_folded(names: list[str], expected: list[str]) -> None:
    assert folded(names) == expected


def test_a_module_stands_for_all_of_its_parameters() -> None:
    everything = ["a.x.w", "a.x.b", "a.y.w", "c.w", "c.b"]
    assert gathered(["a.x.w", "a.x.b"], everything) == ["a.x"]
    assert gathered(["a.x.w", "a.x.b", "a.y.w", "c.w"], everything) == ["a", "c.w"]
    assert gathered(["a.y.w"], everything) == ["a.y.w"]


@given(st.text(max_size=60), st.integers(5, 40))
def test_a_shortened_text_fits_and_keeps_its_ends(text: str, width: int) -> None:
    short = shortened(text, width)
    assert len(short) <= width
    if len(text) > width:
        kept = width - 3
        assert (short[: kept - kept // 2], short[width - kept // 2 :]) == (
            text[: kept - kept // 2],
            text[-(kept // 2) :],
        )


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=12))
def test_wrapping_loses_no_word(words: list[str]) -> None:
    lines = wrapped("  " + " ".join(words), 20, "    ")
    assert " ".join(lines).split() == words
    assert all(len(line) <= 20 for line in lines)


def test_what_is_printable_has_no_control_characters() -> None:
    assert printable("a\x1b[31m\tb\u202e\n") == "a\\x1b[31m\\tb\\u202e\n"
