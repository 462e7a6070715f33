"""Under `torch.compile` a step computes the same, and with `tensor_lr` is not compiled anew as the rate moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

import optplan
from tests.devices.cases import difference
from tests.targets.networks import Pictures, document, loss_of, same_weights, seeded, weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, fx

# PyTorch's own, while it traces: about its older compiler, and about the gradients of what it traces
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]

UPDATES = 8
# Compiled, Adam computes as with `capturable`, in another order
ROUNDING = 5e-5
SCHEDULE = {"lr": "cosine(to=0.1x)"}


class Counting:
    """A compiler of graphs that runs them as they are, after autograd has seen them, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0
        self._compile: Callable[..., Any] = torch._dynamo.lookup_backend("aot_eager")  # noqa: SLF001 - public by its documentation only

    def __call__(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Any:
        """The graph, counted."""
        self.graphs += 1
        return self._compile(graph, inputs)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test compiles for itself."""
    torch._dynamo.reset()  # noqa: SLF001 - public by its documentation only
    yield
    torch._dynamo.reset()  # noqa: SLF001 - as above


def pictures() -> Any:
    """A network, the same every time."""
    return seeded(Pictures)


def single(kind: str, **options: bool) -> dict[str, Any]:
    return document({"type": kind, "lr": 1e-2, "torch": options}, schedule=SCHEDULE)


def several(**options: bool) -> dict[str, Any]:
    """AdamW, and SGD for the head."""
    head = {"type": "sgd", "lr": 1e-2, "momentum": 0.9, "torch": options}
    rules = [{"where": "head", "use": "head"}]
    optimizer = {"type": "adamw", "lr": 1e-2, "torch": options}
    return document(optimizer, optimizers={"head": head}, rules=rules, schedule=SCHEDULE)


def graphs_of(config: dict[str, Any], plain: dict[str, Any]) -> list[int]:
    """How many graphs each update compiles; the weights are those of `plain` without compiling."""
    model, other = seeded(Pictures), seeded(Pictures)
    optimizer, scheduler = optplan.compile(config, model, steps=UPDATES)
    theirs = optplan.compile(plain, other, steps=UPDATES)
    counting = Counting()
    step: Any = torch.compile(optimizer.step, backend=counting)
    found = []
    for update in range(UPDATES):
        before = counting.graphs
        loss_of(model, update).backward()  # type: ignore[no-untyped-call]  # torch's own
        step()
        optimizer.zero_grad()
        scheduler.step()
        found.append(counting.graphs - before)
        theirs.step(loss_of(other, update))
    assert difference(weights(model), weights(other)) < ROUNDING
    return found


ONCE = [1] + [0] * (UPDATES - 1)
# The members share their state, which is full at their second update only: one graph for each of the two by then
TWICE = [2, 2] + [0] * (UPDATES - 2)


@pytest.mark.parametrize(
    ("config", "plain", "expected"),
    [
        (single("sgd", tensor_lr=True), single("sgd"), ONCE),
        (single("adamw", tensor_lr=True), single("adamw"), ONCE),
        # Without compiling these two need another device than the CPU
        (single("adamw", tensor_lr=True, capturable=True), single("adamw"), ONCE),
        (single("adamw", tensor_lr=True, capturable=True, foreach=True), single("adamw"), ONCE),
        # Nothing of a fused optimizer is compiled: it is one call of a kernel
        (single("adamw", tensor_lr=True, fused=True), single("adamw"), [0] * UPDATES),
        (several(tensor_lr=True), several(), TWICE),
    ],
    ids=["sgd", "adamw", "capturable", "capturable foreach", "fused", "several"],
)
def test_a_tensor_rate_moves_without_compiling(
    config: dict[str, Any], plain: dict[str, Any], expected: list[int]
) -> None:
    assert graphs_of(config, plain) == expected


@pytest.mark.parametrize("config", [single("sgd"), several()], ids=["sgd", "several"])
def test_a_float_rate_is_compiled_in(config: dict[str, Any]) -> None:
    """SGD has the rate as a factor of its operations, which a graph holds as a constant."""
    assert all(graphs_of(config, config))


def test_adamw_takes_a_float_rate_as_an_input_from_the_second_graph_on() -> None:
    assert graphs_of(single("adamw"), single("adamw")) == [1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("config", [single("adamw"), several()], ids=["single", "several"])
def test_a_compiled_network_trains_by_step(config: dict[str, Any]) -> None:
    """Bound to what `torch.compile` returns; its forward is one graph, and every update the same to the bit."""
    config |= {"clip": "norm(0.5)", "loss_scale": "dynamic(init=256)", "accumulate": 2}
    plain, model = pictures(), pictures()
    counting = Counting()
    network: Any = torch.compile(model, backend=counting)
    plan = optplan.plan(config, plain, steps=UPDATES)
    mine, theirs = plan.bind(network), plan.bind(plain)
    for batch in range(2 * UPDATES):
        inputs, labels = model.batch(batch)
        mine.step(functional.cross_entropy(network(inputs), labels))
        theirs.step(functional.cross_entropy(plain(inputs), labels))
    assert counting.graphs == 1
    assert same_weights(model, plain)


def test_a_whole_update_is_compiled() -> None:
    """Forward, backward, clipping and optimizer in one function: in parts, which are not compiled anew later."""
    config = several(tensor_lr=True) | {"clip": "norm(0.5)"}
    plain, model = pictures(), pictures()
    mine, theirs = optplan.compile(config, model, steps=UPDATES), optplan.compile(config, plain, steps=UPDATES)
    counting = Counting()

    def update(inputs: Tensor, labels: Tensor) -> Any:
        return mine.step(functional.cross_entropy(model(inputs), labels))

    compiled = torch.compile(update, backend=counting)
    graphs = []
    for batch in range(UPDATES):
        assert compiled(*model.batch(batch)).updated
        theirs.step(loss_of(plain, batch))
        graphs.append(counting.graphs)
    assert graphs[2:] == [graphs[1]] * (UPDATES - 2)
    assert difference(weights(model), weights(plain)) < ROUNDING
