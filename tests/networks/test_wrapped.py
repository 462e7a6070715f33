"""The plan of a wrapped network is that of the network."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    apply_activation_checkpointing,
    checkpoint_wrapper,
    offload_wrapper,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.swa_utils import AveragedModel

import optplan
from tests.networks.architectures import BUILDERS, build
from tests.networks.test_plans import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# No kernel is made: the plan looks at what `torch.compile` returns, and never calls it.
compiled: Callable[[nn.Module], Any] = partial(torch.compile, backend="eager")


def checkpointed(network: nn.Module) -> nn.Module:
    """Activation checkpointing around every module but the root, one inside the other."""
    apply_activation_checkpointing(network, check_fn=lambda module: module is not network)
    return network


def compiled_inside(network: nn.Module) -> nn.Module:
    """Each of the root's children compiled on its own."""
    for name, child in list(network.named_children()):
        setattr(network, name, compiled(child))
    return network


def compiled_in_place(network: nn.Module) -> nn.Module:
    network.compile(backend="eager")
    return network


def everything(network: nn.Module) -> nn.Module:
    return AveragedModel(compiled(nn.DataParallel(checkpointed(network))))


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "compile": compiled,
    "compile, by parts": compiled_inside,
    "compile, in place": compiled_in_place,
    "checkpoint": checkpoint_wrapper,
    "checkpoint, everywhere": checkpointed,
    "offload": offload_wrapper,
    "everything": everything,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("architecture", BUILDERS)
def test_the_plan_of_a_wrapped_network_is_that_of_the_bare_one(architecture: str, wrapper: str) -> None:
    wrapped = WRAPPERS[wrapper](deepcopy(build(architecture)))
    bare = optplan.plan(document(architecture), build(architecture))
    plan = optplan.plan(document(architecture), wrapped)
    assert plan == bare
    assert plan.fingerprint == bare.fingerprint


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of this process only."""
    store: Path = tmp_path_factory.mktemp("gloo") / "store"
    torch.distributed.init_process_group("gloo", init_method=store.as_uri(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("architecture", ["vit", "gpt2", "t5", "resnet"])
@pytest.mark.parametrize("more", [nn.Identity, compiled, checkpoint_wrapper])
def test_the_plan_under_data_parallelism_is_that_of_the_bare_network(
    architecture: str, more: Callable[[nn.Module], nn.Module]
) -> None:
    network = BUILDERS[architecture]()
    bare = optplan.plan(document(architecture), network)
    inner = network if more is nn.Identity else more(network)
    wrapped = nn.parallel.DistributedDataParallel(inner)
    assert optplan.plan(document(architecture), wrapped) == bare
    assert optplan.plan(document(architecture), compiled(wrapped)) == bare
    assert bare == optplan.plan(document(architecture), build(architecture)), "nor does the device matter"


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("architecture", ["vit", "gpt2", "llama", "convnext"])
def test_the_plan_of_a_sharded_network_is_that_of_the_bare_one(architecture: str) -> None:
    network = BUILDERS[architecture]()
    bare = optplan.plan(document(architecture), network)
    mesh = init_device_mesh("cpu", (1,))
    for module in list(network.modules())[1:]:
        if type(module).__name__.endswith(("Layer", "Block")):
            torch.distributed.fsdp.fully_shard(module, mesh=mesh)
    torch.distributed.fsdp.fully_shard(network, mesh=mesh)
    assert optplan.plan(document(architecture), network) == bare


def small(parametrized: Callable[[nn.Module], nn.Module] | None = None) -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    if parametrized is not None:
        parametrized(network[0])
        assert is_parametrized(network[0])
    return network


SMALL = {
    "optplan": 1,
    "optimizer": {"type": "adamw", "weight_decay": 0.1},
    "rules": [
        {"name": "one", "where": "norm or bias", "weight_decay": 0},
        {"name": "two", "where": 'path("0.weight")', "lr": "0.1x"},
        {"name": "three", "where": "linear and not bias", "betas[1]": 0.99},
    ],
}


def treatment(plan: optplan.Plan) -> dict[str, tuple[str | None, dict[str, Any]]]:
    return {name: (plan.parameter(name).group, plan.parameter(name).settings) for name in plan.names}


@pytest.mark.parametrize("parametrize", [parametrizations.spectral_norm, parametrizations.orthogonal])
def test_a_parametrized_weight_is_known_by_the_name_it_had(parametrize: Callable[[nn.Module], nn.Module]) -> None:
    assert treatment(optplan.plan(SMALL, small(parametrize))) == treatment(optplan.plan(SMALL, small()))


def test_a_weight_of_several_originals_is_covered_by_its_own_name() -> None:
    # Weight normalisation makes a direction and a length of a weight.
    network = small(parametrizations.weight_norm)
    plan = optplan.plan(SMALL, network)
    both = {"0.weight.original0", "0.weight.original1"}
    assert set(plan.names) == {"0.bias", "1.weight", "1.bias", "2.weight", "2.bias"} | both
    (group,) = (group for group in plan.groups if both & set(group.parameters))
    assert set(group.parameters) == both
    assert group.name == "two+three"


def test_names_with_the_words_of_wrappers_are_left_alone() -> None:
    inner = nn.ModuleDict({"module": nn.Linear(2, 2), "_orig_mod": nn.Linear(2, 2)})
    inner.add_module("_checkpoint_wrapped_module", nn.Linear(2, 2))
    network = nn.ModuleDict({"module": inner})
    bare = [name for name, _ in network.named_parameters()]
    assert list(optplan.network(network).names) == bare
    for wrap in (nn.DataParallel, compiled, AveragedModel, checkpoint_wrapper):
        assert list(optplan.network(wrap(network)).names) == bare
