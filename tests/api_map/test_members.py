"""What the map says of methods, attributes and functions, tried in both frameworks.

Each row that says "the same" has a check here, under torch's name; so have those of what differs that users meet first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from optplan.api_map import pairs, rows
from optplan.counterparts import counterparts
from tests.api_map.running import of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.agreement.table import Mode

pytestmark = pytest.mark.mindspore

LIBRARY = "torch.optim.lr_scheduler"
GRADIENTS = [np.random.default_rng(6).normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,))]


def optimizers(lr: float = 0.1) -> tuple[torch.optim.Optimizer, Any]:
    """One of torch and one of `mindspore.experimental`, of one weight."""
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    weight = Parameter(Tensor([1.0]), name="weight")
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr), optim.SGD([weight], lr=lr)


def schedulers(name: str, *arguments: Any, **others: Any) -> tuple[Any, Any]:
    """A scheduler of torch and its namesake."""
    from mindspore.experimental.optim import lr_scheduler  # noqa: PLC0415 - set up by then

    ours, theirs = optimizers()
    torchs = getattr(torch.optim.lr_scheduler, name)(ours, *arguments, **others)
    return torchs, getattr(lr_scheduler, name)(theirs, *arguments)


def plain(values: Any) -> list[float]:
    """Rates as numbers, of either framework."""
    return [float(each if isinstance(each, float) else each.asnumpy()) for each in values]


# what is the same


def step() -> None:
    ours, theirs = schedulers("StepLR", 3, 0.5)
    for _ in range(10):
        ours.optimizer.step()
        ours.step()
        theirs.step()
        assert plain(theirs.get_last_lr()) == pytest.approx(ours.get_last_lr(), rel=1e-6)
    assert ours.get_last_lr() == [0.1 * 0.5**3]


def optimizer() -> None:
    for each in schedulers("StepLR", 3):
        assert hasattr(each.optimizer, "param_groups")
        assert each.optimizer.param_groups[0]["lr"] == each.get_last_lr()[0]


def scale_fn() -> None:
    for mode in ("triangular", "triangular2", "exp_range"):
        ours, theirs = schedulers("CyclicLR", 0.1, 0.2, 10, 10, mode, 0.9, cycle_momentum=False)
        for x in (1, 2, 5):
            assert float(theirs.scale_fn(x)) == pytest.approx(float(ours.scale_fn(x)), rel=1e-6)


def scale() -> None:
    from mindspore import Tensor, amp  # noqa: PLC0415 - set up by then

    for size in (1.0, 1024.0, 2.0**16):
        ours = torch.amp.GradScaler("cpu", init_scale=size)
        for theirs in (amp.DynamicLossScaler(size, 2, 50), amp.StaticLossScaler(size)):
            values = ours.scale([torch.from_numpy(each) for each in GRADIENTS])
            others = theirs.scale(tuple(Tensor(each) for each in GRADIENTS))
            pairs = zip(values, others, strict=True)
            assert all(np.array_equal(a.numpy(), b.asnumpy()) for a, b in pairs)


CHECKS: dict[str, Callable[[], None]] = {
    f"{LIBRARY}.LRScheduler.step": step,
    f"{LIBRARY}.LRScheduler.optimizer": optimizer,
    f"{LIBRARY}.CyclicLR.scale_fn": scale_fn,
    "torch.amp.GradScaler.scale": scale,
}


def test_each_row_that_is_the_same_has_its_check() -> None:
    same = {
        row.name if row.name.startswith("torch.") else row.other
        for name, each in rows().items()
        for row in each
        if row.verdict == "same" and name not in counterparts()
    }
    assert same == CHECKS.keys()


@pytest.mark.one_mode
@pytest.mark.parametrize("name", CHECKS)
def test_the_same(name: str) -> None:
    CHECKS[name]()


# what is different


@pytest.mark.one_mode
def test_a_group_that_is_added_has_no_state_in_mindspore() -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then

    ours, theirs = optimizers()
    ours.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.2})
    ours.step()
    theirs.add_param_group({"params": [Parameter(Tensor([1.0]), name="other")], "lr": 0.2})
    assert len(ours.param_groups) == len(theirs.param_groups) == 2
    with pytest.raises(RuntimeError, match="same length"):
        theirs((Tensor([1.0]), Tensor([1.0])))


@pytest.mark.one_mode
@pytest.mark.parametrize("library", ["mindspore.experimental.optim", "mindspore.mint.optim"])
def test_what_params_may_be_in_experimental_and_mint(library: str) -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then

    weight = Parameter(Tensor([1.0]), name="weight")
    optimizer = of(library).SGD([{"params": [weight], "momentum": 0.9}], lr=0.1)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    with pytest.raises(TypeError):
        of(library).SGD([("weight", weight)], lr=0.1)
    torch.optim.SGD([("weight", torch.nn.Parameter(torch.ones(1)))], lr=0.1)


@pytest.mark.one_mode
def test_what_params_may_be_in_nn() -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    def moved(*, grouped: bool) -> bool:
        """Whether a decay moves a weight that is called `beta`."""
        weight = Parameter(Tensor([1.0]), name="beta")
        params = [{"params": [weight]}] if grouped else [weight]
        nn.Momentum(params, 0.1, 0.9, weight_decay=0.1)((Tensor([0.0]),))
        return bool(weight.asnumpy()[0] != 1.0)

    assert [moved(grouped=True), moved(grouped=False)] == [True, False]
    weight = Parameter(Tensor([1.0]), name="weight")
    with pytest.raises(KeyError):
        nn.Momentum([{"params": [weight], "momentum": 0.5}], 0.1, 0.9)


@pytest.mark.one_mode
def test_groups_state_and_defaults_of_mindspores() -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then

    ours, theirs = optimizers()
    ours.param_groups[0]["params"][0].grad = torch.ones(1)
    ours.step()
    theirs((Tensor([1.0]),))
    assert isinstance(ours.param_groups[0]["lr"], float)
    assert isinstance(theirs.param_groups[0]["lr"], Parameter)
    assert theirs.state == {}
    options = {"foreach", "differentiable", "fused"}
    assert ours.defaults.keys() - options == theirs.defaults.keys() - {"grad_centralization"}
    for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "ASGD"):
        weight, parameter = torch.nn.Parameter(torch.ones(1)), Parameter(Tensor([1.0]), name="weight")
        ours, theirs = (
            getattr(torch.optim, name)([weight]),
            of(f"mindspore.experimental.optim.{name}")([parameter], 0.1),
        )
        assert theirs.defaults.keys() < ours.defaults.keys()
        assert "grad_centralization" not in theirs.defaults


@pytest.mark.one_mode
def test_the_numbers_of_schedulers_are_tensors_in_mindspore() -> None:
    from mindspore import Tensor, float32  # noqa: PLC0415 - set up by then

    ours, theirs = schedulers("StepLR", 3)
    assert ours.get_last_lr() == ours.base_lrs == [0.1]
    for (rate,) in (theirs.get_last_lr(), theirs.get_lr(), theirs.base_lrs):
        assert isinstance(rate, Tensor)
        assert rate.dtype == float32
    assert ours.last_epoch == int(theirs.last_epoch.asnumpy()) == 0
    assert type(ours.last_epoch) is int
    assert not hasattr(theirs, "state_dict")


@pytest.mark.one_mode
def test_a_scheduler_that_goes_on_moves_the_rate_at_once_in_mindspore() -> None:
    from mindspore.experimental.optim import lr_scheduler  # noqa: PLC0415 - set up by then

    ours, theirs = optimizers()
    for each in (ours, theirs):
        each.param_groups[0]["initial_lr"] = 0.1
    assert torch.optim.lr_scheduler.ExponentialLR(ours, 0.5, last_epoch=3).get_last_lr() == [0.1]
    assert plain(lr_scheduler.ExponentialLR(theirs, 0.5, last_epoch=3).get_last_lr()) == pytest.approx([0.05])


def test_what_any_cell_saves_and_loads_of_an_optimizer(mindspore_mode: Mode) -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    def made() -> tuple[Parameter, Any]:
        weight = Parameter(Tensor([1.0]), name="weight")
        return weight, nn.Momentum([weight], 0.1, 0.9)

    weight, optimizer = made()
    optimizer((Tensor([1.0]),))
    called: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda *_: called.append("pre"))
    optimizer.register_state_dict_post_hook(lambda *_: called.append("post"))
    state = optimizer.state_dict()
    assert called == ["pre", "post"]
    assert {"global_step", "weight", "moments.weight"} <= set(state) == set(optimizer.parameters_dict())
    assert state["weight"] is weight
    saved = {name: Tensor(each.asnumpy()) for name, each in state.items()}
    weight, optimizer = made()
    with pytest.raises(RuntimeError, match="Unexpected"):
        optimizer.load_state_dict(saved)
    optimizer((Tensor([1.0]),))
    optimizer.register_load_state_dict_pre_hook(lambda *_: called.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda *_: called.append("loaded"))
    optimizer.load_state_dict(saved, strict=False)
    assert called[2:] == ["load", "loaded"]
    before = weight.asnumpy().tolist()
    optimizer((Tensor([1.0]),))
    # any optimizer is compiled by jit in PyNative mode
    assert (weight.asnumpy().tolist() == before) is (mindspore_mode == "pynative")


@pytest.mark.one_mode
def test_how_much_larger_updates_are_without_a_correction_of_the_bias() -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    (pair,) = (each for each in pairs() if each.mindspore == "mindspore.nn.AdamWeightDecay")
    ours, theirs = torch.nn.Parameter(torch.zeros(1)), Parameter(Tensor([0.0]), name="weight")
    stock = torch.optim.AdamW([ours], lr=1e-3, weight_decay=0.0)
    other = nn.AdamWeightDecay([{"params": [theirs]}], 1e-3)
    at = [(0.0, 0.0)]
    for _ in range(20):
        ours.grad = torch.ones(1)
        stock.step()
        other((Tensor([1.0]),))
        at.append((ours.item(), float(theirs.asnumpy()[0])))
    ratios = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(at)]
    assert ratios.index(max(ratios)) == 11
    assert f"update 1 is {ratios[0]:.1f} times as large and update 12 {ratios[11]:.1f} times" in pair.how


@pytest.mark.one_mode
def test_in_cooldown_is_a_method_in_mindspore() -> None:
    ours, theirs = schedulers("ReduceLROnPlateau")
    assert ours.in_cooldown is False
    assert callable(theirs.in_cooldown)


def doubled(_optimizer: Any, arguments: Any) -> Any:
    """A hook that changes the gradients."""
    return ((arguments[0][0] * 2,),)


def test_a_hook_of_an_optimizer_is_given_the_gradients_and_is_compiled() -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    weight = Parameter(Tensor([1.0]), name="weight")
    optimizer = nn.Momentum([weight], 0.25, 0.0)
    optimizer.register_forward_pre_hook(doubled)
    optimizer((Tensor([1.0]),))
    assert weight.asnumpy().tolist() == [1 - 0.25 * 2]


@pytest.mark.one_mode
def test_get_lr_of_groups_is_one_for_each_parameter() -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then

    weights = [Parameter(Tensor([1.0]), name=name) for name in "abc"]
    optimizer = nn.Momentum([{"params": weights[:2], "lr": 0.2}, {"params": weights[2:]}], 0.1, 0.9)
    assert plain(optimizer.get_lr()) == pytest.approx([0.2, 0.2, 0.1])
    assert float(optimizer.get_lr_parameter(weights[2]).asnumpy()) == pytest.approx(0.1)
    assert optimizer.global_step.asnumpy().tolist() == [0]
    for groups in (weights, [{"params": weights[:2], "weight_decay": 0.1}, {"params": weights[2:]}]):
        assert isinstance(nn.Momentum(groups, 0.1, 0.9).get_lr(), Parameter)


def clipped(function: Callable[..., Any], *limit: float) -> tuple[Any, list[Any]]:
    """What torch gives back, and the gradients afterwards."""
    parameters = [torch.nn.Parameter(torch.zeros(each.shape)) for each in GRADIENTS]
    for parameter, each in zip(parameters, GRADIENTS, strict=True):
        parameter.grad = torch.from_numpy(each.copy())
    return function(parameters, *limit), [each.grad.numpy() for each in parameters if each.grad is not None]


@pytest.mark.one_mode
@pytest.mark.parametrize("limit", [1e-6, 1.0, 100.0])
def test_clipping(limit: float) -> None:
    from mindspore import Tensor, ops  # noqa: PLC0415 - set up by then

    gradients = [Tensor(each) for each in GRADIENTS]
    norm, ours = clipped(torch.nn.utils.clip_grad_norm_, limit)
    assert float(norm) > 1
    by_norm = [each.asnumpy() for each in ops.clip_by_norm(gradients, limit)]
    assert all(np.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(ours, by_norm, strict=True))
    assert all(np.array_equal(a.asnumpy(), b) for a, b in zip(gradients, GRADIENTS, strict=True))
    over_all = [each.asnumpy() for each in ops.clip_by_global_norm(tuple(gradients), limit)]
    factor = limit / max(float(norm), limit)
    assert all(np.allclose(factor * a, b, rtol=1e-6, atol=0) for a, b in zip(GRADIENTS, over_all, strict=True))
    nothing, by_value = clipped(torch.nn.utils.clip_grad_value_, limit)
    assert nothing is None
    values = [each.asnumpy() for each in ops.clip_by_value(gradients, -limit, limit)]
    assert all(np.array_equal(a, b) for a, b in zip(by_value, values, strict=True))


@pytest.mark.one_mode
def test_clipping_by_other_norms() -> None:
    from mindspore import Tensor, ops  # noqa: PLC0415 - set up by then

    for kind, same in ((2.0, True), (float("inf"), True), (1.0, False), (3.0, False)):
        _, ours = clipped(torch.nn.utils.clip_grad_norm_, 0.5, kind)
        theirs = [each.asnumpy() for each in ops.clip_by_norm([Tensor(each) for each in GRADIENTS], 0.5, kind)]
        assert all(np.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(ours, theirs, strict=True)) is same


@pytest.mark.one_mode
def test_the_scale_takes_the_same_steps_and_stops_at_one() -> None:
    from mindspore import Tensor, amp  # noqa: PLC0415 - set up by then

    # overflows, then long enough without one to grow again, then more of them than the scale has powers of two
    finite = [False, True, True, True, True, False] + [True] * 7 + [False] * 12
    ours = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=3)
    theirs = amp.DynamicLossScaler(16.0, 2, 3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.0)
    parameter = optimizer.param_groups[0]["params"][0]
    for each in finite:
        ours.scale(torch.zeros(1))
        parameter.grad = torch.full((1,), 1.0 if each else float("inf"))
        ours.step(optimizer)
        ours.update()
        theirs.adjust(Tensor(each))
        assert float(theirs.scale_value.asnumpy()) == max(ours.get_scale(), 1.0)
    assert ours.get_scale() < 1
