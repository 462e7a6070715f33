"""An immutable, framework-neutral view of a network, kept in columns.

A target makes one from a live model, a reader from a file.  Modules stand in pre-order (a module before what it
contains, index 0 is the root), parameters in the order in which the framework lists them, each once, under its first
name.  Columns rather than objects: a plan for 100 000 parameters must not cost more than naming them.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FORMAT = "optplan.params/1"

Shape = tuple[int, ...]

_NORM = re.compile(r"Norm(\d+d)?$|RMSNorm\w*$")
_NO_NORM = frozenset({"linear", "conv", "embedding"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What the filters can ask of a module besides its name.

    `classes` are the full dotted names of its class and of those it derives from, nearest first; empty where the
    source of the view does not know modules.  `families` are among norm, conv, linear, embedding, attention,
    recurrent, dropping what is not.  `transposed` tells that a weight stands as (in, out, ...), `depthwise` that a
    convolution's groups equal its input channels (more than one); `sparse` whether its gradients are sparse, None
    where that is not known; `norm` whether the framework calls it a norm of which `weight` is the scale.
    """

    classes: tuple[str, ...] = ()
    families: frozenset[str] = frozenset()
    transposed: bool = False
    depthwise: bool = False
    sparse: bool | None = None


def families_by_name(classes: Iterable[str], families: frozenset[str]) -> frozenset[str]:
    """`families`, with `norm` where one of the dotted class names ends like one and nothing contradicts it."""
    if "norm" in families or families & _NO_NORM:
        return families
    if any(_NORM.search(name.rpartition(".")[2]) for name in classes):
        return families | {"norm"}
    return families


@dataclass(frozen=True, slots=True)
class Alias:
    """A further name of a tied parameter, the module that owns it there, and its native local name if it is another."""

    name: str
    owner: int
    local: str
    native: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the network has it; made on demand."""

    name: str
    shape: Shape
    dtype: str
    trainable: bool
    owner: Kind
    aliases: tuple[str, ...]

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Network:
    """The view.

    Module columns, one entry per module: `parents` (index; -1 for the root), `segments` (its own name within the
    parent; dotted where wrappers or containers were passed over), `module_kinds` (index into `kinds`).

    Parameter columns: `names` (canonical), `owners` (module index), `locals` (the name within the owner, dotted for
    one of several originals of a parametrized weight), `shapes`, `dtypes` (words as `float32`), `trainable`.
    `aliases` and `natives` are sparse: by parameter index the further names of a tied parameter, and the local name
    that the framework itself uses where the canonical one is a translation.

    `target` is `torch`, `mindspore`, or None where the source does not tell; `modules_known` is False for a
    checkpoint's header, which knows names, shapes and dtypes only.
    """

    target: str | None
    kinds: tuple[Kind, ...]
    parents: tuple[int, ...]
    segments: tuple[str, ...]
    module_kinds: tuple[int, ...]
    names: tuple[str, ...]
    owners: tuple[int, ...]
    locals: tuple[str, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    trainable: tuple[bool, ...]
    aliases: Mapping[int, tuple[Alias, ...]] = field(default_factory=dict)
    natives: Mapping[int, str] = field(default_factory=dict)
    modules_known: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Parameter]:
        return map(self.parameter, range(len(self.names)))

    def __repr__(self) -> str:
        source = self.target or "neutral"
        total = sum(map(prod, self.shapes))
        return f"<Network {source}: {len(self.names)} parameters, {total:,} elements, {len(self.parents)} modules>"

    def parameter(self, index: int) -> Parameter:
        """The parameter number `index`."""
        return Parameter(
            self.names[index],
            self.shapes[index],
            self.dtypes[index],
            self.trainable[index],
            self.kinds[self.module_kinds[self.owners[index]]],
            tuple(alias.name for alias in self.aliases.get(index, ())),
        )

    def module_names(self) -> list[str]:
        """The full name of each module; the root's is empty."""
        names: list[str] = []
        for parent, segment in zip(self.parents, self.segments, strict=True):
            above = names[parent] if parent >= 0 else ""
            names.append(f"{above}.{segment}" if above and segment else above or segment)
        return names

    def to_data(self) -> dict[str, Any]:
        """The network as JSON data, in the format `optplan.params/1`: what a manifest holds.

        A row leaves out what is usual: a `local` that the parameter's and its module's name tell, `trainable` where it
        is true, no `aliases`, no `native`.
        """
        modules = self.module_names()
        head: dict[str, Any] = {"format": FORMAT, "target": self.target}
        if not self.modules_known:
            head["modules_known"] = False
        return head | {
            "kinds": [_kind_data(kind) for kind in self.kinds],
            "modules": [
                {"in": parent, "name": segment, "kind": kind}
                for parent, segment, kind in zip(self.parents, self.segments, self.module_kinds, strict=True)
            ],
            "parameters": [self._parameter_data(index, modules) for index in range(len(self.names))],
        }

    def _parameter_data(self, index: int, modules: list[str]) -> dict[str, Any]:
        row = _name_data(self.names[index], self.owners[index], self.locals[index], modules)
        row |= {"shape": list(self.shapes[index]), "dtype": self.dtypes[index]}
        if not self.trainable[index]:
            row["trainable"] = False
        if index in self.natives:
            row["native"] = self.natives[index]
        if index in self.aliases:
            row["aliases"] = [
                _name_data(each.name, each.owner, each.local, modules)
                | ({} if each.native is None else {"native": each.native})
                for each in self.aliases[index]
            ]
        return row

    def to_json(self) -> str:
        """The manifest of the network: a line for each kind, module and parameter."""
        parts = []
        for key, value in self.to_data().items():
            text = json.dumps(value, ensure_ascii=False)
            if isinstance(value, list) and value:
                rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value)
                text = f"[\n{rows}\n ]"
            parts.append(f' "{key}": {text}')
        return "{\n" + ",\n".join(parts) + "\n}\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest to `path`, whole or not at all; `optplan.network(path)` gives an equal network.

        OSError where the file cannot be written.
        """
        text = self.to_json()
        final = os.path.realpath(path)
        if os.path.exists(final) and not os.path.isfile(final):  # noqa: PTH110, PTH113 - pathlib is not needed here otherwise
            # a pipe or a terminal is written to, not replaced
            with open(final, "w", encoding="utf-8") as stream:  # noqa: PTH123 - as above
                stream.write(text)
            return
        beside = f"{final}.{os.getpid()}.new"
        try:
            with open(beside, "x", encoding="utf-8") as stream:  # noqa: PTH123 - as above
                stream.write(text)
            os.replace(beside, final)  # noqa: PTH105 - as above
        except BaseException:
            if os.path.exists(beside):  # noqa: PTH110 - as above
                os.unlink(beside)  # noqa: PTH108 - as above
            raise


def _kind_data(kind: Kind) -> dict[str, Any]:
    return {
        "classes": list(kind.classes),
        "families": sorted(kind.families),
        "transposed": kind.transposed,
        "depthwise": kind.depthwise,
        "sparse": kind.sparse,
    }


def _name_data(name: str, owner: int, local: str, modules: list[str]) -> dict[str, Any]:
    above = modules[owner]
    usual = f"{above}.{local}" if above else local
    return {"name": name, "module": owner} | ({} if name == usual else {"local": local})


def from_names(
    entries: Iterable[tuple[str, Shape, str]], *, target: str | None = None, tied: Iterable[tuple[str, ...]] = ()
) -> Network:
    """The view of a flat list of (name, shape, dtype), whose modules are read off the dots of the names.

    Of names in one tuple of `tied` the first in the list is the parameter and the others its aliases.
    """
    group = {name: number for number, together in enumerate(tied) for name in together}
    modules: dict[str, int] = {"": 0}
    parents, segments = [-1], [""]

    def module(path: str) -> int:
        # From the root down, so that a name of thousands of segments needs no stack.
        if path in modules:
            return modules[path]
        above, prefix = 0, ""
        for segment in path.split("."):
            prefix = f"{prefix}.{segment}" if above else segment
            if prefix not in modules:
                modules[prefix] = len(parents)
                parents.append(above)
                segments.append(segment)
            above = modules[prefix]
        return above

    names: list[str] = []
    owners: list[int] = []
    local: list[str] = []
    shapes: list[Shape] = []
    dtypes: list[str] = []
    aliases: dict[int, tuple[Alias, ...]] = {}
    seen: dict[int, int] = {}
    for name, shape, dtype in entries:
        path, _, last = name.rpartition(".")
        owner = module(path)
        number = group.get(name)
        if number is not None and number in seen:
            aliases[seen[number]] = (*aliases.get(seen[number], ()), Alias(name, owner, last))
            continue
        if number is not None:
            seen[number] = len(names)
        names.append(name)
        owners.append(owner)
        local.append(last)
        shapes.append(shape)
        dtypes.append(dtype)
    return Network(
        target,
        (Kind(),),
        tuple(parents),
        tuple(segments),
        (0,) * len(parents),
        tuple(names),
        tuple(owners),
        tuple(local),
        tuple(shapes),
        tuple(dtypes),
        (True,) * len(names),
        aliases,
        modules_known=False,
    )
