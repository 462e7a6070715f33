"""The reference in `grammar/README.md` names all that there is, and says of each thing whether it is there yet."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from optplan.catalog import catalog
from optplan.diagnostics import Collector
from optplan.frontend.filters import FUNCTIONS as FILTER_FUNCTIONS
from optplan.frontend.filters import parse_filter
from optplan.frontend.values import FUNCTIONS, UNITS
from optplan.report.notation import written
from optplan.source import Source, Text

REFERENCE = files("optplan.grammar").joinpath("README.md").read_text(encoding="utf-8")
PHASES = REFERENCE.partition("**Phases**")[2].partition("**Horizon.**")[0]
KNOWN = catalog()


@pytest.mark.parametrize(
    "word",
    [
        *KNOWN.predicates,
        *KNOWN.attributes,
        *KNOWN.policies,
        *FILTER_FUNCTIONS,
        *FUNCTIONS,
        *(unit for unit in UNITS if unit.isalpha()),
        *(name for forms in KNOWN.forms.values() for name in forms.types),
    ],
)
def test_every_word_is_explained(word: str) -> None:
    assert re.search(rf"`[^`\n]*(?<!\w){re.escape(word)}(?!\w)[^`\n]*`", REFERENCE)


@pytest.mark.parametrize("name", KNOWN.policies)
def test_the_table_of_phases_says_what_is_not_supported_yet(name: str) -> None:
    (row,) = re.findall(rf"^\| .*`{name}\(.*$", PHASES, re.MULTILINE)
    assert ("*Not supported yet*" in row) != KNOWN.policies[name].supported


def test_the_status_lists_what_is_not_supported_yet() -> None:
    status = REFERENCE.partition("**Status.**")[2].partition("## ")[0]
    listed = set(re.findall(r"`(\w+)`", status.partition("the phases")[2].partition(";")[0]))
    assert listed == {name for name, each in KNOWN.policies.items() if not each.supported}


@pytest.mark.parametrize("name", KNOWN.policies)
def test_the_table_of_phases_has_their_required_arguments(name: str) -> None:
    (row,) = re.findall(rf"^\| .*`{name}\(.*$", PHASES, re.MULTILINE)
    named = row.partition(f"`{name}(")[2].partition("`")[0]
    for argument in KNOWN.policies[name].arguments.values():
        if argument.required:
            assert re.search(rf"\b{argument.name}\b", named)


FORM_TABLE = REFERENCE.partition("| form | what it does |")[2].partition("\n\n")[0]


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, forms in KNOWN.forms.items() for name in forms.types])
def test_the_table_of_forms_has_their_arguments_and_defaults(key: str, name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}\((.*?)\)` \|", FORM_TABLE, re.MULTILINE)
    arguments = KNOWN.forms[key].types[name].arguments.values()
    assert row == ", ".join(
        each.name if each.required else f"{each.name}={written(each.default)}" for each in arguments
    )


FILTER_TABLE = REFERENCE.partition("## Filters")[2].partition("**Comparisons.**")[0]


@pytest.mark.parametrize(
    "text",
    [
        text
        for row in re.findall(r"^\| (`.+?) \|", FILTER_TABLE, re.MULTILINE)
        for text in re.findall("`([^(].+?)`", row)
    ],
)
def test_the_forms_of_filters_can_be_read(text: str) -> None:
    collector = Collector()
    source = Source("README.md", text)
    parse_filter(Text(text, source, 0), collector, sets=(), predicates=KNOWN.predicates, attributes=KNOWN.attributes)
    assert not collector.diagnostics


@pytest.mark.parametrize("option", KNOWN.options["torch"])
def test_every_option_of_torch_is_named(option: str) -> None:
    assert f"`{option}" in REFERENCE.partition("## Options of one framework")[2].partition("## ")[0]
