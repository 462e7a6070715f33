"""A plan as the Python face gives it: what can be shown, and bound to a model of the framework that it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from optplan.diagnostics import ConfigError, diagnostic
from optplan.resolve.plan import Plan as PlanData

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from optplan.compiled import Compiled
    from optplan.resolve.network import Network

__all__ = ["Plan", "no_target", "target_of"]


class Plan(PlanData):
    """A plan that can be shown and bound; see `optplan.resolve.plan` for what it holds.

    `again` makes the plan of a network that has grown by the same document and numbers.  It is no part of the plan: a
    copy, a pickle and one read from JSON do not have it, and it takes no part in comparison.
    """

    again: ClassVar[Callable[[Network], Plan] | None] = None

    def bind(self, model: Any) -> Compiled:
        """The native objects of this plan for `model` as it is now, after checking names and shapes (`Compiled`).

        Rules with `freeze`, true or false, switch gradients here.  A plan can be bound as often as one likes: each
        time makes an optimizer, scheduler and scaler of their own, which share the parameters and nothing else; where
        rules of several plans disagree about a gradient, the one bound last decides.

        ConfigError where the model is not the one that the plan was made for, in names, shapes or in gradients that
        have been switched since (OP502), where it has shards that the plan cannot be carried out on (OP507, OP508), or
        where it is no network (OP503).
        """
        if target_of(model) == "torch":
            from optplan.targets.torch.bind import bind  # noqa: PLC0415 - torch is there once there is a torch model

            return bind(self, model)
        if target_of(model) == "mindspore":
            from optplan.targets.mindspore.bind import bind as bind_cell  # noqa: PLC0415 - as above

            return bind_cell(self, model)
        raise no_target(model)

    def plot(self, *keys: str, steps: int | None = None, log: bool = False) -> Figure:
        """The curves of `keys`, by default `lr` and all that is scheduled, as a figure of matplotlib.

        `steps` says how many updates to draw where the plan has no horizon.  KeyError for a key that no group has as a
        number, ConfigError where matplotlib is missing (OP604) or a curve has no end (OP407).
        """
        from optplan.report import curves, pictures  # noqa: PLC0415 - only when it is drawn

        missing = curves.unknown_key(self, keys)
        if missing is not None:
            raise KeyError(missing.partition("\n")[0].removeprefix("error: "))
        drawn = keys or curves.usual_keys(self)
        return pictures.picture(curves.curves_of(self, drawn, curves.extent(self, drawn, steps)), log=log)

    def __repr__(self) -> str:
        from optplan.report.plans import plan_table  # noqa: PLC0415 - only when it is shown

        return plan_table(self)

    def _repr_html_(self) -> str:
        from optplan.report.plans import plan_html  # noqa: PLC0415 - only in a notebook

        return plan_html(self)


def target_of(model: object) -> str | None:
    """The framework that a model belongs to, read off its class without importing anything."""
    for cls in type(model).__mro__:
        room = cls.__module__.partition(".")[0]
        if room in {"torch", "mindspore"}:
            return room
    return None


def no_target(model: object) -> ConfigError:
    """The fault of a model that no target takes (OP503)."""
    if isinstance(model, type):
        message, cure = f"`{model.__name__}` is a class, and no network", f"build one: `{model.__name__}(...)`"
    else:
        message, cure = f"a `{type(model).__name__}` is no network", "pass a `torch.nn.Module` or a `mindspore.nn.Cell`"
    return ConfigError([diagnostic("OP503", message, help=cure)])
