"""The faces of a list of diagnostics: text, concise, json, github, sarif.

All five say the same.  Text is `str()` of each diagnostic, with colour where asked for; the others are for programs:
`optplan.diagnostics/1` for one's own, workflow commands for GitHub, and SARIF 2.1.0 for code scanners.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, get_args

from optplan.report.notation import BLUE, BOLD, CYAN, RED, YELLOW, counted, painted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optplan.diagnostics import Diagnostic

Format = Literal["text", "concise", "json", "github", "sarif"]
FORMATS: tuple[Format, ...] = get_args(Format)
FORMAT = "optplan.diagnostics/1"

_STYLES = {"error": RED, "warning": YELLOW, "note": CYAN}
# what a diagnostic names as its source, and no other program could open
_NO_FILE = re.compile(r"^(<.*>|--set|)$")


def render(diagnostics: Sequence[Diagnostic], form: Format, *, colour: bool = False, version: str | None = None) -> str:
    """The diagnostics in one of the forms, without a line break at the end; empty if a list in lines has none.

    `version` is that of the program, which SARIF tells.
    """
    match form:
        case "text":
            return "\n\n".join(_text(item, colour=colour) for item in diagnostics)
        case "concise":
            return "\n".join(_concise(item) for item in diagnostics)
        case "json":
            return json.dumps(to_data(diagnostics), indent=2, ensure_ascii=False)
        case "github":
            return "\n".join(_github(item) for item in diagnostics)
        case "sarif":
            return json.dumps(_sarif(diagnostics, version), indent=2, ensure_ascii=False)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`; empty if there is nothing."""
    counts: dict[str, int] = dict.fromkeys(_STYLES, 0)
    for item in diagnostics:
        counts[item.severity] += 1
    return ", ".join(counted(count, severity) for severity, count in counts.items() if count)


def to_data(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """`optplan.diagnostics/1`; `file`, `start` and `end` are null where a fault has no such place."""
    items = list(diagnostics)
    return {
        "format": FORMAT,
        "valid": all(item.severity != "error" for item in items),
        "diagnostics": [
            {
                "code": item.code,
                "severity": item.severity,
                "message": item.message,
                "file": item.source or None,
                "start": {"line": item.line, "column": item.column} if item.line else None,
                "end": {"line": item.end_line, "column": item.end_column} if item.line else None,
                "help": item.help,
                "notes": list(item.notes),
            }
            for item in items
        ],
    }


def _text(item: Diagnostic, *, colour: bool) -> str:
    plain = printable(str(item))
    if not colour:
        return plain
    head, *rest = plain.split("\n")
    style = _STYLES[item.severity]
    label = f"{item.severity}[{item.code}]"
    lines = [painted(label, style, colour=True) + painted(head.removeprefix(label), BOLD, colour=True)]
    return "\n".join(lines + [_painted_line(line, style) for line in rest])


def _painted_line(line: str, style: str) -> str:
    """One line below the headline: the margin in blue, carets in the colour of the severity."""
    if found := re.match(r"( *--> )(.*)", line):
        return painted(found[1], BLUE, colour=True) + found[2]
    if found := re.match(r"( += )(help|note)(: .*)", line):
        return painted(found[1], BLUE, colour=True) + painted(found[2], CYAN, colour=True) + found[3]
    if found := re.match(r"( +\|)( +\^+.*)", line):
        return painted(found[1], BLUE, colour=True) + painted(found[2], style, colour=True)
    if found := re.match(r"( *\d* \|)(.*)", line):
        return painted(found[1], BLUE, colour=True) + found[2]
    return line


def _concise(item: Diagnostic) -> str:
    place = f"{item.source}:{item.line}:{item.column}: " if item.line else f"{item.source}: " if item.source else ""
    return printable(f"{place}{item.severity}[{item.code}]: {item.message}").replace("\n", " ")


# GitHub: `::error file=...,line=...::message`


def _github(item: Diagnostic) -> str:
    properties: dict[str, object] = {}
    if not _NO_FILE.match(item.source):
        properties["file"] = item.source
        if item.line:
            properties |= {"line": item.line, "col": item.column, "endLine": item.end_line}
            # an annotation of several lines has no columns there
            if item.end_line == item.line:
                properties["endColumn"] = item.end_column
    properties["title"] = f"optplan {item.code}"
    command = "notice" if item.severity == "note" else item.severity
    message = "\n".join([item.message, *_further(item)])
    joined = ",".join(f"{key}={_command(str(value), ':,')}" for key, value in properties.items())
    return printable(f"::{command} {joined}::{_command(message)}")


def _command(text: str, more: str = "") -> str:
    """`text` with the characters that end a workflow command, and `more`, escaped as that asks."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


# SARIF: https://docs.oasis-open.org/sarif/sarif/v2.1.0/


def _sarif(diagnostics: Sequence[Diagnostic], version: str | None) -> dict[str, Any]:
    from optplan.diagnostics import CODES  # noqa: PLC0415 - only here

    codes = sorted({item.code for item in diagnostics})
    rules = [
        {"id": code, "shortDescription": {"text": CODES[code]}} if code in CODES else {"id": code} for code in codes
    ]
    driver: dict[str, Any] = {"name": "optplan", "rules": rules}
    if version is not None:
        driver["semanticVersion"] = version
    results = [_result(item, codes.index(item.code)) for item in diagnostics]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(item: Diagnostic, rule: int) -> dict[str, Any]:
    text = "\n".join([item.message, *_further(item)])
    result: dict[str, Any] = {"ruleId": item.code, "ruleIndex": rule, "level": item.severity, "message": {"text": text}}
    if not _NO_FILE.match(item.source):
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(item.source)}}
        if item.line:
            region = {"startLine": item.line, "startColumn": item.column}
            place["region"] = region | {"endLine": item.end_line, "endColumn": item.end_column}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(path: str) -> str:
    """A path as a URI: relative as it was given, `file:` where it is absolute."""
    from pathlib import Path  # noqa: PLC0415 - only here
    from urllib.parse import quote  # noqa: PLC0415 - as above

    return Path(path).as_uri() if Path(path).is_absolute() else quote(path.replace("\\", "/"), errors="surrogateescape")


def _further(item: Diagnostic) -> list[str]:
    """Help and notes as lines."""
    return ([f"help: {item.help}"] if item.help else []) + [f"note: {note}" for note in item.notes]
