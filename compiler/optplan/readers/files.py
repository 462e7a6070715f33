"""A path to a network, or to a plan: what kind of file it is, and one diagnostic where it cannot be read.

A manifest is told by its first bytes, or by a name that ends in `.params.json`; anything else must be a checkpoint, of
which the header is read.  A header lists tensors, not parameters: what no optimizer can take (whole numbers, booleans)
and the running statistics of batch norms are left out.  Guarantees that every fault of the file is a `ConfigError`
(OP601; OP001 for a plan).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from optplan.diagnostics import ConfigError, Diagnostic
from optplan.readers.dispatch import read_header
from optplan.readers.header import ReadError, shown
from optplan.resolve.network import FORMAT, from_names
from optplan.resolve.plan import FORMAT as PLAN
from optplan.resolve.plan import Plan

if TYPE_CHECKING:
    import os

    from optplan.readers.header import Header
    from optplan.resolve.network import Network

_TRAINED = ("float", "bfloat", "complex")
_STATISTICS = frozenset({"running_mean", "running_var", "moving_mean", "moving_variance"})
_TARGETS = {"torch": "torch", "mindspore": "mindspore"}
MOST_PLAN_BYTES = 500_000_000


def read_network(path: str | os.PathLike[str]) -> Network:
    """The network that the manifest or the checkpoint's header at `path` describes; ConfigError (OP601) if none."""
    try:
        if _manifest(Path(path)):
            from optplan.readers.manifest import read_manifest  # noqa: PLC0415 - a header needs none of it

            with Path(path).open("rb") as file:
                return read_manifest(file)
        return _network(read_header(path))
    except ReadError as fault:
        place = str(path) if fault.path is None else str(fault.path)
        raise ConfigError([Diagnostic("OP601", "error", fault.message, place, help=fault.help)]) from fault
    except (OSError, ValueError) as fault:
        # a path with a null character is a ValueError
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        message = f"the file cannot be read: {reason[:1].lower()}{reason[1:]}"
        raise ConfigError([Diagnostic("OP601", "error", message, str(path))]) from fault


def read_plan(path: str | os.PathLike[str], kind: type[Plan] = Plan) -> Plan | None:
    """The plan that the file at `path` holds as JSON, None where it is no JSON of a plan or cannot be opened.

    ConfigError (OP001) where it says that it is a plan and is not, or is one of another version.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(200)
            if not head.lstrip().startswith(b"{") or b'"optplan.plan/' not in head:
                return None
            text = head + file.read(MOST_PLAN_BYTES)
    except (OSError, ValueError):
        return None
    try:
        plan = kind.from_json(text)
        _check(plan)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as fault:
        reason = str(fault).removeprefix("this is not a plan: ")
        message = f"the file is not a plan in the format `{PLAN}`: {reason}"
        raise ConfigError([Diagnostic("OP001", "error", message, str(path))]) from fault
    return plan


def _check(plan: Plan) -> None:
    """Raise where the columns of a plan do not fit together, or its parts cannot be what they say."""
    if not len(plan.names) == len(plan.shapes) == len(plan.case_of):
        raise ValueError("its columns differ in length")
    if not all(isinstance(name, str) for name in (*plan.names, *plan.frozen, *plan.thawed)):
        raise ValueError("a name is not a text")
    if len(set(plan.names)) < len(plan.names) or not set(plan.aliases.values()) <= set(plan.names):
        raise ValueError("its names are not unique")
    if not all(type(case) is int and 0 <= case < len(plan.cases) for case in plan.case_of):
        raise ValueError("a parameter has a case that is not there")
    if not all(type(case.group) is int and -1 <= case.group < len(plan.groups) for case in plan.cases):
        raise ValueError("a case has a group that is not there")
    if not all(type(extent) is int for shape in plan.shapes for extent in shape):
        raise ValueError("a shape is not a list of whole numbers")
    for group in plan.groups:
        if not all(isinstance(each, str) for each in (group.name, group.optimizer, *group.parameters)):
            raise ValueError("a group has a name that is not a text")
        if type(group.numel) is not int or not set(group.parameters) <= set(plan.names):
            raise ValueError(f"group {shown(group.name)} is not made of the plan's parameters")
        for key, curve in group.curves:
            # a curve that can be drawn is one
            curve.value(0, group.own(key))
            str(curve)
    str(plan.horizon)
    json.dumps([case.history for case in plan.cases])


def _manifest(path: Path) -> bool:
    if path.name.endswith(".params.json"):
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(200)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and FORMAT.partition("/")[0].encode() in head


def _network(header: Header) -> Network:
    """The view of a checkpoint's tensors that an optimizer could take."""
    entries = [
        (entry.name, entry.shape, entry.dtype)
        for entry in header.entries
        if entry.dtype.startswith(_TRAINED) and entry.name.rpartition(".")[2] not in _STATISTICS
    ]
    kept = {name for name, _, _ in entries}
    tied = tuple(names for each in header.tied if len(names := tuple(name for name in each if name in kept)) > 1)
    return from_names(entries, target=_TARGETS.get(header.format), tied=tied)
