"""`train_step` with sparse gradients: what works is PyTorch's, what does not is refused when the plan is made."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn

import optplan
from optplan import ConfigError
from tests.mindspore.test_sparse import INPUTS, LABELS, Words, WordsInTorch, beginning, filled, named

pytestmark = pytest.mark.mindspore

TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 0.01}
optimizers: {rows: {type: sparse_adam, lr: 0.01}}
rules: [{where: embedding, use: rows}]
horizon: {steps: 10}
schedule: {lr: cosine()}
"""
LOSS = nn.CrossEntropyLoss()
BATCH = (Tensor(INPUTS, ms.int32), Tensor(LABELS, ms.int32))


def bound(more: str, network: Any) -> Any:
    return optplan.compile(optplan.loads(TEXT + more), network)


@pytest.mark.parametrize(
    "more",
    ["", "clip: norm(0.5)\n", "clip: norm(0.5)\nloss_scale: fixed(1024, drop_overflow=false)\n"],
    ids=["plain", "clipped", "carried"],
)
def test_it_trains_as_pytorchs_does(more: str) -> None:
    """A row that a batch looks up twice counts by its sum, in the norm too."""
    cell, model = filled(Words()), WordsInTorch()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(beginning()[name]))
    step, other = bound(more, cell).train_step(cell, LOSS, jit=True), bound(more, model)
    for _ in range(5):
        found = step(*BATCH)
        logits = model(torch.from_numpy(INPUTS))
        wanted = other.step(torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS)))
        assert (found.scale, found.updated, found.skipped) == (wanted.scale, True, False)
        assert float(found.grad_norm) == pytest.approx(float(wanted.grad_norm), rel=1e-5)
    for name, parameter in model.named_parameters():
        assert np.abs(parameter.detach().numpy() - beginning()[name]).max() > 1e-3
        np.testing.assert_allclose(named(cell)[name].asnumpy(), parameter.detach().numpy(), rtol=0, atol=1e-5)


def test_in_pynative_mode_it_needs_one_graph(mindspore_mode: str) -> None:
    """There a sparse gradient is its values alone, outside of a compiled step."""
    cell = filled(Words())
    step = bound("", cell).train_step(cell, LOSS, norm=False)
    if mindspore_mode == "graph":
        assert step(*BATCH).updated
    else:
        with pytest.raises(TypeError, match="takes only sparse gradients"):
            step(*BATCH)


REFUSED = {
    "clip: value(0.5)\n": "`value(0.5)` takes only dense gradients on mindspore",
    "loss_scale: dynamic()\n": "`dynamic(init=65536, growth=2, backoff=0.5, every=2000)` takes only dense gradients",
    "loss_scale: fixed(8)\n": "`fixed(8, drop_overflow=true)` takes only dense gradients on mindspore",
    "accumulate: 2\n": "`accumulate` takes only dense gradients on mindspore",
}


@pytest.mark.parametrize("more", REFUSED)
def test_what_a_compiled_step_cannot_do_with_them_is_refused(more: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(TEXT + more), Words())
    (found,) = caught.value.diagnostics
    assert REFUSED[more] in found.message
    assert found.message.endswith(", and `table.weight` has sparse ones")
    assert (found.code, found.line) == ("OP501", 4 if "accumulate" in more else 7)
    assert found.help is not None
    assert found.help.endswith("make the embedding an `nn.Embedding`")
    # PyTorch takes them, and so does a table whose gradients are dense
    optplan.plan(optplan.loads(TEXT + more), WordsInTorch())
    dense = TEXT.replace("sparse_adam", "adam") + more
    cell = Words(sparse=False)
    step = optplan.compile(optplan.loads(dense), cell).train_step(cell, LOSS)
    step(*BATCH)


def test_nor_does_the_call() -> None:
    cell = filled(Words())
    compiled = bound("", cell)
    with pytest.raises(ValueError, match="sparse gradients cannot be gathered over several batches"):
        compiled.train_step(cell, LOSS, accumulate=2)
    with pytest.raises(ValueError, match="sparse gradients cannot be gathered over several batches"):
        compiled.train_step(cell, LOSS, jit=True)(*BATCH, update=False)
