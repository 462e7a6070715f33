"""The faces of diagnostics: whole texts, written by hand from the formats' own descriptions."""

from __future__ import annotations

import json
import re

import pytest

from optplan.arguments import _FORMATS
from optplan.diagnostics import ConfigError, Diagnostic
from optplan.report.diagnostics import FORMATS, render, summary

PLACED = Diagnostic(
    "OP203",
    "error",
    "rule `heads` matches no parameter",
    "net/fine, tune.optim.yaml",
    14,
    12,
    14,
    21,
    "did you mean `classifier`?",
    ("100% sure",),
    "0 of 148 parameters",
    "  - where: classifer",
)
PLACELESS = Diagnostic("OP602", "warning", "no `net`")
OVERRIDE = Diagnostic("OP111", "note", "an override", "--set", 1, 1, 1, 4)


def test_text() -> None:
    assert render([PLACED, PLACELESS], "text") == (
        "error[OP203]: rule `heads` matches no parameter\n"
        "  --> net/fine, tune.optim.yaml:14:12\n"
        "   |\n"
        "14 |   - where: classifer\n"
        "   |            ^^^^^^^^^ 0 of 148 parameters\n"
        "   = help: did you mean `classifier`?\n"
        "   = note: 100% sure\n"
        "\n"
        "warning[OP602]: no `net`"
    )


def test_colour_changes_nothing_but_colour() -> None:
    coloured = render([PLACED, PLACELESS, OVERRIDE], "text", colour=True)
    assert "\x1b[1;31merror[OP203]\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == render([PLACED, PLACELESS, OVERRIDE], "text")


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    hostile = Diagnostic("OP101", "error", "unknown key `\x1b[2J`", "a\x07.yaml")
    assert render([hostile], "text") == "error[OP101]: unknown key `\\x1b[2J`\n  --> a\\x07.yaml"


def test_concise() -> None:
    assert render([PLACED, PLACELESS], "concise") == (
        "net/fine, tune.optim.yaml:14:12: error[OP203]: rule `heads` matches no parameter\nwarning[OP602]: no `net`"
    )


def test_json() -> None:
    assert json.loads(render([PLACED, PLACELESS], "json")) == {
        "format": "optplan.diagnostics/1",
        "valid": False,
        "diagnostics": [
            {
                "code": "OP203",
                "severity": "error",
                "message": "rule `heads` matches no parameter",
                "file": "net/fine, tune.optim.yaml",
                "start": {"line": 14, "column": 12},
                "end": {"line": 14, "column": 21},
                "help": "did you mean `classifier`?",
                "notes": ["100% sure"],
            },
            {
                "code": "OP602",
                "severity": "warning",
                "message": "no `net`",
                "file": None,
                "start": None,
                "end": None,
                "help": None,
                "notes": [],
            },
        ],
    }


@pytest.mark.parametrize(("diagnostics", "valid"), [([], True), ([PLACELESS], True), ([PLACELESS, PLACED], False)])
def test_json_is_valid_without_errors(diagnostics: list[Diagnostic], *, valid: bool) -> None:
    assert json.loads(render(diagnostics, "json"))["valid"] is valid


def test_github() -> None:
    # a comma in a property is %2C, a per cent sign anywhere %25, a line break in the message %0A
    assert render([PLACED, PLACELESS, OVERRIDE], "github").split("\n") == [
        (
            "::error file=net/fine%2C tune.optim.yaml,line=14,col=12,endLine=14,endColumn=21,title=optplan OP203"
            "::rule `heads` matches no parameter%0Ahelp: did you mean `classifier`?%0Anote: 100%25 sure"
        ),
        "::warning title=optplan OP602::no `net`",
        "::notice title=optplan OP111::an override",
    ]


def test_sarif() -> None:
    log = json.loads(render([PLACED, PLACELESS, OVERRIDE], "sarif", version="1.2.3"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("optplan", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["OP111", "OP203", "OP602"]
    assert [(each["ruleId"], each["ruleIndex"], each["level"]) for each in run["results"]] == [
        ("OP203", 1, "error"),
        ("OP602", 2, "warning"),
        ("OP111", 0, "note"),
    ]
    assert run["results"][0]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "net/fine%2C%20tune.optim.yaml"},
                "region": {"startLine": 14, "startColumn": 12, "endLine": 14, "endColumn": 21},
            }
        }
    ]
    assert "locations" not in run["results"][1]
    assert "locations" not in run["results"][2]


def test_lists_of_lines_are_empty_without_diagnostics() -> None:
    assert [render([], form) for form in ("text", "concise", "github")] == ["", "", ""]


def test_summary() -> None:
    assert summary([PLACED, PLACED, PLACELESS]) == "2 errors, 1 warning"
    assert summary([]) == ""


def test_the_command_line_offers_every_format() -> None:
    assert _FORMATS == FORMATS


def test_the_text_of_a_config_error_is_the_text_face() -> None:
    fault = ConfigError([PLACED, PLACELESS])
    assert str(fault) == render(fault.diagnostics, "text")
