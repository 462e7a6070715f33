"""The families of modules that filters name, and what else is known of a module by its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import optplan
from optplan.targets.torch.view import view
from tests.targets.networks import Attentive, Pictures, Tables, document

if TYPE_CHECKING:
    from collections.abc import Callable

    from optplan.resolve.network import Kind


def owner(module: nn.Module, name: str) -> Kind:
    """What is known of the module that owns a parameter."""
    return next(each.owner for each in view(module).network if each.name == name)


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


def conv1d(outputs: int, inputs: int) -> nn.Module:
    """The linear layer of GPT-2, in transformers."""
    made: nn.Module = Conv1D(outputs, inputs)  # type: ignore[no-untyped-call]  # transformers' own
    return made


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
    (lambda: conv1d(2, 2), {"linear"}),
    (lambda: nn.Embedding(2, 2), {"embedding"}),
    (lambda: nn.EmbeddingBag(2, 2), {"embedding"}),
    (nn.PReLU, set()),
]


@pytest.mark.parametrize(("build", "expected"), FAMILIES)
def test_families(build: Callable[[], nn.Module], expected: set[str]) -> None:
    assert owner(build(), "weight").families == expected


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
    assert owner(conv, "weight").depthwise is expected
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
        (conv1d(5, 3), 3, 5),
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
        (LlamaRMSNorm(), None),
        (Tables(), True),
    ],
)
def test_sparse_gradients_are_known(module: nn.Module, expected: bool | None) -> None:
    name = next(name for name, _ in module.named_parameters())
    assert owner(module, name).sparse is expected
