"""The tensors of a MindSpore checkpoint, walked as protobuf.

Takes a file of this message, in the terms of MindSpore's `checkpoint.proto`:

    Checkpoint   repeated Value value = 1
    Value        string tag = 1;  one of  TensorProto tensor = 2,  MapTensor maptensor = 3
    TensorProto  repeated int64 dims = 1;  string tensor_type = 2;  bytes tensor_content = 3

Gives its tensors in the order of their first mention.  A large tensor stands in several values with one tag and the
whole tensor's dims; one whose dims are `[0]` is a scalar, for empty tensors are not written; values of type `str` are
no tensors.  Contents are passed over, never read.  A checksum at the end (`crc_num` and ten bytes) is passed over too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from optplan.readers.header import MANIFEST, MOST_DIMENSIONS, Entry, Header, ReadError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_TAG = 4096
_LONGEST_TYPE = 64
_BLOCK = 4096
# a key and a value, at most ten bytes each
_FIELD = 20
_CHECKSUM = 17

# MindSpore's word in lower case is torch's, but for these
_DTYPES = {"float8e4m3fn": "float8_e4m3fn", "float8e5m2": "float8_e5m2"}


def read_protobuf(file: BinaryIO, size: int) -> Header:
    """The tensors that `file`, of `size` bytes, holds."""
    return Header("mindspore", Walk(file, size).entries())


class _DamageError(ReadError):
    def __init__(self, offset: int) -> None:
        super().__init__(
            f"the file is not a MindSpore checkpoint, or is damaged or truncated at byte {offset:,}", MANIFEST
        )


class Walk:
    """A file, and the block of it that was read last."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.block = b""
        self.base = 0

    def entries(self) -> tuple[Entry, ...]:
        """Every tensor of the file."""
        found: dict[str, Entry] = {}
        for value_at, number, begin, end in self.fields(0, self._end()):
            if number != 1 or end < 0:
                raise _DamageError(value_at)
            entry = self.value(begin, end)
            if entry is not None and found.setdefault(entry.name, entry) != entry:
                raise ReadError(f"parts of {shown(entry.name)} disagree about its shape or dtype")
        return tuple(found.values())

    def value(self, begin: int, end: int) -> Entry | None:
        """The tensor of a `Value`; None for a string."""
        tag, place = None, None
        for at, number, start, stop in self.fields(begin, end):
            if stop < 0 or number > 3:
                raise _DamageError(at)
            if number == 1:
                tag = self.text(start, stop, _LONGEST_TAG)
            elif number == 2:
                place = start, stop
            else:
                raise ReadError(f"{shown(tag or 'a value')} is a map parameter, whose shape cannot be read", MANIFEST)
        if tag is None or place is None:
            raise _DamageError(begin)
        return self.tensor(tag, *place)

    def tensor(self, tag: str, begin: int, end: int) -> Entry | None:
        """The tensor of a `TensorProto`; None for a string."""
        dims: list[int] = []
        word = None
        for at, number, start, stop in self.fields(begin, end):
            if number == 1 and stop < 0:
                dims.append(start)
            elif number == 1:
                dims.extend(self.packed(start, stop))
            elif number == 2 and stop >= 0:
                word = self.text(start, stop, _LONGEST_TYPE)
            elif number != 3 or stop < 0:
                raise _DamageError(at)
            if len(dims) > MOST_DIMENSIONS:
                raise ReadError(f"{shown(tag)} has more than {MOST_DIMENSIONS} dimensions", MANIFEST)
        if word is None or not word.isalnum() or any(extent >= 2**63 for extent in dims):
            raise _DamageError(begin)
        if word == "str":
            return None
        lower = word.lower()
        return Entry(tag, () if dims == [0] else tuple(dims), _DTYPES.get(lower, lower))

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of the message between `at` and `end`: offset, number, begin and end; or the value and -1."""
        while at < end:
            start = at
            base = at - self.base
            if not 0 <= base <= len(self.block) - _FIELD:
                base = self.load(at)
            block = self.block
            key, after = block[base], base + 1
            if key >= 128:
                key, after = _varint(block, base)
            number, wire = key >> 3, key & 7
            if wire == _BYTES or wire == _VARINT:  # noqa: PLR1714, SIM109 - a set is slower, and this is the hot path
                value = block[after]
                after += 1
                if value >= 128:
                    value, after = _varint(block, after - 1)
                at += after - base
                stop = -1
                if wire == _BYTES:
                    value, stop, at = at, at + value, at + value
            elif wire in (_FIXED64, _FIXED32):
                at += after - base + (8 if wire == _FIXED64 else 4)
                value, stop = 0, -1
            else:
                raise _DamageError(start)
            if at > end or number == 0:
                raise _DamageError(start)
            yield start, number, value, stop

    def packed(self, begin: int, end: int) -> Iterator[int]:
        """The integers of a packed field, no more than a tensor can have."""
        if end - begin > 10 * MOST_DIMENSIONS:
            raise _DamageError(begin)
        raw = self.raw(begin, end)
        at = 0
        while at < len(raw):
            value, at = _varint(raw, at)
            yield value

    def text(self, begin: int, end: int, limit: int) -> str:
        """The string between `begin` and `end`, of so many bytes at most."""
        if end - begin > limit:
            raise _DamageError(begin)
        base = begin - self.base
        if base >= 0 and end - self.base <= len(self.block):
            raw = self.block[base : end - self.base]
        else:
            raw = self.raw(begin, end)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise _DamageError(begin) from None

    def raw(self, begin: int, end: int) -> bytes:
        """The bytes between `begin` and `end`, which the caller has bounded."""
        self.file.seek(begin)
        return self.file.read(end - begin)

    def load(self, at: int) -> int:
        """Read the block that begins at `at`, with zeros after the file's end; 0, where `at` stands in it."""
        self.block = self.raw(at, at + _BLOCK)
        if at + len(self.block) >= self.size:
            self.block += bytes(_FIELD)
        self.base = at
        return 0

    def _end(self) -> int:
        """Where the message ends: at the checksum, if there is one."""
        if self.size > _CHECKSUM and self.raw(self.size - _CHECKSUM, self.size).startswith(b"crc_num"):
            return self.size - _CHECKSUM
        return self.size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The integer of seven bits a byte that begins at `at`, and where it ends; at most 64 bits."""
    value = 0
    for shift in range(0, 64, 7):
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
    raise ReadError("the file is not a MindSpore checkpoint, or is damaged", MANIFEST)
