"""Curves as a file, whole or not at all: PNG and SVG are pictures, CSV is a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from optplan.report.curves import MOST, curves_of, spread, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optplan.resolve.plan import Plan


def write_drawing(
    path: str, plan: Plan, keys: Sequence[str], end: int, *, most: int | None = None, log: bool = False
) -> None:
    """The curves of `keys` over `end` updates, at most so many of them, in the form that the name ends with.

    A table has all updates unless told otherwise.  ConfigError (OP604) where matplotlib is missing, OSError where the
    file cannot be written.
    """
    form = path.lower().rpartition(".")[2]
    if form == "csv":
        write_whole(path, (line.encode() for line in table(plan, keys, spread(end, most))))
        return
    from optplan.report.pictures import picture, picture_bytes  # noqa: PLC0415 - a table needs none of it

    write_whole(path, [picture_bytes(picture(curves_of(plan, keys, end, most or MOST), log=log), form)])


def write_whole(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> None:
    """Write the pieces to `path`, one after the other; what was there stays until all are written.

    A pipe or a terminal is written to, not replaced.  OSError where the file cannot be written.
    """
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_file():
        with final.open("wb") as stream:
            stream.writelines(pieces)
        return
    beside = final.with_name(f"{final.name}.{os.getpid()}.new")
    try:
        with beside.open("xb") as stream:
            stream.writelines(pieces)
        beside.replace(final)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
