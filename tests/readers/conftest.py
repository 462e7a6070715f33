"""What holds for every file, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optplan.readers.dispatch import read_header
from optplan.readers.header import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def hold_promises(path: Path) -> None:
    """Reading gives a header that keeps its promises, or one line of a message."""
    try:
        header = read_header(path)
    except ReadError as error:
        message = error.message
    else:
        assert header.entries
        assert len({entry.name for entry in header.entries}) == len(header.entries)
        assert all(entry.name.isprintable() and entry.dtype.isidentifier() for entry in header.entries)
        assert all(type(extent) is int and extent >= 0 for entry in header.entries for extent in entry.shape)
        return
    assert message.isprintable()
    assert len(message) < 400
    assert message[0].islower() or message[0] == "`"
    assert not message.endswith(".")


@pytest.fixture
def promises() -> Callable[[Path], None]:
    """`hold_promises`."""
    return hold_promises
