"""State dicts of `torch.optim` taken and written, by index and by name."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from optplan.state import stock
from optplan.state.saved import parse
from tests.targets.cases import SCHEDULE, UPDATES, Case, every_case, network
from tests.targets.networks import Matrices, Pictures, advance, document, loss_of, same_weights, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable

ADAMW = document({"type": "adamw", "lr": 0.01, "weight_decay": 0.1}, rules=[{"where": "bias", "weight_decay": 0}])


@every_case
def test_what_a_plain_loop_saved_goes_on_compiled(case: Case) -> None:
    """Groups by hand, whose order is the plan's, trained and saved by torch alone; then under the plan."""
    mine = network(case)
    optimizer, _ = case.by_hand(mine)
    for update in range(3):
        advance(mine, [optimizer], update)
    theirs = deepcopy(mine)
    compiled = optplan.compile(case.document(), theirs, steps=UPDATES)
    found = compiled.load_state_dict(deepcopy(optimizer.state_dict()))
    assert not [each for each in found.diagnostics if each.code != "OP707"], found
    for update in range(3, 6):
        advance(mine, [optimizer], update)
        advance(theirs, [compiled.optimizer], update)
    assert same_weights(mine, theirs)


@pytest.mark.parametrize("named", [False, True])
def test_one_group_of_all_parameters_is_in_the_networks_order(named: bool) -> None:
    mine = seeded(Pictures)
    given: Any = mine.named_parameters() if named else mine.parameters()
    optimizer = torch.optim.AdamW(given, lr=0.01)
    for update in range(3):
        advance(mine, [optimizer], update)
    compiled = optplan.compile(ADAMW, seeded(Pictures))
    compiled.load_state_dict(optimizer.state_dict())
    state = compiled.state_dict()["state"]
    for name, parameter in mine.named_parameters():
        assert torch.equal(state[name]["exp_avg"], optimizer.state[parameter]["exp_avg"]), name
    assert compiled.updates == 3


def test_the_optimizers_own_dict_is_taken_with_the_settings_as_they_stood() -> None:
    mine = seeded(Pictures)
    compiled = optplan.compile({**ADAMW, "schedule": {"lr": SCHEDULE}}, mine, steps=UPDATES)
    train(mine, compiled, range(3))
    other = optplan.compile({**ADAMW, "schedule": {"lr": SCHEDULE}}, seeded(Pictures), steps=UPDATES)
    assert not other.load_state_dict(compiled.optimizer.state_dict())
    assert (other.updates, other.lr()) == (3, compiled.lr())


def test_where_no_step_is_counted_the_count_stays() -> None:
    sgd = document({"type": "sgd", "lr": 0.1, "momentum": 0.9}, schedule={"lr": SCHEDULE})
    mine = seeded(Pictures)
    compiled = optplan.compile(sgd, mine, steps=UPDATES)
    train(mine, compiled, range(3))
    other = optplan.compile(sgd, seeded(Pictures), steps=UPDATES)
    other.scheduler.load_state_dict(compiled.scheduler.state_dict())
    other.load_state_dict(compiled.optimizer.state_dict())
    assert other.updates == 3


@pytest.mark.parametrize(
    ("build", "config"),
    [
        (Pictures, ADAMW),
        (
            Matrices,
            document(
                {"type": "sgd", "lr": 0.1, "momentum": 0.9},
                optimizers={"hidden": {"type": "muon", "lr": 0.1}},
                rules=[{"where": "body", "use": "hidden"}],
            ),
        ),
    ],
)
def test_what_is_written_is_what_torch_would_write(build: Callable[[], nn.Module], config: dict[str, Any]) -> None:
    mine = seeded(build)
    compiled = optplan.compile(config, mine)
    train(mine, compiled, range(3))
    saved = parse(compiled.state_dict())
    written, own = stock.to_indices(saved, compiled.plan), compiled.optimizer.state_dict()
    assert written["state"].keys() == own["state"].keys()
    for number, fields in own["state"].items():
        assert all(written["state"][number][key] is value for key, value in fields.items())
    for mine_group, theirs in zip(written["param_groups"], own["param_groups"], strict=True):
        assert mine_group["params"] == theirs["params"]
        assert all(theirs[key] == value for key, value in mine_group.items())
    theirs_model = deepcopy(mine)
    other = optplan.compile(config, theirs_model)
    other.optimizer.load_state_dict(deepcopy(written))
    train(mine, compiled, range(3, 6))
    train(theirs_model, other, range(3, 6))
    assert same_weights(mine, theirs_model)


def test_by_name_there_and_back() -> None:
    mine = seeded(Pictures)
    compiled = optplan.compile(ADAMW, mine)
    train(mine, compiled, range(3))
    named = stock.to_names(parse(compiled.state_dict()), compiled.plan)
    other = optplan.compile(ADAMW, seeded(Pictures))
    assert not other.load_state_dict(deepcopy(named))
    assert other.state_dict()["state"].keys() == compiled.state_dict()["state"].keys()


def test_groups_that_could_be_each_others_are_refused() -> None:
    """Three of one length and one shape, whose settings the file has changed: nothing tells which is which."""
    mine: Any = nn.ModuleDict({name: nn.Linear(3, 3, bias=False) for name in "abc"})
    rules = [{"where": name, "lr": lr} for name, lr in (("b", 0.5), ("c", 0.25))]
    compiled = optplan.compile(document({"type": "adamw", "lr": 1.0}, rules=rules), mine)
    for rates, refused in (([1.0, 0.25, 0.5], False), ([1.0, 0.25, 0.1], True)):
        groups = [{"params": mine[name].parameters(), "lr": lr} for name, lr in zip("acb", rates, strict=True)]
        optimizer = torch.optim.AdamW(groups)
        for number, name in enumerate("abc"):
            mine[name].weight.grad = torch.full((3, 3), float(number + 1))
        optimizer.step()
        if refused:
            with pytest.raises(ConfigError, match=r"groups of 1, 1, 1 parameters by number.* which is which"):
                compiled.load_state_dict(optimizer.state_dict())
        else:
            compiled.load_state_dict(optimizer.state_dict())
            state = compiled.state_dict()["state"]
            for name in "abc":
                assert torch.equal(state[f"{name}.weight"]["exp_avg"], optimizer.state[mine[name].weight]["exp_avg"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"param_groups": []}, "has `state` and `param_groups`"),
        ({"param_groups": [{"lr": 0.1}]}, "is no group with a list of `params`"),
        ({"param_groups": [{"params": [0, 1, 2]}]}, "groups of 3 parameters by number, and the plan of 5, 5"),
        ({"state": {"x": {}}}, "state of 'x', which is in none of its groups"),
        ({"state": {0: {"exp_avg": "x"}}}, "exp_avg` of the saved state is a `str`"),
        ({"state": {0: 3}}, "of the saved state is a `int`, not a mapping"),
    ],
)
def test_what_is_no_state_dict_is_told(change: dict[str, Any], said: str) -> None:
    compiled = optplan.compile(ADAMW, seeded(Pictures))
    with pytest.raises(ConfigError) as caught:
        compiled.load_state_dict({**deepcopy(compiled.optimizer.state_dict()), **change})
    assert {each.code for each in caught.value.diagnostics} == {"OP702"}
    assert said in str(caught.value)


def test_state_of_another_class_is_told() -> None:
    mine = seeded(Pictures)
    optimizer = torch.optim.SGD(mine.parameters(), lr=0.1, momentum=0.9)
    loss_of(mine, 0).backward()  # type: ignore[no-untyped-call]  # torch's own
    optimizer.step()
    compiled = optplan.compile(ADAMW, seeded(Pictures))
    with pytest.raises(ConfigError, match="is of `sgd`, and the plan has `adamw`, for 10 parameters"):
        compiled.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_a_wrapped_network_are_those_of_the_network(wrapper: str) -> None:
    mine = seeded(Pictures)
    optimizer = torch.optim.AdamW([(wrapper + name, each) for name, each in mine.named_parameters()], lr=0.01)
    advance(mine, [optimizer], 0)
    compiled = optplan.compile(ADAMW, seeded(Pictures))
    found = compiled.load_state_dict(optimizer.state_dict())
    assert {each.severity for each in found.diagnostics} == {"note"}
    state = compiled.state_dict()["state"]
    for name, parameter in mine.named_parameters():
        assert torch.equal(state[name]["exp_avg"], optimizer.state[parameter]["exp_avg"]), name


def test_a_part_of_the_network_may_have_a_wrappers_name() -> None:
    mine: Any = nn.ModuleDict({"module": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    optimizer = torch.optim.AdamW(mine.named_parameters(), lr=0.01)
    for number, parameter in enumerate(mine.parameters()):
        parameter.grad = torch.full_like(parameter, number + 1.0)
    optimizer.step()
    compiled = optplan.compile(document({"type": "adamw", "lr": 0.01}), deepcopy(mine))
    assert not compiled.load_state_dict(optimizer.state_dict())
    state = compiled.state_dict()["state"]
    assert all(torch.equal(state[n]["exp_avg"], optimizer.state[p]["exp_avg"]) for n, p in mine.named_parameters())


def test_frozen_parameters_that_an_optimizer_was_given_too_are_nothing_extra() -> None:
    config = {**ADAMW, "rules": [{"where": "stem", "freeze": True}]}
    mine: Any = seeded(Pictures)
    mine.stem.requires_grad_(False)
    optimizer = torch.optim.AdamW(mine.parameters(), lr=0.01, weight_decay=0.1)
    advance(mine, [optimizer], 0)
    compiled = optplan.compile(config, seeded(Pictures))
    assert not compiled.load_state_dict(optimizer.state_dict())
    assert "stem.weight" not in compiled.state_dict()["state"]
    # trained by then, they have a state that would be lost
    mine.stem.requires_grad_(True)
    advance(mine, [optimizer], 1)
    with pytest.raises(ConfigError, match=r"frozen here, and trained when it was saved: `stem.weight`, `stem.bias`"):
        compiled.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    ("config", "warns"),
    [
        (document({"type": "sgd", "lr": 0.1, "momentum": 0.9}, schedule={"lr": SCHEDULE}), True),
        (document({"type": "sgd", "lr": 0.1}, schedule={"lr": SCHEDULE}), True),
        (document({"type": "sgd", "lr": 0.1, "momentum": 0.9}), False),
        ({**ADAMW, "schedule": {"lr": SCHEDULE}}, False),
    ],
)
@pytest.mark.parametrize("updates", [0, 2])
def test_a_schedule_that_stays_at_its_beginning_is_told(config: dict[str, Any], warns: bool, updates: int) -> None:
    """By a dict that counts nothing; not by one that does, nor by an optimizer of Adam's kind that made no update."""
    mine = seeded(Pictures)
    own = optplan.compile(config, mine, steps=UPDATES)
    train(mine, own, range(updates))
    compiled = optplan.compile(config, seeded(Pictures), steps=UPDATES)
    found = compiled.load_state_dict(own.optimizer.state_dict())
    warned = [each for each in found.diagnostics if each.severity == "warning"]
    assert [(each.code, "`compiled.scheduler.load_state_dict(" in str(each.help)) for each in warned] == (
        [("OP703", True)] if warns else []
    )


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=UPDATES),
        lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [torch.optim.lr_scheduler.ConstantLR(optimizer), torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)],
            [2],
        ),
    ],
)
def test_the_count_comes_from_a_scheduler_of_torch(make: Callable[[Any], Any], first: bool) -> None:
    mine = seeded(Pictures)
    optimizer = torch.optim.SGD(mine.parameters(), lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    for update in range(3):
        advance(mine, [optimizer], update)
        scheduler.step()
    sgd = document({"type": "sgd", "lr": 0.1, "momentum": 0.9}, schedule={"lr": SCHEDULE})
    compiled = optplan.compile(sgd, seeded(Pictures), steps=UPDATES)
    assert compiled.scheduler is not None
    if first:
        compiled.scheduler.load_state_dict(scheduler.state_dict())
    found = compiled.load_state_dict(optimizer.state_dict())
    assert ("warning" in str(found)) is not first
    if not first:
        compiled.scheduler.load_state_dict(scheduler.state_dict())
    assert compiled.updates == 3
    assert compiled.lr()["default"] == compiled.plan.groups[0].value("lr", 3)
    assert "momentum_buffer" in compiled.state_dict()["state"]["head.bias"]


def test_an_optimizer_that_is_not_named_is_told_in_words() -> None:
    compiled = optplan.compile(ADAMW, seeded(Pictures))
    state = {"state": {}, "param_groups": [{"params": list(range(10)), "warmth": 3}]}
    with pytest.raises(ConfigError, match="is of an optimizer that it does not name, and the plan has `adamw`"):
        compiled.load_state_dict(state)
