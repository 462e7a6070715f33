"""State dicts of `torch.optim`, and of `torch.distributed.checkpoint`, as saved state; and saved state as these.

    by index   {"state": {0: {field: value}}, "param_groups": [{"params": [0, 1], "lr": ...}]}
    by name    {"state": {name: {field: value}}, "param_groups": [{"params": [name], "lr": ...}]}

An index counts parameters group by group.  Which one it means is told, in this order, by `param_names` in the groups,
by one group of all trained parameters in the network's order, as `AdamW(model.parameters())` makes it, by the names of
the groups, or by groups which in length and settings are each one of the plan's, or in length alone where no two are of
the same; else by nothing, which is a fault.  Within a group the order is the network's.  Which update it was, only the
largest `step` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import ConfigError, diagnostic
from optplan.state.fields import FIELDS, alike
from optplan.state.saved import FORMAT, UNNAMED, Saved, number, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optplan.diagnostics import Diagnostic
    from optplan.resolve.plan import Group, Plan

__all__ = ["count_untold", "read", "to_indices", "to_names"]

# What a group holds beside settings
_BESIDE = frozenset({"params", "param_names", "name", "optimizer", "initial_lr"})
# What wrappers call the network that they wrap: parallel ones, `torch.compile`, FSDP1, activation checkpointing
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


def read(data: Mapping[str, Any], plan: Plan, *, updates: int = 0) -> Saved:
    """The saved state that a state dict is, for a plan; `updates` is t where the dict does not tell it.

    ConfigError (OP702) for what is no state dict, or does not tell whose state it has.
    """
    groups = data.get("param_groups")
    state = data.get("state")
    if not isinstance(groups, (list, tuple)) or not groups or not isinstance(state, Mapping):
        raise _fault("a state dict of `torch.optim` has `state` and `param_groups`")
    for place, group in enumerate(groups):
        listed = isinstance(group, Mapping) and isinstance(group.get("params"), (list, tuple))
        if not listed or not all(isinstance(key, str) for key in group):
            raise _fault(f"`param_groups[{place}]` of the state dict is no group with a list of `params`")
    known = _known(plan)
    names = [[_bare(name, known) for name in each] for each in _names(groups, plan)]
    found: dict[Any, str] = {}
    for group, each in zip(groups, names, strict=True):
        for key, name in zip(group["params"], each, strict=True):
            if not isinstance(key, (int, str)) or key in found:
                raise _fault(f"a parameter stands twice in the state dict, or is none: {key!r:.80}")
            found[key] = name
    strange = [key for key in state if key not in found]
    if strange:
        raise _fault(f"the state dict has state of {strange[0]!r:.80}, which is in none of its groups")
    # Whoever gives an optimizer all parameters gives it frozen ones too, of which it knows nothing
    idle = set(plan.names) - {name for group in plan.groups for name in group.parameters}
    idle -= {found[key] for key, fields in state.items() if fields}
    made = [
        {"name": f"group {place}", **_group(group, [name for name in each if name not in idle], plan)}
        for place, (group, each) in enumerate(zip(groups, names, strict=True))
    ]
    steps = [
        step
        for fields in state.values()
        if isinstance(fields, Mapping) and (step := number(fields.get("step"))) is not None
    ]
    t = max(steps, default=float(updates))
    whole = {
        "format": FORMAT,
        "framework": "torch",
        "fingerprint": "",
        "updates": t,
        "groups": made,
        "state": {found[key]: fields for key, fields in state.items()},
        "scaler": None,
        "reports": (),
    }
    return parse(whole)


def count_untold(saved: Saved, plan: Plan) -> list[Diagnostic]:
    """A warning (OP703) where a schedule stays at its beginning, since the state dict that was read tells no update.

    To be asked with the `updates` that the run was at in `saved` where the dict told none.
    """
    kinds = {group.optimizer for group in saved.groups}
    counted = any("step" in fields for fields in saved.state.values()) or any(map(_counts, kinds))
    if saved.updates or counted or not any(group.schedule for group in plan.groups):
        return []
    what = "the state dict does not say which update it was of, and the schedule stays at its beginning"
    if plan.target == "mindspore":
        cure = 'say it by `compiled.load_state_dict({**compiled.state_dict(), "updates": 1000})`, and load this again'
    else:
        cure = 'say it: `compiled.scheduler.load_state_dict(saved["scheduler"])`, of one that counted updates, or '
        cure += "`compiled.scheduler.step(1000)`"
    return [diagnostic("OP703", what, help=cure, severity="warning")]


def _counts(optimizer: str) -> bool:
    return any(each.name == "step" for each in FIELDS.get(optimizer, ()))


def _known(plan: Plan) -> frozenset[str]:
    """Every name of a parameter of the plan."""
    return frozenset((*plan.names, *plan.aliases, *plan.natives))


def _bare(name: str, known: frozenset[str]) -> str:
    """A name without what wrappers put into it, where that is a name of the plan and it is none."""
    if name in known:
        return name
    bare = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    return bare if bare in known else name


def _names(groups: Sequence[Mapping[str, Any]], plan: Plan) -> list[list[str]]:
    """The names of each group's parameters."""
    counts = [len(group["params"]) for group in groups]
    keys = [key for group in groups for key in group["params"]]
    if keys and all(isinstance(key, str) for key in keys):
        return [list(group["params"]) for group in groups]
    named = [group.get("param_names") for group in groups]
    if all(isinstance(each, (list, tuple)) and len(each) == count for each, count in zip(named, counts, strict=True)):
        return [[str(name) for name in each or ()] for each in named]
    trained = [name for name, case in zip(plan.names, plan.case_of, strict=True) if plan.cases[case].group >= 0]
    for order in (trained, list(plan.names)):
        if counts == [len(order)]:
            return [order]
    by_name = {group.name: group for group in plan.groups}
    found = [by_name.get(str(group.get("name"))) for group in groups]
    if not _matched(found, counts):
        alike = [[each for each in plan.groups if _is(group, each)] for group in groups]
        found = [each[0] if len(each) == 1 else None for each in alike]
    if not _matched(found, counts) and len(set(counts)) == len(counts):
        by_length = {len(group.parameters): group for group in plan.groups}
        found = [by_length.get(count) for count in counts] if len(by_length) == len(plan.groups) else []
    if _matched(found, counts):
        return [list(group.parameters) for group in found if group is not None]
    told = ", ".join(str(count) for count in counts[:8]) + (", ..." if len(counts) > 8 else "")
    here = ", ".join(str(len(group.parameters)) for group in plan.groups[:8])
    cure = "build the optimizer from `model.named_parameters()`, or save `compiled.state_dict()`, which has names"
    raise _fault(
        f"the state dict has groups of {told} parameters by number, and the plan of {here}: which is which "
        "cannot be told",
        cure,
    )


def _matched(found: Sequence[Group | None], counts: Sequence[int]) -> bool:
    """Whether each is another group, of the right length."""
    lengths = [len(group.parameters) for group in found if group is not None]
    return lengths == list(counts) and len({id(group) for group in found}) == len(counts)


def _is(group: Mapping[str, Any], planned: Group) -> bool:
    """Whether a group may be this one of the plan: as long, and with the values that do not change."""
    if len(group["params"]) != len(planned.parameters):
        return False
    for key, value in planned.values:
        there = group.get("initial_lr", group.get("lr")) if key == "lr" else group.get(key)
        moves = any(each.partition("[")[0] == key for each in planned.schedule) and not (
            key == "lr" and "initial_lr" in group
        )
        if key in group and not moves and value is not None and not _equal(there, value):
            return False
    return True


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    found = number(one)
    return bool(one == other if found is None or isinstance(other, bool) else found == other)


def _group(group: Mapping[str, Any], names: Sequence[str], plan: Plan) -> dict[str, Any]:
    """A group with an optimizer that has its settings: the one that it names, else the plan's, else another."""
    keys = group.keys() - _BESIDE
    kind = group.get("optimizer")
    if not isinstance(kind, str):
        mine = [each for name in names if (each := _planned(plan, name)) is not None]
        fits = [each.optimizer for each in mine if each.settings.keys() <= keys | {"initial_accumulator_value"}]
        kind = fits[0] if fits else _likely(group)
    settings = {}
    for key in keys:
        value = group[key]
        settings[key] = value if isinstance(value, (bool, str, tuple, list, type(None))) else number(value)
    known = next((each.settings.keys() for each in plan.groups if alike(each.optimizer, kind)), settings.keys())
    name = {"name": group["name"]} if isinstance(group.get("name"), str) else {}
    own = {"lr": group["initial_lr"]} if isinstance(group.get("initial_lr"), (int, float)) else {}
    return {
        **name,
        "optimizer": kind,
        "settings": {key: value for key, value in settings.items() if key in known},
        "own": own,
        "parameters": list(names),
    }


def _planned(plan: Plan, name: str) -> Any:
    try:
        return plan.group_of(name)
    except KeyError:
        return None


# By what only one of torch's classes has in a group
_SIGNS = {
    "ns_steps": "muon",
    "beta2_decay": "adafactor",
    "momentum_decay": "nadam",
    "lambd": "asgd",
    "etas": "rprop",
    "rho": "adadelta",
    "alpha": "rmsprop",
    "lr_decay": "adagrad",
    "dampening": "sgd",
    "line_search_fn": "lbfgs",
    "amsgrad": "adam",
}


def _likely(group: Mapping[str, Any]) -> str:
    """The optimizer that a group without a name of one is probably of."""
    return next((kind for sign, kind in _SIGNS.items() if sign in group), UNNAMED)


def to_indices(saved: Saved, plan: Plan) -> dict[str, Any]:
    """The state dict of the `torch.optim` optimizer of `plan`, by index, its groups in the plan's order.

    Settings are the saved ones where their group is there with the same parameters, else the plan's.  Values are the
    same objects: `torch.optim` takes tensors, and copies what it loads.
    """
    numbers: dict[str, int] = {}
    for group in plan.groups:
        for name in group.parameters:
            numbers[name] = len(numbers)
    named = to_names(saved, plan)
    return {
        "state": {numbers[name]: fields for name, fields in named["state"].items() if name in numbers},
        "param_groups": [
            {**group, "params": [numbers[name] for name in group["params"]]} for group in named["param_groups"]
        ],
    }


def to_names(saved: Saved, plan: Plan) -> dict[str, Any]:
    """The same by name, as `torch.distributed.checkpoint.state_dict.get_optimizer_state_dict` has it."""
    before = {group.parameters: group for group in saved.groups}
    several = len({group.optimizer for group in plan.groups}) > 1
    groups = []
    for group in plan.groups:
        was = before.get(group.parameters)
        settings = {**group.settings, **(was.settings if was is not None else {})}
        entry: dict[str, Any] = {"params": list(group.parameters), "name": group.name}
        entry |= {"optimizer": group.optimizer} if several else {}
        entry |= {**settings, **group.options_of("torch")}
        entry["initial_lr"] = was.own.get("lr", entry.get("lr")) if was is not None else group.settings.get("lr")
        groups.append(entry)
    trained = {name for group in plan.groups for name in group.parameters}
    state = {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
        for name, fields in saved.state.items()
        if name in trained and fields
    }
    return {"state": state, "param_groups": groups}


def _fault(message: str, cure: str | None = None) -> ConfigError:
    return ConfigError([diagnostic("OP702", message, help=cure)])
