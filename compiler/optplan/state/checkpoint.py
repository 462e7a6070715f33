"""State as MindSpore's checkpoint of an optimizer holds it, by its own names; no framework.

Takes the tensors of a `.ckpt` file and the plan that they are to fit, gives their state by canonical name and field;
and the other way round.  A checkpoint has one tensor for each parameter of the optimizer:

    PREFIX.WEIGHT       what belongs to one weight: `moment1.head.weight`
    NAME                what one optimizer has: `global_step`, `mu_product`; `memberN.NAME` where several are one

Beside them may stand what else a training network has, which is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from struct import Struct
from typing import TYPE_CHECKING, Any

from optplan.state.fields import fields_of
from optplan.state.saved import Array, is_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from optplan.catalog import Lowering
    from optplan.resolve.plan import Group, Plan

    State = Mapping[str, Mapping[str, Any]]

__all__ = ["MOST", "TOO_MANY", "Member", "from_tensors", "pack", "to_tensors"]

# What MindSpore's format says for a type in torch's words
_WORDS = {
    "float64": "Float64", "float32": "Float32", "float16": "Float16", "bfloat16": "BFloat16",
    "int64": "Int64", "int32": "Int32", "int16": "Int16", "int8": "Int8", "uint8": "UInt8", "bool": "Bool",
}  # fmt: skip
_FLOAT, _INTEGER = Struct("<f"), Struct("<i")
# The most updates that MindSpore counts, and what is said of more
MOST = 2**31 - 1
TOO_MANY = f"more than {MOST} updates are saved, and MindSpore counts them in an int32"
# As long as MindSpore makes one piece of a large tensor
_LONGEST = 512 * 2**20

COUNT, BEGUN = "global_step", "begun"
# What one optimizer has once for all of its parameters
_SHARED = frozenset({"mu_product", "mu", "eta"})
# What MindSpore calls weights and biases of norms, and embeddings
_CALLED = {"weight": ("gamma", "embedding_table"), "bias": ("beta",)}
# What classes of MindSpore's own, which have the same averages, call them
_ALSO = {"moment1": ("adam_m",), "moment2": ("adam_v",), "accum": ("moments",)}


@dataclass(frozen=True, slots=True)
class Member:
    """One optimizer of a plan: the groups that it carries out, by which class."""

    groups: tuple[Group, ...]
    by: Lowering

    @property
    def names(self) -> list[str]:
        """The canonical names of its parameters."""
        return [name for group in self.groups for name in group.parameters]


def from_tensors(
    tensors: Mapping[str, Array], plan: Plan, members: Sequence[Member], untold: int = 0
) -> tuple[dict[str, Any], int]:
    """The state by parameter and field, and the count of updates, that a checkpoint's `tensors` hold.

    `untold` is the count where they do not have it.  A parameter that has had updates, and of which they have nothing,
    is left out.
    """
    natives = {name: native for native, name in plan.natives.items()}
    shapes = dict(zip(plan.names, plan.shapes, strict=True))
    updates = max((int(_number(each)) for name, each in tensors.items() if _last(name) == COUNT), default=untold)
    state: dict[str, Any] = {}
    for number, member in enumerate(members):
        lead = "" if len(members) == 1 else f"member{number}."
        begun = tensors.get(f"{lead}{BEGUN}", tensors.get(BEGUN))
        made = updates - (0 if begun is None else int(_number(begun)))
        for group in member.groups:
            for name in group.parameters:
                native = _native(tensors, member, natives.get(name, name))
                found = dict(_fields(tensors, member, native, lead)) if made else {}
                fields = {field: made if each is None else _fitted(each, shapes[name]) for field, each in found.items()}
                if any(_of_weight(member, field) for field in fields):
                    state[name] = fields
                elif not made or f"stat.{native}" in tensors or not _needed(member, group, shapes[name]):
                    state[name] = {}
    return state, updates


def _of_weight(member: Member, field: str) -> bool:
    """Whether a field is one of which each weight has its own."""
    own = (member.by.state or {}).get(field, field)
    return own not in (COUNT, "step", *_SHARED)


def _needed(member: Member, group: Group, shape: tuple[int, ...]) -> bool:
    """Whether a parameter that has had an update has state of its own."""
    known = None if member.by.state is None else fields_of(group.optimizer, group.settings, group.schedule, shape)
    return known is not None and any(_of_weight(member, field) for field in known[0].keys() - known[1])


def _native(tensors: Mapping[str, Any], member: Member, name: str) -> str:
    """What a weight is called in a checkpoint, where the plan is of another framework and does not know it."""
    path, dot, local = name.rpartition(".")
    for word in (local, *_CALLED.get(local, ())):
        owns = (each for own in (member.by.state or {}).values() for each in (own, *_ALSO.get(own, ())))
        if any(f"{own}.{path}{dot}{word}" in tensors for own in owns):
            return f"{path}{dot}{word}"
    return name


def _fields(tensors: Mapping[str, Any], member: Member, native: str, lead: str) -> Iterator[tuple[str, Any]]:
    """Each field of the weight `native` with its tensor; None for the count."""
    called = member.by.state
    if called is None:
        ending = f".{native}"
        for name, each in tensors.items():
            if name.endswith(ending) and "." not in name.removesuffix(ending):
                yield name.removesuffix(ending), each
        yield "step", None
        return
    stat = tensors.get(f"stat.{native}")
    for field, own in called.items():
        if own == COUNT:
            yield field, None
        elif own in _SHARED:
            each = tensors.get(f"{own}.{native}", tensors.get(f"{lead}{own}"))
            if each is not None:
                yield field, _number(each)
        else:
            each = next(
                (tensors[key] for word in (own, *_ALSO.get(own, ())) if (key := f"{word}.{native}") in tensors), None
            )
            if each is not None and (stat is None or not bytes(stat.data).strip(b"\0")):
                yield field, each


def to_tensors(
    state: State, updates: int, plan: Plan, members: Sequence[Member], flat: frozenset[str] = frozenset()
) -> dict[str, Array]:
    """What the checkpoint of the plan's optimizer holds for `state` at update `updates`.

    `flat` names the parameters that MindSpore has with a dimension of one before their last.  ValueError with a name
    where one count cannot stand for all parameters of an optimizer, or is more than MindSpore counts.
    """
    natives = {name: native for native, name in plan.natives.items()}
    shapes = dict(zip(plan.names, plan.shapes, strict=True))
    found: dict[str, Array] = {}
    for number, member in enumerate(members):
        lead = "" if len(members) == 1 else f"member{number}."
        found[f"{lead}{COUNT}"] = _whole(updates)
        if member.by.class_name.startswith("optplan."):
            found[f"{lead}{BEGUN}"] = _whole(updates - _made(state, member, updates))
        for name in member.names:
            native, given, shape = natives.get(name, name), state.get(name, {}), shapes[name]
            for field, own in (member.by.state or {field: field for field in given if field != "step"}).items():
                if own == COUNT or field not in given:
                    continue
                value = given[field]
                if own not in _SHARED:
                    found[f"{own}.{native}"] = _unfitted(value, shape, flat=name in flat)
                elif own == "eta" and len(member.groups) > 1:
                    found[f"{own}.{native}"] = _scalar(float(_number(value)))
                else:
                    found[f"{lead}{own}"] = _scalar(float(_number(value)))
            if (member.by.state or {}).get("momentum_buffer") == "accum":
                extents = _with_one(shape) if name in flat else shape
                one = _FLOAT.pack(0.0 if "momentum_buffer" in given else 1.0)
                found[f"stat.{native}"] = Array("float32", extents, one * prod(extents))
    found[COUNT] = _whole(updates)
    return found


def _made(state: State, member: Member, updates: int) -> int:
    """How many updates the parameters of a member have had."""
    if "step" not in (member.by.state or {}):
        return updates if any(state.get(name) for name in member.names) else 0
    counts = {name: int(_number(state.get(name, {}).get("step", 0))) for name in member.names}
    first, made = next(iter(counts.items()))
    for name, count in counts.items():
        if count != made:
            message = f"{name!r} has had {count} updates and {first!r} {made}, and MindSpore counts them together"
            raise ValueError(message)
    return made


def pack(tensors: Mapping[str, Array]) -> Iterator[bytes]:
    """The bytes of a checkpoint file, piece by piece, in MindSpore's format (protobuf, without a checksum)."""
    for name, each in tensors.items():
        # A tensor without dimensions is said to have one of 0
        dims = b"".join(b"\x08" + _varint(extent) for extent in (each.shape or (0,)))
        head = dims + _field(2, _WORDS[each.dtype].encode())
        for start in range(0, max(len(each.data), 1), _LONGEST):
            proto = head + _field(3, bytes(each.data[start : start + _LONGEST]))
            yield _field(1, _field(1, name.encode()) + _field(2, proto))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _number(value: Any) -> float:
    """A number, or the only element of a tensor."""
    found: float = value.item() if is_array(value) else value
    return found


def _whole(value: int) -> Array:
    if abs(value) > MOST:
        raise ValueError(TOO_MANY)
    return Array("int32", (1,), _INTEGER.pack(value))


def _scalar(value: float) -> Array:
    return Array("float32", (), _FLOAT.pack(value))


def _fitted(value: Any, shape: tuple[int, ...]) -> Any:
    """State without the dimension of one that a weight with the plan's `shape` has in MindSpore beside."""
    if isinstance(value, Array) and len(value.shape) == len(shape) + 1 and len(shape) > 1:
        return Array(value.dtype, (*value.shape[:-2], value.shape[-1]), value.data)
    return value


def _unfitted(value: Any, shape: tuple[int, ...], *, flat: bool) -> Array:
    if not isinstance(value, Array):
        return _scalar(float(value))
    return Array(value.dtype, _with_one(value.shape), value.data) if flat and len(value.shape) == len(shape) else value


def _with_one(extents: Sequence[int]) -> tuple[int, ...]:
    return (*extents[:-1], 1, extents[-1])


def members_of(groups: Iterable[Sequence[tuple[Group, Lowering]]]) -> list[Member]:
    """The members that carry groups out, as `targets.sharing` has them."""
    return [Member(tuple(group for group, _ in each), each[0][1]) for each in groups]
