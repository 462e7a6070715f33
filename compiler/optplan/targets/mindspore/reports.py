"""What is reported while a network is trained, and the levels that it moves.

The levels of a plan's `plateau` phases are parameters of its tables, so that a compiled step uses what they have come
to.  They are of the optimizer, but none that it trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optplan.resolve.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Plan
    from optplan.targets.mindspore.members import Tables


class Reports:
    """What has been reported of a run of `plan`, whose optimizers have been made with `tables`.

    Levels are named `plateau_level.0`, `plateau_level.1`, ... in the order in which the optimizers asked for them.
    """

    def __init__(self, plan: Plan, tables: Tables) -> None:
        self._watches = Watches(plan.groups)
        self._tables = tables.falling
        # Now that every Cell around a table has put its own name before that of the level
        levels = [level for table in self._tables.values() for level in table.levels]
        for number, level in enumerate(levels):
            level.name = f"plateau_level.{number}"

    def check_named(self, unnamed: Sequence[Any], metrics: Mapping[str, Any]) -> None:
        """TypeError for a report that names no metric."""
        self._watches.check_named(unnamed, metrics)

    def take(self, metrics: Mapping[str, Any], t: int) -> None:
        """Take in numbers by name, reported before update `t`; ValueError for a name that no policy goes by."""
        if self._watches.report(metrics, t):
            self._move()

    def now(self, curve: Curve) -> Curve:
        """`curve` as the reports so far have left it."""
        return self._watches.now(curve)

    @property
    def state(self) -> list[dict[str, float]]:
        """What has been reported, as plain data: the `plateaus` in the state of PyTorch's scheduler."""
        return self._watches.state

    @property
    def named(self) -> list[dict[str, Any]]:
        """The same, for each `plateau` with its metric and its curve."""
        return self._watches.reports

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what `state` says; ValueError if it is of another plan, KeyError if it says too little."""
        self._watches.restore(state)
        self._move()

    def _move(self) -> None:
        """Put the levels where the reports so far have them."""
        for (curve, own), table in self._tables.items():
            table.move(self._watches.now(curve).value(table.last, own))
