"""State of a sharded network: from one process to two and back, by files and by `torch.distributed.checkpoint`."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_loader import load

from optplan.state import files
from tests.devices.processes import run
from tests.state.sharded_worker import CASES, UPDATES, planned, train
from tests.targets.networks import Pictures, seeded

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder with all files, and what each of two processes found."""
    folder = tmp_path_factory.mktemp("sharded")
    for name in CASES:
        model = seeded(Pictures)
        compiled = planned(name).bind(model)
        train(model, compiled, range(UPDATES))
        torch.save(model.state_dict(), folder / f"{name}.weights.pt")
        compiled.save(folder / f"{name}.one.safetensors")
    return folder, run("tests.state.sharded_worker", 2, folder)


every = pytest.mark.parametrize("name", CASES)


def in_the_middle(name: str, processes: list[Any]) -> tuple[nn.Module, Any]:
    """One process, with the weights that the two had when they saved."""
    model = seeded(Pictures)
    model.load_state_dict(processes[0][name]["middle"])
    return model, planned(name).bind(model)


def values(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {key: torch.as_tensor(each) for key, each in fields.items()} for name, fields in state.items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    mine, theirs = values(one), values(other)
    return mine.keys() == theirs.keys() and all(
        each.keys() == theirs[name].keys() and all(torch.equal(v, theirs[name][k]) for k, v in each.items())
        for name, each in mine.items()
    )


def of_file(path: Path) -> dict[str, dict[str, Any]]:
    found = files.read(path).state
    return {name: {key: bytes(each.data) for key, each in fields.items()} for name, fields in found.items()}


@every
def test_from_one_process_to_two_every_bit_arrives(name: str, trained: tuple[Path, list[Any]]) -> None:
    folder, processes = trained
    assert [each[name]["differences"] for each in processes] == ["the saved state fits the plan: nothing differs"] * 2
    assert of_file(folder / f"{name}.again.safetensors") == of_file(folder / f"{name}.one.safetensors")


@every
def test_two_processes_go_on_from_their_own_file_or_dict(name: str, trained: tuple[Path, list[Any]]) -> None:
    for each in trained[1]:
        first, *others = each[name]["ends"]
        assert all(torch.equal(values, end[key]) for end in others for key, values in first.items())


@every
def test_two_processes_are_as_one(name: str, trained: tuple[Path, list[Any]]) -> None:
    folder, processes = trained
    model = seeded(Pictures)
    model.load_state_dict(torch.load(folder / f"{name}.weights.pt", weights_only=True))
    compiled = planned(name).bind(model)
    compiled.restore(folder / f"{name}.one.safetensors")
    train(model, compiled, range(UPDATES, 3 * UPDATES))
    for key, value in model.state_dict().items():
        torch.testing.assert_close(processes[0][name]["ends"][0][key], value, rtol=1e-4, atol=1e-5)
    assert compiled.state_dict()["scaler"] == processes[0][name]["scaler"]


@every
def test_from_two_processes_to_one_by_the_file(name: str, trained: tuple[Path, list[Any]]) -> None:
    folder, processes = trained
    _, compiled = in_the_middle(name, processes)
    assert not compiled.restore(folder / f"{name}.two.safetensors")
    assert compiled.updates == 2 * UPDATES
    full = torch.load(folder / f"{name}.full.pt", weights_only=True)
    assert same(compiled.state_dict()["state"], full["state"])


@every
def test_the_full_dict_by_names_is_taken(name: str, trained: tuple[Path, list[Any]]) -> None:
    folder, processes = trained
    _, compiled = in_the_middle(name, processes)
    full = torch.load(folder / f"{name}.full.pt", weights_only=True)
    assert not compiled.load_state_dict(full)
    assert same(compiled.state_dict()["state"], full["state"])


@every
def test_a_distributed_checkpoint_goes_on_in_one_process(name: str, trained: tuple[Path, list[Any]]) -> None:
    folder, processes = trained
    model, compiled = in_the_middle(name, processes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own use of what it deprecates
        state = {"optimizer": get_optimizer_state_dict(model, compiled.optimizer)}
        load(state, checkpoint_id=str(folder / f"{name}.dcp"), no_dist=True)
        set_optimizer_state_dict(model, compiled.optimizer, state["optimizer"])
    full = torch.load(folder / f"{name}.full.pt", weights_only=True)
    assert same(compiled.state_dict()["state"], full["state"])
    # or by names, into a network that has not looked at it
    _, other = in_the_middle(name, processes)
    assert not other.load_state_dict(deepcopy(state["optimizer"]))
    assert same(other.state_dict()["state"], full["state"])


@every
def test_what_fails_for_one_fails_for_all(name: str, trained: tuple[Path, list[Any]]) -> None:
    assert [each[name]["failed"] for each in trained[1]] == ["FileNotFoundError", "OSError"]
