"""Saved state in a file: one safetensors file that any library for the format reads.

    <parameter>/<field>          a tensor; `%` and `/` in a name are written `%25` and `%2F`
    <parameter>/<field>/<n>      an element of a field that is a list
    __metadata__["optplan"]      everything else, as JSON; numbers that are not finite as {"float": "inf"}

Writing is whole or not at all: what is written lies beside the file, under the name `.NAME.partial`, and takes its
place once it is on the disk; a process that is killed leaves the older file, and perhaps a part beside it, which the
next one takes up.  Reading believes nothing, runs nothing, and maps the tensors into memory, so that only what is used
is read.
"""

from __future__ import annotations

import json
import mmap
import os
from contextlib import suppress
from errno import EINVAL, EISDIR, ENOENT, ENOTDIR
from math import isfinite, prod
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple

from optplan.diagnostics import ConfigError, Diagnostic
from optplan.readers.header import ReadError
from optplan.readers.safetensors import DTYPES, parse_json, read_tensors
from optplan.state.saved import Array, Saved, dtype_of, is_array, parse

try:
    import fcntl
except ImportError:  # Windows has no such lock: there two processes must not write one file at the same time
    fcntl = None  # type: ignore[assignment]  # see above

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optplan.state.saved import Value

__all__ = ["Beside", "read", "tensors", "write"]

_KEY = "optplan"
# The format's words, and bytes of an element, by torch's words; what has less than a byte is no state
_WORDS = {dtype: (word, bits // 8) for word, (bits, dtype) in DTYPES.items() if bits % 8 == 0}


class _Place(NamedTuple):
    """A tensor to be written: its name in the file, the value, its dtype in torch's words and its shape."""

    name: str
    value: Value
    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        return _WORDS[self.dtype][1]


def tensors(saved: Saved) -> list[Value]:
    """The arrays and tensors of `saved`, in the order in which they are written."""
    return [each.value for each in _places(saved)]


def write(path: str | os.PathLike[str], saved: Saved, arrays: Iterable[Array]) -> None:
    """Write `saved`, whole or not at all; `arrays` has the values of `tensors(saved)`, asked for one by one.

    OSError where it cannot be written, ConfigError (OP708) for a tensor of a dtype that the format does not have.
    """
    places = _places(saved)
    header: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(_plain(saved), allow_nan=False)}}
    end = 0
    for each in places:
        begin, end = end, end + prod(each.shape) * each.width
        word = _WORDS[each.dtype][0]
        header[each.name] = {"dtype": word, "shape": list(each.shape), "data_offsets": [begin, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError as error:
        message = "the name of a parameter has half of a surrogate pair, which no safetensors file can hold"
        raise ConfigError([Diagnostic("OP708", "error", message)]) from error
    # Spaces at the end are part of the format: the tensors begin at a multiple of 8.
    text += b" " * (-len(text) % 8)
    name = os.fsdecode(path)
    if not name or name.endswith(os.sep):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), name)
    with Beside(os.path.realpath(name)) as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        for each, array in zip(places, arrays, strict=True):
            if array.dtype != each.dtype or len(array.data) != prod(each.shape) * each.width:
                raise AssertionError(each.name, array)
            stream.write(array.data)


def read(path: str | os.PathLike[str]) -> Saved:
    """The state that `write` wrote; its arrays are in the file still.  ConfigError (OP701, OP702) for anything else."""
    name = os.fspath(path)
    try:
        data = _read(name)
    except OSError as error:
        raise _fault(name, error.strerror or str(error)) from error
    except ReadError as error:
        raise _fault(name, error.message, error.help) from error
    except (RecursionError, ValueError) as error:
        raise _fault(name, "what it holds is corrupted, or no path of a file") from error
    try:
        return parse(data)
    except ConfigError as error:
        raise ConfigError([_at(name, each) for each in error.diagnostics]) from None


def _read(name: str) -> dict[str, Any]:
    """The dict that was saved."""
    with open(name, "rb") as file:  # noqa: PTH123 - as everywhere where files are replaced
        about = os.fstat(file.fileno())
        if not S_ISREG(about.st_mode):
            raise ReadError("it is no regular file")
        _check_kind(file.read(64), name)
        if about.st_size < 8:
            raise ReadError("it is too short for a safetensors file")
        found, metadata = read_tensors(file, about.st_size)
        # Private pages: frameworks ask for memory that could be written, and the file stays as it is.
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    if not isinstance(metadata.get(_KEY), str):
        raise ReadError("it has tensors, but no state of `compiled.save`")
    start = 8 + int.from_bytes(memory[:8], "little")
    arrays = {
        each.name: Array(each.dtype, each.shape, memory[start + begin : start + end]) for each, begin, end in found
    }
    return _data(parse_json(metadata[_KEY].encode("utf-8", "surrogatepass")), arrays)


def _check_kind(head: bytes, name: str) -> None:
    """ReadError for a file that another program has written, by its first bytes."""
    if head[8:9] == b"{":
        return
    convert = f"`optplan convert {name} -o state.safetensors --config ... --network ...`"
    if head.startswith(b"PK\x03\x04") or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        cure = '`compiled.load_state_dict(torch.load(path, weights_only=True)["optimizer"])`, or by its key'
        raise ReadError("it seems to be a file of `torch.save`", f"{cure}, or {convert}")
    if _is_text(head):
        cure = "give the file that `compiled.save(path)` wrote"
        raise ReadError("it is a text, and a saved state is a safetensors file", cure)
    if head.startswith(b"\n") and b"\n" in head[2:7]:
        raise ReadError("it seems to be a checkpoint of MindSpore", f"make a file for `restore` of it: {convert}")


def _is_text(head: bytes) -> bool:
    """Whether the beginning of a file is one of a text."""
    # Its end may be in the middle of a character
    text = head.decode("utf-8", "replace")[:-1]
    return bool(text) and all(char.isprintable() or char in "\t\r\n" for char in text) and "\ufffd" not in text


def _fault(name: str, why: str, cure: str | None = None) -> ConfigError:
    return ConfigError([Diagnostic("OP701", "error", f"no saved state can be read: {why}", name, help=cure)])


def _at(name: str, each: Diagnostic) -> Diagnostic:
    return Diagnostic(each.code, each.severity, each.message, name, help=each.help)


# What stands in the file


def _places(saved: Saved) -> list[_Place]:
    """The tensors, widest elements first, so that each begins at a multiple of its width."""
    found = []
    for name, fields in saved.state.items():
        for field, value in fields.items():
            listed = isinstance(value, tuple)
            for number, each in enumerate(value) if listed else ((-1, value),):
                if is_array(each):
                    path = f"{_escaped(name)}/{_escaped(field)}" + (f"/{number}" if listed else "")
                    found.append(_Place(path, each, _dtype(each, path), tuple(int(extent) for extent in each.shape)))
    return sorted(found, key=lambda each: -each.width)


def _dtype(value: Value, path: str) -> str:
    word = dtype_of(value)
    if word not in _WORDS:
        message = f"`{path}` has the dtype `{word:.40}`, which no safetensors file can hold"
        raise ConfigError([Diagnostic("OP708", "error", message)])
    return word


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def _plainly(name: str) -> str:
    return name.replace("%2F", "/").replace("%25", "%")


def _plain(saved: Saved) -> dict[str, Any]:
    """Everything but the tensors, which are named in lists only: elsewhere their own names say where they belong."""
    data = saved.to_dict()
    state: dict[str, dict[str, Any]] = {}
    for name, fields in saved.state.items():
        state[name] = {}
        for field, value in fields.items():
            if isinstance(value, tuple):
                path = f"{_escaped(name)}/{_escaped(field)}"
                state[name][field] = [
                    {"tensor": f"{path}/{number}"} if is_array(each) else each for number, each in enumerate(value)
                ]
            elif not is_array(value):
                state[name][field] = value
    found: dict[str, Any] = _finite({**data, "state": state})
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _data(data: dict[str, Any], arrays: dict[str, Array]) -> dict[str, Any]:
    """The dict that was saved, with the arrays in their places; whatever else it is, `parse` finds."""
    whole: dict[str, Any] = _infinite(data, arrays)
    state = whole.get("state")
    if not isinstance(state, dict):
        return whole
    for path, array in arrays.items():
        parts = path.split("/")
        if len(parts) == 2:
            fields = state.setdefault(_plainly(parts[0]), {})
            if isinstance(fields, dict):
                fields[_plainly(parts[1])] = array
    return whole


def _infinite(value: Any, arrays: dict[str, Array]) -> Any:
    if isinstance(value, list):
        return [_infinite(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"float"} and value["float"] in ("inf", "-inf", "nan"):
        return float(value["float"])
    if value.keys() == {"tensor"} and isinstance(value["tensor"], str) and value["tensor"] in arrays:
        return arrays[value["tensor"]]
    return {key: _infinite(each, arrays) for key, each in value.items()}


# Whole or not at all


class Beside:
    """What is written beside a file and takes its place at the end; one process at a time, if several try."""

    def __init__(self, final: str) -> None:
        self._final = final
        folder, name = os.path.split(final)
        self._folder = folder
        self._path = os.path.join(folder, f".{name}.partial")  # noqa: PTH118 - as above

    def __enter__(self) -> Any:
        # What is beside it is no name that anybody has given
        if not os.path.isdir(self._folder):  # noqa: PTH112 - as above
            there = os.path.exists(self._folder)  # noqa: PTH110 - as above
            why = "it is no folder" if there else "there is no folder"
            raise OSError(ENOTDIR if there else ENOENT, why, self._folder)
        # A device or a pipe would be gone, and a file in its place
        with suppress(FileNotFoundError):
            mode = os.stat(self._final).st_mode  # noqa: PTH116 - as above
            if not S_ISREG(mode):
                number = EISDIR if S_ISDIR(mode) else EINVAL
                raise OSError(number, os.strerror(number) if S_ISDIR(mode) else "it is no regular file", self._final)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        while True:
            number = os.open(self._path, flags, 0o666)
            if fcntl is None:
                break
            fcntl.flock(number, fcntl.LOCK_EX)
            # Whoever held it may have put it in its place by now.
            with suppress(FileNotFoundError):
                if os.fstat(number).st_ino == os.stat(self._path, follow_symlinks=False).st_ino:  # noqa: PTH116 - as above
                    break
            os.close(number)
        self._stream = os.fdopen(number, "wb")
        self._stream.truncate(0)
        return self._stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stream:
            if kind is None:
                try:
                    self._stream.flush()
                    os.fsync(self._stream.fileno())
                    os.replace(self._path, self._final)  # noqa: PTH105 - as above
                except BaseException:
                    self._remove()
                    raise
            else:
                self._remove()
        if kind is None:
            self._settle()

    def _remove(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - as above

    def _settle(self) -> None:
        """Have the new name of the file on the disk too, where the system can be asked to."""
        with suppress(OSError):
            number = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
