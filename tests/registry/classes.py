"""Optimizers of PyTorch as people write them, and policies."""

from __future__ import annotations

from math import exp, sin
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


class Heavy(torch.optim.Optimizer):
    """Momentum with a list, a switch, a whole number and an option of PyTorch's beside it."""

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        betas: tuple[float, float, float] = (0.9, 0.99, 0.999),
        weight_decay: float = 0,
        depth: int = 2,
        *,
        lazy: bool = False,
        foreach: bool | None = None,
    ) -> None:
        numbers = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "depth": depth, "lazy": lazy}
        super().__init__(params, {**numbers, "foreach": foreach})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # without the overloads
        """V <- betas[2] v + g, p <- p - lr v."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    velocity = state.setdefault("velocity", torch.zeros_like(parameter))
                    velocity.mul_(group["betas"][2]).add_(parameter.grad)
                    parameter.sub_(velocity, alpha=group["lr"])
        return loss


class Strict(Heavy):
    """Its constructor asks for what others have a default for, and looks at it."""

    def __init__(self, params: Any, lr: float, power: float) -> None:
        if power <= 0:
            raise ValueError(power)
        super().__init__(params, lr)
        for group in self.param_groups:
            group.setdefault("power", power)


class Vague(Heavy):
    """Nothing can be read off its signature."""

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, **settings)


class Wordy(Heavy):
    """One of its arguments is a word."""

    def __init__(self, params: Any, lr: float = 0.1, mode: str = "fast") -> None:
        super().__init__(params, lr)
        self.mode = mode


def falling(s: float, duration: float | None, rate: float, power: int = 1) -> float:
    """exp(-rate s ** power)."""
    del duration
    return exp(-rate * s**power)


def wave(s: float, duration: float, height: float = 0.5) -> float:
    """1 + height sin(s / duration)."""
    return 1 + height * sin(s / duration)


def below_zero(s: float, duration: float) -> float:
    """1 at first, below 0 from the middle on."""
    return 1 - 2 * s / duration


def failing(s: float, duration: float) -> float:
    """No value at 3."""
    return duration / abs(s - 3)
