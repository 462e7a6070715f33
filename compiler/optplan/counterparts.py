"""Stock schedulers and the policies that have the same values, as shipped in `schema/schedulers-1.json`.

Takes nothing but that file; gives a `Counterpart` for each scheduler of torch, MindSpore and transformers.  A form is
one way to call it: `call` is Python, `policy` the language, and a name in both is the same number, so that `call` run
with these numbers and `policy` read with them under `let` agree at every update.  The file holds no numbers of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Computes = Literal["double", "chained", "float32", "reports"]

# How a stock scheduler comes by its values, and so how close they are to those of the policy.
COMPUTES: Mapping[Computes, str] = MappingProxyType(
    {
        "double": "by a formula in double precision: equal to 1e-12, or to the last places of the largest value",
        "chained": "in double precision, each value from the one before: equal but for the rounding that adds up",
        "float32": "in float32: equal but for the rounding",
        "reports": "whenever a metric is reported: equal when told the same metric at the same updates",
    }
)

# Schedules that papers name, and no phase alone is.
CHAINS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("wsd", "warmup_stable_decay", "trapezoidal"), "warmup(5%) -> hold() -> linear(10%, to=0x)")
)


@dataclass(frozen=True, slots=True)
class Form:
    """A call of a scheduler and the policy with its values; without one `reason` says why there is none.

    `lr` is the number that the parameter's own learning rate has in the document; `horizon` has the keys that the
    policy needs, each an expression over the arguments; `momentum` is the policy of the momentum (or of `betas[0]`)
    that the scheduler drives beside the learning rate.
    """

    call: str
    policy: str | None = None
    reason: str = ""
    lr: str = "lr"
    momentum: str | None = None
    computes: Computes = "double"
    note: str = ""
    horizon: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A stock scheduler, under its full name and others that it has, and the ways to call it, the usual one first."""

    name: str
    also: tuple[str, ...]
    forms: tuple[Form, ...]

    @property
    def library(self) -> str:
        """Where it is: `torch.optim.lr_scheduler`, `mindspore.nn`, `transformers.get_scheduler`."""
        return self.name.partition('("')[0] if '("' in self.name else self.name.rpartition(".")[0]

    @property
    def short(self) -> str:
        """What it is called there: `StepLR`, `cosine_with_min_lr`."""
        return self.name.removeprefix(self.library).strip('.(")')

    def answers(self, word: str) -> bool:
        """Whether `word` is one of its names, or the end of one: `StepLR`, `lr_scheduler.StepLR`."""
        return word == self.short or any(f".{name}".endswith(f".{word}") for name in (self.name, *self.also))


@cache
def counterparts() -> Mapping[str, Counterpart]:
    """Every stock scheduler that the file knows, by its full name, in the file's order."""
    text = files("optplan.schema").joinpath("schedulers-1.json").read_text(encoding="utf-8")
    return MappingProxyType({name: _counterpart(name, entry) for name, entry in json.loads(text).items()})


def _counterpart(name: str, entry: Mapping[str, Any]) -> Counterpart:
    return Counterpart(name, tuple(entry.get("also", ())), tuple(_form(**each) for each in entry["forms"]))


def _form(*, none: str = "", **given: Any) -> Form:
    return Form(reason=none, **given)
