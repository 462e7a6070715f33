"""The state of a framework's own optimizer, from the file that the framework wrote, without the framework.

Takes the path of a zip archive by `torch.save`, or of a MindSpore checkpoint; gives what it holds as plain data, whose
tensors are `Values`.  Of an archive only a dict that is an optimizer's state (`state` and `param_groups`), or optplan's
own, whole or under one key of a training checkpoint.  Guarantees that nothing is unpickled, that what is given is not
larger than a few times the file, nor contains itself, and that every fault is a `ReadError`.
"""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from optplan.readers.archive import list_members, read_member
from optplan.readers.header import MANIFEST, ReadError, count_elements, shown
from optplan.readers.opcodes import Tensor, Thing, read_pickle
from optplan.readers.protobuf import Walk

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from optplan.readers.archive import Member
    from optplan.readers.header import Entry

__all__ = ["Values", "read_checkpoint", "read_torch"]

_LARGEST_PICKLE = 128 * 2**20
_DEEPEST = 12
# How often the bytes of a file may be given, since two tensors may share them
_MOST_TIMES = 4
_SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


class Values(NamedTuple):
    """A tensor: its dtype in torch's words, its shape, and its elements, row by row, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def read_torch(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """The state of an optimizer that the archive at `path` holds: `state` and `param_groups`, or optplan's own dict."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        try:
            return _Archive(file, size).optimizer()
        except ReadError:
            raise
        except Exception as fault:
            # the readers walk hostile bytes; each way in which a step can fail says the same
            raise ReadError("the file is corrupted, or not one that `torch.save` writes") from fault


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Values]:
    """Every tensor of the MindSpore checkpoint at `path`, by its name there."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        try:
            walk = _Contents(file, size)
            return {entry.name: walk.values(entry) for entry in walk.entries()}
        except ReadError:
            raise
        except Exception as fault:
            raise ReadError("the file is corrupted, or not a MindSpore checkpoint") from fault


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    if not Path(path).is_file():
        raise ReadError("there is no such file" if not Path(path).exists() else "the path is not a regular file")
    try:
        return Path(path).open("rb")
    except OSError as fault:
        raise ReadError(f"the file cannot be read: {fault.strerror or fault}") from fault


class _Archive:
    """An archive, and how many bytes of it may still be given."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._left = _MOST_TIMES * size
        members = {member.name: member for member in list_members(file, size, b"")}
        pickles = [name for name in members if name.endswith(b"/data.pkl") and name.count(b"/") == 1]
        if len(pickles) != 1:
            raise ReadError("the file is a zip archive that `torch.save` did not write: it has no `data.pkl`")
        folder = pickles[0].removesuffix(b"data.pkl")
        order = members.get(folder + b"byteorder")
        if order is not None and read_member(file, order, 100).strip() != b"little":
            raise ReadError("the file was written by a machine with another order of bytes", "`torch.save` it here")
        self._data: dict[bytes, Member] = {
            name.removeprefix(folder + b"data/"): member for name, member in members.items()
        }
        self._pickle = members[pickles[0]]
        self._storages: dict[str, bytes] = {}
        self._things = 0

    def optimizer(self) -> dict[Any, Any]:
        """The one dict in it that is an optimizer's state, with the elements of its tensors."""
        pickle = read_member(self._file, self._pickle, _LARGEST_PICKLE)
        # One thing in it takes a byte at least; what comes again and again would soon be more
        self._things = len(pickle)
        found = list(_states(read_pickle(pickle)))
        if len(found) == 1:
            made: dict[Any, Any] = self._plain(found[0][1], _DEEPEST)
            return made
        if found:
            names = ", ".join(shown(key) for key, _ in found[:5])
            raise ReadError(f"the file holds several optimizers: {names}", "save the one that is meant by itself")
        raise ReadError(
            "the file holds no state of an optimizer: no dict with `state` and `param_groups`",
            "save it as `torch.save(optimizer.state_dict(), path)`",
        )

    def _plain(self, value: Any, depth: int) -> Any:
        """`value` with the elements of its tensors; ReadError for what is no plain data, or nested too deep."""
        self._things -= 1
        if depth == 0 or self._things < 0:
            raise ReadError("what the file holds is nested in itself, or too deep for the state of an optimizer")
        if type(value) is Tensor:
            return self._values(value)
        if type(value) is dict:
            return {key: self._plain(each, depth - 1) for key, each in value.items()}
        if type(value) in (list, tuple):
            made = [self._plain(each, depth - 1) for each in value]
            return made if type(value) is list else tuple(made)
        if type(value) is Thing and value.items is not None:
            return {key: self._plain(each, depth - 1) for key, each in value.items.items()}
        if value is None or type(value) in (bool, int, float, str):
            return value
        # A default dict's factory, a step that counts as an object: whatever it is, no optimizer's state has it
        what = value.name if type(value) is Thing else getattr(value, "name", type(value).__name__)
        raise ReadError(f"the state holds a {shown(what)}, which is no tensor and no plain value")

    def _values(self, tensor: Tensor) -> Values:
        count = count_elements("a tensor", tensor.shape)
        width = _SIZES.get(tensor.dtype)
        if width is None or tensor.view is None:
            raise ReadError(f"the state holds a tensor of type {shown(tensor.dtype)}, whose elements cannot be read")
        self._left -= count * width
        if self._left < 0:
            raise ReadError("the tensors in the file claim more bytes than it has")
        key, offset, strides = tensor.view
        storage = self._storage(key)
        if _is_plain(tensor.shape, strides):
            data = storage[offset * width : (offset + count) * width]
        else:
            places = product(
                *(range(0, n * step, step) if step else [0] * n for n, step in zip(tensor.shape, strides, strict=True))
            )
            data = b"".join(storage[(offset + sum(at)) * width :][:width] for at in places)
        if offset < 0 or len(data) != count * width:
            raise ReadError("a tensor in the file lies outside its storage")
        return Values(tensor.dtype, tensor.shape, data)

    def _storage(self, key: str) -> bytes:
        if key not in self._storages:
            member = self._data.get(key.encode())
            if member is None:
                raise ReadError(f"the file lacks the data {shown(key)}, which its pickle names")
            self._storages[key] = read_member(self._file, member, self._size)
        return self._storages[key]


def _states(whole: Any) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Each dict in `whole`, itself or one or two keys below, that is the state of an optimizer, with its key."""
    if type(whole) is not dict:
        return
    if _is_state(whole):
        yield "", whole
        return
    for key, value in whole.items():
        below = [(key, value)]
        if type(value) is list:
            below = [(f"{key}[{place}]", each) for place, each in enumerate(value[:100])]
        yield from ((str(name), each) for name, each in below if type(each) is dict and _is_state(each))


def _is_state(value: dict[Any, Any]) -> bool:
    if type(value.get("state")) is not dict:
        return False
    return type(value.get("param_groups")) is list or str(value.get("format")).startswith("optplan.state/")


def _is_plain(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements lie row by row without a gap."""
    return all(
        extent == 1 or step == prod(shape[place + 1 :])
        for place, (extent, step) in enumerate(zip(shape, strides, strict=True))
    )


class _Contents(Walk):
    """A checkpoint, and where the elements of each tensor lie, in one piece or in several."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, size)
        self.pieces: dict[str, list[tuple[int, int]]] = {}

    def tensor(self, tag: str, begin: int, end: int) -> Entry | None:
        """The tensor of a `TensorProto`; None for a string."""
        for _, number, start, stop in self.fields(begin, end):
            if number == 3 and stop >= 0:
                self.pieces.setdefault(tag, []).append((start, stop))
        return super().tensor(tag, begin, end)

    def values(self, entry: Entry) -> Values:
        """The elements of a tensor."""
        width = _SIZES.get(entry.dtype)
        pieces = self.pieces.get(entry.name, [])
        needed = count_elements(entry.name, entry.shape) * (width or 0)
        if width is None:
            raise ReadError(f"{shown(entry.name)} is of type {shown(entry.dtype)}, which cannot be read", MANIFEST)
        if sum(stop - start for start, stop in pieces) != needed:
            raise ReadError(f"{shown(entry.name)} does not have as many elements as its shape says")
        return Values(entry.dtype, entry.shape, b"".join(self.raw(start, stop) for start, stop in pieces))
