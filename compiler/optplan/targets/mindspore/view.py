"""The neutral view of a `mindspore.nn.Cell`.

Names come from the tree of Cells, never from `Parameter.name`, which MindSpore rewrites when a Cell is attached.  What
wraps the network (`WithLossCell`, `TrainOneStepCell`, mixed precision, ...) is known by its class and passed over, as
are optimizers and loss scaling beside it; a local name of MindSpore's own that another framework does not have
(`gamma`, `embedding_table`) is translated, and kept in `natives`.  Order and first names are those of
`get_parameters()`, less statistics kept as parameters, but that recurrent networks stand layer by layer; a shape
is the parameter's, but that the weight of a `Conv1d` has three dimensions: so one file gives twin networks in both
frameworks one plan.  Nothing is computed and no parameter is touched or initialised; identities are never compared
with `==`, which would compare values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mindspore import ParameterTuple, nn

from optplan.diagnostics import ConfigError, diagnostic
from optplan.resolve.network import Alias, Kind, Network
from optplan.targets.mindspore.families import describe, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mindspore import Parameter

    from optplan.resolve.network import Shape
    from optplan.targets.mindspore.families import CellClass

# Where the word is not MindSpore's in small letters.
_DTYPES = {"float8e4m3fn": "float8_e4m3fn", "float8e5m2": "float8_e5m2"}
_OF_LAYER = re.compile(r"(weight|bias)_(ih|hh)_l([0-9]+)(_reverse)?")

_Items = Iterable[tuple[str, "Parameter | None"]]


class View(NamedTuple):
    """A network, and its parameters in the same order."""

    network: Network
    parameters: list[Parameter]


def view(cell: nn.Cell) -> View:
    """The view of `cell`.

    ConfigError where two parameters have one name (OP211), or where this is no network (OP503).
    """
    if not isinstance(cell, nn.Cell) or describe(type(cell)).beside:
        message = f"a `{type(cell).__name__}` is no network"
        raise ConfigError([diagnostic("OP503", message, help="pass a `mindspore.nn.Cell`")])
    return _Walk().run(cell)


class _Walk:
    """One walk down a tree of Cells, filling the columns of a network.

    What it does per Cell and per parameter is most of what a plan costs, so it does little, with everything at hand in
    local names: names, owners and identities on the way down, shapes and types afterwards, column by column.
    """

    def __init__(self) -> None:
        self._classes: dict[type[nn.Cell], CellClass] = {}
        self._kinds: dict[Kind, int] = {}
        self._kind_of_class: dict[type[nn.Cell], int] = {}
        self._parents: list[int] = []
        self._segments: list[str] = []
        self._module_kinds: list[int] = []
        self._names: list[str] = []
        self._owners: list[int] = []
        self._locals: list[str] = []
        self._parameters: list[Parameter] = []
        self._index: dict[int, int] = {}
        self._aliases: dict[int, list[Alias]] = {}
        self._natives: dict[int, str] = {}
        # The numbers of kinds whose weights are (first, second, 1, kernel)
        self._flat: set[int] = set()

    def run(self, cell: nn.Cell) -> View:
        """Walk from `cell` down."""
        self._visitor()(cell, -1, "", "")
        self._check()
        parameters = self._parameters
        # Equal shapes are one tuple: that many new ones would set the garbage collector to work.
        plain: dict[Shape, Shape] = {}
        shapes: list[Shape] = []
        dtypes: list[object] = []
        trainable: list[bool] = []
        add_shape, add_dtype, add_trainable = shapes.append, dtypes.append, trainable.append
        for parameter in parameters:
            shape = parameter.shape
            add_shape(plain.setdefault(shape, shape))
            add_dtype(parameter.dtype)
            add_trainable(parameter.requires_grad)
        for number, owner in enumerate(self._owners if self._flat else ()):
            if self._module_kinds[owner] in self._flat and self._locals[number] == "weight":
                match shapes[number]:
                    case (first, second, 1, kernel):
                        flat = (first, second, kernel)
                        shapes[number] = plain.setdefault(flat, flat)
        # MindSpore has one object for each type, and hashing one takes longer than all else here.
        words = {number: _word(dtype) for number, dtype in {id(dtype): dtype for dtype in dtypes}.items()}
        network = Network(
            "mindspore",
            tuple(self._kinds),
            tuple(self._parents),
            tuple(self._segments),
            tuple(self._module_kinds),
            tuple(self._names),
            tuple(self._owners),
            tuple(self._locals),
            tuple(shapes),
            tuple([words[number] for number in map(id, dtypes)]),
            tuple(trainable),
            {number: tuple(aliases) for number, aliases in self._aliases.items()},
            self._natives,
        )
        return View(network, parameters)

    def _visitor(self) -> Callable[[nn.Cell, int, str, str], None]:
        """What visits a Cell, given the number of the one above, its name in that, and what its names begin with."""
        names, index, of_classes = self._names, self._index, self._classes
        parents, natives = self._parents, self._natives
        add_parent, add_segment, add_kind = parents.append, self._segments.append, self._module_kinds.append
        add_name, add_owner, add_local = names.append, self._owners.append, self._locals.append
        add_parameter = self._parameters.append
        # The Cells on the way from the root: one that contains itself is not entered again.
        path: set[int] = set()

        def visit(cell: nn.Cell, parent: int, segment: str, prefix: str) -> None:
            of = of_classes.get(type(cell)) or self._class(type(cell))
            own, children = cell._params, cell._cells  # noqa: SLF001 - where MindSpore itself keeps them
            identity = id(cell)
            inside: Iterable[tuple[str, nn.Cell]] = self._inside(cell)
            if of.wraps is not None:
                alone, inside = self._wrapped(cell, of)
                if alone is not None and id(alone) not in path:
                    path.add(identity)
                    visit(alone, parent, segment, prefix)
                    path.discard(identity)
                    return
            number = len(parents)
            add_parent(parent)
            add_segment(segment)
            add_kind(self._kind(cell, of))
            # `parameters_and_names` would make several generators for each Cell.
            items: _Items = own.items()
            if children and (own or of.inner is not None):
                items = self._owned(cell, of)
            translations, statistics = of.translations, of.statistics
            for native, stored in items:
                if stored is None or native in statistics:
                    continue
                # What `init_parameters_data` made in its place, as in `get_parameters`
                parameter = stored if stored.inited_param is None else stored.inited_param
                local = translations.get(native, native)
                place = len(names)
                known = index.setdefault(id(parameter), place)
                if known == place:
                    add_name(prefix + local)
                    add_owner(number)
                    add_local(local)
                    add_parameter(parameter)
                    if local is not native:
                        natives[place] = native
                else:
                    self._again(known, Alias(prefix + local, number, local, None if local is native else native))
            if not children:
                return
            path.add(identity)
            for name, child in inside:
                if id(child) in path or name == of.inner:
                    continue
                if name == of.wraps:
                    visit(child, number, "", prefix)
                else:
                    visit(child, number, name, f"{prefix}{name}.")
            path.discard(identity)

        return visit

    def _again(self, known: int, alias: Alias) -> None:
        """Note a further name of the parameter number `known`."""
        if alias.name != self._names[known]:
            self._aliases.setdefault(known, []).append(alias)

    def _wrapped(self, cell: nn.Cell, of: CellClass) -> tuple[nn.Cell | None, list[tuple[str, nn.Cell]]]:
        """What a wrapper wraps, if no parameter lies beyond it, and the Cells in the wrapper that have any more.

        A loss function may well have parameters, and so may a class derived from a wrapper.
        """
        known: set[int] = set()
        found = []
        for name, child in sorted(self._inside(cell), key=lambda item: item[0] != of.wraps):
            below = set(map(id, child.get_parameters()))
            if name == of.wraps or below - known:
                found.append((name, child))
            known |= below
        own = {id(each) for name, each in cell._params.items() if each is not None and name not in of.statistics}  # noqa: SLF001 - as above
        alone = len(found) == 1 and found[0][0] == of.wraps and own <= known
        return found[0][1] if alone else None, found

    def _owned(self, cell: nn.Cell, of: CellClass) -> _Items:
        """The parameters that a Cell with Cells below it owns, with their local names.

        A `ParameterTuple` makes what it lists parameters of the Cell, under the names that they had then.  What lies in
        a Cell below belongs there all the same: `self.weights = ParameterTuple(network.trainable_params())` owns none.
        """
        own: dict[str, Parameter | None] = cell._params  # noqa: SLF001 - where MindSpore itself keeps them
        if of.inner is not None:
            below = cell._cells[of.inner]._params  # noqa: SLF001 - as above
            return [*own.items(), *((f"{of.inner}.{name}", parameter) for name, parameter in below.items())]
        listed = {id(each) for value in vars(cell).values() if isinstance(value, ParameterTuple) for each in value}
        if not listed:
            return _by_layer(own.items()) if of.layered else own.items()
        listed &= {id(each) for _, child in self._inside(cell) for each in child.get_parameters()}
        # One that also stands as an attribute of the Cell is tied: its name there has no dot.
        times = Counter(map(id, own.values()))
        items = [
            (name, each)
            for name, each in own.items()
            if id(each) not in listed or (times[id(each)] > 1 and "." not in name)
        ]
        return _by_layer(items) if of.layered else items

    def _inside(self, cell: nn.Cell) -> Iterator[tuple[str, nn.Cell]]:
        """The Cells in a Cell that are parts of the network, with their names."""
        for name, child in cell._cells.items():  # noqa: SLF001 - as above
            if child is not None and not (self._classes.get(type(child)) or self._class(type(child))).beside:
                yield name, child

    def _check(self) -> None:
        """Refuse names that are not unique."""
        every = [*self._names, *(alias.name for aliases in self._aliases.values() for alias in aliases)]
        if len(set(every)) == len(every):
            return
        seen: dict[str, str] = {}
        for name, native in self._native_names():
            other = seen.setdefault(name, native)
            if other != native:
                message = f"two parameters are named `{name}`: `{other}` and `{native}`"
                raise ConfigError([diagnostic("OP211", message, help="give one of them another name in its Cell")])
        twice = next(name for name in every if every.count(name) > 1)
        raise ConfigError([diagnostic("OP211", f"two parameters are named `{twice}`")])

    def _native_names(self) -> Iterator[tuple[str, str]]:
        """Every canonical name, with MindSpore's own."""
        for number, (name, local) in enumerate(zip(self._names, self._locals, strict=True)):
            yield name, name.removesuffix(local) + self._natives.get(number, local)
        for aliases in self._aliases.values():
            for alias in aliases:
                yield alias.name, alias.name.removesuffix(alias.local) + (alias.native or alias.local)

    def _class(self, cls: type[nn.Cell]) -> CellClass:
        made = self._classes[cls] = describe(cls)
        return made

    def _kind(self, cell: nn.Cell, of: CellClass) -> int:
        """The number of a kind, which is that of the class unless the Cell itself decides."""
        number = self._kind_of_class.get(type(cell))
        if number is None:
            number = self._kinds.setdefault(kind_of(cell, of) if of.varies else of.kind, len(self._kinds))
            if of.flat:
                self._flat.add(number)
            if not of.varies:
                self._kind_of_class[type(cell)] = number
        return number


def _by_layer(items: _Items) -> _Items:
    """Of a recurrent Cell: for each layer and direction its weights, then its biases; what else there is stays."""
    found = list(items)
    places = [place for place, (name, _) in enumerate(found) if _OF_LAYER.fullmatch(name)]
    for place, item in zip(places, sorted((found[place] for place in places), key=_rank), strict=True):
        found[place] = item
    return found


def _rank(item: tuple[str, Parameter | None]) -> tuple[int, bool, bool, bool]:
    kind, sees, layer, way = _OF_LAYER.fullmatch(item[0]).groups()  # type: ignore[union-attr]  # only what matches
    return int(layer), way is not None, kind == "bias", sees == "hh"


def _word(dtype: object) -> str:
    """A type as every framework writes it: `float32`, `bfloat16`."""
    word = str(dtype).lower()
    return _DTYPES.get(word, word)
