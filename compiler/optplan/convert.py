"""State from one file into another, by the rules of a document: what `optplan convert` does.

    read    .safetensors by `compiled.save`, `.pt` by `torch.save`, `.ckpt` by MindSpore; told from the first bytes
    fit     a saved state to the state that a plan goes on from
    write   .safetensors, .pt, .ckpt; by the name's ending

The state of a framework's own optimizer stands there by its own order or names, so that it takes the plan to read it.
Only to write a `.pt` is a framework needed: torch.  Guarantees that what cannot be read is one ConfigError, and that a
file is written whole or not at all.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.diagnostics import ConfigError, Diagnostic, diagnostic
from optplan.readers.header import ReadError
from optplan.readers.stock import Values, read_checkpoint, read_torch
from optplan.resolve.watches import Watches
from optplan.state import checkpoint, files, stock
from optplan.state.compare import OnLoad, place
from optplan.state.fields import fields_of
from optplan.state.saved import FORMAT, Array, Saved, SavedGroup, is_array, number, parse
from optplan.targets.choose import lowering, why_not
from optplan.targets.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.resolve.network import Network
    from optplan.resolve.plan import Group, Plan
    from optplan.state.compare import Differences

__all__ = ["ENDINGS", "fit", "left_out", "overruled", "read", "write"]

# By their public names
_FLAT = frozenset({"mindspore.nn.Conv1d", "mindspore.nn.Conv1dTranspose"})
# What each optimizer has once, where several stand behind one
_MEMBER = re.compile(r"(?:^|\.)member([0-9]{1,9})\.global_step$")
ENDINGS = (".safetensors", ".pt", ".ckpt")


def read(path: str | os.PathLike[str], plan: Plan, *, updates: int = 0) -> Saved:
    """The state that the file at `path` holds, as `plan` has names and order; ConfigError (OP701, OP702) if none.

    `updates` is t where the file does not tell it: the state dict of an optimizer that counts nothing, and what has
    been made of one.
    """
    name = os.fspath(path)
    try:
        head = _head(name)
        if head.startswith(b"PK\x03\x04"):
            data = _arrays(read_torch(name))
            if data.get("format") == FORMAT:
                return _told(parse(data), updates)
            return stock.read(data, plan, updates=updates)
        if head[8:9] == b"{":
            return _told(files.read(name), updates)
        if head.startswith(b"\n"):
            return _checkpoint({key: Array(*each) for key, each in read_checkpoint(name).items()}, plan, updates)
    except ReadError as fault:
        raise ConfigError([Diagnostic("OP701", "error", fault.message, name, help=fault.help)]) from fault
    message = (
        "the file is no saved state: not .safetensors by `compiled.save`, .pt by `torch.save`, nor MindSpore's .ckpt"
    )
    raise ConfigError([Diagnostic("OP701", "error", message, name)])


def fit(saved: Saved, plan: Plan, *, on_load: OnLoad = "config", strict: bool = True) -> tuple[Saved, Differences]:
    """The state that training by `plan` goes on from, and what differs; ConfigError as `state.compare.place` has it."""
    placed = place(saved, plan, on_load=on_load, strict=strict)
    state = {
        name: {field: _whole(value, group, shapes[name], field) for field, value in placed.state.get(name, {}).items()}
        for shapes in [dict(zip(plan.names, plan.shapes, strict=True))]
        for group in plan.groups
        for name in group.parameters
    }
    watches = Watches(plan.groups)
    if placed.reports is not None:
        watches.restore(placed.reports)
    groups = _groups(plan, placed.updates, placed.settings, watches)
    target = plan.target or saved.framework
    reports = tuple(watches.reports)
    found = placed.differences
    if not placed.updates and any(state.values()) and any(group.schedule for group in plan.groups):
        what = "the saved state does not say which update it was: the schedules begin anew"
        untold = diagnostic("OP703", what, help="say it: `--updates 1000`", severity="warning")
        found = replace(found, diagnostics=(*found.diagnostics, untold))
    return Saved(target, plan.fingerprint, placed.updates, groups, state, placed.scaler, reports), found


def overruled(saved: Saved, updates: int) -> list[Diagnostic]:
    """A warning (OP704) where `updates` were said and the state that was read tells another number; else nothing."""
    if updates in (0, saved.updates):
        return []
    what = f"the saved state says itself that it was of update {saved.updates}: `--updates {updates}` is left out"
    return [diagnostic("OP704", what, severity="warning")]


def left_out(path: str | os.PathLike[str], saved: Saved) -> list[Diagnostic]:
    """What of a state the form that the name's ending says has no place for, as a note (OP708); most often nothing."""
    ending = Path(path).suffix.lower()
    if ending == ".safetensors":
        return []
    lost = ["the loss scale"] if saved.scaler is not None else []
    lost += ["what has been reported"] if saved.reports else []
    if ending == ".pt" and saved.updates and not any("step" in fields for fields in saved.state.values()):
        lost.append("the update")
    if not lost:
        return []
    message = f"a `{ending}` has no place for {' and '.join(lost)}"
    return [Diagnostic("OP708", "note", message, os.fspath(path), help="a `.safetensors` has all of it")]


def write(path: str | os.PathLike[str], saved: Saved, plan: Plan, network: Network | None = None) -> None:
    """Write what `fit` gave, in the form that the name's ending says; OSError where it cannot be written.

    A checkpoint is that of the optimizer to which MindSpore binds the plan for the Cell `network`.  ConfigError (OP708)
    where the form cannot have the state, ValueError for another ending.
    """
    ending = Path(path).suffix.lower()
    if ending == ".safetensors":
        files.write(path, saved, files.tensors(saved))
    elif ending == ".pt":
        try:
            import torch  # noqa: PLC0415 - its own form is written by itself
        except ImportError as fault:
            message = "a `.pt` is written by PyTorch, which cannot be imported here"
            cure = "write a `.safetensors`, which `compiled.restore` takes"
            raise ConfigError([Diagnostic("OP708", "error", message, os.fspath(path), help=cure)]) from fault
        data = _tensors(stock.to_indices(saved, plan), plan, torch)
        with files.Beside(os.path.realpath(path)) as file:
            torch.save(data, file)
    elif ending == ".ckpt":
        if plan.target not in (None, "mindspore"):
            message = "a checkpoint of MindSpore has its names and shapes, and the network is of another framework"
            cure = (
                "give the network's manifest made under MindSpore: `optplan params --network SPEC -o net.params.json`"
            )
            raise ConfigError([Diagnostic("OP708", "error", message, os.fspath(path), help=cure)])
        if network is None and any(len(shape) == 3 for shape in plan.shapes):
            message = "a plan alone does not tell which weights of three dimensions MindSpore has with four"
            cure = "give the network beside it: `--network`, or `--params` with its manifest"
            raise ConfigError([Diagnostic("OP708", "error", message, os.fspath(path), help=cure)])
        try:
            found = checkpoint.to_tensors(saved.state, saved.updates, plan, _members(plan), _flat(network))
        except ValueError as fault:
            raise ConfigError([Diagnostic("OP708", "error", str(fault), os.fspath(path))]) from fault
        with files.Beside(os.path.realpath(path)) as file:
            file.writelines(checkpoint.pack(found))
    else:
        raise ValueError(f"the name must end with one of {', '.join(ENDINGS)}: {os.fspath(path)!r}")


def _head(name: str) -> bytes:
    try:
        if not Path(name).is_file():
            raise ReadError("there is no such file" if not Path(name).exists() else "the path is no regular file")
        with Path(name).open("rb") as file:
            return file.read(64)
    except (OSError, ValueError) as fault:
        raise ReadError(f"the file cannot be read: {fault}") from fault


def _told(saved: Saved, updates: int) -> Saved:
    """The state, at update `updates` where it has had some and says of none."""
    return saved if saved.updates or not any(saved.state.values()) else replace(saved, updates=updates)


def _checkpoint(tensors: Mapping[str, Array], plan: Plan, updates: int) -> Saved:
    """The state that a checkpoint of MindSpore holds; what it has nothing of is in none of the groups."""
    members = _members(plan)
    there = {found[1] for name in tensors if (found := _MEMBER.search(name)) is not None}
    if there and len(there) != len(members):
        # As of a run that was added to, or whose parameters had not all had the same updates
        message = f"the checkpoint is of an optimizer with {len(there)} members, and by this plan it has {len(members)}"
        raise ReadError(message, "save it by `compiled.save(path)`, which needs no names but those of parameters")
    state, t = checkpoint.from_tensors(tensors, plan, members, updates)
    told = any(name.rpartition(".")[2] == checkpoint.COUNT for name in tensors)
    if not told and not (t and any(state.values())):
        cure = "save the optimizer, which has `global_step`: `mindspore.save_checkpoint(optimizer, path)`"
        raise ReadError("the checkpoint has no optimizer in it, or not the update that it was at", cure)
    groups = (
        replace(group, parameters=tuple(name for name in group.parameters if name in state))
        for group in _groups(plan, t)
    )
    return Saved("mindspore", "", t, tuple(groups), state)


def _arrays(value: Any) -> Any:
    """What a reader gave, with its tensors as the state's."""
    if isinstance(value, Values):
        return Array(*value)
    if isinstance(value, dict):
        return {key: _arrays(each) for key, each in value.items()}
    return type(value)(map(_arrays, value)) if isinstance(value, (list, tuple)) else value


def _members(plan: Plan) -> list[checkpoint.Member]:
    """The optimizers that carry the plan out in MindSpore; ConfigError (OP501) where none does."""
    groups = []
    for group in plan.groups:
        by = lowering(group, "mindspore", catalog())
        if by is None:
            why, cure = why_not(group, "mindspore", catalog())
            message = f"`{group.optimizer}` has no state in MindSpore: {why}"
            raise ConfigError([Diagnostic("OP501", "error", message, help=cure)])
        groups.append((group, by))
    return checkpoint.members_of(shared(groups))


def _groups(
    plan: Plan, t: int, own: Mapping[str, Mapping[str, Any]] | None = None, watches: Watches | None = None
) -> tuple[SavedGroup, ...]:
    """The plan's groups as they stand for update `t`, with the own values that `own` gives by group and key."""
    found = []
    for group in plan.groups:
        values = {**group.settings, **(own or {}).get(group.name, {})}
        owns = {key: _element(values, key) for key in group.schedule}
        settings = {key: _at(group, key, value, t, plan, watches) for key, value in values.items()}
        found.append(SavedGroup(group.name, group.optimizer, settings, owns, group.parameters))
    return tuple(found)


def _element(values: Mapping[str, Any], key: str) -> float:
    name, bracket, rest = key.partition("[")
    found: float = values[name][int(rest.rstrip("]"))] if bracket else values[name]
    return found


def _at(group: Group, key: str, value: Any, t: int, plan: Plan, watches: Watches | None) -> Any:
    if isinstance(value, tuple):
        return tuple(_at(group, f"{key}[{place}]", each, t, plan, watches) for place, each in enumerate(value))
    curve = group.schedule.get(key)
    if curve is None:
        return value
    if curve.endless and plan.horizon.last is not None:
        t = min(t, plan.horizon.last)
    return (watches.now(curve) if watches is not None else curve).value(t, value)


def _whole(value: Any, group: Group, shape: tuple[int, ...], field: str) -> Any:
    """A field with as many elements as it has; a number may stand for a tensor that is full of it."""
    known = fields_of(group.optimizer, group.settings, group.schedule, shape)
    wanted = None if known is None else known[0].get(field)
    if wanted in (None, ()) or is_array(value):
        return value
    return Array("float32", wanted, bytes(4 * _count(wanted)))


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _flat(network: Network | None) -> frozenset[str]:
    """The parameters that MindSpore has with a dimension of one before their last: weights of its `Conv1d`."""
    if network is None or network.target != "mindspore":
        return frozenset()
    flat = [not _FLAT.isdisjoint(kind.classes) for kind in network.kinds]
    named = zip(network.names, network.locals, network.owners, strict=True)
    return frozenset(name for name, local, owner in named if flat[network.module_kinds[owner]] and local == "weight")


def _tensors(data: dict[str, Any], plan: Plan, torch: Any) -> dict[str, Any]:
    """A state dict of `torch.optim` with its tensors; a number is one without dimensions, but that of SparseAdam."""
    kinds = [group.optimizer for group in plan.groups for _ in group.parameters]
    state = {
        key: {field: _tensor(value, torch, plain=kinds[key] == "sparse_adam") for field, value in fields.items()}
        for key, fields in data["state"].items()
    }
    return {"state": state, "param_groups": data["param_groups"]}


def _tensor(value: Any, torch: Any, *, plain: bool) -> Any:
    if isinstance(value, Array) and not (plain and not value.shape):
        kind = getattr(torch, value.dtype)
        if 0 in value.shape:
            return torch.zeros(value.shape, dtype=kind)
        return torch.frombuffer(bytearray(value.data), dtype=kind).reshape(value.shape)
    found = number(value)
    if found is None:
        return value
    return int(found) if plain else torch.tensor(found, dtype=torch.float32)
