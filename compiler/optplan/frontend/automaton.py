"""A text read by a grammar's tables: shift and reduce, one pass, no recursion.

Takes the tables that `tables` makes of a grammar, a text, and a function that makes the node of a rule; gives the node
of the whole text, or a `Halt` that says where the text stops following the grammar.  Every node is made once its last
character is read, inner before outer, left before right, so nothing but the nodes is ever built.

The tables, which are JSON:

    terminals   [name, pattern] in the order in which they are tried; the last one is the end of the text, without any
    ignored     the terminals that may stand anywhere and mean nothing
    rules       [nonterminal, name, size, children, kind]; the first is that of a whole text
    actions     for each state, terminal and action in turn: a state to go to, or -1 - r to reduce by rule r
    gotos       for each state, nonterminal and state in turn

`children` are the places of a rule's parts that are children of its node, as -1 - place where the part is a run of
children.  The kinds: `node` is made; `single` is made unless it has one child, which then stands for it; `run` is a run
of children for the rule around it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Match: TypeAlias = Callable[[str, int], re.Match[str] | None]
    Make: TypeAlias = Callable[[str, Sequence[Any], int, int], Any]

_OPENING, _CLOSING = ("LPAR", "LSQB"), ("RPAR", "RSQB")


class Token(str):
    """A piece of a text: `type` is its terminal, and it stands at `begin <= k < end`."""

    __slots__ = ("begin", "end", "type")
    type: str
    begin: int
    end: int


class Halt(NamedTuple):
    """Where a text stops following its grammar: the piece at `begin <= k < end` does not fit.

    The last piece that fitted stands at `before <= k < after`; `expected` are the terminals that could have followed
    it, `opened` the places of the brackets still open.
    """

    begin: int
    end: int
    before: int
    after: int
    expected: frozenset[str]
    opened: tuple[int, ...]


class Nesting(NamedTuple):
    """The bracket at `begin <= k < end` that is one too many in one another."""

    begin: int
    end: int


class Whole(NamedTuple):
    """What a text is, and how many nodes lie in one another there."""

    node: Any
    depth: int


class _Rule(NamedTuple):
    nonterminal: int
    name: str
    size: int
    children: tuple[int, ...]
    kind: str


class Automaton:
    """The tables of one grammar, ready to read texts."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._names = [_bare(name) for name, _ in tables["terminals"]]
        self._patterns: list[str | None] = [pattern for _, pattern in tables["terminals"]]
        self._ignored = frozenset(tables["ignored"])
        self._rules = [_Rule(each[0], _bare(each[1]), *each[2:]) for each in tables["rules"]]
        self._actions = [dict(zip(row[::2], row[1::2], strict=True)) for row in tables["actions"]]
        self._gotos = [dict(zip(row[::2], row[1::2], strict=True)) for row in tables["gotos"]]
        self._end = len(self._names) - 1
        # a grammar has far more states than one text comes through
        self._trials: dict[int, list[tuple[int, Match]]] = {}
        self._matches: dict[int, Match] = {}

    def read(self, text: str, make: Make, most: int) -> Whole | Nesting | Halt:
        """What `text` is, by `make(rule, children, begin, end)` for every node; at most `most` brackets may be open."""
        states = [0]
        stack: list[tuple[Any, int, int, int]] = []  # what was read, from where to where, and how deep it is
        opened: list[int] = []
        at = before = after = 0
        end = self._end
        while True:
            state = states[-1]
            terminal, stop = end, at
            if at < len(text):
                for each, match in self._trials.get(state) or self._tried(state):
                    found = match(text, at)
                    if found is not None:
                        terminal, stop = each, found.end()
                        break
                else:
                    return Halt(at, self._any(text, at), before, after, self._expected(state), tuple(opened))
                if terminal in self._ignored:
                    at = stop
                    continue
            action = self._actions[state].get(terminal)
            while action is not None and action < 0:
                rule = self._rules[-1 - action]
                if action == -1:
                    return Whole(stack[-1][0], stack[-1][3])
                self._reduce(rule, states, stack, make, at)
                action = self._actions[states[-1]].get(terminal)
            if action is None:
                return Halt(at, stop, before, after, self._expected(state), tuple(opened))
            name = self._names[terminal]
            token = Token(text[at:stop])
            token.type, token.begin, token.end = name, at, stop
            states.append(action)
            stack.append((token, at, stop, 0))
            if name in _OPENING:
                opened.append(at)
                if len(opened) > most:
                    return Nesting(at, stop)
            elif name in _CLOSING:
                opened.pop()
            before = at
            at = after = stop

    def _reduce(
        self, rule: _Rule, states: list[int], stack: list[tuple[Any, int, int, int]], make: Make, at: int
    ) -> None:
        """Put the parts of `rule`, which end the stack, together; a rule without any stands `at` the next token."""
        nonterminal, name, size, places, kind = rule
        if size == 1 and kind == "single":
            states[-1] = self._gotos[states[-2]][nonterminal]
            return
        children: list[Any] = []
        begin = end = at
        depth = 0
        if size:
            parts = stack[-size:]
            del stack[-size:]
            del states[-size:]
            for place in places:
                if place < 0:
                    children += parts[-1 - place][0]
                else:
                    children.append(parts[place][0])
            begin, end = parts[0][1], parts[-1][2]
            depth = max([part[3] for part in parts])
        node: Any = children
        if kind == "single" and len(children) == 1:
            node = children[0]
        elif kind != "run":
            node = make(name, children, begin, end)
            depth += 1
        states.append(self._gotos[states[-1]][nonterminal])
        stack.append((node, begin, end, depth))

    def _tried(self, state: int) -> list[tuple[int, Match]]:
        """What may come in `state`, in the order in which it is tried."""
        terminals = sorted(self._ignored | self._actions[state].keys())
        trials = self._trials[state] = [(each, self._match(each)) for each in terminals if each != self._end]
        return trials

    def _match(self, terminal: int) -> Match:
        if terminal not in self._matches:
            self._matches[terminal] = re.compile(self._patterns[terminal] or "").match
        return self._matches[terminal]

    def _any(self, text: str, at: int) -> int:
        """The end of the piece that stands `at` a place where nothing fits; `at` itself where it is none at all."""
        found = (self._match(terminal)(text, at) for terminal in range(self._end))
        return next((each.end() for each in found if each is not None), at)

    def _expected(self, state: int) -> frozenset[str]:
        return frozenset(self._names[terminal] for terminal in self._actions[state])


def _bare(name: str) -> str:
    """What one grammar imports from another has the other's name before its own."""
    return name.rpartition("__")[2]
