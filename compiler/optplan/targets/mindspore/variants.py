"""MindSpore's own optimizers whose constructor is not `Class(parameters, learning_rate, ...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindspore import nn

if TYPE_CHECKING:
    from mindspore import Parameter

    from optplan.targets.mindspore.table import Number


class LARS(nn.LARS):
    """`nn.LARS` around an `nn.Momentum` of the same parameters, all of which have a rate of their own.

    Arguments are those of the two, less `lars_filter`, whose place the rules of a document take.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number,
        momentum: float,
        weight_decay: float = 0.0,
        use_nesterov: bool = False,
        epsilon: float = 1e-5,
        coefficient: float = 1e-3,
        use_clip: bool = False,
        loss_scale: float = 1.0,
    ) -> None:
        inner = nn.Momentum(params, learning_rate, momentum, weight_decay, loss_scale, use_nesterov)
        super().__init__(inner, epsilon, coefficient, use_clip, _every)

    def get_lr(self) -> Any:
        """The rate that the momentum uses; what this class keeps under that name itself is 0."""
        return self.opt.get_lr()

    def get_lr_parameter(self, param: Parameter | list[Parameter]) -> Any:
        """What gives the rate of a parameter, or of each in a list."""
        return self.opt.get_lr_parameter(param)


def _every(parameter: Parameter) -> bool:  # noqa: ARG001 - the form that `nn.LARS` calls
    return True
