"""The Python face: composition of the stages, no logic of its own."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.config import Config
from optplan.diagnostics import Collector, ConfigError, Diagnostic, diagnostic
from optplan.resolve.plan import Plan as PlanData

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optplan.resolve.network import Network
    from optplan.source import Source

Document = str | PathLike[str] | Any
"""A path, or a mapping (an OmegaConf node too)."""


class Plan(PlanData):
    """A plan that can be shown and bound; see `optplan.resolve.plan` for what it holds."""

    def bind(self, model: Any) -> Any:
        """The native objects of this plan for `model` as it is now, after checking names and shapes (`Compiled`).

        Rules with `freeze` switch gradients here.  ConfigError (OP502, OP503) where the model is not the one that the
        plan was made for, or of another framework.
        """
        if _target(model) == "torch":
            from optplan.targets.torch.bind import bind  # noqa: PLC0415 - torch is there once there is a torch model

            return bind(self, model)
        raise _no_target(model)

    def __repr__(self) -> str:
        from optplan.report.plans import plan_table  # noqa: PLC0415 - only when it is shown

        return plan_table(self)

    def _repr_html_(self) -> str:
        from optplan.report.plans import plan_html  # noqa: PLC0415 - only in a notebook

        return plan_html(self)


def load(source: Document, *, overrides: Iterable[str] = ()) -> Config:
    """The document at a path, or given as a mapping, with everything that it extends; ConfigError with every fault.

    `overrides` change single values after that: `["optimizer.lr=3e-4", "rules.depth.lr=0.5x"]`.
    """
    collector = Collector()
    config = read(source, collector, overrides=overrides)
    collector.check()
    if config is None:
        raise AssertionError(collector.diagnostics)
    return config


def loads(text: str, *, name: str = "<string>", overrides: Iterable[str] = ()) -> Config:
    """The document in `text`; `name` stands for it in messages."""
    from optplan.source import Source  # noqa: PLC0415 - kept beside its use

    collector = Collector()
    config = _read(Source(name, text), collector, overrides)
    collector.check()
    if config is None:
        raise AssertionError(collector.diagnostics)
    return config


def read(
    source: Document,
    collector: Collector,
    *,
    overrides: Iterable[str] = (),
    let: Mapping[str, int | float] | None = None,
    **horizon: Any,
) -> Config | None:
    """What `load` does, with the faults left in `collector`: None where nothing could be made of the document.

    `let`, `steps`, `epochs` and `steps_per_epoch` are those of `plan`: the document is checked under them.
    """
    from optplan.frontend.document import from_mapping  # noqa: PLC0415 - plans read from JSON need no front end

    if isinstance(source, (str, PathLike)):
        return _read(fspath(source), collector, overrides, let, horizon)
    try:
        return _read(from_mapping(source), collector, overrides, let, horizon)
    except ConfigError as fault:
        for each in fault.diagnostics:
            collector.add(each)
        return None


def _read(
    root: Source | str,
    collector: Collector,
    overrides: Iterable[str],
    let: Mapping[str, int | float] | None = None,
    horizon: Mapping[str, Any] | None = None,
) -> Config | None:
    from optplan.frontend.build import build  # noqa: PLC0415 - as above
    from optplan.frontend.compose import compose  # noqa: PLC0415 - as above
    from optplan.resolve.static import check_static  # noqa: PLC0415 - as above

    composed = compose(root, list(overrides), collector)
    if composed is None:
        return None
    config = build(composed, catalog(), collector)
    if config is not None:
        check_static(_under(config, let or {}, horizon or {}, collector), catalog(), collector)
    return config


def _under(config: Config, let: Mapping[str, int | float], horizon: Mapping[str, Any], collector: Collector) -> Config:
    """The document as if it had the caller's numbers; a name that it does not have is reported (OP302)."""
    from optplan.expression import Number  # noqa: PLC0415 - as above
    from optplan.resolve.static import evaluate_names  # noqa: PLC0415 - as above

    given = {key: value for key, value in horizon.items() if value is not None}
    if "steps" in given:
        given.setdefault("epochs", None)
    if let:
        evaluate_names(config, let, collector)
    numbers = {name: Number(value) for name, value in let.items() if name in config.let}
    return replace(config, let={**config.let, **numbers}, horizon=replace(config.horizon, **given))


def network(source: Any) -> Network:
    """The neutral view of a live model, or of a file: a manifest (`*.params.json`) or a checkpoint's header."""
    from optplan.resolve.network import Network  # noqa: PLC0415 - as above

    if isinstance(source, Network):
        return source
    if isinstance(source, (str, PathLike)):
        from optplan.readers.files import read_network  # noqa: PLC0415 - as above

        return read_network(fspath(source))
    if _target(source) == "torch":
        from optplan.targets.torch.view import view  # noqa: PLC0415 - as above

        return view(source).network
    raise _no_target(source)


def plan(
    config: Config | Document,
    network: Any,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    steps_per_epoch: int | None = None,
    let: Mapping[str, int | float] | None = None,
    overrides: Iterable[str] = (),
) -> Plan:
    """What each parameter of `network` gets: data, to be looked at, compared, saved and bound.

    `config` is a Config, a path or a mapping; `network` a `torch.nn.Module`, a `mindspore.nn.Cell` or a Network.
    `steps`, `epochs` and `steps_per_epoch` replace the file's horizon key by key, `let` its named numbers.
    ConfigError with every fault; warnings are in `plan.diagnostics`.
    """
    view = globals()["network"](network)
    return _plan(config, view, overrides, let, steps=steps, epochs=epochs, steps_per_epoch=steps_per_epoch)


def _plan(
    config: Config | Document,
    view: Network,
    overrides: Iterable[str],
    let: Mapping[str, int | float] | None,
    **given: Any,
) -> Plan:
    from optplan.resolve.groups import make_plan  # noqa: PLC0415 - `check` without a network needs none of it
    from optplan.resolve.horizon import resolve_horizon  # noqa: PLC0415 - as above
    from optplan.resolve.static import evaluate_names  # noqa: PLC0415 - as above
    from optplan.targets.choose import check as check_target  # noqa: PLC0415 - as above

    collector = Collector()
    if not isinstance(config, Config):
        config = load(config, overrides=overrides)
    numbers = evaluate_names(config, let, collector)
    horizon = resolve_horizon(config.horizon, collector, **given)
    collector.check()
    made = make_plan(config, view, catalog(), horizon, numbers, collector, Plan)
    check_target(made, view, catalog(), collector)
    collector.check()
    return made


def compile(  # noqa: A001 - the verb of a compiler
    config: Config | Document,
    network: Any,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    steps_per_epoch: int | None = None,
    let: Mapping[str, int | float] | None = None,
    overrides: Iterable[str] = (),
) -> Any:
    """`plan(config, network, ...).bind(network)`, with one look at the network."""
    if _target(network) == "torch":
        from optplan.targets.torch.bind import bind  # noqa: PLC0415 - torch is there once there is a torch model
        from optplan.targets.torch.view import view  # noqa: PLC0415 - as above

        seen = view(network)
        given = {"steps": steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
        return bind(_plan(config, seen.network, overrides, let, **given), network, seen)
    raise _no_target(network)


def _target(model: object) -> str | None:
    """The framework that a model belongs to, read off its class without importing anything."""
    for cls in type(model).__mro__:
        room = cls.__module__.partition(".")[0]
        if room in {"torch", "mindspore"}:
            return room
    return None


def _no_target(model: object) -> ConfigError:
    kind = type(model).__name__
    target = _target(model)
    message = f"a `{kind}` is no network" if target is None else f"networks of {target} are not supported yet"
    return ConfigError([diagnostic("OP503", message, help="pass a `torch.nn.Module`")])


__all__ = ["Config", "ConfigError", "Diagnostic", "Plan", "compile", "load", "loads", "network", "plan", "read"]
