"""Filters: a text such as `linear and ndim == 2 and not head` in, a `Filter` of `optplan.config` out.

The grammar is `filter.lark` of `optplan.grammar`.  A bare word is a predicate if one has that name, else a set, else a
path; whether a path covers anything is known only with a network.  Every node has its exact place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from optplan.diagnostics import suggestion
from optplan.filter import And, Compare, Inside, Not, Or, Predicate, Regex, SetName, TypeIs
from optplan.frontend.grammar import Fault, Language, Stop, build, fail, parse_number, place, shown, unquote
from optplan.frontend.patterns import CODE as PATTERN_CODE
from optplan.frontend.patterns import read_literal, read_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from optplan.diagnostics import Collector
    from optplan.filter import Filter, Path
    from optplan.frontend.automaton import Token
    from optplan.source import Text

FUNCTIONS = ("path", "type", "inside")

DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)

_OTHER_DTYPES = {
    **dict.fromkeys(("half", "fp16", "f16"), "float16"),
    **dict.fromkeys(("float", "fp32", "f32"), "float32"),
    **dict.fromkeys(("double", "fp64", "f64"), "float64"),
    "bf16": "bfloat16",
    "int": "int32",
    "long": "int64",
}
_OTHER_OPERATORS = {
    **dict.fromkeys(("&", "&&", "AND", "And", "^"), "and"),
    **dict.fromkeys(("|", "||", "OR", "Or", ",", ";"), "or"),
    **dict.fromkeys(("!", "~", "NOT", "Not"), "not"),
}
_OTHER_COMPARISONS = {"=": "==", "===": "==", "=>": ">=", "=<": "<=", "<>": "!=", "~=": "!="}
_ATTRIBUTE = re.compile(r"([A-Za-z_]\w*)(?:\[([+-]?[0-9]{1,9})\])?")
_CLASS_NAME = re.compile(r"[\w*?]+(?:\.[\w*?]+)*")


def parse_filter(
    text: Text,
    collector: Collector,
    *,
    sets: Collection[str],
    predicates: Collection[str],
    attributes: Collection[str],
) -> Filter | None:
    """The filter that `text` is, or None with every fault reported.

    `sets` are the document's own, `predicates` and `attributes` the language's; of the attributes `shape` takes an
    index and `dtype` is compared with a word, the rest are numbers.
    """
    return build(_LANGUAGE, text, collector, _Builder(text, sets, predicates, attributes).make)


@dataclass(frozen=True, slots=True)
class _Builder:
    text: Text
    sets: Collection[str]
    predicates: Collection[str]
    attributes: Collection[str]

    def make(self, rule: str, children: Sequence[Any], begin: int, end: int) -> Filter:
        """The node of one rule of the grammar."""
        span = self.text.span(begin, end)
        if rule == "disjunction":
            return Or(tuple(children), span)
        if rule == "conjunction":
            return And(tuple(children), span)
        if rule == "inversion":
            return Not(children[0], span)
        if rule == "word":
            return self._word(children[0], begin, end)
        if rule == "comparison":
            return self._comparison(*children)
        if rule == "regex":
            return self._regex(children[0], begin, end)
        return self._call(children[0], children[1:], begin, end)

    def _word(self, word: Token, begin: int, end: int) -> Filter:
        span = self.text.span(begin, end)
        if word in self.predicates:
            return Predicate(str(word), span)
        if word in self.sets:
            return SetName(str(word), span)
        attribute = _ATTRIBUTE.fullmatch(word)
        if attribute and attribute[1] in self.attributes and (attribute[2] is None or attribute[1] == "shape"):
            example = {"shape": f"shape[{attribute[2] or 0}] == 1024", "dtype": "dtype == float16"}
            compared = example.get(attribute[1], f"{word} == 2")
            cure = f"compare it, as in `{compared}`; a path of this name is `path({word})`"
            fail(f"`{word}` is an attribute, and no filter alone", (begin, end), cure)
        return read_path(self.text, begin, end, "bare")

    def _comparison(self, left: Token, operator: Token, right: Token) -> Compare:
        attribute = _ATTRIBUTE.fullmatch(left)
        if attribute is None or attribute[1] not in self.attributes:
            self._unknown_attribute(left, operator, right)
        name, index = attribute[1], attribute[2]
        if name == "shape" and index is None:
            fail("`shape` has several sizes", place(left), "write `shape[0]` for the first of them")
        if name != "shape" and index is not None:
            fail(f"`{name}` has no elements", place(left), f"write `{name}`")
        value = _dtype(operator, right) if name == "dtype" else _number(operator, right)
        span = self.text.span(place(left)[0], place(right)[1])
        return Compare(name, None if index is None else int(index), str(operator), value, span)

    def _unknown_attribute(self, left: Token, operator: Token, right: Token) -> NoReturn:
        if left in self.predicates or left in self.sets:
            cure = f"a predicate stands alone: `{left}` or `not {left}`"
            fail(f"`{left}` is a predicate, and is not compared", place(left), cure)
        if right in self.attributes:
            turned = operator.translate(str.maketrans("<>", "><"))
            cure = f"write the attribute first: `{right} {turned} {left}`"
            fail(f"expected an attribute before `{operator}`, found `{shown(left)}`", place(left), cure)
        near = suggestion(left, self.attributes, f"the attributes are {_listed(self.attributes)}")
        fail(f"unknown attribute `{shown(left)}`", place(left), near, "OP204")

    def _regex(self, token: Token, begin: int, end: int) -> Regex:
        # pairs are read left to right, so that an escaped backslash before a slash stays one
        pattern = re.sub(r"\\(.)", lambda pair: "/" if pair[1] == "/" else pair[0], token[1:-1], flags=re.DOTALL)
        if not pattern:
            fail("an empty regular expression", (begin, end), "`all` is every parameter", PATTERN_CODE)
        problem = _check_regex(pattern)
        if problem is None:
            return Regex(pattern, self.text.span(begin, end))
        message, piece = problem
        if piece and piece != pattern and token.count(piece) == 1:
            begin += token.index(piece)
            end = begin + len(piece)
        cure = "RE2 has neither look-around nor back-references" if "perl" in message or "escape" in message else None
        return fail(f"not a regular expression of RE2: {message}", (begin, end), cure, PATTERN_CODE)

    def _call(self, function: Token, arguments: Sequence[Token], begin: int, end: int) -> Filter:
        if function not in FUNCTIONS:
            if function in self.predicates or function in self.sets:
                cure = f"write `{function}` alone, or join it to the parenthesis with `and` or `or`"
                fail(f"`{function}` takes nothing in parentheses", place(function), cure, "OP204")
            near = suggestion(function, FUNCTIONS, f"the functions are {_listed(FUNCTIONS)}")
            fail(f"unknown function `{shown(function)}`", place(function), near, "OP204")
        what = "a path" if function == "path" else "a class name"
        if not arguments:
            fail(f"expected {what} after `(`, found `)`", (end - 1, end))
        span = self.text.span(begin, end)
        if function == "path":
            return replace(self._path(arguments), span=span)
        names = tuple(_class_name(argument) for argument in arguments)
        return TypeIs(names, span) if function == "type" else Inside(names, span)

    def _path(self, arguments: Sequence[Token]) -> Path:
        first = arguments[0]
        if len(arguments) > 1:
            fail("`path` takes one path", place(arguments[1]), "join two with `or`")
        if first.type == "STRING":
            return read_literal(self.text, *place(first), unquote(first))
        return read_path(self.text, *place(first), "call")


def _number(operator: Token, right: Token) -> int | float:
    if right.type != "NUMBER":
        fail(f"expected a number after `{operator}`, found `{shown(right)}`", place(right))
    value = parse_number(right)
    if value is None:
        fail(f"`{shown(right)}` is beyond every double", place(right), code="OP107")
    return value


def _dtype(operator: Token, right: Token) -> str:
    if operator not in ("==", "!="):
        fail(f"`dtype` has no order, and `{operator}` asks for one", place(operator), "use `==` or `!=`")
    if right in DTYPES:
        return str(right)
    word = right.rpartition(".")[2]
    meant = _OTHER_DTYPES.get(word, word)
    cure = f"write `{meant}`" if meant in DTYPES else suggestion(word, DTYPES, f"known are {_listed(DTYPES)}")
    return fail(f"`{shown(right)}` is no dtype", place(right), cure)


def _class_name(argument: Token) -> str:
    if argument.type == "STRING":
        fail("a class name stands without quotes", place(argument), f"write `{unquote(argument)}`")
    if not _CLASS_NAME.fullmatch(argument):
        cure = "a class name has letters, digits and `_`, with `*` and `?` for others"
        fail(f"`{shown(argument)}` is no class name", place(argument), cure, PATTERN_CODE)
    return str(argument)


def _check_regex(pattern: str) -> tuple[str, str] | None:
    """What RE2 has against `pattern`, and the piece that it blames, if it has anything."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - loaded with the first regular expression

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except UnicodeEncodeError:
        return "not Unicode text", ""
    except re2.error as error:
        message, _, piece = error.args[0].decode("utf-8", "replace").partition(": ")
        return message, piece
    return None


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _explain(stop: Stop) -> Fault:
    found = stop.found
    if stop.before.isalpha() and stop.before in _OTHER_OPERATORS:
        # `NOT norm`: the operator was taken for a path, and what follows does not fit
        begin = stop.after - len(stop.before)
        return Fault(f"`{stop.before}` is no operator here", begin, stop.after, f"write `{stop.before.lower()}`")
    if "PATH" in stop.expected:
        return _explain_operand(stop)
    if "KIND" in stop.expected:
        begin = stop.after - len(stop.before)
        if stop.begin == stop.after and stop.before + found in _OTHER_COMPARISONS:
            operator = stop.before + found
            return Fault(f"`{operator}` does not compare", begin, stop.end, f"write `{_OTHER_COMPARISONS[operator]}`")
        compared = stop.text[:begin].rstrip()
        return stop.wanted("a dtype" if compared.endswith("dtype") else "a number")
    if "PATTERN" in stop.expected:
        function = stop.text[: stop.opened[-1]].rstrip()
        return stop.wanted("a path" if function.endswith("path") else "a class name")
    if "COMMA" in stop.expected and stop.before != "(":
        return stop.wanted("`,` or `)`")
    if "COMPARISON" in stop.expected and found in _OTHER_COMPARISONS:
        return stop.fault(f"`{found}` does not compare", f"write `{_OTHER_COMPARISONS[found]}`")
    if found in _OTHER_OPERATORS and _OTHER_OPERATORS[found] != "not":
        return stop.fault(f"`{found}` is no operator here", f"write `{_OTHER_OPERATORS[found]}`")
    if stop.begin == stop.after and re.fullmatch(r"[^\w\s()]", found) and re.match(r"[\w.*?{\[]", stop.before):
        return stop.fault(f"`{found}` cannot stand in a path", 'a path in quotes is taken to the letter: `path("a b")`')
    cure = None
    if found == "not" or _OTHER_OPERATORS.get(found) == "not":
        cure = "write `and not`"
    elif re.fullmatch("[<>=!]=?", found):
        cure = "compare an attribute with one number, and join two comparisons with `and`"
    return stop.wanted("`and` or `or`", cure)


def _explain_operand(stop: Stop) -> Fault:
    found = stop.found
    if _OTHER_OPERATORS.get(found) == "not":
        return stop.fault(f"`{found}` is no operator here", "write `not`")
    if found[:1] in ("'", '"'):
        return stop.fault("a text in quotes is no filter", f"for a path to the letter write `path({found})`")
    if found == "/":
        cure = "end it with `/`, and write `\\/` for a slash within"
        return stop.fault("`/` opens a regular expression that is never closed", cure)
    return stop.wanted("a filter")


_LANGUAGE = Language("filter", "OP201", "a filter", frozenset({"PATH", "PATTERN", "KIND"}), _explain)
