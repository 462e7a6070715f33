"""What lies between a loss and an update: how gradients are clipped and how the loss is scaled, as data.

Both are of the plan as a whole: clipping looks at all gradients of all its optimizers together, after the loss scale
has been taken out of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from optplan.resolve.plan import Origin

# The largest number of float32, in which both frameworks keep a scale.
LARGEST = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Clip:
    """A limit of gradients.

    `norm`   all gradients g are multiplied by min(1, limit / (|g| + 1e-6)), with |g| the 2-norm over all of them, as
             `torch.nn.utils.clip_grad_norm_` does
    `value`  each element is brought into -limit .. limit
    """

    kind: Literal["norm", "value"]
    limit: float
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind}({self.limit!r})"


@dataclass(frozen=True, slots=True)
class LossScale:
    """A factor of the loss, which is taken out of the gradients before anything looks at them.

    `fixed`    always `init`; an update with an infinity or a nan in a gradient is dropped, or made as it is where
               `drop_overflow` is false
    `dynamic`  from `init` on: times `backoff` after an update with an infinity or a nan in a gradient, which is
               dropped; times `growth` after `every` updates in a row without

    Source of `dynamic`: `torch.amp.GradScaler`.
    """

    kind: Literal["fixed", "dynamic"]
    init: float
    drop_overflow: bool = True
    growth: float = 2.0
    backoff: float = 0.5
    every: int = 2000
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def drops(self) -> bool:
        """Whether an update with an infinity or a nan in a gradient is dropped."""
        return self.kind == "dynamic" or self.drop_overflow

    def __str__(self) -> str:
        init, growth, backoff = (repr(each).removesuffix(".0") for each in (self.init, self.growth, self.backoff))
        if self.kind == "fixed":
            return f"fixed({init}, drop_overflow={str(self.drop_overflow).lower()})"
        return f"dynamic(init={init}, growth={growth}, backoff={backoff}, every={self.every})"
