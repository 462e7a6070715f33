"""Optimizers of a plan that others have taken the place of: whoever still uses one is told.

What a user's program has made with one, a `TrainOneStepCell` or a `Model`, trains on with state and groups of the past.
A call raises, and so does compiling one into a step.  A step that is compiled already cannot be kept from it: that it
has made updates is seen afterwards, and told by a warning to the logger `optplan`.
"""

from __future__ import annotations

from logging import getLogger
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

if TYPE_CHECKING:
    from mindspore import nn

__all__ = ["Retired"]

_CURE = "`compiled.optimizer` is the one that goes on: make anew what was made with the old one"


class Retired:
    """The optimizers that others have taken the place of, as long as anybody has them."""

    def __init__(self) -> None:
        self._all: list[tuple[ref[nn.Optimizer], int]] = []

    def add(self, optimizer: nn.Optimizer) -> None:
        """Have `optimizer` say so, from now on, to whoever calls it."""
        kind = type(optimizer)
        over = {"__call__": _called, "construct": _compiled, "__module__": kind.__module__, "__doc__": kind.__doc__}
        object.__setattr__(optimizer, "__class__", type(kind.__name__, (kind,), over))
        self._all.append((ref(optimizer), _count(optimizer)))

    def look(self) -> None:
        """Tell of those that have made updates since, each once."""
        left = []
        for held, count in self._all:
            optimizer = held()
            if optimizer is None:
                continue
            made = _count(optimizer) - count
            if made == 0:
                left.append((held, count))
            else:
                words = "an optimizer that another has taken the place of has made %d updates since: %s"
                getLogger("optplan").warning(words, made, _CURE)
        self._all = left


def _count(optimizer: nn.Optimizer) -> int:
    return int(optimizer.global_step.asnumpy()[0])


def _called(self: nn.Optimizer, *_: Any, **__: Any) -> NoReturn:  # noqa: ARG001 - what calls it
    raise RuntimeError(f"another optimizer has taken the place of this one: {_CURE}")


def _compiled(self: nn.Optimizer, gradients: Any) -> Any:  # noqa: ARG001 - what compiles it
    raise RuntimeError("another optimizer has taken the place of this one: make anew what was made with it")
