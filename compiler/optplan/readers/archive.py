"""One member of a zip archive.

Takes a file and the ending of a member's name; gives that member's bytes.  It reads the directory at the archive's end
and nothing else, which for the ten thousand members of a large checkpoint takes a tenth of what `zipfile` takes, and
it trusts no size: what is read and what is unpacked both have limits.  The layout, zip64 included, is that of the
published APPNOTE.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

from optplan.readers.header import MANIFEST, ReadError

_LARGEST_DIRECTORY = 64 * 2**20
_TAIL = 22 + 2**16

_END = Struct("<4s4H2LH")
_END64_PLACE = Struct("<4sLQL")
_END64 = Struct("<4sQ2H2L4Q")
_MEMBER = Struct("<4s6H3L5H2L")
_LOCAL = Struct("<4s5H3L2H")
_UNKNOWN = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the directory: `packed` and `unpacked` are lengths in bytes, `place` that of the local header."""

    name: bytes
    flags: int
    method: int
    packed: int
    unpacked: int
    place: int


def list_members(file: BinaryIO, size: int, ending: bytes) -> list[Member]:
    """The members of the archive `file`, of `size` bytes, whose names end like this; in the directory's order."""
    place, length = _find_directory(file, size)
    if length > _LARGEST_DIRECTORY:
        raise ReadError(f"the zip archive's directory claims {length:,} bytes; {_LARGEST_DIRECTORY:,} are allowed")
    directory = _read_at(file, place, length)
    found = []
    at = 0
    while at < length:
        (signature, _, _, flags, method, _, _, _, packed, unpacked, named, extra, comment, _, _, _, local) = (
            _MEMBER.unpack_from(directory, at)
        )
        if signature != b"PK\x01\x02":
            raise ReadError("the zip archive's directory is corrupted")
        at += _MEMBER.size + named + extra + comment
        name = directory[at - named - extra - comment : at - extra - comment]
        if name.endswith(ending):
            more = directory[at - extra - comment : at - comment]
            found.append(Member(name, flags, method, *_widen(more, unpacked, packed, local)))
    return found


def read_member(file: BinaryIO, member: Member, limit: int) -> bytes:
    """The bytes of `member`, of which there may be `limit` at most."""
    if max(member.packed, member.unpacked) > limit:
        raise ReadError(
            f"the pickle in the file has {max(member.packed, member.unpacked):,} bytes; {limit:,} are allowed", MANIFEST
        )
    if member.flags & 1:
        raise ReadError("the zip archive is encrypted", MANIFEST)
    fields = _LOCAL.unpack(_read_at(file, member.place, _LOCAL.size))
    if fields[0] != b"PK\x03\x04":
        raise ReadError("the zip archive is corrupted")
    packed = _read_at(file, member.place + _LOCAL.size + fields[-2] + fields[-1], member.packed)
    if member.method == _STORED:
        return packed
    if member.method != _DEFLATED:
        raise ReadError("the zip archive is compressed in a way that cannot be read", "`torch.save` it anew")
    try:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.unpacked + 1)
    except zlib.error as error:
        raise ReadError("the zip archive is corrupted") from error
    if len(unpacked) != member.unpacked:
        raise ReadError("the zip archive is corrupted: a member is not as long as its directory says")
    return unpacked


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int]:
    """Where the directory begins, and its length."""
    start = max(0, size - _TAIL)
    tail = _read_at(file, start, size - start)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise ReadError("the file is truncated: the directory at the end of the zip archive is missing")
    _, _, _, _, _, length, place, _ = _END.unpack_from(tail, end)
    wide = end - _END64_PLACE.size
    if wide >= 0 and tail.startswith(b"PK\x06\x07", wide):
        _, _, record, _ = _END64_PLACE.unpack_from(tail, wide)
        fields = _END64.unpack(_read_at(file, record, _END64.size))
        if fields[0] != b"PK\x06\x06":
            raise ReadError("the zip archive's directory is corrupted")
        length, place = fields[-2:]
    return place, length


def _widen(extra: bytes, unpacked: int, packed: int, place: int) -> tuple[int, int, int]:
    """Packed length, unpacked length and place, from the zip64 field in `extra` where the short ones do not suffice."""
    values = [unpacked, packed, place]
    at = 0
    while _UNKNOWN in values and at + 4 <= len(extra):
        kind, length = (int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little"))
        at += 4
        if kind == 1:
            wide = at
            for k, value in enumerate(values):
                if value == _UNKNOWN:
                    values[k] = int.from_bytes(extra[wide : wide + 8], "little")
                    wide += 8
            break
        at += length
    unpacked, packed, place = values
    return packed, unpacked, place


def _read_at(file: BinaryIO, place: int, length: int) -> bytes:
    """So many bytes from `place`; fewer are a fault, found before anything of that size is set aside."""
    size = file.seek(0, 2)
    if place + length > size:
        raise ReadError("the file is truncated, or its zip archive's directory is corrupted")
    file.seek(place)
    return file.read(length)
