"""Which reader reads which file.

Takes a path; gives a `Header`: the name, shape and dtype of every tensor, in the file's order.  The format is told from
the first bytes, for `.pt`, `.bin` and `.ckpt` mean several things:

    u64 length, `{`              safetensors                              `readers.safetensors`
    PK 3 4                       zip written by `torch.save`              `readers.pickled`
    0A ...                       protobuf written by `save_checkpoint`    `readers.protobuf`
    {                            index of a sharded checkpoint            `readers.shards`

Guarantees that every fault, of a file system or of a hostile file, is a `ReadError`, and that names are printable,
unique and not empty, and shapes those of tensors whose elements can be counted in 64 bits.
"""

from __future__ import annotations

import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from optplan.readers.header import MANIFEST, ReadError, count_elements, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from optplan.readers.header import Entry, Header


def read_header(path: str | os.PathLike[str], *, sharded: bool = True) -> Header:
    """The tensors that the checkpoint at `path` holds; `ReadError` if there are none, or it cannot be read.

    `sharded` tells whether the path may be that of an index, which names further files.
    """
    try:
        file_path = Path(path)
        _require_file(file_path)
        with file_path.open("rb") as file:
            header = _read(file, file_path, sharded=sharded)
        _check(header.entries)
    except ReadError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReadError(f"the file cannot be read: {reason[:1].lower()}{reason[1:]}") from error
    except Exception as error:
        # the readers walk hostile bytes; each way in which a step can fail says the same
        raise ReadError("the file is corrupted, or not a checkpoint", MANIFEST) from error
    return header


def _require_file(path: Path) -> None:
    """Refuse what is no file: a pipe would block, and a device never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise ReadError(f"the path is {kind}", "name the checkpoint file itself")


def _read(file: BinaryIO, path: Path, *, sharded: bool) -> Header:
    """The header of `file`; a reader is imported when a file asks for it."""
    head = file.read(64)
    size = file.seek(0, 2)
    if not head:
        raise ReadError("the file is empty")
    length = int.from_bytes(head[:8], "little")
    # a protobuf or zip file has bytes above zero among the upper four
    if head[8:9] == b"{" and length < 2**32:
        from optplan.readers.safetensors import read_safetensors  # noqa: PLC0415 - the one that is needed

        return read_safetensors(file, size)
    if head.startswith(b"PK\x03\x04"):
        from optplan.readers.pickled import read_pickled  # noqa: PLC0415 - as above

        return read_pickled(file, size)
    if sharded and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        from optplan.readers.shards import read_shards  # noqa: PLC0415 - as above

        return read_shards(file, size, path, partial(read_header, sharded=False))
    for magic, message, cure in _FOREIGN:
        if head.startswith(magic):
            raise ReadError(message, cure)
    if path.suffix in {".safetensors", ".json"}:
        raise ReadError(f"the file is not what its ending `{path.suffix}` says, or is damaged", MANIFEST)
    if head.startswith(b"\n"):
        from optplan.readers.protobuf import read_protobuf  # noqa: PLC0415 - as above

        return read_protobuf(file, size)
    raise ReadError("the file is not a checkpoint that can be read: not safetensors, zip `.pt` or `.ckpt`", MANIFEST)


_RESAVE = "load it where it is trusted, and `torch.save` its `state_dict()` anew, or write a manifest: `optplan params`"
_FOREIGN: Sequence[tuple[bytes, str, str]] = (
    (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "the file is in the legacy format of `torch.save`, which cannot be read without running it",
        _RESAVE,
    ),
    (b"\x80", "the file is a bare pickle, which cannot be read without running it", _RESAVE),
    (b"\xd8^:\x7f", "the file is an encrypted MindSpore checkpoint", MANIFEST),
    (b"version https://git-lfs", "the file is a Git LFS pointer, not the checkpoint itself", "run `git lfs pull`"),
    (b"PK\x05\x06", "the file is an empty zip archive", MANIFEST),
    (b"\x89HDF", "the file is in HDF5, which cannot be read", MANIFEST),
    (b"GGUF", "the file is in GGUF, which cannot be read", MANIFEST),
)


def _check(entries: Sequence[Entry]) -> None:
    """Hold `entries` to what `Header` promises."""
    if not entries:
        raise ReadError("the file holds no tensor", MANIFEST)
    seen: set[str] = set()
    for entry in entries:
        name = entry.name
        if not name or not name.isprintable():
            raise ReadError(f"a tensor has the name {shown(name)}, which no parameter can have", MANIFEST)
        if name in seen:
            raise ReadError(f"two tensors have the name {shown(name)}", MANIFEST)
        seen.add(name)
        count_elements(name, entry.shape)
