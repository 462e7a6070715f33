"""Faulty documents: each says itself what is to be found in it, and nothing else is found.

A new file in `reject` is a new test; `case.py` has the form.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.case import differences, find_cases, read_case

FOLDER = Path(__file__).parent / "reject"
CASES = find_cases(FOLDER)


def named(path: Path) -> str:
    return str(path.relative_to(FOLDER)).removesuffix(".optim.yaml").removesuffix("/main")


@pytest.mark.parametrize("path", CASES, ids=named)
def test_each_fault_is_reported_in_its_place_and_nothing_else(path: Path) -> None:
    case = read_case(path)
    assert case.expected, "a faulty document says what its faults are"
    wrong = differences(case, case.run())
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("path", [path for path in CASES if path.name != "main.optim.yaml"], ids=named)
@pytest.mark.parametrize(("mark", "end"), [("", "\r\n"), ("\ufeff", "\n")], ids=["crlf", "bom"])
def test_line_ends_and_a_byte_order_mark_move_nothing(path: Path, mark: str, end: str, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    other = tmp_path / path.name
    other.write_text(mark + text, encoding="utf-8", newline=end)
    case = read_case(other)
    wrong = differences(case, case.run())
    assert not wrong, "\n\n".join(wrong)


def test_an_empty_file_is_no_document(tmp_path: Path) -> None:
    path = tmp_path / "empty.optim.yaml"
    path.write_text("")
    (found,) = read_case(path).run()
    assert (found.code, found.line, found.column, found.message) == ("OP102", 1, 1, "the document is empty")


FAULTY = """\
optplan: 1
optimizer: {type: sgd, lrr: 0.1}
#                      ^^^ OP101 did you mean `lr`?
"""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (FAULTY, []),
        (FAULTY.replace("lrr: 0.1", "lr: 0.1 "), ["missing"]),
        (FAULTY.replace("#  ", "# "), ["unexpected", "missing"]),
        (FAULTY.replace("^^^", "^^"), ["unexpected", "missing"]),
        (FAULTY.replace("^^^", "~~~"), ["unexpected", "missing"]),
        (FAULTY.replace("OP101", "OP102"), ["unexpected", "missing"]),
        (FAULTY.replace("`lr`", "`eps`"), ["unexpected", "missing"]),
        ("\n".join(FAULTY.splitlines()[:2]), ["unexpected"]),
        (FAULTY + FAULTY.splitlines()[2], ["missing"]),
    ],
    ids=["as it is", "missing", "misplaced", "too long", "a warning", "code", "words", "unexpected", "twice"],
)
def test_what_is_missing_unexpected_or_misplaced_fails(text: str, wrong: list[str], tmp_path: Path) -> None:
    path = tmp_path / "faulty.optim.yaml"
    path.write_text(text)
    case = read_case(path)
    assert [each.partition(":")[0] for each in differences(case, case.run())] == wrong
