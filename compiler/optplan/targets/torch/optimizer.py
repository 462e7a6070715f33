"""Several optimizers behind one.

`MultiOptimizer` is a `torch.optim.Optimizer` whose groups name the class that updates them.  Its members share its
group dicts and its state, so whatever reads or writes `param_groups` and `state` (schedulers, GradScaler, checkpoints,
hosts) sees one optimizer.  Groups alone suffice to build one, so that a host can: `MultiOptimizer(groups)`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch

from optplan.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

# Options that torch's constructors look at as a whole, beside storing them in the groups.
OPTIONS = ("foreach", "fused", "capturable", "differentiable")


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class that carries the canonical optimizer `name` out under torch; KeyError if there is none."""
    module, _, attribute = catalog().optimizers[name].lowerings["torch"].class_name.rpartition(".")
    found: type[torch.optim.Optimizer] = getattr(_module(module), attribute)
    return found


def _module(name: str) -> Any:
    if name == "torch.optim":
        return torch.optim
    from importlib import import_module  # noqa: PLC0415 - only a registered optimizer lives elsewhere

    return import_module(name)


def build(name: str, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """A stock optimizer over `groups`, whose dicts it keeps; options that all share are given to its constructor too."""
    common = {
        option: groups[0][option]
        for option in OPTIONS
        if option in groups[0] and all(group.get(option) == groups[0][option] for group in groups)
    }
    return optimizer_class(name)(groups, **common)


class MultiOptimizer(torch.optim.Optimizer):
    """One optimizer that hands each group to the class that the group's key `optimizer` names (`adamw`, `muon`).

    `param_groups` keeps the order in which the groups were given; `defaults` is empty, since each group carries all
    its settings.  `step(closure)` runs the closure once, with gradients enabled, before any member updates.
    """

    def __init__(self, params: Iterable[dict[str, Any]]) -> None:
        groups = list(params)
        for group in groups:
            if not isinstance(group, dict) or "optimizer" not in group:
                raise ValueError("each parameter group must be a dict that names its `optimizer`, such as 'adamw'")
        self._members: dict[str, torch.optim.Optimizer] = {}
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
                for parameter, fresh in member.state.items():
                    # Some classes (Adagrad) make state at once; what was loaded or is there already stays.
                    if fresh and not self.state.get(parameter):
                        self.state[parameter] = fresh
            member.param_groups = groups
            member.state = self.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its key `optimizer` names the class, its other keys are that class's settings."""
        if "optimizer" not in param_group:
            raise ValueError("the parameter group must name its `optimizer`, such as 'adamw'")
        super().add_param_group(param_group)
        if self._building:
            return
        member = self._members.get(param_group["optimizer"])
        if member is not None:
            # The member fills in its defaults and makes the state that it makes at once.
            known = [group for group in member.param_groups if group is not param_group]
            member.param_groups = known
            member.add_param_group(param_group)
        self._bind()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | Tensor | None:  # type: ignore[override]  # torch's overloads leave out that the loss may be a tensor
        """One update of every member; returns what `closure` returns, None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self._members.values():
            member.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Loading a state dict, unpickling and copying all end here, each with new group dicts and a new state.
        super().__setstate__(state)
        self.state = self.state if isinstance(self.state, defaultdict) else defaultdict(dict, self.state)
        self._building = False
        members = self.__dict__.get("_members")
        if members is None:
            self._members = {}
        self._bind()
        for member in self._members.values():
            # Each class brings older checkpoints up to date in its own way.
            member.__setstate__({"state": member.state, "param_groups": member.param_groups})

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {len(member.param_groups)} groups" for name, member in self._members.items())
        return f"{type(self).__name__}({counts})"
