"""Updates counted, whoever makes them, for what has no count of its own: neither a scheduler nor state with a `step`.

An update with rates of 0, by which `torch.distributed.checkpoint` has state made, is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

__all__ = ["Count", "is_rehearsal"]


def is_rehearsal(optimizer: Optimizer) -> bool:
    """Whether the update just made can have moved nothing, by rates of 0 that no device need be asked for.

    `torch.distributed.checkpoint` has state made by an update without a rate, of gradients that it sets to 0.
    """
    for group in optimizer.param_groups:
        rate = group.get("lr")
        if rate is not None and (rate.device.type != "cpu" or bool(rate) if isinstance(rate, torch.Tensor) else rate):
            return False
    return True


class Count:
    """How many updates have been `made`; it knows no optimizer, which would then outlive its last use."""

    def __init__(self) -> None:
        self.made = 0
        self._handle: RemovableHandle | None = None

    def follow(self, optimizer: Optimizer) -> None:
        """Count the updates of this optimizer from here on, and of no other."""
        self.leave()
        self._handle = optimizer.register_step_post_hook(self._one_more)

    def leave(self) -> None:
        """Count no updates; not to be called by a hook."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch._disable_dynamo  # type: ignore[attr-defined]  # noqa: SLF001 - as in `PlanScheduler`
    def _one_more(self, optimizer: Optimizer, *_: Any) -> None:
        self.made += not is_rehearsal(optimizer)

    def __getstate__(self) -> dict[str, Any]:
        # Copies of an optimizer have no hooks
        return {"made": self.made, "_handle": None}
