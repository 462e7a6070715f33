"""The three languages' common ground: a text and a grammar of `optplan.grammar` in, a checked tree or one fault out.

A grammar is built when it is first asked for.  Reading never recurses: brackets are counted while tokens arrive, and a
tree is turned into nodes from its leaves up, so that neither a long nor a deep text can do harm.  Where a text stops
following its grammar it is described as a `Stop`, for which the language finds the words.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lark import Lark, Token, Tree

    from optplan.diagnostics import Collector
    from optplan.source import Text

LENGTH = 10_000
DEPTH = 100

Node = TypeVar("Node")

_CLOSING = {"(": ")", "[": "]"}
_PIECE = re.compile(r"[^\W\d]\w*|(?:\d+(?:\.\d*)?|\.\d+)\w*|-+>|&&?|\|\|?|=[=<>]*|<>|~=|.", re.DOTALL)
_POWERS = {"k": 3, "M": 6, "B": 9}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the characters `begin <= k < end` of a text, and the cure."""

    message: str
    begin: int
    end: int
    help: str | None = None
    code: str | None = None


class InvalidError(Exception):
    """A fault on its way to the collector; it never leaves the front end."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def fail(message: str, where: tuple[int, int], cure: str | None = None, code: str | None = None) -> NoReturn:
    """Raise the fault that `message` states of the characters from `where[0]` to `where[1]`."""
    raise InvalidError(Fault(message, *where, cure, code))


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a text stops following its grammar.

    `found` is the piece there, from `begin` to `end`, empty at the end of the text; `before` the last piece that
    fitted, which ended at `after`; `expected` the terminals that could have stood there; `opened` the places of the
    brackets still open.
    """

    text: str
    begin: int
    end: int
    before: str
    after: int
    expected: frozenset[str]
    opened: tuple[int, ...]

    @property
    def found(self) -> str:
        """The piece that does not fit."""
        return self.text[self.begin : self.end]

    @property
    def opener(self) -> str:
        """The innermost bracket still open, or nothing."""
        return self.text[self.opened[-1]] if self.opened else ""

    def fault(self, message: str, cure: str | None = None, code: str | None = None) -> Fault:
        """`message` about the piece found."""
        return Fault(message, self.begin, self.end, cure, code)

    def wanted(self, what: str, cure: str | None = None) -> Fault:
        """The fault of not being `what`."""
        where = f" after `{shown(self.before)}`" if self.before else ""
        if not self.found:
            return Fault(f"expected {what}{where}", self.after, self.after, cure)
        return self.fault(f"expected {what}{where}, found `{shown(self.found)}`", cure)


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its grammar's name, the code of its faults, what a whole text is called, and the words for a stop."""

    name: str
    code: str
    noun: str
    operand: frozenset[str]
    explain: Callable[[Stop], Fault]


def read(language: Language, text: Text, collector: Collector) -> Tree[Token] | None:
    """The tree of `text`, or None with the fault reported."""
    fault = _too_long(text.value) or _blank(text.value, language.noun)
    if fault is None:
        result = _parse(language, text.value)
        if not isinstance(result, Fault):
            return result
        fault = result
    report(fault, language.code, text, collector)
    return None


def report(fault: Fault, code: str, text: Text, collector: Collector) -> None:
    """Hand over `fault`, under `code` unless it has one of its own."""
    collector.error(fault.code or code, fault.message, text.span(fault.begin, fault.end), help=fault.help)


def build(
    language: Language,
    text: Text,
    collector: Collector,
    make: Callable[[str, Sequence[Any], int, int], Node],
) -> Node | None:
    """The node that `text` is, or None with every fault reported.

    `make(rule, children, begin, end)` gives the node of one rule of the grammar; the children are tokens and nodes.
    It says what is wrong by `fail`; the others are made all the same, so that their faults are seen too.
    """
    tree = read(language, text, collector)
    if tree is None:
        return None
    from lark import Tree  # noqa: PLC0415 - loaded with the first text that is read

    made: dict[int, Node | None] = {}
    for part in tree.iter_subtrees():
        children = [made[id(child)] if isinstance(child, Tree) else child for child in part.children]
        rule = str(part.data).rpartition("__")[2]
        node: Node | None = None
        if rule == "start":
            node = cast("Node | None", children[0])
        elif not any(child is None for child in children):
            try:
                node = make(rule, children, part.meta.start_pos, part.meta.end_pos)
            except InvalidError as error:
                report(error.fault, language.code, text, collector)
        made[id(part)] = node
    return made[id(tree)]


def place(token: Token) -> tuple[int, int]:
    """Where `token` begins and ends in its text."""
    return cast("int", token.start_pos), cast("int", token.end_pos)


def parse_number(word: str) -> int | float | None:
    """The number that `word` spells, whole where it is written so or a suffix makes it so; None beyond a double.

    `k`, `M` and `B` move the decimal point, so `0.1k` is exactly 100.
    """
    power = _POWERS.get(word[-1], 0)
    digits = word[:-1] if power else word
    value = float(f"{digits}e{power}" if power else digits)
    if not math.isfinite(value):
        return None
    whole, point, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    if (point and not power) or not (whole + fraction).lstrip("+-").isdigit() or len(fraction) > power:
        return value
    # leading zeros count against the number of digits that `int` is willing to read
    sign = -1 if whole.startswith("-") else 1
    return sign * int((whole.lstrip("+-") + fraction.ljust(power, "0")).lstrip("0") or "0")


def shown(piece: str) -> str:
    """`piece` as a message quotes it: not too much of it."""
    return piece if len(piece) <= 40 else f"{piece[:37]}..."


def unquote(text: str) -> str:
    r"""What stands between the quotes of `text`, with `\"`, `\'` and `\\` decoded."""
    return re.sub(r"\\([\"'\\])", r"\1", text[1:-1])


@cache
def _grammar(name: str) -> Lark:
    from lark import Lark  # noqa: PLC0415 - loaded with the first text that is read

    return Lark.open_from_package(
        "optplan.grammar", f"{name}.lark", ("",), parser="lalr", propagate_positions=True, maybe_placeholders=False
    )


def _too_long(text: str) -> Fault | None:
    if len(text) <= LENGTH:
        return None
    return Fault(f"an expression of {len(text)} characters; at most {LENGTH} are read", 0, 1, code="OP006")


def _blank(text: str, noun: str) -> Fault | None:
    return None if text.strip() else Fault(f"expected {noun}, found nothing", 0, len(text))


def _parse(language: Language, text: str) -> Tree[Token] | Fault:
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken  # noqa: PLC0415 - as in `_grammar`

    parser: Any = _grammar(language.name).parse_interactive(text)  # lark leaves its methods untyped
    # what could stand next is noted before a token is tried, which may already complete what stands before it
    expected, before, after = parser.choices(), "", 0
    opened: list[int] = []
    try:
        for token in parser.lexer_thread.lex(parser.parser_state):
            parser.feed_token(token)
            expected, before, after = parser.choices(), str(token), token.end_pos
            # by its kind: a lone `]` may also be a faulty path
            kind = token.type.rpartition("__")[2]
            if kind in ("LPAR", "LSQB"):
                opened.append(token.start_pos)
                if len(opened) > DEPTH:
                    return _too_deep(opened[-1], after)
            elif kind in ("RPAR", "RSQB"):
                opened.pop()
        tree: Tree[Token] = parser.feed_eof()
    except UnexpectedToken as error:
        begin = end = len(text)
        if error.token.type != "$END":
            begin, end = place(error.token)
    except UnexpectedCharacters as error:
        begin = end = error.pos_in_stream or 0
    else:
        return tree if _depth(tree) <= DEPTH else _too_deep(0, len(text))
    # what one grammar imports from another has the other's name before its own
    terminals = frozenset(name.rpartition("__")[2] for name in expected if name.rpartition("__")[2].isupper())
    # what a user sees as one piece, `=>` say, may be no token, or begin with one
    piece = _PIECE.match(text, begin)
    end = max(end, piece.end()) if piece else end
    stop = Stop(text, begin, end, before, after, terminals, tuple(opened))
    return _explain_bracket(stop, awaits_operand=bool(terminals & language.operand)) or language.explain(stop)


def _explain_bracket(stop: Stop, *, awaits_operand: bool) -> Fault | None:
    found = stop.found
    if found in ("'", '"'):
        return stop.fault(f"`{found}` is never closed", "put the same quote at the end of the text")
    if found in _CLOSING.values():
        if not stop.opened:
            return stop.fault(f"`{found}` closes nothing", "remove it, or open it before")
        if _CLOSING[stop.opener] == found:
            return None
    elif found or awaits_operand or not stop.opened:
        return None
    at = stop.opened[-1]
    return Fault(f"`{stop.opener}` is never closed", at, at + 1, f"add a `{_CLOSING[stop.opener]}`")


def _too_deep(begin: int, end: int) -> Fault:
    return Fault(f"an expression nested more than {DEPTH} deep", begin, end, "name its parts, and use the names")


def _depth(tree: Tree[Token]) -> int:
    from lark import Tree  # noqa: PLC0415 - as in `_grammar`

    depths: dict[int, int] = {}
    for part in tree.iter_subtrees():
        inner = (depths[id(child)] for child in part.children if isinstance(child, Tree))
        depths[id(part)] = 1 + max(inner, default=0)
    return depths[id(tree)]
