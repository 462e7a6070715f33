"""Names of the frameworks as they stand in a program, made those of the map.

Takes `torch.optim.SGD(momentum=0.9)`, `optimizer.zero_grad()`, `nn.momentum`, `torch.optim.sgd.SGD`, `ms.nn.Adam`;
gives the full names that are meant, of which `help` has pages.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import combinations
from typing import TYPE_CHECKING

from optplan.counterparts import counterparts
from optplan.diagnostics import nearest
from optplan.report.mapped import classes_and_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What programs call an object, or a module.
_CALLED = {"ms": "mindspore", "scheduler": "LRScheduler", "scaler": "GradScaler", "opt": "Optimizer"}
_CALLED |= {"dcp": "torch.distributed.checkpoint", "model": "Module", "network": "Module", "net": "Module"}
_DEEP = 9
# How much of its last word a name must share with one that it may have been meant to be.
_NEAR = 0.65


def meant(topic: str) -> tuple[list[str], ...]:
    """The names that `topic` may stand for, best first: the arguments that are given, or else what is called."""
    called, _, given = topic.partition("(")
    keys = re.findall(r"(\w+)\s*=(?!=)", given)
    called = called.strip()
    readings = list(_readings(called))
    # a class in its module before a member of a class: `torch.optim.sgd.SGD`
    names = next((found for find in (_known, _of_known) for each in readings if (found := find(each))), [])
    names = names or ([called] if called != topic and called else [])
    return [f"{name}.{key}" for name in names for key in keys], names


def near(topic: str, known: Iterable[str]) -> list[str]:
    """Those of `known` that `topic` may have been meant to be: near as a whole, and in the last word.

    Names of one module are near as a whole whatever they end with, and say nothing of what was meant.
    """
    called = topic.partition("(")[0].strip()
    return nearest(called, [each for each in known if _alike(called, each)])


def _alike(called: str, name: str) -> bool:
    one, other = (each.rpartition(".")[2].lower() for each in (called, name))
    return one == other or SequenceMatcher(None, one, other).ratio() >= _NEAR


def _readings(called: str) -> Iterator[str]:
    """`called`, and less one or two of the modules in the middle, in which a class is written down."""
    first, *rest = called.lower().split(".")
    first = _CALLED.get(first, first).lower() if rest else first
    yield ".".join([first, *rest])
    # no name of a framework is that deep
    for length in (len(rest) - 1, len(rest) - 2) if len(rest) < _DEEP else ():
        if length >= 1:
            for kept in combinations(rest[:-1], length - 1):
                yield ".".join([first, *kept, rest[-1]])


def _known(reading: str) -> list[str]:
    """The names that end with these words, in whatever letters."""
    names = dict.fromkeys([*classes_and_members(), *counterparts()])
    return [name for name in names if reading and f".{name.lower()}".endswith(f".{reading}")]


def _of_known(reading: str) -> list[str]:
    """The arguments and members of classes that end with these words."""
    head, _, last = reading.rpartition(".")
    return [f"{name}.{last}" for name in _known(head)]
