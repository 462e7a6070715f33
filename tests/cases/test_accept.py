"""Odd yet legal documents: each is loaded, and planned where it says for what, without a fault.

A new file in `accept` is a new test; `case.py` has the form.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.case import differences, find_cases, read_case

FOLDER = Path(__file__).parent / "accept"
CASES = find_cases(FOLDER)


def named(path: Path) -> str:
    return str(path.relative_to(FOLDER)).removesuffix(".optim.yaml").removesuffix("/main")


@pytest.mark.parametrize("path", CASES, ids=named)
def test_it_is_legal(path: Path) -> None:
    case = read_case(path)
    assert all(finding.severity != "error" for finding, _ in case.expected)
    wrong = differences(case, case.run())
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("path", [path for path in CASES if path.name != "main.optim.yaml"], ids=named)
@pytest.mark.parametrize(
    ("mark", "end", "last"),
    [("", "\r\n", "\n"), ("\ufeff", "\n", "\n"), ("", "\n", "")],
    ids=["crlf", "bom", "no line end"],
)
def test_line_ends_and_a_byte_order_mark_do_not_matter(
    path: Path, mark: str, end: str, last: str, tmp_path: Path
) -> None:
    text = path.read_text(encoding="utf-8").rstrip("\n") + last
    other = tmp_path / path.name
    other.write_text(mark + text, encoding="utf-8", newline=end)
    case = read_case(other)
    wrong = differences(case, case.run())
    assert not wrong, "\n\n".join(wrong)
