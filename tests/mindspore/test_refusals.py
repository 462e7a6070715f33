"""What a user gets wrong with MindSpore, or cannot have there: each with its code, its words and its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from mindspore import nn

import optplan
from optplan import ConfigError
from tests.mindspore.networks import Pictures, Words, ones

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]


class Told(NamedTuple):
    """What is said of a fault: `at` is the text that it points at, empty where it stands in no file."""

    code: str
    message: str
    at: str
    help: str | None


def told(make: Callable[[], object], text: str = "") -> list[Told]:
    """The errors that `make` ends with; `text` is the file that they point into."""
    with pytest.raises(ConfigError) as caught:
        make()
    lines = text.splitlines()
    found = []
    for each in caught.value.diagnostics:
        assert each.severity == "error"
        assert each.line == each.end_line
        at = lines[each.line - 1][each.column - 1 : each.end_column - 1] if each.line else ""
        found.append(Told(each.code, each.message, at, each.help))
    return found


def planned(text: str, network: Any) -> optplan.Plan:
    return optplan.plan(optplan.loads(text, name="x.optim.yaml"), network)


def rows() -> nn.Cell:
    """Two layers in a row."""
    return nn.SequentialCell(nn.Dense(4, 3), nn.Dense(3, 2))


def rows_in_torch() -> torch.nn.Module:
    """The same."""
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))


def tables(*, sparse: bool) -> nn.Cell:
    """A table of which only the rows that were looked up have gradients, if it is `sparse`, and a matrix."""
    place = "CPU" if sparse else "DEVICE"
    return nn.SequentialCell(nn.EmbeddingLookup(5, 4, target=place, sparse=sparse), nn.Dense(4, 2))


# Refused when the plan is made, and when a plan made for the other framework is bound

ALONE = (
    "mindspore's optimizers are called with gradients, and this one must evaluate the loss again several times within "
    "an update"
)
ENDLESS = Told(
    "OP407",
    "the policy of `lr` for `0.weight` never ends, and mindspore needs its end",
    "lr",
    "give a `horizon`, such as `horizon: {steps: 100k}`",
)

BY_BOTH = {
    "lbfgs": (
        "optplan: 1\noptimizer: {type: lbfgs}\n",
        Told("OP501", f"`lbfgs` cannot be carried out on mindspore, and `0.weight` has it: {ALONE}", "lbfgs", None),
    ),
    "PyTorch's own": (
        "optplan: 1\noptimizer: {type: torch.LBFGS}\n",
        Told(
            "OP501",
            "`torch.LBFGS` cannot be carried out on mindspore, and `0.weight` has it: it is torch's own",
            "torch.LBFGS",
            None,
        ),
    ),
    "a policy without end": (
        "optplan: 1\noptimizer: {type: sgd, lr: 0.1}\nschedule: {lr: 'step(every=30, gamma=0.1)'}\n",
        ENDLESS,
    ),
    "a rule's policy without end": (
        """\
optplan: 1
optimizer: {type: sgd, lr: 0.1}
rules:
  - {name: falling, where: 1.bias, schedule: {lr: "step(every=30, gamma=0.1)"}}
""",
        Told(
            "OP407",
            "rule `falling`: the policy of `lr` for `1.bias` never ends, and mindspore needs its end",
            "lr",
            ENDLESS.help,
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), BY_BOTH.values(), ids=list(BY_BOTH))
def test_what_mindspore_cannot_carry_out(text: str, expected: Told) -> None:
    assert told(lambda: planned(text, rows()), text) == [expected]
    plan = planned(text, rows_in_torch())
    assert told(lambda: plan.bind(rows()), text) == [expected]
    # Nothing is wrong with the file, or with the plan
    assert plan.bind(rows_in_torch()).optimizer is not None


def test_a_horizon_is_all_that_a_policy_without_end_lacks() -> None:
    text, _ = BY_BOTH["a policy without end"]
    plan = optplan.plan(optplan.loads(text), rows(), steps=90)
    assert plan.bind(rows()).lr() == {"default": 0.1}
    assert [plan.value("0.bias", "lr", t) for t in (29, 30, 89)] == pytest.approx([0.1, 0.01, 0.001])


def test_mindspores_own_is_refused_by_pytorch() -> None:
    text = "optplan: 1\noptimizer: {type: adamw}\noptimizers: {own: {type: mindspore.Adagrad}}\n"
    text += "rules:\n  - {where: bias, use: own}\n"
    plan = planned(text, rows())
    for make in (lambda: planned(text, rows_in_torch()), lambda: plan.bind(rows_in_torch())):
        (found,) = told(make, text)
        what = "rule `bias`: `mindspore.Adagrad` cannot be carried out on torch, and `0.bias` has it"
        assert found[:3] == ("OP501", f"{what}: it is mindspore's own", "bias")
        assert (found.help or "").startswith("`adagrad` is the nearest that every framework has")


def test_sparse_gradients() -> None:
    text = "optplan: 1\noptimizer: {type: adam}\n"
    message = "`adam` takes only dense gradients, and `0.weight` has sparse ones"
    cure = "use `sparse_adam` for it, or make the embedding an `nn.Embedding`"
    expected = [Told("OP501", message, "adam", cure)]
    assert told(lambda: planned(text, tables(sparse=True)), text) == expected
    # The same names and shapes, and yet another network
    plan = planned(text, tables(sparse=False))
    plan.bind(tables(sparse=False))
    dense = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.Linear(4, 2))
    assert told(lambda: planned(text, dense).bind(tables(sparse=True)), text) == expected


def test_sparse_adam_takes_sparse_gradients_only() -> None:
    text = "optplan: 1\noptimizer: {type: sparse_adam}\nrules:\n  - {where: linear, freeze: true}\n"
    planned(text, tables(sparse=True))
    message = "`sparse_adam` takes only sparse gradients, and `0.weight` has dense ones"
    cure = "use `adam`, or make the embedding an `nn.EmbeddingLookup` with `sparse=True`"
    assert told(lambda: planned(text, tables(sparse=False)), text) == [Told("OP501", message, "sparse_adam", cure)]


# Refused when the plan is bound: what only the device, or the Cell at hand, tells


def test_what_does_not_run_on_the_device() -> None:
    text = "optplan: 1\noptimizer: {type: adamw}\nrules:\n"
    text += "  - {where: linear and not bias, mindspore: {grad_centralization: true}}\n"
    plan = planned(text, rows())
    label = "linear and not bias"
    message = f"rule `{label}`: `grad_centralization` does not run on CPU, and `0.weight` has it"
    cure = "leave it out, or set another `device_target`"
    assert told(lambda: plan.bind(rows()), text) == [Told("OP501", message, label, cure)]
    text = "optplan: 1\noptimizer: {type: mindspore.Lamb, lr: 0.1}\nmindspore: {grad_centralization: true}\n"
    plan = planned(text, rows())
    assert told(lambda: plan.bind(rows()), text) == [
        Told("OP501", "`mindspore.nn.Lamb` does not run on CPU", "mindspore.Lamb", "it runs on Ascend and GPU"),
        Told("OP501", "`grad_centralization` does not run on CPU, and `0.weight` has it", "mindspore.Lamb", cure),
    ]


def test_a_refused_plan_switches_no_gradient() -> None:
    text = "optplan: 1\noptimizer: {type: mindspore.Lamb, lr: 0.1}\nrules:\n  - {where: bias, freeze: true}\n"
    cell = rows()
    told(lambda: planned(text, cell).bind(cell), text)
    assert all(each.requires_grad for each in cell.get_parameters())


def test_two_parameters_that_call_themselves_the_same() -> None:
    """MindSpore's optimizers name their states by the parameters' own names."""
    cell = nn.CellList([nn.Dense(2, 2), nn.Dense(2, 2)], auto_prefix=False)
    plan = planned("optplan: 1\noptimizer: {type: adamw}\n", cell)
    assert plan.names == ("0.weight", "0.bias", "1.weight", "1.bias")
    message = "two parameters of the network have the name `weight` in MindSpore"
    cure = "let the cell that has them be an attribute of the network: attaching it completes their names"
    assert told(lambda: plan.bind(cell)) == [Told("OP211", message, "", cure)]
    # Of those that are not trained no optimizer keeps a state
    document = {"optplan": 1, "optimizer": {"type": "adamw"}, "rules": [{"where": "path(1)", "freeze": True}]}
    assert len(optplan.compile(document, cell).optimizer.parameters) == 2
    # The cure
    network = nn.Cell()
    network.layers = nn.CellList([nn.Dense(2, 2), nn.Dense(2, 2)])
    assert len(optplan.compile({**document, "rules": []}, network).optimizer.parameters) == 4


# What a plan is bound to

CURE = "make the plan from this model: `optplan.plan(config, model)`"
LACKS = "the model is not the one planned for: it lacks"
OTHER = "the model is not the one planned for: it has 2 parameters of another shape:"
ROWS = ("0.weight", "0.bias", "1.weight", "1.bias")
BESIDE = "the model is not the one planned for: it has beside those of the plan"


class Gamma(nn.Cell):
    """Not a norm: `gamma` is the parameter's only name."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = ones(3)


OTHERS: dict[str, tuple[Callable[[], Any], Callable[[], Any], list[tuple[str, str]]]] = {
    "one layer less": (
        rows,
        lambda: nn.SequentialCell(nn.Dense(4, 3)),
        [(f"{LACKS} 2 parameters: `1.weight`, `1.bias`", CURE)],
    ),
    "one layer more": (
        rows,
        lambda: nn.SequentialCell(nn.Dense(4, 3), nn.Dense(3, 2), nn.PReLU()),
        [(f"{BESIDE} 1 parameter: `2.weight`", CURE)],
    ),
    "another width": (
        rows,
        lambda: nn.SequentialCell(nn.Dense(4, 3), nn.Dense(3, 5)),
        [(f"{OTHER} `1.weight` [5, 3], planned with [2, 3], `1.bias` [5], planned with [2]", CURE)],
    ),
    "a part of it": (
        rows,
        lambda: rows()[1],
        [
            (
                f"{LACKS} 4 parameters: `0.weight`, `0.bias`, `1.weight`, `1.bias`",
                f"did you mean {', '.join(f'`{name[2:]}` for `{name}`' for name in ROWS)}?",
            ),
            (f"{BESIDE} 2 parameters: `weight`, `bias`", CURE),
        ],
    ),
    "a norm that is none": (
        lambda: nn.SequentialCell(nn.LayerNorm((3,))),
        lambda: nn.SequentialCell(Gamma()),
        [
            (f"{LACKS} 2 parameters: `0.weight`, `0.bias`", CURE),
            (f"{BESIDE} 1 parameter: `0.gamma`", CURE),
        ],
    ),
    "one of PyTorch without the names": (
        lambda: Pictures().head,
        lambda: torch.nn.Sequential(torch.nn.Linear(12, 3)),
        [
            (f"{LACKS} 2 parameters: `weight`, `bias`", "all names begin with `0.` here: bind to `model.0`"),
            (f"{BESIDE} 2 parameters: `0.weight`, `0.bias`", CURE),
        ],
    ),
    "one of PyTorch that is not tied": (
        Words,
        lambda: torch.nn.ModuleDict(
            {
                "embed": torch.nn.Embedding(7, 4),
                "norm": torch.nn.LayerNorm(4),
                "head": torch.nn.Linear(4, 7, bias=False),
            }
        ),
        [
            (
                f"{BESIDE} 1 parameter: `head.weight`",
                "`head.weight` is another name of `embed.weight` in the plan: tie the two in both, or in neither",
            )
        ],
    ),
}


@pytest.mark.parametrize(("build", "other", "expected"), OTHERS.values(), ids=list(OTHERS))
def test_another_network(build: Callable[[], Any], other: Callable[[], Any], expected: list[tuple[str, str]]) -> None:
    plan = planned("optplan: 1\noptimizer: {type: adamw}\n", build())
    assert told(lambda: plan.bind(other())) == [Told("OP502", message, "", cure) for message, cure in expected]


@pytest.mark.parametrize(
    ("build", "kind", "cure"),
    [
        (lambda: nn.Adam(rows().trainable_params()), "Adam", "pass a `mindspore.nn.Cell`"),
        (lambda: rows().trainable_params(), "list", "pass a `torch.nn.Module` or a `mindspore.nn.Cell`"),
        (lambda: rows()[0].weight, "Parameter", "pass a `mindspore.nn.Cell`"),
        (lambda: torch.optim.SGD(rows_in_torch().parameters()), "SGD", "pass a `torch.nn.Module`"),
    ],
)
def test_what_is_no_network(build: Callable[[], Any], kind: str, cure: str) -> None:
    expected = [Told("OP503", f"a `{kind}` is no network", "", cure)]
    text = "optplan: 1\noptimizer: {type: adamw}\n"
    plan = planned(text, rows())
    assert told(lambda: planned(text, build())) == expected
    assert told(lambda: plan.bind(build())) == expected
    assert told(lambda: optplan.compile(optplan.loads(text), build())) == expected


def test_nothing_is_trained() -> None:
    text = "optplan: 1\noptimizer: {type: adamw}\nrules:\n  - {where: all, freeze: true}\n"
    plan = planned(text, rows())
    found = [Told("OP502", "the plan trains no parameter", "", "every parameter is frozen")]
    assert told(lambda: plan.bind(rows())) == found


def test_gradients_that_were_switched_since() -> None:
    """MindSpore's optimizers would decay, and in graph mode train, what has none."""
    cell = rows()
    plan = planned("optplan: 1\noptimizer: {type: adamw}\n", cell)
    cell[0].weight.requires_grad = False
    message = "the model is not the one planned for: it has gradients switched off for 1 parameter that the plan trains"
    cure = f"switch them back, {CURE}, or let a rule say `freeze: false`"
    assert told(lambda: plan.bind(cell)) == [Told("OP502", f"{message}: `0.weight`", "", cure)]
    ruled = planned("optplan: 1\noptimizer: {type: adamw}\nrules:\n  - {where: all, freeze: false}\n", rows())
    ruled.bind(cell)
    assert cell[0].weight.requires_grad


def test_what_is_bound_wrapped_is_the_network_in_it() -> None:
    cell = rows()
    plan = planned("optplan: 1\noptimizer: {type: adamw}\n", cell)
    compiled = plan.bind(nn.WithLossCell(cell, nn.MSELoss()))
    assert [id(each) for each in compiled.parameters] == [id(each) for each in cell.trainable_params()]
