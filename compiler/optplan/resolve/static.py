"""What can be said of a document without a network.

Numbers that need no parameter are evaluated and held against their ranges, policies are counted out against the file's
horizon as far as it is known, and settings are held against the optimizers that could take them.  The rest waits for
the cascade.
"""

from __future__ import annotations

from numbers import Integral, Real
from sys import float_info
from typing import TYPE_CHECKING

from optplan.catalog import ELSEWHERE
from optplan.diagnostics import Collector, suggestion
from optplan.expression import Constant, Listing
from optplan.resolve.forms import resolve_training
from optplan.resolve.horizon import resolve_horizon
from optplan.resolve.schedule import Resolver
from optplan.resolve.structure import asked
from optplan.resolve.value import ATTRIBUTES, EvaluationError, Scope, evaluate, evaluate_let, misfit, reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.catalog import Catalog, OptimizerType
    from optplan.config import Assignment, Config, Optimizer, Option, Rule, Scheduled
    from optplan.expression import Value
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.plan import Setting

_LATER = ATTRIBUTES | {"shape", "layers", "base"}


def evaluate_names(
    config: Config, given: Mapping[str, int | float] | None, collector: Collector
) -> dict[str, int | float]:
    """The numbers of `let`, the caller's first; a name that the file does not have is reported (OP302)."""
    numbers: dict[str, int | float] = {}
    for name, value in (given or {}).items():
        if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) <= float_info.max:
            collector.error("OP104", f"`{name}` of `let` must be a finite number")
        else:
            # One of another library, numpy's say, becomes Python's own.
            numbers[name] = int(value) if isinstance(value, Integral) else float(value)
        if name not in config.let:
            cure = suggestion(name, config.let, "the file's `let` gives each name a number first")
            collector.error("OP302", f"the file has no `let` named `{name}`", help=cure)
    return evaluate_let(config.let, numbers, collector)


def check_static(config: Config, catalog: Catalog, collector: Collector) -> None:
    """Report what is wrong whatever the network; a missing horizon is a note."""
    let = evaluate_names(config, None, collector)
    if collector.failed:
        return
    horizon = resolve_horizon(config.horizon, collector)
    faulty = collector.failed
    for optimizer in config.all_optimizers():
        _check_optimizer(optimizer, catalog.optimizers[optimizer.type], let, collector)
    types = list(dict.fromkeys(optimizer.type for optimizer in config.all_optimizers()))
    kinds = [catalog.optimizers[name] for name in types]
    for rule in config.rules:
        _check_rule(rule, kinds, catalog, let, collector)
    _check_options(config.options, kinds, catalog, collector)
    resolve_training(config, catalog, let, collector)
    found = Collector()
    _check_schedules(config, kinds, catalog, horizon, let, found)
    for each in found.diagnostics:
        # Of a horizon that is reported, that it is missing too would be a second message for one fault.
        if not (faulty and each.code == "OP408"):
            collector.add(each)


def _check_optimizer(
    optimizer: Optimizer, kind: OptimizerType, let: Mapping[str, int | float], collector: Collector
) -> None:
    """Evaluate an optimizer's own settings, and hold them against their ranges and each other."""
    values: dict[str, Setting] = {}
    whole = True
    for assignment in optimizer.settings:
        value = _checked(assignment, [kind], let, collector)
        if isinstance(value, _Unknown):
            whole = False
        elif assignment.index is None:
            values[assignment.key] = value
    if whole and not collector.failed:
        for key, message in kind.check_together(values):
            spans = [each.key_span or each.span for each in optimizer.settings if each.key == key]
            collector.error("OP305", message, spans[-1] if spans else optimizer.span)


class _Unknown:
    """What needs a parameter to be known."""


_UNKNOWN = _Unknown()


def _checked(
    assignment: Assignment, kinds: list[OptimizerType], let: Mapping[str, int | float], collector: Collector
) -> Setting | _Unknown:
    """The value of an assignment as far as it is known; out of every optimizer's range is reported."""
    settings = [setting for kind in kinds if (setting := kind.setting(assignment.name)) is not None]
    if not settings:
        return _UNKNOWN
    try:
        value = _value(assignment.value, let)
    except EvaluationError as fault:
        collector.error(fault.code, fault.message, fault.node.span or assignment.span, help=fault.help)
        return _UNKNOWN
    if isinstance(value, _Unknown):
        return value
    wrong = [misfit(setting, assignment.value, value) for setting in settings]
    if None not in wrong:
        message, node = next(each for each in wrong if each is not None)
        collector.error("OP305", message, node.span or assignment.value.span)
        return _UNKNOWN
    return settings[wrong.index(None)].cast(value)


def _value(node: Value, let: Mapping[str, int | float]) -> Setting | _Unknown:
    match node:
        case Constant(value):
            return value
        case Listing(items):
            values = [_value(item, let) for item in items]
            known = [value for value in values if not isinstance(value, _Unknown)]
            return tuple(known) if len(known) == len(values) else _UNKNOWN
    return _UNKNOWN if reads(node) & _LATER else evaluate(node, Scope(let))


def _check_rule(
    rule: Rule, kinds: list[OptimizerType], catalog: Catalog, let: Mapping[str, int | float], collector: Collector
) -> None:
    """Report settings that no optimizer of the file has, and values that none could take."""
    for assignment in rule.settings:
        if not any(kind.setting(assignment.name) for kind in kinds):
            _no_optimizer("OP113", assignment.name, kinds, catalog, assignment, collector)
            continue
        _checked(assignment, kinds, let, collector)
    _check_options(rule.options, kinds, catalog, collector)


def _check_options(
    options: tuple[Option, ...], kinds: list[OptimizerType], catalog: Catalog, collector: Collector
) -> None:
    """Report options that no optimizer of the file has."""
    for option in options:
        if not any(option.name in kind.options(option.target) for kind in kinds):
            names = " and ".join(f"`{kind.name}`" for kind in kinds)
            having = catalog.optimizers_with_option(option.target, option.name)
            cure = f"these have: {', '.join(f'`{name}`' for name in having)}" if having else None
            collector.error("OP115", f"{names} {_has(kinds)} no option `{option.name}`", option.span, help=cure)


def _check_schedules(
    config: Config,
    kinds: list[OptimizerType],
    catalog: Catalog,
    horizon: Horizon,
    let: Mapping[str, int | float],
    collector: Collector,
) -> None:
    resolver = Resolver(horizon, Scope(let), collector, strict=False)
    before = {}
    for scheduled in config.schedule:
        if _schedulable(scheduled, kinds, catalog, collector) and _numeric(scheduled, config, catalog, collector):
            before[scheduled.name] = resolver.resolve(scheduled.policy)
    for rule in config.rules:
        for scheduled in rule.schedule:
            fine = _schedulable(scheduled, kinds, catalog, collector)
            if fine and _numeric(scheduled, config, catalog, collector) and not asked(scheduled.policy):
                resolver.resolve(scheduled.policy, before.get(scheduled.name))


def _schedulable(scheduled: Scheduled, kinds: list[OptimizerType], catalog: Catalog, collector: Collector) -> bool:
    """Whether some optimizer of the file has the key, as a number that may change between updates."""
    having = [kind for kind in kinds if kind.setting(scheduled.name) is not None]
    if not having:
        _no_optimizer("OP406", scheduled.name, kinds, catalog, scheduled, collector)
        return False
    if not any(scheduled.name in kind.scheduled for kind in having):
        setting = having[0].setting(scheduled.name)
        elements = [f"`{item.name}`" for item in setting.items] if setting is not None else []
        collector.error(
            "OP406",
            f"`{scheduled.name}` of `{having[0].name}` cannot have a policy",
            scheduled.key_span or scheduled.span,
            help=f"schedule one element: {' or '.join(elements)}"
            if elements
            else "only numbers can change as training goes on",
        )
        return False
    return True


def _numeric(scheduled: Scheduled, config: Config, catalog: Catalog, collector: Collector) -> bool:
    """Whether some optimizer or rule of the file gives the key a number, which a policy begins with."""
    having = [each for each in config.all_optimizers() if scheduled.name in catalog.optimizers[each.type].scheduled]
    given = [_own(each, scheduled, catalog.optimizers[each.type]) for each in having]
    given += [each.value for rule in config.rules for each in rule.settings if each.key == scheduled.key]
    if any(value is not None for value in given if not isinstance(value, Constant)):
        return True
    names = " and ".join(dict.fromkeys(f"`{each.type}`" for each in having))
    message = f"`{scheduled.name}` of {names} is null, and a policy needs a number to begin with"
    cure = f"give it one: `{scheduled.name}: ...`"
    collector.error("OP406", message, scheduled.key_span or scheduled.span, help=cure)
    return False


def _own(optimizer: Optimizer, scheduled: Scheduled, kind: OptimizerType) -> Value | Setting:
    """What `optimizer` gives the key of a policy; a default of its type where it says nothing."""
    value: Value | Setting = kind.defaults[scheduled.key]
    if scheduled.index is not None and isinstance(value, tuple):
        value = value[scheduled.index]
    for each in optimizer.settings:
        if each.key == scheduled.key and each.index in (None, scheduled.index):
            value = each.value
            if isinstance(value, Listing) and scheduled.index is not None and scheduled.index < len(value.items):
                value = value.items[scheduled.index]
    return value


def _no_optimizer(
    code: str,
    name: str,
    kinds: list[OptimizerType],
    catalog: Catalog,
    place: Assignment | Scheduled,
    collector: Collector,
) -> None:
    """Report a key that none of the file's optimizers has."""
    names = " and ".join(f"`{kind.name}`" for kind in kinds)
    known = [key for kind in kinds for key in kind.keys()]  # noqa: SIM118 - a method, this is no mapping
    others = catalog.optimizers_with(name)
    cure = suggestion(name, known, f"{', '.join(f'`{other}`' for other in others)} would have it" if others else None)
    if ELSEWHERE.get(name) in known:
        cure = f"did you mean `{ELSEWHERE[name]}`?"
    collector.error(code, f"{names} {_has(kinds)} no `{name}`", place.key_span or place.span, help=cure)


def _has(kinds: list[OptimizerType]) -> str:
    return "has" if len(kinds) == 1 else "have"
