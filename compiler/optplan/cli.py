"""The command line: `optplan VERB`, one short function for each verb.

Takes the arguments, gives the exit status: 0 fine, 1 findings, 2 wrong usage or a file that cannot be read.  Data goes
to standard output; diagnostics for people and summaries go to standard error.  The diagnostics are what `check` is asked for, so
their machine formats are its data.  Nothing that a user can do ends in a traceback.

Everything is imported where it is used: `check` starts no framework, and `--help` does not even read the catalog.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TextIO

    from optplan.api import Plan
    from optplan.diagnostics import Diagnostic

    Action = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it

FINE, FINDINGS, USAGE = 0, 1, 2
# What 128 + SIGINT and 128 + SIGPIPE are in a shell.
INTERRUPTED, BROKEN_PIPE = 130, 141
_UNREADABLE = frozenset({"OP001", "OP601", "OP602"})
_FORMATS = ("text", "concise", "json", "github", "sarif")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command in `argv` (by default the process's), and give its exit status."""
    if argv is None:
        # a process that lives for a moment has no garbage worth looking for; a sixth of its time otherwise
        gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            arguments = _parser().parse_args(argv)
            status: int = arguments.action(arguments)
        except SystemExit as done:  # argparse, after --help or a usage error
            status = done.code if isinstance(done.code, int) else USAGE
        sys.stdout.flush()
    except BrokenPipeError:
        # nobody reads any more; the interpreter shall not complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


# The verbs


def _check(arguments: argparse.Namespace) -> int:
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module
    from optplan.report.diagnostics import render, summary  # noqa: PLC0415 - as above

    found: dict[Diagnostic, None] = {}
    try:
        network = _network(arguments)
    except ConfigError as fault:
        found = dict.fromkeys(fault.diagnostics)
    else:
        for file in arguments.files:
            _, told = _made(file, network, arguments)
            found.update(dict.fromkeys(told))
    diagnostics, form = tuple(found), arguments.format
    text = render(diagnostics, form, colour=form == "text" and _colour(sys.stderr))
    if text:
        print(text, file=sys.stderr if form == "text" else sys.stdout)
    if form == "text":
        count = len(arguments.files)
        lead = "\n" if text else ""
        checked = "1 file checked" if count == 1 else f"{count} files checked"
        print(f"{lead}{checked}: {summary(diagnostics) or 'no faults'}", file=sys.stderr)
    return _status(diagnostics)


def _plan(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.file, arguments)
    if isinstance(plan, int):
        return plan
    if arguments.format == "json":
        print(plan.to_json(indent=2))
    else:
        from optplan.report.plans import plan_table  # noqa: PLC0415 - see the head of the module

        print(plan_table(plan, most=None, colour=_colour(sys.stdout)))
    return FINE


def _explain(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments.file, arguments)
    if isinstance(plan, int):
        return plan
    from optplan.catalog import catalog  # noqa: PLC0415 - see the head of the module
    from optplan.report.explain import explain, unknown_parameter  # noqa: PLC0415 - as above

    missing = unknown_parameter(plan, arguments.parameter)
    if missing is not None:
        print(missing, file=sys.stderr)
        return FINDINGS
    print(explain(plan, arguments.parameter, catalog(), colour=_colour(sys.stdout)))
    return FINE


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

        print(json.dumps(found.to_data(), indent=2, ensure_ascii=False))
    elif found.same:
        print("the plans do the same", file=sys.stderr)
    else:
        print(difference_text(found, *plans, colour=_colour(sys.stdout)))
    return FINE if found.same else FINDINGS


def _params(arguments: argparse.Namespace) -> int:
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - see the head of the module

    try:
        network = _network(arguments)
    except ConfigError as fault:
        return _told(fault.diagnostics, "text")
    if network is None:
        arguments.usage("a network is needed: --network or --params")
    if arguments.output is None:
        sys.stdout.write(network.to_json())
        return FINE
    try:
        network.write(arguments.output)
    except OSError as fault:
        print(f"error: `{arguments.output}` cannot be written: {fault.strerror or fault}", file=sys.stderr)
        return USAGE
    print(f"{arguments.output}: {network!r}", file=sys.stderr)
    return FINE


def _help(arguments: argparse.Namespace) -> int:
    from optplan.catalog import catalog  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import suggestion  # noqa: PLC0415 - as above
    from optplan.report.topics import known_topics, topic_text, topics_text  # noqa: PLC0415 - as above

    if arguments.topic is None:
        print(topics_text(catalog()))
        return FINE
    text = topic_text(arguments.topic, catalog())
    if text is None:
        cure = suggestion(arguments.topic, known_topics(catalog()), "`optplan help` lists the topics")
        print(f"error: there is no topic `{arguments.topic}`\n   = help: {cure}", file=sys.stderr)
        return USAGE
    print(text)
    return FINE


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from optplan.catalog import schema_text  # noqa: PLC0415 - see the head of the module

    sys.stdout.write(schema_text())
    return FINE


# What they share


def _planned(file: str, arguments: argparse.Namespace) -> Plan | int:
    """The plan of a document, or the one that a file holds as JSON; where there is none, the exit status."""
    from optplan import api  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import ConfigError  # noqa: PLC0415 - as above
    from optplan.readers.files import read_plan  # noqa: PLC0415 - as above

    try:
        plan: Plan | None = read_plan(file, api.Plan)
        if plan is None:
            if arguments.network is None and arguments.params is None:
                arguments.usage(f"`{file}` is a document, which needs a network: --network or --params")
            plan, told = _made(file, _network(arguments), arguments)
        else:
            told = plan.diagnostics
    except ConfigError as fault:
        plan, told = None, fault.diagnostics
    status = _told(told, arguments.format)
    return status if plan is None else plan


def _made(file: str, network: Any, arguments: argparse.Namespace) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """The plan of a document for a network, and all that is to be said; of the document alone where `network` is None."""
    from optplan import api  # noqa: PLC0415 - see the head of the module
    from optplan.diagnostics import Collector, ConfigError  # noqa: PLC0415 - as above

    collector = Collector()
    horizon = {key: getattr(arguments, key) for key in ("steps", "epochs", "steps_per_epoch")}
    let = dict(arguments.let)
    config = api.read(file, collector, overrides=arguments.set, let=let, **horizon)
    if network is None or config is None or collector.failed:
        return None, collector.diagnostics
    try:
        plan = api.plan(config, network, let=let, **horizon)
        told = plan.diagnostics
    except ConfigError as fault:
        plan, told = None, fault.diagnostics
    # what was not to be seen without a network is seen now
    seen = (each for each in collector.diagnostics if each.code != "OP408")
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


def _told(diagnostics: Iterable[Diagnostic], form: str) -> int:
    """Show diagnostics beside data, and give the exit status that they ask for."""
    from optplan.report.diagnostics import render  # noqa: PLC0415 - see the head of the module

    diagnostics = tuple(diagnostics)
    if diagnostics:
        print(render(diagnostics, form, colour=_colour(sys.stderr)), file=sys.stderr)  # type: ignore[arg-type]  # argparse allows no other
    return _status(diagnostics)


def _status(diagnostics: Iterable[Diagnostic]) -> int:
    errors = {each.code for each in diagnostics if each.severity == "error"}
    return USAGE if errors & _UNREADABLE else FINDINGS if errors else FINE


def _colour(stream: TextIO) -> bool:
    """Whether to write colours there: to a terminal that has some, unless NO_COLOR says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# The arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors look like the other errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="optplan",
        description="Optimizers as a declarative file: check it, and see what each parameter of a network gets.",
        epilog="Exit status: 0 fine, 1 findings, 2 wrong usage or a file that cannot be read.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)

    check = _verb(verbs, "check", _check, "find the faults of documents, with a network or without one")
    check.description = (
        "All that can be said of documents without a network; with --network or --params, with it. "
        "Text goes to standard error; json, sarif, github and concise go to standard output."
    )
    check.add_argument("files", metavar="FILE", nargs="+", help="a document (*.optim.yaml)")
    _document_options(check)
    check.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")

    plan = _verb(verbs, "plan", _plan, "show the groups of parameters, and what each gets")
    plan.add_argument("file", metavar="FILE", help="a document, or a plan as JSON")
    _document_options(plan)
    _data_format(plan, "the plan")

    explain = _verb(verbs, "explain", _explain, "tell why a parameter has its values, rule by rule")
    explain.add_argument("file", metavar="FILE", help="a document, or a plan as JSON")
    explain.add_argument("parameter", metavar="PARAMETER", help="its name, as `encoder.layers.0.mlp.weight`")
    _document_options(explain)
    explain.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")

    diff = _verb(verbs, "diff", _diff, "show the parameters that two plans treat differently")
    diff.epilog = "Exit status: 0 same, 1 different, 2 wrong usage or a faulty file."
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a document, or a plan as JSON")
    _document_options(diff)
    _data_format(diff, "the differences")

    params = _verb(verbs, "params", _params, "write the manifest of a network, which stands for it elsewhere")
    _network_options(params)
    params.add_argument("-o", "--output", metavar="FILE", help="the manifest (*.params.json); standard output without")

    topics = _verb(verbs, "help", _help, "explain a code, a key, an optimizer, a policy, a predicate or a class")
    topics.add_argument("topic", metavar="TOPIC", nargs="?", help="as OP203, optimizer.adamw.betas, torch.optim.SGD")

    _verb(verbs, "schema", _schema, "print the JSON Schema of documents, for editors")
    return parser


def _verb(verbs: Action, name: str, action: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
    parser.set_defaults(action=action, usage=parser.error, made=None)
    return parser


def _network_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--network", metavar="SPEC", help="package.module:callable, which returns the network")
    source.add_argument("--params", metavar="FILE", help="a manifest, or a checkpoint of which the header is read")
    parser.add_argument("--network-args", metavar="JSON", type=_keywords, help="keyword arguments of that callable")


def _document_options(parser: argparse.ArgumentParser) -> None:
    _network_options(parser)
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one value: optimizer.lr=3e-4, rules.head.lr=0.5x",
    )
    parser.add_argument(
        "--let", metavar="NAME=NUMBER", action="append", default=[], type=_named, help="a number of `let`"
    )
    parser.add_argument("--steps", metavar="N", type=_count, help="updates in the run")
    parser.add_argument("--epochs", metavar="N", type=_amount, help="epochs in the run")
    parser.add_argument("--steps-per-epoch", metavar="N", type=_count, help="updates in an epoch")


def _data_format(parser: argparse.ArgumentParser, data: str) -> None:
    about = f"json writes {data} as JSON; every format is also that of the diagnostics"
    parser.add_argument("--format", choices=_FORMATS, default="text", help=about)


class _Version(argparse.Action):
    """`--version`, read from the package when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from optplan import __version__  # noqa: PLC0415 - see the head of the module

        print(f"optplan {__version__}")
        parser.exit()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, not {text!r}")
    return int(text)


def _amount(text: str) -> int | float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {text!r}")
    return value


def _named(text: str) -> tuple[str, int | float]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER")
    return name.strip(), _number(value)


def _number(text: str) -> int | float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not float("-inf") < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text) if text.strip().lstrip("+-").isdigit() else value


def _keywords(text: str) -> dict[str, Any]:
    import json  # noqa: PLC0415 - see the head of the module

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("an object is needed, as '{\"depth\": 2}'")
    return value
