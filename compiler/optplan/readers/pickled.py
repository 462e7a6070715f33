"""The tensors of a file that `torch.save` wrote, without torch and without unpickling.

Takes a zip archive with a member `NAME/data.pkl`, a pickle of a state dict or of something that holds one; gives the
tensors of that state dict, in its order, and the names that share a tensor.  Only that member is read, never data.

Which dict is the state dict: the one under one of the usual keys (`state_dict`, `model_state_dict`, `model`, `module`),
else the only one that directly holds tensors.  Where that leaves several, none is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optplan.readers.archive import list_members, read_member
from optplan.readers.header import MANIFEST, Entry, Header, ReadError, shown
from optplan.readers.opcodes import Tensor, Thing, read_pickle

if TYPE_CHECKING:
    from typing import BinaryIO

_LARGEST_PICKLE = 128 * 2**20
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "module")
_DEEPEST = 4
_STATE_ONLY = "save its state dict instead: `torch.save(module.state_dict(), path)`"


def read_pickled(file: BinaryIO, size: int) -> Header:
    """The tensors of the state dict in the archive `file`, of `size` bytes."""
    members = [member for member in list_members(file, size, b".pkl") if member.name.count(b"/") == 1]
    pickles = [member for member in members if member.name.endswith(b"/data.pkl")]
    if not pickles:
        raise ReadError("the file is a zip archive that `torch.save` did not write: it has no `data.pkl`", MANIFEST)
    if any(member.name.endswith(b"/constants.pkl") for member in members):
        raise ReadError("the file holds a TorchScript program, not a state dict", _STATE_ONLY)
    data = read_member(file, pickles[0], _LARGEST_PICKLE)
    try:
        value = read_pickle(data)
    except Exception as error:
        # the machine's promise: whatever it raises says this
        raise ReadError("the pickle in the file is corrupted, or not one that `torch.save` writes", MANIFEST) from error
    found = _find_state(value, (), _DEEPEST)
    entries: list[Entry] = []
    first: dict[Tensor, str] = {}
    tied: dict[str, list[str]] = {}
    for name, item in found.items():
        if type(item) is Tensor:
            entries.append(Entry(_checked(name), item.shape, item.dtype))
            # nothing is shared by tensors without elements
            if item.view and 0 not in item.shape:
                known = first.setdefault(item, name)
                if known != name:
                    tied.setdefault(known, [known]).append(name)
        elif type(item) is Thing and item.name.endswith(("Tensor", "Parameter")):
            raise ReadError(f"{shown(name)} is a {shown(item.name)}, whose shape cannot be read", MANIFEST)
    return Header("torch", tuple(entries), tuple(map(tuple, tied.values())))


def _checked(name: Any) -> str:
    if type(name) is not str:
        raise ReadError(f"a tensor stands under the key {shown(name)}, which is no name", MANIFEST)
    return name


def _items(value: Any) -> dict[Any, Any] | None:
    """The items of a dict, or of an object that had some set as in one."""
    return value.items if type(value) is Thing else value if type(value) is dict else None


def _find_state(value: Any, path: tuple[str, ...], depth: int) -> dict[Any, Any]:
    """The state dict in `value`, which stands under the keys `path`."""
    items = _items(value)
    if items is None or (type(value) is Thing and value.module):
        raise _refusal(value, path)
    usual = [key for key in _USUAL_KEYS if _holds_network(items.get(key))]
    if len(usual) == 1 and depth:
        return _find_state(items[usual[0]], (*path, usual[0]), depth - 1)
    direct = _holds_tensor(items)
    others = usual or _list_holders(items)
    if direct and not others:
        return items
    if len(others) == 1 and not direct:
        return _items(items[others[0]]) or {}
    if not others:
        raise _refusal(value, path)
    names = [shown(".".join((*path, key))) for key in others[:5]]
    here = [f"the tensors beside {'it' if len(others) == 1 else 'them'}"] if direct else []
    among = ", ".join([*names, *(["..."] if len(others) > 5 else []), *here])
    raise ReadError(
        f"several things in the file could be the state dict: {among}",
        "save the one that is meant by itself, or under the key `state_dict`",
    )


def _holds_tensor(items: dict[Any, Any]) -> bool:
    """Whether a tensor stands under a name in `items`."""
    return any(type(item) is Tensor and type(key) is str for key, item in items.items())


def _list_holders(items: dict[Any, Any]) -> list[str]:
    """The keys in `items` of dicts that directly hold tensors, but for what modules save beside their tensors."""
    # one dict may stand under many keys; it is looked through once
    known: dict[int, bool] = {}
    keys = []
    for key, item in items.items():
        below = _items(item)
        if below and type(key) is str and not key.endswith("_extra_state"):
            if id(below) not in known:
                known[id(below)] = _holds_tensor(below)
            if known[id(below)]:
                keys.append(key)
    return keys


def _holds_network(value: Any) -> bool:
    """Whether `value` is a pickled module, or a dict that holds tensors, at whatever depth."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is Thing and item.module:
            return True
        items = _items(item)
        if items and id(items) not in seen:
            if _holds_tensor(items):
                return True
            seen.add(id(items))
            waiting.extend(items.values())
    return False


def _refusal(value: Any, path: tuple[str, ...]) -> ReadError:
    """Why there is no state dict in `value`."""
    where, verb = (f"{shown('.'.join(path))} in the file", "is") if path else ("the file", "holds")
    if type(value) is Thing and value.module:
        return ReadError(f"{where} {verb} a whole pickled {shown(value.name)}, not its state dict", _STATE_ONLY)
    if type(value) is Tensor:
        return ReadError(f"{where} {verb} a single tensor, not a state dict", _STATE_ONLY)
    if type(value) is Thing and not value.items:
        return ReadError(f"{where} {verb} a {shown(value.name)}, not a state dict", _STATE_ONLY)
    if _items(value) is None:
        return ReadError(f"{where} {verb} a {shown(type(value).__name__)}, not a state dict", _STATE_ONLY)
    for key, item in value.items() if type(value) is dict else ():
        if type(item) is Thing and item.module and type(key) is str:
            return _refusal(item, (*path, key))
    return ReadError(f"{where} holds no state dict: no tensor stands under a name", MANIFEST)
