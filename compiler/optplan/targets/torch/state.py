"""The state of PyTorch's optimizers by canonical parameter names: read as it is, and put there by copying.

A field of a parameter's shape has the parameter's dtype, device and sharding, as torch's classes make it; one that is a
number stands where the class keeps it: on the parameter's device under `fused` and `capturable`, and in ASGD, else on
the host.  Which field is which `optplan.state.fields` tells; of a registered optimizer every value is taken as it is.

Under `fully_shard` state is `DTensor`s.  What is read is these; into a file they are gathered, tensor by tensor; what
is put there is cut by each process for itself, so that any number of processes goes on from a file of any other.
"""

from __future__ import annotations

from ctypes import string_at
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optplan.diagnostics import ConfigError, diagnostic
from optplan.state import files
from optplan.state.fields import FIELDS, Field
from optplan.state.saved import Array, is_array, is_sparse, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from torch.optim import Optimizer

    from optplan.resolve.plan import Plan
    from optplan.state.saved import Saved, Value

    State = Mapping[str, Mapping[str, Value]]

__all__ = [
    "check",
    "check_made",
    "check_reachable",
    "counts",
    "gathered",
    "packed",
    "put",
    "read",
    "sharded",
    "steps",
    "tensor_of",
    "write_together",
]


def read(optimizer: Optimizer, names: Mapping[Tensor, str]) -> dict[str, dict[str, Value]]:
    """By parameter and field, what `optimizer` remembers: its own tensors."""
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            fields = optimizer.state.get(parameter)
            if fields:
                found[names[parameter]] = {key: _told(value) for key, value in fields.items()}
    return found


def _told(value: Any) -> Any:
    """A value of an optimizer's state as `optplan.state.saved` has it."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Tensor) and value.is_sparse:
        return (value._indices(), value._values(), value.is_coalesced())  # noqa: SLF001 - of one that need not be coalesced
    return value


def steps(state: Iterable[Mapping[str, Any]]) -> int:
    """The most updates that a parameter counts; 0 where none does."""
    counts = [count for fields in state if (count := number(fields.get("step"))) is not None]
    return int(max(counts, default=0))


def counts(optimizer: str) -> bool:
    """Whether the state of a canonical optimizer has a count of updates."""
    return any(each.name == "step" for each in FIELDS.get(optimizer, ()))


def check_reachable(optimizer: Optimizer, *, pieces: bool) -> None:
    """ConfigError (OP708) where a process does not have the state of its parameters, or only of flat pieces."""
    if pieces:
        what = "under `FullyShardedDataParallel` each process has pieces of the state"
        cure = "shard with `fully_shard`, or save by `FullyShardedDataParallel.optim_state_dict`"
        raise ConfigError([diagnostic("OP708", what, help=cure)])
    if hasattr(optimizer, "consolidate_state_dict"):
        what = f"`{type(optimizer).__name__}` has a part of the state in each process"
        cure = "save by its own `consolidate_state_dict` and `state_dict`"
        raise ConfigError([diagnostic("OP708", what, help=cure)])


def check(state: State, parameters: Mapping[str, Tensor]) -> None:
    """ConfigError (OP708) with all of `state` that `put` could not make a tensor of."""
    faults = []
    for name, fields in state.items():
        for field, value in fields.items():
            try:
                if is_sparse(value):
                    _sparse(value, parameters[name], checked=True)
                for each in value if isinstance(value, tuple) else (value,):
                    if isinstance(each, Array) and not isinstance(getattr(torch, each.dtype, None), torch.dtype):
                        raise TypeError(f"PyTorch has no type `{each.dtype}`")  # noqa: TRY301 - told below
                    if is_array(each):
                        check_made(tensor_of(each), parameters[name])
            except (TypeError, ValueError, RuntimeError) as error:
                why = str(error).partition("\n")[0]
                faults.append(diagnostic("OP708", f"no tensor can be made of the saved `{field}` of `{name}`: {why}"))
    if faults:
        raise ConfigError(faults)


def check_made(value: Tensor, parameter: Tensor) -> None:
    """TypeError for a tensor that cannot be copied into one like the parameter."""
    if value.is_meta and not parameter.is_meta:
        raise TypeError("it is on the device `meta`, and has no values")
    if value.layout is not torch.strided and not value.is_sparse:
        raise TypeError(f"its layout is `{value.layout}`")
    if value.is_complex() and not parameter.is_complex():
        raise TypeError("its numbers are complex, and the parameter's are not")


def put(
    optimizer: Optimizer,
    state: State,
    fresh: Mapping[Tensor, dict[str, Any]],
    names: Mapping[Tensor, str],
    plan: Plan,
) -> None:
    """Have `optimizer` remember `state`, copied, and of parameters left out `fresh`, the state of a new optimizer."""
    kinds = {name: group.optimizer for group in plan.groups for name in group.parameters}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            given = state.get(name)
            if given is None:
                first = fresh.get(parameter)
                if first:
                    optimizer.state[parameter] = first
                else:
                    optimizer.state.pop(parameter, None)
                continue
            live = optimizer.state.get(parameter) or {}
            forms = {each.name: each for each in FIELDS.get(kinds[name], ())}
            optimizer.state[parameter] = {
                field: _placed(value, live.get(field), parameter, forms.get(field), group, kinds[name])
                for field, value in given.items()
            }


def _placed(value: Value, live: Any, parameter: Tensor, form: Field | None, group: Mapping[str, Any], kind: str) -> Any:
    """A value as the class keeps it, in the tensor that is there if it is of that kind."""
    if isinstance(value, Tensor) and value.is_sparse:
        value = _told(value)
    if is_sparse(value):
        return _sparse(value, parameter)
    if isinstance(value, tuple):
        # A list grows and shrinks: there is no tensor to be kept
        return [_own(each, parameter) for each in value]
    if form is None or form.form == "whole":
        return _own(value, parameter)
    if form.form == "number":
        return _number(value, live, parameter, group, kind)
    made = live if isinstance(live, Tensor) and not live.is_sparse and live.shape == _shape(value, parameter) else None
    if not is_array(value):
        whole = torch.full_like(parameter, value, requires_grad=False) if made is None else made.fill_(value)
        return whole.detach()
    source = tensor_of(value)
    if made is None:
        alike = tuple(source.shape) == tuple(parameter.shape)
        made = torch.empty_like(parameter, requires_grad=False) if alike else parameter.detach().new_empty(source.shape)
    if made is not source:
        made.copy_(_cut(source, made))
    return made


def _sparse(value: Any, parameter: Tensor, *, checked: bool = False) -> Tensor:
    """A sparse tensor from its indices, its values, and whether each index stands there once."""
    indices, values = (tensor_of(each).to(parameter.device, copy=True) for each in value[:2])
    return torch.sparse_coo_tensor(
        indices.long(),
        values.to(parameter.dtype),
        parameter.shape,
        check_invariants=checked,
        is_coalesced=bool(value[2]),
    )


def _shape(value: Value, parameter: Tensor) -> Any:
    return tuple(value.shape) if is_array(value) else parameter.shape


def _number(value: Value, live: Any, parameter: Tensor, group: Mapping[str, Any], kind: str) -> Any:
    if kind == "sparse_adam":
        return int(number(value) or 0)
    fused = bool(group.get("fused"))
    there = fused or group.get("capturable") or kind == "asgd"
    device = parameter.device if there else torch.device("cpu")
    if isinstance(value, (Tensor, Array)) and not fused:
        source = tensor_of(value)
        dtype = source.dtype if source.is_floating_point() else torch.get_default_dtype()
    else:
        whole = torch.get_default_dtype() == torch.float64 and not fused
        dtype = torch.float64 if whole else torch.float32
        found = number(value)
        source = torch.tensor(0.0 if found is None else found, dtype=torch.float64, device="cpu")
    if isinstance(live, Tensor) and live.dtype == dtype and live.device == device and live.ndim == 0:
        return live.copy_(source.reshape(())) if live is not source else live
    return source.detach().reshape(()).to(device, dtype, copy=True)


def _own(value: Value, parameter: Tensor) -> Any:
    """A copy of a value of which nothing is known, on the parameter's device unless it is one number."""
    if not is_array(value):
        return value
    source = tensor_of(value).detach()
    if getattr(source, "device_mesh", None) is not None or source.is_sparse:
        return source.clone()
    if source.shape == parameter.shape:
        made = torch.empty_like(parameter, dtype=source.dtype, requires_grad=False)
        return made.copy_(_cut(source, made))
    # One number stands on the host as a rule; L-BFGS computes with its own on the device
    device = parameter.device if source.ndim or isinstance(value, (Array, Tensor)) is False else source.device
    return source.to(device, copy=True)


def _cut(source: Tensor, made: Tensor) -> Tensor:
    """`source` as `made` is sharded: each process takes its own part of the whole."""
    mesh = getattr(made, "device_mesh", None)
    theirs = getattr(source, "device_mesh", None)
    if theirs is not None and (mesh is None or (theirs, source.placements) != (mesh, made.placements)):  # type: ignore[attr-defined]  # a DTensor
        source = gathered(source)
        theirs = None
    if mesh is None or theirs is not None:
        return source
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415 - few programs are distributed

    placements = made.placements  # type: ignore[attr-defined]  # a DTensor
    whole = source.to(made.device, made.dtype)
    return distribute_tensor(whole, mesh, placements, src_data_rank=None)


def gathered(value: Tensor) -> Tensor:
    """A tensor as a whole: every process that has a part of it must ask."""
    whole = getattr(value, "full_tensor", None)
    return value if whole is None else whole()


def tensor_of(value: Any) -> Tensor:
    """An array of anyone as a tensor, which may share its memory."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Array):
        dtype = getattr(torch, value.dtype)
        if not len(value.data):
            return torch.empty(value.shape, dtype=dtype, device="cpu")
        data = value.data if isinstance(value.data, memoryview) and not value.data.readonly else bytearray(value.data)
        return torch.frombuffer(data, dtype=dtype).reshape(value.shape)
    if hasattr(value, "asnumpy"):
        # NumPy has no bfloat16
        value = (value.float() if "bfloat16" in str(value.dtype).lower() else value).asnumpy()
    if hasattr(value, "byteswap"):
        # An array of numpy's, of which PyTorch takes none of another byte order or backwards
        value = value.astype(value.dtype.newbyteorder("="), order="C", copy=False)
    return torch.tensor(value, device="cpu")


def packed(value: Tensor) -> Array:
    """The bytes of a tensor; ConfigError (OP708) for one on `meta`, which has none."""
    if value.is_meta:
        what = "the network is on the device `meta`, where state has no values"
        raise ConfigError([diagnostic("OP708", what, help="give the network memory first: `model.to_empty(...)`")])
    plain = gathered(value).detach().cpu().contiguous()
    size = plain.numel() * plain.element_size()
    data = string_at(plain.data_ptr(), size) if size else b""
    return Array(str(plain.dtype).removeprefix("torch."), tuple(plain.shape), data)


def sharded(saved: Saved) -> bool:
    """Whether any tensor is a part of a whole."""
    return any(getattr(value, "device_mesh", None) is not None for value in files.tensors(saved))


def write_together(path: str | PathLike[str], saved: Saved) -> None:
    """Write a state of which each process has a part: all gather each tensor, the first one writes.

    Whatever goes wrong for the one that writes, the others go through all tensors, and raise too.
    """
    import torch.distributed as dist  # noqa: PLC0415 - few programs are distributed

    arrays = map(packed, files.tensors(saved))
    fault: BaseException | None = None
    if dist.get_rank() == 0:
        try:
            files.write(path, saved, arrays)
        except Exception as error:  # noqa: BLE001 - raised again once nobody waits any more
            fault = error
    for _ in arrays:
        pass
    told = [None if fault is None else str(fault)]
    dist.broadcast_object_list(told, src=0)
    if fault is not None:
        raise fault
    if told[0] is not None:
        raise OSError(f"the first process could not write the state: {told[0]}")
