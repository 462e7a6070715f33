"""A manifest: a network written down as JSON, and read back as an equal one.

    {"format": "optplan.params/1", "target": "torch",
     "kinds":      [{"classes": ["torch.nn.modules.linear.Linear"], "families": ["linear"], ...}],
     "modules":    [{"in": -1, "name": "", "kind": 0}, {"in": 0, "name": "head", "kind": 1}],
     "parameters": [{"name": "head.weight", "module": 1, "shape": [10, 64], "dtype": "float32"}]}

Modules stand before what they contain, `in` and `module` are places in `modules`, `kind` is one in `kinds`.  Optional
are `modules_known` (true), and of a parameter `local` (the name less that of its module), `trainable` (true), `native`
and `aliases` (each with `name`, `module`, `local`, `native`).  The writer is `Network.to_json`.

Takes bytes from anywhere.  Guarantees that whatever is wrong with them is a `ReadError`, and that a network which comes
back is consistent: every place exists, names are unique, shapes can be counted, and the names of its modules cannot
take more memory than a fixed multiple of what a real network's would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from optplan.readers.header import MANIFEST, ReadError, count_elements, shown
from optplan.readers.safetensors import parse_json
from optplan.resolve.network import FORMAT, Alias, Kind, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILIES = frozenset({"norm", "conv", "linear", "embedding", "attention", "recurrent"})
TARGETS = ("torch", "mindspore", None)
MOST_BYTES = 200_000_000
MOST_DEPTH = 256
# of all modules' full names together
_MOST_CHARACTERS = 100_000_000


def read_manifest(file: BinaryIO) -> Network:
    """The network that the manifest `file` holds; `ReadError` for anything else."""
    text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ReadError(f"the manifest is larger than {MOST_BYTES:,} bytes, the most that is read")
    return from_data(parse_json(text.removeprefix(b"\xef\xbb\xbf")))


def from_data(data: Any) -> Network:
    """The network that `Network.to_data` wrote; `ReadError` for anything else."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else data
        raise ReadError(f"the format of the manifest is {shown(found)}, not `{FORMAT}`", MANIFEST)
    _only(data, ("format", "target", "modules_known", "kinds", "modules", "parameters"), "the manifest")
    target = data.get("target")
    if target not in TARGETS:
        raise ReadError(f"the manifest is for the unknown target {shown(target)}")
    kinds = tuple(_kind(row, where) for row, where in _rows(data, "kinds"))
    parents: list[int] = []
    segments: list[str] = []
    module_kinds: list[int] = []
    for row, where in _rows(data, "modules"):
        _only(row, ("in", "name", "kind"), where)
        first = not parents
        parents.append(_whole(row, "in", where, -1 if first else 0, -1 if first else len(parents) - 1))
        segments.append(_word(row, "name", where, empty=True))
        module_kinds.append(_whole(row, "kind", where, 0, len(kinds) - 1))
    if not parents:
        raise ReadError("the manifest has no `modules`; the first one is the network itself")
    names = _module_names(parents, segments)
    columns = _Columns(names)
    for row, where in _rows(data, "parameters"):
        columns.add(row, where)
    return Network(
        target,
        kinds,
        tuple(parents),
        tuple(segments),
        tuple(module_kinds),
        tuple(columns.names),
        tuple(columns.owners),
        tuple(columns.locals),
        tuple(columns.shapes),
        tuple(columns.dtypes),
        tuple(columns.trainable),
        columns.aliases,
        columns.natives,
        _flag(data, "modules_known", "the manifest", usual=True),
    )


class _Columns:
    """The parameter columns, filled row by row."""

    def __init__(self, modules: list[str]) -> None:
        self._modules = modules
        self._seen: set[str] = set()
        self.names: list[str] = []
        self.owners: list[int] = []
        self.locals: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[str] = []
        self.trainable: list[bool] = []
        self.aliases: dict[int, tuple[Alias, ...]] = {}
        self.natives: dict[int, str] = {}

    def add(self, row: dict[str, Any], where: str) -> None:
        _only(row, ("name", "module", "local", "shape", "dtype", "trainable", "native", "aliases"), where)
        index = len(self.names)
        name, owner, local = self._name(row, where)
        shape = row.get("shape")
        if type(shape) is not list or not all(type(extent) is int and extent >= 0 for extent in shape):
            raise ReadError(f"the shape of {shown(name)} is not a list of whole numbers from 0")
        count_elements(name, shape)
        self.names.append(name)
        self.owners.append(owner)
        self.locals.append(local)
        self.shapes.append(tuple(shape))
        self.dtypes.append(_word(row, "dtype", where))
        self.trainable.append(_flag(row, "trainable", where, usual=True))
        if "native" in row:
            self.natives[index] = _word(row, "native", where)
        if "aliases" in row:
            aliases = []
            for each, place in _rows(row, "aliases", f"{where}, "):
                _only(each, ("name", "module", "local", "native"), place)
                native = _word(each, "native", place) if "native" in each else None
                aliases.append(Alias(*self._name(each, place), native))
            if not aliases:
                raise ReadError(f"`aliases` of {where} is empty; leave it out")
            self.aliases[index] = tuple(aliases)

    def _name(self, row: dict[str, Any], where: str) -> tuple[str, int, str]:
        name = _word(row, "name", where)
        if name in self._seen:
            raise ReadError(f"two parameters have the name {shown(name)}")
        self._seen.add(name)
        owner = _whole(row, "module", where, 0, len(self._modules) - 1)
        if "local" in row:
            return name, owner, _word(row, "local", where)
        above = f"{self._modules[owner]}." if self._modules[owner] else ""
        if not name.startswith(above) or name == above:
            raise ReadError(
                f"{shown(name)} does not lie in its module {shown(self._modules[owner])}, and has no `local`"
            )
        return name, owner, name.removeprefix(above)


def _module_names(parents: list[int], segments: list[str]) -> list[str]:
    """The full names, after making sure that they stay within bounds."""
    depths, lengths = [0], [len(segments[0])]
    for parent, segment in zip(parents[1:], segments[1:], strict=True):
        depths.append(depths[parent] + 1)
        lengths.append(lengths[parent] + len(segment) + 1)
    if max(depths) > MOST_DEPTH:
        raise ReadError(f"modules lie more than {MOST_DEPTH} deep in each other")
    if sum(lengths) > _MOST_CHARACTERS:
        raise ReadError("the names of the modules are too long to be true")
    names: list[str] = []
    for parent, segment in zip(parents, segments, strict=True):
        above = names[parent] if parent >= 0 else ""
        names.append(f"{above}.{segment}" if above and segment else above or segment)
    return names


def _kind(row: dict[str, Any], where: str) -> Kind:
    _only(row, ("classes", "families", "transposed", "depthwise", "sparse"), where)
    classes, families = (_words(row, key, where) for key in ("classes", "families"))
    for family in families:
        if family not in FAMILIES:
            raise ReadError(f"{where} has the unknown family {shown(family)}")
    sparse = row.get("sparse")
    if sparse is not None and type(sparse) is not bool:
        raise ReadError(f"`sparse` of {where} is neither true, false nor null")
    transposed, depthwise = (_flag(row, key, where, usual=False) for key in ("transposed", "depthwise"))
    return Kind(tuple(classes), frozenset(families), transposed, depthwise, sparse)


def _rows(data: dict[str, Any], key: str, lead: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """The objects in the list under `key`, and what messages call each."""
    rows = data.get(key)
    if type(rows) is not list:
        raise ReadError(f"{lead}`{key}` is not a list" if key in data else f"the manifest has no `{key}`")
    for number, row in enumerate(rows):
        where = f"{lead}`{key}[{number}]`"
        if type(row) is not dict:
            raise ReadError(f"{where} is not an object")
        yield row, where


def _only(row: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in row:
        if key not in known:
            raise ReadError(f"{where} has the unknown key {shown(key)}")


def _words(row: dict[str, Any], key: str, where: str) -> list[str]:
    words = row.get(key, [])
    if type(words) is not list or not all(type(word) is str and _encodable(word) for word in words):
        raise ReadError(f"`{key}` of {where} is not a list of texts")
    if len(set(words)) < len(words):
        raise ReadError(f"`{key}` of {where} names one thing twice")
    return words


def _word(row: dict[str, Any], key: str, where: str, *, empty: bool = False) -> str:
    word = row.get(key)
    if type(word) is not str or not (word or empty) or not _encodable(word):
        raise ReadError(f"`{key}` of {where} is not a text" if key in row else f"{where} has no `{key}`")
    return word


def _whole(row: dict[str, Any], key: str, where: str, low: int, high: int) -> int:
    number = row.get(key)
    if type(number) is not int or not low <= number <= high:
        raise ReadError(
            f"`{key}` of {where} is {shown(number)}, which is no place there"
            if key in row
            else f"{where} has no `{key}`"
        )
    return number


def _flag(row: dict[str, Any], key: str, where: str, *, usual: bool) -> bool:
    value = row.get(key, usual)
    if type(value) is not bool:
        raise ReadError(f"`{key}` of {where} is neither true nor false")
    return value


def _encodable(word: str) -> bool:
    """Whether it can be written again: JSON can spell half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in word)
