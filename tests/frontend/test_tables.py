"""The tables of the expression languages, and the automaton that they drive, held against Lark itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from optplan.frontend import tables
from optplan.frontend.automaton import Automaton, Halt, Nesting, Whole
from optplan.frontend.automaton import Token as Piece

# Pieces that are tokens of a language, nearly are, or are of another one
PIECES = {
    "filter": ["norm", "layers.{0..3}", ".a.*", "and", "or", "not", "and.x", "ndim", "==", "<", "2", "1e3", "float16"],
    "value": ["1", "2.5", "1e-3", "10k", "0.1x", "epochs", "%", "lr", "shape", "[", "]", "+", "-", "*", "/", "**"],
    "policy": ["hold", "base", "->", "over", "into", "per", "epoch", "to=", "=", "1", "5%", "0x", "*", "+", "[", "]"],
    "form": ["none", "norm(", "torch.amp.GradScaler", "min", ".", "init=", "=", "1024", "true", "2k", "0x", "*", "["],
}
FURTHER = ["(", ")", ",", " ", "path(", "min(", "/a b/", "'c'", '"', "!", "\n", "é"]

LARKS = {
    name: Lark.open_from_package(
        "optplan.grammar", f"{name}.lark", ("",), parser="lalr", propagate_positions=True, maybe_placeholders=False
    )
    for name in tables.SOURCES
}


def texts(name: str) -> st.SearchStrategy[tuple[str, str]]:
    """A language, and something written in nearly that language."""
    pieces = st.lists(st.sampled_from([*PIECES[name], *FURTHER]), max_size=12)
    return st.tuples(st.just(name), st.builds(str.join, st.sampled_from(["", " "]), pieces))


def outline(tree: Tree[Token] | Token) -> Any:
    """Lark's tree as rule, children, begin and end; a token as its type, text, begin and end."""
    if isinstance(tree, Token):
        return bare(tree.type), str(tree), tree.start_pos, tree.end_pos
    if tree.data == "start":
        return outline(tree.children[0])
    return bare(tree.data), [outline(child) for child in tree.children], tree.meta.start_pos, tree.meta.end_pos


def bare(name: str) -> str:
    """The name of a rule or terminal without that of the grammar that it is imported from."""
    return name.rpartition("__")[2]


def by_lark(name: str, text: str) -> Any:
    """The outline of `text`, or the place where it stops following the grammar and the terminals that could follow."""
    parser: Any = LARKS[name].parse_interactive(text)
    expected = parser.choices()
    try:
        for token in parser.lexer_thread.lex(parser.parser_state):
            parser.feed_token(token)
            expected = parser.choices()
        return outline(parser.feed_eof())
    except UnexpectedToken as error:
        token = error.token
        begin, end = (len(text), len(text)) if token.type == "$END" else (token.start_pos, token.end_pos)
    except UnexpectedCharacters as error:
        begin = end = error.pos_in_stream
    return begin, end, {bare(each) for each in expected if bare(each).isupper()}


def by_tables(automaton: Automaton, text: str) -> Any:
    """The same by our own reading."""

    def make(rule: str, children: Any, begin: int, end: int) -> Any:
        shown = [(each.type, str(each), each.begin, each.end) if isinstance(each, Piece) else each for each in children]
        return rule, shown, begin, end

    found = automaton.read(text, make, 100)
    if isinstance(found, Halt):
        return found.begin, found.end, found.expected
    assert isinstance(found, Whole)
    return found.node


@given(st.sampled_from(list(tables.SOURCES)).flatmap(texts))
def test_a_text_is_read_as_lark_reads_it(written: tuple[str, str]) -> None:
    name, text = written
    assert by_tables(tables.automaton(name), text) == by_lark(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("filter", "(norm or bias) and not (head)"),
        ("filter", "type(A, B) or path('x y') or ndim >= 2 or /a/"),
        ("value", "-(1 + 2x) ** -min(a, shape[0], [1, 2,],)"),
        ("form", "dynamic(init=2 ** 16, every=min(S, 2k), backoff=1 / 2,)"),
        ("form", "max(S, 2) * 3"),
        ("policy", "warmup(5 %, from=0x,) -> (cosine(to=[1, -2]) over base) * hold() per epoch per epoch into step(k)"),
    ],
)
def test_a_long_text_is_read_as_lark_reads_it(name: str, text: str) -> None:
    outlined = by_lark(name, text)
    assert isinstance(outlined[0], str)
    assert by_tables(tables.automaton(name), text) == outlined


def test_the_tables_at_hand_are_those_of_the_grammars() -> None:
    # where they are not: `python -m optplan.frontend.tables`
    at_hand = files("optplan.grammar").joinpath("tables.json").read_text(encoding="utf-8")
    assert at_hand == tables.all_tables()


def test_a_grammar_that_has_changed_is_read_by_tables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = {"filter": {**tables.make_tables("value"), "sources": {"filter": -1}}}
    monkeypatch.setattr(tables, "_at_hand", lambda: stale)
    automaton = tables.automaton.__wrapped__("filter")
    assert by_tables(automaton, "norm or bias") == by_lark("filter", "norm or bias")


def test_tables_at_hand_need_no_lark(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(tables, "make_tables", refuse)
    for name in tables.SOURCES:
        assert isinstance(tables.automaton.__wrapped__(name), Automaton)


def test_a_grammar_with_keywords_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = Lark('start: "if" NAME | NAME\nNAME: /[a-z]+/', parser="lalr")
    monkeypatch.setattr(Lark, "open_from_package", lambda *_, **__: grammar)
    with pytest.raises(ValueError, match="text of another terminal: NAME"):
        tables.make_tables("value")


def test_a_bracket_too_many_ends_the_reading_where_it_stands() -> None:
    automaton = tables.automaton("value")
    assert automaton.read("(((1)))", lambda *_: None, 3) == Whole(None, 1)
    assert automaton.read("((((1))))", lambda *_: None, 3) == Nesting(3, 4)


@pytest.mark.parametrize(("text", "depth"), [("1", 1), ("(1)", 1), ("-1", 2), ("1 + 2 * 3", 3), ("min(1, -2)", 3)])
def test_depth_counts_nodes_in_one_another(text: str, depth: int) -> None:
    found = tables.automaton("value").read(text, lambda *_: None, 100)
    assert isinstance(found, Whole)
    assert found.depth == depth
