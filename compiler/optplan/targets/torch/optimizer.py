"""Several optimizers behind one.

`MultiOptimizer` is a `torch.optim.Optimizer` whose groups name the class that updates them.  Its members share its
group dicts and its state, so whatever reads or writes `param_groups` and `state` (schedulers, GradScaler, checkpoints,
hosts) sees one optimizer.  Groups alone suffice to build one, so that a host can: `MultiOptimizer(groups)`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from optplan.catalog import catalog
from optplan.diagnostics import suggestion
from optplan.targets.fit import class_of, find_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

# Options that torch's constructors look at as a whole, beside storing them in the groups.
OPTIONS = ("foreach", "fused", "capturable", "differentiable")


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class that carries the canonical optimizer `name` out under torch; KeyError if there is none."""
    found: type[torch.optim.Optimizer] = class_of(catalog().optimizers[name].lowerings["torch"][0], name)
    return found


def arguments(name: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """What the constructor of a stock class must be told beside its groups.

    These are the options that all groups share, the settings that the class reads in its constructor only (Adagrad's
    `initial_accumulator_value`), and all but lr of a class of one group, which computes one from the other there.
    """
    kind = catalog().optimizers[name]
    if not kind.lowerings["torch"][0].class_name.startswith("torch."):
        # A registered class may ask for any setting, or check it; what updates use is in the groups.
        return {key: groups[0][key] for key in (*kind.settings, *kind.options("torch")) if key in groups[0]}
    alike = kind.requirements.shared
    if kind.requirements.one_group:
        alike = tuple(key for key in kind.settings if key != "lr")
    first = groups[0]
    return {
        key: first[key]
        for key in (*OPTIONS, *alike)
        if key in first and all(key in group and group[key] == first[key] for group in groups)
    }


def build(name: str, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """A stock optimizer over `groups`, whose dicts it keeps and completes with its defaults."""
    return optimizer_class(name)(groups, **arguments(name, groups))


class MultiOptimizer(torch.optim.Optimizer):
    """One optimizer that hands each group to the class that the group's key `optimizer` names (`adamw`, `muon`).

    `param_groups` keeps the order in which the groups were given; `defaults` is empty, since each group carries all
    its settings.  `step(closure)` runs the closure once, with gradients enabled, before any member updates.
    """

    def __init__(self, params: Iterable[dict[str, Any]]) -> None:
        groups = list(params)
        for group in groups:
            _check_names(group)
        self._members: dict[str, torch.optim.Optimizer] = {}
        # The members whose class makes state before the first update
        self._at_once: set[str] = set()
        self._building = True
        super().__init__(groups, {})
        self._building = False
        self._bind()

    @property
    def members(self) -> dict[str, torch.optim.Optimizer]:
        """The stock optimizers by canonical name; their groups and state are this one's own."""
        return dict(self._members)

    def _bind(self) -> None:
        """Make members for all groups, or give them the group dicts and the state that are there now."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for group in self.param_groups:
            by_name.setdefault(group["optimizer"], []).append(group)
        for name in self._members.keys() - by_name.keys():
            del self._members[name]
        for name, groups in by_name.items():
            member = self._members.get(name)
            if member is None:
                member = self._members[name] = build(name, groups)
                if member.state:
                    self._at_once.add(name)
            member.param_groups = groups
            member.state = self.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its key `optimizer` names the class, its other keys are that class's settings."""
        _check_names(param_group)
        super().add_param_group(param_group)
        if self._building:
            return
        try:
            member = self._members.get(param_group["optimizer"])
            if member is not None:
                # A member made of this group alone checks it and fills in the defaults.
                type(member)([param_group], **arguments(param_group["optimizer"], member.param_groups))
            self._bind()
        except BaseException:
            self.param_groups.pop()
            self._bind()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | Tensor | None:  # type: ignore[override]  # torch's overloads leave out that the loss may be a tensor
        """One update of every member; returns what `closure` returns, None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for name, member in self._members.items():
            if name in self._at_once:
                self._begin(name, member)
            _step(member)
        return loss

    def _begin(self, name: str, member: torch.optim.Optimizer) -> None:
        """Make the state of a class (Adagrad) that makes it in its constructor, where a parameter has none.

        Not before the first update: whoever finds state, such as `torch.distributed.checkpoint`, takes it for all.
        """
        if all(self.state.get(parameter) for group in member.param_groups for parameter in group["params"]):
            return
        fresh = build(name, [{**group, "params": list(group["params"])} for group in member.param_groups])
        for parameter, state in fresh.state.items():
            if not self.state.get(parameter):
                self.state[parameter] = state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Loading a state dict, unpickling and copying all end here, each with new group dicts and a new state.
        here = [group["optimizer"] for group in self.__dict__.get("param_groups", ())]
        there = [group.get("optimizer") for group in state.get("param_groups", ())]
        if here and here != there:
            place = next(place for place, (mine, other) in enumerate(zip(here, there, strict=True)) if mine != other)
            raise ValueError(
                f"parameter group {place} was saved under {there[place]!r}, and is under {here[place]!r} here"
            )
        super().__setstate__(state)
        self.defaults = {}
        self._building = False
        self._members = self.__dict__.get("_members", {})
        self._at_once = self.__dict__.get("_at_once", set())
        self._bind()
        for member in self._members.values():
            # Each class brings older checkpoints up to date in its own way, and may look at all the state it sees.
            own = {p: self.state[p] for group in member.param_groups for p in group["params"] if p in self.state}
            member.__setstate__({"state": own, "param_groups": member.param_groups})
            member.state = self.state

    def __repr__(self) -> str:
        counts = (f"{name}: {len(member.param_groups)}" for name, member in self._members.items())
        return f"{type(self).__name__}(groups by optimizer: {', '.join(counts)})"


def _step(member: torch.optim.Optimizer) -> None:
    """One update; hooks for all optimizers of the process are called for the whole, not for its members."""
    step = type(member).step
    if torch.compiler.is_compiling():
        bare = getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step
    else:
        bare = _unhooked(step)
    bare(member)


@lru_cache(maxsize=64)
def _unhooked(step: Any) -> Any:
    """The step of a class without what torch calls hooks in.

    `torch.compile` puts the whole step of some classes (SparseAdam, RAdam, LBFGS) behind a wrapper that says they are
    not to be compiled, at its first use in a process.
    """
    bare = step
    while getattr(bare, "hooked", False):
        bare = bare.__wrapped__
    kept = getattr(step, "_torchdynamo_disable", False) and not getattr(bare, "_torchdynamo_disable", False)
    return torch.compiler.disable(bare) if kept else bare  # type: ignore[no-untyped-call]  # torch's own


def _check_names(group: object) -> None:
    """ValueError where a group does not name an optimizer that can be one of several."""
    if not isinstance(group, dict) or "optimizer" not in group:
        raise ValueError("each parameter group must be a dict that names its `optimizer`, such as 'adamw'")
    name = group["optimizer"]
    kind = find_optimizer(str(name))
    if kind is None:
        hint = suggestion(str(name), catalog().optimizers)
        raise ValueError(f"unknown optimizer {name!r}" + (f"; {hint}" if hint else ""))
    if kind.requirements.alone:
        raise ValueError(f"{name!r} stands alone: it cannot be one of several optimizers")
