"""Gradients are clipped as `torch.nn.utils` clips them, over all optimizers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import optplan
from optplan.resolve.training import Clip
from optplan.targets.torch.clipping import clip_, total_norm
from tests.targets.networks import Pictures, Tables, Words, document, loss_of, same_weights, seeded

if TYPE_CHECKING:
    from collections.abc import Iterable

SEVERAL = document(
    {"type": "adamw", "lr": 1e-3},
    optimizers={"hidden": {"type": "muon", "lr": 0.02}},
    rules=[{"where": "body.weight", "use": "hidden"}, {"where": "stem", "freeze": True}],
)


def backward(loss: Any) -> None:
    """What torch leaves without a type."""
    loss.backward()


def clipped_by_torch(parameters: Iterable[nn.Parameter], clip: str, limit: float) -> Tensor | None:
    if clip == "norm":
        return clip_grad_norm_(parameters, limit)
    clip_grad_value_(parameters, limit)
    return None


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """What each parameter has, as a dense tensor."""
    return {name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("limit", [1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("clip", ["norm", "value"])
def test_it_is_what_torch_computes(clip: str, limit: float) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile({**SEVERAL, "clip": f"{clip}({limit})"}, mine)
    for name in ("stem.weight", "stem.bias"):
        theirs.get_parameter(name).requires_grad_(False)
    for model in (mine, theirs):
        backward(10 * loss_of(model, 0))
    whole = torch.cat([each.flatten() for each in gradients(mine).values()]).norm()
    norm = compiled.clip_gradients()
    expected = clipped_by_torch(theirs.parameters(), clip, limit)
    torch.testing.assert_close(norm, whole)
    assert expected is None or torch.equal(norm, expected)
    assert gradients(mine).keys() == gradients(theirs).keys()
    assert all(torch.equal(gradients(mine)[name], each) for name, each in gradients(theirs).items())


def test_without_a_limit_the_norm_is_told() -> None:
    model = seeded(Pictures)
    compiled = optplan.compile(SEVERAL, model)
    backward(loss_of(model, 0))
    before = gradients(model)
    expected = torch.cat([each.flatten() for each in before.values()]).norm()
    torch.testing.assert_close(compiled.clip_gradients(), expected)
    assert all(torch.equal(each, before[name]) for name, each in gradients(model).items())


@pytest.mark.parametrize("clip", ["norm", "value", "none"])
def test_nothing_to_clip(clip: str) -> None:
    model = seeded(Pictures)
    text = clip if clip == "none" else f"{clip}(1.0)"
    assert optplan.compile({**SEVERAL, "clip": text}, model).clip_gradients() == 0.0


@pytest.mark.parametrize("clip", ["norm", "value"])
def test_what_has_been_scaled_is_unscaled_first(clip: str) -> None:
    mine, theirs = seeded(Pictures), seeded(Pictures)
    compiled = optplan.compile({**SEVERAL, "clip": f"{clip}(0.01)", "loss_scale": 1024}, mine)
    plain = optplan.compile({**SEVERAL, "clip": f"{clip}(0.01)"}, theirs)
    backward(compiled.scaler.scale(loss_of(mine, 0)))
    backward(loss_of(theirs, 0))
    norm = compiled.clip_gradients()
    assert torch.equal(norm, plain.clip_gradients())
    compiled.scaler.step(compiled.optimizer)
    compiled.scaler.update()
    plain.optimizer.step()
    assert same_weights(mine, theirs)


@pytest.mark.parametrize("build", [Tables, Words])
@pytest.mark.parametrize("clip", [Clip("norm", 0.05), Clip("value", 0.01)], ids=str)
def test_sparse_gradients_are_clipped_as_dense_ones(build: type[nn.Module], clip: Clip) -> None:
    """Rows that come twice in a batch count by their sum; torch's own functions refuse sparse gradients."""
    sparse, dense = seeded(build), seeded(build)
    for module in dense.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False
    for model in (sparse, dense):
        backward(loss_of(model, 3))
    assert any(p.grad is not None and p.grad.is_sparse for p in sparse.parameters())
    norm = total_norm(sparse.parameters())
    torch.testing.assert_close(norm, total_norm(dense.parameters()))
    clip_(sparse.parameters(), clip, norm)
    clipped_by_torch(dense.parameters(), clip.kind, clip.limit)
    torch.testing.assert_close(gradients(sparse), gradients(dense))
    assert any(p.grad is not None and p.grad.is_sparse for p in sparse.parameters())


@pytest.mark.parametrize(
    "step", [{"clip": "norm(0.05)"}, {"clip": "value(0.01)"}, {"loss_scale": "dynamic()"}, {}], ids=str
)
def test_a_sparse_network_trains(step: dict[str, Any]) -> None:
    """As by hand where torch can, and else as its dense twin: SGD does the same to both."""
    sparse, dense = seeded(Words), seeded(Words)
    dense.get_submodule("table").sparse = False  # type: ignore[assignment]  # an embedding
    one, other = (optplan.compile(document({"type": "sgd", "lr": 0.1}, **step), model) for model in (sparse, dense))
    for update in range(20):
        mine, theirs = one.step(loss_of(sparse, update)), other.step(loss_of(dense, update))
        torch.testing.assert_close(mine.grad_norm, theirs.grad_norm)
    for name, parameter in sparse.named_parameters():
        torch.testing.assert_close(parameter, dense.get_parameter(name))


def test_the_norm_alone_leaves_sparse_gradients_as_they_are() -> None:
    """A duplicated row is added twice by SGD, which rounds otherwise than its sum does."""
    mine, theirs = seeded(Tables), seeded(Tables)
    compiled = optplan.compile(document({"type": "sgd", "lr": 0.1}), mine)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for update in range(20):
        assert compiled.step(loss_of(mine, update)).grad_norm > 0
        backward(loss_of(theirs, update))
        optimizer.step()
        optimizer.zero_grad()
    assert same_weights(mine, theirs)


def test_gradients_of_several_types() -> None:
    model = nn.ModuleList([nn.Linear(4, 4, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64)])
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, 1.0 + number)
    expected = clip_grad_norm_(model.parameters(), 1e9)
    assert torch.equal(total_norm(model.parameters()), expected)
