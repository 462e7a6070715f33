"""`clip` and `loss_scale` in tables: what they mean, what is odd yet legal, what a document says with them.

What fails, at which column and with which words, is in `tests/cases/reject/training`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import optplan
from optplan.catalog import catalog
from optplan.diagnostics import Collector, ConfigError
from optplan.expression import Argument, Binary, Call, Constant, Form, Name, Number, Value
from optplan.frontend.forms import parse_form
from optplan.source import Source, Text

if TYPE_CHECKING:
    from pathlib import Path

LET = ("S", "norm", "dynamic")
TRUE, FALSE = Constant(value=True), Constant(value=False)


def form(name: str, *alone: Value, **arguments: Value) -> Form:
    named = (Argument(key, value) for key, value in arguments.items())
    return Form(name, (*(Argument(None, value) for value in alone), *named))


MEANINGS: list[tuple[str, str, Form | None]] = [
    ("clip", "none", None),
    ("clip", "norm(1.0)", form("norm", Number(1.0))),
    ("clip", "value(0.5)", form("value", Number(0.5))),
    ("clip", "norm(limit=1)", form("norm", limit=Number(1))),
    ("clip", "norm(1 / 2)", form("norm", Binary("/", Number(1), Number(2)))),
    ("clip", "value(S)", form("value", Name("S"))),
    ("loss_scale", "none", None),
    ("loss_scale", "1024", form("fixed", Number(1024))),
    ("loss_scale", "2 ** 10", form("fixed", Binary("**", Number(2), Number(10)))),
    ("loss_scale", "S", form("fixed", Name("S"))),
    ("loss_scale", "max(S, 8)", form("fixed", Call("max", (Name("S"), Number(8))))),
    ("loss_scale", "fixed(1024)", form("fixed", Number(1024))),
    ("loss_scale", "fixed(1000, drop_overflow=false)", form("fixed", Number(1000), drop_overflow=FALSE)),
    ("loss_scale", "fixed(drop_overflow=true, scale=S)", form("fixed", drop_overflow=TRUE, scale=Name("S"))),
    ("loss_scale", "dynamic()", form("dynamic")),
    (
        "loss_scale",
        "dynamic(init=64k, growth=1.5, backoff=0.25, every=7)",
        form("dynamic", init=Number(64_000), growth=Number(1.5), backoff=Number(0.25), every=Number(7)),
    ),
]

ODD: list[tuple[str, str, Form | None]] = [
    ("clip", "  none ", None),
    ("clip", "norm ( 1.0 , )", form("norm", Number(1.0))),
    ("clip", "norm(norm)", form("norm", Name("norm"))),
    ("clip", "norm(\n  +1\n)", form("norm", Number(1))),
    ("loss_scale", "(1024)", form("fixed", Number(1024))),
    # a name under `let` may be that of a form: only parentheses make one
    ("loss_scale", "dynamic", form("fixed", Name("dynamic"))),
    ("loss_scale", "dynamic(init=dynamic)", form("dynamic", init=Name("dynamic"))),
    ("loss_scale", "3.4028234663852886e38", form("fixed", Number(3.4028234663852886e38))),
    ("loss_scale", "1e-30", form("fixed", Number(1e-30))),
]


def parsed(key: str, text: str) -> Form | None:
    collector = Collector()
    written = Text(text, Source("x.optim.yaml", text), 0)
    found = parse_form(written, collector, key=key, names=LET, forms=catalog().forms)
    assert not collector.diagnostics
    return found


@pytest.mark.parametrize(("key", "text", "meaning"), [*MEANINGS, *ODD])
def test_it_means(key: str, text: str, meaning: Form | None) -> None:
    assert parsed(key, text) == meaning


@pytest.mark.parametrize(("key", "text", "meaning"), [each for each in [*MEANINGS, *ODD] if each[2] is not None])
def test_it_is_printed_as_it_can_be_read(key: str, text: str, meaning: Form) -> None:
    assert text
    assert parsed(key, str(meaning)) == meaning


def test_its_parts_know_their_places() -> None:
    text = "dynamic(init=S, every = 7)"
    found = parsed("loss_scale", text)
    assert found is not None
    assert found.span is not None
    assert found.name_span is not None
    assert (found.span.text, found.name_span.text) == (text, "dynamic")
    assert [each.span and each.span.text for each in found.arguments] == ["init=S", "every = 7"]
    assert [each.value.span and each.value.span.text for each in found.arguments] == ["S", "7"]


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        (1024, "fixed(1024)"),
        (1024.0, "fixed(1024.0)"),
        ("1024", "fixed(1024)"),
        ("none", "None"),
        (1e3, "fixed(1000.0)"),
    ],
)
def test_a_scale_is_read_from_its_text_whatever_yaml_makes_of_it(written: Any, meaning: str) -> None:
    document = {"optplan": 1, "optimizer": {"type": "sgd"}, "loss_scale": written}
    assert str(optplan.load(document).loss_scale) == meaning


@pytest.mark.parametrize(("written", "count"), [("4", 4), ("1e1", 10), ("4.0", 4), ("010", 10)])
def test_accumulate_is_a_whole_number(written: str, count: int) -> None:
    found = optplan.loads(f"optplan: 1\noptimizer: {{type: sgd}}\naccumulate: {written}\n").accumulate
    assert (found, type(found)) == (count, int)


def test_what_is_left_out_is_nothing() -> None:
    found = optplan.loads("optplan: 1\noptimizer: {type: sgd}\n")
    assert (found.accumulate, found.clip, found.loss_scale) == (1, None, None)
    said = optplan.loads("optplan: 1\noptimizer: {type: sgd}\naccumulate: 1\nclip: none\nloss_scale: none\n")
    assert found == said


def test_an_override_takes_the_place_of_what_the_file_says() -> None:
    text = "optplan: 1\noptimizer: {type: sgd}\nclip: norm(1.0)\n"
    found = optplan.loads(text, overrides=["clip=value(0.5)", "loss_scale=dynamic(init=8, every=2)", "accumulate=8"])
    assert (str(found.clip), str(found.loss_scale)) == ("value(0.5)", "dynamic(init=8, every=2)")
    assert found.accumulate == 8
    assert optplan.loads(text, overrides=["clip=none"]).clip is None


def test_a_file_lies_over_what_it_extends_key_by_key(tmp_path: Path) -> None:
    base = "optplan: 1\noptimizer: {type: sgd}\naccumulate: 4\nclip: norm(1.0)\nloss_scale: dynamic()\n"
    (tmp_path / "base.optim.yaml").write_text(base)
    top = tmp_path / "top.optim.yaml"
    top.write_text("extends: base.optim.yaml\nclip: value(0.5)\nloss_scale: none\n")
    found = optplan.load(str(top))
    assert (str(found.clip), found.loss_scale, found.accumulate) == ("value(0.5)", None, 4)


def test_the_word_none_is_no_name_of_let() -> None:
    with pytest.raises(ConfigError, match="OP112"):
        optplan.loads("optplan: 1\nlet: {none: 3}\noptimizer: {type: sgd}\n")
