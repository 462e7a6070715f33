"""Groups of a plan to native optimizers; which groups share one is `targets.sharing`'s to say."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optplan.diagnostics import ConfigError, diagnostic
from optplan.targets.choose import unable
from optplan.targets.fit import class_of
from optplan.targets.mindspore.scaling import carried_scale
from optplan.targets.mindspore.table import Falling, Table
from optplan.targets.sharing import GROUPED, shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mindspore import Parameter, nn
    from numpy.typing import NDArray

    from optplan.catalog import Lowering
    from optplan.resolve.curve import Curve
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.plan import Group
    from optplan.resolve.training import LossScale


class Member(NamedTuple):
    """A native optimizer and the groups that it carries out."""

    optimizer: nn.Optimizer
    groups: tuple[Group, ...]


class Tables:
    """The tables of a plan: one for each distinct curve and own value, filled once."""

    def __init__(self, horizon: Horizon) -> None:
        self._last = horizon.last
        self._factors: dict[Curve, NDArray[np.float64]] = {}
        self._tables: dict[tuple[Curve, float], Table] = {}

    def of(self, curve: Curve, own: float) -> Table:
        """The table of `curve` for the own value `own`."""
        key = (curve, own)
        if key not in self._tables:
            values = self._values(curve, own)
            if curve.waits is None:
                self._tables[key] = Table(values)
            else:
                self._tables[key] = Falling(values, np.array([min(curve.extremes(own))]))
        return self._tables[key]

    @property
    def falling(self) -> dict[tuple[Curve, float], Falling]:
        """Those whose last value goes by a metric that is reported, by curve and own value."""
        return {key: table for key, table in self._tables.items() if isinstance(table, Falling)}

    def _values(self, curve: Curve, own: float) -> NDArray[np.float64]:
        count = self._length(curve)
        if not curve.relative:
            return np.array([curve.value(t, own) for t in range(count)])
        if curve not in self._factors:
            self._factors[curve] = np.array([curve.factor(t) for t in range(count)])
        return own * self._factors[curve]

    def _length(self, curve: Curve) -> int:
        """Up to the last change that is known now, or the horizon where a curve never stops changing."""
        settled = curve.settled if curve.waits is None else curve.waits[0]
        if settled is not None:
            return ceil(settled) + 1
        if self._last is None:
            raise AssertionError(curve)
        return self._last + 1


def make(
    groups: Sequence[tuple[Group, Lowering]],
    parameters: dict[str, Parameter],
    tables: Tables,
    flat: frozenset[int] = frozenset(),
    loss_scale: LossScale | None = None,
    born: Mapping[str, int] | None = None,
) -> list[Member]:
    """The optimizers that carry `groups` out, each group by its class.

    A `loss_scale` that nothing takes out of gradients before them is theirs to take out.  `parameters` stand in
    MindSpore's order; `flat` has the identities of those with a dimension of one more than the plan says.  `born` has
    by name the update at which the state of a parameter began, where that is not the first: in a group of all alike.
    """
    return [
        _member([group for group, _ in each], each[0][1], parameters, tables, flat, loss_scale)
        for each in shared(groups, born or {})
    ]


def _member(
    groups: list[Group],
    by: Lowering,
    parameters: dict[str, Parameter],
    tables: Tables,
    flat: frozenset[int],
    loss_scale: LossScale | None,
) -> Member:
    first = groups[0]
    scale = carried_scale(loss_scale)
    native: type[nn.Optimizer] = class_of(by, first.optimizer)
    arguments: dict[str, Any] = dict(by.constants)
    if flat and getattr(native, "takes_flat", False):
        arguments["flat"] = flat
    if scale != 1:
        arguments["loss_scale"] = scale
    for key, value in first.values:
        argument = by.argument(key)
        if argument is None:
            continue
        given = _given(first, key, value, tables)
        if isinstance(argument, str):
            arguments[argument] = given
        else:
            arguments.update(zip(argument, given, strict=True))
    # Groups are passed even where there is one: a flat list would leave names with `beta` and `gamma` without decay.
    dicts: list[dict[str, Any]] = []
    for group in groups:
        own = set(group.parameters)
        ordered = [parameter for name, parameter in parameters.items() if name in own]
        entry: dict[str, Any] = {"params": ordered, **_options(group)}
        if len(groups) > 1:
            entry |= {key: _given(group, key, value, tables) for key, value in group.values if key in GROUPED}
            # Next to a schedule a fixed rate would lose digits: each is a table, if only of one entry.
            rate = entry["lr"]
            entry["lr"] = rate if isinstance(rate, Table) else Table(np.array([rate]))
        dicts.append(entry)
    if len(groups) > 1:
        arguments["learning_rate"] = dicts[0]["lr"]
        theirs = {name for group in groups for name in group.parameters}
        dicts.append({"order_params": [parameter for name, parameter in parameters.items() if name in theirs]})
    try:
        made = native(dicts, **arguments)
    except (TypeError, ValueError, KeyError, RuntimeError) as fault:
        # A range that only the class knows, or a class of one's own that was registered with other arguments.
        said = str(fault).strip().splitlines()
        if scale != 1 and "'loss_scale'" in str(fault):
            raise ConfigError([unable(loss_scale, first, by)]) from fault
        message = f"`{by.class_name}` refuses group `{first.name}`: {said[0] if said else type(fault).__name__}"
        raise ConfigError([diagnostic("OP501", message)]) from fault
    if made.loss_scale != scale:
        # A class of one's own, which takes it and does nothing with it, or has another one of itself
        if scale != 1:
            raise ConfigError([unable(loss_scale, first, by)])
        what = f"`{by.class_name}` takes a loss scale of {made.loss_scale:g} out of its gradients, which do not have it"
        cure = "make the class with `loss_scale=1.0`, and write the scale under `loss_scale`"
        raise ConfigError([diagnostic("OP501", f"{what}, for `{first.parameters[0]}`", help=cure)])
    return Member(made, tuple(groups))


def _given(group: Group, key: str, value: Any, tables: Tables) -> Any:
    """The argument for a setting: its value, or a table where it has a policy; a tuple of these for a list."""
    if isinstance(value, tuple):
        return tuple(_given(group, f"{key}[{place}]", each, tables) for place, each in enumerate(value))
    curve = group.schedule.get(key)
    return value if curve is None else tables.of(curve, group.own(key))


def _options(group: Group) -> dict[str, Any]:
    return {name: value for name, value in group.options_of("mindspore").items() if value is not None}
