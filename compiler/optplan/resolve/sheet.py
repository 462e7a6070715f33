"""The working copy of a cascade: the values of one case as they stand, and which rules gave them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from optplan.expression import Before, Constant, Into, Number, Over, PerEpoch, Then, Times
from optplan.resolve.value import reads

if TYPE_CHECKING:
    from optplan.catalog import OptimizerType
    from optplan.config import Assignment, Scheduled
    from optplan.expression import Policy
    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Curves, Options, Setting, Settings, Touch
    from optplan.resolve.value import Attributes
    from optplan.source import Span

    Key = tuple[str, int | None]


class Outcome(NamedTuple):
    """What the cascade gives; `treatment` is None for a parameter that stays out.

    `treatment` is what parameters must share to share a group; `givers` are the rules that gave one of its values.
    """

    treatment: Treated | None
    givers: tuple[int, ...]
    chooser: int | None
    rules: tuple[int, ...]
    history: tuple[Touch, ...]


class Treated(NamedTuple):
    """Optimizer, values, curves and options."""

    optimizer: str
    values: Settings
    curves: Curves
    options: Options


@dataclass(slots=True)
class Sheet:
    """The working copy while one case is settled: values, and for each the rules that gave it."""

    type: OptimizerType
    attributes: Attributes
    values: dict[str, Setting] = field(default_factory=dict)
    curves: dict[Key, Curve] = field(default_factory=dict)
    options: dict[tuple[str, str], Setting] = field(default_factory=dict)
    givers: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    steps: dict[tuple[str, ...], list[tuple[int, object]]] = field(default_factory=dict)
    history: list[Touch] = field(default_factory=list)

    def gave(self, rule: int, key: tuple[str, ...], value: object, *, onto: bool) -> None:
        """Note that `rule` set `key` to `value`; `onto` what stood there, so that the earlier givers stay."""
        earlier = self.givers.get(key, [])
        self.givers[key] = [*earlier, rule] if onto else [rule]
        self.steps.setdefault(key, []).append((rule, value))

    def own(self, scheduled: Scheduled) -> float:
        """The own value of what a policy drives; 0 where it is no number."""
        value = self.values.get(scheduled.key)
        if scheduled.index is not None and isinstance(value, tuple):
            value = value[scheduled.index]
        return float(value) if isinstance(value, (int, float)) else 0.0

    def current(self, step: Step) -> Setting:
        """The value, or element of one, that an assignment is about to replace."""
        value = self.values.get(step.key)
        if step.index is None:
            return value
        return value[step.index] if isinstance(value, tuple) and step.index < len(value) else None

    def put(self, step: Step, value: Setting) -> None:
        """Replace it."""
        if step.index is None:
            self.values[step.key] = value
            return
        whole = self.values.get(step.key)
        if isinstance(whole, tuple):
            self.values[step.key] = (*whole[: step.index], value, *whole[step.index + 1 :])


@dataclass(slots=True)
class Step:
    """One assignment of a rule or an optimizer, with what does not change from case to case worked out once.

    `onto` tells that the value builds on what stood before; `known` has, by type of optimizer, the value of a plain
    constant that was found to be allowed.
    """

    assignment: Assignment
    key: str
    index: int | None
    name: str
    giver: tuple[str, ...]
    place: tuple[str, int, int]
    onto: bool
    constant: bool
    known: dict[str, Setting] = field(default_factory=dict)


def prepare(assignment: Assignment) -> Step:
    """The step that an assignment is."""
    key, index = assignment.key, assignment.index
    return Step(
        assignment,
        key,
        index,
        assignment.name,
        (key,) if index is None else (key, str(index)),
        place_of(assignment.key_span or assignment.span),
        "base" in reads(assignment.value),
        isinstance(assignment.value, (Number, Constant)),
    )


def place_of(span: Span | None) -> tuple[str, int, int]:
    """Source, line and column of a span."""
    if span is None:
        return "", 0, 0
    return span.source.name, *span.source.position(span.start)


def builds_on(policy: Policy) -> bool:
    """Whether a rule's policy takes up the one that stood before."""
    match policy:
        case Before():
            return True
        case Then(items) | Times(items):
            return any(map(builds_on, items))
        case Over(first, second) | Into(first, second):
            return builds_on(first) or builds_on(second)
        case PerEpoch(item):
            return builds_on(item)
    return False
