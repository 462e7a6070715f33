"""The command line: `optplan VERB`, one short function for each verb.

Takes the arguments, gives the exit status: 0 fine, 1 findings, 2 wrong usage or a file that cannot be read.  Data goes
to standard output; diagnostics for people and summaries go to standard error.  Diagnostics are what `check` is asked
for, so their machine formats are its data.  Nothing that a user can do ends in a traceback.

Everything is imported where it is used: `check` starts no framework, and `--help` does not even read the catalog.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from optplan.arguments import USAGE, make_parser
from optplan.console import FINDINGS, FINE, colour, exit_status, rendered, say, tell, unwritten

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Plan as PlanData

# What 128 + SIGINT and 128 + SIGPIPE are in a shell.
INTERRUPTED, BROKEN_PIPE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command in `argv` (by default the process's), and give its exit status."""
    if argv is None:
        # a process that lives for a moment has no garbage worth looking for, at its end neither; a fifth of its time
        # otherwise
        gc.disable()
        atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            arguments = make_parser(_VERBS).parse_args(argv)
            status = _registered(arguments)
            if status == FINE:
                status = arguments.action(arguments)
        except SystemExit as done:  # argparse, after --help or a usage error
            status = done.code if isinstance(done.code, int) else USAGE
        sys.stdout.flush()
    except BrokenPipeError:
        # nobody reads any more; the interpreter shall not complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except OSError as fault:
        # a full disk behind `>`, say: what could not be written is not to be flushed at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"optplan: the output cannot be written: {fault.strerror or fault}\n")
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


# The verbs


def _check(arguments: argparse.Namespace) -> int:
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module
    from optplan.report.diagnostics import summary  # noqa: PLC0415 - as above

    found: dict[Diagnostic, None] = {}
    try:
        network = _network(arguments)
    except ConfigError as fault:
        found = dict.fromkeys(fault.diagnostics)
    else:
        for file in arguments.files:
            _, told = _made(file, network, arguments)
            # without a horizon `check` only notes what it could not see, with a network too
            notes = {_place(each): each for each in told if each.code == "OP408"}
            found.update(
                dict.fromkeys(notes.get(_place(each), each) if each.code == "OP407" else each for each in told)
            )
    diagnostics, form = tuple(found), arguments.format
    text = rendered(diagnostics, form)
    if text:
        say(text, sys.stderr if form == "text" else sys.stdout)
    if form == "text":
        count = len(arguments.files)
        lead = "\n" if text else ""
        checked = "1 file checked" if count == 1 else f"{count} files checked"
        say(f"{lead}{checked}: {summary(diagnostics) or 'no faults'}", sys.stderr)
    return exit_status(diagnostics)


def _plan(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.file, arguments)
    if isinstance(plan, int):
        return plan
    if arguments.format == "json":
        say(plan.to_json(indent=2))
    else:
        from optplan.report.plans import plan_table  # noqa: PLC0415 - see the head of the module

        say(plan_table(plan, most=None, colour=colour(sys.stdout)))
    return FINE


def _explain(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.file, arguments)
    if isinstance(plan, int):
        return plan
    from optplan.catalog import catalog  # noqa: PLC0415 - see the head of the module
    from optplan.report.explain import explain, unknown_parameter  # noqa: PLC0415 - as above

    missing = {name: told for name in arguments.parameter if (told := unknown_parameter(plan, name)) is not None}
    known = dict.fromkeys(name for name in arguments.parameter if name not in missing)
    if known:
        say("\n\n".join(explain(plan, name, catalog(), colour=colour(sys.stdout)) for name in known))
    for told in missing.values():
        say(told, sys.stderr)
    return FINDINGS if missing else FINE


def _diff(arguments: argparse.Namespace) -> int:
    from optplan.report.differences import compare, difference_text  # noqa: PLC0415 - see the head of the module

    plans = []
    for file in (arguments.a, arguments.b):
        plan = _planned(file, arguments)
        if isinstance(plan, int):
            return USAGE  # as `diff` has it: 1 is a difference
        plans.append(plan)
    found = compare(*plans)
    if arguments.format == "json":
        import json  # noqa: PLC0415 - see the head of the module

        say(json.dumps(found.to_data(), indent=2, ensure_ascii=False))
    elif found.same:
        say("the plans do the same", sys.stderr)
    else:
        say(difference_text(found, *plans, colour=colour(sys.stdout)))
    return FINE if found.same else FINDINGS


def _plot(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.file, arguments)
    if isinstance(plan, int):
        return plan
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module
    from optplan.report import curves  # noqa: PLC0415 - as above

    keys = list(dict.fromkeys(arguments.keys)) or curves.usual_keys(plan)
    missing = curves.unknown_key(plan, keys) if keys else "error: the plan has no group: there is nothing to draw"
    if missing is not None:
        say(missing, sys.stderr)
        return FINDINGS
    try:
        end = curves.extent(plan, keys, arguments.steps)
        if arguments.output is not None:
            return _drawn(plan, keys, end, arguments)
    except ConfigError as fault:
        return tell(fault.diagnostics, arguments.format)
    from optplan.report.charts import HEIGHT, chart, room  # noqa: PLC0415 - as above

    width, plain = room(sys.stdout)
    say(
        chart(
            curves.curves_of(plan, keys, end, arguments.points or curves.MOST),
            width=arguments.width or width,
            height=arguments.height or HEIGHT,
            log=arguments.log,
            colour=colour(sys.stdout),
            plain=plain,
        )
    )
    return FINE


def _drawn(plan: PlanData, keys: list[str], end: int, arguments: argparse.Namespace) -> int:
    from optplan.report.files import write_drawing  # noqa: PLC0415 - see the head of the module
    from optplan.report.notation import counted  # noqa: PLC0415 - as above

    try:
        write_drawing(arguments.output, plan, keys, end, most=arguments.points, log=arguments.log)
    except OSError as fault:
        return unwritten(arguments.output, fault)
    what = f"{', '.join(keys)} of {counted(len(plan.groups), 'group')}, {counted(end, 'update')}"
    say(f"{arguments.output}: {what}", sys.stderr)
    return FINE


def _params(arguments: argparse.Namespace) -> int:
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module

    try:
        network = _network(arguments)
    except ConfigError as fault:
        return tell(fault.diagnostics, "text")
    if network is None:
        arguments.usage("a network is needed: --network or --params")
    if arguments.output is None:
        sys.stdout.write(network.to_json())
        return FINE
    try:
        network.write(arguments.output)
    except OSError as fault:
        return unwritten(arguments.output, fault)
    say(f"{arguments.output}: {network!r}", sys.stderr)
    return FINE


def _convert(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.config, arguments)
    if isinstance(plan, int):
        return plan
    from optplan import convert  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - as above

    try:
        saved = convert.read(arguments.state, plan, updates=arguments.updates)
        fitted, found = convert.fit(saved, plan, on_load=arguments.on_load, strict=arguments.strict)
        beside = convert.overruled(saved, arguments.updates) + convert.left_out(arguments.output, fitted)
        status = tell((*found.diagnostics, *beside), arguments.format)
        convert.write(arguments.output, fitted, plan, _network(arguments))
    except ConfigError as fault:
        return tell(fault.diagnostics, arguments.format)
    except OSError as fault:
        return unwritten(arguments.output, fault)
    count = sum(1 for fields in fitted.state.values() if fields)
    what = "1 parameter" if count == 1 else f"{count} parameters"
    say(f"{arguments.output}: the state of {what} at update {fitted.updates}", sys.stderr)
    return status


def _help(arguments: argparse.Namespace) -> int:
    from optplan.catalog import catalog  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import suggestion  # noqa: PLC0415 - as above
    from optplan.report.spelling import near  # noqa: PLC0415 - as above
    from optplan.report.topics import known_topics, topic_text, topics_text  # noqa: PLC0415 - as above

    _take_in_all()
    if arguments.topic is None:
        say(topics_text(catalog(), _VERBS))
        return FINE
    text = topic_text(arguments.topic, catalog())
    verb = arguments.topic.strip().lower()
    if verb in _VERBS:
        with suppress(SystemExit):  # argparse, once it has shown it
            make_parser(_VERBS).parse_args([verb, "--help"])
        text = None if text is None else f"\n{text}"
    elif text is None:
        close = near(arguments.topic, [*known_topics(catalog()), *_VERBS])
        cure = suggestion(arguments.topic, close, "`optplan help` lists the topics")
        say(f"error: there is no topic `{arguments.topic}`\n   = help: {cure}", sys.stderr)
        return USAGE
    if text is not None:
        say(text)
    return FINE


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    import json  # noqa: PLC0415 - see the head of the module

    from optplan.catalog import catalog, schema_text  # noqa: PLC0415 - as above

    _take_in_all()
    text = schema_text()
    if catalog().document == json.loads(text):
        sys.stdout.write(text)
    else:
        say(json.dumps(catalog().document, indent=2, ensure_ascii=False))
    return FINE


# What they share


def _registered(arguments: argparse.Namespace) -> int:
    """Import what `--import` names; the exit status."""
    if not getattr(arguments, "imports", None):
        return FINE
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module
    from optplan.registry.registration import import_registering  # noqa: PLC0415 - as above

    try:
        import_registering(arguments.imports)
    except ConfigError as fault:
        return tell(fault.diagnostics, getattr(arguments, "format", "text"))
    return FINE


def _take_in_all() -> None:
    """Register what installed packages offer, and tell what cannot be used."""
    from optplan.diagnostics import Collector  # noqa: PLC0415 - see the head of the module
    from optplan.registry.registration import take_in_all  # noqa: PLC0415 - as above

    found = Collector()
    take_in_all(found)
    tell(found.diagnostics, "text")


def _planned(file: str, arguments: argparse.Namespace) -> PlanData | int:
    """The plan of a document, or the one that a file holds as JSON; where there is none, the exit status."""
    from optplan.binding import Plan  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - as above
    from optplan.readers.files import read_plan  # noqa: PLC0415 - as above

    try:
        plan: PlanData | None = read_plan(file, Plan)
        if plan is None:
            if arguments.network is None and arguments.params is None:
                arguments.usage(f"`{file}` is a document, which needs a network: --network or --params")
            plan, told = _made(file, _network(arguments), arguments)
        else:
            told = plan.diagnostics
    except ConfigError as fault:
        plan, told = None, fault.diagnostics
    # what `check` only notes is an error here
    status = tell((each for each in told if each.code != "OP408"), arguments.format)
    return status if plan is None else plan


def _made(file: str, network: Any, arguments: argparse.Namespace) -> tuple[PlanData | None, tuple[Diagnostic, ...]]:
    """The plan of a document for a network and all that is to be said; of the document alone without a network."""
    from optplan import api  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import Collector, ConfigError  # noqa: PLC0415 - as above

    collector = Collector()
    parts = ("steps", "epochs", "steps_per_epoch", "samples_per_step", "tokens_per_step")
    horizon = {key: getattr(arguments, key) for key in parts}
    let = dict(arguments.let)
    config = api.read(file, collector, overrides=arguments.set, let=let, **horizon)
    if network is None or config is None or collector.failed:
        return None, collector.diagnostics
    try:
        plan = api.planned(config, network, (), let, **horizon)
        told = plan.diagnostics
    except ConfigError as fault:
        plan, told = None, fault.diagnostics
    # what was not to be seen without a network is seen now, if there is a plan; if not, a fault may have kept a rule
    # from what is not used
    less = "OP116" if plan is None else "OP408"
    seen = (each for each in collector.diagnostics if each.code != less)
    return plan, tuple(dict.fromkeys((*seen, *told)))


def _network(arguments: argparse.Namespace) -> Any:
    """The network that the arguments name, made once; None if they name none."""
    from optplan import api  # noqa: PLC0415 - see the head of the module

    if arguments.made is None:
        if arguments.params is not None:
            arguments.made = api.network(arguments.params)
        elif arguments.network is not None:
            from optplan.targets.spec import build  # noqa: PLC0415 - as above

            arguments.made = api.network(build(arguments.network, arguments.network_args))
    return arguments.made


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, int, int]:
    return (
        diagnostic.source,
        diagnostic.line,
        diagnostic.column,
        diagnostic.end_line,
        diagnostic.end_column,
    )


_VERBS = {
    "check": _check,
    "plan": _plan,
    "explain": _explain,
    "diff": _diff,
    "plot": _plot,
    "params": _params,
    "convert": _convert,
    "help": _help,
    "schema": _schema,
}
