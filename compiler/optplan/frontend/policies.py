"""Policies: a text such as `warmup(5%) -> cosine(to=0.01x)` in, a `Policy` of `optplan.config` out.

The grammar is `policy.lark` of `optplan.grammar`, which reads arguments as `value.lark` does.  Once the whole text
could be read it is held against the catalog, in `phases`.  How long a phase lasts is known only with a horizon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optplan.expression import Argument, Before, Into, Over, PerEpoch, Phase, Then, Times
from optplan.frontend.grammar import Fault, Language, Stop, build, fail, place, shown
from optplan.frontend.phases import check_policy
from optplan.frontend.stock import instead, unknown_phase
from optplan.frontend.values import OPERANDS, UNITS, ValueBuilder
from optplan.frontend.values import explain as explain_value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from optplan.catalog import PolicyType
    from optplan.diagnostics import Collector
    from optplan.expression import Policy
    from optplan.source import Text

_OTHER_ARROWS = ("=>", "→", ">", ">>", "|", ",", ";", "+", "-", "then", "and")


def parse_policy(
    text: Text,
    collector: Collector,
    *,
    names: Collection[str],
    base: bool,
    attributes: Collection[str],
    phases: Mapping[str, PolicyType],
) -> Policy | None:
    """The policy that `text` is, or None with every fault reported.

    Its arguments may use `names`, which `let` defines, the numbers among `attributes`, and `layers` where there are
    any; `base` says whether a policy stood before.  A rule's own schedule has both.  `phases` are those of the catalog.
    """
    policy = read_policy(text, collector, phases=phases)
    if policy is None:
        return None
    fine = check_policy(policy, collector, names=names, base=base, attributes=attributes, phases=phases)
    return policy if fine else None


def read_policy(text: Text, collector: Collector, *, phases: Collection[str]) -> Policy | None:
    """The policy that `text` is by its grammar alone; `phases` are only the names for suggestions."""
    policy: Policy | None = build(LANGUAGE, text, collector, _PolicyBuilder(text, durations=True, phases=phases).make)
    return policy


@dataclass(frozen=True, slots=True)
class _PolicyBuilder(ValueBuilder):
    phases: Collection[str] = ()

    def make(self, rule: str, children: Sequence[Any], begin: int, end: int) -> Any:
        span = self.text.span(begin, end)
        if rule == "then":
            return Then(tuple(children), span)
        if rule == "over":
            return Over(children[0], children[1], span)
        if rule == "into":
            return Into(children[0], children[1], span)
        if rule == "times":
            return Times(tuple(children), span)
        if rule == "per_epoch":
            return PerEpoch(children[0], span)
        if rule == "before":
            return Before(span)
        if rule == "phase":
            return Phase(str(children[0]), tuple(children[1:]), span, self.text.span(*place(children[0])))
        if rule == "argument":
            return Argument(str(children[0]) if len(children) > 1 else None, children[-1], span)
        if rule == "bare" and children[0] not in self.phases:
            message, cure = unknown_phase(children[0], self.phases)
            fail(message, (begin, end), cure, "OP402")
        if rule == "bare":
            fail(f"the phase `{children[0]}` without parentheses", (begin, end), f"write `{children[0]}()`")
        return ValueBuilder.make(self, rule, children, begin, end)


def _explain(stop: Stop) -> Fault:
    found, expected = stop.found, stop.expected
    if stop.opened and stop.before + found[:1] == "->":
        # the bracket makes the arrow's dash a minus
        return Fault(f"`{stop.opener}` is never closed", stop.opened[-1], stop.opened[-1] + 1, "close it before `->`")
    if "NUMBER" in expected:
        listed = "ARGUMENT" in expected
        return stop.wanted("an argument") if listed and found in ("", ",") else explain_value(stop)
    if "INDEX" in expected:
        return explain_value(stop)
    if "SUM" in expected or (stop.opened and "COMMA" in expected):
        return _explain_argument(stop)
    if "PHASE" in expected:
        number = re.fullmatch(r"\.?\d[\w.+-]*", found)
        ratio = "x" * (stop.before == "*" and not found.endswith("x"))
        return stop.wanted("a phase", f"`hold(at={found}{ratio})` keeps a value" if number else None)
    if "LPAR" in expected:
        dotted = re.match(r"[\w.]*", stop.text[stop.begin :]) if found == "." else None
        cure = instead(dotted[0]) if dotted else None
        return stop.wanted("`(`", cure or f"write `{shown(stop.before)}(...)`")
    if expected == {"_EPOCH"}:
        return stop.wanted("`epoch`", "write `per epoch`")
    cure = "write `->` between two phases" if found in _OTHER_ARROWS else None
    return stop.wanted("`->`", cure)


def _explain_argument(stop: Stop) -> Fault:
    """The words for what may not follow a complete expression among the arguments of a phase."""
    found = stop.found
    if found in ("over", "into", "per"):
        at = stop.opened[-1]
        return Fault(f"`{stop.opener}` is never closed", at, at + 1, f"close it before `{found}`")
    if found in (":", "=", "==") and re.fullmatch(r"[^\W\d]\w*", stop.before):
        return stop.fault(f"`{found}` does not name an argument", f"write `{stop.before}=...`")
    if found in UNITS:
        unit = "epoch" if found == "epochs" else found
        return stop.wanted(
            "an operator", f"a unit follows a number that is written out: write `* 1{' ' * (unit != '%')}{unit}`"
        )
    if found == "^" or stop.opener != "(":
        return explain_value(stop)
    if found == "." and re.fullmatch(r"[^\W\d]\w*", stop.before):
        return stop.wanted("`,` or `)`", "a word is of letters, digits and `_`")
    cure = "write a comma between two arguments" if found[:1].isalnum() else None
    return stop.wanted("`,` or `)`", cure)


LANGUAGE = Language("policy", "OP401", "a policy", OPERANDS | {"PHASE"}, _explain)
