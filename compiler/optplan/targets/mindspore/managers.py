"""Loss scale managers for `mindspore.train.Model`, where what it builds from them does what the plan asks.

`Model(network, loss_fn, optimizer, loss_scale_manager=...)` makes its own training network:

    `FixedLossScaleManager(drop_overflow_update=False)`    a `TrainOneStepCell` with the scale as its `sens`; anywhere
    any other                                              a `TrainOneStepWithLossScaleCell`; not on CPU

Neither clips or accumulates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import amp

from optplan.diagnostics import ConfigError
from optplan.targets.choose import refused_at

if TYPE_CHECKING:
    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Origin, Plan

__all__ = ["make_manager"]

_INSTEAD = "`Model(compiled.train_step(network, loss_fn).cell)` does all of it, on every device"


def make_manager(plan: Plan) -> amp.LossScaleManager | None:
    """The manager for the plan's loss scale; None without one.

    ConfigError (OP501) with each thing that a training network of `Model` would not do.
    """
    scale = plan.loss_scale
    found = []
    if plan.clip is not None:
        found.append(
            _refusal("`Model` does not clip gradients in the training network that it builds", plan.clip.origin)
        )
    if plan.accumulate > 1:
        found.append(_refusal("`Model` does not accumulate gradients in the training network that it builds", None))
    if scale is not None:
        device = _device()
        if device == "CPU" and scale.kind == "dynamic":
            what = "`Model` takes no `DynamicLossScaleManager` on CPU"
            found.append(_refusal(what, scale.origin, "or write `fixed(1024, drop_overflow=false)`"))
        elif device == "CPU" and scale.drop_overflow:
            what = "`Model` takes no `FixedLossScaleManager` that drops updates on CPU"
            found.append(_refusal(what, scale.origin, "or write `drop_overflow=false`"))
        if scale.kind == "dynamic" and scale.backoff != 1 / scale.growth:
            what = f"a `DynamicLossScaleManager` goes back by 1 / growth, and `backoff` is {scale.backoff:g}"
            found.append(_refusal(what, scale.origin, f"or write `backoff={1 / scale.growth:g}`"))
        if scale.init < 1:
            what = f"a loss scale manager does not go below 1, and the scale is {scale.init:g}"
            found.append(_refusal(what, scale.origin))
    if found:
        raise ConfigError(found)
    if scale is None:
        return None
    if scale.kind == "fixed":
        return amp.FixedLossScaleManager(scale.init, scale.drop_overflow)
    return amp.DynamicLossScaleManager(scale.init, scale.growth, scale.every)


def _device() -> str:
    found: str = ms.get_context("device_target")
    return found


def _refusal(message: str, at: Origin | None, cure: str | None = None) -> Diagnostic:
    return refused_at(at, message, _INSTEAD if cure is None else f"{_INSTEAD}; {cure}")
