"""A plan as JSON data, and back.

`plan_data` writes the format `optplan.plan/1`; `read_plan` gives an equal plan.  What is read may come from anywhere:
every field is held against its type and the columns against each other: data that is no plan is a ValueError, KeyError,
TypeError or AttributeError here, never a fault of the plan later.
"""

from __future__ import annotations

from dataclasses import fields
from sys import float_info
from typing import TYPE_CHECKING, Any, TypeVar

from optplan.diagnostics import Diagnostic
from optplan.resolve.curve_record import from_data
from optplan.resolve.horizon import Horizon
from optplan.resolve.plan import Case, Group, Origin, Plan, Touch
from optplan.resolve.training import LARGEST, Clip, LossScale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from optplan.resolve.plan import Setting

P = TypeVar("P", bound=Plan)
T = TypeVar("T")


def plan_data(plan: Plan, version: str) -> dict[str, Any]:
    """The plan as JSON data."""
    return {
        "format": version,
        "target": plan.target,
        "fingerprint": plan.fingerprint,
        "groups": [group_data(group) for group in plan.groups],
        "frozen": list(plan.frozen),
        "thawed": list(plan.thawed),
        "horizon": plan.horizon.to_data(),
        "clip": _placed(plan.clip),
        "loss_scale": _placed(plan.loss_scale),
        "accumulate": plan.accumulate,
        "diagnostics": [{part.name: getattr(item, part.name) for part in fields(item)} for item in plan.diagnostics],
        "rules": [origin._asdict() for origin in plan.origins],
        "cases": [
            {"group": case.group, "rules": list(case.rules), "history": [touch._asdict() for touch in case.history]}
            for case in plan.cases
        ],
        "parameters": {
            "names": list(plan.names),
            "shapes": [list(shape) for shape in plan.shapes],
            "cases": list(plan.case_of),
            "aliases": dict(plan.aliases),
            **({"natives": dict(plan.natives)} if plan.natives else {}),
        },
    }


def group_data(group: Group) -> dict[str, Any]:
    """A group as JSON data."""
    return {
        "name": group.name,
        "optimizer": group.optimizer,
        "settings": group.settings,
        "schedule": {key: curve.to_data() for key, curve in group.curves},
        "options": {target: dict(options) for target, options in group.options},
        "parameters": list(group.parameters),
        "numel": group.numel,
        "origin": group.origin,
    }


def training_data(part: Clip | LossScale | None) -> dict[str, Any] | None:
    """What a clip or a loss scale does, as JSON data; not where it stands."""
    if part is None:
        return None
    return {each.name: getattr(part, each.name) for each in fields(part) if each.name != "origin"}


def _placed(part: Clip | LossScale | None) -> dict[str, Any] | None:
    data = training_data(part)
    if data is not None and part is not None:
        data["origin"] = part.origin._asdict() if part.origin is not None else None
    return data


def read_plan(kind: type[P], data: dict[str, Any]) -> P:
    """The plan that `plan_data` wrote."""
    columns = data["parameters"]
    plan = kind(
        _maybe_text(data["target"]),
        _each(_group, data["groups"]),
        _each(_case, data["cases"]),
        _each(_text, columns["names"]),
        _each(_shape, columns["shapes"]),
        _each(_whole, columns["cases"]),
        {_text(alias): _text(name) for alias, name in columns["aliases"].items()},
        _each(_text, data["frozen"]),
        _each(_text, data["thawed"]),
        _each(_origin, data["rules"]),
        _horizon(data["horizon"]),
        _each(_diagnostic, data["diagnostics"]),
        _maybe(_clip, data["clip"]),
        _maybe(_loss_scale, data["loss_scale"]),
        _at_least_one(data["accumulate"]),
        {_text(native): _text(name) for native, name in columns.get("natives", {}).items()},
    )
    _check_columns(plan)
    return plan


def _check_columns(plan: Plan) -> None:
    """Whether the columns have one entry for each parameter, and what they point to is there."""
    known = set(plan.names)
    if not len(plan.names) == len(plan.shapes) == len(plan.case_of) == len(known):
        raise ValueError("its columns differ in length, or a name stands twice")
    if (
        not known.issuperset((*plan.frozen, *plan.thawed, *plan.aliases.values(), *plan.natives.values()))
        or known & plan.aliases.keys()
    ):
        raise ValueError("it names a parameter that it does not have")
    _check_places("case", plan.case_of, len(plan.cases))
    _check_places("group", [case.group + 1 for case in plan.cases], len(plan.groups) + 1)
    _check_places("rule", [group.origin for group in plan.groups], len(plan.origins))
    _check_places("rule", [rule for case in plan.cases for rule in case.rules], len(plan.origins))
    members: list[list[str]] = [[] for _ in (*plan.groups, None)]
    for name, case in zip(plan.names, plan.case_of, strict=True):
        members[plan.cases[case].group].append(name)
    if any(tuple(names) != group.parameters for names, group in zip(members, plan.groups, strict=False)):
        raise ValueError("its groups do not have the parameters that its cases give them")


def _check_places(what: str, places: Iterable[int], count: int) -> None:
    if not all(0 <= place < count for place in places):
        raise ValueError(f"it points to a {what} that is not there")


def _group(data: dict[str, Any]) -> Group:
    group = Group(
        _text(data["name"]),
        _text(data["optimizer"]),
        _settings(data["settings"]),
        tuple([(_text(key), from_data(value)) for key, value in data["schedule"].items()]),
        tuple([(_text(target), _settings(each)) for target, each in data["options"].items()]),
        _each(_text, data["parameters"]),
        _count(data["numel"]),
        _whole(data["origin"]),
    )
    for key, _ in group.curves:
        group.own(key)
    return group


def _case(data: dict[str, Any]) -> Case:
    return Case(_whole(data["group"]), _each(_touch, data["history"]), _each(_whole, data["rules"]))


def _touch(data: dict[str, Any]) -> Touch:
    touch = Touch(**data | {"before": _setting(data["before"]), "after": _setting(data["after"])})
    _each(_text, [touch.key, touch.rule, touch.source])
    _each(_count, [touch.line, touch.column])
    _maybe_text(touch.note)
    return touch


def _origin(data: dict[str, Any]) -> Origin:
    origin = Origin(**data)
    _each(_text, [origin.rule, origin.source, origin.text])
    _each(_count, [origin.line, origin.column, origin.end_line, origin.end_column])
    return origin


def _diagnostic(data: dict[str, Any]) -> Diagnostic:
    found = Diagnostic(**data | {"notes": _each(_text, data["notes"])})
    _each(_text, [found.code, found.message, found.source])
    _each(_count, [found.line, found.column, found.end_line, found.end_column])
    _each(_maybe_text, [found.help, found.label, found.excerpt])
    if found.severity not in ("error", "warning", "note"):
        raise ValueError(f"{found.severity!r} is no severity")
    return found


def _clip(data: dict[str, Any]) -> Clip:
    clip = Clip(data["kind"], float(_number(data["limit"])), _maybe(_origin, data["origin"]))
    if clip.kind not in ("norm", "value") or not clip.limit > 0:
        raise ValueError(f"{data!r:.60} is no clip")
    return clip


def _loss_scale(data: dict[str, Any]) -> LossScale:
    scale = LossScale(
        data["kind"],
        float(_number(data["init"])),
        _truth(data["drop_overflow"]),
        float(_number(data["growth"])),
        float(_number(data["backoff"])),
        _at_least_one(data["every"]),
        _maybe(_origin, data["origin"]),
    )
    sound = 0 < scale.init <= LARGEST and scale.growth > 1 and 0 < scale.backoff < 1
    if scale.kind not in ("fixed", "dynamic") or not sound:
        raise ValueError(f"{data!r:.60} is no loss scale")
    return scale


def _horizon(data: dict[str, Any]) -> Horizon:
    for value in data.values():
        if value is not None and not _number(value) > 0:
            raise ValueError(f"{value!r} is no length")
    return Horizon(**data)


def _settings(data: dict[str, Any]) -> tuple[tuple[str, Setting], ...]:
    return tuple([(_text(key), _setting(value)) for key, value in data.items()])


def _setting(value: Any) -> Setting:
    if isinstance(value, list):
        return tuple([_setting(item) for item in value])
    return value if value is None or isinstance(value, bool | str) else _number(value)


def _each(read: Callable[[Any], T], data: Any) -> tuple[T, ...]:
    if not isinstance(data, list):
        raise TypeError(f"{data!r:.40} is no list")
    return tuple([read(item) for item in data])


def _maybe(read: Callable[[Any], T], data: Any) -> T | None:
    return None if data is None else read(data)


def _shape(data: Any) -> tuple[int, ...]:
    return _each(_count, data)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _maybe_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is no whole number")
    return value


def _count(value: Any) -> int:
    if _whole(value) < 0:
        raise ValueError(f"{value!r:.40} is below 0")
    return int(value)


def _at_least_one(value: Any) -> int:
    if _count(value) < 1:
        raise ValueError("a count is 0")
    return int(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is neither true nor false")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.40} is no number")
    if not -float_info.max <= value <= float_info.max:
        raise ValueError("a number is not finite")
    return value
