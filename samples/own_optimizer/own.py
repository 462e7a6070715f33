"""Register an optimizer and a policy of one's own; files may name them once this module is imported.

    optplan check own.optim.yaml --import own

No framework is imported here: the classes are given by their names, and imported where an optimizer is made.  A package
that wants its users to have them without an import names the definitions in its pyproject.toml instead:

    [project.entry-points."optplan.optimizers"]
    own_momentum = "own:MOMENTUM"
"""

from __future__ import annotations

import math

import optplan

MOMENTUM = optplan.OwnOptimizer(
    "own_momentum",
    description="Momentum from scratch: a running sum of gradients, of which each update goes lr times downhill.",
    # momentum and weight_decay have the ranges and the words that the language has for them
    settings={"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0},
    scheduled=["lr", "momentum"],
    torch="momentum_torch.Momentum",
    mindspore=optplan.Native("momentum_mindspore.Momentum", scheduled=["lr"]),
)


def half_life(s: float, duration: float | None, every: float) -> float:
    """Return 2 ** -(s / every): half is left after `every` updates, a quarter after twice as many."""
    del duration  # it goes on as long as it is let
    return math.pow(2.0, -s / every)


HALF_LIFE = optplan.OwnPolicy(
    "half_life",
    half_life,
    description="Exponential decay, told by its half-life: from * 2 ** -(t / every).",
    arguments={"every": {"kind": "duration", "description": "The time in which the value halves."}},
    endless=True,
)

optplan.register(MOMENTUM, HALF_LIFE)
