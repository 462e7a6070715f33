"""What verbs say, and the exit status: data on standard output, diagnostics on standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from optplan.arguments import USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from optplan.diagnostics import Diagnostic
    from optplan.report.diagnostics import Format

FINE, FINDINGS = 0, 1
# What was named on the command line is not there, or not what it should be.
_UNREADABLE = frozenset({"OP001", "OP503", "OP601", "OP602", "OP603", "OP604", "OP701", "OP702"})


def tell(diagnostics: Iterable[Diagnostic], form: Format) -> int:
    """Show diagnostics beside data, and give the exit status that they ask for."""
    diagnostics = tuple(diagnostics)
    if diagnostics:
        say(rendered(diagnostics, form), sys.stderr)
    return exit_status(diagnostics)


def unwritten(file: str, fault: OSError) -> int:
    """Say that a file cannot be written, and give the exit status for it."""
    say(f"error: `{file}` cannot be written: {fault.strerror or fault}", sys.stderr)
    return USAGE


def rendered(diagnostics: Sequence[Diagnostic], form: Format) -> str:
    """The diagnostics in the form that was asked for; text is for standard error."""
    from optplan import __version__  # noqa: PLC0415 - what says nothing reads nothing
    from optplan.report.diagnostics import render  # noqa: PLC0415 - as above

    return render(diagnostics, form, colour=form == "text" and colour(sys.stderr), version=__version__)


def exit_status(diagnostics: Iterable[Diagnostic]) -> int:
    """The exit status that diagnostics ask for."""
    errors = {each.code for each in diagnostics if each.severity == "error"}
    return USAGE if errors & _UNREADABLE else FINDINGS if errors else FINE


def colour(stream: TextIO) -> bool:
    """Whether to write colours there: to a terminal that has some, unless NO_COLOR says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line, to standard output unless told otherwise; as it is now, for a caller may have exchanged it."""
    (sys.stdout if stream is None else stream).write(f"{text}\n")
