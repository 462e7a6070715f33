"""What is said where a filter, or a part of one, holds for nothing: the marked text and the cure."""

from __future__ import annotations

import pytest
from torch import nn

import optplan
from optplan import ConfigError, Diagnostic
from tests.resolve.making import net


def found(where: str, *, more: str = "") -> tuple[Diagnostic, str]:
    """The one thing that is said of a rule, and the text that it marks."""
    text = f"optplan: 1\noptimizer: {{type: adamw}}\nrules:\n  - where: {where}\n    lr: 1\n{more}"
    try:
        diagnostics = optplan.plan(optplan.loads(text), net()).diagnostics
    except ConfigError as fault:
        diagnostics = fault.diagnostics
    (said,) = diagnostics
    line = text.splitlines()[said.line - 1]
    return said, line[said.column - 1 : said.end_column - 1]


TABLE: list[tuple[str, str, str]] = [
    # filter, the marked text, what stands in the help
    ("hed", "hed", "did you mean `head`?"),
    ("head.wieght", "head.wieght", "did you mean `head.weight`?"),
    ("blocks.0.liner", "blocks.0.liner", "did you mean `blocks.0.linear`?"),
    ("blocks.1", "blocks.1", "blocks.10"),
    ("blocks.7.norm", "blocks.7.norm", "below `blocks` there are `0`, `10`, `2`"),
    ("linear.weight", "linear.weight", "`.linear.weight` covers 3 parameters, at any depth"),
    (".liner", ".liner", "did you mean `.linear`?"),
    ("norm and hed", "hed", "did you mean `head`?"),
    ("not bias and (hed and norm)", "hed", "did you mean `head`?"),
    ("type(Liner)", "type(Liner)", "did you mean `Linear`?"),
    ("inside(Blok)", "inside(Blok)", "did you mean `Block`?"),
    ("attention", "attention", "`attention` holds for"),
    ("norm and conv", "norm and conv", "`optional: true`"),
]


@pytest.mark.parametrize(("where", "marked", "cure"), TABLE, ids=[each[0] for each in TABLE])
def test_a_rule_that_matches_nothing(where: str, marked: str, cure: str) -> None:
    said, text = found(where)
    assert (said.code, said.severity, text) == ("OP203", "error", marked)
    assert cure in (said.help or "")
    assert said.label == "0 of 22 parameters"


@pytest.mark.parametrize(("where", "marked"), [("norm or hed", "hed"), ("norm and not type(Liner)", "type(Liner)")])
def test_a_part_that_holds_for_nothing(where: str, marked: str) -> None:
    said, text = found(where)
    assert (said.code, said.severity, text) == ("OP203", "warning", marked)


def test_parts_that_exclude_each_other_are_counted() -> None:
    said, _ = found("norm and conv")
    assert said.notes == ("of 22 parameters `norm` matches 6, `conv` matches 4, none all of them",)


def test_an_entry_of_layers() -> None:
    said, text = found("norm", more="layers: [token, block, '**']\n")
    assert (said.code, said.severity, text) == ("OP208", "error", "block")
    assert said.help == "did you mean `blocks`?"


def test_an_entry_of_layers_is_put_right_by_a_name_that_has_what_follows() -> None:
    network = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 2)]), "layernorm": nn.LayerNorm(2)})
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "layers": ["layer.{i}", "**"]}
    with pytest.raises(ConfigError) as caught:
        optplan.plan(document, network)
    assert [each.help for each in caught.value.diagnostics] == ["did you mean `layers.{i}`?"]


WORDS = [
    # a bare word that is nearly a predicate or a set, beside one that holds: told as an error, with the word
    ("nrom or bias", {}, "error", "did you mean `norm`?"),
    ("not nrom", {}, "error", "did you mean `norm`?"),
    ("no_deacy or bias", {"no_decay": "norm"}, "error", "did you mean `no_decay`?"),
    # a path that only this network lacks: a file may serve several networks
    ("unrelated or bias", {}, "warning", "at the root there are "),
]


@pytest.mark.parametrize(("where", "sets", "severity", "cure"), WORDS)
def test_a_word_that_holds_nowhere_is_told(where: str, sets: dict[str, str], severity: str, cure: str) -> None:
    network = nn.ModuleDict({"stem": nn.Linear(2, 2), "after": nn.LayerNorm(2)})
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "sets": sets, "rules": [{"where": where, "lr": 0.1}]}
    try:
        told = optplan.plan(document, network).diagnostics
    except optplan.ConfigError as error:
        told = error.diagnostics
    assert [(each.code, each.severity) for each in told] == [("OP203", severity)]
    assert (told[0].help or "").startswith(cure)
