"""`compiled.clip_gradients` against `torch.nn.utils`, on the same gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Parameter, Tensor, nn

import optplan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optplan.targets.mindspore.scaling import ClipGradients

pytestmark = pytest.mark.mindspore

SHAPES = ((), (7,), (3, 5), (4, 3, 2, 2), (40, 50))
LOSS_SCALES = {"": 1.0, "loss_scale: fixed(64)\n": 1.0, "loss_scale: fixed(64, drop_overflow=false)\n": 64.0}


class Loose(nn.Cell):
    """Parameters alone, of two optimizers."""

    def __init__(self) -> None:
        super().__init__()
        for place, shape in enumerate(SHAPES):
            setattr(self, f"p{place}", Parameter(Tensor(np.zeros(shape), ms.float32), name=f"p{place}"))


def clipping(clip: str, more: str = "") -> ClipGradients:
    text = f"optplan: 1\noptimizer: {{type: sgd, lr: 1}}\noptimizers: {{two: {{type: adamw}}}}\n{more}"
    text += f"rules: [{{where: 'p{{1,3}}', use: two}}]\nclip: {clip}\n"
    found: ClipGradients = optplan.compile(optplan.loads(text), Loose()).clip_gradients
    return found


def made(size: float, dtype: type = np.float32) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(7)
    return [np.asarray(size * generator.standard_normal(shape), dtype) for shape in SHAPES]


def by_torch(clip: str, gradients: list[NDArray[np.float32]]) -> tuple[list[NDArray[np.float32]], float]:
    """What torch makes of them, and their norm before."""
    parameters = [torch.nn.Parameter(torch.zeros(each.shape, dtype=torch.from_numpy(each).dtype)) for each in gradients]
    for parameter, each in zip(parameters, gradients, strict=True):
        parameter.grad = torch.from_numpy(each.copy())
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if clip.startswith("norm"):
        norm = torch.nn.utils.clip_grad_norm_(parameters, float(clip[5:-1]))
    elif clip.startswith("value"):
        torch.nn.utils.clip_grad_value_(parameters, float(clip[6:-1]))
    return [p.grad.numpy() for p in parameters if p.grad is not None], float(norm)


@pytest.mark.parametrize("more", LOSS_SCALES, ids=["unscaled", "dropping", "carried"])
@pytest.mark.parametrize("clip", ["none", "norm(1.0)", "norm(1e4)", "value(0.5)", "value(1e-3)"])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_norms_and_clipped_gradients_are_pytorchs(clip: str, size: float, more: str) -> None:
    """Carried ones still have the scale, which the optimizer will take out."""
    carried = LOSS_SCALES[more]
    wanted, length = by_torch(clip, made(size))
    found, norm = clipping(clip, more)(tuple(Tensor(each * np.float32(carried)) for each in made(size)))
    assert float(norm) == pytest.approx(length, rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == ms.float32
        np.testing.assert_allclose(one.asnumpy() / carried, other, rtol=1e-6, atol=0)


@pytest.mark.parametrize("clip", ["norm(1.0)", "value(0.5)"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_becomes_what_pytorch_makes_of_it(clip: str, bad: float) -> None:
    gradients = made(1.0)
    gradients[2][1, 1] = bad
    wanted, length = by_torch(clip, gradients)
    found, norm = clipping(clip)(tuple(Tensor(each) for each in gradients))
    np.testing.assert_equal(float(norm), length)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-6, atol=0)


def test_the_norm_of_many_elements() -> None:
    """To float32, where PyTorch's own loses digits: it adds up what is left of a tensor one by one."""
    gradients = [np.full(shape, 0.1, np.float32) for shape in SHAPES]
    gradients[-1] = np.full((2000, 1000), 0.1, np.float32)
    _, norm = clipping("norm(1.0)")(tuple(Tensor(each) for each in gradients))
    count = sum(each.size for each in gradients)
    assert float(norm) == pytest.approx(float(np.float32(0.1)) * count**0.5, rel=1e-6)


def test_gradients_of_zero_stay() -> None:
    found, norm = clipping("norm(1.0)")(tuple(Tensor(np.zeros(shape, np.float32)) for shape in SHAPES))
    assert float(norm) == 0
    assert not any(each.asnumpy().any() for each in found)


@pytest.mark.parametrize("clip", ["norm(1.0)", "value(0.5)"])
def test_half_precision_is_measured_in_float32(clip: str) -> None:
    """The squares of 300 and more are beyond float16."""
    gradients = made(1000.0, np.float16)
    wanted, length = by_torch(clip, [each.astype(np.float32) for each in gradients])
    found, norm = clipping(clip)(tuple(Tensor(each) for each in gradients))
    assert float(norm) == pytest.approx(length, rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == ms.float16
        np.testing.assert_allclose(one.asnumpy(), other, rtol=2e-3, atol=1e-6)


def test_it_can_be_called_in_a_compiled_function() -> None:
    clip = clipping("norm(1.0)")

    def half_of_it(gradients: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        clipped, norm = clip(gradients)
        return clipped, norm * 0.5

    wanted, length = by_torch("norm(1.0)", made(1.0))
    found, norm = ms.jit(half_of_it)(tuple(Tensor(each) for each in made(1.0)))
    assert float(norm) == pytest.approx(length / 2, rel=1e-6)
    np.testing.assert_allclose(found[3].asnumpy(), wanted[3], rtol=1e-6)
