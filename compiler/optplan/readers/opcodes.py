"""A machine for the opcodes of a pickle that can neither import nor call.

Takes the bytes of a pickle of protocol 2 to 5; gives what it describes, made of these only:

    None, bool, int, float, str         themselves
    tuple, list, dict                   themselves; a dict keeps the keys that are str or int
    Global                              a class or function, by its name
    Storage                             a tensor's data, by its key
    Tensor                              what one of torch's `_rebuild_...` functions would make
    Thing                               everything else: an object, set or bytes, without its content

Python's own unpickler can be told which names to import, but not what they are called with, how far its memo may
grow (five bytes are enough for 34 GB), or that a process has registered extension codes.  Here there is nothing to
forbid.  Guarantees that the work is linear in the bytes, and that any exception means a corrupted pickle.  What it
gives may contain itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# A tensor takes some 35 opcodes, so this is half a million tensors.
MOST_STEPS = 20_000_000
# What can be named again and again in a few bytes must be short, or the work would not be linear.
_MOST_ARGUMENTS = 16
_MOST_DIMENSIONS = 64
_LONGEST_NAME = 1000
_LONGEST_INTEGER = 16


class PickleError(Exception):
    """A pickle that cannot be followed."""


class Global(NamedTuple):
    """A class or function, `module.name`."""

    name: str


@dataclass(slots=True, eq=False)
class Thing:
    """An object of the class or function `name`, with the `items` that were set in it as in a dict.

    `module` tells that its attributes were those of a `torch.nn.Module`.
    """

    name: str
    items: dict[Any, Any] | None = None
    module: bool = False


class Storage(NamedTuple):
    """A tensor's data: its key in the archive, and the class that says its dtype."""

    key: str
    type: str


class Tensor(NamedTuple):
    """Shape, dtype, and where the data lies: storage key, offset and strides; None without a storage of its own."""

    shape: tuple[int, ...]
    dtype: str
    view: tuple[str, int, tuple[int, ...]] | None


_SIGNED4, _UNSIGNED4, _UNSIGNED4_AND_CODE, _DOUBLE = Struct("<i"), Struct("<I"), Struct("<IB"), Struct(">d")
_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "UntypedStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}


def _extents(size: Any) -> tuple[int, ...]:
    if type(size) is not tuple or len(size) > _MOST_DIMENSIONS:
        raise PickleError
    for extent in size:
        if type(extent) is not int or extent < 0:
            raise PickleError
    return size


def _dtype(word: Any) -> str:
    if type(word) is not Global or not word.name.startswith("torch.") or not word.name[6:].isidentifier():
        raise PickleError
    return word.name[6:]


def _strided(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if type(storage) is not Storage or type(offset) is not int:
        raise PickleError
    return Tensor(_extents(size), _DTYPES[storage.type], (storage.key, offset, _extents(stride)))


def _strided_as(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    return _strided(storage, offset, size, stride)._replace(dtype=_dtype(dtype))


def _meta(dtype: Any, size: Any, *_: Any) -> Tensor:
    return Tensor(_extents(size), _dtype(dtype), None)


def _wrapper(_class: Any, dtype: Any, size: Any, *_: Any) -> Tensor:
    return Tensor(_extents(size), _dtype(dtype), None)


def _moved(data: Any, dtype: Any, *_: Any) -> Any:
    return Tensor(data.shape, _dtype(dtype), None) if type(data) is Tensor else Thing("torch.Tensor")


def _sparse(_layout: Any, data: Any) -> Tensor:
    # indices, values, size, coalesced; or compressed indices, plain indices, values, size
    values, size = (data[1], data[2]) if type(data[2]) is tuple else (data[2], data[3])
    if type(values) is not Tensor:
        raise PickleError
    return Tensor(_extents(size), values.dtype, None)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _of_type(function: Any, type_: Any, arguments: Any, _state: Any) -> Any:
    # a tensor of a subclass: what the plain one would be
    made = Thing("object") if function.name == _TYPED else _apply(function, arguments)
    return made if type(made) is Tensor or type(type_) is not Global else Thing(type_.name)


def _size(extents: Any) -> Any:
    return extents


def _mapping(*_: Any) -> dict[Any, Any]:
    return {}


_TYPED = "torch._tensor._rebuild_from_type_v2"
_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "builtins.dict": _mapping,
    "__builtin__.dict": _mapping,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _strided,
    "torch._utils._rebuild_tensor_v2": _strided,
    "torch._utils._rebuild_tensor_v3": _strided_as,
    "torch._utils._rebuild_qtensor": _strided,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_wrapper_subclass": _wrapper,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _moved,
    "torch._utils._rebuild_device_tensor_from_numpy": _moved,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    _TYPED: _of_type,
}


def _apply(function: Any, arguments: Any) -> Any:
    """What `function(*arguments)` stands for; the functions here are ours, and only describe."""
    if type(function) is not Global:
        return Thing("object")
    maker = _MAKERS.get(function.name)
    if maker is None:
        return Thing(function.name)
    if type(arguments) is not tuple or len(arguments) > _MOST_ARGUMENTS:
        raise PickleError
    return maker(*arguments)


def _storage(identity: Any) -> Storage:
    """What a persistent id `("storage", class, key, device, length)` names."""
    kind, class_, key = identity[:3]
    if kind != "storage" or type(class_) is not Global or type(key) is not str:
        raise PickleError
    return Storage(key, class_.name.rpartition(".")[2])


def _keep(target: Any, pairs: list[Any]) -> None:
    """Set `pairs`, key, value, key, value, ..., in `target`."""
    if type(target) is Thing:
        target.items = target.items or {}
        target = target.items
    elif type(target) is not dict:
        raise PickleError
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        # hashing a tuple nested a million deep would end the process
        if type(key) is str or type(key) is int:
            target[key] = value


def _build(target: Any, state: Any) -> None:
    """Notice the attributes of an object, and forget them."""
    if type(target) is Thing and type(state) is dict and "_modules" in state and "_parameters" in state:
        target.module = True


# opcodes that carry bytes which do not matter here: how many bytes their length takes, and what they stand for
_CARRIERS = {
    0x42: (4, "bytes"),  # BINBYTES
    0x43: (1, "bytes"),  # SHORT_BINBYTES
    0x8E: (8, "bytes"),  # BINBYTES8
    0x96: (8, "bytearray"),  # BYTEARRAY8
    0x54: (4, "str"),  # BINSTRING, of Python 2
    0x55: (1, "str"),  # SHORT_BINSTRING, of Python 2
}
_LONGS = {0x8A: 1, 0x8B: 4}  # LONG1, LONG4
_CONSTANTS = {0x4E: None, 0x88: True, 0x89: False}  # NONE, NEWTRUE, NEWFALSE
_SKIPPED = {0x80: 1, 0x95: 8}  # PROTO, FRAME


def read_pickle(data: bytes) -> Any:  # noqa: PLR0915 - one branch for each opcode, the most frequent first
    """What the pickle `data` describes; any exception means that it is corrupted, or not of protocol 2 to 5."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    push, pop = stack.append, stack.pop
    signed4, unsigned4, unsigned4_and_code = (
        _SIGNED4.unpack_from,
        _UNSIGNED4.unpack_from,
        _UNSIGNED4_AND_CODE.unpack_from,
    )
    at = 0
    for _ in range(MOST_STEPS):
        code = data[at]
        at += 1
        while code == 0x72:  # LONG_BINPUT: a quarter of all, so the opcode after it comes with it
            number, code = unsigned4_and_code(data, at)
            memo[number] = stack[-1]
            at += 5
        if code == 0x4B:  # BININT1
            push(data[at])
            at += 1
        elif code == 0x68:  # BINGET
            push(memo[data[at]])
            at += 1
        elif code == 0x28:  # MARK
            marks.append(len(stack))
        elif code == 0x58:  # BINUNICODE
            begin = at + 4
            at = begin + unsigned4(data, at)[0]
            push(_text(data, begin, at))
        elif code == 0x52:  # REDUCE
            arguments = pop()
            push(_apply(pop(), arguments))
        elif code == 0x74:  # TUPLE
            push(tuple(_pop_mark(stack, marks)))
        elif code == 0x86:  # TUPLE2
            second = pop()
            push((pop(), second))
        elif code == 0x51:  # BINPERSID
            push(_storage(pop()))
        elif code == 0x29:  # EMPTY_TUPLE
            push(())
        elif code in _CONSTANTS:
            push(_CONSTANTS[code])
        elif code == 0x85:  # TUPLE1
            push((pop(),))
        elif code == 0x6A:  # LONG_BINGET
            push(memo[unsigned4(data, at)[0]])
            at += 4
        elif code == 0x94:  # MEMOIZE
            memo[len(memo)] = stack[-1]
        elif code == 0x8C:  # SHORT_BINUNICODE
            begin = at + 1
            at = begin + data[at]
            push(_text(data, begin, at))
        elif code == 0x71:  # BINPUT
            memo[data[at]] = stack[-1]
            at += 1
        elif code == 0x4D:  # BININT2
            push(data[at] | data[at + 1] << 8)
            at += 2
        elif code == 0x4A:  # BININT
            push(signed4(data, at)[0])
            at += 4
        elif code == 0x87:  # TUPLE3
            items = tuple(stack[-3:])
            del stack[-3:]
            push(items)
        elif code == 0x63:  # GLOBAL
            middle = data.index(b"\n", at)
            end = data.index(b"\n", middle + 1)
            push(_named(data[at:middle].decode(), data[middle + 1 : end].decode()))
            at = end + 1
        elif code == 0x93:  # STACK_GLOBAL
            name = pop()
            push(_named(pop(), name))
        elif code == 0x75:  # SETITEMS
            pairs = _pop_mark(stack, marks)
            _keep(stack[-1], pairs)
        elif code == 0x73:  # SETITEM
            value = pop()
            key = pop()
            _keep(stack[-1], [key, value])
        elif code == 0x7D:  # EMPTY_DICT
            push({})
        elif code == 0x62:  # BUILD
            state = pop()
            _build(stack[-1], state)
        elif code == 0x47:  # BINFLOAT
            push(_DOUBLE.unpack_from(data, at)[0])
            at += 8
        elif code == 0x5D:  # EMPTY_LIST
            push([])
        elif code == 0x8F:  # EMPTY_SET
            push(Thing("set"))
        elif code in (0x61, 0x65):  # APPEND, APPENDS
            added = [pop()] if code == 0x61 else _pop_mark(stack, marks)
            if type(stack[-1]) is list:
                stack[-1].extend(added)
        elif code == 0x90:  # ADDITEMS
            _pop_mark(stack, marks)
        elif code == 0x91:  # FROZENSET
            _pop_mark(stack, marks)
            push(Thing("frozenset"))
        elif code in (0x81, 0x92):  # NEWOBJ, NEWOBJ_EX
            if code == 0x92:
                pop()
            arguments = pop()
            push(_apply(pop(), arguments))
        elif code in _LONGS:
            begin, at = _measure(data, at, _LONGS[code])
            short = at - begin <= _LONGEST_INTEGER
            push(int.from_bytes(data[begin:at], "little", signed=True) if short else Thing("int"))
        elif code == 0x8D:  # BINUNICODE8
            begin, at = _measure(data, at, 8)
            push(_text(data, begin, at))
        elif code in _CARRIERS:
            width, word = _CARRIERS[code]
            _, at = _measure(data, at, width)
            push(Thing(word))
        elif code in _SKIPPED:
            at += _SKIPPED[code]
        elif code == 0x30:  # POP; of a mark where there is nothing above it
            if marks and marks[-1] == len(stack):
                marks.pop()
            else:
                pop()
        elif code == 0x31:  # POP_MARK
            _pop_mark(stack, marks)
        elif code == 0x2E:  # STOP
            return pop()
        else:
            # those of protocols 0 and 1, extension codes, buffers out of band
            raise PickleError
    raise PickleError


def _pop_mark(stack: list[Any], marks: list[int]) -> list[Any]:
    """What stands above the last mark."""
    mark = marks.pop()
    items = stack[mark:]
    del stack[mark:]
    return items


def _measure(data: bytes, at: int, width: int) -> tuple[int, int]:
    """Where the bytes that a length of `width` bytes announces begin and end."""
    begin = at + width
    end = begin + int.from_bytes(data[at:begin], "little")
    if end > len(data):
        raise PickleError
    return begin, end


def _text(data: bytes, begin: int, end: int) -> str:
    if end > len(data):
        raise PickleError
    return data[begin:end].decode("utf-8", "surrogatepass")


def _named(module: Any, name: Any) -> Global:
    if type(module) is not str or type(name) is not str or len(module) + len(name) > _LONGEST_NAME:
        raise PickleError
    return Global(f"{module}.{name}")
