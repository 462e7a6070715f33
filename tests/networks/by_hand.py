"""The meaning of filters, looked up by hand: a judge of what optplan selects that uses nothing of it.

It looks at torch's own modules and at one name at a time: of a tied parameter an atom holds if it holds under any of
its names.  `selected` is the other side: what optplan makes of a filter's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

import optplan
from tests.networks.architectures import build, names_of, owners_of

if TYPE_CHECKING:
    from collections.abc import Callable

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # noqa: SLF001 - the common base
CONVOLUTIONS = (nn.modules.conv._ConvNd,)  # noqa: SLF001 - as above
LINEARS = (nn.Linear, Conv1D)
EMBEDDINGS = (nn.Embedding,)


# One parameter, looked at by hand


@dataclass(frozen=True)
class Seen:
    """One parameter under all of its names, with what holds it under each."""

    parameter: nn.Parameter
    owners: dict[str, nn.Module]
    above: dict[str, tuple[nn.Module, ...]]

    def anywhere(self, holds: Callable[[str, nn.Module], bool]) -> bool:
        return any(holds(name, owner) for name, owner in self.owners.items())


@cache
def seen(architecture: str) -> dict[str, Seen]:
    """First name -> parameter."""
    network = build(architecture)
    modules, owners, parameters = dict(network.named_modules()), owners_of(network), dict(network.named_parameters())
    found = {}
    for first, names in names_of(network).items():
        above = {}
        for name in names:
            parts = name.split(".")[:-1]
            above[name] = tuple(modules[".".join(parts[:end])] for end in range(len(parts) + 1))
        found[first] = Seen(parameters[first], {name: owners[name] for name in names}, above)
    return found


def norm_by_hand(module: nn.Module) -> bool:
    if isinstance(module, NORMS):
        return True
    named = any(re.search(r"Norm(\d+d)?$|RMSNorm\w*$", cls.__name__) for cls in type(module).__mro__)
    return named and not isinstance(module, (*LINEARS, *CONVOLUTIONS, *EMBEDDINGS))


def depthwise_by_hand(module: nn.Module) -> bool:
    return isinstance(module, CONVOLUTIONS) and module.groups == module.in_channels > 1


PREDICATES: dict[str, Callable[[Seen], bool]] = {
    "all": lambda _: True,
    "norm": lambda it: it.anywhere(lambda _, owner: norm_by_hand(owner)),
    "conv": lambda it: it.anywhere(lambda _, owner: isinstance(owner, CONVOLUTIONS)),
    "linear": lambda it: it.anywhere(lambda _, owner: isinstance(owner, LINEARS)),
    "embedding": lambda it: it.anywhere(lambda _, owner: isinstance(owner, EMBEDDINGS)),
    "depthwise": lambda it: it.anywhere(lambda _, owner: depthwise_by_hand(owner)),
    "bias": lambda it: it.anywhere(lambda name, _: name.endswith(".bias")),
    "scale": lambda it: it.anywhere(lambda name, owner: name.endswith(".weight") and norm_by_hand(owner)),
    "frozen": lambda it: not it.parameter.requires_grad,
    "tied": lambda it: len(it.owners) > 1,
    # Nothing in transformers derives from torch's own attention or recurrent modules.
    "attention": lambda _: False,
    "recurrent": lambda _: False,
}

OPERATORS: dict[str, Callable[[int, int], bool]] = {"<": lt, "<=": le, "==": eq, "!=": ne, ">=": ge, ">": gt}


def attribute_by_hand(name: str, it: Seen) -> int | None:
    shape = tuple(it.parameter.shape)
    if name in {"fan_in", "fan_out"}:
        if len(shape) < 2:
            return None
        first_owner = next(iter(it.owners.values()))
        if isinstance(first_owner, Conv1D):
            shape = shape[::-1]
        field = 1
        for size in shape[2:]:
            field *= size
        return field * shape[name == "fan_in"]
    if name.startswith("shape"):
        place = int(name[6:-1])
        return shape[place] if -len(shape) <= place < len(shape) else None
    return {"ndim": it.parameter.ndim, "numel": it.parameter.numel()}[name]


# Paths, looked at by hand


def spelt_out(pattern: str) -> list[str]:
    """A pattern without braces, several times: one for each choice."""
    pieces = re.split(r"(\{[^}]*\})", pattern)
    choices: list[list[str]] = []
    for piece in pieces:
        if not piece.startswith("{"):
            choices.append([piece])
        elif numbers := re.fullmatch(r"\{(\d+)\.\.(\d+)\}", piece):
            choices.append([str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)])
        else:
            choices.append(piece[1:-1].split(","))
    return ["".join(each) for each in product(*choices)]


def matches(segments: list[str], names: list[str]) -> bool:
    """Whether the pattern's segments match these names, all of them."""
    if not segments:
        return not names
    if segments[0] == "**":
        return any(matches(segments[1:], names[skip:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], segments[0]) and matches(segments[1:], names[1:])


def covers(pattern: str, name: str) -> bool:
    """Whether the pattern names the parameter or a module above it."""
    names = name.split(".")
    starts = range(len(names)) if pattern.startswith(".") else range(1)
    return any(
        matches(plain.split("."), names[start:end])
        for plain in spelt_out(pattern.removeprefix("."))
        for start in starts
        for end in range(start + 1, len(names) + 1)
    )


# What optplan selects


@cache
def network(architecture: str) -> optplan.Network:
    return optplan.network(build(architecture))


def selected(architecture: str, *filters: str) -> list[frozenset[str]]:
    """The parameters that each filter selects, by one rule for each."""
    # A marker of each rule's own; what is frozen is taken in, so that it can bear one.
    keys = ("weight_decay", "lr", "eps", "betas[0]", "betas[1]")
    rules = [{"where": where, "optional": True, key: 0.5} for where, key in zip(filters, keys, strict=False)]
    optimizer = {"type": "adamw", "weight_decay": 0, "lr": 0, "eps": 0, "betas": [0, 0]}
    document = {"optplan": 1, "optimizer": optimizer, "rules": [{"where": "all", "freeze": False}, *rules]}
    plan = optplan.plan(document, network(architecture))
    found: list[set[str]] = [set() for _ in filters]
    for group in plan.groups:
        for names, key in zip(found, keys, strict=False):
            if group.own(key) == 0.5:
                names.update(group.parameters)
    return list(map(frozenset, found))
