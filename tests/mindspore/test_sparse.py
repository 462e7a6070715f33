"""Embeddings whose gradients are sparse, beside layers whose gradients are dense.

A sparse gradient lives within one compiled step, and while MindSpore compiles that step, much of what is usual in it
does not hold: each optimizer is tried there, beside `sparse_adam`, against PyTorch with the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

import optplan
from optplan import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

pytestmark = pytest.mark.mindspore

WORDS, WIDTH, INNER, CLASSES, UPDATES = 10, 4, 6, 3, 5
INPUTS = np.array([[1, 2, 2], [5, 1, 7]])
LABELS = np.array([0, 2])

# Some gradients are so small that the frameworks' rounding shows in their direction: RMSprop has an eps to drown these
SETTINGS = {
    "adam": "{type: adam, weight_decay: 0.1}",
    "adam, amsgrad": "{type: adam, amsgrad: true, maximize: true}",
    "adam, step by step": "{type: adam, betas: [0, 0.9]}",
    "adamw": "{type: adamw, weight_decay: 0.1}",
    "adamw, amsgrad": "{type: adamw, weight_decay: 0.1, amsgrad: true}",
    "adamax": "{type: adamax, weight_decay: 0.1}",
    "nadam": "{type: nadam, weight_decay: 0.1, decoupled_weight_decay: true}",
    "radam": "{type: radam, weight_decay: 0.1}",
    "adagrad": "{type: adagrad, lr_decay: 0.1, weight_decay: 0.1}",
    "adadelta": "{type: adadelta, lr: 1, weight_decay: 0.1}",
    "adadelta, maximize": "{type: adadelta, lr: 1, maximize: true}",
    "rmsprop": "{type: rmsprop, lr: 0.001, eps: 0.001}",
    "rmsprop, all of it": "{type: rmsprop, lr: 0.001, momentum: 0.9, centered: true, weight_decay: 0.1}",
    "rprop": "{type: rprop}",
    "sgd": "{type: sgd, momentum: 0.9, weight_decay: 0.1}",
    "sgd, dampening": "{type: sgd, momentum: 0.9, dampening: 0.5, maximize: true}",
    "asgd": "{type: asgd, t0: 2, weight_decay: 0.1}",
    "adafactor": "{type: adafactor, weight_decay: 0.1}",
    "muon": "{type: muon}",
    "muon without nesterov": "{type: muon, nesterov: false}",
}
# Two groups of matrices, so that one member decays and one does not, and biases by a third optimizer
TEXT = """\
optplan: 1
optimizer: {type: adamw, lr: 0.01, weight_decay: 0.01}
optimizers:
  rows: {type: sparse_adam, lr: 0.01}
  own: %s
schedule: {lr: "warmup(3, from=0.1) -> cosine()"}
horizon: {steps: 10}
rules:
  - {where: embedding, use: rows}
  - {where: linear and not bias, use: own}
  - {where: head and not bias, lr: 0.5x}
"""


class Words(nn.Cell):
    """The mean of some rows of a table, and layers over it, of which two have one shape but for a turn."""

    def __init__(self, *, sparse: bool = True) -> None:
        super().__init__()
        self.table = nn.EmbeddingLookup(WORDS, WIDTH) if sparse else nn.Embedding(WORDS, WIDTH)
        self.up = nn.Dense(WIDTH, INNER)
        self.down = nn.Dense(INNER, WIDTH, has_bias=False)
        self.head = nn.Dense(WIDTH, CLASSES)

    def construct(self, words: Tensor) -> Tensor:
        """Logits (n, CLASSES) for words (n, any)."""
        return self.head(ops.relu(self.down(ops.relu(self.up(self.table(words).mean(1))))))


class WordsInTorch(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(WORDS, WIDTH, sparse=True)
        self.up = torch.nn.Linear(WIDTH, INNER)
        self.down = torch.nn.Linear(INNER, WIDTH, bias=False)
        self.head = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """As there."""
        found: torch.Tensor = self.head(torch.relu(self.down(torch.relu(self.up(self.table(words).mean(1))))))
        return found


def named(cell: Words) -> dict[str, Any]:
    return {each.name.replace("embedding_table", "weight"): each for each in cell.get_parameters()}


def beginning() -> dict[str, NDArray[np.float32]]:
    """The weights that training starts from."""
    generator = np.random.default_rng(3)
    shapes = {name: parameter.shape for name, parameter in WordsInTorch().named_parameters()}
    return {name: generator.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def filled(cell: Words) -> Words:
    parameters = named(cell)
    for name, values in beginning().items():
        parameters[name].set_data(Tensor(values))
    return cell


def by_torch(config: Any) -> Mapping[str, NDArray[np.float32]]:
    """The weights after `UPDATES` in PyTorch."""
    model = WordsInTorch()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(beginning()[name]))
    compiled = optplan.compile(config, model)
    for _ in range(UPDATES):
        compiled.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(INPUTS)), torch.from_numpy(LABELS)).backward()  # type: ignore[no-untyped-call]  # torch's own
        compiled.optimizer.step()
        assert compiled.scheduler is not None
        compiled.scheduler.step()
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


class Loss(nn.Cell):
    """The network with its loss."""

    def __init__(self, network: Words) -> None:
        super().__init__()
        self.network = network

    def construct(self, words: Tensor, labels: Tensor) -> Tensor:
        """The loss."""
        return ops.cross_entropy(self.network(words), labels)


def one_step(cell: Words, optimizer: nn.Optimizer) -> Callable[[Tensor, Tensor], Any]:
    """A step as most write it: compiled in Graph mode only."""
    step: Callable[[Tensor, Tensor], Any] = nn.TrainOneStepCell(Loss(cell), optimizer).set_train()
    return step


def jit_step(cell: Words, optimizer: nn.Optimizer) -> Callable[[Tensor, Tensor], Any]:
    """Gradients and update in one compiled function."""
    gradients = ms.value_and_grad(Loss(cell), None, optimizer.parameters)

    def step(words: Tensor, labels: Tensor) -> Tensor:
        value, grads = gradients(words, labels)
        optimizer(grads)
        return value

    compiled: Callable[[Tensor, Tensor], Any] = ms.jit(step)
    return compiled


def by_mindspore(config: Any, make: Callable[..., Any] = jit_step) -> tuple[Mapping[str, NDArray[np.float32]], Any]:
    """The weights after `UPDATES` in MindSpore, and the optimizer."""
    cell = filled(Words())
    compiled = optplan.compile(config, cell)
    parameters = named(cell)
    step = make(cell, compiled.optimizer)
    for _ in range(UPDATES):
        step(Tensor(INPUTS, ms.int32), Tensor(LABELS, ms.int32))
    return {name: parameter.asnumpy() for name, parameter in parameters.items()}, compiled.optimizer


@pytest.mark.long_in_graph
@pytest.mark.parametrize("own", SETTINGS.values(), ids=list(SETTINGS))
def test_beside_sparse_adam_every_optimizer_computes_what_it_does_in_pytorch(own: str, mindspore_mode: str) -> None:
    config = optplan.loads(TEXT % own)
    expected = by_torch(config)
    found, optimizer = by_mindspore(config, one_step if mindspore_mode == "graph" else jit_step)
    assert len(optimizer.members) == 4
    before = beginning()
    for name, values in expected.items():
        assert np.abs(values - before[name]).max() > 1e-4
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_rows_that_were_not_looked_up_stay() -> None:
    found, _ = by_mindspore(optplan.loads(TEXT % SETTINGS["adamw"]))
    moved = (found["table.weight"] != beginning()["table.weight"]).any(1)
    assert np.flatnonzero(moved).tolist() == np.unique(INPUTS).tolist()


# What a compiled step alone can tell


def outside(cell: Words, optimizer: nn.Optimizer) -> Callable[[Tensor, Tensor], Any]:
    """An optimizer that is called with gradients which left the compiled step."""
    gradients = ms.value_and_grad(Loss(cell), None, optimizer.parameters)

    def step(words: Tensor, labels: Tensor) -> None:
        _, grads = gradients(words, labels)
        optimizer(grads)

    return step


NOT_SPARSE = r"`sparse_adam` takes only sparse gradients, as `nn\.EmbeddingLookup` gives within a compiled step"


def test_gradients_that_left_the_compiled_step_are_refused() -> None:
    with pytest.raises(TypeError, match=NOT_SPARSE):
        by_mindspore(optplan.loads(TEXT % SETTINGS["adamw"]), outside)


def test_a_step_that_is_not_compiled_is_refused(mindspore_mode: str) -> None:
    config = optplan.loads(TEXT % SETTINGS["adamw"])
    if mindspore_mode == "pynative":
        with pytest.raises(TypeError, match=NOT_SPARSE):
            by_mindspore(config, one_step)
    else:
        by_mindspore(config, one_step)


# What the plan can tell

ALONE = "optplan: 1\noptimizer: {type: %s}\n"


def refused(text: str, network: Any) -> list[tuple[str, str, str | None]]:
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text), network)
    return [(each.code, each.message, each.help) for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("kind", "where"),
    [("adam", ""), ("sgd", " on mindspore"), ("adagrad", " on mindspore"), ("sgd, maximize: true", " on mindspore")],
)
def test_a_plan_whose_optimizer_takes_dense_gradients_only_is_refused(kind: str, where: str) -> None:
    name = kind.partition(",")[0]
    message = f"`{name}` takes only dense gradients{where}, and `table.weight` has sparse ones"
    cure = "use `sparse_adam` for it, or make the embedding an `nn.Embedding`"
    assert refused(ALONE % kind, Words()) == [("OP501", message, cure)]
    # The cures
    assert optplan.plan(optplan.loads(ALONE % kind), Words(sparse=False)).groups
    rows = "rules:\n  - {where: table.weight, use: rows}\noptimizers: {rows: {type: sparse_adam}}\n"
    assert optplan.plan(optplan.loads(ALONE % kind + rows), Words()).groups


@pytest.mark.parametrize("kind", ["sgd", "adagrad"])
def test_in_pytorch_it_is_not(kind: str) -> None:
    plan = optplan.plan(optplan.loads(ALONE % kind), WordsInTorch())
    assert plan.bind(WordsInTorch()).optimizer is not None
    # For another framework, it is held against that one's classes
    with pytest.raises(ConfigError, match=f"`{kind}` takes only dense gradients on mindspore"):
        plan.bind(Words())


def test_a_dense_embedding_is_none_for_sparse_adam() -> None:
    message = "rule `embedding`: `sparse_adam` takes only sparse gradients, and `table.weight` has dense ones"
    cure = "use `adam`, or make the embedding an `nn.EmbeddingLookup` with `sparse=True`"
    rules = "rules:\n  - {where: embedding, use: rows}\noptimizers: {rows: {type: sparse_adam}}\n"
    assert refused(ALONE % "adam" + rules, Words(sparse=False)) == [("OP501", message, cure)]
