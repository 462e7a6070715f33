"""What may be given as a document, and what is said of anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import optplan
from optplan import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 0.5}}

NO_DOCUMENTS: list[tuple[Any, str, str, str]] = [
    (None, "OP103", "a `NoneType` is no document", "pass a path, a mapping or a Config"),
    (3, "OP103", "a `int` is no document", "pass a path, a mapping or a Config"),
    ([DOCUMENT], "OP103", "a `list` is no document", "pass a path, a mapping or a Config"),
    (torch.nn.Linear(1, 1), "OP103", "a `Linear` is no document", "the document comes first: `plan(config, model)`"),
    (torch.nn.ModuleDict(), "OP103", "a `ModuleDict` is no document", "comes first"),
    (optplan.load(DOCUMENT), "OP103", "a `Config` is no document", "it is loaded already"),
    ("optplan: 1\noptimizer: {type: sgd}", "OP001", "no path of a file", "`optplan.loads(text)`"),
    ("optplan: 1\r" * 1000, "OP001", "no path of a file", "`optplan.loads(text)`"),
]


@pytest.mark.parametrize(("source", "code", "message", "cure"), NO_DOCUMENTS, ids=range(len(NO_DOCUMENTS)))
def test_what_is_no_document(source: Any, code: str, message: str, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.load(source)
    [fault] = caught.value.diagnostics
    assert fault.code == code
    assert message in fault.message
    assert cure in (fault.help or "")


def test_a_file_may_have_a_line_break_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.optim.yaml"
    path.write_text("optplan: 1\noptimizer: {type: sgd, lr: 0.5}\n")
    assert optplan.load(str(path)) == optplan.load(DOCUMENT)


def test_one_text_is_one_override() -> None:
    one = optplan.load(DOCUMENT, overrides="optimizer.lr=2")
    assert one == optplan.load(DOCUMENT, overrides=["optimizer.lr=2"])
    assert one != optplan.load(DOCUMENT)


def test_an_override_that_is_no_text() -> None:
    overrides: Any = [3, ("optimizer.lr", 2), "optimizer.lr=2"]
    with pytest.raises(ConfigError) as caught:
        optplan.load(DOCUMENT, overrides=overrides)
    found = [(each.code, each.message) for each in caught.value.diagnostics]
    assert found == [
        ("OP111", "an override is a text, not a `int`"),
        ("OP111", "an override is a text, not a `tuple`"),
    ]
