"""The header of a `.safetensors` file.

Takes a file that begins with a length and `{`; gives its tensors in the order in which the header names them.  The
layout is that of the published format: eight bytes of length, little-endian, so many of JSON,

    {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}

then the data, which the tensors cover without gap or overlap.  Guarantees that a header which breaks one of these
rules, or names a tensor twice, is refused.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from optplan.readers.header import MANIFEST, Entry, Header, ReadError, count_elements, shown

# the limit that the format's own library sets
_LONGEST_HEADER = 100_000_000

# by the format's word: bits of an element, and torch's word
DTYPES = {
    "BOOL": (8, "bool"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "U16": (16, "uint16"),
    "I16": (16, "int16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "U32": (32, "uint32"),
    "I32": (32, "int32"),
    "F32": (32, "float32"),
    "U64": (64, "uint64"),
    "I64": (64, "int64"),
    "F64": (64, "float64"),
    "C64": (64, "complex64"),
    # elements of less than a byte; torch packs two of F4 into one of its own
    "F4": (4, "float4_e2m1fn_x2"),
    "F6_E2M3": (6, "float6_e2m3fn"),
    "F6_E3M2": (6, "float6_e3m2fn"),
}


def read_safetensors(file: BinaryIO, size: int) -> Header:
    """The tensors that the header of `file`, of `size` bytes, names; a state that `compiled.save` wrote is refused."""
    found, metadata = read_tensors(file, size)
    if "optplan" in metadata:
        # its tensors have names such as `head.weight/exp_avg`, which a plan would take for parameters
        raise ReadError("this is the saved state of an optimizer, and no network's weights", MANIFEST)
    return Header("safetensors", tuple(entry for entry, _, _ in found))


def read_tensors(file: BinaryIO, size: int) -> tuple[list[tuple[Entry, int, int]], dict[str, Any]]:
    """Each tensor, and where its data begins and ends behind the header; and what `__metadata__` has."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ReadError(f"the safetensors header claims {length:,} bytes; {_LONGEST_HEADER:,} are allowed")
    if length > size - 8:
        raise ReadError(f"the file is truncated: its header has {length:,} bytes, of which {size - 8:,} are there")
    places: list[tuple[int, int, str]] = []
    found: list[tuple[Entry, int, int]] = []
    header = parse_json(file.read(length))
    for name, info in header.items():
        if name == "__metadata__":
            continue
        entry, begin, end = _entry(name, info)
        found.append((entry, begin, end))
        places.append((begin, end, name))
    reached, data = 0, size - 8 - length
    for begin, end, name in sorted(places):
        if begin != reached:
            raise ReadError(f"the data of {shown(name)} begins at {shown(begin)} where {shown(reached)} is due")
        reached = end
    if reached > data:
        raise ReadError(f"the file is truncated: {reached:,} bytes of data are due, {data:,} are there")
    if reached < data:
        raise ReadError(f"the file has {data - reached:,} bytes that belong to no tensor")
    metadata = header.get("__metadata__")
    return found, {} if type(metadata) is not dict else metadata


def parse_json(text: bytes) -> dict[str, Any]:
    """The JSON object that `text` is; a key that stands twice, or anything but strict JSON in UTF-8, is a fault."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ReadError("the JSON in the file is corrupted", MANIFEST) from error
    if type(value) is not dict:
        raise ReadError("the JSON in the file is not an object", MANIFEST)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        raise ReadError(f"the key {shown(twice)} stands twice in one JSON object")
    return found


def _refuse(word: str) -> None:
    raise ReadError(f"`{word}` stands in the JSON, which is no number")


def _entry(name: str, info: Any) -> tuple[Entry, int, int]:
    """The tensor that `info` describes, and where its data begins and ends."""
    if type(info) is not dict:
        raise ReadError(f"{shown(name)} is described by something else than an object")
    shape, offsets, word = (info.get("shape"), info.get("data_offsets"), info.get("dtype"))
    if type(shape) is not list or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ReadError(f"the shape of {shown(name)} is not a list of whole numbers from 0")
    if type(offsets) is not list or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
        raise ReadError(f"the data offsets of {shown(name)} are not two whole numbers")
    if type(word) is not str or word not in DTYPES:
        raise ReadError(f"{shown(name)} has the unknown dtype {shown(word)}", MANIFEST)
    bits, dtype = DTYPES[word]
    begin, end = offsets
    needed = count_elements(name, shape) * bits
    if begin < 0 or (end - begin) * 8 != needed:
        raise ReadError(f"the data offsets of {shown(name)} do not fit its shape and dtype")
    if word == "F4" and shape and shape[-1] % 2 == 0:
        shape[-1] //= 2
    return Entry(name, tuple(shape), dtype), begin, end
