"""What optimizers, their arguments and their methods are called in the other framework, from `schema/api-1.json`.

Takes that file, for optimizers also the catalog and for schedulers the table of `counterparts`; gives a `Row` for each
name of `torch.optim` and of MindSpore's optimizers, with its counterpart in the other framework and a verdict:

    same         it does the same, which a test has measured
    different    `how` says in what; where two optimizers differ, `figures` say how far the weights come apart
    none         there is nothing like it; `how` says why, or what is done there
    unmeasured   it cannot run on a CPU, and nothing is claimed

A row of two optimizers is a `Pair`, and has an `Argument` for each argument of either.  Written down is only what
cannot be derived: an argument of one name in both classes is the same, as far as its default is; one of another name
has that name in the file; and names, defaults and what a document says are the catalog's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from optplan.counterparts import counterparts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optplan.catalog import Catalog, OptimizerType
    from optplan.setting import Setting

__all__ = [
    "REQUIRED",
    "VERDICTS",
    "Argument",
    "Figures",
    "Pair",
    "Row",
    "arguments",
    "canonical",
    "lone_arguments",
    "native_arguments",
    "optimizer_classes",
    "own_key",
    "pairs",
    "rows",
    "variant",
]

Verdict = Literal["same", "different", "none", "unmeasured"]

VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {
        "same": "the same",
        "different": "different",
        "none": "none",
        "unmeasured": "not measured",
    }
)

REQUIRED = "required"
"""What stands for the default of an argument that has none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A name of one framework, its counterpart in the other (None where there is none), and what a document has.

    `call` is, of a scheduler, the call in torch that has the values of the counterpart.
    """

    name: str
    verdict: Verdict
    other: str | None = None
    how: str = ""
    here: str = ""
    call: str = ""

    @property
    def owner(self) -> str:
        """The module or class that it belongs to."""
        return self.name.rpartition(".")[0]

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Figures:
    """How far weights come apart in 50 updates: the largest |a - b| / max(|a|, rms of the tensor that a is in).

    With torch's defaults, or what `at` says; of a pair that is the same, the largest of all settings.  `plain` is of
    ordinary gradients, `mixed` of such as span nine decades and have exact zeros; None is a nan.
    """

    plain: float
    mixed: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """An optimizer of torch and its counterpart, and what they make of the same gradients; `graph` in Graph mode.

    `at` are settings of torch's with which it was measured, where the defaults show little.  `renamed` has what the
    file says of arguments, `lacks` those of torch's settings that the counterpart does not have, `defaults` those of
    its defaults that are not torch's.
    """

    torch: str
    mindspore: str
    verdict: Verdict
    how: str = ""
    figures: Figures | None = None
    graph: Figures | None = None
    at: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def across(self, name: str) -> str:
        """The other one of the two."""
        return self.mindspore if name == self.torch else self.torch


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of torch's class and those of MindSpore's that are it; `alike` if they mean the same.

    `torch` is None for one that only MindSpore has, `mindspore` empty for one that only torch has.  A default that one
    side alone has, or has another of, makes an argument that is `alike` different, and so do `bounds`, which say which
    class takes less than the other.  `key` is what a document has.
    """

    torch: str | None
    mindspore: tuple[str, ...]
    verdict: Verdict
    how: str
    alike: bool
    defaults: tuple[Any, Any]
    key: str
    bounds: str = ""

    def names(self, framework: str) -> tuple[str, ...]:
        """What it is called in `framework`."""
        if framework == "mindspore":
            return self.mindspore
        return () if self.torch is None else (self.torch,)


@cache
def _document() -> Mapping[str, Any]:
    text = files("optplan.schema").joinpath("api-1.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


@cache
def pairs() -> tuple[Pair, ...]:
    """Every pair of optimizers that have the same formula, or nearly, in the file's order: by torch's class."""
    return tuple(
        Pair(
            torch,
            mindspore,
            entry["verdict"],
            entry.get("how", ""),
            _figures(entry.get("figures")),
            _figures(entry.get("graph")),
            MappingProxyType(entry.get("at", {})),
            MappingProxyType(entry.get("arguments", {})),
            tuple(entry.get("lacks", ())),
            MappingProxyType(entry.get("defaults", {})),
        )
        for torch, others in _document()["optimizers"].items()
        for mindspore, entry in others.items()
    )


@cache
def rows() -> Mapping[str, tuple[Row, ...]]:
    """All else by its full name, usually one row each: optimizers without counterpart, schedulers, members."""
    found: dict[str, list[Row]] = {}
    for row in (*_alone(), *_schedulers(), *_members()):
        found.setdefault(row.name, []).append(row)
    return MappingProxyType({name: tuple(each) for name, each in found.items()})


def optimizer_classes() -> tuple[str, ...]:
    """The full names of all optimizers, torch's first."""
    torch = [each.torch for each in pairs()]
    mindspore = [each.mindspore for each in pairs()]
    alone = list(_document()["alone"])
    first = [name for name in alone if name.startswith("torch")]
    return tuple(dict.fromkeys([*torch, *first, *mindspore, *alone]))


def canonical(name: str, catalog: Catalog) -> OptimizerType | None:
    """The optimizer of a document that has the formula of torch's class `name`, or is nearest to MindSpore's."""
    torch = {each.torch for each in pairs() if name == each.mindspore} or {name}
    return next(
        (
            kind
            for kind in catalog.optimizers.values()
            if "." not in kind.name and any(each.class_name in torch for each in kind.lowerings.get("torch", ()))
        ),
        None,
    )


def variant(name: str, catalog: Catalog) -> OptimizerType | None:
    """The optimizer of a document that is MindSpore's class `name` itself; None if none is."""
    library, _, last = name.rpartition(".")
    return catalog.optimizers.get(f"mindspore.{last}") if library == "mindspore.nn" else None


def own_key(name: str, argument: str, catalog: Catalog) -> str:
    """Where an argument of MindSpore's class stands in a document that has the class itself; empty if none has."""
    own = variant(name, catalog)
    settings = [] if own is None else [each for each in own.settings if _called(own, each) == argument]
    return "".join(f"`{each}` of `type: {own.name}`" for each in settings) if own is not None else ""


def native_arguments(name: str, catalog: Catalog) -> Mapping[str, Any]:
    """The arguments of a class with their defaults, `REQUIRED` where there is none; of torch's in no fixed order."""
    given = _document()["alone"].get(name, {}).get("arguments")
    if given is not None:
        return MappingProxyType(given)
    if name.startswith("torch."):
        return _of_torch(name, catalog)
    own = variant(name, catalog)
    if own is not None:
        return _of_variant(own)
    pair = next(each for each in pairs() if each.mindspore == name)
    settings = _of_torch(pair.torch, catalog, options=False)
    return {**{key: default for key, default in settings.items() if key not in pair.lacks}, **pair.defaults}


def arguments(pair: Pair, catalog: Catalog) -> tuple[Argument, ...]:
    """Each argument of the two classes: torch's, then what MindSpore's alone has."""
    theirs = native_arguments(pair.mindspore, catalog)
    found = [_argument(pair, name, theirs, catalog) for name in native_arguments(pair.torch, catalog)]
    taken = {name for each in found for name in each.mindspore}
    found += [_only_mindspore(pair, name, theirs, catalog) for name in theirs if name not in taken]
    return tuple(found)


def lone_arguments(name: str, catalog: Catalog) -> tuple[Argument, ...]:
    """Each argument of an optimizer without counterpart."""
    own = variant(name, catalog)
    kind = own or canonical(name, catalog)
    found = []
    for each, default in native_arguments(name, catalog).items():
        key = ""
        if kind is not None and each != "params":
            settings = [setting for setting in kind.settings if setting == each or _called(kind, setting) == each]
            key = "".join(f"`{setting}` of `type: {kind.name}`" for setting in settings)
        shared = {"params": _document()["params"]["here"], "loss_scale": "`loss_scale:`"}
        key = shared.get(each, key) if kind is not None else key
        torch, mindspore = (each, ()) if name.startswith("torch.") else (None, (each,))
        found.append(Argument(torch, mindspore, "none", "", False, (default, default), key))
    return tuple(found)


def _of_torch(name: str, catalog: Catalog, *, options: bool = True) -> dict[str, Any]:
    kind = canonical(name, catalog)
    found: dict[str, Any] = {"params": REQUIRED} | ({} if kind is None else _settings(kind))
    if options and kind is not None:
        # the last of them is this package's own way to hand over the rate
        own = catalog.options["torch"]
        found |= {key: own[key].default for key in kind.options("torch") if key != "tensor_lr"}
    return found


def _of_variant(kind: OptimizerType) -> dict[str, Any]:
    found: dict[str, Any] = {"params": REQUIRED}
    for key, default in _settings(kind).items():
        found[_called(kind, key)] = default
    # as its lowering says, but for the one that has the argument and does nothing with it
    if kind.lowerings["mindspore"][0].loss_scale or kind.name == "mindspore.AdaFactor":
        found["loss_scale"] = 1.0
    return found


def _settings(kind: OptimizerType) -> dict[str, Any]:
    return {key: REQUIRED if each.required else each.default for key, each in kind.settings.items()}


def _called(kind: OptimizerType, key: str) -> str:
    """What a setting of one of MindSpore's own optimizers is called there."""
    named = (each.argument(key) for each in kind.lowerings.get("mindspore", ()))
    return next((name for name in named if isinstance(name, str)), key)


def _argument(pair: Pair, name: str, theirs: Mapping[str, Any], catalog: Catalog) -> Argument:
    mine = native_arguments(pair.torch, catalog)[name]
    kind = canonical(pair.torch, catalog)
    key = f"`{name}`" if kind is not None and name in kind.settings else f"`{name}` under `torch:`"
    if name == "params":
        shared = _document()["params"]
        library = pair.mindspore.rpartition(".")[0]
        how = f"in MindSpore {shared.get(pair.mindspore, shared[library])}"
        return Argument(name, (name,), "different", how, False, (REQUIRED, REQUIRED), shared["here"])
    said = pair.renamed.get(name, name if name in theirs else None)
    if said is None:
        how = _document()["only"]["torch.optim"][name]
        return Argument(name, (), "none", how, False, (mine, None), key)
    if isinstance(said, dict):
        verdict: Verdict = "unmeasured" if pair.verdict == "unmeasured" else "different"
        bounds = _bounds(pair, name, (said["is"],), catalog)
        return Argument(name, (said["is"],), verdict, said["how"], False, (mine, theirs[said["is"]]), key, bounds)
    names = tuple(said) if isinstance(said, list) else (said,)
    default = theirs[names[0]] if len(names) == 1 else tuple(theirs[each] for each in names)
    if pair.verdict == "unmeasured":
        return Argument(name, names, "unmeasured", "", True, (mine, default), key)
    bounds = _bounds(pair, name, names, catalog)
    verdict = "same" if mine == default and not bounds else "different"
    return Argument(name, names, verdict, "", True, (mine, default), key, bounds)


def _bounds(pair: Pair, name: str, names: tuple[str, ...], catalog: Catalog) -> str:
    """Which of the two classes refuses numbers that the other one takes, as far as the catalog has both."""
    kind, own = canonical(pair.torch, catalog), variant(pair.mindspore, catalog)
    if kind is None or own is None or name not in kind.settings:
        return ""
    found = [each for key, each in own.settings.items() if _called(own, key) in names]
    mine = kind.settings[name].items or (kind.settings[name],)
    theirs = found[0].items or found if len(found) == 1 else found
    sides = (("MindSpore", tuple(zip(theirs, mine, strict=True))), ("torch", tuple(zip(mine, theirs, strict=True))))
    said = {
        f"{side} takes only {one.expects.removesuffix(' or an expression')}": None
        for side, both in sides
        for one, other in both
        if _narrower(one, other)
    }
    # where each refuses what the other one takes, they mean different things
    return next(iter(said)) if len(said) == 1 else ""


def _narrower(one: Setting, other: Setting) -> bool:
    """Whether a bound of `one` leaves out what `other` takes."""
    low, high = ((float("-inf") if each.minimum is None else each.minimum) for each in (one, other))
    least = (low, one.exclusive_minimum) > (high, other.exclusive_minimum)
    low, high = ((float("inf") if each.maximum is None else each.maximum) for each in (one, other))
    return least or (low, not one.exclusive_maximum) < (high, not other.exclusive_maximum)


def _only_mindspore(pair: Pair, name: str, theirs: Mapping[str, Any], catalog: Catalog) -> Argument:
    own = variant(pair.mindspore, catalog)
    how = _document()["only"]["mindspore"][name]
    key = "`loss_scale:`"
    if own is not None and name != "loss_scale":
        setting = next(each for each in own.settings if _called(own, each) == name)
        key = f"`{setting}` of `type: {own.name}`"
    return Argument(None, (name,), "none", how, False, (None, theirs[name]), key)


def _figures(entry: Mapping[str, Any] | None) -> Figures | None:
    return None if entry is None else Figures(**entry)


def _alone() -> Iterator[Row]:
    for name, entry in _document()["alone"].items():
        yield Row(name, "none", None, entry["none"], entry.get("here", ""))


def _schedulers() -> Iterator[Row]:
    """Of each pair a row in either direction, and one for each scheduler without counterpart."""
    for torch, others in _document()["schedulers"].items():
        for mindspore, entry in others.items():
            how, call = ("", "") if entry == "same" else (entry["different"], entry["call"])
            verdict: Verdict = "same" if entry == "same" else "different"
            for name, other in ((torch, mindspore), (mindspore, torch)):
                yield Row(name, verdict, other, how, _policy(name), call)
    for name, how in _document()["without"].items():
        yield Row(name, "none", None, how, _policy(name))


def _policy(name: str) -> str:
    first = counterparts()[name].forms[0]
    return f"`{first.policy}`" if first.policy is not None else "a policy of one's own, or `table(file=)`"


def _members() -> Iterator[Row]:
    for owner, entries in _document()["members"].items():
        for names, entry in entries.items():
            verdict: Verdict = next(each for each in VERDICTS if each in entry)
            # why there is none stands in the place of the counterpart
            other, how = (None, entry["none"]) if verdict == "none" else (entry[verdict], entry.get("how", ""))
            for name in names.split(", "):
                yield Row(f"{owner}.{name}", verdict, other, how, entry.get("here", ""))
