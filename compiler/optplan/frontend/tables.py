"""The tables by which `automaton` reads the expression languages, made of their grammars by Lark.

Making them takes longer than checking a file does, so they lie ready in `tables.json` beside the grammars, which
`python -m optplan.frontend.tables` writes.  Each is kept with the checksums of the texts that it came from: where one
of these has another text by now, the table is made anew.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any
from zlib import crc32

from optplan.frontend.automaton import Automaton

# the languages, each with the grammars that its own is made of
SOURCES = {"filter": ("filter",), "value": ("value",), "policy": ("policy", "value"), "form": ("form", "value")}

_PACKAGE, _FILE = "optplan.grammar", "tables.json"


@cache
def automaton(name: str) -> Automaton:
    """The automaton of a language, from the tables at hand if these are of its grammar."""
    at_hand = _at_hand().get(name)
    if at_hand is not None and at_hand["sources"] == _checksums(name):
        return Automaton(at_hand)
    return Automaton(make_tables(name))


def make_tables(name: str) -> dict[str, Any]:
    """The tables of a language, whose form `automaton` describes; the same for the same grammar, always.

    ValueError where the grammar uses what the automaton does not do.
    """
    from lark import Lark  # noqa: PLC0415 - it takes a while, and is not needed where the tables are at hand

    grammar = Lark.open_from_package(_PACKAGE, f"{name}.lark", ("",), parser="lalr", maybe_placeholders=False)
    frontend: Any = grammar.parser
    # sorted as Lark tries them: by priority, then longest first
    terminals = frontend.lexer.root_lexer.terminals
    _refuse_keywords(frontend.lexer)
    table = frontend.parser._parse_table  # noqa: SLF001 - what Lark itself saves a parser by
    rules = sorted(grammar.rules, key=_rule_order)
    if [rule.origin.name for rule in rules].count("start") != 1:
        raise ValueError(f"`{name}.lark` must have one rule for `start`")
    nonterminals = sorted({str(rule.origin.name) for rule in rules})
    terminal_at = {each.name: place for place, each in enumerate(terminals)} | {"$END": len(terminals)}
    nonterminal_at = {each: place for place, each in enumerate(nonterminals)}
    rule_at = {rule: place for place, rule in enumerate(rules)}
    order = _state_order(table)
    actions, gotos = [], []
    for state in order:
        steps, jumps = {}, {}
        for symbol, (kind, to) in table.states[state].items():
            if symbol in nonterminal_at:
                jumps[nonterminal_at[symbol]] = order[to]
            else:
                steps[terminal_at[symbol]] = -1 - rule_at[to] if str(kind) == "Reduce" else order[to]
        actions.append(_flat(steps))
        gotos.append(_flat(jumps))
    return {
        "sources": _checksums(name),
        "terminals": [*([each.name, each.pattern.to_regexp()] for each in terminals), ["$END", None]],
        "ignored": sorted(terminal_at[each] for each in frontend.lexer.root_lexer.ignore_types),
        "rules": [_rule(rule, nonterminal_at) for rule in rules],
        "actions": actions,
        "gotos": gotos,
    }


def all_tables() -> str:
    """The content of `tables.json`: a line for every row of a table."""
    languages = []
    for name in SOURCES:
        parts = []
        for key, rows in make_tables(name).items():
            text = json.dumps(rows)
            if key in ("terminals", "rules", "actions", "gotos"):
                text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"
            parts.append(f'"{key}": {text}')
        languages.append(f'"{name}": {{\n' + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(languages) + "\n}\n"


@cache
def _at_hand() -> dict[str, Any]:
    file = files(_PACKAGE).joinpath(_FILE)
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


@cache
def _checksum(name: str) -> int:
    # of the lines, whatever an archive or an editor made of their ends
    text = files(_PACKAGE).joinpath(f"{name}.lark").read_text(encoding="utf-8")
    return crc32("\n".join(text.splitlines()).encode())


def _checksums(name: str) -> dict[str, int]:
    return {each: _checksum(each) for each in SOURCES[name]}


def _refuse_keywords(lexer: Any) -> None:
    """Where a pattern takes in another terminal's whole text, Lark finds that terminal; an automaton would not."""
    for each in lexer.lexers.values():
        each.scanner  # noqa: B018 - made when it is first asked for, and the callbacks with it
        if each.callback:
            raise ValueError(f"a pattern takes in the text of another terminal: {', '.join(sorted(each.callback))}")


def _rule_order(rule: Any) -> tuple[bool, str, list[str], str]:
    """An order of the rules that begins with `start` and does not depend on how Lark came by them."""
    return rule.origin.name != "start", rule.origin.name, [each.name for each in rule.expansion], rule.alias or ""


def _rule(rule: Any, nonterminal_at: dict[str, int]) -> list[Any]:
    options, origin = rule.options, str(rule.origin.name)
    children = [
        -1 - place if not each.is_term and each.name.startswith("_") else place
        for place, each in enumerate(rule.expansion)
        if options.keep_all_tokens or not (each.is_term and each.filter_out)
    ]
    kind = "run" if origin.startswith("_") else "single" if options.expand1 and not rule.alias else "node"
    return [nonterminal_at[origin], str(rule.alias or origin), len(rule.expansion), children, kind]


def _state_order(table: Any) -> dict[int, int]:
    """A number for each state, counted from the start in an order that does not depend on Lark's own numbers."""
    (start,) = table.start_states.values()
    order = {start: 0}
    todo = [start]
    for state in todo:
        for _, (kind, to) in sorted(table.states[state].items()):
            if str(kind) != "Reduce" and to not in order:
                order[to] = len(order)
                todo.append(to)
    return order


def _flat(row: dict[int, int]) -> list[int]:
    return [number for pair in sorted(row.items()) for number in pair]


if __name__ == "__main__":
    from pathlib import Path

    Path(str(files(_PACKAGE).joinpath(_FILE))).write_text(all_tables(), encoding="utf-8", newline="\n")
