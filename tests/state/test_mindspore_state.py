"""What MindSpore's optimizers know, asked for and put back: against PyTorch's own state, and against not stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import optplan
from optplan import ConfigError
from tests.agreement.gradients import gradients
from tests.agreement.settings import CASES
from tests.state.runs import MindSpore, Torch, difference

if TYPE_CHECKING:
    from tests.agreement.settings import Case

pytestmark = pytest.mark.mindspore

# One setting of each optimizer, with which it has all the state that it ever has.
FULL = {"sgd": "momentum", "adam": "amsgrad", "rmsprop": "centered, momentum"}
WIDEST = [case for case in CASES if case.name == FULL.get(case.optimizer, "alone")]
# Of whole numbers and powers of numbers that only one of the two rounds to float32
CLOSE = {"rtol": 2e-5, "atol": 1e-7}


def case_of(optimizer: str) -> Case:
    return next(case for case in WIDEST if case.optimizer == optimizer)


@pytest.mark.parametrize("case", WIDEST, ids=str)
def test_state_has_the_names_shapes_and_values_of_pytorchs_own(case: Case) -> None:
    torch, mindspore = (run(case.network, case.document()) for run in (Torch, MindSpore))
    updates = gradients(case.network)[:3]
    torch.train(updates)
    mindspore.train(updates)
    state = mindspore.compiled.state_dict()["state"]
    own = {name: torch.compiled.optimizer.state[each] for name, each in torch.parameters.items()}
    assert {name: set(fields) for name, fields in state.items()} == {name: set(each) for name, each in own.items()}
    for name, fields in own.items():
        for field, value in fields.items():
            expected, found = np.asarray(value), np.asarray(state[name][field])
            assert found.shape == expected.shape, (name, field)
            if case.optimizer != "muon" or field == "step":
                size = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * size, err_msg=f"{name} {field}")


def test_before_the_first_update_there_is_none() -> None:
    run = MindSpore("layers", case_of("adamw").document())
    assert all(fields == {} for fields in run.compiled.state_dict()["state"].values())


@pytest.mark.parametrize("case", WIDEST, ids=str)
def test_what_is_loaded_after_compiled_updates_takes_effect(case: Case) -> None:
    updates = gradients(case.network)
    whole = MindSpore(case.network, case.document())
    whole.train(updates[:6])
    state, weights = whole.compiled.state_dict(), whole.weights
    whole.train(updates[6:12])
    other = MindSpore(case.network, case.document())
    other.train(updates[20:22])
    other.compiled.load_weights(weights)
    assert not other.compiled.load_state_dict(state)
    assert other.compiled.updates == 6
    assert other.compiled.lr() == pytest.approx(
        {group.name: group.value("lr", 6) for group in other.compiled.plan.groups}, rel=1e-12
    )
    other.train(updates[6:12])
    for name, values in whole.weights.items():
        np.testing.assert_array_equal(other.weights[name], values, err_msg=name)


def test_what_is_loaded_is_copied() -> None:
    case = case_of("adamw")
    run = MindSpore(case.network, case.document())
    run.train(gradients(case.network)[:2])
    state = run.compiled.state_dict()
    run.compiled.load_state_dict(state)
    for fields in state["state"].values():
        fields["exp_avg"][...] = np.nan
    assert all(np.isfinite(fields["exp_avg"]).all() for fields in run.compiled.state_dict()["state"].values())


# One count for all parameters of an optimizer


def test_counts_that_differ_within_an_optimizer_cannot_be_carried() -> None:
    case = case_of("adamw")
    run = MindSpore(case.network, case.document())
    run.train(gradients(case.network)[:5])
    state = run.compiled.state_dict()
    state["state"]["mixed.stem.weight"]["step"] = 3
    with pytest.raises(ConfigError, match=r"mixed\.stem\.weight") as caught:
        run.compiled.load_state_dict(state)
    assert "`step`" in str(caught.value)
    found = run.compiled.load_state_dict(state, strict=False)
    assert "mixed.stem.weight" in str(found)
    assert run.compiled.state_dict()["state"]["mixed.stem.weight"]["step"] == 5


@pytest.mark.parametrize("optimizer", ["adamw", "nadam", "rprop", "asgd", "adafactor"])
def test_a_count_behind_that_of_updates_is_carried_as_pytorch_does(optimizer: str) -> None:
    """As of parameters that came to a run later: their state is young, their schedule is not."""
    case = case_of(optimizer)
    updates = gradients(case.network)
    torch = Torch(case.network, case.document())
    assert torch.compiled.scheduler is not None
    for _ in range(7):
        torch.compiled.scheduler.step()
    torch.train(updates[:4])
    mindspore = MindSpore(case.network, case.document())
    mindspore.compiled.load_weights(torch.weights)
    assert not mindspore.compiled.load_state_dict(torch.compiled.state_dict())
    assert (mindspore.compiled.updates, mindspore.compiled.state_dict()["state"]["plain.stem.weight"]["step"]) == (
        11,
        4,
    )
    torch.train(updates[4:12])
    mindspore.train(updates[4:12])
    assert difference(torch.weights, mindspore.weights) <= 1e-5


# Networks whose parameters MindSpore has in another shape


class Flat(nn.Cell):
    """Two convolutions over one dimension, of which MindSpore has the weights in four, and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 4, 2, has_bias=True)
        self.norm = nn.LayerNorm((4,))
        self.second = nn.Conv1d(4, 5, 3)


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw"])
def test_shapes_are_those_of_the_plan(optimizer: str) -> None:
    rng = np.random.default_rng(0)
    document = {"optplan": 1, "optimizer": {"type": optimizer}}
    network = Flat()
    compiled = optplan.compile(document, network)
    shapes = dict(zip(compiled.plan.names, compiled.plan.shapes, strict=True))
    updates = [
        tuple(Tensor(rng.standard_normal(each.shape), ms.float32) for each in compiled.parameters) for _ in range(4)
    ]
    for update in updates[:2]:
        compiled.optimizer(update)
    state = compiled.state_dict()
    weight = state["state"]["first.weight"]
    if optimizer == "adamw":
        assert weight["exp_avg"].shape == shapes["first.weight"] == (4, 3, 2)
    else:
        assert (weight["row_var"].shape, weight["col_var"].shape) == ((4, 3, 1), (4, 1, 2))
        assert state["state"]["norm.weight"]["variance"].shape == (4,)
    weights = {name: parameter.asnumpy().copy() for name, parameter in network.parameters_dict().items()}
    for update in updates[2:]:
        compiled.optimizer(update)
    other = Flat()
    resumed = optplan.compile(document, other)
    resumed.optimizer(updates[0])
    resumed.load_weights({name: weights[name] for name in other.parameters_dict()})
    resumed.load_state_dict(state)
    for update in updates[2:]:
        resumed.optimizer(update)
    for one, two in zip(network.get_parameters(), other.get_parameters(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), two.asnumpy())
