"""The three languages' common ground: a text and a grammar of `optplan.grammar` in, a node or one fault out.

Reading never recurses: brackets are counted while tokens arrive, and a node is made from its leaves up, so that neither
a long nor a deep text can do harm.  Where a text stops following its grammar it is described as a `Stop`, for which the
language finds the words.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from optplan.frontend.automaton import Halt, Nesting, Token, Whole
from optplan.frontend.tables import automaton

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optplan.diagnostics import Collector
    from optplan.source import Text

LENGTH = 10_000
DEPTH = 100

Node = TypeVar("Node")

_CLOSING = {"(": ")", "[": "]"}
_PIECE = r"[^\W\d]\w*|(?:\d+(?:\.\d*)?|\.\d+)\w*|-+>|&&?|\|\|?|=[=<>]*|<>|~=|."
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


# What typesetting makes of characters that the language has, where a text was copied from a page.
_TYPESET = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "`-`"),
    "\u00d7": "`*` for a product, `x` for a ratio",
    "\u2192": "`->`",
    "\u2264": "`<=`",
    "\u2265": "`>=`",
    "\u2260": "`!=`",
    **dict.fromkeys("\u201c\u201d\u201e", '`"`'),
    **dict.fromkeys("\u2018\u2019", "`'`"),
}


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
        if cure is None and self.found in _TYPESET:
            cure = f"write {_TYPESET[self.found]}; `{self.found}` is another character"
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
    fault = _too_long(text.value) or _blank(text.value, language.noun)
    faults: list[Fault] = []

    def made(rule: str, children: Sequence[Any], begin: int, end: int) -> Node | None:
        if None in children:
            return None
        try:
            return make(rule, children, begin, end)
        except InvalidError as error:
            faults.append(error.fault)
            return None

    if fault is None:
        found = automaton(language.name).read(text.value, made, DEPTH)
        if isinstance(found, Whole) and found.depth < DEPTH:
            for each in faults:
                report(each, language.code, text, collector)
            return cast("Node | None", found.node)
        fault = _stopped(language, text.value, found)
    report(fault, language.code, text, collector)
    return None


def place(token: Token) -> tuple[int, int]:
    """Where `token` begins and ends in its text."""
    return token.begin, token.end


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


def _too_long(text: str) -> Fault | None:
    if len(text) <= LENGTH:
        return None
    return Fault(f"an expression of {len(text)} characters; at most {LENGTH} are read", 0, 1, code="OP006")


def _blank(text: str, noun: str) -> Fault | None:
    return None if text.strip() else Fault(f"expected {noun}, found nothing", 0, len(text))


def _stopped(language: Language, text: str, found: Whole | Nesting | Halt) -> Fault:
    """The words for a text that is too deep, or does not follow its grammar."""
    if isinstance(found, Whole):
        return _too_deep(0, len(text))
    if isinstance(found, Nesting):
        return _too_deep(found.begin, found.end)
    # what a user sees as one piece, `=>` say, may be no token, or begin with one
    piece = re.compile(_PIECE, re.DOTALL).match(text, found.begin)
    end = max(found.end, piece.end()) if piece else found.end
    before = text[found.before : found.after]
    stop = Stop(text, found.begin, end, before, found.after, found.expected, found.opened)
    return _explain_bracket(stop, awaits_operand=bool(found.expected & language.operand)) or language.explain(stop)


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
