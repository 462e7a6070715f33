"""One training step under PyTorch: from a loss to an update.

    backward of loss * scale / accumulate
    and when an update is due:
    gradients / scale -> their norm -> clipped -> checked -> optimizer -> scale -> schedule -> gradients cleared

Each piece is also to be had by itself, see `Compiled`.
"""

from __future__ import annotations

from contextlib import suppress
from inspect import Parameter, signature
from logging import getLogger
from operator import index
from typing import TYPE_CHECKING, Any

from torch import Tensor

from optplan.step import StepResult
from optplan.targets.torch.clipping import clip_, total_norm
from optplan.targets.torch.notice import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn
    from torch.optim import Optimizer

    from optplan.resolve.plan import Plan
    from optplan.targets.torch.scaler import PlanScaler
    from optplan.targets.torch.schedule import PlanScheduler

_BACKWARD = "`compiled.step` makes the backward pass itself: leave out `loss.backward()`, and give it each loss once"
_CLEARS = "`compiled.step` clears gradients itself: leave out `zero_grad()`"
_UNSCALES = (
    "`compiled.step` unscales and clips itself, once an update is due: leave out `compiled.clip_gradients()` and "
    "`scaler.unscale_(optimizer)`, and after an update of your own call `scaler.update()`"
)


class Step:
    """The step of one compiled plan; `parameters` are those trained, in the network's order.

    `pieces` says that each process has pieces of the gradients only, and no way to the norm of the whole.
    `gathered` counts the batches whose gradients wait for an update.  `notice` looks at a first update that is not made
    here.
    """

    def __init__(
        self,
        plan: Plan,
        optimizer: Optimizer,
        scheduler: PlanScheduler | None,
        scaler: PlanScaler | None,
        parameters: Sequence[nn.Parameter],
        *,
        pieces: bool = False,
    ) -> None:
        self._pieces = pieces
        self._optimizer, self._scheduler, self._scaler = optimizer, scheduler, scaler
        self._parameters = parameters
        self._clip, self._accumulate = plan.clip, plan.accumulate
        self._evaluates = needs_closure(type(optimizer))
        self.gathered = 0
        self.notice: Notice | None = Notice(plan, optimizer, scaler, parameters)
        # Whether there were gradients after the last batch, and how often the scheduler had been stepped by then
        self._held = False
        self._steps: int | None = None

    def __call__(
        self, loss: Any, accumulate: int | None = None, update: bool | None = None, norm: bool = True
    ) -> StepResult:
        """See `Compiled.step`."""
        if self.notice is not None:
            self.notice.close()
            self.notice = None
        count = self._accumulate if accumulate is None else _count(accumulate)
        if self._evaluates:
            if count != 1 or update is False:
                name = type(self._optimizer).__name__
                raise ValueError(
                    f"`{name}` evaluates the loss anew: let the function that gives it go over all batches"
                )
            return self._evaluate(loss, norm)
        if callable(loss) and not isinstance(loss, Tensor):
            loss = loss()
        check_loss(loss)
        if self.gathered and self._held and not self._any():
            gathered = f"the gradients of {self.gathered} batch{'es' if self.gathered > 1 else ''} before this one"
            self._abandon()
            raise RuntimeError(f"{gathered} are gone: {_CLEARS}")
        if self._scaler is not None and self._scaler.unscaled(self._optimizer):
            self._abandon()
            raise RuntimeError(
                f"the gradients before this batch have been unscaled, and its own would not be: {_UNSCALES}"
            )
        scale = 1.0
        scaled = loss / count if count > 1 else loss
        if self._scaler is not None:
            scaled = self._scaler.scale(scaled)
            scale = self._scaler.get_scale()
        try:
            _backward(scaled)
            self.gathered += 1
            if not (self.gathered >= count if update is None else update):
                self._held = self._any()
                return StepResult(_bare(loss), None, scale, updated=False, skipped=False)
            self._check_reached()
            length = self._clipped(norm and not self._pieces)
            updated = self._update()
        except BaseException:
            self._abandon()
            raise
        return StepResult(_bare(loss), length, scale, updated=updated, skipped=not updated)

    def __getstate__(self) -> dict[str, Any]:
        # A copy, or what is read from a pickle, has parameters without gradients: it begins a new window
        return {**self.__dict__, "gathered": 0, "_held": False}

    def clip(self) -> Tensor:
        """Clip the gradients as the plan says, unscaled first if they are not yet; their norm before."""
        if self.notice is not None:
            self.notice.clipped = True
        if self._scaler is not None:
            self._scaler.unscale_once(self._optimizer)
        norm = total_norm(self._parameters)
        if self._clip is not None:
            clip_(self._parameters, self._clip, norm)
        return norm

    def _clipped(self, norm: bool) -> Tensor | None:
        """As `clip`; the norm is left out where nobody asks for it."""
        if norm or (self._clip is not None and self._clip.kind == "norm"):
            return self.clip()
        if self._scaler is not None:
            self._scaler.unscale_once(self._optimizer)
        if self._clip is not None:
            clip_(self._parameters, self._clip, None)
        return None

    def _update(self) -> bool:
        """The update, and what follows it; whether it was made."""
        updated = True
        if self._scaler is None:
            self._optimizer.step()
        else:
            updated = self._scaler.step_if_finite(self._optimizer)
            self._scaler.update()
        if updated:
            self._advance()
        self._optimizer.zero_grad()
        self.gathered, self._held = 0, False
        return updated

    def _advance(self) -> None:
        """Go on in the schedule; say so where somebody else does, too."""
        scheduler = self._scheduler
        if scheduler is None:
            return
        if self._steps is not None and scheduler.steps != self._steps and not scheduler.told:
            scheduler.told = True
            words = "the schedule runs ahead of the updates: `compiled.step` steps it itself, leave out %s"
            getLogger("optplan").warning(words, "`scheduler.step()`")
        scheduler.step()
        self._steps = scheduler.steps

    def _any(self) -> bool:
        """Whether any parameter has a gradient."""
        return any(parameter.grad is not None for parameter in self._parameters)

    def _check_reached(self) -> None:
        """ValueError where no parameter has a gradient; a process that has pieces only may have none of them."""
        if not self._pieces and not self._any():
            raise ValueError(
                "no parameter of the plan has a gradient from this loss; give the loss of the model that the plan is "
                "bound to, and bind it after the model is copied, compiled or replaced"
            )

    def _abandon(self) -> None:
        """Begin anew: gradients of half a backward pass, or unscaled ones, would spoil the next update in silence."""
        self._optimizer.zero_grad()
        self.gathered, self._held = 0, False
        if self._scaler is not None:
            self._scaler.abandon()

    def _evaluate(self, loss_of: Callable[[], Tensor], norm: bool) -> StepResult:
        """An update by an optimizer that evaluates the loss as often as it needs; what is told is of the first time."""
        if not callable(loss_of) or isinstance(loss_of, Tensor):
            name = type(self._optimizer).__name__
            raise TypeError(f"`{name}` evaluates the loss anew: give a function without arguments that returns it")
        found: list[tuple[Tensor, Tensor | None]] = []

        def closure() -> Any:
            self._optimizer.zero_grad()
            loss = loss_of()
            check_loss(loss)
            _backward(loss)
            self._check_reached()
            found.append((_bare(loss), self._clipped(norm and not found)))
            return loss.detach()

        self._optimizer.step(closure)
        self._advance()
        self._optimizer.zero_grad()
        loss, length = found[0]
        return StepResult(loss, length, 1.0, updated=True, skipped=False)


def _count(accumulate: Any) -> int:
    """A whole number of any kind as an `int`; ValueError for anything else."""
    if not isinstance(accumulate, bool):
        with suppress(TypeError):
            if (count := index(accumulate)) >= 1:
                return count
    raise ValueError(f"`accumulate` counts the batches of an update, from 1, and is {accumulate!r}")


def _backward(loss: Tensor) -> None:
    """The backward pass; what torch says of one made twice is not the cure here."""
    try:
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    except RuntimeError as error:
        if "backward through the graph a second time" in str(error):
            error.add_note(_BACKWARD)
        raise


def _bare(loss: Tensor) -> Tensor:
    """The loss as a scalar without a graph."""
    bare = loss.detach()
    return bare.reshape(()) if bare.ndim else bare


def needs_closure(cls: type[Optimizer]) -> bool:
    """Whether an optimizer evaluates the loss itself: `step` cannot be called without a closure."""
    closure = signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty


def check_loss(loss: Any) -> None:
    """TypeError for anything but a tensor, ValueError for one without a gradient or of more than one number."""
    if not isinstance(loss, Tensor):
        number = isinstance(loss, (int, float))
        cure = "leave out `.item()` and `float()`" if number else "give its loss, as in `out.loss`"
        raise TypeError(f"a step begins with the loss as a tensor, and this is a `{type(loss).__name__}`; {cure}")
    if loss.numel() != 1:
        raise ValueError(f"the loss is one number, and this has shape {list(loss.shape)}; take its mean or its sum")
    if not loss.requires_grad:
        raise ValueError(
            "nothing that is trained has a part in this loss; compute it from what the network gives, outside of "
            "`torch.no_grad()` and without `.detach()` and `.item()` on the way"
        )
