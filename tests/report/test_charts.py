"""Curves as characters: what stands where, what tells them apart, and what a terminal can show."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optplan.report.charts import chart, mark_of, room
from optplan.report.curves import Curves, Line, Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

BRAILLE = re.compile("[\u2801-\u28ff]")
CURVES = st.lists(
    st.lists(st.floats(-1e3, 1e3) | st.sampled_from([0.0, float("inf")]), min_size=9, max_size=9),
    min_size=1,
    max_size=30,
)


def curves(*lines: Sequence[float], key: str = "lr", epoch: float | None = None) -> Curves:
    """One panel, each line that of a group `g0`, `g1`, ..."""
    made = tuple(Line((f"g{place}",), line) for place, line in enumerate(lines))
    return Curves("the title", range(len(lines[0])), len(lines[0]), epoch, (Panel(key, made),))


def test_a_chart_in_letters() -> None:
    """Each of 8 updates has 7 columns, and the rows are a quarter apart."""
    lines = (
        Line(("default", "head"), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]),
        Line(("bias",), [0.25] * 8),
    )
    made = Curves("2 curves", range(8), 8, 4.0, (Panel("lr", lines),))
    assert chart(made, width=64, height=5, plain=True) == "\n".join(
        [
            "2 curves",
            "",
            "lr",
            " epoch  0            0.5            1            1.5           2",
            "       ++-------------+-------------+-------------+------------+",
            "     1 +" + " " * 28 + "a" * 28,
            "       |" + " " * 21 + "a" * 8,
            "   0.5 +" + " " * 14 + "a" * 8,
            "       |" + "b" * 56,
            "     0 +" + "a" * 8,
            "       ++-------------+-------------+-------------+------------+",
            "update  0             2             4             6            8",
            "",
            "curve  first  lowest  highest  last  groups",
            "a      0      0       1        1     default, head",
            "b      0.25   0.25    0.25     0.25  bias",
        ]
    )


def test_a_chart_in_dots_has_a_mark_on_each_curve() -> None:
    text = chart(curves([0.0] * 4, [1.0] * 4, [0.5] * 4), width=60, height=9)
    rows = [line.partition("\u2524")[2] or line.partition("\u2502")[2] for line in text.split("\n")[3:12]]
    assert [re.sub(BRAILLE, "-", row).strip("-") for row in rows] == ["b", "", "", "", "c", "", "", "", "a"]
    assert all(len(BRAILLE.findall(row)) > 45 for row in (rows[0], rows[4], rows[8]))
    assert [line.split() for line in text.split("\n")[-4:]] == [
        ["curve", "first", "lowest", "highest", "last", "groups"],
        ["a", "0", "0", "0", "0", "g0"],
        ["b", "1", "1", "1", "1", "g1"],
        ["c", "0.5", "0.5", "0.5", "0.5", "g2"],
    ]


def test_one_curve_needs_no_mark() -> None:
    text = chart(curves([0.0, 0.5]))
    assert "curve" not in text
    assert text.split("\n")[-2:] == ["first  lowest  highest  last  groups", "0      0       0.5      0.5   g0"]


def test_a_single_update_apart_is_seen() -> None:
    """One of 5,000, where a column stands for more than fifty."""
    text = chart(curves([1.0 if t == 2_500 else 0.0 for t in range(5_000)]), height=7, plain=True)
    assert [line.count("*") for line in text.split("\n")[3:9]] == [1] * 6


def test_curves_cross_where_they_are_equal() -> None:
    text = chart(curves([0.0, 0.5, 1.0], [1.0, 0.5, 0.0]), plain=True, height=7)
    rows = [line.partition("+")[2] for line in text.split("\n")[3:10:3]]
    assert [re.sub(r"(.)\1+", r"\1", row.replace(" ", "")) for row in rows] == ["ba", "b", "ab"]


@pytest.mark.parametrize(
    ("values", "remark"),
    [
        ([1e-4, 1e-2], "lr"),
        ([0.0, 1e-2], "lr  (what is 0 or below is left out)"),
        ([0.0, 0.0], "lr  (linear: no value is above 0)"),
    ],
)
def test_a_logarithmic_scale_says_what_it_cannot_show(values: list[float], remark: str) -> None:
    assert chart(curves(values), log=True).split("\n")[2] == remark


def test_on_a_logarithmic_scale_powers_of_ten_are_evenly_far() -> None:
    text = chart(curves([1e-4, 1e-3, 1e-2]), log=True, height=9, plain=True)
    rows = [line[8:] for line in text.split("\n")[3:12]]
    assert [row.strip("* |") == "" and row.count("*") > 25 for row in (rows[0], rows[4], rows[8])] == [True] * 3
    assert [line.split()[0] for line in text.split("\n")[3:12:4]] == ["0.01", "0.001", "0.0001"]


def test_colour_only_where_it_is_wanted() -> None:
    made = curves([0.0, 1.0], [1.0, 0.0])
    assert "\x1b" not in chart(made)
    coloured = chart(made, colour=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == chart(made)
    assert "\x1b[36ma\x1b[0m" in coloured
    assert "\x1b[33mb\x1b[0m" in coloured


def test_names_cannot_move_the_cursor() -> None:
    made = Curves("t", range(2), 2, None, (Panel("lr", (Line(("a\x1b[2Jb", "c\nd"), [0.0, 1.0]),)),))
    assert "\x1b" not in chart(made)


@given(CURVES, st.integers(60, 130), st.integers(5, 20), st.booleans(), st.booleans())
def test_a_chart_keeps_to_its_size(lines: list[list[float]], width: int, height: int, log: bool, plain: bool) -> None:
    text = chart(curves(*lines, epoch=2.5), width=width, height=height, log=log, plain=plain)
    assert max(map(len, text.split("\n"))) <= width
    assert text.count("\n") == 2 + 2 + height + 2 + 1 + text.split("\n\n")[-1].count("\n") + 1
    assert text.isascii() is plain


@pytest.mark.parametrize(("place", "mark"), [(0, "a"), (25, "z"), (26, "a1"), (53, "b2")])
def test_marks(place: int, mark: str) -> None:
    assert mark_of(place) == mark


@pytest.mark.parametrize(("encoding", "plain"), [("utf-8", False), ("ascii", True), ("latin-1", True), ("cp437", True)])
def test_a_terminal_that_has_no_dots_gets_letters(encoding: str, *, plain: bool) -> None:
    assert room(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == (100, plain)
