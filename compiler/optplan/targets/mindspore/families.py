"""What is known of a Cell by its class: what the filters can ask, and how its parameters are named.

Takes classes of `mindspore.nn`, `mindspore.mint.nn` and of users.  Gives one `CellClass` for each.  Guarantees that
every class of MindSpore's that owns parameters has a decision here (a test enumerates them); what a release lacks of
the names below is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from mindspore import mint, nn

from optplan.resolve.network import Kind, families_by_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

# By the module's public names, so that a class that another release lacks costs nothing.  Subclasses count.
_NORMS = "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LayerNorm GroupNorm"
_FAMILIES = {
    "norm": (f"{_NORMS} InstanceNorm1d InstanceNorm2d InstanceNorm3d LRN", _NORMS),
    "conv": (
        "Conv1d Conv2d Conv3d Conv1dTranspose Conv2dTranspose Conv3dTranspose Conv2dThor",
        "Conv1d Conv2d Conv3d ConvTranspose2d",
    ),
    "linear": ("Dense BiDense DenseThor", "Linear"),
    "embedding": (
        "Embedding EmbeddingLookup MultiFieldEmbeddingLookup EmbeddingThor EmbeddingLookupThor",
        "Embedding",
    ),
    "attention": ("MultiheadAttention", ""),
    "recurrent": ("RNN GRU LSTM RNNCell GRUCell LSTMCell", ""),
}
_TRANSPOSED = ("Conv1dTranspose Conv2dTranspose Conv3dTranspose", "ConvTranspose2d")
# Their weights have a dimension of one before the last: (out, in, 1, kernel).
_FLAT = "Conv1d Conv1dTranspose"
# They list weights by kind, over all layers: those that see the input, those that see the state, then the biases.
_LAYERED = "RNN GRU LSTM"
_THOR = "DenseThor Conv2dThor EmbeddingThor EmbeddingLookupThor"

# Canonical local names, by the family of the owner.
_NORM_NAMES = {"gamma": "weight", "beta": "bias"}
_EMBEDDING_NAMES = {"embedding_table": "weight"}
_PRELU_NAMES = {"w": "weight"}

# What a norm counts and what second-order classes estimate: no parameters in the sense of the language.
_STATISTICS = frozenset({"moving_mean", "moving_variance", "running_mean", "running_var", "num_batches_tracked"})
_CURVATURE = frozenset({"matrix_a", "matrix_g", "matrix_a_cov", "matrix_g_cov", "a_normalizer", "g_normalizer"})

# Where a class keeps, in a Cell of its own, what the framework beside it keeps in the layer itself.
_INNER = {"mindspore.nn.layer.normalization.BatchNorm3d": "bn2d"}

# Where each wrapper keeps what it wraps.  By full name: importing them all would take longer than making a plan.
_WRAPPERS = {
    "mindspore.nn.wrap.cell_wrapper.WithLossCell": "_backbone",
    "mindspore.nn.wrap.cell_wrapper.WithEvalCell": "_network",
    "mindspore.nn.wrap.cell_wrapper.WithGradCell": "network",
    "mindspore.nn.wrap.cell_wrapper.ForwardValueAndGrad": "network",
    "mindspore.nn.wrap.cell_wrapper.TrainOneStepCell": "network",
    "mindspore.nn.wrap.cell_wrapper.GradAccumulationCell": "network",
    "mindspore.nn.wrap.cell_wrapper.PipelineCell": "network",
    "mindspore.nn.wrap.cell_wrapper.MicroBatchInterleaved": "network",
    "mindspore.nn.wrap.cell_wrapper.VirtualDatasetCellTriple": "_backbone",
    "mindspore.nn.wrap.cell_wrapper._VirtualDatasetCell": "_backbone",
    "mindspore.parallel.nn.parallel_cell_wrapper.PipelineCell": "network",
    "mindspore.parallel.nn.parallel_cell_wrapper.MicroBatchInterleaved": "network",
    "mindspore.parallel.nn.parallel_cell_wrapper.GradAccumulation": "network",
    "mindspore.parallel.auto_parallel.AutoParallel": "network",
    "mindspore.parallel.distributed.distributed_data_parallel.DistributedDataParallel": "module",
    "mindspore.common.recompute._RecomputeCell": "net",
    "mindspore.train.amp._OutputTo16": "_backbone",
    "mindspore.train.amp._OutputTo32": "_backbone",
    "mindspore.train.amp._add_loss_network.<locals>.WithLossCell": "_backbone",
    "mindspore.train.dataset_helper._DataWrapper": "network",
    "mindspore.boost.boost_cell_wrapper._OutputToFloat16": "_op",
    "mindspore.boost.less_batch_normalization.LessBN": "network",
}
# Cells beside a network in a training step; what they hold is their own state.
_BESIDE = frozenset(
    {
        "mindspore.nn.optim.optimizer.Optimizer",
        "mindspore.nn.optim.adasum.AdaSumByGradWrapCell",
        "mindspore.nn.optim.adasum.AdaSumByDeltaWeightWrapCell",
        "mindspore.experimental.optim.optimizer.Optimizer",
        "mindspore.nn.learning_rate_schedule.LearningRateSchedule",
        "mindspore.nn.wrap.loss_scale.DynamicLossScaleUpdateCell",
        "mindspore.nn.wrap.loss_scale.FixedLossScaleUpdateCell",
        "mindspore.nn.wrap.grad_reducer.DistributedGradReducer",
        "mindspore.nn.wrap.grad_reducer.PipelineGradReducer",
        "mindspore.parallel.nn.parallel_grad_reducer.PipelineGradReducer",
    }
)
# What a training step keeps of the loss scale, and of being stopped.
_STEP = "mindspore.nn.wrap.cell_wrapper.TrainOneStepCell"
_STATE = frozenset({"scale_sense", "exit_param", "init_param"})
# Gradients of these, where they are MindSpore's own, are dense, unless an embedding says otherwise.
_DENSE = frozenset({"norm", "conv", "linear", "embedding", "recurrent", "attention"})
_NOT_ITS_OWN = frozenset(nn.Cell.__mro__)


@dataclass(frozen=True, slots=True)
class CellClass:
    """What is known of all Cells of a class.

    `kind` is that of each, unless it is one that `varies` (`kind_of`).  `translations` has the canonical local
    names, `statistics` the local names of what is no parameter, `inner` where a class keeps its parameters in a Cell of
    its own.  `flat` tells that a weight has a dimension of one that the framework beside it does not have, `layered`
    that there are layers, and parameters do not stand by them.  `wraps` is where a wrapper keeps what it wraps;
    `beside` tells that it is no part of a network.
    """

    kind: Kind
    varies: bool = False
    translations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    statistics: frozenset[str] = frozenset()
    inner: str | None = None
    flat: bool = False
    layered: bool = False
    wraps: str | None = None
    beside: bool = False


def describe(cls: type[nn.Cell]) -> CellClass:
    """What is known of the class."""
    full = full_names(cls)
    found = _families(cls)
    families = families_by_name(full, found)
    translations: dict[str, str] = {}
    statistics: frozenset[str] = frozenset()
    if "norm" in families:
        translations, statistics = _NORM_NAMES, _STATISTICS
    elif "embedding" in families:
        translations = _EMBEDDING_NAMES
    elif issubclass(cls, nn.PReLU):
        translations = _PRELU_NAMES
    if issubclass(cls, _classes(nn, _THOR)):
        statistics |= _CURVATURE
    if _STEP in full:
        statistics |= _STATE
    inner = next((_INNER[name] for name in full if name in _INNER), None)
    if inner is not None:
        translations = {f"{inner}.{name}": canonical for name, canonical in translations.items()}
        statistics = frozenset(f"{inner}.{name}" for name in statistics)
    return CellClass(
        Kind(full, families, issubclass(cls, _transposed()), sparse=False if found & _DENSE else None),
        not found.isdisjoint(("conv", "embedding")),
        MappingProxyType(translations),
        statistics,
        inner,
        issubclass(cls, _classes(nn, _FLAT)),
        issubclass(cls, _classes(nn, _LAYERED)),
        next((_WRAPPERS[name] for name in full if name in _WRAPPERS), None),
        not _BESIDE.isdisjoint(full),
    )


def kind_of(cell: nn.Cell, of: CellClass) -> Kind:
    """The kind of a convolution or an embedding, of which the Cell itself decides a part.

    Gradients of an `EmbeddingLookup` made with `sparse=True`, its default, are sparse.
    """
    if "conv" not in of.kind.families:
        return replace(of.kind, sparse=True) if getattr(cell, "sparse", False) else of.kind
    # `group` in nn, `groups` in mint.nn, as in torch
    groups = getattr(cell, "group", None) or getattr(cell, "groups", 1)
    depthwise = groups == getattr(cell, "in_channels", 0) and groups > 1
    return replace(of.kind, depthwise=True) if depthwise else of.kind


def full_names(cls: type) -> tuple[str, ...]:
    """The dotted names of a class and of those it derives from, nearest first; MindSpore's own have public ones too."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base not in _NOT_ITS_OWN:
            names[f"{base.__module__}.{base.__qualname__}"] = None
            names.update(dict.fromkeys(_public().get(base, ())))
    return tuple(names)


def _families(cls: type) -> frozenset[str]:
    return frozenset(family for family, classes in _tables().items() if issubclass(cls, classes))


@cache
def _tables() -> dict[str, tuple[type, ...]]:
    return {family: _both(names) for family, names in _FAMILIES.items()}


@cache
def _transposed() -> tuple[type, ...]:
    return _both(_TRANSPOSED)


@cache
def _public() -> dict[type, tuple[str, ...]]:
    """By class, the names under which `mindspore.nn` and `mindspore.mint.nn` have it."""
    names: dict[type, tuple[str, ...]] = {}
    for place in (nn, mint.nn):
        for name, value in vars(place).items():
            if isinstance(value, type) and issubclass(value, nn.Cell) and value is not nn.Cell:
                names[value] = (*names.get(value, ()), f"{place.__name__}.{name}")
    return names


def _both(names: tuple[str, str]) -> tuple[type, ...]:
    return _classes(nn, names[0]) + _classes(mint.nn, names[1])


def _classes(place: ModuleType, names: str) -> tuple[type, ...]:
    return tuple(getattr(place, name) for name in names.split() if hasattr(place, name))
