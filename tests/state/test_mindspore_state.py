"""What MindSpore's optimizers know, asked for and put back: against PyTorch's own state, and against not stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn

import optplan
from optplan import ConfigError
from tests.agreement.cells import Numbers
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
    theirs, mine = (run(case.network, case.document()) for run in (Torch, MindSpore))
    updates = gradients(case.network)[:3]
    theirs.train(updates)
    mine.train(updates)
    state = mine.compiled.state_dict()["state"]
    own = {name: theirs.compiled.optimizer.state[each] for name, each in theirs.parameters.items()}
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


# Counts, of which an optimizer has one for all its parameters


class Few(torch.nn.Module):
    """The parameters of `Numbers`, in PyTorch."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.numbers = torch.nn.ModuleList(torch.nn.Module() for _ in range(count))
        for each in self.numbers:
            each.weight = torch.nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize("optimizer", ["adamw", "asgd"])
def test_parameters_that_had_fewer_updates_go_on_from_theirs(optimizer: str) -> None:
    """In PyTorch what has no gradient has no update: one had three of four, one none, and then all have some."""
    document = {"optplan": 1, "optimizer": {"type": optimizer, "lr": 1e-2}, "schedule": {"lr": "cosine()"}}
    module, cell = Few(3), Numbers(3)
    theirs, mine = (optplan.compile(document, each, steps=20) for each in (module, cell))

    def update(t: int) -> None:
        for place, number in enumerate(module.numbers):
            had = t >= 4 or place == 0 or (place == 1 and t > 0)
            number.weight.grad = torch.tensor([0.5 - 0.1 * t + 0.2 * place]) if had else None
        theirs.optimizer.step()
        theirs.scheduler.step()

    for t in range(4):
        update(t)
    mine.load_weights(module.state_dict())
    before = mine.optimizer
    assert not mine.load_state_dict(theirs.state_dict())
    assert mine.optimizer is not before
    assert mine.updates == 4
    assert mine.lr() == theirs.lr()
    # What it says goes on as well
    assert not mine.load_state_dict(mine.state_dict())
    assert len(mine.state_dict()["groups"]) == 1
    for t in range(4, 8):
        update(t)
        mine.optimizer(tuple(Tensor([0.5 - 0.1 * t + 0.2 * place], ms.float32) for place in range(3)))
    state = mine.state_dict()["state"]
    assert [state[f"numbers.{place}.weight"]["step"] for place in range(3)] == [8, 7, 4]
    for one, other in zip(cell.get_parameters(), module.parameters(), strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.detach().numpy(), rtol=1e-5)


def test_what_begins_anew_leaves_the_count_of_the_others() -> None:
    """As in a network that has grown: most of its parameters are new."""
    document = {"optplan": 1, "optimizer": {"type": "adamw", "lr": 1e-2}}
    small, large = (optplan.compile(document, Numbers(count)) for count in (1, 3))
    for _ in range(2):
        small.optimizer((Tensor([1.0], ms.float32),))
    large.load_state_dict(small.state_dict(), strict=False)
    kept = small.state_dict()["state"]["numbers.0.weight"]
    assert kept["step"] == 2
    assert large.state_dict()["state"] == {"numbers.0.weight": kept, "numbers.1.weight": {}, "numbers.2.weight": {}}


def test_what_has_made_no_update_is_loaded() -> None:
    document = {"optplan": 1, "optimizer": {"type": "adamw"}}
    state = optplan.compile(document, Numbers(1)).state_dict()
    assert not optplan.compile(document, Numbers(1)).load_state_dict(state)


@pytest.mark.parametrize("where", ["updates", "step"])
def test_counts_without_a_number_are_refused(where: str) -> None:
    """MindSpore counts in an int32."""
    compiled = optplan.compile({"optplan": 1, "optimizer": {"type": "adamw"}}, Numbers(1))
    compiled.optimizer((Tensor([1.0], ms.float32),))
    state = compiled.state_dict()
    if where == "updates":
        wrong = {**state, "updates": 2**31}
    else:
        wrong = {**state, "state": {name: {**each, "step": 2**31} for name, each in state["state"].items()}}
    with pytest.raises(ConfigError, match="OP708"):
        compiled.load_state_dict(wrong, strict=False)
    assert compiled.state_dict() == state


@pytest.mark.parametrize("optimizer", ["adamw", "nadam", "rprop", "asgd", "adafactor"])
def test_a_count_behind_that_of_updates_is_carried_as_pytorch_does(optimizer: str) -> None:
    """As of parameters that came to a run later: their state is young, their schedule is not."""
    case = case_of(optimizer)
    updates = gradients(case.network)
    theirs = Torch(case.network, case.document())
    assert theirs.compiled.scheduler is not None
    for _ in range(7):
        theirs.compiled.scheduler.step()
    theirs.train(updates[:4])
    mine = MindSpore(case.network, case.document())
    mine.compiled.load_weights(theirs.weights)
    assert not mine.compiled.load_state_dict(theirs.compiled.state_dict())
    assert (mine.compiled.updates, mine.compiled.state_dict()["state"]["plain.stem.weight"]["step"]) == (
        11,
        4,
    )
    theirs.train(updates[4:12])
    mine.train(updates[4:12])
    assert difference(theirs.weights, mine.weights) <= 1e-5


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
