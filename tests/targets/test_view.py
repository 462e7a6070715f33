"""What optplan sees of a module: its own names, in its own order, whatever wraps it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper, offload_wrapper
from torch.distributed.fsdp._flat_param import FlatParameter
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel
from transformers.pytorch_utils import Conv1D

import optplan
from optplan import ConfigError
from optplan.targets.torch.view import view
from tests.targets.networks import Matrices, Pictures, Tables, Words, document, seeded

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


def families(module: nn.Module, name: str) -> set[str]:
    return set(parameter(module, name).owner.families)


class Attentive(nn.Module):
    """Every layer of torch whose parameters have names of their own, and containers in containers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, enable_nested_tensor=False)
        self.recurrent = nn.LSTM(4, 3, num_layers=2, bidirectional=True)
        self.parts = nn.ParameterDict({"b": nn.Parameter(torch.zeros(2)), "a": nn.Parameter(torch.zeros(1))})
        self.rest = nn.ModuleList([nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)), nn.PReLU()])
        self.nothing = None
        self.register_parameter("absent", None)


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


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": nn.DataParallel,
    "torch.compile": torch.compile,
    "AveragedModel": AveragedModel,
    "checkpoint": checkpoint_wrapper,
    "checkpoint inside": checkpointed,
    "compile of DataParallel": lambda model: torch.compile(nn.DataParallel(model)),
    "AveragedModel of compile of checkpoints": lambda model: AveragedModel(torch.compile(checkpointed(model))),
    "compile in place": lambda model: model.compile() or model,
    "compile inside": lambda model: setattr(model, "body", torch.compile(model.get_submodule("body"))) or model,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_network_has_the_plan_of_the_bare_one(wrap: Callable[[nn.Module], Any]) -> None:
    bare = seeded(Pictures)
    wrapped = wrap(deepcopy(bare))
    assert names(wrapped) == [name for name, _ in bare.named_parameters()]
    plan = optplan.plan(CONFIG, bare)
    assert optplan.plan(CONFIG, wrapped) == plan
    inside = {id(p) for p in wrapped.parameters()}
    assert {id(p) for p in plan.bind(wrapped).parameters} == inside


@pytest.mark.usefixtures("process_group")
def test_ddp_has_the_plan_of_the_bare_network() -> None:
    bare = seeded(Pictures)
    wrapped = nn.parallel.DistributedDataParallel(deepcopy(bare))
    for module in (wrapped, torch.compile(wrapped), AveragedModel(deepcopy(bare))):
        assert optplan.plan(CONFIG, module) == optplan.plan(CONFIG, bare)
    compiled = optplan.compile(CONFIG, wrapped)
    assert {id(p) for p in compiled.parameters} == {id(p) for p in wrapped.parameters()}


class Module(nn.Module):
    """A class of the user's with the names that wrappers use."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(2, 2)
        self._orig_mod = nn.Linear(2, 2)


def test_names_that_only_look_like_a_wrappers_stay() -> None:
    assert names(Module()) == ["module.weight", "module.bias", "_orig_mod.weight", "_orig_mod.bias"]


def test_flat_shards_are_refused() -> None:
    class Flat(FlatParameter):
        pass

    module = nn.Module()
    module._parameters["_flat_param"] = flat_parameter()  # noqa: SLF001 - as FSDP registers it
    with pytest.raises(ConfigError, match="is a flat shard of several") as caught:
        view(module)
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP211"
    assert fault.help is not None
    assert "use_orig_params=True" in fault.help


def flat_parameter() -> nn.Parameter:
    """One as FSDP makes them."""
    made: nn.Parameter = torch.Tensor._make_subclass(FlatParameter, torch.zeros(8), True)  # noqa: FBT003, SLF001 - torch's own
    return made


# Parametrizations


class Scale(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


def net() -> nn.Sequential:
    return nn.Sequential()


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
    assert "linear" in families(module, "fc.bias")
    assert all("linear" in families(module, name) for name in expected if name.startswith("fc.weight"))


def test_the_path_of_a_weight_covers_its_originals() -> None:
    module = parametrized(parametrizations.weight_norm)
    config = document({"type": "sgd", "lr": 1.0}, rules=[{"where": "fc.weight", "lr": 0.5}])
    plan = optplan.plan(config, module)
    assert plan.groups[1].parameters == ("fc.weight.original0", "fc.weight.original1")
    assert plan.bind(module).lr_of("fc.weight.original1") == 0.5


def test_the_old_weight_norm_has_its_own_names() -> None:
    module = parametrized(lambda fc: nn.utils.weight_norm(fc))
    assert names(module) == [name for name, _ in module.named_parameters()]
    assert names(module)[:3] == ["fc.bias", "fc.weight_g", "fc.weight_v"]


test_the_old_weight_norm_has_its_own_names = pytest.mark.filterwarnings("ignore::FutureWarning")(
    test_the_old_weight_norm_has_its_own_names
)


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


# Families


class LlamaRMSNorm(nn.Module):
    """Found by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))


class Renamed(LlamaRMSNorm):
    """Found by the name of what it derives from."""


class NormalizedConv(nn.Conv2d):
    """No norm: it begins like one and is a convolution."""


class ConvNorm(nn.Conv2d):
    """No norm: it ends like one and is a convolution."""


class EnormousLinear(nn.Module):
    """No norm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))


class Projection(nn.Linear):
    """A linear layer by what it derives from."""


FAMILIES: list[tuple[Callable[[], nn.Module], set[str]]] = [
    (lambda: nn.LayerNorm(2), {"norm"}),
    (lambda: nn.GroupNorm(1, 2), {"norm"}),
    (lambda: nn.RMSNorm(2), {"norm"}),
    (lambda: nn.BatchNorm2d(2), {"norm"}),
    (lambda: nn.SyncBatchNorm(2), {"norm"}),
    (lambda: nn.InstanceNorm1d(2, affine=True), {"norm"}),
    (LlamaRMSNorm, {"norm"}),
    (Renamed, {"norm"}),
    (EnormousLinear, set()),
    (lambda: nn.Conv1d(2, 2, 1), {"conv"}),
    (lambda: nn.ConvTranspose3d(2, 2, 1), {"conv"}),
    (lambda: NormalizedConv(2, 2, 1), {"conv"}),
    (lambda: ConvNorm(2, 2, 1), {"conv"}),
    (lambda: nn.Linear(2, 2), {"linear"}),
    (lambda: nn.Bilinear(2, 2, 2), {"linear"}),
    (lambda: Projection(2, 2), {"linear"}),
    (lambda: Conv1D(2, 2), {"linear"}),
    (lambda: nn.Embedding(2, 2), {"embedding"}),
    (lambda: nn.EmbeddingBag(2, 2), {"embedding"}),
    (lambda: nn.PReLU(), set()),
]


@pytest.mark.parametrize(("build", "expected"), FAMILIES)
def test_families(build: Callable[[], nn.Module], expected: set[str]) -> None:
    assert families(build(), "weight") == expected


def matched(module: nn.Module, where: str) -> list[str]:
    """The parameters that a filter selects."""
    config = document({"type": "sgd", "lr": 1.0}, rules=[{"where": where, "lr": 0.5, "optional": True}])
    plan = optplan.plan(config, module)
    return [name for name in plan.names if plan.value(name, "lr", 0) == 0.5]


def test_the_families_of_attention_and_recurrence() -> None:
    module = Attentive()
    mha = ["in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight", "out_proj.bias"]
    inner = [f"encoder.layers.{k}.self_attn.{name}" for k in (0, 1) for name in mha if "bias_" not in name]
    assert matched(module, "attention") == [f"attention.{name}" for name in mha] + inner
    lstm = [name for name, _ in module.named_parameters() if name.startswith("recurrent.")]
    assert matched(module, "recurrent") == lstm
    assert matched(module, "linear") == [
        "attention.out_proj.weight",
        "attention.out_proj.bias",
        *(
            f"encoder.layers.{k}.{layer}.{local}"
            for k in (0, 1)
            for layer in ("self_attn.out_proj", "linear1", "linear2")
            for local in ("weight", "bias")
        ),
    ]


def test_biases_have_the_frameworks_names() -> None:
    module = Attentive()
    expected = [
        name
        for name, _ in module.named_parameters()
        if (last := name.rpartition(".")[2]) in {"bias", "in_proj_bias", "bias_k", "bias_v"}
        or last.startswith(("bias_ih_l", "bias_hh_l"))
    ]
    assert matched(module, "bias") == expected
    assert len(expected) == 4 + 2 * 6 + 8 + 2
    assert "recurrent.bias_hh_l1_reverse" in expected


def test_the_scale_is_the_weight_of_a_norm() -> None:
    assert matched(Pictures(), "scale") == ["norm.weight", "final.weight"]
    assert matched(Attentive(), "scale and not encoder") == ["rest.0.1.weight"]


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (nn.Conv2d(4, 8, 3, groups=4), True),
        (nn.Conv1d(4, 4, 1, groups=4), True),
        (nn.Conv2d(4, 8, 3, groups=2), False),
        (nn.Conv2d(1, 8, 3, groups=1), False),
        (nn.Linear(4, 4), False),
    ],
)
def test_depthwise(conv: nn.Module, *, expected: bool) -> None:
    assert parameter(conv, "weight").owner.depthwise is expected
    assert matched(nn.Sequential(conv), "depthwise") == (["0.weight", "0.bias"] if expected else [])


@pytest.mark.parametrize(
    ("build", "local"),
    [
        (lambda: nn.Linear(3, 5), "weight"),
        (lambda: nn.Conv2d(4, 6, 3), "weight"),
        (lambda: nn.Conv2d(4, 6, 3, groups=2), "weight"),
        (lambda: nn.Embedding(7, 5), "weight"),
    ],
)
def test_fans_are_those_of_torchs_init(build: Callable[[], nn.Module], local: str) -> None:
    module = build()
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.get_parameter(local))  # noqa: SLF001 - the definition
    assert fans(module, local) == (fan_in, fan_out)


@pytest.mark.parametrize(
    ("module", "fan_in", "fan_out"),
    [
        # Weights that stand as (in, out, ...): each output of a transposed convolution sums over in * kernel.
        (Conv1D(5, 3), 3, 5),
        (nn.ConvTranspose1d(3, 5, 4), 3 * 4, 5 * 4),
        (nn.ConvTranspose2d(3, 5, (2, 4)), 3 * 8, 5 * 8),
    ],
)
def test_fans_of_what_stands_the_other_way_round(module: nn.Module, fan_in: int, fan_out: int) -> None:
    assert fans(module, "weight") == (fan_in, fan_out)


def fans(module: nn.Module, local: str) -> tuple[float, float]:
    """The fans, as an expression sees them."""
    config = document(
        {"type": "adam"},
        rules=[{"where": local, "lr": "1 / fan_in", "eps": "1 / fan_out"}],
    )
    plan = optplan.plan(config, module)
    return 1 / plan.value(local, "lr", 0), 1 / plan.value(local, "eps", 0)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Embedding(2, 2), False),
        (nn.Embedding(2, 2, sparse=True), True),
        (nn.EmbeddingBag(2, 2, sparse=True), True),
        (nn.Linear(2, 2), False),
        (nn.Conv1d(2, 2, 1), False),
        (nn.LayerNorm(2), False),
        (LlamaRMSNorm(), False),
        (EnormousLinear(), None),
        (Tables(), True),
    ],
)
def test_sparse_gradients_are_known(module: nn.Module, expected: bool | None) -> None:  # noqa: FBT001 - a table's column
    name = next(name for name, _ in module.named_parameters())
    assert parameter(module, name).owner.sparse is expected


# Binding


def test_a_model_that_is_not_the_one_planned_for_is_refused() -> None:
    plan = optplan.plan(CONFIG, Pictures())
    other = Pictures()
    other.body = nn.Linear(64, 13)
    other.heads = other._modules.pop("head")  # noqa: SLF001 - renames it
    before = [p.requires_grad for p in other.parameters()]
    with pytest.raises(ConfigError) as caught:
        plan.bind(other)
    found = [(fault.code, fault.message, fault.help) for fault in caught.value.diagnostics]
    cure = "make the plan from this model: `optplan.plan(config, model)`"
    assert found == [
        (
            "OP502",
            "the model is not the one planned for: it lacks 2 parameters: `head.weight`, `head.bias`",
            "did you mean `heads.weight`?",
        ),
        (
            "OP502",
            "the model is not the one planned for: it has beside those of the plan 2 parameters: "
            "`heads.weight`, `heads.bias`",
            cure,
        ),
        ("OP502", "parameter `body.weight` has shape [13, 64], and was planned with [12, 64]", cure),
        ("OP502", "parameter `body.bias` has shape [13], and was planned with [12]", cure),
    ]
    assert [p.requires_grad for p in other.parameters()] == before


def test_an_empty_shard_is_named() -> None:
    plan = optplan.plan(CONFIG, Pictures())
    shard = Pictures()
    shard.head.weight = nn.Parameter(torch.empty(0))
    with pytest.raises(ConfigError) as caught:
        plan.bind(shard)
    (fault,) = caught.value.diagnostics
    assert fault.message == "parameter `head.weight` has shape [0], and was planned with [3, 12]"
    assert fault.help == "this is a shard: bind before sharding, or shard with `fully_shard`"


def test_the_order_of_modules_does_not_matter() -> None:
    plan = optplan.plan(CONFIG, Pictures())
    turned = Pictures()
    turned.stem = turned._modules.pop("stem")  # noqa: SLF001 - now it stands last
    assert names(turned)[0] != "stem.weight"
    compiled = plan.bind(turned)
    group = next(group for group in compiled.optimizer.param_groups if group["name"] == plan.group_of("stem.weight").name)
    assert any(p is turned.stem.weight for p in group["params"])


def test_a_plan_that_trains_nothing_is_not_bound() -> None:
    model = Pictures()
    plan = optplan.plan(document({"type": "adamw"}, rules=[{"where": "all", "freeze": True}]), model)
    with pytest.raises(ConfigError, match="the plan trains no parameter"):
        plan.bind(model)
    assert all(p.requires_grad for p in model.parameters())


def test_what_is_no_network_is_refused() -> None:
    for thing in (3, "no", None, torch.zeros(2)):
        with pytest.raises(ConfigError) as caught:
            optplan.plan(CONFIG, Pictures()).bind(thing)
        assert caught.value.diagnostics[0].code == "OP503"
