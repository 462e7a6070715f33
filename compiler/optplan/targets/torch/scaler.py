"""The loss scale of a plan as a `torch.amp.GradScaler`.

    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)          # where something looks at the gradients before the update
    scaler.step(optimizer)
    if scheduler is not None and not scaler.skipped:
        scheduler.step()
    scaler.update()

A dynamic scale takes GradScaler's steps with the plan's numbers.  A fixed one stays, and may apply an update with an
infinity or a nan in it as it is.  Whatever takes a GradScaler takes this one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.amp.grad_scaler import GradScaler, OptState

from optplan.targets.torch.clipping import by_kind

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from optplan.resolve.training import LossScale
    from optplan.state.saved import SavedScaler


class PlanScaler(GradScaler):
    """A GradScaler by the numbers of a plan's `loss_scale`, for parameters on a type of device (`cuda`, `cpu`).

    Beside what every GradScaler does: a fixed scale is no other after `update()`; `skipped` tells what the last `step`
    did; gradients that are partly sharded, or sharded in several ways, are unscaled together; a step in which no
    parameter has a gradient checks and changes nothing.
    """

    def __init__(self, scale: LossScale, device: str) -> None:
        super().__init__(
            device,
            init_scale=scale.init,
            growth_factor=scale.growth,
            backoff_factor=scale.backoff,
            growth_interval=scale.every,
        )
        self._rule = scale
        # Whether the last update was dropped, or what to ask, where only the device knows
        self._dropped: bool | tuple[Tensor, ...] = False
        # The scale, where the device need not be asked, and how many updates it stays so if none is dropped
        self._known: float | None = None
        self._stays = 0

    @property
    def rule(self) -> LossScale:
        """The plan's `loss_scale`, by which this goes."""
        return self._rule

    @property
    def used(self) -> bool:
        """Whether it has scaled anything yet."""
        return self._scale is not None

    @property
    def skipped(self) -> bool:
        """Whether the last `step` dropped the update; waits for the device where a fused optimizer decided it there."""
        if not isinstance(self._dropped, bool):
            self._dropped = any(found.item() for found in self._dropped)
        return self._dropped

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> float | None:
        """As `GradScaler.step`: unscales unless that is done, and updates unless that is to be dropped."""
        if self.is_enabled() and not (self._drops and getattr(optimizer, "_step_supports_amp_scaling", False)):
            return self._step(optimizer, *args, **kwargs)
        result = super().step(optimizer, *args, **kwargs)
        self._dropped = tuple(self._found(optimizer).values()) if self.is_enabled() else False
        return result

    def unscale_once(self, optimizer: Optimizer) -> None:
        """As `unscale_`, and nothing where that is done, or where nothing has been scaled yet."""
        if self._scale is not None and self._per_optimizer_states[id(optimizer)]["stage"] is OptState.READY:
            self.unscale_(optimizer)

    def unscaled(self, optimizer: Optimizer) -> bool:
        """Whether gradients have been unscaled since the last `update()`: those that are added now never would be."""
        states = self._per_optimizer_states if self.is_enabled() else {}
        return id(optimizer) in states and states[id(optimizer)]["stage"] is not OptState.READY

    def step_if_finite(self, optimizer: Optimizer) -> bool:
        """As `step`, decided before the optimizer is called, so that a dropped update makes no state either.

        Whether the update was made.  A fused optimizer decides by itself in `step`, without the host waiting for it.
        """
        self._step(optimizer)
        return not self.skipped

    def _step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> float | None:
        if "closure" in kwargs:
            raise RuntimeError("a loss scale cannot be used with a closure")
        self._check_scale_growth_tracker("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update()")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        self._dropped = self._drops and any(found.item() for found in self._found(optimizer).values())
        result = None if self._dropped else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return cast("float | None", result)

    def abandon(self) -> None:
        """Forget what has been unscaled and not updated: the iteration ends without an update."""
        if self.is_enabled():
            self._per_optimizer_states.clear()

    @property
    def _drops(self) -> bool:
        return self._rule.kind == "dynamic" or self._rule.drop_overflow

    def _found(self, optimizer: Optimizer) -> dict[torch.device, Tensor]:
        """By device, a number above 0 where a gradient has an infinity or a nan; empty where there is no gradient."""
        return cast("dict[torch.device, Tensor]", self._found_inf_per_device(optimizer))

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """As `GradScaler.update`, once all steps of an iteration are made; a fixed scale stays, unless one is given."""
        states = tuple(self._per_optimizer_states.values()) if self.is_enabled() else ()
        unchecked = not any(state["found_inf_per_device"] for state in states)
        if states and new_scale is None and (unchecked or self._rule.kind == "fixed"):
            self._per_optimizer_states.clear()
            return
        made = len(states) == 1 and states[0]["stage"] is OptState.STEPPED and self._dropped is False
        self._stays -= 1
        if new_scale is not None or not made or self._stays <= 0:
            self._known = None
        super().update(new_scale)

    def get_scale(self) -> float:
        """The scale; waits for the device only where it may have changed since it was asked."""
        if not self.is_enabled():
            return super().get_scale()
        if self._known is None:
            self._known = super().get_scale()
            self._stays = self._growth_interval - self._get_growth_tracker()
        return self._known

    def set_growth_interval(self, new_interval: int) -> None:
        """As `GradScaler.set_growth_interval`."""
        self._known = None
        super().set_growth_interval(new_interval)

    def _unscale_grads_(
        self, optimizer: Optimizer, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool
    ) -> dict[torch.device, Tensor]:
        # One call of torch's takes one kind of tensor, and asks the other processes about the layout of its first.
        kinds = by_kind(parameter for group in optimizer.param_groups for parameter in group["params"])
        if len(kinds) <= 1:
            return super()._unscale_grads_(optimizer, inv_scale, found_inf, allow_fp16)
        merged: dict[torch.device, Tensor] = {}
        for parameters in kinds:
            part = cast("Optimizer", SimpleNamespace(param_groups=[{"params": parameters}]))
            for device, found in super()._unscale_grads_(part, inv_scale, found_inf, allow_fp16).items():
                merged[device] = torch.maximum(merged[device], found) if device in merged else found
        return merged

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the scale and the count of updates that were saved; the rest, and a fixed scale, is the plan's."""
        own = self._rule
        if own.kind == "fixed":
            state_dict = {**state_dict, "scale": own.init} if state_dict else state_dict
        super().load_state_dict(state_dict)
        self._known = None
        if self.is_enabled():
            self._growth_factor, self._backoff_factor, self._growth_interval = own.growth, own.backoff, own.every

    @property
    def now(self) -> tuple[float, int]:
        """The scale, and how many updates in a row have been made with it."""
        return self.get_scale(), self._get_growth_tracker()

    def go_on(self, saved: SavedScaler | None) -> None:
        """Go on from a saved scale, as `load_state_dict` does; None for the scale that the plan begins with."""
        if not self.is_enabled():
            return
        scale, good = (self._rule.init, 0) if saved is None else (saved.scale, saved.good)
        numbers = {"growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor}
        self.load_state_dict(
            {"scale": scale, "_growth_tracker": good, "growth_interval": self._growth_interval, **numbers}
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_dropped": self.skipped, "_known": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._rule})"
