"""Faults as values.

A stage hands its faults to a `Collector` and raises once, at its end, with all of them; how they look is decided
where they are shown.  `CODES` lists every code with the sentence that `optplan help CODE` opens with.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optplan.source import Span

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault, warning or remark, with its place and its cure.

    `line` and `column` count from 1 and are 0 where a fault has no place in a text (a missing file, say); the end is
    exclusive.  `excerpt` is the text of the first line, where it was at hand.
    """

    code: str
    severity: Severity
    message: str
    source: str = ""
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    help: str | None = None
    notes: tuple[str, ...] = ()
    label: str | None = None
    excerpt: str | None = None

    def __str__(self) -> str:
        """The fault as a compiler prints it: headline, place, excerpt with carets, help and notes."""
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        if self.line:
            lines.append(f"  --> {self.source}:{self.line}:{self.column}")
        elif self.source:
            lines.append(f"  --> {self.source}")
        if self.line and self.excerpt is not None:
            margin = " " * len(str(self.line))
            excerpt = self.excerpt.replace("\t", " ")
            end = self.end_column if self.end_line == self.line else len(excerpt) + 1
            carets = "^" * max(1, end - self.column)
            lines += [f"{margin} |", f"{self.line} | {excerpt}"]
            lines.append(f"{margin} | {' ' * (self.column - 1)}{carets} {self.label or ''}".rstrip())
            margin += " "
        else:
            margin = "   "
        if self.help:
            lines.append(f"{margin}= help: {self.help}")
        lines += [f"{margin}= note: {note}" for note in self.notes]
        return "\n".join(lines)


class ConfigError(Exception):
    """A file, or a file for a network, that cannot be carried out; `diagnostics` has every fault, in file order."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(str(item) for item in self.diagnostics)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Diagnostic, ...]]]:
        return type(self), (self.diagnostics,)


class Collector:
    """Where a stage puts its faults; `check` raises them together, sorted by place."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep `diagnostic`; the same one twice is kept once."""
        self._found.setdefault(diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,  # noqa: A002 - the field of a diagnostic has this name in its JSON
        notes: Sequence[str] = (),
        label: str | None = None,
        severity: Severity = "error",
    ) -> None:
        """Report a fault at `span`."""
        self.add(diagnostic(code, message, span, help=help, notes=notes, label=label, severity=severity))

    def warning(self, code: str, message: str, span: Span | None = None, *, help: str | None = None) -> None:  # noqa: A002 - as above
        """Report what is probably not meant."""
        self.error(code, message, span, help=help, severity="warning")

    def note(self, code: str, message: str, span: Span | None = None, *, help: str | None = None) -> None:  # noqa: A002 - as above
        """Report what could not be seen."""
        self.error(code, message, span, help=help, severity="note")

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything reported so far: by source in order of first mention, then by place."""
        order: dict[str, int] = {}
        for item in self._found:
            order.setdefault(item.source, len(order))
        return tuple(sorted(self._found, key=lambda d: (order[d.source], d.line, d.column)))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(item.severity == "error" for item in self._found)

    def check(self) -> None:
        """Raise `ConfigError` with everything reported, if there is an error among it."""
        if self.failed:
            raise ConfigError(self.diagnostics)


def diagnostic(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    help: str | None = None,  # noqa: A002 - the field of a diagnostic has this name in its JSON
    notes: Sequence[str] = (),
    label: str | None = None,
    severity: Severity = "error",
) -> Diagnostic:
    """A diagnostic at `span`, with the line that it stands in."""
    if span is None:
        return Diagnostic(code, severity, message, help=help, notes=tuple(notes), label=label)
    source = span.source
    line, column = source.position(span.start)
    end_line, end_column = source.position(max(span.end, span.start))
    if line <= len(source.paths):
        notes = [*notes, f"this is `{source.paths[line - 1]}` of the configuration"]
    return Diagnostic(
        code,
        severity,
        message,
        source.name,
        line,
        column,
        end_line,
        end_column,
        help,
        tuple(notes),
        label,
        source.line(line),
    )


def nearest(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The names among `known` that `word` was probably meant to be, best first."""
    names = list(dict.fromkeys(known))
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.lower(), name)
    if word.lower() in folded:
        return [folded[word.lower()]]
    return [folded[close] for close in get_close_matches(word.lower(), folded, n=most, cutoff=0.6)]


def suggestion(word: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """The `help:` of an unknown name: "did you mean", or `otherwise` where nothing is near."""
    close = nearest(word, known)
    if not close:
        return otherwise
    quoted = [f"`{name}`" for name in close]
    return f"did you mean {' or '.join(quoted)}?"


CODES: dict[str, str] = {
    # 0xx: reading a document
    "OP001": "the file cannot be read",
    "OP002": "the text is not YAML",
    "OP003": "a key stands twice in one mapping",
    "OP004": "a tag, which nothing in a document may carry",
    "OP005": "an alias, anchor or merge key that cannot be followed within its budget",
    "OP006": "the document is too large or too deep",
    "OP007": "YAML read something else than the expression that was meant",
    # 1xx: the shape of a document
    "OP101": "an unknown key",
    "OP102": "a required key is missing",
    "OP103": "a value of the wrong type",
    "OP104": "a value out of its range",
    "OP105": "an unknown optimizer",
    "OP106": "a language version that this release does not read",
    "OP107": "a number that is not finite",
    "OP108": "an invalid name",
    "OP109": "something that this release does not support yet",
    "OP110": "a file that `extends` or a `table` names cannot be taken in",
    "OP111": "an override that cannot be applied",
    "OP112": "two things of one name, or a name that hides a built-in one",
    "OP113": "a setting that an optimizer does not have",
    "OP114": "a definition that refers to itself",
    "OP115": "a framework's option that no optimizer here has, or that excludes another",
    "OP116": "a number, set or optimizer that nothing in the document uses",
    # 2xx: filters and what they select
    "OP201": "a filter that cannot be read",
    "OP202": "an invalid pattern or regular expression",
    "OP203": "a rule that matches no parameter",
    "OP204": "an unknown predicate, attribute or function in a filter",
    "OP205": "a rule that matches only frozen parameters",
    "OP206": "a rule that later rules override completely",
    "OP207": "rules that contradict each other about a tied parameter",
    "OP208": "a layer entry that covers nothing, or cannot be read",
    "OP209": "a filter that asks what this view of the network does not know",
    "OP210": "a plain value that a later `use` leaves to another optimizer",
    "OP211": "the network's parameters cannot be told apart or read",
    # 3xx: values
    "OP301": "an expression that cannot be read",
    "OP302": "an unknown name in an expression",
    "OP303": "an expression that has no finite real value",
    "OP304": "an expression that asks for an attribute which the parameter does not have",
    "OP305": "a value that the setting cannot take",
    "OP306": "a ratio where there is nothing to take it of",
    "OP307": "an unknown clip or loss scale, or argument of one",
    # 4xx: schedules and horizon
    "OP401": "a policy that cannot be read",
    "OP402": "an unknown phase or argument of a phase",
    "OP403": "a duration that cannot be counted",
    "OP404": "phases that do not fit the horizon",
    "OP405": "a value that a phase cannot start from or go to",
    "OP406": "a policy for something that cannot have one",
    "OP407": "the horizon is missing or contradicts itself",
    "OP408": "what could not be seen without a horizon",
    # 5xx: targets
    "OP501": "an optimizer that cannot take what the plan asks",
    "OP502": "the model is not the one that the plan was made for",
    "OP503": "a target that is not there",
    "OP504": "options of the framework that exclude each other",
    "OP505": "the plan asks for an optimizer or a policy that is not registered here",
    "OP506": "a host, such as Lightning, that does something else than the plan says",
    "OP507": "a shard of the network where the whole is needed",
    "OP508": "gradients that a rule would switch after the model was wrapped",
    # 6xx: files and networks given on the command line
    "OP601": "a file of parameters that cannot be read",
    "OP602": "a network that cannot be made",
    "OP603": "what registers an optimizer or a policy cannot be used",
    "OP604": "a picture that cannot be drawn",
    # 7xx: saved state
    "OP701": "a file of saved state that cannot be read",
    "OP702": "something that is no saved state",
    "OP703": "state that the plan needs and the saved one lacks",
    "OP704": "saved state that the plan has no place for",
    "OP705": "saved state of another shape",
    "OP706": "saved state of another optimizer",
    "OP707": "settings or groups that differ from the saved ones",
    "OP708": "state that cannot be had, or put, in this place",
    "OP709": "a module that cannot be added",
}
