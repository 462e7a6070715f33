"""The index of a checkpoint in several files (`model.safetensors.index.json`).

Takes a JSON file whose `weight_map` gives for each tensor the file beside it that holds it; gives the tensors in the
map's order.  Guarantees that only plain file names beside the index are opened, and that no shard is an index again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from optplan.readers.header import MANIFEST, Entry, Header, ReadError, shown
from optplan.readers.safetensors import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LONGEST_INDEX = 100_000_000


def read_shards(file: BinaryIO, size: int, path: Path, read: Callable[[Path], Header]) -> Header:
    """The tensors that the index `file`, of `size` bytes, at `path` maps to files, each of which `read` reads."""
    if size > _LONGEST_INDEX:
        raise ReadError(f"the index has {size:,} bytes; {_LONGEST_INDEX:,} are allowed")
    file.seek(0)
    places = parse_json(file.read(size).removeprefix(b"\xef\xbb\xbf")).get("weight_map")
    if type(places) is not dict:
        raise ReadError("the JSON file is neither a manifest nor the index of a sharded checkpoint", MANIFEST)
    shards: dict[str, dict[str, Entry]] = {}
    formats: set[str] = set()
    tied: list[tuple[str, ...]] = []
    entries = []
    for name, place in places.items():
        if type(place) is not str or not _plain(place):
            raise ReadError(f"the index puts {shown(name)} into {shown(place)}, which is no file name")
        if place not in shards:
            shard = _shard(path.with_name(place), read)
            shards[place] = {entry.name: entry for entry in shard.entries}
            formats.add(shard.format)
            tied.extend(shard.tied)
        if name not in shards[place]:
            raise ReadError(f"the index puts {shown(name)} into {shown(place)}, where it is not")
        entries.append(shards[place][name])
    if len(formats) > 1:
        raise ReadError("the shards are in different formats")
    # a shard may hold more than the index takes from it
    kept = (tuple(name for name in names if name in places) for names in tied)
    return Header("".join(formats), tuple(entries), tuple(names for names in kept if len(names) > 1))


def _plain(place: str) -> bool:
    """Whether `place` names a file beside the index, on any system."""
    return place.isprintable() and not set(place) & set('/\\:*?"<>|') and place not in {"", ".", ".."}


def _shard(path: Path, read: Callable[[Path], Header]) -> Header:
    try:
        return read(path)
    except ReadError as error:
        raise ReadError(error.message, error.help, error.path or str(path)) from error
