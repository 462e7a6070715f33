"""The curves of a file's policies, each made once for all that it builds on and all that it asks of a parameter.

Takes a policy, the curve that stood before and a parameter's attributes; gives the curve, or None once what is wrong
has been reported: for a policy that asks for attributes in the name of a parameter, and once for each place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optplan.diagnostics import Collector
from optplan.resolve.structure import asked

if TYPE_CHECKING:
    from optplan.config import Scheduled
    from optplan.resolve.curve import Curve
    from optplan.resolve.schedule import Resolver
    from optplan.resolve.value import Attributes

_ATTRIBUTES = ("ndim", "numel", "fan_in", "fan_out", "layer", "shape")


def listed(names: frozenset[str]) -> tuple[str, ...]:
    """The attributes among `names`, in a fixed order; `layers` is none, it is the same for all parameters."""
    return tuple(name for name in _ATTRIBUTES if name in names)


def numbers(attributes: Attributes, names: tuple[str, ...]) -> tuple[object, ...]:
    """The values of the attributes `names`: what parameters must share to be treated alike by what asks for these."""
    return tuple(attributes.shape if name == "shape" else attributes.get(name) for name in names)


class Curves:
    """The curves of the policies of one file, by `resolver`."""

    def __init__(self, resolver: Resolver, collector: Collector) -> None:
        self._resolver, self._collector = resolver, collector
        self._asked: dict[int, tuple[bool, tuple[str, ...]]] = {}
        self._made: dict[object, tuple[Curve | None, Curve | None, Scheduled]] = {}
        self._told: set[tuple[object, ...]] = set()

    def curve(self, scheduled: Scheduled, before: Curve | None, attributes: Attributes, name: str) -> Curve | None:
        """The curve for a parameter with these `attributes`; `name` is one, to blame in messages."""
        found = self._asked.get(id(scheduled))
        if found is None:
            names = asked(scheduled.policy)
            found = self._asked[id(scheduled)] = bool(names), listed(names)
        asks, names_asked = found
        key = id(scheduled), id(before), numbers(attributes, names_asked)
        made = self._made.get(key)
        if made is None:
            curve = self._own(scheduled, before, attributes, name) if asks else self._shared(scheduled, before)
            # What is keyed by identity is kept alive with it.
            made = self._made[key] = curve, before, scheduled
        return made[0]

    def _shared(self, scheduled: Scheduled, before: Curve | None) -> Curve | None:
        return self._resolver.resolve(scheduled.policy, before)

    def _own(self, scheduled: Scheduled, before: Curve | None, attributes: Attributes, name: str) -> Curve | None:
        found = Collector()
        curve = self._resolver.of(attributes, found).resolve(scheduled.policy, before)
        for each in found.diagnostics:
            place = each.code, each.source, each.line, each.column
            if place not in self._told:
                self._told.add(place)
                self._collector.add(replace(each, message=f"{each.message}, for `{name}`"))
        return curve
