"""Where a document may name files: in the folder of its first file and below, relative to the text that names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optplan.source import Source


class PlaceError(Exception):
    """A name of a file that stands for none that may be read: the message, and the cure."""

    def __init__(self, message: str, cure: str | None = None) -> None:
        super().__init__(message)
        self.message, self.cure = message, cure


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a document may name files: below `fence`, relative to the folder of the text that names them."""

    fence: Path | None
    folders: dict[str, Path]

    def place(self, name: str, source: Source, verb: str) -> Path:
        """Where the file `name`, named in `source`, is; PlaceError where that may be nowhere or outside the tree."""
        home = self.folders.get(source.name)
        if home is None or self.fence is None:
            cure = "put the document in a file, or write it out in full"
            raise PlaceError(f"`{name}` is relative to a file, and this document is not in one", cure)
        try:
            place = (home / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise PlaceError(f"`{name}` cannot be followed: {error}") from None
        if not place.is_relative_to(self.fence):
            cure = f"a document {verb} files beside the first one or in folders below it"
            raise PlaceError(f"`{name}` is outside the first file's directory", cure)
        return place

    def shown(self, name: str, source: Source) -> str:
        """How messages call that file."""
        return os.path.normpath(Path(source.name).parent / name)
