"""MindSpore's checkpoints: the message encoded by hand after `checkpoint.proto`, and files that MindSpore writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, Header, ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Promises = Callable[[Path], None]


def fault(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_header(path)
    return caught.value.message


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def chunk(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(dims: Sequence[int], word: str = "Float32", content: bytes = b"") -> bytes:
    return b"".join(b"\x08" + varint(extent) for extent in dims) + chunk(2, word.encode()) + chunk(3, content)


def value(tag: str, dims: Sequence[int], word: str = "Float32", content: bytes = b"") -> bytes:
    return chunk(1, chunk(1, tag.encode()) + chunk(2, tensor(dims, word, content)))


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.ckpt"
    path.write_bytes(content)
    return path


DTYPES = {
    "Bool": "bool",
    "Int4": "int4",
    "Int8": "int8",
    "Int64": "int64",
    "UInt16": "uint16",
    "Float16": "float16",
    "BFloat16": "bfloat16",
    "Float64": "float64",
    "Complex128": "complex128",
    "Float8E4M3FN": "float8_e4m3fn",
    "Float8E5M2": "float8_e5m2",
    "HiFloat8": "hifloat8",
}


def test_dtypes(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(value(word, [2, 3], word, bytes(24)) for word in DTYPES))
    assert read_header(path) == Header("mindspore", tuple(Entry(word, (2, 3), dtype) for word, dtype in DTYPES.items()))


def test_scalars_strings_and_slices(tmp_path: Path) -> None:
    content = [
        value("embed", [4, 1000], content=bytes(9000)),
        value("embed", [4, 1000], content=bytes(7000)),
        value("scalar", [], content=bytes(4)),
        value("old.scalar", [0], content=bytes(4)),
        value("one", [1], content=bytes(4)),
        value("note", [0], "str", b"t\0\0\0"),
        value("Gewicht.größe", [2**40, 3]),
    ]
    assert read_header(write(tmp_path, b"".join(content))).entries == (
        Entry("embed", (4, 1000), "float32"),
        Entry("scalar", (), "float32"),
        Entry("old.scalar", (), "float32"),
        Entry("one", (1,), "float32"),
        Entry("Gewicht.größe", (2**40, 3), "float32"),
    )


def test_what_other_encoders_may_write(tmp_path: Path) -> None:
    """Fields in another order, packed dims, several values in one message, and fields of a later version."""
    packed = chunk(3, bytes(5000)) + chunk(1, varint(300) + varint(2)) + chunk(2, b"Int8")
    later = b"\x20\x07" + b"\x29" + bytes(8) + b"\x35" + bytes(4)
    content = chunk(1, chunk(2, packed) + chunk(1, b"w")) + value("v", [3])
    path = write(tmp_path, content)
    assert read_header(path).entries == (Entry("w", (300, 2), "int8"), Entry("v", (3,), "float32"))
    # a field that the message does not have may change what it means
    assert fault(write(tmp_path, content + chunk(1, chunk(1, b"x") + chunk(2, tensor([1]) + later)))).startswith(
        "the file is not a MindSpore checkpoint"
    )


def test_a_checksum_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path, value("w", [2], content=bytes(8)) + b"crc_num" + bytes(10))
    assert read_header(path).entries == (Entry("w", (2,), "float32"),)


def test_contents_are_not_read(tmp_path: Path) -> None:
    """A tensor of 20 GB, of which the file system keeps nothing."""
    path = tmp_path / "huge.ckpt"
    size = 20 * 2**30
    body = chunk(1, b"big") + varint(2 << 3 | 2)
    inner = b"\x08" + varint(size // 4) + chunk(2, b"Float32") + varint(3 << 3 | 2) + varint(size)
    body += varint(len(inner) + size) + inner
    with path.open("wb") as file:
        file.write(varint(1 << 3 | 2) + varint(len(body) + size) + body)
        file.seek(size, 1)
        file.write(value("after", [1], content=bytes(4)))
    assert read_header(path).entries == (Entry("big", (size // 4,), "float32"), Entry("after", (1,), "float32"))


START = "the file is not a MindSpore checkpoint, or is damaged or truncated at byte "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (value("w", [2]) + value("w", [3]), "parts of `w` disagree about its shape or dtype"),
        (value("w", [2]) + value("w", [2], "Int8"), "parts of `w` disagree about its shape or dtype"),
        (value("w", [1] * 65), "`w` has more than 64 dimensions"),
        (value("w", [2**40, 2**40]), "the shape of `w` is too large to be true"),
        (value("w", [2**64 - 1]), START + "7"),
        (value("w", [1], "no type"), START + "7"),
        (value("", [1]), "a tensor has the name ``, which no parameter can have"),
        (value("n", [0], "str"), "the file holds no tensor"),
        (chunk(1, chunk(1, b"w")), START + "2"),
        (chunk(1, chunk(2, tensor([1]))), START + "2"),
        (chunk(1, chunk(1, b"\xff") + chunk(2, tensor([1]))), START + "4"),
        (chunk(1, chunk(1, b"w") + chunk(2, chunk(3, b""))), START + "7"),
        (chunk(1, chunk(1, b"m") + chunk(3, b"")), "`m` is a map parameter, whose shape cannot be read"),
        (value("w", [2])[:-1], START + "0"),
        (value("w", [2]) + b"\x0a", START + "20"),
        (value("w", [2]) + b"\x12\x00", START + "20"),
        (value("w", [2]) + b"\x0b", START + "20"),
        (b"\x0a" + b"\xff" * 30, "the file is not a MindSpore checkpoint, or is damaged"),
        (b"\x0a" + varint(2**63), START + "0"),
        (chunk(1, varint(1 << 3 | 2) + varint(2**62)), START + "2"),
        (chunk(1, chunk(1, b"w" * 5000) + chunk(2, tensor([1]))), START + "6"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    assert fault(write(tmp_path, content)) == message


SMALL = value("layer.weight", [3, 200], content=bytes(300)) + value("layer.bias", [3], "BFloat16", bytes(6))


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    first = len(value("layer.weight", [3, 200], content=bytes(300)))
    for length in range(len(SMALL)):
        path = write(tmp_path, SMALL[:length])
        # between two values a shorter file is a file
        if length == first:
            assert read_header(path).entries == (Entry("layer.weight", (3, 200), "float32"),)
        else:
            assert fault(path)


FUZZ = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 2**10), st.integers(0, 255)), min_size=1, max_size=6))
def test_bytes_changed_anywhere(tmp_path: Path, promises: Promises, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, byte in flips:
        data[place % len(data)] = byte
    promises(write(tmp_path, bytes(data)))


@FUZZ
@given(st.lists(st.integers(0, 255) | st.sampled_from(b"\x0a\x12\x08\x1a\x02"), max_size=40))
def test_any_bytes(tmp_path: Path, promises: Promises, data: list[int]) -> None:
    promises(write(tmp_path, b"\x0a" + bytes(data)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"], include_characters="._"), min_size=1, max_size=200),
        st.tuples(st.lists(st.integers(1, 5), max_size=5), st.sampled_from(sorted(DTYPES)), st.integers(0, 9000)),
        min_size=1,
    )
)
def test_any_tensors(tmp_path: Path, layout: dict[str, tuple[list[int], str, int]]) -> None:
    path = write(tmp_path, b"".join(value(tag, dims, word, bytes(n)) for tag, (dims, word, n) in layout.items()))
    assert read_header(path).entries == tuple(
        Entry(tag, tuple(dims), DTYPES[word]) for tag, (dims, word, _) in layout.items()
    )


PROGRAM = """
import json, sys
import numpy as np
import mindspore as ms
from mindspore import Tensor, nn

folder = sys.argv[1]
net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dense(4, 2))
words = "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ complex64".split()
typed = [{"name": word, "data": Tensor(np.ones((2, 3)), getattr(ms, word))} for word in words]
typed += [{"name": "scalar", "data": Tensor(1.5, ms.float32)}, {"name": "one", "data": Tensor([1.5], ms.float32)}]
ms.save_checkpoint(net, folder + "/net.ckpt", append_dict={"epoch": 3, "note": "text"})
ms.save_checkpoint(typed, folder + "/typed.ckpt", crc_check=True)
ms.save_checkpoint(net, folder + "/net.safetensors", format="safetensors")
ms.save_checkpoint(net, folder + "/secret.ckpt", enc_key=b"0123456789abcdef", enc_mode="AES-GCM")
said = {"net.ckpt": [[p.name, p.shape, p.dtype] for p in net.get_parameters()] + [["epoch", [], ms.int64]]}
said["net.safetensors"] = said["net.ckpt"][:-1]
said["typed.ckpt"] = [[item["name"], item["data"].shape, item["data"].dtype] for item in typed]
spell = lambda dtype: str(dtype).lower().removesuffix("_")
print(json.dumps({file: {n: [list(s), spell(d)] for n, s, d in items} for file, items in said.items()}))
"""


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.skipif(importlib.util.find_spec("mindspore") is None, reason="MindSpore is not installed")
def test_files_that_mindspore_writes(tmp_path: Path) -> None:
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, capture_output=True, text=True, timeout=300
    )
    said = json.loads(run.stdout.splitlines()[-1])
    for file, tensors in said.items():
        entries = read_header(tmp_path / file).entries
        assert {entry.name: [list(entry.shape), entry.dtype] for entry in entries} == tensors
    assert fault(tmp_path / "secret.ckpt") == "the file is an encrypted MindSpore checkpoint"
