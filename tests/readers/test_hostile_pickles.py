"""Files that only look like those of `torch.save`; each hostile pickle is shown to work on Python's own unpickler."""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, ReadError
from tests.readers.archives import archive, as_torch_says, fault, save

if TYPE_CHECKING:
    from collections.abc import Callable

    Promises = Callable[[Path], None]

torch = pytest.importorskip("torch")

TENSOR = torch.empty(2)
STATE = {"w": TENSOR, "b": torch.empty(3)}


class Trap:
    """Whatever an unpickler does to it leaves a mark."""

    def __new__(cls, mark: str | None = None, **_: str) -> Self:
        if mark:
            Path(mark).touch()
        return super().__new__(cls)

    def __setstate__(self, state: str) -> None:
        Path(state).touch()

    def append(self, item: str) -> None:
        Path(item).touch()

    def add(self, item: str) -> None:
        Path(item).touch()

    def __setitem__(self, key: str, value: str) -> None:
        Path(key).touch()


def text(word: str) -> bytes:
    raw = word.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def attacks(mark: str) -> dict[str, bytes]:
    """By opcode: a pickle, without its STOP, that touches the file `mark` when it is unpickled."""
    command = text(f"touch {mark}")
    trap = f"c{__name__}\nTrap\n".encode()
    return {
        "REDUCE": b"cposix\nsystem\n" + command + b"\x85R",
        "INST": f"(S'touch {mark}'\niposix\nsystem\n".encode(),
        "OBJ": b"(cposix\nsystem\n" + command + b"o",
        "STACK_GLOBAL": b"\x8c\x05posix\x8c\x06system\x93" + command + b"\x85R",
        "nested GLOBAL": b"\x80\x04\x8c\x02os\x8c\x08__name__\x930cposix\nsystem\n" + command + b"\x85R",
        "getattr": b"cbuiltins\ngetattr\ncos\npath\nX\x02\x00\x00\x00os\x86R0cposix\nsystem\n" + command + b"\x85R",
        "eval": b"cbuiltins\neval\n" + text(f"__import__('os').system('touch {mark}')") + b"\x85R",
        "EXT1": b"\x82\xf0" + command + b"\x85R",
        "EXT2": b"\x83\xf0\x00" + command + b"\x85R",
        "EXT4": b"\x84\xf0\x00\x00\x00" + command + b"\x85R",
        "NEWOBJ": trap + text(mark) + b"\x85\x81",
        "NEWOBJ_EX": trap + b")}" + text("mark") + text(mark) + b"s\x92",
        "BUILD": trap + b")\x81" + text(mark) + b"b",
        "APPEND": trap + b")\x81" + text(mark) + b"a",
        "APPENDS": trap + b")\x81(" + text(mark) + b"e",
        "ADDITEMS": trap + b")\x81(" + text(mark) + b"\x90",
        "SETITEM": trap + b")\x81" + text(mark) + b"Ns",
        "SETITEMS": trap + b")\x81(" + text(mark) + b"Nu",
    }


@pytest.fixture
def extension() -> Any:
    """The code 240 registered for `os.system`, as a process may have done for some class of its own."""
    copyreg.add_extension("posix", "system", 0xF0)
    yield
    copyreg.remove_extension("posix", "system", 0xF0)
    copyreg._extension_cache.clear()  # type: ignore[attr-defined]  # noqa: SLF001 - what a test put there


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("place", ["whole file", "value", "tensor's storage", "hooks"])
@pytest.mark.parametrize("opcode", list(attacks("")))
def test_nothing_in_a_pickle_runs(tmp_path: Path, opcode: str, place: str) -> None:
    mark = tmp_path / "mark"
    attack = attacks(str(mark))[opcode]
    # the attack is a real one, and where it uses a cache that cache is warm now
    pickle.loads(b"\x80\x04" + attack + b".")  # noqa: S301 - on purpose
    assert mark.exists()
    mark.unlink()
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
    body = {
        "whole file": attack,
        "value": b"}" + text("w") + rebuild + storage + b"K\x00K\x02\x85K\x01\x85\x89}tRs" + text("x") + attack + b"s",
        "tensor's storage": b"}" + text("w") + rebuild + attack + b"K\x00K\x02\x85K\x01\x85\x89}tRs",
        "hooks": b"}" + text("w") + rebuild + storage + b"K\x00K\x02\x85K\x01\x85\x89" + attack + b"tRs",
    }[place]
    path = archive(tmp_path / "hostile.pt", b"\x80\x04" + body + b".")
    with contextlib.suppress(ReadError):
        assert read_header(path).entries == (Entry("w", (2,), "float32"),)
    assert not mark.exists()


PROTOCOL_0 = ["INT", "LONG", "FLOAT", "STRING", "UNICODE", "LIST", "DICT", "DUP", "GET", "PUT", "PERSID", "INST"]
REFUSED = [*PROTOCOL_0, "OBJ", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"]


def test_opcodes_that_torch_never_writes_are_refused(tmp_path: Path) -> None:
    known = {item.name: item.code.encode("latin-1") for item in pickletools.opcodes}
    unknown = {bytes([code]) for code in range(256)} - set(known.values())
    for code in sorted(unknown) + [known[name] for name in REFUSED]:
        path = archive(tmp_path / "odd.pt", b"\x80\x02}" + text("w") + code + b"1\n1\n.")
        assert fault(path) == "the pickle in the file is corrupted, or not one that `torch.save` writes"


def test_globals_and_classes_are_not_touched_by_build(tmp_path: Path) -> None:
    """BUILD on what GLOBAL gave must not change how the next file is read."""
    state = b"}" + text("__defaults__") + b"N\x85s"
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"):
        path = archive(tmp_path / "hostile.pt", b"\x80\x02" + target + state + b"b" + target + b"N" + state + b"\x86b.")
        with pytest.raises(ReadError):
            read_header(path)
        assert read_header(save(tmp_path, STATE)).entries == as_torch_says(STATE)


@pytest.mark.parametrize("flag", ["encrypted", "method", "no pickle", "no directory"])
def test_archives_that_torch_does_not_write(tmp_path: Path, flag: str) -> None:
    path = archive(tmp_path / "file.pt", b"\x80\x02}.")
    data = bytearray(path.read_bytes())
    directory = data.rfind(b"PK\x01\x02")
    if flag == "encrypted":
        data[directory + 8] |= 1
    elif flag == "method":
        data[directory + 10] = 12
    elif flag == "no pickle":
        data = bytearray(bytes(data).replace(b"data.pkl", b"data.txt"))
    else:
        data = data[: data.rfind(b"PK\x05\x06")]
    path.write_bytes(data)
    assert (
        fault(path)
        == {
            "encrypted": "the zip archive is encrypted",
            "method": "the zip archive is compressed in a way that cannot be read",
            "no pickle": "the file is a zip archive that `torch.save` did not write: it has no `data.pkl`",
            "no directory": "the file is truncated: the directory at the end of the zip archive is missing",
        }[flag]
    )


def small() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"embed": TENSOR, "head": TENSOR}, "lr": 0.5}, buffer)
    return buffer.getvalue()


SMALL = small()


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    for length in range(len(SMALL)):
        path.write_bytes(SMALL[:length])
        assert fault(path)


FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6)
FUZZ = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@FUZZ
@given(FLIPS)
def test_bytes_changed_anywhere(tmp_path: Path, promises: Promises, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, value in flips:
        data[place % len(data)] = value
    path = tmp_path / "flipped.pt"
    path.write_bytes(data)
    promises(path)


@FUZZ
@given(FLIPS)
def test_bytes_changed_in_the_pickle(tmp_path: Path, promises: Promises, flips: list[tuple[int, int]]) -> None:
    with zipfile.ZipFile(io.BytesIO(SMALL)) as file:
        data = bytearray(file.read(file.namelist()[0]))
    for place, value in flips:
        data[place % len(data)] = value
    promises(archive(tmp_path / "flipped.pt", bytes(data)))


OPCODES = st.sampled_from([item.code.encode("latin-1") for item in pickletools.opcodes])
PIECES = [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"X\x07\x00\x00\x00storage", b"\x01"]


@FUZZ
@given(st.lists(OPCODES | st.binary(max_size=4) | st.sampled_from(PIECES), max_size=60))
def test_any_opcodes(tmp_path: Path, promises: Promises, pieces: list[bytes]) -> None:
    promises(archive(tmp_path / "any.pt", b"\x80\x02" + b"".join(pieces) + b"."))
