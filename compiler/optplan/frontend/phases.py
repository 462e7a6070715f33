"""The phases of a policy held against the catalog: whether each is known, supported, and has the arguments it takes.

Takes a policy as it was read and reports what is wrong with it; guarantees, where it reports nothing, that every phase
is in the catalog, that `Phase.argument` finds each required argument, and that an argument is of its kind:

    duration   numbers and quantities with `+ - * /` and `min max floor ceil round`
    value      a ratio (`0.1x`, `0.5 * 1x`) or a number, never a sum of both
    number     an expression over numbers; a count is one that is whole where it is written out
    word       one of the argument's words
    text       in quotes
    list       `[...]` of durations or values
"""

from __future__ import annotations

import re
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from optplan.diagnostics import suggestion
from optplan.expression import (
    Before,
    Binary,
    Call,
    Constant,
    Into,
    Listing,
    Name,
    Negative,
    Number,
    Over,
    PerEpoch,
    Phase,
    Ratio,
    Then,
    Times,
)
from optplan.frontend.grammar import shown
from optplan.frontend.stock import argument_instead, unknown_phase
from optplan.frontend.values import Scope, check, walk
from optplan.source import Span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from optplan.catalog import ArgumentType, PolicyType
    from optplan.diagnostics import Collector
    from optplan.expression import Argument, Policy, Value

# What is counted in reports of a metric, not in updates.
_REPORTS = frozenset({"patience", "cooldown"})
_IN_A_RULE = "put the policy in a rule with `where: all`, whose own `schedule` may use it"


def check_policy(
    policy: Policy,
    collector: Collector,
    *,
    names: Collection[str],
    base: bool,
    attributes: Collection[str],
    phases: Mapping[str, PolicyType],
) -> bool:
    """Whether `policy` holds against the catalog's `phases`; the arguments are those of `parse_policy`."""
    checker = _Checker(collector, names, attributes, phases, base=base)
    checker.check(policy)
    checker.check_last(policy, None)
    return not checker.failed


class _Checker:
    def __init__(
        self,
        collector: Collector,
        names: Collection[str],
        attributes: Collection[str],
        phases: Mapping[str, PolicyType],
        *,
        base: bool,
    ) -> None:
        self.collector, self.phases, self.base = collector, phases, base
        self._scope = partial(Scope, names=names, attributes=attributes, otherwise=_IN_A_RULE)
        self.failed = False

    def check(self, policy: Policy) -> None:
        """Report every fault in `policy`, in the order of the text."""
        if isinstance(policy, Phase):
            self._phase(policy)
        elif isinstance(policy, Before):
            if not self.base:
                cure = "only a rule's own schedule may use `base`"
                self._error("OP306", "`base` has no meaning here", policy.span, cure)
        elif isinstance(policy, PerEpoch):
            self.check(policy.item)
        elif isinstance(policy, (Over, Into)):
            self.check(policy.first)
            self._ends(policy)
            self.check(policy.second)
        else:
            for item in policy.items:
                self.check(item)
            if isinstance(policy, Then):
                self._durations(policy)

    def check_last(self, policy: Policy, after: Policy | None, joined: str = "") -> None:
        """Report what stands `after` a phase that has to be last, and such a phase in anything but a chain."""
        match policy:
            case Phase(name):
                known = self.phases.get(name)
                if known is None or not known.last:
                    return
                if joined:
                    cure = f"write `->` before it: it goes by the reports of `{name}` and ends with the run"
                    self._error("OP404", f"`{name}` cannot be joined by `{joined}`", policy.name_span, cure)
                elif after is not None:
                    cure = f"put `{name}` at the end: how long it waits is told by what is reported"
                    self._error("OP404", f"nothing can follow `{name}`", after.span, cure)
            case Then(items):
                for place, item in enumerate(items):
                    self.check_last(item, items[place + 1] if place + 1 < len(items) else after, joined)
            case PerEpoch(item):
                self.check_last(item, None, joined or "per epoch")
            case Over(first, second) | Into(first, second):
                for item in (first, second):
                    self.check_last(item, None, joined or ("over" if isinstance(policy, Over) else "into"))
            case Times(items):
                for item in items:
                    self.check_last(item, None, joined or "*")

    def _phase(self, phase: Phase) -> None:
        known = self.phases.get(phase.name)
        if known is None:
            message, cure = unknown_phase(phase.name, self.phases)
            self._error("OP402", message, phase.name_span, cure)
            return
        if not known.supported:
            self._error("OP109", f"the phase `{phase.name}` is not supported yet", phase.name_span)
            return
        given: dict[str, Argument] = {}
        for argument in phase.arguments:
            kind = self._argument_type(phase, known, argument, given)
            if kind is not None:
                given[kind.name] = argument
                self._argument(known, kind, argument)
        if len(given) < len(phase.arguments):
            # a required argument may be the one that could not be understood
            return
        for name, kind in known.arguments.items():
            if kind.required and name not in given:
                about = kind.description[:1].lower() + kind.description[1:].rstrip(".")
                self._error("OP402", f"`{phase.name}` needs `{name}`", phase.name_span, f"add `{name}=`: {about}")

    def _argument_type(
        self, phase: Phase, known: PolicyType, argument: Argument, given: Mapping[str, Argument]
    ) -> ArgumentType | None:
        """What `argument` is an argument for, None with a fault where that cannot be."""
        if argument.name is None:
            if "for" not in known.arguments:
                message = f"`{phase.name}` takes no duration: it ends with the run"
                self._error("OP402", message, argument.span, _as_word(known, argument.value) or "remove it")
                return None
            if "for" not in given:
                return known.arguments["for"]
            cure = _named(known, argument.value)
            if given["for"].name is not None:
                cure = "remove one of the two"
                self._error("OP402", f"the duration of `{phase.name}` is given twice", argument.span, cure)
            else:
                message = f"`{phase.name}` takes one argument without a name, its duration"
                self._error("OP402", message, argument.span, cure)
            return None
        kind = known.arguments.get(argument.name)
        place = _name_span(argument)
        if kind is None:
            takes = "it takes " + ", ".join(f"`{name}`" for name in known.arguments)
            cure = argument_instead(argument.name, argument.value, known, self.phases)
            cure = cure or suggestion(argument.name, known.arguments, takes)
            self._error("OP402", f"`{phase.name}` has no argument `{shown(argument.name)}`", place, cure)
        elif kind.name in given:
            twice = f"`{kind.name}` is given twice"
            if given[kind.name].name is None:
                twice = f"the duration of `{phase.name}` is given twice"
            self._error("OP402", twice, place, "remove one of the two")
        else:
            return kind
        return None

    def _argument(self, phase: PolicyType, kind: ArgumentType, argument: Argument) -> None:
        value = argument.value
        if kind.kind == "word":
            self._word(kind, value)
        elif kind.kind == "text":
            if not (isinstance(value, Constant) and isinstance(value.value, str)):
                self._error("OP402", f"`{kind.name}` is a text", value.span, f'write `{kind.name}="..."`, in quotes')
        elif kind.kind != "list":
            if argument.name is None and isinstance(value, Ratio):
                message = f"expected a duration, found the ratio `{value}`"
                self._error("OP403", message, value.span, _named(phase, value))
                return
            self._plain(kind.kind, value, kind)
        elif not isinstance(value, Listing):
            self._error("OP402", f"`{kind.name}` is a list", value.span, f"write `{kind.name}=[{value}]`")
        elif not value.items:
            self._error("OP402", f"`{kind.name}` is an empty list", value.span)
        else:
            for item in value.items:
                self._plain(kind.items or "value", item)

    def _plain(self, kind: str, value: Value, argument: ArgumentType | None = None) -> None:
        """Check a duration, a value, a number or a count."""
        if kind == "duration":
            if self._in_scope(value, self._scope("a duration", "OP403", quantities=True)):
                self._duration(value)
        elif kind == "value":
            if self._in_scope(value, self._scope("a value", "OP405", ratios=True)):
                self._degree(value)
        elif argument is not None:
            what = "a number of reports" if argument.name in _REPORTS else "a number"
            if self._in_scope(value, self._scope(what, "OP402")):
                self._number(value, argument)

    def _in_scope(self, value: Value, scope: Scope) -> bool:
        fine = check(value, scope, self.collector)
        self.failed |= not fine
        return fine

    def _duration(self, value: Value) -> None:
        for node in walk(value):
            if (isinstance(node, Binary) and node.operator == "**") or (
                isinstance(node, Call) and node.function in ("sqrt", "log")
            ):
                what = node.function if isinstance(node, Call) else "**"
                cure = "a duration has `+ - * /` and `min max floor ceil round`"
                self._error("OP403", f"`{what}` in a duration", node.span, cure)

    def _number(self, value: Value, argument: ArgumentType) -> None:
        """Check the range of a number that is written out; an expression is checked once it has a value."""
        literal = _literal(value)
        if literal is None:
            return
        if argument.kind == "count" and literal != int(literal):
            self._error("OP402", f"`{argument.name}` is a whole number", value.span)
            return
        low, high = argument.minimum, argument.maximum
        if low is not None and (literal <= low if argument.exclusive_minimum else literal < low):
            relation = "above" if argument.exclusive_minimum else "at least"
            self._error("OP104", f"`{argument.name}` must be {relation} {low:g}", value.span)
        elif high is not None and (literal >= high if argument.exclusive_maximum else literal > high):
            relation = "below" if argument.exclusive_maximum else "at most"
            self._error("OP104", f"`{argument.name}` must be {relation} {high:g}", value.span)

    def _word(self, kind: ArgumentType, value: Value) -> None:
        listed = " or ".join(f"`{word}`" for word in kind.words) or "a word"
        if not isinstance(value, Name):
            word = f"write {listed}" if kind.words else _a_word(kind, value)
            self._error("OP402", f"`{kind.name}` is a word", value.span, word)
        elif kind.words and value.name not in kind.words:
            cure = suggestion(value.name, kind.words, f"write {listed}")
            self._error("OP402", f"`{kind.name}` cannot be `{shown(value.name)}`", value.span, cure)

    def _degree(self, value: Value) -> int | None:
        """1 for a ratio, 0 for a number, None for what is neither, which is reported."""
        if isinstance(value, Ratio):
            return 1
        if isinstance(value, Negative):
            return self._degree(value.item)
        if isinstance(value, Call):
            degrees = {self._degree(argument) for argument in value.arguments}
            if None in degrees:
                return None
            if degrees == {0}:
                return 0
            # Both kinds together are a floor or a ceiling: `max(0.01x, 1e-6)`.
            if value.function in ("min", "max"):
                return 1
            self._mixed(value, value.function)
            return None
        if not isinstance(value, Binary):
            return 0
        left, right = self._degree(value.left), self._degree(value.right)
        if left is None or right is None:
            return None
        possible = {"+": left == right, "-": left == right, "*": left + right <= 1, "/": right == 0}
        if possible.get(value.operator, left == right == 0):
            return max(left, right)
        self._mixed(value, value.operator)
        return None

    def _mixed(self, value: Value, operation: str) -> None:
        cure = "write every part as a ratio, such as `0.1x`, or every part as a number; only `*` and `/` take both"
        self._error("OP405", f"`{operation}` does not make a ratio or a number of these", value.span, cure)

    def _durations(self, chain: Then) -> None:
        """Only one phase of a chain may take what is left, and none where a last one does."""
        taking = [item for item in chain.items if isinstance(item, Phase) and self._last(item)]
        if taking:
            before = chain.items[: chain.items.index(taking[0])]
            for phase in (phase for item in before for phase in _open_phases(item, self.phases)):
                name, place = _shown(phase)
                message = f"`{name}` has no duration, and `{taking[0].name}` behind it takes what is left"
                self._error("OP404", message, place, "give it one, such as `10%`")
            return
        for phase in list(_open_phases(chain, self.phases))[1:]:
            name, place = _shown(phase)
            cure = "only one phase of a chain takes what is left: give the others a duration, such as `10%`"
            self._error("OP404", f"`{name}` is a second phase without a duration", place, cure)

    def _last(self, phase: Phase) -> bool:
        known = self.phases.get(phase.name)
        return known is not None and known.last

    def _ends(self, policy: Over | Into) -> None:
        """What stands before `over` or `into` says how long it lasts."""
        operator = "over" if isinstance(policy, Over) else "into"
        for phase in _open_phases(policy.first, self.phases):
            name, place = _shown(phase)
            cure = "what stands before it is there for a while: give it a duration, such as `10%`"
            if isinstance(phase, Before):
                cure = "what stands before it is there for a while: put `base` behind it"
            self._error("OP404", f"`{name}` has no duration, and `{operator}` needs one", place, cure)

    def _error(self, code: str, message: str, span: Span | None, cure: str | None = None) -> None:
        self.failed = True
        self.collector.error(code, message, span, help=cure)


def _literal(value: Value) -> int | float | None:
    """The number that `value` is without being computed."""
    if isinstance(value, Negative):
        inner = _literal(value.item)
        return None if inner is None else -inner
    return value.value if isinstance(value, Number) else None


def _named(phase: PolicyType, value: Value) -> str | None:
    """The cure for a value without its name: most often it is where the phase goes."""
    name = next((name for name in ("to", "at", "from") if name in phase.arguments), None)
    return f"write `{name}={value}`" if name else None


def _as_word(phase: PolicyType, value: Value) -> str | None:
    """The cure for a word without its name."""
    name = next((name for name, kind in phase.arguments.items() if kind.kind == "word" and kind.required), None)
    text = isinstance(value, Constant) and isinstance(value.value, str)
    return _a_word(phase.arguments[name], value) if name and (text or isinstance(value, Name)) else None


def _a_word(kind: ArgumentType, value: Value) -> str:
    """The cure for what is no word, and stands where any may."""
    said = value.value if isinstance(value, Constant) else str(value)
    word = re.sub(r"\W+", "_", str(said)).strip("_")
    if not re.match(r"[^\W\d]", word):
        return "write a word, of letters, digits and `_`"
    return f"write `{kind.name}={shown(word)}`: a word of letters, digits and `_`, without quotes"


def _shown(phase: Phase | Before) -> tuple[str, Span | None]:
    """What messages call a phase, and its place."""
    return ("base", phase.span) if isinstance(phase, Before) else (phase.name, phase.name_span)


def _name_span(argument: Argument) -> Span | None:
    """The place of the name of a named argument."""
    span = argument.span
    return span and Span(span.source, span.start, span.start + len(argument.name or ""))


def _open_phases(policy: Policy, known: Mapping[str, PolicyType]) -> Iterator[Phase | Before]:
    """What follows each other in `policy` and has no duration of its own."""
    if isinstance(policy, Before):
        yield policy
    elif isinstance(policy, Phase):
        kind = known.get(policy.name)
        if kind is not None and "for" in kind.arguments and policy.argument("for") is None:
            yield policy
    elif isinstance(policy, PerEpoch):
        yield from _open_phases(policy.item, known)
    elif isinstance(policy, (Over, Into)):
        yield from _open_phases(policy.second, known)
    elif isinstance(policy, Times):
        # these run at once, so that each may take what is left
        yield from islice((phase for item in policy.items for phase in _open_phases(item, known)), 1)
    elif isinstance(policy, Then):
        for item in policy.items:
            yield from _open_phases(item, known)
