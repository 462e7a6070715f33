"""Files of saved state: whole or not at all, read by any library of the format, and believed in nothing."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from optplan import ConfigError
from optplan.state import files
from optplan.state.saved import Array, Saved, SavedGroup, SavedScaler, parse
from tests.state.writing import ELEMENTS, NAMES, state

ROOT = Path(__file__).parents[2]

SAVED = Saved(
    "torch",
    "abc",
    7,
    (SavedGroup("g", "adamw", {"lr": 0.1, "betas": (0.9, 0.999), "eps": None}, {"lr": 0.2}, ("a/b%2F", "w")),),
    {
        "a/b%2F": {"exp_avg": Array("float32", (2, 1), bytes(8)), "step": 3},
        "w": {"dirs": (Array("int64", (1,), bytes(8)), None, 2.5), "half": Array("bfloat16", (), b"\x80\x3f")},
    },
    SavedScaler(1024.0, 3),
    ({"best": math.inf, "bad": 0, "cooling": 1, "reductions": 2, "metric": "loss"},),
)


def write(path: Path, saved: Saved = SAVED) -> Path:
    files.write(path, saved, files.tensors(saved))
    return path


def plain(saved: Saved) -> Any:
    """All of it with the bytes of its arrays, to be compared."""

    def told(value: Any) -> Any:
        if isinstance(value, Array):
            return value.dtype, value.shape, bytes(value.data)
        if isinstance(value, dict):
            return {key: told(each) for key, each in value.items()}
        return [told(each) for each in value] if isinstance(value, (list, tuple)) else value

    return told(saved.to_dict())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = files.read(write(tmp_path / "state.safetensors"))
    assert plain(found) == plain(SAVED)
    assert found.state["w"]["half"].item() == 1.0
    assert os.listdir(tmp_path) == ["state.safetensors"]  # noqa: PTH208 - what lies beside it, hidden or not


def test_any_library_of_the_format_reads_it(tmp_path: Path) -> None:
    with safe_open(write(tmp_path / "state.safetensors"), "numpy") as found:
        assert set(found.keys()) == {"a%2Fb%252F/exp_avg", "w/dirs/0", "w/half"}
        assert found.get_tensor("a%2Fb%252F/exp_avg").shape == (2, 1)
        about = json.loads(found.metadata()["optplan"])
    assert about["groups"][0]["settings"] == {"lr": 0.1, "betas": [0.9, 0.999], "eps": None}
    assert about["reports"][0]["best"] == {"float": "inf"}


def test_a_plain_dict_is_read_back() -> None:
    assert plain(parse(SAVED.to_dict())) == plain(SAVED)


# What a dict may not say

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"format": "optplan.state/9"}, "of the format `optplan.state/9`"),
    ({"format": None}, "without a format"),
    ({"framework": "tensorflow"}, "`framework` of the saved state is 'tensorflow'"),
    ({"updates": -1}, "`updates` of the saved state is -1, not a whole number from 0"),
    ({"updates": True}, "`updates` of the saved state is True, not a whole number"),
    ({"updates": math.nan}, "`updates` of the saved state is nan"),
    ({"groups": {}}, "`groups` of the saved state is a `dict`, not a list"),
    ({"groups": [3]}, "`groups[0]` of the saved state is a `int`, not a mapping"),
    ({"groups": [{"name": "g", "optimizer": "sgd", "settings": {}, "parameters": ["w", "w"]}]}, "names 'w', which"),
    ({"groups": [{"name": "g", "optimizer": "sgd", "settings": {"lr": {}}, "parameters": []}]}, "settings.lr"),
    ({"state": {"w": {"step": "1"}}}, "`state['w'].step` of the saved state is a `str`"),
    ({"state": {"w": {"step": [[1]]}}}, "`state['w'].step` of the saved state is a `list`"),
    ({"state": {1: {}}}, "has the key 1, which is no name"),
    ({"state": {"w": []}}, "`state['w']` of the saved state is a `list`, not a mapping"),
    ({"scaler": {"scale": 0, "good": 1}}, "`scaler.scale` of the saved state is 0, which is no scale"),
    ({"scaler": {"scale": math.inf, "good": 1}}, "is inf, which is no scale"),
    ({"scaler": {"scale": 1.0, "good": 0.5}}, "`scaler.good` of the saved state is 0.5"),
    ({"reports": [{"best": "x"}]}, "`reports[0].best` of the saved state is a `str`, not a number"),
]


@pytest.mark.parametrize(("part", "said"), FAULTS, ids=lambda each: str(each)[:30])
def test_a_dict_that_is_none_is_told(part: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**SAVED.to_dict(), **part})
    assert {each.code for each in caught.value.diagnostics} == {"OP702"}
    assert said in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**SAVED.to_dict(), "framework": 3, "updates": "x", "scaler": 1})
    assert len(caught.value.diagnostics) >= 3


@pytest.mark.parametrize("what", [None, 3, "text", [], b"x"])
def test_what_is_no_mapping_is_no_state(what: Any) -> None:
    with pytest.raises(ConfigError, match="is no saved state"):
        parse(what)


# What a file may not be


def forged(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def described(**parts: Any) -> dict[str, Any]:
    return {"__metadata__": {"optplan": json.dumps({**json.loads(json.dumps(EMPTY)), **parts})}}


EMPTY = {
    "format": "optplan.state/1",
    "framework": "torch",
    "fingerprint": "",
    "updates": 0,
    "groups": [],
    "state": {},
    "scaler": None,
    "reports": [],
}
DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("header", "data", "length", "said"),
    [
        (b"", b"", None, "corrupted"),
        (b"{}", b"", None, "no state of `compiled.save`"),
        (b"{}", b"", 2**63, "claims"),
        (b"{}", b"", 90_000_000, "truncated"),
        (b'{"__metadata__": {"optplan": "{"}}', b"", None, "corrupted"),
        (b'{"__metadata__": {"optplan": 3}}', b"", None, "no state of `compiled.save`"),
        (b'{"a": ' + DEEP, b"", None, "corrupted"),
        ({"__metadata__": {"optplan": DEEP.decode()}}, b"", None, "corrupted"),
        ({"__metadata__": {"optplan": '{"state": {}, "state": {}}'}}, b"", None, "stands twice"),
        ({"w/f": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"", None, "truncated"),
        ({"w/f": {"dtype": "Q4", "shape": [2], "data_offsets": [0, 8]}}, b"x" * 8, None, "unknown dtype"),
        ({"w/f": {"dtype": "F32", "shape": [2**62, 2], "data_offsets": [0, 8]}}, b"x" * 8, None, "too large"),
        ({"w/f": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"x" * 8, None, "shape"),
        ({"w/f": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"x" * 4, None, "do not fit"),
        (b'{"\xff": 1}', b"", None, "corrupted"),
        (described(updates="x"), b"", None, "`updates`"),
        (described(updates=10**400), b"", None, "`updates`"),
        (described(state=[]), b"", None, "`state`"),
        (described(state={"w": {"f": {"tensor": "w/other"}}}), b"", None, "`state['w'].f`"),
        (described(groups=[{}]), b"", None, "`groups[0].parameters`"),
    ],
    ids=lambda each: str(each)[:25],
)
def test_a_hostile_file_is_told(tmp_path: Path, header: Any, data: bytes, length: int | None, said: str) -> None:
    path = forged(tmp_path / "state.safetensors", header, data, length)
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        files.read(path)
    assert time.monotonic() - started < 10
    assert {each.code for each in caught.value.diagnostics} <= {"OP701", "OP702"}
    assert said in str(caught.value)
    assert all(each.source == str(path) for each in caught.value.diagnostics)


@pytest.mark.parametrize("make", ["missing", "folder", "empty", "pickle"])
def test_what_is_no_such_file_is_told(tmp_path: Path, make: str) -> None:
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    elif make == "empty":
        path.write_bytes(b"")
    elif make == "pickle":
        path.write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(ConfigError, match="OP701"):
        files.read(path)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_a_damaged_file_is_read_or_told(tmp_path_factory: Any, place: int, value: int, cut: int) -> None:
    path = tmp_path_factory.mktemp("damaged") / "state.safetensors"
    content = bytearray(write(path).read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: len(content) - cut % 3 * (cut % len(content))])
    try:
        files.read(path)
    except ConfigError as fault:
        said = {each.code for each in fault.diagnostics}
    else:
        said = set()
    assert said <= {"OP701", "OP702"}


# Whole or not at all


def test_a_failure_in_the_middle_leaves_the_older_file(tmp_path: Path) -> None:
    path = write(tmp_path / "state.safetensors", state(1))

    def broken() -> Any:
        yield files.tensors(state(2))[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write(path, state(2), broken())
    assert files.read(path).updates == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_a_killed_process_left_beside_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    beside = tmp_path / ".state.safetensors.partial"
    beside.write_bytes(b"x" * 10_000_000)
    write(path)
    assert plain(files.read(path)) == plain(SAVED)
    assert not beside.exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "run" / "state.safetensors", tmp_path / "latest"
    target.parent.mkdir()
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert files.read(target).updates == SAVED.updates


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder.*nowhere'$"):
        write(tmp_path / "nowhere" / "state.safetensors")
    write(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match=r"it is no folder.*file'$"):
        write(tmp_path / "file" / "state.safetensors")


def check(path: Path) -> int:
    """The number of the state in the file, which all of its parts tell."""
    found = files.read(path)
    whole = bytes(state(found.updates).state["a"]["exp_avg"].data)
    assert found.fingerprint == str(found.updates)
    assert [bytes(found.state[name]["exp_avg"].data) == whole for name in NAMES] == [True, True]
    assert len(whole) == 4 * ELEMENTS
    return found.updates


def killed(path: Path, wait: float) -> int:
    """Have a process save for a while and kill it; the number that it last said was saved."""
    command = [sys.executable, "-m", "tests.state.writing", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split("\n")[:-1]
    return int(said[-1]) if said else 0


def test_a_process_that_is_killed_leaves_the_older_file_or_the_newer(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    chance = random.Random(0)  # noqa: S311 - moments, not secrets
    for _ in range(8):
        last = killed(path, chance.uniform(0, 0.05))
        assert check(path) in (last, last + 1)


@pytest.mark.long
def test_a_hundred_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    chance = random.Random(1)  # noqa: S311 - as above
    in_the_middle = 0
    for _ in range(100):
        last = killed(path, chance.uniform(0, 0.03))
        assert check(path) in (last, last + 1)
        in_the_middle += (tmp_path / ".state.safetensors.partial").exists()
    assert in_the_middle > 20


def test_two_processes_at_once_write_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    command = [sys.executable, "-m", "tests.state.writing", str(path)]
    writers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
        for _ in range(2)
    ]
    try:
        for each in writers:
            assert each.stdout is not None
            assert each.stdout.readline() == "0\n"
        for _ in range(30):
            check(path)
            time.sleep(0.01)
        assert [each.poll() for each in writers] == [None, None]
    finally:
        for each in writers:
            each.kill()
            each.communicate()
    check(path)


# Where nothing is written


@pytest.mark.parametrize("kind", ["pipe", "folder", "nothing", "slash"])
def test_what_is_no_file_is_not_replaced(kind: str, tmp_path: Path) -> None:
    path: Any = tmp_path / "state.safetensors"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "nothing":
        path = ""
    else:
        path = f"{path}/"
    before = os.listdir(tmp_path)  # noqa: PTH208 - hidden ones too
    with pytest.raises(OSError, match="regular file" if kind == "pipe" else "directory"):
        files.write(path, SAVED, files.tensors(SAVED))
    assert os.listdir(tmp_path) == before  # noqa: PTH208 - as above
    assert kind != "pipe" or path.is_fifo()


def test_a_path_may_be_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "state.safetensors")
    files.write(path, SAVED, files.tensors(SAVED))  # type: ignore[arg-type]  # what some programs have
    assert plain(files.read(Path(os.fsdecode(path)))) == plain(SAVED)


def test_a_name_that_no_file_can_hold_is_told_when_it_is_written(tmp_path: Path) -> None:
    saved = Saved("torch", "abc", 0, (), {"\ud800": {"step": Array("float32", (), bytes(4))}})
    with pytest.raises(ConfigError, match=r"OP708.*half of a surrogate pair"):
        files.write(tmp_path / "state.safetensors", saved, files.tensors(saved))
    assert not list(tmp_path.iterdir())
