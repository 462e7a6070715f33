"""Momentum from scratch for PyTorch: a subclass of `torch.optim.Optimizer` with a `step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Momentum(torch.optim.Optimizer):
    """A running sum of gradients, of which each update goes a little downhill.

        gradient' = gradient + weight_decay * parameter
        velocity  = momentum * velocity + gradient'
        parameter = parameter - lr * velocity

    Each number is read from its group at each update, so that groups may differ and schedules change it.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # PyTorch's own stubs have two overloads
        """Update every parameter that has a gradient; return what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                velocity = state["velocity"].mul_(group["momentum"]).add_(gradient)
                parameter.sub_(velocity, alpha=group["lr"])
        return loss
