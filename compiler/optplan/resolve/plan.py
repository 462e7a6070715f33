"""The plan: what each parameter gets, as data.

A plan outlives files and models.  It is made of columns (a name, a shape and the number of a case per parameter) and
of what the columns point to: cases, which are shared by all parameters that the rules treat alike and carry the
settings and their history, and groups, which are what an optimizer will be given.  It is immutable, compares, pickles,
goes through JSON exactly, and refers to no model, text or catalog.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from html import escape
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from optplan.diagnostics import nearest, suggestion
from optplan.resolve.horizon import Horizon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.curve import Curve
    from optplan.resolve.network import Shape
    from optplan.resolve.training import Clip, LossScale
    from optplan.source import Span

FORMAT = "optplan.plan/1"
# how many names a group shows of its parameters
_SHOWN = 3

Setting = bool | int | float | str | None | tuple["Setting", ...]
"""The value of a hyper-parameter: a scalar, or a tuple of them."""

Settings = tuple[tuple[str, Setting], ...]
Curves = tuple[tuple[str, "Curve"], ...]
Options = tuple[tuple[str, tuple[tuple[str, Setting], ...]], ...]


class Touch(NamedTuple):
    """One step of the cascade for one key of one parameter.

    `before` and `after` are values (`after` equals `before` where the rule could not apply, which `note` explains);
    `rule` is the rule's name or filter, or the optimizer's key; line and column are those of the key, from 1.
    """

    key: str
    before: Setting
    after: Setting
    rule: str
    source: str
    line: int
    column: int
    note: str | None = None


class Origin(NamedTuple):
    """Where a rule, or the main optimizer, stands, and the line there, for messages when the file may be gone."""

    rule: str
    source: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str

    @classmethod
    def at(cls, rule: str, span: Span | None, text: str) -> Origin:
        """The origin of what stands at `span`; `text` stands for its line where there is none."""
        if span is None:
            return cls(rule, "", 0, 0, 0, 0, text)
        start, end = span.source.position(span.start), span.source.position(span.end)
        return cls(rule, span.source.name, *start, *end, span.source.line(start[0]))


@dataclass(frozen=True, slots=True)
class Case:
    """What the cascade gives to parameters that it treats alike; `group` is -1 for those that stay out."""

    group: int
    history: tuple[Touch, ...] = ()
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with one optimizer, one set of values and one set of policies.

    `optimizer` is the canonical name of its type; `numel` counts elements.  `origin` is the place in the plan's
    `origins` of the rule that chose the optimizer, or of the main one.
    """

    name: str
    optimizer: str
    values: Settings
    curves: Curves
    options: Options
    parameters: tuple[str, ...] = field(repr=False)
    numel: int = 0
    origin: int = 0

    def __repr__(self) -> str:
        some = ", ".join(self.parameters[:_SHOWN]) + (", ..." if len(self.parameters) > _SHOWN else "")
        rows = [("optimizer", self.optimizer), *((key, _shown(value)) for key, value in self.values)]
        rows += [(f"schedule {key}", str(curve)) for key, curve in self.curves]
        rows += [(f"{target}.{name}", _shown(value)) for target, each in self.options for name, value in each]
        rows.append(("parameters", f"{len(self.parameters):,}, {self.numel:,} elements: {some}"))
        width = max(len(name) for name, _ in rows)
        return "\n".join([f"group {self.name}", *(f"  {name:<{width}}  {text}" for name, text in rows)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    @property
    def settings(self) -> dict[str, Setting]:
        """Every hyper-parameter of the optimizer with this group's own value, before any schedule."""
        return dict(self.values)

    @property
    def schedule(self) -> dict[str, Curve]:
        """The curve of each scheduled key (`lr`, `betas[0]`)."""
        return dict(self.curves)

    def options_of(self, target: str) -> dict[str, Setting]:
        """The options that the file gives for one framework."""
        return dict(dict(self.options).get(target, ()))

    def own(self, key: str) -> float:
        """The group's own value of `key`, an element of a list (`betas[0]`) included; KeyError if there is none."""
        name, _, rest = key.partition("[")
        values = dict(self.values)
        if name not in values:
            hint = f"; {near}" if (near := suggestion(name, values)) else ""
            raise KeyError(f"`{self.optimizer}` has no setting {key!r}{hint}")
        value = values[name]
        if rest:
            place = rest.rstrip("]")
            if not isinstance(value, tuple) or not place.isdecimal() or int(place) >= len(value):
                raise KeyError(f"`{name}` of `{self.optimizer}` is {_shown(value)}: it has no {key!r}")
            value = value[int(place)]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            cure = f"; name an element, as in `{key}[0]`" if isinstance(value, tuple) else ""
            raise KeyError(f"{key!r} of `{self.optimizer}` is {_shown(value)}, no number{cure}")
        return value

    def value(self, key: str, t: int) -> float:
        """The number that update `t` uses for `key`; ValueError where a metric that is reported decides."""
        own = self.own(key)
        curve = dict(self.curves).get(key)
        if curve is None:
            return own
        if curve.waits is not None and t >= curve.waits[0]:
            begin, plateau = curve.waits
            what = f"from update {ceil(begin)} on `{key}` goes by the `{plateau.metric}` that the training loop reports"
            raise ValueError(f"{what}, and no plan knows it: `compiled.settings()` says what it has come to")
        return curve.value(t, own)


def _shown(value: Setting) -> str:
    """A setting as a file has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Treatment:
    """How one parameter is treated; `group` is None for one that stays out."""

    name: str
    shape: Shape
    aliases: tuple[str, ...]
    group: str | None
    optimizer: str | None
    settings: dict[str, Setting]
    schedule: dict[str, Curve]
    history: tuple[Touch, ...]


@dataclass(frozen=True)
class Plan:
    """See the head of the module.

    Columns: `names`, `shapes` and `case_of`, one entry per parameter of the network in its order.  `aliases` maps a
    tied parameter's further names to its canonical one, `natives` the names that the framework itself has for
    parameters which are known by a translation; all of them find the parameter.  `frozen` are the names taken out by a
    rule, `thawed` those that the network has frozen and a rule takes in.

    `clip` and `loss_scale` are None where the file says `none`; `accumulate` counts the batches of one update.
    """

    target: str | None
    groups: tuple[Group, ...]
    cases: tuple[Case, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    shapes: tuple[Shape, ...] = field(repr=False)
    case_of: tuple[int, ...] = field(repr=False)
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    frozen: tuple[str, ...] = ()
    thawed: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = field(default=(), repr=False)
    horizon: Horizon = field(default_factory=Horizon)
    diagnostics: tuple[Diagnostic, ...] = field(default=(), repr=False)
    clip: Clip | None = None
    loss_scale: LossScale | None = None
    accumulate: int = 1
    natives: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((self.groups, self.names, self.frozen))

    def __getstate__(self) -> dict[str, Any]:
        # What is cached is left behind: equal plans pickle to equal bytes.
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @cached_property
    def _index(self) -> dict[str, int]:
        index = {name: number for number, name in enumerate(self.names)}
        for others in (self.aliases, self.natives):
            index.update((other, index[name]) for other, name in others.items() if other not in index)
        return index

    def _find(self, name: str) -> int:
        found = self._index.get(name)
        if found is None:
            near = nearest(name, self._index)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise KeyError(f"the plan has no parameter {name!r}{hint}")
        return found

    def parameter(self, name: str) -> Treatment:
        """How the parameter of this name, any of its names if it is tied, is treated; KeyError if there is none."""
        index = self._find(name)
        canonical = self.names[index]
        case = self.cases[self.case_of[index]]
        group = self.groups[case.group] if case.group >= 0 else None
        return Treatment(
            canonical,
            self.shapes[index],
            tuple(alias for alias, first in self.aliases.items() if first == canonical),
            group.name if group else None,
            group.optimizer if group else None,
            group.settings if group else {},
            group.schedule if group else {},
            case.history,
        )

    def group_of(self, name: str) -> Group | None:
        """The group of a parameter; None if it stays out, KeyError if there is no such parameter."""
        number = self.cases[self.case_of[self._find(name)]].group
        return self.groups[number] if number >= 0 else None

    def value(self, name: str, key: str, t: int) -> float:
        """The number that update `t` (0 for the first) uses for `key` of parameter `name`, schedule included.

        Past the horizon a policy that has no end of its own holds the value of the last update within.
        KeyError if there is no such parameter, if it stays out, or if `key` is no number of its optimizer; ValueError
        if `t` is no number of an update.
        """
        if t < 0 or t != int(t):
            raise ValueError(f"updates are counted from 0: `t` is a whole number of at least 0, not {t}")
        group = self.group_of(name)
        if group is None:
            raise KeyError(f"parameter {name!r} is frozen: it has no {key!r}")
        curve, last = dict(group.curves).get(key), self.horizon.last
        if curve is not None and curve.endless and last is not None:
            t = min(t, last)
        return group.value(key, t)

    @property
    def numel(self) -> int:
        """How many elements are trained."""
        return sum(group.numel for group in self.groups)

    def to_data(self) -> dict[str, Any]:
        """The plan as JSON data, in the format `optplan.plan/1`."""
        from optplan.resolve.record import plan_data  # noqa: PLC0415 - it is made of what stands here

        return plan_data(self, FORMAT)

    def to_json(self, *, indent: int | None = None) -> str:
        """The plan as JSON; `Plan.from_json` of it is equal to the plan."""
        return json.dumps(self.to_data(), indent=indent, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The plan that `to_json` wrote; ValueError for anything else."""
        from optplan.resolve.record import read_plan  # noqa: PLC0415 - it is made of what stands here

        try:
            data = json.loads(text)
            if data.get("format") != FORMAT:
                raise ValueError(f"its format is {data.get('format')!r}, not {FORMAT!r}")  # noqa: TRY301 - told below
            return read_plan(cls, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
            raise ValueError(f"this is not a plan: {fault}") from fault

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what the plan does: groups, values, curves, order; not of files, history or names of groups."""
        from optplan.resolve.record import group_data, training_data  # noqa: PLC0415 - it is made of what stands here

        does = {
            "groups": [
                {key: value for key, value in group_data(group).items() if key not in {"name", "origin"}}
                for group in self.groups
            ],
            "frozen": sorted(self.frozen),
            "thawed": sorted(self.thawed),
            "clip": training_data(self.clip),
            "loss_scale": training_data(self.loss_scale),
            "accumulate": self.accumulate,
        }
        text = json.dumps(does, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256(text.encode()).hexdigest()[:32]
