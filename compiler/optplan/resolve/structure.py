"""How a policy is put together, whatever its horizon: its phases, what follows what, and what has no duration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.catalog import catalog
from optplan.expression import Before, Into, Listing, Over, PerEpoch, Phase, Then, Times
from optplan.resolve.level import as_level
from optplan.resolve.value import ATTRIBUTES, reads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optplan.expression import Argument, Policy, Value
    from optplan.resolve.value import Scope


def inner(policy: Policy) -> tuple[Policy, ...]:
    """What `policy` is put together from, first to last; nothing in a phase or `base`."""
    match policy:
        case Then(items) | Times(items):
            return items
        case Over(first, second) | Into(first, second):
            return first, second
        case PerEpoch(item):
            return (item,)
        case _:
            return ()


def parts(policy: Policy) -> Iterator[Policy]:
    """What follows each other in `policy`, first to last."""
    if isinstance(policy, Then):
        for item in policy.items:
            yield from parts(item)
    else:
        yield policy


def atoms(policy: Policy) -> Iterator[Phase | Before]:
    """The phases in `policy` and each `base`, first to last."""
    if isinstance(policy, (Phase, Before)):
        yield policy
    for item in inner(policy):
        yield from atoms(item)


def phases(policy: Policy) -> Iterator[Phase]:
    """The phases in `policy`, first to last."""
    return (atom for atom in atoms(policy) if isinstance(atom, Phase))


def levels(phase: Phase) -> Iterator[Argument]:
    """The arguments of `phase` that are values, or lists of them."""
    kinds = catalog().policies[phase.name].arguments
    for argument in phase.arguments:
        kind = kinds[argument.name or "for"]
        if "value" in (kind.kind, kind.items):
            yield argument


def asked(policy: Policy) -> frozenset[str]:
    """What `policy` asks of a parameter: its attributes, `shape[i]` whole, and `layers`."""
    found: set[str] = set()
    for phase in phases(policy):
        kinds = catalog().policies[phase.name].arguments
        for argument in phase.arguments:
            if kinds[argument.name or "for"].kind not in ("word", "text"):
                found |= reads(argument.value)
    return frozenset(found & (ATTRIBUTES | {"shape", "layers"}))


def found_in(policy: Policy, number: float, own: float, scope: Scope) -> Value | None:
    """Where `policy` writes the value that is `number` for a parameter whose own value is `own`."""
    for phase in phases(policy):
        for argument in levels(phase):
            node = argument.value
            if not isinstance(node, Listing) and as_level(node, scope).at(own) == number:
                return node
    return None


def is_open(policy: Policy) -> bool:
    """Whether `policy` says nowhere how long it lasts, so that it takes what is left."""
    match policy:
        case Phase():
            return policy.argument("for") is None
        case Before():
            return True
        case Over(_, second) | Into(_, second):
            return is_open(second)
        case _:
            return any(map(is_open, inner(policy)))


def last_name(policy: Policy) -> str:
    """The name of the phase that `policy` ends with, where there is one."""
    match policy:
        case Phase(name):
            return name
        case PerEpoch(item) | Then((*_, item)):
            return last_name(item)
        case _:
            return ""


def short(policy: Policy) -> str:
    """`policy` as messages name it."""
    return policy.name if isinstance(policy, Phase) else str(policy)
