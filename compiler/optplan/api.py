"""The Python face: composition of the stages, no logic of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from os.path import exists
from typing import TYPE_CHECKING, Any

from optplan.catalog import catalog
from optplan.config import Config, Horizon
from optplan.diagnostics import Collector, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optplan.binding import Plan
    from optplan.compiled import Compiled
    from optplan.diagnostics import Diagnostic
    from optplan.resolve.network import Network
    from optplan.source import Source

Document = str | PathLike[str] | Mapping[Any, Any]
"""A path, or a mapping (an OmegaConf node too)."""


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

    `let` and the parts of `horizon` are those of `plan`: the document is checked under them.
    """
    from optplan.frontend.document import from_mapping  # noqa: PLC0415 - plans read from JSON need no front end

    if isinstance(source, str) and ("\n" in source or "\r" in source) and not exists(source):  # noqa: PTH110 - `Path.exists` raises for a long text
        cure = "a text is read by `optplan.loads(text)`"
        collector.error("OP001", "a text with line breaks is no path of a file", help=cure)
        return None
    if isinstance(source, (str, PathLike)):
        return _read(fspath(source), collector, overrides, let, horizon)
    if not isinstance(source, Mapping):
        collector.error("OP103", f"a `{type(source).__name__}` is no document", help=_cure(source))
        return None
    try:
        return _read(from_mapping(source), collector, overrides, let, horizon)
    except ConfigError as fault:
        for each in fault.diagnostics:
            collector.add(each)
        return None


def _check_order(config: object) -> None:
    """Refuse a model in the document's place before the network is read: it is the order that is wrong."""
    from optplan.binding import target_of  # noqa: PLC0415 - `check` without a network needs none of it

    if target_of(config) is not None:
        from optplan.diagnostics import diagnostic  # noqa: PLC0415 - only for a fault

        kind = type(config).__name__
        raise ConfigError([diagnostic("OP103", f"a `{kind}` is no document", help=_cure(config))])


def _cure(source: object) -> str:
    """What to do where `source` was given for a document."""
    from optplan.binding import target_of  # noqa: PLC0415 - only for a fault

    if target_of(source) is not None:
        return "the document comes first: `plan(config, model)`"
    from optplan.resolve.plan import Plan as Made  # noqa: PLC0415 - as above

    if isinstance(source, Made):
        return "a plan is made already: bind it, by `plan.bind(model)`"
    return "it is loaded already" if isinstance(source, Config) else "pass a path, a mapping or a Config"


def _read(
    root: Source | str,
    collector: Collector,
    overrides: Iterable[str],
    let: Mapping[str, int | float] | None = None,
    horizon: Mapping[str, Any] | None = None,
) -> Config | None:
    from optplan.frontend.build import build  # noqa: PLC0415 - as above
    from optplan.frontend.compose import compose  # noqa: PLC0415 - as above
    from optplan.frontend.mentions import unknown_names  # noqa: PLC0415 - as above
    from optplan.frontend.unused import report_unused  # noqa: PLC0415 - as above
    from optplan.resolve.static import check_static  # noqa: PLC0415 - as above

    composed = compose(root, overrides, collector)
    if composed is None:
        return None
    unknown = unknown_names(composed.root, catalog())
    if unknown:
        from optplan.registry.registration import take_in  # noqa: PLC0415 - most documents name what is built in

        if not take_in(unknown, collector):
            return None
    config = build(composed, catalog(), collector)
    if config is not None:
        check_static(_under(config, let or {}, horizon or {}, collector), catalog(), collector)
        if not collector.failed:
            report_unused(composed, config, collector)
    return config


def _under(config: Config, let: Mapping[str, int | float], horizon: Mapping[str, Any], collector: Collector) -> Config:
    """The document as if it had the caller's numbers; a name that it does not have is reported (OP302)."""
    from optplan.expression import Number  # noqa: PLC0415 - as above
    from optplan.resolve.static import evaluate_names  # noqa: PLC0415 - as above

    given = {key: value for key, value in horizon.items() if value is not None}
    if "steps" in given:
        given.setdefault("epochs", None)
    known = evaluate_names(config, let, collector) if let else {}
    numbers = {name: Number(known[name]) for name in let if name in known and name in config.let}
    return replace(config, let={**config.let, **numbers}, horizon=replace(config.horizon, **given))


def network(source: Any) -> Network:
    """The neutral view of a live model, or of a file: a manifest (`*.params.json`) or a checkpoint's header."""
    from optplan.binding import no_target, target_of  # noqa: PLC0415 - `check` without a network needs none of it
    from optplan.resolve.network import Network  # noqa: PLC0415 - as above

    if isinstance(source, Network):
        return source
    if isinstance(source, (str, PathLike)):
        from optplan.readers.files import read_network  # noqa: PLC0415 - as above

        return read_network(fspath(source))
    if target_of(source) == "torch":
        from optplan.targets.torch.view import view  # noqa: PLC0415 - as above

        return view(source).network
    if target_of(source) == "mindspore":
        from optplan.targets.mindspore.view import view as view_cell  # noqa: PLC0415 - as above, with MindSpore

        return view_cell(source).network
    raise no_target(source)


def plan(
    config: Config | Document,
    network: Any,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    steps_per_epoch: int | None = None,
    samples_per_step: float | None = None,
    tokens_per_step: float | None = None,
    let: Mapping[str, int | float] | None = None,
    overrides: Iterable[str] = (),
) -> Plan:
    """What each parameter of `network` gets: data, to be looked at, compared, saved and bound.

    `config` is a Config, a path or a mapping; `network` a `torch.nn.Module`, a `mindspore.nn.Cell` or a Network.
    `steps`, `epochs`, ... replace the file's horizon key by key, `let` its named numbers.
    ConfigError with every fault; warnings are in `plan.diagnostics`, and logged.
    """
    _check_order(config)
    view = globals()["network"](network)
    given = {"steps": steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    given |= {"samples_per_step": samples_per_step, "tokens_per_step": tokens_per_step}
    made = planned(config, view, overrides, let, **given)
    _log(made)
    return made


def planned(
    config: Config | Document,
    view: Network,
    overrides: Iterable[str],
    let: Mapping[str, int | float] | None,
    **given: Any,
) -> Plan:
    """What `plan` does with a Network, without a word in the log."""
    from optplan.binding import Plan  # noqa: PLC0415 - `check` without a network needs none of it
    from optplan.resolve.groups import make_plan  # noqa: PLC0415 - as above
    from optplan.resolve.horizon import resolve_horizon  # noqa: PLC0415 - as above
    from optplan.resolve.static import evaluate_names  # noqa: PLC0415 - as above
    from optplan.targets.choose import check as check_target  # noqa: PLC0415 - as above

    collector = Collector()
    unused: list[Diagnostic] = []
    if not isinstance(config, Config):
        # What the caller says is looked at by itself, then the document under it.
        resolve_horizon(Horizon(), collector, **given)
        collector.check()
        found = Collector()
        read_config = read(config, found, overrides=overrides, let=let, **given)
        found.check()
        # all else that is no error a plan finds by itself
        unused = [each for each in found.diagnostics if each.code == "OP116"]
        if read_config is None:
            raise AssertionError(found.diagnostics)
        config = read_config
    elif any(each.type not in catalog().optimizers for each in config.all_optimizers()):
        from optplan.registry.mention import Mention  # noqa: PLC0415 - few documents are read elsewhere
        from optplan.registry.registration import require  # noqa: PLC0415 - as above

        require(Mention("optimizer", each.type, each.span) for each in config.all_optimizers())
    numbers = evaluate_names(config, let, collector)
    horizon = resolve_horizon(config.horizon, collector, **given)
    collector.check()
    made = make_plan(config, view, catalog(), horizon, numbers, collector, Plan)
    check_target(made, view, catalog(), collector)
    collector.check()
    for each in unused:
        collector.add(each)
    if unused:
        made = replace(made, diagnostics=collector.diagnostics)
    # Beside the plan, not in it: what `add_group` goes by
    made.__dict__["again"] = lambda grown: planned(config, grown, (), let, **given)
    return made


def compile(  # noqa: A001 - the verb of a compiler
    config: Config | Document,
    network: Any,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    steps_per_epoch: int | None = None,
    samples_per_step: float | None = None,
    tokens_per_step: float | None = None,
    let: Mapping[str, int | float] | None = None,
    overrides: Iterable[str] = (),
) -> Compiled:
    """`plan(config, network, ...).bind(network)`, with one look at the network."""
    from optplan.binding import no_target, target_of  # noqa: PLC0415 - as above

    _check_order(config)
    given = {"steps": steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    given |= {"samples_per_step": samples_per_step, "tokens_per_step": tokens_per_step}
    if target_of(network) == "torch":
        from optplan.targets.torch.bind import bind  # noqa: PLC0415 - torch is there once there is a torch model
        from optplan.targets.torch.view import view  # noqa: PLC0415 - as above

        seen = view(network)
        made = planned(config, seen.network, overrides, let, **given)
        _log(made)
        return bind(made, network, seen)
    if target_of(network) == "mindspore":
        from optplan.targets.mindspore.bind import bind as bind_cell  # noqa: PLC0415 - as above
        from optplan.targets.mindspore.view import view as view_cell  # noqa: PLC0415 - as above

        cells = view_cell(network)
        made = planned(config, cells.network, overrides, let, **given)
        _log(made)
        return bind_cell(made, network, cells)
    raise no_target(network)


def _log(made: Plan) -> None:
    """Say what a plan's warnings are, where whoever runs the program sees it: a typo must not pass in silence."""
    if made.diagnostics:
        from logging import getLogger  # noqa: PLC0415 - few plans have any

        for each in made.diagnostics:
            if each.severity == "warning":
                getLogger("optplan").warning("%s", each)


__all__ = ["Config", "compile", "load", "loads", "network", "plan", "read"]
