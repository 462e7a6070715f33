"""The families of Cells that filters name, and what else is known of a Cell by its class."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from mindspore import mint, nn
from mindspore.common.initializer import _calculate_fan_in_and_fan_out

import optplan
from optplan.targets.mindspore.families import describe
from optplan.targets.mindspore.view import view
from tests.mindspore.networks import Attentive, Gains, LlamaRMSNorm, ones

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.resolve.network import Kind

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]


def owner(cell: nn.Cell, name: str) -> Kind:
    """What is known of the Cell that owns a parameter."""
    return next(each.owner for each in view(cell).network if each.name == name)


# Every class of MindSpore's that owns parameters


class Decision(NamedTuple):
    """How a class is seen: its family, the canonical names of its parameters, and what is left out."""

    make: Callable[[], nn.Cell]
    family: str | None
    names: set[str]
    left_out: frozenset[str] = frozenset()


MOVING = frozenset({"moving_mean", "moving_variance"})
RUNNING = frozenset({"running_mean", "running_var", "num_batches_tracked"})
CURVATURE = frozenset({"matrix_a", "matrix_g"})
BOTH = {"weight", "bias"}
RECURRENT = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
RECURRENT_CELL = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
STATE = frozenset({"scale_sense"})


def momentum(network: nn.Cell) -> nn.Optimizer:
    return nn.Momentum(network.trainable_params(), learning_rate=0.1, momentum=0.9)


def scaled_step() -> nn.Cell:
    network = nn.Dense(2, 2)
    return nn.TrainOneStepWithLossScaleCell(network, momentum(network), nn.FixedLossScaleUpdateCell(8))


DECISIONS: dict[str, Decision] = {
    "mindspore.nn.BatchNorm1d": Decision(lambda: nn.BatchNorm1d(2), "norm", BOTH, MOVING),
    "mindspore.nn.BatchNorm2d": Decision(lambda: nn.BatchNorm2d(2), "norm", BOTH, MOVING),
    "mindspore.nn.SyncBatchNorm": Decision(lambda: nn.SyncBatchNorm(2), "norm", BOTH, MOVING),
    "mindspore.nn.LayerNorm": Decision(lambda: nn.LayerNorm((2,)), "norm", BOTH),
    "mindspore.mint.nn.LayerNorm": Decision(lambda: mint.nn.LayerNorm((2,)), "norm", BOTH),
    "mindspore.nn.GroupNorm": Decision(lambda: nn.GroupNorm(1, 2), "norm", BOTH),
    "mindspore.mint.nn.GroupNorm": Decision(lambda: mint.nn.GroupNorm(1, 2), "norm", BOTH),
    "mindspore.nn.InstanceNorm1d": Decision(lambda: nn.InstanceNorm1d(2), "norm", BOTH, MOVING),
    "mindspore.nn.InstanceNorm2d": Decision(lambda: nn.InstanceNorm2d(2), "norm", BOTH, MOVING),
    "mindspore.nn.InstanceNorm3d": Decision(lambda: nn.InstanceNorm3d(2), "norm", BOTH, MOVING),
    "mindspore.mint.nn.BatchNorm1d": Decision(lambda: mint.nn.BatchNorm1d(2), "norm", BOTH, RUNNING),
    "mindspore.mint.nn.BatchNorm2d": Decision(lambda: mint.nn.BatchNorm2d(2), "norm", BOTH, RUNNING),
    "mindspore.mint.nn.BatchNorm3d": Decision(lambda: mint.nn.BatchNorm3d(2), "norm", BOTH, RUNNING),
    "mindspore.mint.nn.SyncBatchNorm": Decision(lambda: mint.nn.SyncBatchNorm(2), "norm", BOTH, RUNNING),
    "mindspore.nn.Conv1d": Decision(lambda: nn.Conv1d(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv2d": Decision(lambda: nn.Conv2d(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv3d": Decision(lambda: nn.Conv3d(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv1dTranspose": Decision(lambda: nn.Conv1dTranspose(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv2dTranspose": Decision(lambda: nn.Conv2dTranspose(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv3dTranspose": Decision(lambda: nn.Conv3dTranspose(2, 2, 1, has_bias=True), "conv", BOTH),
    "mindspore.nn.Conv2dThor": Decision(
        lambda: nn.Conv2dThor(2, 2, 1, has_bias=True),
        "conv",
        BOTH,
        frozenset({"matrix_a_cov", "matrix_g_cov", "a_normalizer", "g_normalizer"}),
    ),
    "mindspore.mint.nn.Conv1d": Decision(lambda: mint.nn.Conv1d(2, 2, 1), "conv", BOTH),
    "mindspore.mint.nn.Conv2d": Decision(lambda: mint.nn.Conv2d(2, 2, 1), "conv", BOTH),
    "mindspore.mint.nn.Conv3d": Decision(lambda: mint.nn.Conv3d(2, 2, 1), "conv", BOTH),
    "mindspore.mint.nn.ConvTranspose2d": Decision(lambda: mint.nn.ConvTranspose2d(2, 2, 1), "conv", BOTH),
    "mindspore.nn.Dense": Decision(lambda: nn.Dense(2, 2), "linear", BOTH),
    "mindspore.nn.DenseThor": Decision(lambda: nn.DenseThor(2, 2), "linear", BOTH, CURVATURE),
    "mindspore.nn.BiDense": Decision(lambda: nn.BiDense(2, 2, 2), "linear", BOTH),
    "mindspore.mint.nn.Linear": Decision(lambda: mint.nn.Linear(2, 2), "linear", BOTH),
    "mindspore.nn.Embedding": Decision(lambda: nn.Embedding(2, 2), "embedding", {"weight"}),
    "mindspore.mint.nn.Embedding": Decision(lambda: mint.nn.Embedding(2, 2), "embedding", {"weight"}),
    "mindspore.nn.EmbeddingLookup": Decision(lambda: nn.EmbeddingLookup(2, 2), "embedding", {"weight"}),
    "mindspore.nn.MultiFieldEmbeddingLookup": Decision(
        lambda: nn.MultiFieldEmbeddingLookup(2, 2, 2), "embedding", {"weight"}
    ),
    "mindspore.nn.EmbeddingThor": Decision(lambda: nn.EmbeddingThor(2, 2), "embedding", {"weight"}, CURVATURE),
    "mindspore.nn.EmbeddingLookupThor": Decision(
        lambda: nn.EmbeddingLookupThor(2, 2), "embedding", {"weight"}, CURVATURE
    ),
    "mindspore.nn.MultiheadAttention": Decision(
        lambda: nn.MultiheadAttention(2, 1, kdim=3, vdim=3, add_bias_kv=True),
        "attention",
        {"q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v"},
    ),
    "mindspore.nn.RNN": Decision(lambda: nn.RNN(2, 2), "recurrent", RECURRENT),
    "mindspore.nn.GRU": Decision(lambda: nn.GRU(2, 2), "recurrent", RECURRENT),
    "mindspore.nn.LSTM": Decision(lambda: nn.LSTM(2, 2), "recurrent", RECURRENT),
    "mindspore.nn.RNNCell": Decision(lambda: nn.RNNCell(2, 2), "recurrent", RECURRENT_CELL),
    "mindspore.nn.GRUCell": Decision(lambda: nn.GRUCell(2, 2), "recurrent", RECURRENT_CELL),
    "mindspore.nn.LSTMCell": Decision(lambda: nn.LSTMCell(2, 2), "recurrent", RECURRENT_CELL),
    "mindspore.nn.PReLU": Decision(nn.PReLU, None, {"weight"}),
    "mindspore.mint.nn.PReLU": Decision(mint.nn.PReLU, None, {"weight"}),
    # What trains a network is seen as the network.
    "mindspore.nn.TrainOneStepWithLossScaleCell": Decision(scaled_step, "linear", BOTH, STATE),
    "mindspore.nn.TrainOneStepCell": Decision(
        lambda: nn.TrainOneStepCell(network := nn.Dense(2, 2), momentum(network)), "linear", BOTH
    ),
    "mindspore.nn.WithGradCell": Decision(lambda: nn.WithGradCell(nn.Dense(2, 2), nn.MSELoss()), "linear", BOTH),
}
# Their parameters are the state of a training step, and they are no networks.
BESIDE = {
    "mindspore.nn.AdaSumByDeltaWeightWrapCell",
    "mindspore.nn.AdaSumByGradWrapCell",
    "mindspore.nn.DynamicLossScaleUpdateCell",
    "mindspore.nn.PipelineGradReducer",
}
PLACES = (nn, mint.nn)


@cache
def making(module: str) -> set[str]:
    """The classes of a module whose code makes parameters."""
    file = sys.modules[module].__file__
    assert file is not None
    classes = [node for node in ast.parse(Path(file).read_text()).body if isinstance(node, ast.ClassDef)]
    calls = {each.name: [node for node in ast.walk(each) if isinstance(node, ast.Call)] for each in classes}
    makers = {"Parameter", "ParameterTuple"}
    return {name for name, nodes in calls.items() if any(ast.unparse(node.func) in makers for node in nodes)}


def makes_parameters(cls: type) -> bool:
    """Whether the code of a class, or of one it derives from, makes parameters of its own."""
    bases = [base for base in cls.__mro__ if base not in nn.Cell.__mro__ and base.__module__.startswith("mindspore.")]
    return any(base.__name__ in making(base.__module__) for base in bases)


def owning() -> dict[type, set[str]]:
    """The classes of MindSpore's that own parameters, each with its public names."""
    found: dict[type, set[str]] = {}
    for place in PLACES:
        for name, value in vars(place).items():
            if inspect.isclass(value) and issubclass(value, nn.Cell) and value is not nn.Cell:
                found.setdefault(value, set()).add(f"{place.__name__}.{name}")
    return {cls: names for cls, names in found.items() if makes_parameters(cls) and not issubclass(cls, nn.Optimizer)}


def test_the_search_finds_the_classes_that_everybody_knows() -> None:
    known = {nn.Dense, nn.BatchNorm2d, nn.LSTM, nn.PReLU, mint.nn.BatchNorm1d, mint.nn.Conv2d}
    assert known <= set(owning())
    assert not {nn.ReLU, nn.SequentialCell, nn.WithLossCell, mint.nn.Dropout} & set(owning())


def test_every_class_that_owns_parameters_has_a_decision() -> None:
    undecided = [sorted(names) for names in owning().values() if names.isdisjoint({*DECISIONS, *BESIDE})]
    assert undecided == []


@pytest.mark.parametrize("public", DECISIONS)
def test_the_decision_for_each_class(public: str) -> None:
    decided = DECISIONS[public]
    cell = decided.make()
    place, _, name = public.rpartition(".")
    assert type(cell) is getattr(nn if place == "mindspore.nn" else mint.nn, name)
    own = [each for each in view(cell).network if "." not in each.name]
    assert {each.name for each in own} == decided.names
    for each in own:
        assert each.owner.families == ({decided.family} if decided.family else set())
    assert describe(type(cell)).statistics >= decided.left_out
    inside = {name for name, _ in cell.parameters_and_names()}
    assert decided.left_out <= inside
    assert describe(type(cell)).wraps is not None or public in own[0].owner.classes


@pytest.mark.parametrize("public", sorted(BESIDE))
def test_what_is_beside_a_network(public: str) -> None:
    assert describe(getattr(nn, public.rpartition(".")[2])).beside


# Classes of users


class Renamed(LlamaRMSNorm):
    """Found by the name of what it derives from."""


class ConvNorm(nn.Conv2d):
    """No norm: it ends like one and is a convolution."""


class NormalizedDense(nn.Cell):
    """No norm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ones(2)


class Projection(nn.Dense):
    """A linear layer by what it derives from."""


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (LlamaRMSNorm, {"norm"}),
        (Renamed, {"norm"}),
        (lambda: ConvNorm(2, 2, 1), {"conv"}),
        (NormalizedDense, set()),
        (lambda: Projection(2, 2), {"linear"}),
        (lambda: nn.SequentialCell(Projection(2, 2)), {"linear"}),
    ],
)
def test_families_of_users_classes(build: Callable[[], nn.Cell], expected: set[str]) -> None:
    assert next(iter(view(build()).network)).owner.families == expected


def document(*rules: dict[str, object]) -> dict[str, object]:
    return {"optplan": 1, "optimizer": {"type": "adam", "lr": 1.0}, "rules": list(rules)}


def matched(cell: nn.Cell, where: str) -> list[str]:
    """The parameters that a filter selects."""
    plan = optplan.plan(document({"where": where, "lr": 0.5, "optional": True}), cell)
    return [name for name in plan.names if plan.value(name, "lr", 0) == 0.5]


@pytest.mark.parametrize(
    ("build", "where", "expected"),
    [
        (lambda: Projection(2, 2), "type(Projection)", True),
        (lambda: Projection(2, 2), "type(Dense)", True),
        (lambda: Projection(2, 2), "type(mindspore.nn.Dense)", True),
        (lambda: Projection(2, 2), "type(mindspore.nn.layer.basic.Dense)", True),
        (lambda: Projection(2, 2), "type(mindspore.mint.nn.Linear)", False),
        (lambda: mint.nn.Linear(2, 2), "type(mindspore.mint.nn.Linear)", True),
        (lambda: mint.nn.Linear(2, 2), "type(Linear)", True),
        (lambda: mint.nn.Embedding(2, 2), "type(Embedding)", True),
        (lambda: mint.nn.Embedding(2, 2), "type(mindspore.nn.Embedding)", False),
        (lambda: nn.Dense(2, 2), "type(Cell)", False),
        (lambda: nn.SequentialCell(nn.Dense(2, 2)), "inside(mindspore.nn.SequentialCell)", True),
        (LlamaRMSNorm, "type(*RMSNorm)", True),
        (nn.LSTM, "recurrent", None),
    ],
)
def test_classes_have_their_public_names(build: Callable[..., nn.Cell], where: str, *, expected: bool | None) -> None:
    cell = build() if expected is not None else build(2, 2)
    assert bool(matched(cell, where)) is (expected is not False)


def test_attention_and_recurrence_hold_for_all_below() -> None:
    cell = Attentive()
    every = view(cell).network.names
    assert matched(cell, "attention") == [
        name for name in every if name.startswith("attention.") or ".self_attn." in name
    ]
    assert matched(cell, "recurrent") == [name for name in every if name.startswith("recurrent.")]
    assert len(matched(cell, "recurrent")) == 4 * 2 * 2
    assert len(matched(cell, "attention")) == 6 + 4


def test_biases_have_mindspores_names() -> None:
    cell = Attentive()
    layer = "encoder.layers.0"
    assert set(matched(cell, "bias")) == {
        *(f"attention.{name}" for name in ("in_proj_bias", "bias_k", "bias_v", "out_proj.bias")),
        *(f"{layer}.{name}.bias" for name in ("self_attn.out_proj", "dense1", "dense2", "norm1", "norm2")),
        f"{layer}.self_attn.in_proj_bias",
        *(f"recurrent.bias_{to}_l{k}{way}" for to in ("ih", "hh") for k in (0, 1) for way in ("", "_reverse")),
    }


def test_gamma_and_beta_are_scale_and_bias_of_norms_only() -> None:
    assert matched(LlamaRMSNorm(), "scale") == ["weight"]
    assert matched(nn.LayerNorm((2,)), "scale") == ["weight"]
    assert matched(nn.LayerNorm((2,)), "bias") == ["bias"]
    assert matched(Gains(), "scale or bias") == []


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (lambda: nn.Conv2d(4, 8, 3, group=4, has_bias=True), True),
        (lambda: nn.Conv1d(4, 4, 1, group=4), True),
        (lambda: nn.Conv2dTranspose(4, 4, 3, group=4), True),
        (lambda: mint.nn.Conv2d(4, 8, 3, groups=4), True),
        (lambda: nn.Conv2d(4, 8, 3, group=2), False),
        (lambda: nn.Conv2d(1, 8, 3), False),
        (lambda: mint.nn.Conv2d(4, 8, 3), False),
        (lambda: nn.Dense(4, 4), False),
    ],
)
def test_depthwise(conv: Callable[[], nn.Cell], *, expected: bool) -> None:
    cell = conv()
    assert owner(cell, "weight").depthwise is expected
    assert matched(cell, "depthwise") == (list(view(cell).network.names) if expected else [])


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Dense(3, 5),
        lambda: mint.nn.Linear(3, 5),
        lambda: nn.Conv1d(4, 6, 3),
        lambda: nn.Conv2d(4, 6, (3, 2), group=2),
        lambda: mint.nn.Conv2d(4, 6, 3, groups=2),
        lambda: nn.Embedding(7, 5),
    ],
)
def test_fans_are_those_of_mindspores_initializers(build: Callable[[], nn.Cell]) -> None:
    cell = build()
    assert fans(cell) == _calculate_fan_in_and_fan_out(next(cell.get_parameters()).shape)


@pytest.mark.parametrize(
    ("build", "fan_in", "fan_out"),
    [
        # Weights that stand as (in, out, ...): each output of a transposed convolution sums over in * kernel.
        (lambda: nn.Conv1dTranspose(3, 5, 4), 3 * 4, 5 * 4),
        (lambda: nn.Conv2dTranspose(3, 5, (2, 4)), 3 * 8, 5 * 8),
        (lambda: nn.Conv3dTranspose(3, 5, 2), 3 * 8, 5 * 8),
        (lambda: mint.nn.ConvTranspose2d(3, 5, (2, 4)), 3 * 8, 5 * 8),
    ],
)
def test_fans_of_what_stands_the_other_way_round(build: Callable[[], nn.Cell], fan_in: int, fan_out: int) -> None:
    assert fans(build()) == (fan_in, fan_out)


def fans(cell: nn.Cell) -> tuple[float, float]:
    """The fans of `weight`, as an expression sees them."""
    plan = optplan.plan(document({"where": "weight", "lr": "1 / fan_in", "eps": "1 / fan_out"}), cell)
    return round(1 / plan.value("weight", "lr", 0)), round(1 / plan.value("weight", "eps", 0))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: nn.Embedding(2, 2), False),
        (lambda: mint.nn.Embedding(2, 2), False),
        (lambda: nn.EmbeddingLookup(2, 2), True),
        (lambda: nn.EmbeddingLookup(2, 2, target="DEVICE", sparse=False), False),
        (lambda: nn.MultiFieldEmbeddingLookup(2, 2, 2), True),
        (lambda: nn.Dense(2, 2), False),
        (lambda: nn.Conv2d(2, 2, 1), False),
        (lambda: nn.LayerNorm((2,)), False),
        (LlamaRMSNorm, None),
    ],
)
def test_sparse_gradients_are_known(build: Callable[[], nn.Cell], expected: bool | None) -> None:
    assert next(iter(view(build()).network)).owner.sparse is expected
