"""A level that falls whenever a metric has not become better for a while.

    Plateau  max(a gamma^k, b), and never above a, after k reductions: a before the first one, b once they are enough

with a the level at which the phase begins, gamma its `factor` and b its floor.  How many reductions there are is told
by the metric that the training loop reports, not by the update, so what a curve says alone is the value before any;
`Watch` counts them.  A report is better than the best one so far if it is

    mode=min   below best (1 - threshold), or with threshold_mode=abs below best - threshold
    mode=max   above best (1 + threshold), or with threshold_mode=abs above best + threshold

and more than `patience` reports in a row that are not better make one reduction, after which `cooldown` reports do not
count.  Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`, whose values these are with eps=0.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from optplan.resolve.shape import Shape, scaled

if TYPE_CHECKING:
    from optplan.resolve.level import AnyLevel


@dataclass(frozen=True, slots=True)
class Plateau(Shape):
    """`origin`, times `gamma` at each of `reductions`, down to `to`; the last phase of what it stands in."""

    origin: AnyLevel
    to: AnyLevel
    metric: str
    gamma: float
    patience: int
    cooldown: int
    threshold: float
    threshold_mode: str = "rel"
    mode: str = "min"
    reductions: int = 0

    @property
    def relative(self) -> bool:
        """Whether every value is a multiple of `base`."""
        return self.origin.relative and self.to.relative

    @property
    def settled(self) -> float | None:
        """Never: there may be a reduction at any time."""
        return None

    @property
    def waits(self) -> tuple[float, Plateau]:
        """From its begin on."""
        return 0.0, self

    @property
    def sound(self) -> bool:
        """Whether a reduction is one, and its words have a meaning."""
        return self.gamma <= 1 and self.mode in ("min", "max") and self.threshold_mode in ("rel", "abs")

    def extremes(self, base: float) -> list[float]:
        """Where it begins, and its floor."""
        a, b = self.origin.at(base), self.to.at(base)
        return [a, min(a, b)]

    def rising(self, base: float) -> float | None:
        """`to`, where it is absolute and above an `origin` that follows the own value."""
        a, b = self.origin.at(base), self.to.at(base)
        return b if self.origin.relative and not self.to.relative and 0 < a < b else None

    def raw(self, t: float, base: float) -> float:  # noqa: ARG002 - what counts are reductions
        """See the head of the module."""
        a = self.origin.at(base)
        return min(a, max(scaled(a, self.gamma, self.reductions), self.to.at(base)))

    def before(self, t: float | None, base: float) -> float:  # noqa: ARG002 - as above
        """The same at all times."""
        return self.raw(0.0, base)

    def __str__(self) -> str:
        parts = [f"metric={self.metric}", f"from={self.origin}", f"to={self.to}", f"factor={self.gamma:g}"]
        parts += [f"patience={self.patience}", f"cooldown={self.cooldown}", f"threshold={self.threshold:g}"]
        return f"plateau({', '.join([*parts, f'threshold_mode={self.threshold_mode}', f'mode={self.mode}'])})"


@dataclass(slots=True)
class Watch:
    """What the reports of a metric have come to for one `Plateau`: the only thing in a schedule that has a past."""

    plateau: Plateau
    best: float
    bad: int = 0
    cooling: int = 0
    reductions: int = 0

    @classmethod
    def of(cls, plateau: Plateau) -> Watch:
        """One to which nothing has been reported."""
        return cls(plateau, inf if plateau.mode == "min" else -inf)

    def report(self, value: float) -> bool:
        """Take one report in; whether it makes a reduction.  One that is no number is not better."""
        if self._better(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad = 0
        if self.bad <= self.plateau.patience:
            return False
        self.bad, self.cooling = 0, self.plateau.cooldown
        self.reductions += 1
        return True

    def _better(self, value: float) -> bool:
        plateau = self.plateau
        sign = 1.0 if plateau.mode == "min" else -1.0
        margin = plateau.threshold
        if plateau.threshold_mode == "rel":
            return sign * value < sign * self.best * (1.0 - sign * margin)
        return sign * value < sign * self.best - margin

    @property
    def state(self) -> dict[str, float]:
        """What it knows, as plain data."""
        return {"best": self.best, "bad": self.bad, "cooling": self.cooling, "reductions": self.reductions}

    def restore(self, state: dict[str, float]) -> None:
        """Know what `state` says; KeyError if that says too little."""
        self.best = state["best"]
        self.bad, self.cooling, self.reductions = (int(state[key]) for key in ("bad", "cooling", "reductions"))
