"""The arguments of `optplan`: verbs, options, and what their values may be.

Gives a parser whose result has an `action` for the verb.  A value that cannot be what it should be is a usage error
here, so the verbs see numbers as numbers.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Action = Callable[[argparse.Namespace], int]
    # Makes the parser of a verb from its name and what it does
    Verb = Callable[[str, str], argparse.ArgumentParser]

USAGE = 2
# How the options of a document are written, behind the verb and its own arguments.
_EXAMPLE = "{} ... --set optimizer.lr=3e-4 --set rules.head.lr=0.5x --let depth=12 --steps 10000"
_FORMATS = ("text", "concise", "json", "github", "sarif")


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors look like the other errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"error: {message}\n")


def make_parser(actions: Mapping[str, Action]) -> argparse.ArgumentParser:
    """The parser; `actions` has the function of each verb."""
    parser = _Parser(
        prog="optplan",
        description="Optimizers as a declarative file: check it, and see what each parameter of a network gets.",
        epilog="Exit status: 0 fine, 1 findings, 2 wrong usage or a file that cannot be read.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)

    def verb(name: str, about: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
        made.set_defaults(action=actions[name], usage=made.error, made=None)
        return made

    _document_verbs(verb)
    _other_verbs(verb)
    return parser


def _document_verbs(verb: Verb) -> None:
    """The verbs that begin with a document."""
    check = verb("check", "find the faults of documents, with a network or without one")
    check.description = (
        "All that can be said of documents without a network; with --network or --params, with it. "
        "Text goes to standard error; json, sarif, github and concise go to standard output."
    )
    check.add_argument("files", metavar="FILE", nargs="+", help="a document (*.optim.yaml)")
    _document_options(check)
    check.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")

    plan = verb("plan", "show the groups of parameters, and what each gets")
    plan.add_argument("file", metavar="FILE", help="a document, or a plan as JSON")
    _document_options(plan)
    _data_format(plan, "the plan")

    explain = verb("explain", "tell why a parameter has its values, rule by rule")
    explain.add_argument("file", metavar="FILE", help="a document, or a plan as JSON")
    explain.add_argument(
        "parameter", nargs="+", metavar="PARAMETER", help="its name, as `encoder.layers.0.mlp.weight`; one or several"
    )
    _document_options(explain)
    explain.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")

    diff = verb("diff", "show what two plans do differently with each parameter, and where their schedules part")
    diff.epilog = "Exit status: 0 same, 1 different, 2 wrong usage or a faulty file."
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a document, or a plan as JSON")
    _document_options(diff)
    _data_format(diff, "the differences")

    plot = verb("plot", "draw the curves of each group: in the terminal, as a picture, as a table")
    plot.add_argument("file", metavar="FILE", help="a document, or a plan as JSON")
    _document_options(plot)
    _drawing_options(plot)
    plot.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")


def _other_verbs(verb: Verb) -> None:
    """The verbs that begin with a network, a state or a word."""
    params = verb("params", "write the manifest of a network, which stands for it elsewhere")
    _network_options(params)
    params.add_argument("-o", "--output", metavar="FILE", help="the manifest (*.params.json); standard output without")

    convert = verb("convert", "carry saved state over, into what a document and a network ask for")
    convert.description = (
        "Saved state into what training by a document goes on from: parameters by name, in the form that the output's "
        "ending says. Differences are told on standard error."
    )
    convert.add_argument("state", metavar="STATE", help="saved state: .safetensors, or an optimizer's own .pt or .ckpt")
    about = "where to: .safetensors, .pt as PyTorch's optimizers load it, or .ckpt as MindSpore's do"
    convert.add_argument("-o", "--output", metavar="OUT", type=_state, required=True, help=about)
    about = "the document, or a plan as JSON, by which training goes on"
    convert.add_argument("--config", metavar="FILE", required=True, help=about)
    _document_options(convert)
    about = "which settings stand: those of FILE, or those that were saved"
    convert.add_argument("--on-load", choices=("config", "checkpoint"), default="config", help=about)
    about = "the update that STATE goes on with, counted from 0, where STATE does not say it"
    convert.add_argument("--updates", metavar="N", type=_count, default=0, help=about)
    about = "whether what is missing, extra, or of another shape or optimizer is an error; if not, it is only told"
    convert.add_argument("--strict", action=argparse.BooleanOptionalAction, default=True, help=about)
    convert.add_argument("--format", choices=_FORMATS, default="text", help="how diagnostics are written")

    topics = verb("help", "explain a verb, a code, a key, an optimizer, a policy, a predicate or a class")
    _import_option(topics)
    about = "as convert, OP203, optimizer.adamw.betas, torch.optim.SGD"
    topics.add_argument("topic", metavar="TOPIC", nargs="?", help=about)

    _import_option(verb("schema", "print the JSON Schema of documents, for editors"))


def _network_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--network", metavar="SPEC", help="package.module:callable, which returns the network")
    source.add_argument("--params", metavar="FILE", help="a manifest, or a checkpoint of which the header is read")
    parser.add_argument("--network-args", metavar="JSON", type=_keywords, help="keyword arguments of that callable")


def _import_option(parser: argparse.ArgumentParser) -> None:
    about = "a module to import first, which registers optimizers or policies; may be given more than once"
    parser.add_argument("--import", metavar="MODULE", dest="imports", action="append", default=[], help=about)


def _document_options(parser: argparse.ArgumentParser) -> None:
    _network_options(parser)
    _import_option(parser)
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one value: optimizer.lr=3e-4, rules.head.lr=0.5x",
    )
    parser.add_argument(
        "--let",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        type=_named,
        help="give a number of `let`: depth=12",
    )
    parser.epilog = f"{parser.epilog or ''} For example: {_EXAMPLE.format(parser.prog)}".lstrip()
    parser.add_argument("--steps", metavar="N", type=_count, help="updates in the run")
    parser.add_argument("--epochs", metavar="N", type=_amount, help="epochs in the run")
    parser.add_argument("--steps-per-epoch", metavar="N", type=_count, help="updates in an epoch")
    parser.add_argument("--samples-per-step", metavar="N", type=_amount, help="samples that an update sees")
    parser.add_argument("--tokens-per-step", metavar="N", type=_amount, help="tokens that an update sees")


def _drawing_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=_drawing,
        help="curves.png, curves.svg, or curves.csv with the exact numbers; a chart in the terminal without",
    )
    about = "what to draw: lr, betas[0], ...; may be given more than once; lr and all that is scheduled without"
    parser.add_argument("--key", metavar="KEY", dest="keys", action="append", default=[], help=about)
    parser.add_argument("--log", action="store_true", help="a logarithmic scale")
    about = "look at no more than so many updates, evenly spread; without, a table has them all"
    parser.add_argument("--points", metavar="N", type=_count, help=about)
    parser.add_argument("--width", metavar="N", type=_count, help="of the chart in the terminal, in characters")
    parser.add_argument("--height", metavar="N", type=_count, help="of each panel of that chart, in lines")


def _data_format(parser: argparse.ArgumentParser, data: str) -> None:
    about = f"json writes {data} as JSON; every format is also that of the diagnostics"
    parser.add_argument("--format", choices=_FORMATS, default="text", help=about)


class _Version(argparse.Action):
    """`--version`, read from the package when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from optplan import __version__  # noqa: PLC0415 - only where it is asked for

        sys.stdout.write(f"optplan {__version__}\n")
        parser.exit()


def _drawing(text: str) -> str:
    if not text.lower().endswith((".png", ".svg", ".csv")):
        raise argparse.ArgumentTypeError(f"the name must end with .png, .svg or .csv, not {text!r}")
    return text


def _state(text: str) -> str:
    if not text.lower().endswith((".safetensors", ".pt", ".ckpt")):
        raise argparse.ArgumentTypeError(f"the name must end with .safetensors, .pt or .ckpt, not {text!r}")
    return text


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
    import json  # noqa: PLC0415 - only where it is asked for

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("an object is needed, as '{\"depth\": 2}'")
    return value
