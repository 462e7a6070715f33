"""An optimizer that somebody else has made of the plan's groups takes the place of the plan's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optplan
from tests.devices.cases import CASES, SGD
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded

UPDATES = 8


def rebuilt(compiled: Any) -> torch.optim.Optimizer:
    """What a host makes of the three things that are for hosts."""
    made: torch.optim.Optimizer = compiled.optimizer_class(compiled.param_groups, **compiled.defaults)
    return made


@pytest.mark.parametrize("case", ["sgd", "several, clipped and scaled"])
def test_all_goes_by_what_was_adopted(case: str) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    plan = optplan.plan(CASES[case], mine, steps=UPDATES)
    compiled: Any = plan.bind(mine)
    other: Any = plan.bind(theirs)
    own = compiled.optimizer
    for update in range(UPDATES):
        if update == 1:
            # Under way: the groups stand as they are, and the state is the host's to take along
            made = rebuilt(compiled)
            made.load_state_dict(own.state_dict())
            compiled.adopt(made)
        compiled.step(loss_of(mine, update))
        other.step(loss_of(theirs, update))
        assert compiled.lr() == other.lr()
    assert compiled.optimizer is made
    assert compiled.scheduler.optimizer is made
    assert (compiled.optimizer_class, compiled.defaults) == (other.optimizer_class, other.defaults)
    assert same_weights(mine, theirs)
    assert own.param_groups[0]["lr"] != made.param_groups[0]["lr"]


def test_what_has_other_groups_is_not_adopted() -> None:
    model = seeded(Pictures)
    compiled: Any = optplan.compile(document(SGD, rules=[{"where": "stem", "lr": "0.1x"}]), model)
    own = compiled.optimizer
    one, two = compiled.param_groups
    names = [group["name"] for group in (one, two)]
    fewer = {**one, "params": one["params"][:1]}
    for groups, blamed in (([two, one], names[0]), ([fewer, two], names[0]), ([one], names[1])):
        with pytest.raises(ValueError, match=f"does not have the parameters of group '{blamed}' at its place"):
            compiled.adopt(torch.optim.SGD(groups, lr=0.1))
    extra = {"params": [torch.nn.Parameter(torch.zeros(1))]}
    with pytest.raises(ValueError, match="the optimizer has 3 groups, and the plan 2"):
        compiled.adopt(torch.optim.SGD([one, two, extra], lr=0.1))
    assert compiled.optimizer is own
