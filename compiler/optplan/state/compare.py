"""Saved state held against a plan: what goes where, and what differs.

Parameters are found by name, by any of the names that they have, so that they keep their state whatever group they
were in.  Guarantees that nothing is taken for what it is not: state of another optimizer or of another shape is told,
and left out.

    strict        what is missing, extra, of another shape or of another optimizer is a ConfigError (OP703 to OP706)
    not strict    it is told only: what is missing or does not fit begins anew, what is extra is left out
    on_load       "config"      the settings of the plan stand; where they differ from the saved ones, that is told
                  "checkpoint"  the saved settings take the place of the plan's.  Of a key that the plan schedules it is
                                the own value that its curve starts from: the saved own value where it was scheduled
                                then too, else the value as it stood.  What was scheduled then and is not now stays at
                                the value as it stood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, get_args

from optplan.diagnostics import Collector, ConfigError
from optplan.resolve.watches import Watches
from optplan.state.fields import HOLDS_SPARSE, alike, fields_of, is_late
from optplan.state.kinship import carried, settings_of
from optplan.state.saved import UNNAMED, dtype_of, is_array, is_sparse, number
from optplan.state.settings import differing, own_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Group, Plan
    from optplan.setting import Plain
    from optplan.state.fields import Shape
    from optplan.state.saved import Saved, SavedGroup, SavedScaler, Value

    Fields = Callable[[Group, str, Shape], tuple[Mapping[str, Shape | None], frozenset[str]] | None]
    """As `table`: for the target's own classes, where these have other state."""

__all__ = ["Differences", "OnLoad", "Placement", "place", "table"]

OnLoad = Literal["config", "checkpoint"]

# How many names a message tells
_NAMED = 5
# What becomes of it with `strict=False`
_ANEW = "they begin anew"
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between a saved state and the plan that it is loaded under; false where nothing does.

    `diagnostics` tells it in words, `str()` prints it.  The rest are names of parameters: `missing` begin anew,
    `extra` are in the saved state only, `reshaped` and `reoptimized` had another shape or optimizer, `regrouped` stand
    in another group than they did.  `settings` has by group and key the saved value and the plan's, for t.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    reoptimized: tuple[str, ...] = ()
    regrouped: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, Plain, Plain], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(map(str, self.diagnostics)) or "the saved state fits the plan: nothing differs"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Placement:
    """What a saved state comes to under a plan, all of it by the plan's names.

    `state` has the fields of each parameter that does not begin anew; a number stands for a tensor that is filled with
    it where the field is one.  `settings` has the own values of each group by key: the plan's, under
    `on_load="checkpoint"` with the saved ones in their place.  `updates` is t.  `scaler` is None where the plan's loss
    scale begins anew, `reports` is None where its watches do.
    """

    updates: int
    state: Mapping[str, Mapping[str, Value]]
    settings: Mapping[str, Mapping[str, Plain]]
    scaler: SavedScaler | None
    reports: tuple[Mapping[str, Any], ...] | None
    differences: Differences


def table(group: Group, name: str, shape: Shape) -> tuple[Mapping[str, Shape | None], frozenset[str]] | None:  # noqa: ARG001 - `Fields` of a target may go by it
    """The fields of a parameter of `group` once an update was made, and which of them need not be there."""
    return fields_of(group.optimizer, group.settings, group.schedule, shape)


def place(
    saved: Saved,
    plan: Plan,
    *,
    on_load: OnLoad = "config",
    strict: bool = True,
    fields: Fields = table,
) -> Placement:
    """What goes where.

    ConfigError for what `strict` does not let pass, and for settings that cannot be carried over (OP707).
    """
    if on_load not in get_args(OnLoad):
        raise ValueError(f"`on_load` is 'config' or 'checkpoint', not {on_load!r}")
    return _Comparison(saved, plan, fields, strict=strict).run(on_load)


class _Comparison:
    """One comparison, with what it finds in `_collector`."""

    def __init__(self, saved: Saved, plan: Plan, fields: Fields, *, strict: bool) -> None:
        self._saved, self._plan, self._fields, self._strict = saved, plan, fields, strict
        self._collector = Collector()
        self._shapes = dict(zip(plan.names, plan.shapes, strict=True))
        self._group = {name: group for group in plan.groups for name in group.parameters}
        # By the plan's names: the saved group and the saved fields
        self._was: dict[str, SavedGroup] = {}
        self._state: dict[str, Mapping[str, Value]] = {}
        # A saved group as one of another optimizer, by both
        self._kin: dict[tuple[int, int], SavedGroup | None] = {}

    def run(self, on_load: OnLoad) -> Placement:
        extra = self._find()
        missing = [name for name in self._group if name not in self._was]
        self._names("OP703", "the saved state lacks", missing, "that the plan trains", _ANEW)
        self._names("OP704", "the saved state has", extra, "that the plan does not train", "it is left out")
        other = self._optimizers()
        trained = {name: was for name, was in self._was.items() if name not in other}
        own = own_values(self._plan, trained, self._collector, saved=on_load == "checkpoint", strict=self._strict)
        settled = {group.name: _settled(group, own[group.name]) for group in self._plan.groups}
        state: dict[str, dict[str, Value]] = {}
        reshaped: list[str] = []
        lacking: dict[tuple[str, str], list[str]] = {}
        beside: dict[tuple[str, str], list[str]] = {}
        for name, group in self._group.items():
            if name in other or not self._state.get(name):
                continue
            kept = self._kept(name, settled[group.name], lacking, beside)
            if kept is None:
                reshaped.append(name)
            elif kept:
                state[name] = kept
        for (optimizer, field), names in lacking.items():
            what = f"the saved state has no `{field}`, which `{optimizer}` needs here, of"
            begins = "made by the next update" if is_late(optimizer, field) else "0 at first"
            self._names("OP703", what, names, "", f"it is {begins}")
            missing += [name for name in names if name not in missing]
        for (optimizer, field), names in beside.items():
            what = f"the saved state has `{field}`, which `{optimizer}` does not use here, of"
            self._names("OP704", what, names, "", "it is left out")
        reports = self._reports()
        regrouped = self._regrouped()
        settings = differing(self._plan, trained, self._saved.updates, self._collector)
        self._scale()
        found = tuple(sorted(self._collector.diagnostics, key=lambda each: _ORDER.index(each.severity)))
        if self._strict and self._collector.failed:
            raise ConfigError(found)
        found = tuple(replace(each, severity="warning") if each.severity == "error" else each for each in found)
        other_names = tuple(other)
        differences = Differences(
            found, tuple(missing), tuple(extra), tuple(reshaped), other_names, tuple(regrouped), tuple(settings)
        )
        scaler = self._saved.scaler if self._plan.loss_scale is not None else None
        return Placement(self._saved.updates, state, own, scaler, reports, differences)

    # Names

    def _find(self) -> list[str]:
        """Find what was saved under the plan's names; those that are not trained here, and two of one parameter."""
        plan = self._plan
        extra: dict[str, None] = {}
        twice = []
        for group in self._saved.groups:
            for name in group.parameters:
                mine = self._canonical(name)
                if mine not in self._group:
                    extra[name] = None
                elif mine in self._was:
                    twice.append(name)
                else:
                    self._was[mine] = group
        for name, fields in self._saved.state.items():
            mine = self._canonical(name)
            if mine not in self._group:
                # What never had a gradient has nothing that could be lost.
                if fields:
                    extra[name] = None
            elif mine in self._was and mine not in self._state:
                self._state[mine] = fields
            elif name not in twice:
                twice.append(name)
        if twice:
            what = "the network has tied what was apart, and the saved state has more than one for"
            self._names("OP704", what, [self._canonical(name) for name in twice], "", "the first counts")
        frozen = [name for name in extra if self._canonical(name) in plan.names]
        if frozen:
            self._collector.note("OP704", f"frozen here, and trained when it was saved: {_some(frozen)}")
        return list(extra)

    def _canonical(self, name: str) -> str:
        if name in self._shapes:
            return name
        return self._plan.aliases.get(name) or self._plan.natives.get(name) or name

    def _names(self, code: str, lead: str, names: Sequence[str], tail: str, otherwise: str) -> None:
        if not names:
            return
        count = "1 parameter" if len(names) == 1 else f"{len(names)} parameters"
        middle = f" {tail}" if tail else ""
        self._tell(code, f"{lead} {count}{middle}: {_some(names)}", otherwise)

    def _tell(self, code: str, what: str, otherwise: str) -> None:
        """Report what `strict` does not let pass; without it `otherwise` is what happens, else the cure."""
        if self._strict:
            self._collector.error(code, what, help=f"with `strict=False` {otherwise}")
        else:
            self._collector.warning(code, f"{what}; {otherwise}")

    # State

    def _optimizers(self) -> dict[str, None]:
        """The parameters whose state is of an optimizer with another one."""
        changed: dict[tuple[str, str, bool], list[str]] = {}
        for name, was in tuple(self._was.items()):
            now = self._group[name].optimizer
            if was.optimizer != now:
                keeps = alike(was.optimizer, now) or self._carry(name, was)
                changed.setdefault((was.optimizer, now, keeps), []).append(name)
        lost: dict[str, None] = {}
        for (was_type, now, keeps), names in changed.items():
            of = "an optimizer that it does not name" if was_type == UNNAMED else f"`{was_type}`"
            what = f"the saved state is of {of}, and the plan has `{now}`, for"
            self._names("OP706", what, names, "", "it is kept: the two have the same" if keeps else _ANEW)
            if not keeps:
                lost.update(dict.fromkeys(names))
        for group in self._plan.groups:
            before = [self._was[name].parameters for name in group.parameters if name in self._was]
            listed = tuple(self._canonical(name) for name in before[0]) if before else ()
            if group.optimizer == "lbfgs" and before and group.parameters[0] not in lost and listed != group.parameters:
                what = "`lbfgs` keeps one state for all parameters in their order, which was another, for"
                self._names("OP706", what, group.parameters, "", _ANEW)
                lost.update(dict.fromkeys(group.parameters))
        return lost

    def _carry(self, name: str, was: SavedGroup) -> bool:
        """Have a parameter's state in the words of an optimizer of the same formula; whether there are any."""
        now = self._group[name]
        key = id(was), id(now)
        group = self._kin[key] if key in self._kin else self._kin.setdefault(key, settings_of(was, now))
        if group is None:
            return False
        state = carried(self._state.get(name, {}), was, now, self._shapes[name], self._saved.updates)
        if state is None:
            return False
        self._was[name], self._state[name] = group, state
        return True

    def _kept(
        self,
        name: str,
        group: Group,
        lacking: dict[tuple[str, str], list[str]],
        beside: dict[tuple[str, str], list[str]],
    ) -> dict[str, Value] | None:
        """The fields that are taken over; None where one has another shape."""
        given = self._state[name]
        expected = self._fields(group, name, self._shapes[name])
        if expected is None:
            return dict(given)
        needed, optional = expected
        kept: dict[str, Value] = {}
        for field, shape in needed.items():
            value = given.get(field)
            if value is not None or (field in given and shape is None):
                fault = None if shape is None else self._misfit(value, shape, group.optimizer)
                count = number(value) if field == "step" and fault is None else None
                if count is not None and (count < 0 or count % 1):
                    fault = f"is {number(value)}, and counts updates"
                if fault is not None:
                    self._tell("OP705", f"the saved `{field}` of `{name}` {fault}", "the parameter begins anew")
                    return None
                kept[field] = value
            elif field not in optional:
                lacking.setdefault((group.optimizer, field), []).append(name)
                if not is_late(group.optimizer, field):
                    kept[field] = 0.0
        for field, value in given.items():
            if field not in needed and value is not None:
                beside.setdefault((group.optimizer, field), []).append(name)
        return kept

    def _misfit(self, value: Value, shape: Shape, optimizer: str) -> str | None:
        """What is wrong with a value for a field of this shape, as the end of a sentence; None where it fits."""
        # A tensor of PyTorch itself, from a state dict of `torch.optim`, or its parts
        if (is_sparse(value) or getattr(value, "is_sparse", False)) and optimizer not in HOLDS_SPARSE:
            return f"is sparse, which no state of `{optimizer}` is"
        if is_sparse(value) and self._plan.target != "mindspore":
            indices, values = (_shape(each) for each in value[:2])
            fits = len(indices) == 2 and 0 < indices[0] <= len(shape) and (indices[1], *shape[indices[0] :]) == values
            return None if fits else f"is sparse, and not of shape {list(shape)}"
        if isinstance(value, tuple) or (shape and not is_array(value)):
            return f"is a `{'list' if isinstance(value, tuple) else type(value).__name__}`, and no tensor"
        there = _shape(value) if is_array(value) else ()
        if there != shape and (shape or any(extent != 1 for extent in there)):
            return f"has shape {list(there)}, and needs {list(shape)} here"
        if shape and not dtype_of(value).startswith(("float", "bfloat", "complex")):
            return f"has the type `{dtype_of(value):.40}`, which holds no fractions"
        if not shape and not isfinite(found := number(value) or 0.0):
            return f"is {found}"
        return None

    def _reports(self) -> tuple[Mapping[str, Any], ...] | None:
        """What was saved of each watch of the plan, in their order."""
        saved, watches = self._saved.reports, Watches(self._plan.groups)
        found = watches.in_order(saved)
        if found is not None:
            return tuple(found)
        if not saved:
            what = f"the saved state has no reports of {_some(watches.metrics)}, by which a `plateau` goes"
            self._tell("OP703", what, "it waits for the first one")
        else:
            told = "one `plateau`" if len(saved) == 1 else f"{len(saved)} `plateau`s"
            by = sorted({each["metric"] for each in saved if "metric" in each})
            told += f" by {_some(by)}" if by else ""
            here = f"{len(watches)} by {_some(watches.metrics)}" if watches else "none"
            what = f"the saved state has the reports of {told}, and the plan has {here}"
            self._tell("OP704", what, "they are left out")
        return None

    # Settings

    def _regrouped(self) -> list[str]:
        """Parameters whose group had another name, and has other parameters too."""
        before = {
            frozenset(mine for name in group.parameters if (mine := self._canonical(name)) in self._group)
            for group in self._saved.groups
        }
        found = []
        for group in self._plan.groups:
            names = [name for name in group.parameters if name in self._was]
            if names and frozenset(names) not in before:
                found += [name for name in names if self._was[name].name != group.name]
        if found:
            count = "1 parameter stands" if len(found) == 1 else f"{len(found)} parameters stand"
            what = f"{count} in another group than when the state was saved: {_some(found)}"
            self._collector.note("OP707", what)
        return found

    def _scale(self) -> None:
        scale, saved = self._plan.loss_scale, self._saved.scaler
        if scale is None and saved is not None:
            self._collector.note("OP707", "the state was saved with a loss scale, and the plan has none")
        elif scale is not None and saved is None and scale.kind == "dynamic":
            self._collector.note("OP707", f"the state was saved without a loss scale: `{scale}` begins anew")


def _settled(group: Group, own: Mapping[str, Plain]) -> Group:
    """The group with these own values, by which it has the state that it has."""
    values = tuple((key, own.get(key, value)) for key, value in group.values)
    return group if values == group.values else replace(group, values=values)


def _shape(value: Value) -> Shape:
    return tuple(int(extent) for extent in value.shape)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    told = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return told if len(names) <= _NAMED else f"{told} and {len(names) - _NAMED} more"
