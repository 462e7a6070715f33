"""Clip and loss scale of a document as data: each number evaluated, and held against its range.

They are of the whole plan, so their expressions know the numbers of `let` and nothing of a parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optplan.expression import Constant
from optplan.resolve.plan import Origin
from optplan.resolve.training import Clip, LossScale
from optplan.resolve.value import EvaluationError, Scope, evaluate, misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.catalog import Catalog, Forms, Plain
    from optplan.config import Config
    from optplan.diagnostics import Collector
    from optplan.expression import Form


class Training(NamedTuple):
    """What of a plan is no matter of one group; None where the document says `none`, or where a fault was reported."""

    clip: Clip | None
    loss_scale: LossScale | None


def resolve_training(
    config: Config, catalog: Catalog, let: Mapping[str, int | float], collector: Collector
) -> Training:
    """The clip and the loss scale of `config` with the numbers of `let`; what is out of its range is reported."""
    clip = loss_scale = None
    if config.clip is not None:
        values = _values(config.clip, catalog.forms["clip"], let, collector)
        if values is not None:
            clip = Clip(values["kind"], values["limit"], _origin("clip", config.clip))
    if config.loss_scale is not None:
        values = _values(config.loss_scale, catalog.forms["loss_scale"], let, collector)
        if values is not None:
            values["init"] = values.pop("scale", None) or values.get("init")
            loss_scale = LossScale(**values, origin=_origin("loss_scale", config.loss_scale))
    return Training(clip, loss_scale)


def _values(form: Form, forms: Forms, let: Mapping[str, int | float], collector: Collector) -> dict[str, Any] | None:
    """The arguments of `form`, those left out by their defaults, and its name as `kind`."""
    known = forms.types[form.name]
    values: dict[str, Plain] = {"kind": form.name}
    values |= {name: setting.default for name, setting in known.arguments.items()}
    sound = True
    for argument in form.arguments:
        setting, node = known.arguments[argument.name or known.positional or ""], argument.value
        try:
            value = node.value if isinstance(node, Constant) else evaluate(node, Scope(let))
        except EvaluationError as fault:
            collector.error(fault.code, fault.message, fault.node.span or form.span, help=fault.help)
            sound = False
            continue
        wrong = misfit(setting, node, value)
        if wrong is not None:
            collector.error("OP305", wrong[0], wrong[1].span or form.span, help=f"write {setting.expects}")
            sound = False
            continue
        values[setting.name] = setting.cast(value)
    return values if sound else None


def _origin(key: str, form: Form) -> Origin:
    return Origin.at(key, form.span, str(form))
