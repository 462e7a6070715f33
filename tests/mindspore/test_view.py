"""What optplan sees of a Cell: its own names, in its own order, whatever wraps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mindspore as ms
import pytest
from mindspore import amp, nn
from mindspore.nn.utils import no_init_parameters
from mindspore.nn.wrap.cell_wrapper import _VirtualDatasetCell
from mindspore.train.amp import _OutputTo16, _OutputTo32, build_train_network

import optplan
from optplan import ConfigError
from optplan.targets.mindspore import families
from optplan.targets.mindspore.view import view
from tests.mindspore.networks import (
    Attentive,
    Containers,
    Early,
    Gains,
    Gradients,
    HeadFirst,
    Kernel,
    Listed,
    ListedAndTied,
    LlamaRMSNorm,
    Looped,
    Named,
    Pictures,
    Shared,
    Step,
    Twice,
    TwoScales,
    Uncertain,
    Weighted,
    Wide,
    Words,
    ones,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]


def names(cell: nn.Cell) -> list[str]:
    return list(view(cell).network.names)


def natives(cell: nn.Cell) -> dict[str, str]:
    """MindSpore's own local names, by the canonical names of the parameters that have them."""
    network = view(cell).network
    return {network.names[index]: native for index, native in network.natives.items()}


def aliases(cell: nn.Cell) -> dict[str, tuple[str, ...]]:
    return {each.name: each.aliases for each in view(cell).network if each.aliases}


NAMES: dict[str, tuple[Callable[[], nn.Cell], list[str], dict[str, str]]] = {
    "pictures": (
        Pictures,
        [
            *("stem.weight", "stem.bias", "batch.weight", "batch.bias", "norm.weight", "norm.bias"),
            *("body.weight", "body.bias", "act.weight", "final.weight", "final.bias", "head.weight", "head.bias"),
        ],
        {
            **{f"{norm}.weight": "gamma" for norm in ("batch", "norm", "final")},
            **{f"{norm}.bias": "beta" for norm in ("batch", "norm", "final")},
            "act.weight": "w",
        },
    ),
    "words": (
        Words,
        ["embed.weight", "norm.weight", "norm.bias"],
        {"embed.weight": "embedding_table", "norm.weight": "gamma", "norm.bias": "beta"},
    ),
    "containers": (
        Containers,
        [
            "own",
            *("listed.0.weight", "listed.0.bias", "listed.2.weight", "listed.2.bias", "listed.3.weight"),
            *("row.0.weight", "row.0.bias", "row.1.0.weight", "row.1.0.bias", "row.2.weight"),
            *("called.first.weight", "keyed.up.weight", "keyed.down.weight", "late.weight"),
        ],
        {
            "listed.2.weight": "gamma",
            "listed.2.bias": "beta",
            "listed.3.weight": "embedding_table",
            "row.1.0.weight": "gamma",
            "row.1.0.bias": "beta",
            "keyed.down.weight": "w",
        },
    ),
    "names of their own": (Named, ["scale", "body.weight", "body.bias"], {}),
    "no norm": (Gains, ["gamma", "beta", "w", "embedding_table", "moving_mean"], {}),
    "a norm by name": (LlamaRMSNorm, ["weight"], {"weight": "gamma"}),
    "listed": (Listed, ["left", "right", "body.weight", "body.bias"], {}),
    "a norm that keeps another inside": (
        lambda: nn.SequentialCell(nn.BatchNorm3d(2)),
        ["0.weight", "0.bias"],
        {"0.weight": "bn2d.gamma", "0.bias": "bn2d.beta"},
    ),
    "lone": (lambda: nn.Dense(2, 3), ["weight", "bias"], {}),
    "no parameters": (nn.ReLU, [], {}),
}


@pytest.mark.parametrize(("build", "expected", "translated"), NAMES.values(), ids=list(NAMES))
def test_names_are_those_of_the_tree(
    build: Callable[[], nn.Cell], expected: list[str], translated: dict[str, str]
) -> None:
    cell = build()
    assert names(cell) == expected
    assert natives(cell) == translated


@pytest.mark.parametrize("build", [Pictures, Words, HeadFirst, Containers, Named, Twice, Shared, Listed, Looped])
def test_order_shapes_and_identities_are_mindspores(build: Callable[[], nn.Cell]) -> None:
    cell = build()
    seen = view(cell)
    every = {name: each for name, each in cell.parameters_and_names() if ".moving_" not in name}
    assert [id(each) for each in seen.parameters] == [id(each) for each in every.values()]
    local = enumerate(zip(seen.network.names, seen.network.locals, strict=True))
    own = [name.removesuffix(last) + seen.network.natives.get(index, last) for index, (name, last) in local]
    assert own == list(every)
    assert list(seen.network.shapes) == [tuple(each.shape) for each in every.values()]
    assert set(seen.network.dtypes) == {"float32"}
    trainable = [name for name, can in zip(own, seen.network.trainable, strict=True) if can]
    assert [id(every[name]) for name in trainable] == [id(each) for each in cell.trainable_params()]


def test_recurrent_parameters_stand_layer_by_layer() -> None:
    """As PyTorch has them; MindSpore lists all that see the input, then all that see the state, then the biases."""
    cell = Attentive()
    seen = view(cell)
    ways = [f"{layer}{way}" for layer in (0, 1) for way in ("", "_reverse")]
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    recurrent = [f"recurrent.{kind}_l{way}" for way in ways for kind in kinds]
    every = dict(cell.parameters_and_names())
    elsewhere = [name for name in every if not name.startswith("recurrent.")]
    assert [name for name in seen.network.names if name in recurrent] == recurrent
    assert [name for name in every if name in recurrent] != recurrent
    assert [name.replace("gamma", "weight").replace("beta", "bias") for name in elsewhere] == [
        name for name in seen.network.names if name not in recurrent
    ]
    named = dict(zip(seen.network.names, seen.parameters, strict=True))
    assert all(named[name] is every[name] for name in recurrent)


def test_what_else_a_recurrent_cell_has_stays_where_it_is() -> None:
    cell = nn.GRU(2, 2, num_layers=2, has_bias=False)
    cell.insert_param_to_cell("gain", ones(2))
    cell.insert_param_to_cell("weight_ih_l1x", ones(2))
    cell.recurrent_dropout = nn.Dense(2, 2, has_bias=False)
    assert names(cell) == [
        *("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"),
        *("gain", "weight_ih_l1x", "recurrent_dropout.weight"),
    ]


@pytest.mark.parametrize("conv", [nn.Conv1d, nn.Conv1dTranspose, Kernel])
def test_a_kernel_over_one_dimension_has_one(conv: type[nn.Cell]) -> None:
    cell = conv(4, 6, 3, has_bias=True)
    (*channels, one, kernel) = cell.weight.shape
    assert (one, kernel) == (1, 3)
    assert {each.name: each.shape for each in view(cell).network} == {
        "weight": (*channels, 3),
        "bias": (6,),
        **({"scale": (2, 2, 1, 2)} if conv is Kernel else {}),
    }


def test_a_weight_that_has_three_dimensions_keeps_them() -> None:
    cell = nn.Conv1d(4, 6, 3)
    cell.weight = ones(6, 4, 3)
    assert [each.shape for each in view(cell).network] == [(6, 4, 3)]


def test_types_are_words() -> None:
    cell = nn.Cell()
    every = ("float16", "float32", "float64", "bfloat16", "complex64", "int8", "uint16", "int64")
    for word in every:
        cell.insert_param_to_cell(word, ms.Parameter(ms.Tensor([0], getattr(ms, word))))
    cell.insert_param_to_cell("truth", ms.Parameter(ms.Tensor([True])))
    network = optplan.network(cell)
    assert network.dtypes == (*every, "bool")
    assert network.target == "mindspore"


# Statistics, and what is frozen


@pytest.mark.parametrize(
    ("build", "trained"),
    [
        (lambda: nn.BatchNorm1d(2), True),
        (lambda: nn.BatchNorm2d(2, affine=False), False),
        (lambda: nn.BatchNorm3d(2), True),
        (lambda: nn.SyncBatchNorm(2), True),
        (lambda: nn.InstanceNorm2d(2, affine=False), False),
        (lambda: ms.mint.nn.BatchNorm2d(2), True),
        (lambda: ms.mint.nn.SyncBatchNorm(2), True),
    ],
)
def test_statistics_are_no_parameters(build: Callable[[], nn.Cell], *, trained: bool) -> None:
    cell = build()
    assert len(list(cell.get_parameters())) > 2
    for each in cell.get_parameters():
        # Not even where somebody switched their gradients on
        each.requires_grad = each.requires_grad or each.name not in {"gamma", "beta", "weight", "bias"}
    network = view(cell).network
    assert network.names == ("weight", "bias")
    assert network.trainable == (trained, trained)


def test_what_is_frozen_stays_visible() -> None:
    cell = Pictures()
    cell.norm.gamma.requires_grad = False
    cell.head.weight.requires_grad = False
    assert [each.name for each in view(cell).network if not each.trainable] == ["norm.weight", "head.weight"]


# What wraps a network


def momentum(network: nn.Cell) -> nn.Optimizer:
    return nn.Momentum(network.trainable_params(), learning_rate=0.1, momentum=0.9)


def with_loss(network: nn.Cell) -> nn.Cell:
    return nn.WithLossCell(network, nn.MSELoss())


WRAPPERS: dict[str, Callable[[nn.Cell], nn.Cell]] = {
    "WithLossCell": with_loss,
    "WithEvalCell": lambda network: nn.WithEvalCell(network, nn.MSELoss()),
    "WithGradCell": lambda network: nn.WithGradCell(network, nn.MSELoss()),
    "WithGradCell of WithLossCell": lambda network: nn.WithGradCell(with_loss(network)),
    "ForwardValueAndGrad": lambda network: nn.ForwardValueAndGrad(
        network, ms.ParameterTuple(network.trainable_params()), get_by_list=True
    ),
    "TrainOneStepCell": lambda network: nn.TrainOneStepCell(with_loss(network), momentum(network)),
    "TrainOneStepWithLossScaleCell": lambda network: nn.TrainOneStepWithLossScaleCell(
        with_loss(network), momentum(network), nn.DynamicLossScaleUpdateCell(65536, 2, 1000)
    ),
    "TrainOneStepWithLossScaleCell of a number": lambda network: nn.TrainOneStepWithLossScaleCell(
        with_loss(network), momentum(network), ms.Tensor(1024.0, ms.float32)
    ),
    "virtual data set": _VirtualDatasetCell,
    "micro batches": lambda network: nn.MicroBatchInterleaved(network, 2),
    "accumulation": lambda network: nn.GradAccumulationCell(network, 2),
    "float16 inside": _OutputTo16,
    "float32 outside": lambda network: _OutputTo32(_OutputTo16(network)),
    "build_train_network": lambda network: build_train_network(
        network, momentum(network), nn.MSELoss(), level="O0", loss_scale_manager=None
    ),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_network_is_seen_as_the_bare_one(wrap: Callable[[nn.Cell], nn.Cell]) -> None:
    bare = Pictures()
    expected = view(bare)
    seen = view(wrap(bare))
    assert seen.network == expected.network
    assert [id(each) for each in seen.parameters] == [id(each) for each in expected.parameters]


@pytest.mark.parametrize("level", ["O0", "O2", "O3"])
def test_mixed_precision_changes_no_name(level: str) -> None:
    bare = view(Pictures()).network
    mixed = view(amp.auto_mixed_precision(Pictures(), level)).network
    assert mixed.names == bare.names
    assert [each.owner.families for each in mixed] == [each.owner.families for each in bare]


def test_wrapped_cells_inside_a_network() -> None:
    cell = nn.CellList([_OutputTo16(nn.Dense(2, 2)), nn.LayerNorm((2,))])
    assert names(cell) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert view(cell).network.module_names() == ["", "0", "1"]


def test_a_loss_function_keeps_its_parameters() -> None:
    network = nn.WithLossCell(nn.Dense(2, 2), Uncertain())
    assert names(nn.TrainOneStepCell(network, momentum(network))) == ["weight", "bias", "_loss_fn.spread"]
    assert names(nn.WithGradCell(nn.Dense(2, 2), Uncertain())) == ["weight", "bias", "loss_fn.spread"]


def test_a_wrapper_of_the_users_keeps_its_parameters() -> None:
    cell = Weighted(nn.LayerNorm((2,)))
    assert names(cell) == ["balance", "weight", "bias"]
    owners = {each.name: each.owner.families for each in view(cell).network}
    assert owners == {"balance": frozenset(), "weight": {"norm"}, "bias": {"norm"}}


def test_a_training_step_of_the_users_has_the_state_of_its_optimizer_left_out() -> None:
    cell = Step(nn.Dense(2, 2))
    assert len(list(cell.get_parameters())) > 2
    assert names(cell) == ["network.weight", "network.bias"]


@pytest.mark.parametrize("listing", [Gradients, Early])
def test_listing_parameters_is_not_owning_them(listing: Callable[[nn.Cell], nn.Cell]) -> None:
    cell = listing(Pictures())
    assert names(cell) == [f"network.{name}" for name in names(Pictures())]
    assert aliases(cell) == {}
    assert next(each.owner.families for each in view(cell).network if each.name == "network.norm.weight") == {"norm"}


def test_every_name_in_the_tables_is_one_of_mindspores() -> None:
    """A wrapper that a release moved elsewhere would no longer be passed over, in silence."""
    listed = [*families._WRAPPERS, *families._BESIDE, *families._INNER, families._STEP]  # noqa: SLF001 - the tables
    for full in listed:
        if "<locals>" in full:
            continue
        place, _, name = full.rpartition(".")
        cls = getattr(__import__(place, fromlist=[name]), name)
        assert issubclass(cls, nn.Cell)
        assert f"{cls.__module__}.{cls.__qualname__}" == full


# Tied parameters


def test_a_tied_parameter_stands_under_its_first_name() -> None:
    cell = Words()
    assert aliases(cell) == {"embed.weight": ("head.weight",)}
    assert view(cell).network.parameter(0).owner.families == {"embedding"}
    assert aliases(HeadFirst()) == {"head.weight": ("embed.weight",)}
    assert aliases(Twice()) == {"first": ("second",)}
    assert aliases(ListedAndTied()) == {"again": ("body.weight",)}


def test_a_shared_cell_stands_under_its_first_name() -> None:
    assert names(Shared()) == ["first.0.weight", "first.0.bias", "first.1.weight", "first.1.bias"]
    assert aliases(Shared()) == {
        "first.0.weight": ("second.0.weight", "second.1.0.weight"),
        "first.0.bias": ("second.0.bias", "second.1.0.bias"),
        "first.1.weight": ("second.1.1.weight",),
        "first.1.bias": ("second.1.1.bias",),
    }


def test_a_cycle_of_cells_ends() -> None:
    assert names(Looped()) == ["inner.weight", "inner.bias"]


# What is refused


def test_two_parameters_of_one_canonical_name_are_refused() -> None:
    cell = nn.SequentialCell(nn.Dense(2, 2), TwoScales())
    with pytest.raises(ConfigError) as caught:
        view(cell)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.severity) == ("OP211", "error")
    assert fault.message == "two parameters are named `1.weight`: `1.gamma` and `1.weight`"
    assert fault.help == "give one of them another name in its Cell"


def test_an_alias_may_not_have_the_name_of_another() -> None:
    cell = nn.SequentialCell(nn.Dense(2, 2, has_bias=False), nn.LayerNorm((2,)))
    cell[1].insert_param_to_cell("weight", cell[0].weight)
    with pytest.raises(ConfigError, match=r"two parameters are named `1\.weight`: `1\.gamma` and `1\.weight`"):
        view(cell)


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda: momentum(nn.Dense(2, 2)), "Momentum"),
        (lambda: nn.CosineDecayLR(0.0, 0.1, 10), "CosineDecayLR"),
        (lambda: ms.Tensor([1.0]), "Tensor"),
    ],
)
def test_what_is_no_network_is_refused(build: Callable[[], Any], kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.network(build())
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP503"
    assert fault.message == f"a `{kind}` is no network"
    assert fault.help == "pass a `mindspore.nn.Cell`"


# What is not there yet


def resident() -> int:
    """How many bytes of memory the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read where Linux tells it")
def test_looking_at_a_network_allocates_nothing() -> None:
    before = resident()
    with no_init_parameters():
        cell = Wide()
    config = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0}, "rules": [{"where": "norm", "lr": 0.5}]}
    seen = view(cell)
    plan = optplan.plan(config, cell)
    assert sum(group.numel for group in plan.groups) * 4 > 5e9
    assert all(each.has_init for each in seen.parameters)
    assert resident() - before < 1e8


def test_parameters_that_are_initialised_later_are_seen() -> None:
    with no_init_parameters():
        cell = Pictures()
    early = view(cell).network
    cell.init_parameters_data()
    late = view(cell)
    assert late.network == early
    assert {id(each) for each in late.parameters} <= {id(each) for each in cell.get_parameters()}


# Filters over the names


FILTERS = {
    "norm.gamma": ["norm.weight"],
    "norm.weight": ["norm.weight"],
    "norm.beta": ["norm.bias"],
    "/gamma$/": ["batch.weight", "norm.weight", "final.weight"],
    "/norm.weight$/": ["norm.weight"],
    ".beta": ["batch.bias", "norm.bias", "final.bias"],
    "act.w": ["act.weight"],
    "{norm,final}.{gamma,beta}": ["norm.weight", "norm.bias", "final.weight", "final.bias"],
    "scale": ["batch.weight", "norm.weight", "final.weight"],
    "bias and norm": ["batch.bias", "norm.bias", "final.bias"],
    "bias and not norm": ["stem.bias", "body.bias", "head.bias"],
    "path(gamma)": [],
}


def matched(cell: nn.Cell, where: str) -> list[str]:
    """The parameters that a filter selects."""
    rules = [{"where": where, "lr": 0.5, "optional": True}]
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0}, "rules": rules}, cell)
    return [name for name in plan.names if plan.value(name, "lr", 0) == 0.5]


@pytest.mark.parametrize(("where", "expected"), FILTERS.items(), ids=list(FILTERS))
def test_a_path_matches_either_name(where: str, expected: list[str]) -> None:
    assert matched(Pictures(), where) == expected


@pytest.mark.parametrize("where", ["embed.embedding_table", "embed.weight", "head", "/table$/"])
@pytest.mark.parametrize("build", [Words, HeadFirst])
def test_a_path_matches_either_name_of_what_is_tied(build: Callable[[], nn.Cell], where: str) -> None:
    assert matched(build(), where) == [names(build())[0]]


def test_layers_take_either_name() -> None:
    rules = [{"where": "all", "lr": "layer"}]
    layers = ["final.gamma", "final.bias", "**"]
    document = {"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0}, "layers": layers, "rules": rules}
    plan = optplan.plan(document, Pictures())
    assert [plan.value(f"final.{name}", "lr", 0) for name in ("weight", "bias")] == [0, 1]


def test_a_parameter_attached_later_is_seen() -> None:
    cell = Pictures()
    assert "late" not in names(cell)
    cell.insert_param_to_cell("late", ones(2))
    assert names(cell)[0] == "late"
