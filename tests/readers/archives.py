"""Zip archives as `torch.save` makes them, and what is expected of them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, ReadError

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")


def save(tmp_path: Path, value: Any, **keywords: Any) -> Path:
    path = tmp_path / "file.pt"
    torch.save(value, path, **keywords)
    return path


def archive(path: Path, pickled: bytes, **members: bytes) -> Path:
    """A file as `torch.save` would write it around these bytes of a pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in members.items():
            file.writestr(f"archive/{name}", content)
    return path


def fault(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_header(path)
    return caught.value.message


def as_torch_says(state: dict[str, Any]) -> tuple[Entry, ...]:
    return tuple(
        Entry(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in state.items()
    )
