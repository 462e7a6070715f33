"""What optplan sees of a module: its own names, in its own order, whatever wraps it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper, offload_wrapper
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel

import optplan
from optplan import ConfigError
from optplan.targets.torch.view import view
from tests.targets.networks import Attentive, Matrices, Pictures, Words, document, same_weights, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optplan.resolve.network import Parameter

CONFIG = document(
    {"type": "adamw", "lr": 1e-3},
    optimizers={"hidden": {"type": "muon"}},
    layers=["stem", "body", "**"],
    rules=[
        {"where": "norm or bias", "weight_decay": 0},
        {"where": "linear and ndim == 2 and not head", "use": "hidden"},
        {"where": "all", "lr": "base * 0.5 ** (layers - 1 - layer)"},
    ],
)


def names(module: nn.Module) -> list[str]:
    return [parameter.name for parameter in view(module).network]


def parameter(module: nn.Module, name: str) -> Parameter:
    return next(each for each in view(module).network if each.name == name)


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "pictures": Pictures,
    "matrices": Matrices,
    "words": Words,
    "attentive": Attentive,
    "lone": lambda: nn.Linear(2, 3),
    "no parameters": nn.ReLU,
}


@pytest.mark.parametrize("build", PLAIN.values(), ids=list(PLAIN))
def test_names_shapes_and_order_are_torchs(build: Callable[[], nn.Module]) -> None:
    module = build()
    seen = view(module)
    expected = dict(module.named_parameters())
    assert list(seen.network.names) == list(expected)
    assert [id(p) for p in seen.parameters] == [id(p) for p in expected.values()]
    assert list(seen.network.shapes) == [tuple(p.shape) for p in expected.values()]
    assert set(seen.network.dtypes) <= {"float32"}
    assert seen.network.module_names() == [name for name, _ in module.named_modules()]


def test_types_and_gradients_are_seen() -> None:
    module = nn.Module()
    for dtype in (torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.complex64):
        module.register_parameter(str(dtype).replace(".", "_"), nn.Parameter(torch.zeros(1, dtype=dtype)))
    module.register_parameter("whole", nn.Parameter(torch.zeros(1, dtype=torch.int8), requires_grad=False))
    network = optplan.network(module)
    assert network.dtypes == ("float64", "bfloat16", "float8_e4m3fn", "complex64", "int8")
    assert network.trainable == (True, True, True, True, False)
    assert network.target == "torch"


# What wraps a network

# torch.compile and sharded optimizers import code of torch's own that torch has deprecated.
compiles = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of one process."""
    path: Path = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def checkpointed(model: nn.Module) -> nn.Module:
    """Activation checkpointing inside, where users put it."""
    model.body = checkpoint_wrapper(model.get_submodule("body"))
    model.norm = offload_wrapper(checkpoint_wrapper(model.get_submodule("norm")))
    return model


def compiled(model: nn.Module) -> nn.Module:
    """What `torch.compile` makes of a module is a module."""
    made = torch.compile(model)
    assert isinstance(made, nn.Module)
    return made


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile()
    return model


def compiled_inside(model: nn.Module) -> nn.Module:
    model.body = compiled(model.get_submodule("body"))
    return model


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": nn.DataParallel,
    "torch.compile": torch.compile,
    "AveragedModel": AveragedModel,
    "checkpoint": checkpoint_wrapper,
    "checkpoint inside": checkpointed,
    "compile of DataParallel": lambda model: torch.compile(nn.DataParallel(model)),
    "AveragedModel of compile of checkpoints": lambda model: AveragedModel(compiled(checkpointed(model))),
    "compile in place": compiled_in_place,
    "compile inside": compiled_inside,
}


@compiles
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_network_has_the_plan_of_the_bare_one(wrap: Callable[[nn.Module], Any]) -> None:
    bare = seeded(Pictures)
    wrapped = wrap(deepcopy(bare))
    assert names(wrapped) == [name for name, _ in bare.named_parameters()]
    plan = optplan.plan(CONFIG, bare)
    assert optplan.plan(CONFIG, wrapped) == plan
    inside = {id(p) for p in wrapped.parameters()}
    assert {id(p) for p in plan.bind(wrapped).parameters} == inside


@compiles
@pytest.mark.usefixtures("process_group")
def test_ddp_has_the_plan_of_the_bare_network() -> None:
    bare = seeded(Pictures)
    wrapped = nn.parallel.DistributedDataParallel(deepcopy(bare))
    for module in (wrapped, torch.compile(wrapped), AveragedModel(deepcopy(bare))):
        assert optplan.plan(CONFIG, module) == optplan.plan(CONFIG, bare)
    compiled = optplan.compile(CONFIG, wrapped)
    assert {id(p) for p in compiled.parameters} == {id(p) for p in wrapped.parameters()}


@pytest.mark.usefixtures("process_group")
def test_a_sharded_network_has_the_plan_of_the_bare_one() -> None:
    """`fully_shard` replaces every parameter and changes every class that it is called for."""
    bare, sharded = seeded(Pictures), seeded(Pictures)
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    for module in (sharded.get_submodule("body"), sharded):
        fully_shard(module, mesh=mesh)
    plan = optplan.plan(CONFIG, bare)
    assert optplan.plan(CONFIG, sharded) == plan
    compiled = plan.bind(sharded)
    assert {id(p) for p in compiled.parameters} == {id(p) for p in sharded.parameters()}
    train(bare, optplan.compile(CONFIG, bare), range(3))
    train(sharded, compiled, range(3))
    for (name, one), other in zip(bare.named_parameters(), sharded.parameters(), strict=True):
        assert isinstance(other, DTensor)
        assert torch.equal(one, other.full_tensor()), name


@pytest.mark.usefixtures("process_group")
@compiles
def test_a_sharded_optimizer_takes_the_class_and_its_groups() -> None:
    from torch.distributed.optim import ZeroRedundancyOptimizer  # noqa: PLC0415 - torch warns of its own code there

    mine, theirs = seeded(Pictures), seeded(Pictures)
    built = optplan.compile(CONFIG, theirs)
    optimizer = ZeroRedundancyOptimizer(built.param_groups, built.optimizer_class)
    train(mine, optplan.compile(CONFIG, mine), range(3))
    train(theirs, (optimizer, None), range(3))
    assert same_weights(mine, theirs)


class Module(nn.Module):
    """A class of the user's with the names that wrappers use."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(2, 2)
        self._orig_mod = nn.Linear(2, 2)


def test_names_that_only_look_like_a_wrappers_stay() -> None:
    assert names(Module()) == ["module.weight", "module.bias", "_orig_mod.weight", "_orig_mod.bias"]


# Parametrizations


class Scale(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


def parametrized(change: Callable[[nn.Linear], object]) -> nn.Module:
    module = nn.Module()
    module.fc = nn.Linear(3, 3)
    module.norm = nn.LayerNorm(3)
    change(module.fc)
    return module


PARAMETRIZED: dict[str, tuple[Callable[[nn.Linear], object], list[str]]] = {
    "orthogonal": (parametrizations.orthogonal, ["fc.bias", "fc.weight"]),
    "spectral norm": (parametrizations.spectral_norm, ["fc.bias", "fc.weight"]),
    "weight norm": (parametrizations.weight_norm, ["fc.bias", "fc.weight.original0", "fc.weight.original1"]),
    "with a parameter": (
        lambda fc: parametrize.register_parametrization(fc, "weight", Scale()),
        ["fc.bias", "fc.weight", "fc.parametrizations.weight.0.factor"],
    ),
    "two": (
        lambda fc: [
            parametrize.register_parametrization(fc, "bias", nn.Identity()),
            parametrize.register_parametrization(fc, "weight", Scale()),
        ],
        ["fc.bias", "fc.weight", "fc.parametrizations.weight.0.factor"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), PARAMETRIZED.values(), ids=list(PARAMETRIZED))
def test_a_parametrized_weight_has_the_name_that_it_had(
    change: Callable[[nn.Linear], object], expected: list[str]
) -> None:
    module = parametrized(change)
    seen = view(module)
    assert list(seen.network.names) == [*expected, "norm.weight", "norm.bias"]
    assert [id(p) for p in seen.parameters] == [id(p) for p in module.parameters()]
    owners = {each.name: each.owner.families for each in seen.network}
    assert all("linear" in owners[name] for name in expected if name.startswith(("fc.bias", "fc.weight")))


def test_the_path_of_a_weight_covers_its_originals() -> None:
    module = parametrized(parametrizations.weight_norm)
    config = document({"type": "sgd", "lr": 1.0}, rules=[{"where": "fc.weight", "lr": 0.5}])
    plan = optplan.plan(config, module)
    assert plan.groups[1].parameters == ("fc.weight.original0", "fc.weight.original1")
    assert plan.bind(module).lr_of("fc.weight.original1") == 0.5


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_the_old_weight_norm_has_its_own_names() -> None:
    module = parametrized(nn.utils.weight_norm)
    assert names(module) == [name for name, _ in module.named_parameters()]
    assert names(module)[:3] == ["fc.bias", "fc.weight_g", "fc.weight_v"]


def test_a_users_module_may_be_called_parametrizations() -> None:
    module = nn.Module()
    module.parametrizations = nn.ModuleDict({"weight": nn.Linear(2, 2)})
    assert names(module) == ["parametrizations.weight.weight", "parametrizations.weight.bias"]


# Tied parameters


def test_a_tied_parameter_stands_under_its_first_name() -> None:
    module = nn.Module()
    module.embed = nn.Embedding(5, 3)
    module.norm = nn.LayerNorm(3)
    module.head = nn.Linear(3, 5, bias=False)
    module.head.weight = module.embed.weight
    assert names(module) == [name for name, _ in module.named_parameters()]
    tied = parameter(module, "embed.weight")
    assert tied.aliases == ("head.weight",)
    assert tied.owner.families == {"embedding"}
    config = document({"type": "adamw"}, rules=[{"where": "head", "weight_decay": 0.5}])
    plan = optplan.plan(config, module)
    assert plan.value("embed.weight", "weight_decay", 0) == plan.value("head.weight", "weight_decay", 0) == 0.5
    assert [id(p) for p in plan.bind(module).parameters].count(id(module.embed.weight)) == 1


def test_a_shared_module_stands_under_its_first_name() -> None:
    module = nn.Module()
    shared = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    module.first = shared
    module.second = nn.ModuleList([shared[0], shared])
    assert names(module) == [name for name, _ in module.named_parameters()]
    aliases = {each.name: each.aliases for each in view(module).network}
    assert aliases["first.0.weight"] == ("second.0.weight", "second.1.0.weight")
    assert aliases["first.1.bias"] == ("second.1.1.bias",)
    everything = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    assert sorted([*aliases, *(alias for each in aliases.values() for alias in each)]) == sorted(everything)


def test_a_cycle_of_modules_ends() -> None:
    module, inner = nn.Module(), nn.Linear(2, 2)
    module.inner = inner
    inner.parent = module
    inner.itself = inner
    assert names(module) == [name for name, _ in module.named_parameters()] == ["inner.weight", "inner.bias"]


@pytest.mark.parametrize("lazy", [nn.LazyLinear(3), nn.Sequential(nn.ReLU(), nn.LazyConv2d(2, 1))])
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
def test_lazy_modules_are_refused(lazy: nn.Module) -> None:
    with pytest.raises(ConfigError, match="has no shape yet") as caught:
        optplan.plan(CONFIG, lazy)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.severity) == ("OP211", "error")
    assert next(iter(lazy.state_dict())) in fault.message
    assert fault.help == "run one batch through the network first: it has lazy modules"
