"""Which file is what, files in several parts, and what hostile files may not cost."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, Header, ReadError

if TYPE_CHECKING:
    from pathlib import Path


def fault(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_header(path)
    return caught.value.message


def safetensors(*names: str) -> bytes:
    """A safetensors file of two float32 each."""
    info = {n: {"dtype": "F32", "shape": [2], "data_offsets": [8 * k, 8 * k + 8]} for k, n in enumerate(names)}
    return encode(json.dumps(info).encode()) + bytes(8 * len(names))


def encode(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def pair(name: str) -> Entry:
    return Entry(name, (2,), "float32")


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(" + b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
TENSOR = REBUILD + b"(" + STORAGE + b"K\x00K\x02\x85K\x01\x85\x89}tR"


def pickled(body: bytes) -> bytes:
    """A zip archive around a pickle, as `torch.save` makes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
    return buffer.getvalue()


def key(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


CKPT = b"\n\x14\n\x01w\x12\x0f\x08\x02\x12\x07Float32\x1a\x02\x00\x00"


# Which file is what


@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.safetensors", "x.bin", "x"])
def test_the_bytes_tell_the_format_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content, form in [(safetensors("w"), "safetensors"), (pickled(b"}" + key("w") + TENSOR + b"s"), "torch")]:
        path.write_bytes(content)
        assert read_header(path) == Header(form, (pair("w"),))
        assert read_header(str(path)) == read_header(path)
    if not name.endswith("safetensors"):
        path.write_bytes(CKPT)
        assert read_header(path) == Header("mindspore", (pair("w"),))


OTHER = "the file is not a checkpoint that can be read: not safetensors, zip `.pt` or `.ckpt`"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", b"", "the file is empty"),
        ("a.pt", b"hello", OTHER),
        ("a.pt", b"\x80\x04}.", "the file is a bare pickle, which cannot be read without running it"),
        ("a.pt", b"PK\x05\x06" + bytes(18), "the file is an empty zip archive"),
        ("a.bin", b"GGUF\x03\0\0\0", "the file is in GGUF, which cannot be read"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "the file is in HDF5, which cannot be read"),
        ("a.pt", b"version https://git-lfs.example.org\n", "the file is a Git LFS pointer, not the checkpoint itself"),
        ("a.ckpt", b"\xd8^:\x7f" + bytes(80), "the file is an encrypted MindSpore checkpoint"),
        ("a.safetensors", b"\x08", "the file is not what its ending `.safetensors` says, or is damaged"),
        ("a.safetensors", CKPT, "the file is not what its ending `.safetensors` says, or is damaged"),
        ("a.json", b"[1]", "the file is not what its ending `.json` says, or is damaged"),
        ("a.json", b"{}", "the JSON file is neither a manifest nor the index of a sharded checkpoint"),
        ("a.json", b'{"weight_map": {}}', "the file holds no tensor"),
        ("a.json", b'{"weight_map": []}', "the JSON file is neither a manifest nor the index of a sharded checkpoint"),
        ("a.json", b'{"weight_map"', "the JSON in the file is corrupted"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert fault(path) == message


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "private").touch()
    assert fault(tmp_path / "missing.pt") == "the file cannot be read: no such file or directory"
    assert fault(tmp_path) == "the path is a folder"
    assert fault(tmp_path / "pipe") == "the path is not a regular file"
    assert fault(tmp_path / ("x" * 300)) == "the file cannot be read: file name too long"


def test_an_error_is_shown_by_its_message_and_pickles() -> None:
    error = ReadError("so", "do", "there")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.message, again.help, again.path) == ("so", "so", "do", "there")


# In several files


def index(folder: Path, places: dict[str, Any], name: str = "model.safetensors.index.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": places}))
    return path


def test_an_index_of_shards(tmp_path: Path) -> None:
    (tmp_path / "1.safetensors").write_bytes(safetensors("a", "c", "spare"))
    (tmp_path / "2.safetensors").write_bytes(safetensors("b"))
    path = index(tmp_path, {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"})
    assert read_header(path) == Header("safetensors", (pair("a"), pair("b"), pair("c")))


def test_an_index_of_pickles_and_its_ties(tmp_path: Path) -> None:
    body = b"}(" + b"".join(key(name) + TENSOR for name in ("a", "b", "spare")) + b"u"
    (tmp_path / "1.bin").write_bytes(pickled(body))
    path = index(tmp_path, {"b": "1.bin", "a": "1.bin"}, "pytorch_model.bin.index.json")
    assert read_header(path) == Header("torch", (pair("b"), pair("a")), (("a", "b"),))


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"z": "1.safetensors"}, "the index puts `z` into `1.safetensors`, where it is not"),
        ({"a": "../1.safetensors"}, "the index puts `a` into `../1.safetensors`, which is no file name"),
        ({"a": "/1.safetensors"}, "the index puts `a` into `/1.safetensors`, which is no file name"),
        ({"a": "C:1.safetensors"}, "the index puts `a` into `C:1.safetensors`, which is no file name"),
        ({"a": "\\\\host\\1"}, "the index puts `a` into `\\\\host\\1`, which is no file name"),
        ({"a": ".."}, "the index puts `a` into `..`, which is no file name"),
        ({"a": 1}, "the index puts `a` into `1`, which is no file name"),
        ({"a": "gone.safetensors"}, "the file cannot be read: no such file or directory"),
        ({"a": "model.safetensors.index.json"}, "the file is not what its ending `.json` says, or is damaged"),
        ({"a": "bad.safetensors"}, "the file is empty"),
        ({"a": "1.safetensors", "w": "w.ckpt"}, "the shards are in different formats"),
    ],
)
def test_what_an_index_may_not_say(tmp_path: Path, places: dict[str, Any], message: str) -> None:
    (tmp_path / "1.safetensors").write_bytes(safetensors("a"))
    (tmp_path / "bad.safetensors").touch()
    (tmp_path / "w.ckpt").write_bytes(CKPT)
    assert fault(index(tmp_path, places)) == message


def test_a_shard_s_fault_names_the_shard(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as caught:
        read_header(index(tmp_path, {"a": "gone.safetensors"}))
    assert caught.value.path == str(tmp_path / "gone.safetensors")


# What a hostile file may not cost


def deflated(content_size: int, claimed: int) -> bytes:
    """An archive whose pickle unpacks to so many zeros and claims another length."""
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(raw.compress(bytes(2**20)) for _ in range(content_size >> 20)) + raw.flush()
    name = b"archive/data.pkl"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), claimed, len(name), 0) + name + packed
    entry = (
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(packed), claimed, len(name), *[0] * 6) + name
    )
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


def shared(levels: int, width: int) -> bytes:
    """Dicts of `width` keys, each the same dict of the next level: small in bytes, `width ** levels` by every path."""
    body = b"}q\x00"
    for level in range(levels):
        body += b"0}" + b"".join(key(f"k{i}") + b"h" + bytes([level]) + b"s" for i in range(width))
        body += b"q" + bytes([level + 1])
    return body


def many(count: int, tensor: bytes) -> bytes:
    """A dict of so many times this tensor."""
    return b"}(" + b"".join(key(f"k{i}") + tensor for i in range(count)) + b"u"


HUGE = b"\x8b" + struct.pack("<I", 10**7) + b"\x7f" * 10**7 + b"q\x00"
WIDE = b"(" + b"K\x01" * 100_000 + b"tq\x00"
TYPED = b"ctorch._tensor\n_rebuild_from_type_v2\nq\x00"
BOMBS = {
    "memo": pickled(b"}r\xff\xff\xff\xff"),
    "long": pickled(b"\x8b\xff\xff\xff\x7f"),
    "long, negative": pickled(b"\x8b\xff\xff\xff\xff"),
    "huge integer as every offset": pickled(
        HUGE + many(20_000, REBUILD + b"(" + STORAGE + b"h\x00K\x02\x85K\x01\x85\x89}tR")
    ),
    "text": pickled(b"\x8d" + b"\xff" * 8),
    "bytes": pickled(b"\x8e" + b"\xff" * 8),
    "frame": pickled(b"\x95" + b"\xff" * 8),
    "deep tuples": pickled(b")" + b"\x85" * 1_000_000),
    "deep tuples as a key": pickled(b"})" + b"\x85" * 1_000_000 + b"Ns"),
    "deep dicts": pickled(b"}q\x00" + (b"}" + key("a")) * 200_000 + b"N" + b"s" * 200_000),
    "deep dicts, usual": pickled(b"}" + (key("model") + b"}") * 200_000 + b"s" * 200_000),
    "deep arguments": pickled(TYPED + (b"(h\x00N") * 20_000 + b")" + b"Nt" * 20_000 + b"R"),
    "shared dicts": pickled(shared(6, 500)),
    "shared dicts under a usual key": pickled(shared(5, 500) + b"q\xff}" + key("model") + b"h\xffs"),
    "one dict under many keys": pickled(
        b"}("
        + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(50_000))
        + b"uq\x00}("
        + b"".join(key(f"k{i}") + b"h\x00" for i in range(50_000))
        + b"u"
    ),
    "long names": pickled(key("a" * 10**7) + b"q\x00" + b"h\x00h\x00\x930" * 100_000),
    "many arguments": pickled(WIDE + b"ccollections\nOrderedDict\nq\x01" + b"h\x01h\x00R0" * 100_000),
    "many dimensions": pickled(WIDE + many(20_000, REBUILD + b"(" + STORAGE + b"K\x00h\x00h\x00\x89}tR")),
    "deflate": deflated(512 << 20, 100 << 20),
    "deflate, claimed": deflated(512 << 20, 512 << 20),
    "directory": pickled(b"}")[:-10] + b"\xff\xff\xff\x7f" + bytes(6),
    "json depth": struct.pack("<Q", 10**6 + 5) + b'{"a":' + b"[" * 10**6,
    "json digits": struct.pack("<Q", 10**6 + 6) + b'{"a":' + b"9" * 10**6 + b"}",
    "json shape": encode(
        b'{"a":{"dtype":"F32","shape":[' + b",".join([b"9" * 4000] * 5000) + b'],"data_offsets":[0,0]}}'
    ),
    "json length": struct.pack("<Q", 2**31) + b"{}",
    "protobuf length": b"\n" + b"\xff" * 9 + b"\x01",
    "protobuf dims": b"\n\x80\x80\x80\x04" + b"\n\x01w\x12\xf8\xff\xff\x03" + b"\x08\x01" * (2**23),
}

PROGRAM = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
from optplan.readers.dispatch import read_header
from optplan.readers.header import ReadError
start = time.process_time()
try:
    print(read_header(sys.argv[1]))
except ReadError as error:
    print("ReadError:", error)
print(time.process_time() - start)
# unlike what getrusage says, this does not count the process that started this one
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("bomb", list(BOMBS))
def test_a_bomb_costs_neither_memory_nor_time(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[bomb])
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, str(path)], check=True, capture_output=True, text=True, timeout=60
    )
    said, seconds, kilobytes = run.stdout.splitlines()
    assert said.startswith(("ReadError: the ", "ReadError: `"))
    assert len(said) < 400
    assert float(seconds) < 5
    assert int(kilobytes) < 400_000


def test_no_framework_is_loaded(tmp_path: Path) -> None:
    files = {"a.safetensors": safetensors("w"), "a.pt": pickled(b"}" + key("w") + TENSOR + b"s"), "a.ckpt": CKPT}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    index(tmp_path, {"w": "a.safetensors"})
    program = """
import sys
import optplan
before = set(sys.modules)
from optplan.readers.dispatch import read_header
for path in sys.argv[1:]:
    read_header(path)
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"optplan"})
print(*{"torch", "mindspore", "numpy", "safetensors"} & set(sys.modules))
"""
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, *map(str, sorted(tmp_path.iterdir()))],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.split() == []
