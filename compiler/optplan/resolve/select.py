"""Which rules apply to which parameters.

The distinct atoms of all filters are numbered, and a parameter's *mask* has the bits of those that hold for it.  Path
atoms are followed by one automaton down the module tree, class atoms are asked once per kind of module, attribute
atoms once per distinct shape; so most parameters cost one look-up.  A `Point` is all that the cascade may ask of a
parameter; parameters that agree in it share one.

A tied parameter is one parameter: an atom holds for it if it holds under any of its names.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING

from optplan.filter import And, Compare, Inside, Not, Or, Path, Predicate, Regex, SetName, TypeIs
from optplan.resolve.paths import Automaton, re2_compile
from optplan.resolve.value import Attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from optplan.config import Layer
    from optplan.filter import Filter
    from optplan.resolve.network import Kind, Network
    from optplan.resolve.paths import State

Atom = Predicate | Path | Regex | TypeIs | Inside | Compare

FAMILIES = frozenset({"norm", "conv", "linear", "embedding"})
INHERITED = frozenset({"attention", "recurrent"})
_BIASES = frozenset({"bias", "in_proj_bias", "bias_k", "bias_v"})
_BIAS_RUNS = ("bias_ih_l", "bias_hh_l")
_COMPARISONS: dict[str, Callable[[object, object], bool]] = {"<": lt, "<=": le, "==": eq, "!=": ne, ">=": ge, ">": gt}  # type: ignore[dict-item]  # numbers only
# Atoms that hold or not whatever the name under which a tied parameter is looked at.
_NAMELESS = frozenset({"frozen", "tied", "all"})
PREDICATES = FAMILIES | INHERITED | _NAMELESS | {"depthwise", "bias", "scale"}


@dataclass(frozen=True, slots=True)
class Point:
    """What the cascade may ask of a parameter.

    `mask` has the atoms that hold; `under` those that hold under each single name of a tied parameter, else nothing.
    """

    mask: int
    trainable: bool
    dtype: str
    attributes: Attributes
    sparse: bool | None
    under: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Every parameter's point: `points[point_of[k]]` is that of parameter k; `layers` is how many there are."""

    points: tuple[Point, ...]
    point_of: tuple[int, ...]
    layers: int
    covered: frozenset[int]
    """Which entries of `layers` cover something."""


def atoms(node: Filter, sets: Mapping[str, Filter]) -> Iterator[Atom]:
    """The atoms of a filter, those of the sets that it names included, in the order in which they stand.

    A set that is named several times gives its own once: sets of sets would double them at each level.
    """
    entered: set[str] = set()
    ahead = [node]
    while ahead:
        match ahead.pop():
            case And(items) | Or(items):
                ahead += reversed(items)
            case Not(item):
                ahead.append(item)
            case SetName(name):
                if name not in entered:
                    entered.add(name)
                    ahead.append(sets[name])
            case atom:
                yield atom


class Atoms:
    """The atoms of all filters of a file, numbered; `test` makes of a filter a function of a mask."""

    def __init__(self, filters: Sequence[Filter], sets: Mapping[str, Filter]) -> None:
        self._sets = sets
        self._of_sets: dict[str, Callable[[int], bool]] = {}
        self.numbers: dict[Atom, int] = {}
        for node in filters:
            for atom in atoms(node, sets):
                self.numbers.setdefault(atom, len(self.numbers))

    def test(self, node: Filter) -> Callable[[int], bool]:
        """Whether a mask satisfies `node`."""
        match node:
            case And(items):
                tests = [self.test(item) for item in items]
                return lambda mask: all(test(mask) for test in tests)
            case Or(items):
                tests = [self.test(item) for item in items]
                return lambda mask: any(test(mask) for test in tests)
            case Not(item):
                test = self.test(item)
                return lambda mask: not test(mask)
            case SetName(name):
                known = self._of_sets.get(name)
                if known is None:
                    # Asked once for each mask, however many filters and sets name it.
                    known = self._of_sets[name] = cache(self.test(self._sets[name]))
                return known
            case _:
                bit = 1 << self.numbers[node]
                return lambda mask: bool(mask & bit)


class _Masks:
    """The atoms by what has to be looked at, each with its bit."""

    def __init__(self, numbers: Mapping[Atom, int]) -> None:
        self.paths: list[tuple[Path, int]] = []
        self.regexes: list[tuple[Regex, int]] = []
        self.owner: list[tuple[Predicate | TypeIs, int]] = []
        self.above: list[tuple[Predicate | Inside, int]] = []
        self.local: list[tuple[Predicate, int]] = []
        self.state: list[tuple[Predicate, int]] = []
        self.compares: list[tuple[Compare, int]] = []
        for atom, number in numbers.items():
            bit = 1 << number
            match atom:
                case Path():
                    self.paths.append((atom, bit))
                case Regex():
                    self.regexes.append((atom, bit))
                case TypeIs():
                    self.owner.append((atom, bit))
                case Inside():
                    self.above.append((atom, bit))
                case Compare():
                    self.compares.append((atom, bit))
                case Predicate(name) if name in INHERITED:
                    self.above.append((atom, bit))
                case Predicate(name) if name in FAMILIES or name == "depthwise":
                    self.owner.append((atom, bit))
                case Predicate(name) if name in _NAMELESS:
                    self.state.append((atom, bit))
                case Predicate():
                    self.local.append((atom, bit))

    def of_owner(self, kind: Kind) -> int:
        """The bits of what the owner's class decides."""
        mask = 0
        for atom, bit in self.owner:
            if isinstance(atom, TypeIs):
                mask |= bit * class_named(kind, atom.names)
            elif atom.name == "depthwise":
                mask |= bit * kind.depthwise
            else:
                mask |= bit * (atom.name in kind.families)
        return mask

    def of_above(self, kind: Kind) -> int:
        """The bits of what one module on the way decides for all below it."""
        mask = 0
        for atom, bit in self.above:
            if isinstance(atom, Inside):
                mask |= bit * class_named(kind, atom.names)
            else:
                mask |= bit * (atom.name in kind.families)
        return mask

    def of_local(self, local: str, native: str, kind: Kind) -> int:
        """The bits of `bias` and `scale`."""
        last = local.rpartition(".")[2]
        mask = 0
        for atom, bit in self.local:
            if atom.name == "bias":
                holds = last in _BIASES or last.startswith(_BIAS_RUNS)
            else:
                holds = "norm" in kind.families and (last == "weight" or native == "gamma")
            mask |= bit * holds
        return mask

    def of_attributes(self, attributes: Attributes, dtype: str) -> int:
        """The bits of comparisons; one of an attribute that is not there does not hold."""
        mask = 0
        for atom, bit in self.compares:
            have = dtype if atom.attribute == "dtype" else attributes.get(atom.attribute, atom.index)
            mask |= bit * (have is not None and _COMPARISONS[atom.operator](have, atom.value))
        return mask

    def of_state(self, *, trainable: bool, tied: bool) -> int:
        """The bits of `frozen`, `tied` and `all`."""
        holds = {"frozen": not trainable, "tied": tied, "all": True}
        return sum(bit for atom, bit in self.state if holds[atom.name])


def class_named(kind: Kind, patterns: Sequence[str]) -> bool:
    """Whether the class, or one that it derives from, is named like one of `patterns`; a dot asks the full name."""
    for pattern in patterns:
        for full in kind.classes:
            if fnmatchcase(full if "." in pattern else full.rpartition(".")[2], pattern):
                return True
    return False


def select(network: Network, numbers: Mapping[Atom, int], layers: Sequence[Layer]) -> Selection:
    """The points of all parameters of `network`, in its order.

    The cost is one step of the automaton per module and one look-up per parameter, plus, for each regular expression,
    one search per parameter.
    """
    masks = _Masks(numbers)
    walk = _Walk(network, masks, layers)
    walk.modules()
    return walk.parameters()


class _Walk:
    """One walk down a network."""

    def __init__(self, network: Network, masks: _Masks, layers: Sequence[Layer]) -> None:
        self._network = network
        self._masks = masks
        self._path_bits = [bit for _, bit in masks.paths]
        self._paths = Automaton([path for path, _ in masks.paths])
        self._layers = Automaton([path for layer in layers for path in layer.patterns])
        self._entry_of = [number for number, layer in enumerate(layers) for _ in layer.patterns]
        self._searches = [(re2_compile(atom.pattern), bit) for atom, bit in masks.regexes]
        self._owner_masks = [masks.of_owner(kind) for kind in network.kinds]
        self._above_masks = [masks.of_above(kind) for kind in network.kinds]
        # By module, the number of its context: all that the filters and the layers can tell apart in modules.
        self._at: list[int] = []
        self._contexts: list[_Context] = []

    def modules(self) -> None:
        """Follow the automatons into every module."""
        network = self._network
        numbers: dict[_Context, int] = {}
        # From the context of the parent, one's own name and kind follows one's own context.
        below: dict[tuple[int, str, int], int] = {}
        at, add = self._at, self._at.append
        for parent, segment, kind in zip(network.parents, network.segments, network.module_kinds, strict=True):
            key = (at[parent] if parent >= 0 else -1, segment, kind)
            number = below.get(key)
            if number is None:
                context = self._below(*key)
                number = below[key] = numbers.setdefault(context, len(numbers))
                if number == len(self._contexts):
                    self._contexts.append(context)
            add(number)

    def _below(self, parent: int, segment: str, kind: int) -> _Context:
        """The context of a module of this name and kind, `parent` being that of the one above (-1 at the root)."""
        mask = self._above_masks[kind]
        paths, layers = self._paths.start, self._layers.start
        if parent >= 0:
            paths, layers, _, above = self._contexts[parent]
            mask |= above
        if segment:
            paths, layers = paths.step(segment), layers.step(segment)
        return paths, layers, kind, mask

    def parameters(self) -> Selection:
        """Look every parameter up, then make the points that were met."""
        first, point_of = self._look_up()
        keys = [self._layer_key(index) for index in first]
        layers = {key: number for number, key in enumerate(sorted({key for key in keys if key is not None}))}
        points = tuple(
            self._point(index, None if key is None else layers[key]) for index, key in zip(first, keys, strict=True)
        )
        return Selection(points, tuple(point_of), len(layers), frozenset(entry for entry, _ in layers))

    def _look_up(self) -> tuple[list[int], list[int]]:
        """The first parameter of each point, and each parameter's point."""
        network = self._network
        at = self._at
        columns: list[Sequence[object]] = [[at[owner] for owner in network.owners], network.locals, network.shapes]
        # What all parameters have in common tells none apart.
        columns += [column for column in (network.dtypes, network.trainable) if len(set(column)) > 1]
        if self._searches:
            searched = [self._searched(name) for name in network.names]
            for index, native in network.natives.items():
                searched[index] |= self._searched(_native_name(network.names[index], network.locals[index], native))
            columns.append(searched)
        if network.natives:
            columns.append([*map(network.natives.get, range(len(network)))])
        if network.aliases:
            columns.append([index if index in network.aliases else None for index in range(len(network))])
        found: dict[tuple[object, ...], int] = {}
        first: list[int] = []
        point_of: list[int] = []
        add = point_of.append
        for key in zip(*columns, strict=True):
            point = found.get(key)
            if point is None:
                point = found[key] = len(first)
                first.append(len(point_of))
            add(point)
        return first, point_of

    def _searched(self, name: str) -> int:
        """The bits of the regular expressions that are found in `name`."""
        return sum(bit for pattern, bit in self._searches if pattern.search(name))

    def _layer_key(self, index: int) -> tuple[int, int] | None:
        """The entry of `layers` that covers parameter `index`, and the index in it (-1 where it has none)."""
        _, state, _, _ = self._contexts[self._at[self._network.owners[index]]]
        covering = state.step(self._network.locals[index]).covering
        if index in self._network.natives:
            covering = state.step(self._network.natives[index]).covering | covering
        if not covering:
            return None
        pattern = min(covering, key=lambda number: (self._entry_of[number], number))
        captured = covering[pattern]
        return self._entry_of[pattern], -1 if captured is None else captured

    def _point(self, index: int, layer: int | None) -> Point:
        network = self._network
        owner, local, shape = network.owners[index], network.locals[index], network.shapes[index]
        kind = network.kinds[network.module_kinds[owner]]
        attributes = Attributes(shape, kind.transposed, layer)
        dtype, trainable = network.dtypes[index], network.trainable[index]
        native = network.natives.get(index)
        aliases = network.aliases.get(index, ())
        common = self._masks.of_attributes(attributes, dtype)
        common |= self._masks.of_state(trainable=trainable, tied=bool(aliases))
        mask = common | self._named(network.names[index], owner, local, native)
        if not aliases:
            return Point(mask, trainable, dtype, attributes, kind.sparse)
        under = [mask, *(common | self._named(each.name, each.owner, each.local, each.native) for each in aliases)]
        for single in under:
            mask |= single
        return Point(mask, trainable, dtype, attributes, kind.sparse, tuple(under))

    def _named(self, name: str, owner: int, local: str, native: str | None) -> int:
        """The bits of what holds under one name."""
        paths, _, number, above = self._contexts[self._at[owner]]
        mask = (
            above
            | self._owner_masks[number]
            | self._masks.of_local(local, native or local, self._network.kinds[number])
        )
        covering = paths.step(local).mask
        if self._searches:
            mask |= self._searched(name)
        if native is not None and native != local:
            covering |= paths.step(native).mask
            if self._searches:
                mask |= self._searched(_native_name(name, local, native))
        place = 0
        while covering:
            if covering & 1:
                mask |= self._path_bits[place]
            covering >>= 1
            place += 1
        return mask


def _native_name(name: str, local: str, native: str) -> str:
    """The full name of a parameter with its framework's own last part."""
    return name.removesuffix(local) + native


_Context = tuple["State", "State", int, int]
