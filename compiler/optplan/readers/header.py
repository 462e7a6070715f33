"""What a checkpoint says about its tensors, and which reader reads which file.

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

MANIFEST = "write a manifest where the network can be built: `optplan params --network SPEC -o net.params.json`"
# torch's own limit
MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 2**63 - 1
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name in the file, its shape in elements and its dtype in torch's words, without `torch.`."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Header:
    """Every tensor of a checkpoint.

    `format` is `safetensors`, `torch` or `mindspore`.  Each of `tied` is two or more names, in file order, of one and
    the same view of one storage; only torch's files tell this.
    """

    format: str
    entries: tuple[Entry, ...]
    tied: tuple[tuple[str, ...], ...] = ()


class ReadError(Exception):
    """A file that cannot be read: what is wrong, the cure where there is one, and the file where it is another one."""

    def __init__(self, message: str, help: str | None = None, path: str | None = None) -> None:  # noqa: A002 - as in a diagnostic
        super().__init__(message, help, path)
        self.message = message
        self.help = help
        self.path = path

    def __str__(self) -> str:
        return self.message


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


def shown(word: object) -> str:
    """`word`, which came from a file, as a message may show it: short, printable, in backticks."""
    text = word if isinstance(word, str) else str(word) if isinstance(word, int) else type(word).__name__
    if len(text) > _LONGEST_WORD:
        text = f"{text[: _LONGEST_WORD - 3]}..."
    # a backtick would end the quotation
    plain = (c if c.isprintable() else ascii(c)[1:-1] for c in text.replace("`", "'"))
    return f"`{''.join(plain)}`"


def count_elements(name: str, shape: Sequence[int]) -> int:
    """How many elements the tensor `name` of this shape has; stops at what 64 bits cannot count, whatever follows."""
    if len(shape) > MOST_DIMENSIONS:
        raise ReadError(f"{shown(name)} has more than {MOST_DIMENSIONS} dimensions", MANIFEST)
    count, empty = 1, False
    for extent in shape:
        count *= extent or 1
        empty = empty or not extent
        if count > _MOST_ELEMENTS:
            raise ReadError(f"the shape of {shown(name)} is too large to be true", MANIFEST)
    return 0 if empty else count


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

        return read_shards(file, size, path)
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
