"""The numbers that MindSpore's optimizers use are those of the plan, at every update and after the end.

They are read off the weights.  SGD without momentum moves a weight of 0 with a gradient of 1 by the learning rate
itself, in one subtraction from 0, which rounds nothing: rates are equal to the bit, as far as float32 goes.
"""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mindspore import Tensor, ops

import optplan
from optplan.catalog import catalog
from tests.agreement.cells import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mindspore import Parameter

    from optplan.resolve.plan import Plan

pytestmark = pytest.mark.mindspore

UPDATES = 300
# The run ends before the updates do.
HORIZON: dict[str, Any] = {"epochs": 28, "steps_per_epoch": 10}
STEPS = 280
GLOBAL = "warmup(20) -> cosine(to=0.01x)"

POLICIES = [
    "hold()",
    "hold(at=0.3x)",
    "hold(50, at=0x) -> hold(at=1e-5)",
    "warmup(20)",
    "warmup(20, start=1)",
    "warmup(20, from=1e-6)",
    "warmup(20, shape=cosine)",
    "warmup(20, from=0.01x, shape=exp)",
    "warmup(5%) -> cosine(to=0.01x)",
    "linear(to=0x)",
    "linear(to=1e-8)",
    "cosine()",
    "cosine(to=1e-7)",
    "cosine(100, to=0.1x)",
    "poly()",
    "poly(to=1e-6, power=0.9)",
    "exp(to=1e-3x)",
    "exp(to=1e-9)",
    "step(every=30, gamma=0.1)",
    "step(every=10 / 3, gamma=0.97)",
    "multistep(at=[100, 200, 250], gamma=0.1)",
    "multistep(at=[5 epochs, 50%], gamma=0.5)",
    "sqrt()",
    "warmup(20) -> hold() -> sqrt(20%, to=1e-6)",
    "decay(gamma=0.97)",
    "decay(100, gamma=0.5, every=1 epoch, from=0.5x) -> hold()",
    "piecewise(at=[100, 50%], values=[1x, 0.3x, 1e-6])",
    "inverse_sqrt(timescale=1 epoch)",
    "inverse_time(rate=0.5, every=10)",
    "natural_exp(200, rate=0.9, every=100)",
    "noam(d_model=64, warmup=40)",
    "restarts(period=40, mult=2)",
    "restarts(period=10%, to=1e-6)",
    "cycle(low=0.1x, high=1x, up=20, down=33)",
    "cycle(low=1e-6, high=1x, up=5%, shape=triangular2)",
    "cycle(150, low=0x, high=2x, up=20, shape=exp_range, gamma=0.99)",
    "onecycle()",
    "onecycle(peak=1e-3, up=25%, div=10, final_div=100, shape=linear, phases=3)",
    "restarts(period=4, mult=2) per epoch",
    'table(file="lr.txt")',
    'hold(20) -> table(60, file="lr.txt") -> linear(to=0x)',
    "cosine() per epoch",
    "warmup(3, start=1) per epoch",
    "warmup(2 epochs) -> (step(every=3, gamma=0.5) per epoch)",
    "warmup(7) -> hold(33) -> linear(100, to=0.5x) -> hold(1 epoch, at=0.7x) -> exp(to=max(0.01x, 1e-6))",
    "base",
    "hold(1 epoch, at=0x) -> base",
]
OWN = (0.1, 7e-4)

Values = list[list[float]]
"""A number for each weight, for each update."""


def compiled_for(
    policies: Sequence[str | None],
    *,
    own: Sequence[float] = OWN,
    schedule: Mapping[str, str] | None = None,
    **horizon: Any,
) -> tuple[Any, list[Parameter]]:
    """SGD for a weight, a group of its own, for each policy (None: no policy of its own) and each own rate."""
    pairs = [(policy, rate) for policy in policies for rate in own]
    rules = [
        {"where": f"numbers.{number}", "lr": rate, **({"schedule": {"lr": policy}} if policy else {})}
        for number, (policy, rate) in enumerate(pairs)
    ]
    document: dict[str, Any] = {"optplan": 1, "optimizer": {"type": "sgd"}, "rules": rules}
    if schedule:
        document["schedule"] = dict(schedule)
    cell = Numbers(len(pairs))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rates.optim.yaml"
        path.write_text(json.dumps(document))
        (Path(folder) / "lr.txt").write_text("".join(f"{line % 7 / 10}\n" for line in range(90)))
        compiled = optplan.compile(path, cell, **horizon)
    return compiled, [each.weight for each in cell.numbers]


def used(compiled: Any, weights: Sequence[Parameter], begin: float, gradient: Callable[[int], float]) -> Values:
    """How far each update moves each weight down from `begin`, with the gradient of the update."""
    start = Tensor(np.full(1, begin, np.float32))
    moves = []
    for t in range(UPDATES):
        for weight in weights:
            ops.assign(weight, start)
        compiled.optimizer(tuple(Tensor(np.full(1, gradient(t), np.float32)) for _ in compiled.parameters))
        moves.append([begin - float(weight.asnumpy()[0]) for weight in weights])
    return moves


def planned(plan: Plan, count: int, key: str = "lr") -> Values:
    """What the plan says of each weight, for each update."""
    return [[plan.value(f"numbers.{number}.weight", key, t) for number in range(count)] for t in range(UPDATES)]


def in_float32(values: Values) -> Values:
    """Each number as the nearest one of float32."""
    return [[float(np.float32(value)) for value in each] for each in values]


def test_every_policy_is_here() -> None:
    # What stands last goes by what is reported, and has no values beforehand
    known = {name for name, kind in catalog().policies.items() if kind.supported and not kind.last}
    assert known == {name for name in known if any(f"{name}(" in policy for policy in POLICIES)}


@pytest.mark.parametrize("policy", POLICIES)
def test_the_rates_are_the_plans(policy: str) -> None:
    compiled, weights = compiled_for([policy], schedule={"lr": GLOBAL}, **HORIZON)
    expected = in_float32(planned(compiled.plan, len(weights)))
    assert used(compiled, weights, 0.0, lambda _: 1.0) == expected
    # One begins ten updates after the run does, and so ends ten after it
    assert expected[STEPS + 10 :] == [expected[STEPS + 10]] * (UPDATES - STEPS - 10), "the last value holds"


def test_the_rates_are_the_plans_where_many_groups_share_an_optimizer() -> None:
    compiled, weights = compiled_for(POLICIES, own=[0.1], schedule={"lr": GLOBAL}, **HORIZON)
    assert len(compiled.plan.groups) > 16
    assert not hasattr(compiled.optimizer, "members")
    assert used(compiled, weights, 0.0, lambda _: 1.0) == in_float32(planned(compiled.plan, len(weights)))


@pytest.mark.parametrize("count", [1, 2], ids=["several optimizers", "one optimizer"])
def test_a_fixed_rate_beside_a_scheduled_one_keeps_its_digits(count: int) -> None:
    own = [0.1, 1e-5, 1e-8]
    compiled, weights = compiled_for(
        [None, *["cosine()", "linear(to=0x)", "poly(power=2)"] * count], own=own, **HORIZON
    )
    expected = in_float32(planned(compiled.plan, len(weights)))
    assert [each[1:3] for each in expected] == [[float(np.float32(1e-5)), float(np.float32(1e-8))]] * UPDATES
    assert used(compiled, weights, 0.0, lambda _: 1.0) == expected


def test_a_policy_that_ends_needs_no_horizon() -> None:
    policies = ["warmup(20)", "multistep(at=[5, 250], gamma=0.1)", "cosine(40, to=0.1x)"]
    compiled, weights = compiled_for(policies)
    assert used(compiled, weights, 0.0, lambda _: 1.0) == in_float32(planned(compiled.plan, len(weights)))


def test_the_optimizer_tells_the_rate_before_it_uses_it() -> None:
    compiled, weights = compiled_for(["warmup(3) -> cosine(20)", "step(every=2, gamma=0.5)"], **HORIZON)
    expected = in_float32(planned(compiled.plan, len(weights)))
    names = [group.name for group in compiled.plan.groups]
    for t in range(30):
        assert [float(rate.asnumpy()) for rate in compiled.optimizer.get_lr()] == expected[t]
        assert in_float32([[compiled.lr()[name] for name in names]]) == [expected[t]]
        compiled.optimizer(tuple(Tensor(np.ones(1, np.float32)) for _ in compiled.parameters))


# Other settings: the weight decay as what it moves a weight of 1 by, so far that the subtraction costs a last digit
# only; the momentum as the ratio of one movement to the one before, once there is no gradient

CLOSE = 3e-7


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_the_weight_decays_are_the_plans(kind: str) -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": kind, "lr": 1, "weight_decay": 1e3},
        "rules": [{"where": "numbers.1", "weight_decay": "0.3x"}],
        "schedule": {"weight_decay": "warmup(5) -> hold(20) -> cosine(to=0.5x)"},
    }
    cell = Numbers(2)
    compiled = optplan.compile(document, cell, **HORIZON)
    weights = [each.weight for each in cell.numbers]
    expected = planned(compiled.plan, 2, "weight_decay")
    moved = used(compiled, weights, 1.0, lambda _: 0.0)
    if kind == "adam":
        # There the decay is the gradient, of which only the size of the moments is left
        moments = [_adam(([0.9] * UPDATES, [0.999] * UPDATES), column) for column in zip(*expected, strict=True)]
        expected = [list(each) for each in zip(*moments, strict=True)]
    np.testing.assert_allclose(moved, expected, rtol=1e-5 if kind == "adam" else CLOSE)


def test_the_momenta_are_the_plans() -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": "sgd", "lr": 1, "momentum": 0.99},
        "rules": [{"where": "numbers.1", "momentum": "0.98x"}],
        "schedule": {"momentum": "hold(10) -> linear(to=0.9x)"},
    }
    cell = Numbers(2)
    compiled = optplan.compile(document, cell, **HORIZON)
    weights = [each.weight for each in cell.numbers]
    moved = np.array(used(compiled, weights, 0.0, lambda t: 1.0 if t == 0 else 0.0))
    np.testing.assert_allclose(moved[1:] / moved[:-1], planned(compiled.plan, 2, "momentum")[1:], rtol=CLOSE)


def test_the_betas_are_the_plans() -> None:
    document = {
        "optplan": 1,
        "optimizer": {"type": "adam", "lr": 1, "betas": [0.9, 0.99]},
        "schedule": {"betas[0]": "warmup(10, from=0.5x) -> linear(to=0.6x)", "betas[1]": "cosine(to=0.9x)"},
    }
    cell = Numbers(1)
    compiled = optplan.compile(document, cell, **HORIZON)
    gradients = [float(t % 3) for t in range(UPDATES)]
    moved = used(compiled, [cell.numbers[0].weight], 0.0, gradients.__getitem__)
    betas = [[value for (value,) in planned(compiled.plan, 1, f"betas[{place}]")] for place in (0, 1)]
    expected = _adam((betas[0], betas[1]), gradients)
    np.testing.assert_allclose([value for (value,) in moved], expected, rtol=1e-5)


def _adam(betas: tuple[Sequence[float], Sequence[float]], gradients: Sequence[float]) -> list[float]:
    """The movements by Adam with a rate of 1, from the formula of its paper, with betas of the update's own."""
    m = v = 0.0
    moves = []
    for t, (beta1, beta2, gradient) in enumerate(zip(*betas, gradients, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        moves.append(m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + 1e-8))
    return moves
