"""The header of `.safetensors` files: written by the format's own library, and by hand against its rules."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import optplan
from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, ReadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Promises = Callable[[Path], None]

torch = pytest.importorskip("torch")
library = pytest.importorskip("safetensors")
library_torch = pytest.importorskip("safetensors.torch")


def fault(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_header(path)
    return caught.value.message


def encode(header: str | bytes, data: bytes = b"") -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + data


def info(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


WORDS = [
    "bool uint8 int8 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu uint16 int16 float16",
    "bfloat16 uint32 int32 float32 uint64 int64 float64 complex64 float4_e2m1fn_x2",
]


@pytest.mark.parametrize("word", " ".join(WORDS).split())
def test_every_dtype_that_the_library_writes(tmp_path: Path, word: str) -> None:
    path = tmp_path / "file.safetensors"
    library_torch.save_file({"a": torch.empty(2, 4, dtype=getattr(torch, word))}, path)
    assert read_header(path).entries == (Entry("a", (2, 4), word),)


def test_a_saved_state_is_no_network(tmp_path: Path) -> None:
    """Its tensors, `weight/exp_avg`, would be planned for as parameters."""
    path = tmp_path / "state.safetensors"
    module = torch.nn.Linear(2, 2)
    optplan.compile({"optplan": 1, "optimizer": {"type": "adamw"}}, module).save(path)
    assert fault(path) == "this is the saved state of an optimizer, and no network's weights"


def test_a_module(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    library_torch.save_file(state, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.format == "safetensors"
    assert header.tied == ()
    assert {entry.name: (entry.shape, f"torch.{entry.dtype}") for entry in header.entries} == {
        name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in state.items()
    }


def test_file_order_is_the_header_s(tmp_path: Path) -> None:
    header = {"b": info(offsets=[8, 16]), "a": info(offsets=[0, 8]), "none": info(shape=[0, 3], offsets=[8, 8])}
    path = tmp_path / "file.safetensors"
    path.write_bytes(encode(json.dumps(header), bytes(16)))
    assert [entry.name for entry in read_header(path).entries] == ["b", "a", "none"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"], include_characters='._ "\\'), min_size=1),
        st.lists(st.integers(0, 4), max_size=4),
        min_size=1,
    )
)
def test_any_tensors_read_as_the_library_reads_them(tmp_path: Path, layout: dict[str, list[int]]) -> None:
    path = tmp_path / "file.safetensors"
    library_torch.save_file({name: torch.empty(shape) for name, shape in layout.items()}, path)
    assert {entry.name: list(entry.shape) for entry in read_header(path).entries} == layout


GOOD = json.dumps({"a": info()})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode("{}"), "the file holds no tensor"),
        (
            struct.pack("<Q", 100_000_001) + b"{}",
            "the safetensors header claims 100,000,001 bytes; 100,000,000 are allowed",
        ),
        (struct.pack("<Q", 50) + b"{}", "the file is truncated: its header has 50 bytes, of which 2 are there"),
        (encode(GOOD, bytes(7)), "the file is truncated: 8 bytes of data are due, 7 are there"),
        (encode(GOOD, bytes(9)), "the file has 1 bytes that belong to no tensor"),
        (encode(GOOD[:-1], bytes(8)), "the JSON in the file is corrupted"),
        (
            encode(GOOD.replace('"a"', '"\udcff"').encode("utf-8", "surrogateescape")),
            "the JSON in the file is corrupted",
        ),
        (encode('{"a":{"b":%s}}' % ("[" * 100_000)), "the JSON in the file is corrupted"),
        (encode('{"a":%s}' % ("9" * 5000)), "the JSON in the file is corrupted"),
        (encode('{"a":NaN}'), "`NaN` stands in the JSON, which is no number"),
        (encode('{"a":1,"a":2}'), "the key `a` stands twice in one JSON object"),
        (encode('{"a":{"shape":[],"shape":[]}}'), "the key `shape` stands twice in one JSON object"),
        (encode('{"a":[]}'), "`a` is described by something else than an object"),
        (encode(json.dumps({"a": info(shape="2")})), "the shape of `a` is not a list of whole numbers from 0"),
        (encode(json.dumps({"a": info(shape=[2.0])})), "the shape of `a` is not a list of whole numbers from 0"),
        (encode(json.dumps({"a": info(shape=[True])})), "the shape of `a` is not a list of whole numbers from 0"),
        (encode(json.dumps({"a": info(shape=[-2])})), "the shape of `a` is not a list of whole numbers from 0"),
        (encode(json.dumps({"a": info(shape=[2**62, 4])})), "the shape of `a` is too large to be true"),
        (encode(json.dumps({"a": info(shape=[2**62, 4, 0])})), "the shape of `a` is too large to be true"),
        (encode(json.dumps({"a": info(shape=[1] * 65)})), "`a` has more than 64 dimensions"),
        (encode(json.dumps({"a": info(offsets=[8])})), "the data offsets of `a` are not two whole numbers"),
        (encode(json.dumps({"a": info(offsets=[0, 8.0])})), "the data offsets of `a` are not two whole numbers"),
        (encode(json.dumps({"a": info(offsets=None)})), "the data offsets of `a` are not two whole numbers"),
        (encode(json.dumps({"a": info(offsets=[0, 4])})), "the data offsets of `a` do not fit its shape and dtype"),
        (encode(json.dumps({"a": info(offsets=[-8, 0])})), "the data offsets of `a` do not fit its shape and dtype"),
        (encode(json.dumps({"a": info("F99")})), "`a` has the unknown dtype `F99`"),
        (encode(json.dumps({"a": info(32)})), "`a` has the unknown dtype `32`"),
        (encode(json.dumps({"a": info([])})), "`a` has the unknown dtype `list`"),
        (encode(json.dumps({"a": info(offsets=[1, 9])}), bytes(9)), "the data of `a` begins at `1` where `0` is due"),
        (
            encode(json.dumps({"a": info(), "b": info()}), bytes(16)),
            "the data of `b` begins at `0` where `8` is due",
        ),
        (encode(json.dumps({"": info()}), bytes(8)), "a tensor has the name ``, which no parameter can have"),
        (encode(json.dumps({"a\nb": info()}), bytes(8)), r"a tensor has the name `a\nb`, which no parameter can have"),
    ],
)
def test_what_breaks_a_rule(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    assert fault(path) == message


def test_the_library_refuses_what_we_do(tmp_path: Path) -> None:
    """Where the library is laxer (a key twice, a leading space), it is named here."""
    for header in (GOOD, GOOD + "  "):
        library.deserialize(encode(header, bytes(8)))
    for shape, offsets, size in [((2,), (0, 8), 7), ((2,), (0, 8), 9), ((1,), (0, 8), 8), ((1,), (4, 8), 8)]:
        content = encode(json.dumps({"a": info(shape=shape, offsets=offsets)}), bytes(size))
        with pytest.raises(library.SafetensorError):
            library.deserialize(content)
        path = tmp_path / "file.safetensors"
        path.write_bytes(content)
        assert fault(path)


SMALL = encode(json.dumps({"__metadata__": {"format": "pt"}, "a": info(), "b.c": info("I64", [1], [8, 16])}), bytes(16))


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    for length in range(len(SMALL)):
        path.write_bytes(SMALL[:length])
        assert fault(path)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**10), st.integers(0, 255)), min_size=1, max_size=6))
def test_bytes_changed_anywhere(tmp_path: Path, promises: Promises, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, value in flips:
        data[place % len(data)] = value
    path = tmp_path / "flipped"
    path.write_bytes(data)
    promises(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**65)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["F32", "F4"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
INFO = st.fixed_dictionaries({}, optional={"dtype": JSON, "shape": JSON, "data_offsets": JSON})


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(max_size=3), INFO | JSON, max_size=3))
def test_any_json(tmp_path: Path, promises: Promises, header: dict[str, Any]) -> None:
    path = tmp_path / "any"
    path.write_bytes(encode(json.dumps(header)))
    promises(path)
