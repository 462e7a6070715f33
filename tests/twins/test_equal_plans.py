"""One file gives twin networks one plan: the same groups, names, values and order, whatever the framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import mint
from mindspore import nn as cells
from torch import nn

import optplan
from optplan.resolve.select import PREDICATES
from optplan.targets.mindspore.view import view as view_of_cell
from optplan.targets.torch.view import view as view_of_module
from tests.twins import in_mindspore, in_torch
from tests.twins.files import EVERY, FILES

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan import Plan

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

STEPS = 500
TIMES = (0, 1, 49, 50, 99, 100, 250, STEPS - 1, STEPS + 7)


def both(document: Any, kind: str) -> tuple[Plan, Plan]:
    """The plans of a document for the torch twin and for the MindSpore twin."""
    config = optplan.loads(f"optplan: 1\n{document}") if isinstance(document, str) else document
    steps = None if isinstance(document, str) and "horizon" in document else STEPS
    module, cell = in_torch.NETWORKS[kind](), in_mindspore.NETWORKS[kind]()
    return optplan.plan(config, module, steps=steps), optplan.plan(config, cell, steps=steps)


def numbers(value: object, key: str) -> list[str]:
    """The keys under which a setting's numbers are asked for."""
    if isinstance(value, tuple):
        return [each for place, item in enumerate(value) for each in numbers(item, f"{key}[{place}]")]
    return [key] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


# The twins


@pytest.mark.parametrize("kind", EVERY)
def test_twins_are_twins(kind: str) -> None:
    """They compute the same: that their names, shapes and order agree is no accident of how they were written."""
    module, cell = in_torch.NETWORKS[kind]().eval(), in_mindspore.NETWORKS[kind]().set_train(False)
    torchs, mindspores = view_of_module(module), view_of_cell(cell)
    for column in ("names", "locals", "shapes", "dtypes", "trainable"):
        assert getattr(torchs.network, column) == getattr(mindspores.network, column)
    generator = np.random.default_rng(0)
    for theirs, ours in zip(torchs.parameters, mindspores.parameters, strict=True):
        weight = 0.4 * generator.standard_normal(tuple(theirs.shape)).astype(np.float32)
        theirs.data.copy_(torch.from_numpy(weight))
        ours.set_data(ms.Tensor(weight.reshape(ours.shape)))
    inputs: Any = generator.integers(0, in_torch.WORDS, (4, in_torch.LENGTH)).astype(np.int32)
    if kind == "residual":
        inputs = generator.standard_normal((4, 3, 8, 8)).astype(np.float32)
    expected = module(torch.from_numpy(inputs)).detach().numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(cell(ms.Tensor(inputs)).asnumpy(), expected, rtol=1e-4, atol=1e-5)


# Whole plans


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, file in FILES.items() for kind in file.networks])
def test_a_file_gives_twins_one_plan(name: str, kind: str) -> None:
    torchs, mindspores = both(FILES[name].text, kind)
    assert (torchs.target, mindspores.target) == ("torch", "mindspore")
    # Group by group: name, optimizer, values, curves, options, parameters in their order, numel, the rule that chose
    for theirs, ours in zip(torchs.groups, mindspores.groups, strict=True):
        assert ours == theirs
    for column in ("names", "shapes", "case_of", "aliases", "frozen", "thawed", "origins", "horizon"):
        assert getattr(mindspores, column) == getattr(torchs, column), column
    # What `explain` tells of each parameter, and what `plan` warns of
    assert mindspores.cases == torchs.cases
    assert list(map(str, mindspores.diagnostics)) == list(map(str, torchs.diagnostics))
    for each in torchs.groups:
        parameter = each.parameters[0]
        for key in [one for own, value in each.values for one in numbers(value, own)]:
            for t in TIMES:
                assert mindspores.value(parameter, key, t) == torchs.value(parameter, key, t)
    assert mindspores.fingerprint == torchs.fingerprint


def test_the_files_are_about_something() -> None:
    """Between them they make many groups, freeze and thaw, and use many optimizers."""
    plans = [both(file.text, kind)[1] for file in FILES.values() for kind in file.networks[:1]]
    assert sum(len(plan.groups) for plan in plans) > 50
    assert len({group.optimizer for plan in plans for group in plan.groups}) >= 10
    assert any(plan.frozen for plan in plans)
    assert any(plan.thawed for plan in plans)
    assert any(plan.aliases for plan in plans)


def test_options_of_a_framework_are_all_that_differs() -> None:
    """Each plan has those of its own framework, and they are a part of what it does: the fingerprints differ."""
    document = """\
optimizer: {type: adamw, lr: 1e-3}
rules:
  - {where: bias, lr: 0.1x}
torch: {foreach: true}
mindspore: {grad_centralization: false}
"""
    torchs, mindspores = both(document, "embedding")
    assert [group.options for group in torchs.groups] == [(("torch", (("foreach", True),)),)] * 2
    assert [group.options for group in mindspores.groups] == [(("mindspore", (("grad_centralization", False),)),)] * 2
    for theirs, ours in zip(torchs.groups, mindspores.groups, strict=True):
        assert (ours.name, ours.values, ours.parameters) == (theirs.name, theirs.values, theirs.parameters)
    assert torchs.fingerprint != mindspores.fingerprint


# Single filters

FILTERS = [
    *sorted(PREDICATES),
    "not bias and not scale",
    *("ndim == 1", "ndim == 2", "ndim == 3", "ndim == 4", "numel > 100", "numel == 1", "dtype == float32"),
    *("fan_in <= 8", "fan_in == 24", "fan_out > 8", "fan_out == 16 and conv"),
    *("shape[0] == 1", "shape[-1] == 3", "shape[2] == 3"),
    *("type(BatchNorm2d)", "type(GroupNorm)", "type(LayerNorm)", "type(RMSNorm)", "type(Conv1d)", "type(Conv2d)"),
    *("type(Embedding)", "type(PReLU)", "type(LSTM)", "type(GRU*)", "type(MultiheadAttention)", "type(*Norm*)"),
    *("inside(Block)", "inside(Attention)", "inside(Layer)", "inside(LSTM)"),
    *("head", "blocks.0", "blocks.{1..2}.act", "layers.*.norm?.weight", ".bias", "**.key", "mlp.[!0-2]", ".weight"),
    *("encoder.weight_ih_l0*", 'path("layers.0.attention.out.bias")', "path(norm)", "head.weight", "table.weight"),
    *("/norm/", "/^layers[.][0-9]+[.]attention/", r"/(weight|bias)_hh_l1(_reverse)?$/", "/in_proj/"),
]


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[nn.Module, cells.Cell]]:
    return {kind: (in_torch.NETWORKS[kind](), in_mindspore.NETWORKS[kind]()) for kind in EVERY}


def selected(where: str, network: Any) -> list[str]:
    """The parameters that a filter selects."""
    rules = [
        {"where": "all", "freeze": False},
        {"where": where, "lr": 0.5, "optional": True},
        # Whatever name decides: tied ones are not at issue here
        {"where": f"({where}) and tied", "lr": 0.5, "optional": True},
    ]
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "sgd", "lr": 1.0}, "rules": rules}, network)
    return [name for name in plan.names if plan.value(name, "lr", 0) == 0.5]


@pytest.mark.parametrize("where", FILTERS)
def test_a_filter_selects_the_same(where: str, pairs: dict[str, tuple[nn.Module, cells.Cell]]) -> None:
    found = {kind: selected(where, module) for kind, (module, _) in pairs.items()}
    assert {kind: selected(where, cell) for kind, (_, cell) in pairs.items()} == found
    assert any(found.values())


@pytest.mark.parametrize(
    ("native", "canonical"),
    [
        ("norm.gamma", ["norm.weight"]),
        (".beta", ["norm.bias", *(f"blocks.{i}.norm{k}.bias" for i in range(3) for k in (1, 2))]),
        ("/gamma$/", ["norm.weight", *(f"blocks.{i}.norm{k}.weight" for i in range(3) for k in (1, 2))]),
        ("blocks.*.act.w", [f"blocks.{i}.act.weight" for i in range(3)]),
    ],
)
def test_native_names_are_known_where_they_are_native(
    native: str, canonical: list[str], pairs: dict[str, tuple[nn.Module, cells.Cell]]
) -> None:
    """A file with MindSpore's names is one for MindSpore; one with the canonical names is for both."""
    module, cell = pairs["residual"]
    assert selected(native, cell) == canonical
    assert selected(native, module) == []
    either = " or ".join(f'path("{name}")' for name in canonical)
    assert selected(either, module) == selected(either, cell) == canonical


# What the frameworks keep otherwise: the section "One file, two frameworks" of the language's reference


def rows(network: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes as the view has them."""
    return [(each.name, each.shape) for each in optplan.network(network)]


SAME: dict[str, tuple[Callable[[], nn.Module], Callable[[], cells.Cell]]] = {
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), lambda: cells.Conv1d(4, 6, 3, has_bias=True)),
    "Conv1d in groups": (lambda: nn.Conv1d(4, 8, 3, groups=2), lambda: cells.Conv1d(4, 8, 3, group=2, has_bias=True)),
    "Conv1d of mint": (lambda: nn.Conv1d(4, 6, 3), lambda: mint.nn.Conv1d(4, 6, 3)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (1, 3)), lambda: cells.Conv2d(4, 6, (1, 3), has_bias=True)),
    "Conv3d": (lambda: nn.Conv3d(4, 6, 3), lambda: cells.Conv3d(4, 6, 3, has_bias=True)),
    "transposed, 1d": (lambda: nn.ConvTranspose1d(4, 6, 3), lambda: cells.Conv1dTranspose(4, 6, 3, has_bias=True)),
    "transposed, 2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
        lambda: cells.Conv2dTranspose(4, 6, 3, group=2, has_bias=True),
    ),
    "transposed, 2d, of mint": (lambda: nn.ConvTranspose2d(4, 6, 3), lambda: mint.nn.ConvTranspose2d(4, 6, 3)),
    "transposed, 3d": (lambda: nn.ConvTranspose3d(4, 6, 3), lambda: cells.Conv3dTranspose(4, 6, 3, has_bias=True)),
    "RNN": (
        lambda: nn.RNN(3, 4, num_layers=2, bidirectional=True),
        lambda: cells.RNN(3, 4, num_layers=2, bidirectional=True),
    ),
    "LSTM of eleven layers": (lambda: nn.LSTM(3, 4, num_layers=11), lambda: cells.LSTM(3, 4, num_layers=11)),
    "GRU without biases": (
        lambda: nn.GRU(3, 4, num_layers=2, bias=False),
        lambda: cells.GRU(3, 4, num_layers=2, has_bias=False),
    ),
    "RNNCell": (lambda: nn.RNNCell(3, 4), lambda: cells.RNNCell(3, 4)),
    "GRUCell": (lambda: nn.GRUCell(3, 4), lambda: cells.GRUCell(3, 4)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), lambda: cells.LSTMCell(3, 4)),
    "attention": (
        lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True),
        lambda: cells.MultiheadAttention(8, 2, add_bias_kv=True),
    ),
    "attention over other widths": (
        lambda: nn.MultiheadAttention(8, 2, kdim=3, vdim=3),
        lambda: cells.MultiheadAttention(8, 2, kdim=3, vdim=3),
    ),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), lambda: cells.BiDense(2, 3, 4)),
    "PReLU": (lambda: nn.PReLU(5), lambda: cells.PReLU(5)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), lambda: cells.BatchNorm3d(4)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 4)), lambda: cells.LayerNorm((3, 4))),
    "LayerNorm without weights": (
        lambda: nn.LayerNorm(4, elementwise_affine=False),
        lambda: mint.nn.LayerNorm(4, elementwise_affine=False),
    ),
    "Embedding": (lambda: nn.Embedding(7, 4, padding_idx=0), lambda: cells.Embedding(7, 4, padding_idx=0)),
}


@pytest.mark.parametrize(("build", "build_cell"), SAME.values(), ids=list(SAME))
def test_layers_that_look_the_same(build: Callable[[], nn.Module], build_cell: Callable[[], cells.Cell]) -> None:
    assert rows(build_cell()) == rows(build())


def test_a_kernel_over_one_dimension_is_a_picture_of_one_row_to_mindspore() -> None:
    """`nn.Conv1d` keeps (out, in, 1, kernel); files see three dimensions, and the fans are the same either way."""
    cell = cells.Conv1d(4, 6, 3)
    assert cell.weight.shape == (6, 4, 1, 3)
    assert rows(cell) == [("weight", (6, 4, 3))]
    assert selected("ndim == 3 and shape[2] == 3 and fan_in == 12 and fan_out == 18", cell) == ["weight"]


def test_mindspore_lists_recurrent_weights_by_kind() -> None:
    """The plan's order is PyTorch's; the optimizer takes gradients in MindSpore's."""
    cell = cells.LSTM(3, 4, num_layers=2)
    native = [name for name, _ in cell.parameters_and_names()]
    assert native[:2] == ["weight_ih_l0", "weight_ih_l1"]
    plan = optplan.plan({"optplan": 1, "optimizer": {"type": "adamw"}}, cell)
    assert plan.names[:2] == ("weight_ih_l0", "weight_hh_l0")
    assert sorted(plan.names) == sorted(native)
    listed = [id(each) for each in cell.trainable_params()]
    rules = [{"where": "bias", "lr": 0.5}, {"where": "/_l1/", "lr": 0.1}]
    for document in (plan, optplan.plan({"optplan": 1, "optimizer": {"type": "adamw"}, "rules": rules}, cell)):
        compiled = document.bind(cell)
        assert [id(each) for each in compiled.optimizer.parameters] == listed
        assert [id(each) for each in compiled.parameters] == listed


@pytest.mark.parametrize(
    ("build", "build_cell"),
    [
        (lambda: nn.BatchNorm2d(4, affine=False), lambda: cells.BatchNorm2d(4, affine=False)),
        (lambda: nn.InstanceNorm2d(4), lambda: cells.InstanceNorm2d(4, affine=False)),
    ],
)
def test_norms_without_weights_have_frozen_ones_in_mindspore(
    build: Callable[[], nn.Module], build_cell: Callable[[], cells.Cell]
) -> None:
    """Nothing is trained in either, so that the groups are the same; a rule may thaw what MindSpore has."""
    module, cell = (make(nn.Sequential, cells.SequentialCell) for make in (_beside(build), _beside_cell(build_cell)))
    document = {"optplan": 1, "optimizer": {"type": "adamw"}}
    torchs, mindspores = optplan.plan(document, module), optplan.plan(document, cell)
    assert torchs.groups == mindspores.groups
    assert [each.name for each in optplan.network(cell) if not each.trainable] == ["1.weight", "1.bias"]
    assert selected("norm", module) == []
    assert selected("norm", cell) == ["1.weight", "1.bias"]


def _beside(build: Callable[[], nn.Module]) -> Callable[[Any, Any], Any]:
    return lambda sequential, _: sequential(nn.Conv2d(1, 4, 1), build())


def _beside_cell(build: Callable[[], cells.Cell]) -> Callable[[Any, Any], Any]:
    return lambda _, sequential: sequential(cells.Conv2d(1, 4, 1, has_bias=True), build())


def test_layers_of_transformers_name_their_matrices_differently() -> None:
    module, cell = nn.TransformerEncoderLayer(8, 2, 16), cells.TransformerEncoderLayer(8, 2, 16)
    renamed = [(name.replace("linear", "dense"), shape) for name, shape in rows(module)]
    assert rows(cell) == renamed
    assert rows(cell) != rows(module)
    where = "{linear,dense}[12]"
    assert selected(where, cell) == [name.replace("linear", "dense") for name in selected(where, module)]
    assert len(selected(where, cell)) == 4
    assert selected("linear", module)[-4:] == selected("{linear,dense}[12]", module)


def test_linear_layers_have_several_classes() -> None:
    for made in (nn.Linear(2, 3), cells.Dense(2, 3), mint.nn.Linear(2, 3)):
        assert selected("linear", made) == ["weight", "bias"]
        assert selected("type(Linear, Dense)", made) == ["weight", "bias"]
    assert selected("type(Linear)", cells.Dense(2, 3)) == []
