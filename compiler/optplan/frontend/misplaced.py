"""Numbers of a document, and what is said where a policy stands in a number's place: `lr: cosine()`.

Takes the text of a setting or of a number of `let`; gives its `Value`, or None with every fault reported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector
from optplan.frontend.grammar import shown
from optplan.frontend.policies import read_policy
from optplan.frontend.stock import instead
from optplan.frontend.values import parse_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from optplan.expression import Value
    from optplan.source import Text

_CURE = "put it under `schedule`, by the same key, and leave here the number that is `1x` in it"
_BEGIN = re.compile(r"\s*([^\W\d]\w*)\s*(\(|$)")


def read_number(
    text: Text,
    collector: Collector,
    *,
    names: Collection[str],
    base: bool,
    attributes: Collection[str],
    phases: Collection[str],
) -> Value | None:
    """What `parse_value` gives; a policy, whose `phases` are those of the catalog, is told as what it is."""
    found = Collector()
    value = parse_value(text, found, names=names, base=base, attributes=attributes)
    if value is None and _is_policy(text, phases):
        message = f"`{shown(text.value.strip())}` is a policy, where a number is expected"
        collector.error("OP301", message, text.span(0, len(text.value)), help=_CURE)
        return None
    for each in found.diagnostics:
        collector.add(each)
    return value


def _is_policy(text: Text, phases: Collection[str]) -> bool:
    """Whether `text`, which is no number, has the form of a policy: a phase, or what stands around `->`."""
    if "->" in text.value:
        return True
    begin = _BEGIN.match(text.value)
    if begin is None or not (begin[1] in phases or instead(begin[1])):
        return False
    return not begin[2] or read_policy(text, Collector(), phases=phases) is not None
