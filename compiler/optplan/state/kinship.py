"""State between optimizers of one formula: PyTorch's `sgd`, and the two classes of MindSpore's own that compute it.

Takes the group and the state that a parameter was saved with, and the group that it has now; gives both in the words of
this one's optimizer.  Guarantees that the next update is the one that the other optimizer would make.  What is dampened
the classes begin in other ways, and it has no form of another.

    sgd                 momentum_buffer, once an update was made with momentum
    mindspore.SGD       accum, and stat with a 1 for each element whose buffer is not made yet
    mindspore.Momentum  moments, which begin with 0

Source: `torch.optim.SGD.step`, and the formulas that MindSpore's documentation gives of `nn.SGD` and `nn.Momentum`.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from struct import pack
from typing import TYPE_CHECKING, Any

from optplan.state.saved import Array, dtype_of, is_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.resolve.plan import Group
    from optplan.setting import Plain
    from optplan.state.fields import Shape
    from optplan.state.saved import SavedGroup, Value

__all__ = ["carried", "settings_of"]

_MOMENTUM = "mindspore.Momentum"
# What each calls its buffer
_BUFFERS = {"sgd": "momentum_buffer", "mindspore.SGD": "accum", _MOMENTUM: "moments"}


def settings_of(was: SavedGroup, now: Group) -> SavedGroup | None:
    """`was` as a group of `now`'s optimizer; None where that means something else by its state, or is the same one."""
    kinds = {was.optimizer, now.optimizer}
    if len(kinds) == 1 or not kinds <= _BUFFERS.keys():
        return None
    moving = was.own.keys() | set(now.schedule)
    damped = was.settings.get("dampening") or now.settings.get("dampening") or "dampening" in moving
    if damped or was.settings.get("maximize") or now.settings.get("maximize"):
        return None
    known: dict[str, Plain] = {"dampening": 0.0, "maximize": False, **was.settings}
    nesterov = was.settings.get("use_nesterov", was.settings.get("nesterov"))
    if nesterov is not None:
        known |= {"nesterov": nesterov, "use_nesterov": nesterov}
    settings = {key: value for key, value in known.items() if key in now.settings}
    return replace(was, optimizer=now.optimizer, settings=settings)


def carried(
    fields: Mapping[str, Value], was: SavedGroup, now: Group, shape: Shape, updates: int
) -> dict[str, Value] | None:
    """The state of a parameter of `shape` as `now`'s optimizer has it at update `updates`; None for what has no form.

    `was` is the group as it was saved, and `settings_of` one of it and `now`.
    """
    buffer = fields.get(_BUFFERS[was.optimizer])
    if was.optimizer != "sgd" and not (was.settings.get("momentum") or "momentum" in was.own):
        # A class without momentum has buffers too, and goes by none
        buffer = None
    if _any(fields.get("stat", 0)):
        buffer = None
    if buffer is not None and not _fits(buffer, shape):
        return None
    if now.optimizer == "sgd":
        return {} if buffer is None else {"momentum_buffer": buffer}
    if not updates and buffer is None:
        return {}
    whole = buffer if buffer is not None else _full(shape, 0.0)
    found: dict[str, Value] = {"step": updates, _BUFFERS[now.optimizer]: whole}
    return found if now.optimizer == _MOMENTUM else {**found, "stat": _full(shape, float(buffer is None))}


def _any(value: Any) -> bool:
    """Whether any element is not 0."""
    if isinstance(value, Array):
        return bool(bytes(value.data).strip(b"\0"))
    return bool(value.any()) if is_array(value) else bool(value)


def _fits(value: Value, shape: Shape) -> bool:
    sparse = getattr(value, "is_sparse", False)
    return is_array(value) and not sparse and tuple(value.shape) == shape and dtype_of(value).startswith(("f", "bf"))


def _full(shape: Shape, value: float) -> Array:
    return Array("float32", shape, pack("<f", value) * prod(shape))
