"""Momentum from scratch for MindSpore: a subclass of `nn.Optimizer` with a `construct`."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops


class Momentum(nn.Optimizer):
    """A running sum of gradients, of which each update goes a little downhill.

        gradient' = gradient + weight_decay * parameter
        velocity  = momentum * velocity + gradient'
        parameter = parameter - learning_rate * velocity

    The base class knows the rate of the update, which may be a schedule, and the weight decay of each parameter.
    """

    def __init__(
        self, params: Any, learning_rate: Any = 0.01, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(learning_rate, params, weight_decay)
        self.momentum = momentum
        self.velocity = self.parameters.clone(prefix="velocity", init="zeros")

    def construct(self, gradients: tuple[Tensor, ...]) -> bool:
        """Update the parameters with their `gradients`, in the order of `self.parameters`."""
        gradients = self.decay_weight(gradients)
        rate = self.get_lr()
        # counted by each optimizer for itself: schedules go by it
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        for place in range(len(self.parameters)):
            velocity = self.momentum * self.velocity[place] + gradients[place]
            ops.assign(self.velocity[place], velocity)
            ops.assign(self.parameters[place], self.parameters[place] - rate * velocity)
        return True
