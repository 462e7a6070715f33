"""Cases: documents that say themselves what is to be found in them.

The expected fault stands below its line, in a comment whose carets mark the place, first to last character:

    rules:
      - where: classifer
        #      ^^^^^^^^^ OP203 matches no parameter | did you mean `classifier`?

`^` marks an error, `~` a warning, `.` a note.  Every piece of text between ` | ` must stand in the message, its help,
label or notes.  A `#` right before the marks counts as the first of them, for what begins in column 1.  Where a comment
would itself be part of the fault (open quotes, block scalars, an override, no place at all) a line at the head says the
same: `!` an error, `?` a warning, `.` a note; first and last character, an empty place has only the first:

    #! 7:12-20 OP203 matches no parameter
    #! 7:12-9:3 OP201 over several lines
    #! 7:12 OP201 before the character in column 12
    #! --set:1:11-13 OP111 in the text of an override
    #! - OP407 nowhere

Other lines at the head say what is done: without any the document is loaded, no more.

    #: network small        a function of `tests.cases.networks`: a plan is made for it
    #: plan steps=100       what the caller gives: steps, epochs, steps_per_epoch, ...; any other name is one of `let`
    #: set optimizer.lr=1   an override
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optplan
from optplan import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from optplan import Diagnostic

_MARKED = re.compile(r"\s*#(?P<gap> *)(?P<marks>\^+|~+|\.+) (?P<code>OP\d{3}) (?P<words>.+)")
_SAID = re.compile(r"#(?P<kind>[!?.]) (?P<place>\S+) (?P<code>OP\d{3}) (?P<words>.+)")
_PLACE = re.compile(r"(?:(?P<source>--set):)?(?P<line>\d+):(?P<first>\d+)(?:-(?:(?P<end>\d+):)?(?P<last>\d+))?")
_ORDER = re.compile(r"#: (?P<what>network|plan|set) (?P<rest>.+)")
_SEVERITY = {"^": "error", "!": "error", "~": "warning", "?": "warning", ".": "note"}
_HORIZON = ("steps", "epochs", "steps_per_epoch", "samples_per_step", "tokens_per_step")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A diagnostic by what can be compared: where it stands, how bad it is and its code."""

    source: str
    line: int
    column: int
    end_line: int
    end_column: int
    severity: str
    code: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column} to {self.end_line}:{self.end_column}"
        return f"{place} {self.severity} {self.code}"


@dataclass(slots=True)
class Case:
    """A document, what is done with it and what it expects: pairs of a finding and the texts that must stand in it."""

    path: Path
    expected: list[tuple[Finding, tuple[str, ...]]] = field(default_factory=list)
    network: str | None = None
    overrides: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)

    def run(self) -> tuple[Diagnostic, ...]:
        """Load the document, plan it if it says for what, and give what was reported."""
        try:
            if self.network is None:
                optplan.load(str(self.path), overrides=self.overrides)
                return ()
            from tests.cases import networks  # noqa: PLC0415 - most cases need no framework

            network = getattr(networks, self.network)()
            return optplan.plan(str(self.path), network, overrides=self.overrides, **self.given).diagnostics
        except ConfigError as error:
            return error.diagnostics


def read_case(path: Path) -> Case:
    """The case in the document at `path`, with what the documents say that lie beside or below `main.optim.yaml`."""
    files = sorted(path.parent.rglob("*.optim.yaml")) if path.name == "main.optim.yaml" else [path]
    case = Case(path)
    for file in files:
        text = file.read_text(encoding="utf-8-sig")
        case.expected += _said(text, str(file))
        if file == path:
            _orders(text, case)
    return case


def find_cases(folder: Path) -> list[Path]:
    """The documents below `folder`; of a folder that has a `main.optim.yaml` only that one."""
    documents = sorted(folder.rglob("*.optim.yaml"))
    several = {path.parent for path in documents if path.name == "main.optim.yaml"}
    return [path for path in documents if path.name == "main.optim.yaml" or several.isdisjoint(path.parents)]


def differences(case: Case, found: Sequence[Diagnostic]) -> list[str]:
    """What of `found` is missing, unexpected, misplaced, out of order or does not say what it must."""
    wrong: list[str] = []
    left = list(case.expected)
    for item in found:
        finding = as_finding(item)
        texts = (item.message, item.help or "", item.label or "", *item.notes)
        match = next((each for each in left if each[0] == finding and _says(texts, each[1])), None)
        if match is not None:
            left.remove(match)
        else:
            wrong.append(f"unexpected: {finding}\n{item}")
    wrong += [f"missing: {finding}: {' | '.join(words)}" for finding, words in left]
    sources = list(dict.fromkeys(item.source for item in found))
    places = [(sources.index(item.source), item.line, item.column) for item in found]
    if places != sorted(places):
        wrong.append(f"out of order: {places}")
    return wrong


def as_finding(item: Diagnostic) -> Finding:
    """What can be compared of a diagnostic."""
    place = (item.line, item.column, item.end_line, item.end_column)
    return Finding(item.source, *place, item.severity, item.code)


def _says(texts: Sequence[str], words: Sequence[str]) -> bool:
    return all(any(word in text for text in texts) for word in words)


def _orders(text: str, case: Case) -> None:
    for line in text.split("\n"):
        order = _ORDER.fullmatch(line)
        if order is None:
            continue
        if order["what"] == "network":
            case.network = order["rest"]
        elif order["what"] == "set":
            case.overrides.append(order["rest"])
        else:
            for each in order["rest"].split():
                name, _, number = each.partition("=")
                value: float = float(number) if "." in number else int(number)
                if name in _HORIZON:
                    case.given[name] = value
                else:
                    case.given.setdefault("let", {})[name] = value


def _said(text: str, source: str) -> Iterator[tuple[Finding, tuple[str, ...]]]:
    """What a document says of itself, its name being `source`."""
    about = 0
    for number, line in enumerate(text.split("\n"), 1):
        if said := _SAID.fullmatch(line):
            yield _place(said["place"], source, _SEVERITY[said["kind"]], said["code"]), _words(said["words"])
        elif marked := _MARKED.fullmatch(line):
            first = marked.start("marks") + 1 - (not marked["gap"])
            severity = _SEVERITY[marked["marks"][0]]
            yield (
                Finding(source, about, first, about, marked.end("marks") + 1, severity, marked["code"]),
                _words(marked["words"]),
            )
        else:
            about = number


def _place(place: str, source: str, severity: str, code: str) -> Finding:
    if place == "-":
        return Finding("", 0, 0, 0, 0, severity, code)
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ValueError(place)
    line, first = int(found["line"]), int(found["first"])
    end = int(found["end"] or line)
    last = first if found["last"] is None else int(found["last"]) + 1
    return Finding(found["source"] or source, line, first, end, last, severity, code)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" | "))
