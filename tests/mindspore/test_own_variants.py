"""MindSpore's own optimizers run as the class does that is made by hand: bit for bit, in either mode.

By hand means in MindSpore's own words: groups of parameters, `learning_rate` as a number or as a list of numbers, which
the class looks up by its count of updates.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

import optplan
from optplan import ConfigError
from optplan.catalog import catalog

pytestmark = [pytest.mark.mindspore, pytest.mark.long_in_graph]

STEPS = 10
# What a document says of a class, and what the class is given by hand beside the rate; the rate of both.
CASES: list[tuple[str, float | None, dict[str, Any]]] = [
    ("Momentum", 0.1, {"momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", 0.1, {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("ASGD", 0.1, {"lambd": 0.01, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.01}),
    ("Rprop", 0.01, {"etas": (0.4, 1.3), "step_sizes": (1e-4, 0.5), "weight_decay": 0.01}),
    ("Adam", 0.01, {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.01}),
    ("Adam", 0.01, {"use_amsgrad": True}),
    ("Adam", 0.01, {"use_nesterov": True, "use_locking": True}),
    ("Adam", 0.01, {"use_lazy": True}),
    ("Adam", 0.01, {"use_offload": True}),
    ("LazyAdam", 0.01, {"beta1": 0.8, "use_nesterov": True, "weight_decay": 0.01}),
    ("AdamOffload", 0.01, {"beta2": 0.99, "weight_decay": 0.01}),
    ("AdamWeightDecay", 0.01, {"beta1": 0.8, "eps": 1e-4, "weight_decay": 0.1}),
    ("AdaMax", 0.01, {"beta2": 0.99, "eps": 1e-3, "weight_decay": 0.01}),
    ("Adagrad", 0.1, {"accum": 0.5, "weight_decay": 0.01}),
    ("ProximalAdagrad", 0.1, {"accum": 0.5, "l1": 0.01, "l2": 0.1, "weight_decay": 0.01}),
    ("Adadelta", 0.5, {"rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.01}),
    ("RMSProp", 0.01, {"decay": 0.8, "momentum": 0.5, "epsilon": 1e-3, "weight_decay": 0.01}),
    ("RMSProp", 0.01, {"centered": True}),
    ("FTRL", 0.1, {"initial_accum": 0.5, "lr_power": -0.4, "l1": 0.01, "l2": 0.1, "weight_decay": 0.01}),
    ("AdaFactor", None, {"beta1": 0.5, "eps": (1e-6, 1e-2), "decay_rate": 0.7, "weight_decay": 0.1}),
    ("AdaFactor", 0.05, {"relative_step": False, "scale_parameter": False, "clip_threshold": 0.5}),
    ("AdaFactor", None, {"warmup_init": True, "compression": True}),
]
each_case = pytest.mark.parametrize(("name", "lr", "settings"), CASES)


class Layers(nn.Cell):
    """A matrix, a vector, a convolution's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = Parameter(Tensor(filled((4, 3)), ms.float32), name="matrix")
        self.vector = Parameter(Tensor(filled((5,)), ms.float32), name="vector")
        self.kernel = Parameter(Tensor(filled((2, 3, 2, 2)), ms.float32), name="kernel")


def filled(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def trained(cell: nn.Cell, optimizer: nn.Optimizer) -> list[np.ndarray[Any, Any]]:
    """The weights after ten updates, whose gradients are the same for every optimizer."""
    for step in range(1, STEPS + 1):
        optimizer(tuple(Tensor(filled(each.shape, step)) for each in optimizer.parameters))
    return [each.asnumpy().copy() for each in cell.get_parameters()]


def document(name: str, lr: float | None, settings: dict[str, Any], **keys: Any) -> dict[str, Any]:
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    rate = {} if lr is None else {"lr": lr}
    return {"optplan": 1, "optimizer": {"type": f"mindspore.{name}", **rate, **own}, **keys}


def by_hand(cell: nn.Cell, name: str, lr: Any, settings: dict[str, Any]) -> nn.Optimizer:
    rate = {} if lr is None else {"learning_rate": lr}
    return getattr(nn, name)([{"params": cell.trainable_params()}], **rate, **settings)


def assert_equal(ours: list[np.ndarray[Any, Any]], theirs: list[np.ndarray[Any, Any]], start: nn.Cell) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    moved = [not np.array_equal(a, b.asnumpy()) for a, b in zip(ours, start.get_parameters(), strict=True)]
    assert all(moved), "else equal weights would say nothing"


@each_case
def test_with_a_fixed_rate(name: str, lr: float | None, settings: dict[str, Any]) -> None:
    cell, other = Layers(), Layers()
    optimizer, scheduler = optplan.compile(document(name, lr, settings), cell)
    assert type(optimizer) is getattr(nn, name)
    assert scheduler is None
    assert_equal(trained(cell, optimizer), trained(other, by_hand(other, name, lr, settings)), Layers())


def of(name: str, key: str) -> bool:
    return key in catalog().optimizers[f"mindspore.{name}"].scheduled


@pytest.mark.parametrize(
    ("name", "lr", "settings"), [case for case in CASES if of(case[0], "lr") and case[1] is not None]
)
def test_with_a_schedule_of_the_rate(name: str, lr: float, settings: dict[str, Any]) -> None:
    cell, other = Layers(), Layers()
    config = document(name, lr, settings, schedule={"lr": "linear(8, from=0.5x, to=0.1x)"})
    optimizer, _ = optplan.compile(config, cell)
    # the ramp reaches its end at update 8, and stays there
    rates = [lr * (0.5 + (0.1 - 0.5) * min(t / 8, 1)) for t in range(STEPS)]
    assert_equal(trained(cell, optimizer), trained(other, by_hand(other, name, rates, settings)), Layers())


class Halving(nn.Cell):
    """A decay of 0.4 at the first update and half of that from the sixth on, as MindSpore's guide writes one."""

    def construct(self, global_step: Tensor) -> Tensor:
        """The decay of update `global_step`."""
        return ms.ops.select(global_step.reshape(()) < 5, Tensor(0.4, ms.float32), Tensor(0.2, ms.float32))


DECAYED = [case for case in CASES if of(case[0], "weight_decay") and case[2].get("weight_decay")]


@pytest.mark.parametrize(("name", "lr", "settings"), DECAYED)
def test_with_a_schedule_of_the_decay(name: str, lr: float | None, settings: dict[str, Any]) -> None:
    cell, other = Layers(), Layers()
    config = document(
        name, lr, {**settings, "weight_decay": 0.4}, schedule={"weight_decay": "step(every=5, gamma=0.5)"}
    )
    optimizer, _ = optplan.compile(config, cell, steps=STEPS)
    theirs = by_hand(other, name, lr, {**settings, "weight_decay": Halving()})
    assert_equal(trained(cell, optimizer), trained(other, theirs), Layers())


def test_rules_work_on_it_as_on_any_other() -> None:
    config = document("Momentum", 0.1, {"momentum": 0.9}, rules=[{"where": "vector", "lr": "0.1x", "momentum": 0.5}])
    cell = Layers()
    compiled = optplan.compile(config, cell)
    assert sorted(compiled.lr().values()) == [0.1 * 0.1, 0.1]
    ours = trained(cell, compiled.optimizer)
    other = Layers()
    first = nn.Momentum([{"params": [other.matrix, other.kernel]}], learning_rate=0.1, momentum=0.9)
    second = nn.Momentum([{"params": [other.vector]}], learning_rate=0.1 * 0.1, momentum=0.5)
    trained(other, first)
    assert_equal(ours, trained(other, second), Layers())


def test_a_rate_that_the_optimizer_chooses_is_no_number() -> None:
    compiled = optplan.compile(document("AdaFactor", None, {}), Layers())
    assert np.isnan(compiled.lr_of("matrix"))
    assert np.isnan(compiled.settings()["default"]["lr"])


def test_more_groups_than_share_one_rate_stay_apart_where_the_class_has_one() -> None:
    cell = Many()
    rules = [{"where": f"p{number}", "lr": 0.01 * (number + 1), "weight_decay": 0.01 * number} for number in range(18)]
    compiled = optplan.compile(document("FTRL", 0.1, {}, rules=rules), cell)
    ours = trained(cell, compiled.optimizer)
    other = Many()
    for number, parameter in enumerate(other.trainable_params()):
        trained(
            other,
            nn.FTRL([{"params": [parameter]}], learning_rate=0.01 * (number + 1), weight_decay=0.01 * number),
        )
    assert_equal(ours, [each.asnumpy() for each in other.get_parameters()], Many())


class Many(nn.Cell):
    """Eighteen vectors."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(18):
            setattr(self, f"p{number}", Parameter(Tensor(filled((3,), number), ms.float32), name=f"p{number}"))


ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    # what MindSpore's CPU kernels lack, and what they would leave out in silence
    ("Lamb", {"lr": 0.1}),
    ("LARS", {"lr": 0.1, "momentum": 0.9}),
    ("Momentum", {"lr": 0.1, "momentum": 0.9, "use_nesterov": True}),
    ("Adagrad", {"update_slots": False}),
]


@pytest.mark.parametrize(("name", "settings"), ELSEWHERE)
def test_what_does_not_run_on_cpu_is_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.compile(document(name, None, settings), Layers())
    (found,) = caught.value.diagnostics
    assert found.code == "OP501"
    assert found.message.endswith("does not run on CPU")
    assert found.help == ("it runs on Ascend" if name == "LARS" else "it runs on Ascend and GPU")


@pytest.mark.parametrize("make", [nn.Lamb, lambda groups, lr: nn.LARS(nn.Momentum(groups, lr, 0.9))])
def test_what_is_refused_on_cpu_has_no_kernel_there(make: Any) -> None:
    cell = Layers()
    with pytest.raises(RuntimeError):
        trained(cell, make([{"params": cell.trainable_params()}], 0.1))


@pytest.mark.parametrize(
    ("name", "settings", "left_out"),
    [
        ("Momentum", {"learning_rate": 0.1, "momentum": 0.9}, {"use_nesterov": True}),
        ("Adagrad", {"learning_rate": 0.1}, {"update_slots": False}),
    ],
)
def test_what_is_refused_on_cpu_has_no_effect_there(
    name: str, settings: dict[str, Any], left_out: dict[str, Any]
) -> None:
    cell, other = Layers(), Layers()
    with_it = by_hand(cell, name, None, {**settings, **left_out})
    assert_equal(trained(cell, with_it), trained(other, by_hand(other, name, None, settings)), Layers())
