"""However a test with processes goes wrong, it ends soon, says what they said, and leaves none behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.devices.processes import run

if TYPE_CHECKING:
    from pathlib import Path


def left(folder: Path) -> list[int]:
    """The processes of a run that still are."""
    found = []
    for file in folder.glob("*.pid"):
        try:
            os.kill(int(file.read_text()), 0)
        except ProcessLookupError:
            continue
        found.append(int(file.read_text()))
    return found


def test_where_one_fails_the_others_are_ended(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="process 1 fails") as caught:
        run("tests.devices.failing", 2, tmp_path, seconds=60)
    assert "ended by itself with 1" in str(caught.value)
    assert "still running, ended by the test" in str(caught.value)
    assert len(list(tmp_path.glob("*.pid"))) == 2
    assert left(tmp_path) == []


def test_where_all_wait_all_are_ended(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"not all ended well within 3 s"):
        run("tests.devices.failing", 2, tmp_path, "late", seconds=3)
    assert left(tmp_path) == []
