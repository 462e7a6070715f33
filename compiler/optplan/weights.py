"""Which parameter or statistic of a network each entry of some weights is for.

Taken are weights by names of either framework: those of the plan, a tied parameter's others, the network's own, and
those that the other framework has for the same part (`gamma`, `running_mean`).  Given is what to write where, or an
error before anything is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optplan.diagnostics import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optplan.resolve.plan import Plan

__all__ = ["match"]

# Local names of one framework, and those of the other for the same; a plan has PyTorch's for parameters of both.
_OTHERWISE = {
    "gamma": "weight",
    "beta": "bias",
    "embedding_table": "weight",
    "w": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# Of PyTorch's norms alone: MindSpore's count nothing.
_COUNT = "num_batches_tracked"
# Where MindSpore's `BatchNorm3d` keeps what PyTorch's keeps itself.
_INNER = "bn2d"


def match(
    weights: Mapping[str, Any], plan: Plan, parameters: Mapping[str, Any], beside: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Each name in `weights`, with the parameter or statistic that it is of, and its value; in their order.

    `parameters` are by the plan's names; `beside` has what else the network loads, by the framework's own names.
    One parameter may stand there by several names.  KeyError for a name that nothing has, ValueError for another shape,
    TypeError for what are no weights.
    """
    if not hasattr(weights, "items"):
        raise TypeError(_no_weights(weights))
    named = zip(plan.names, plan.shapes, strict=True)
    shapes = {id(parameters[name]): shape for name, shape in named}
    found = []
    for name, value in weights.items():
        if not isinstance(name, str):
            raise TypeError(f"weights are told by names, and {name!r:.40} is a `{type(name).__name__}`")
        if hasattr(value, "items"):
            raise TypeError(f"{name!r} is a mapping itself: are these the weights? pass it alone")
        parameter = None
        for called in _names(name):
            if called == name or called not in weights:
                parameter = parameters.get(plan.aliases.get(called, called), beside.get(called))
            if parameter is not None:
                break
        if parameter is None:
            if _is_count(name, beside):
                continue
            near = nearest(name, parameters)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise KeyError(f"the network has no parameter {name!r}{hint}")
        if not hasattr(value, "shape"):
            raise TypeError(f"{name!r} is a `{type(value).__name__}`, not an array or a tensor")
        shape, given = tuple(parameter.shape), tuple(value.shape)
        if given not in {shape, shapes.get(id(parameter)), _flat(shape)}:
            raise ValueError(f"{name!r} has shape {given}, and the parameter {shape}")
        found.append((name, parameter, value))
    return found


def _names(name: str) -> Iterator[str]:
    """What the network may call it: by this name, or by the other framework's for that part of the same owner."""
    yield name
    owner, dot, local = name.rpartition(".")
    other = _OTHERWISE.get(local)
    if other is None:
        return
    yield f"{owner}{dot}{other}"
    outer, _, last = owner.rpartition(".")
    if last == _INNER:
        yield f"{outer}.{other}" if outer else other
    yield f"{owner}{dot}{_INNER}.{other}"


def _is_count(name: str, beside: Mapping[str, Any]) -> bool:
    """Whether it is the count of a norm of PyTorch, and the network has that norm as MindSpore's, which counts none."""
    owner, dot, local = name.rpartition(".")
    return local == _COUNT and any(f"{owner}{dot}{inner}moving_mean" in beside for inner in ("", f"{_INNER}."))


def _flat(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that MindSpore's `Conv1d` has for a weight of these three dimensions; None for others."""
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else None


def _no_weights(given: object) -> str:
    """What is said of a thing that is no mapping, with what would be one."""
    cure = ""
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        cure = "; read it first, by `torch.load(path, weights_only=True)` or `mindspore.load_checkpoint(path)`"
    elif hasattr(given, "parameters_dict"):
        cure = "; pass its `parameters_dict()`"
    elif hasattr(given, "state_dict"):
        cure = "; pass its `state_dict()`"
    return f"weights are a mapping of names to arrays, and this is a `{type(given).__name__}`{cure}"
