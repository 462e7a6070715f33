"""What torch's classes cannot take is refused when the plan is made, by rule, parameter and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import optplan
from optplan import ConfigError
from tests.targets.networks import Matrices, Pictures, Tables, Words, document, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(text: str, model: nn.Module, steps: int | None = None) -> list[tuple[str, str, str]]:
    """Code, message and cited text of each error; every one has its place."""
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text, name="x.optim.yaml"), model, steps=steps)
    lines = text.splitlines()
    found = []
    for fault in caught.value.diagnostics:
        if fault.severity != "error":
            continue
        assert fault.source == "x.optim.yaml"
        assert fault.line == fault.end_line
        found.append((fault.code, fault.message, lines[fault.line - 1][fault.column - 1 : fault.end_column - 1]))
    return found


def one(text: str, model: nn.Module, steps: int | None = None) -> tuple[str, str, str]:
    (found,) = refused("optplan: 1\n" + text, model, steps)
    return found


HIDDEN = """\
optimizer: {type: adamw}
optimizers: {hidden: {type: muon}}
rules:
  - where: %s
    use: hidden
"""


@pytest.mark.parametrize(
    ("where", "name", "shape"),
    [
        ("bias", "stem.bias", "[4]"),
        ("conv and not bias", "stem.weight", "[4, 1, 3, 3]"),
        ("head", "head.bias", "[3]"),
    ],
)
def test_muon_takes_matrices(where: str, name: str, shape: str) -> None:
    message = f"rule `{where}`: `muon` takes only parameters with ndim == 2, and `{name}` has shape {shape}"
    assert one(HIDDEN % where, Pictures()) == ("OP501", message, where)


def test_muon_alone_is_told_of_the_first_parameter_that_is_no_matrix() -> None:
    found = one("optimizer: {type: muon}\n", Pictures())
    message = "`muon` takes only parameters with ndim == 2, and `stem.weight` has shape [4, 1, 3, 3]"
    assert found == ("OP501", message, "muon")


def test_lbfgs_takes_one_group() -> None:
    text = "optimizer: {type: lbfgs}\nrules:\n  - {name: slow, where: head.bias, lr: 0.1x}\n"
    message = "rule `slow`: `lbfgs` takes one group, and the plan has 2 of it: `head.bias` differs"
    assert one(text, Pictures()) == ("OP501", message, "head.bias")


def test_lbfgs_stands_alone() -> None:
    text = "optimizer: {type: adamw}\noptimizers: {exact: {type: lbfgs}}\nrules:\n  - {where: head, use: exact}\n"
    message = "rule `head`: `lbfgs` stands alone: it cannot be used beside `adamw`, which `stem.weight` has"
    assert one(text, Pictures()) == ("OP501", message, "head")
    text = "optimizer: {type: lbfgs}\noptimizers: {rest: {type: adamw}}\nrules:\n  - {where: head, use: rest}\n"
    message = "rule `head`: `lbfgs` stands alone: it cannot be used beside `adamw`, which `head.weight` has"
    assert one(text, Pictures()) == ("OP501", message, "head")


def test_sparse_adam_takes_sparse_gradients() -> None:
    text = "optimizer: {type: adamw}\noptimizers: {table: {type: sparse_adam}}\nrules:\n  - {where: %s, use: table}\n"
    message = "rule `head`: `sparse_adam` takes only sparse gradients, and `head.weight` has dense ones"
    assert one(text % "head", nn.Sequential(*named(head=nn.Linear(2, 2)))) == ("OP501", message, "head")
    message = "rule `embedding`: `sparse_adam` takes only sparse gradients, and `table.weight` has dense ones"
    assert one(text % "embedding", nn.Sequential(*named(table=nn.Embedding(2, 2)))) == ("OP501", message, "embedding")


def named(**children: nn.Module) -> list[Any]:
    """Arguments that give a Sequential named children."""
    from collections import OrderedDict  # noqa: PLC0415 - nowhere else

    return [OrderedDict(children)]


@pytest.mark.parametrize(
    "kind",
    ["adam", "adamw", "adamax", "nadam", "radam", "adadelta", "rmsprop", "rprop", "asgd", "adafactor", "muon"],
)
def test_dense_optimizers_take_no_sparse_gradients(kind: str) -> None:
    found = one(f"optimizer: {{type: {kind}}}\n", Tables())
    assert found == ("OP501", f"`{kind}` takes only dense gradients, and `stem.weight` has sparse ones", kind)


@pytest.mark.parametrize(
    ("kind", "more", "unless"),
    [
        ("sgd", "weight_decay: 0.1", "weight_decay == 0 and fused != true"),
        ("adagrad", "weight_decay: 0.1", "weight_decay == 0 and fused != true"),
        ("adagrad", "torch: {fused: true}", "weight_decay == 0 and fused != true"),
    ],
)
def test_some_take_sparse_gradients_on_a_condition(kind: str, more: str, unless: str) -> None:
    found = one(f"optimizer: {{type: {kind}, {more}}}\n", Tables())
    message = f"`{kind}` takes only dense gradients unless {unless}, and `stem.weight` has sparse ones"
    assert found == ("OP501", message, kind)
    optplan.plan(document({"type": kind}), Tables())


def test_tied_to_a_dense_use_an_embedding_has_dense_gradients() -> None:
    """Where both kinds of gradient come together, torch adds them up to a dense one."""
    model = seeded(Words)
    table = nn.Linear(6, 20, bias=False)
    table.weight = model.get_parameter("table.weight")
    model.out = table
    text = "optimizer: {type: sparse_adam}\nrules:\n  - {where: not tied, freeze: true}\n"
    message = "`sparse_adam` takes only sparse gradients, and `table.weight` has dense ones"
    assert one(text, model) == ("OP501", message, "sparse_adam")
    compiled = optplan.compile(document({"type": "adamw"}), model)
    words, _ = model.batch(0)  # type: ignore[operator]  # a method
    rows = model.norm(model.table(words).mean(1))  # type: ignore[operator]  # modules
    model.out(rows).sum().backward()
    assert not model.get_parameter("table.weight").grad.is_sparse  # type: ignore[union-attr]  # it has one
    compiled.optimizer.step()


OPTIONS = "optimizer: {type: %s, torch: {%s}}\n"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("adamw", "fused: true, foreach: true", "`fused` and `foreach` exclude each other"),
        ("sgd", "fused: true, differentiable: true", "`fused` and `differentiable` exclude each other"),
        ("nadam", "foreach: true, differentiable: true", "`foreach` and `differentiable` exclude each other"),
        ("adam", "tensor_lr: true, foreach: true", "`tensor_lr` with `foreach` needs `capturable: true`"),
    ],
)
def test_options_that_exclude_each_other(kind: str, options: str, message: str) -> None:
    code, said, cited = one(OPTIONS % (kind, options), Pictures())
    assert (code, cited) == ("OP504", kind)
    assert said == f"{message}, for `stem.weight`"
    optplan.plan(document({"type": kind, "torch": {"foreach": True}}), Pictures())


def test_options_that_exclude_each_other_through_a_rule_are_the_rules_fault() -> None:
    text = "optimizer: {type: adamw}\nrules:\n  - {where: head, torch: {fused: true}}\n  - {where: bias, lr: 0.1x}\n"
    text += "torch: {foreach: true}\n"
    found = refused("optplan: 1\n" + text, Pictures())
    message = "rule `head`: `fused` and `foreach` exclude each other, for `{}`"
    assert found == [("OP504", message.format(name), "head") for name in ("head.weight", "head.bias")]


def test_a_setting_that_is_one_for_all_groups() -> None:
    text = "optimizer: {type: adagrad}\nrules:\n  - {where: stem, initial_accumulator_value: 0.5}\n"
    message = (
        "rule `stem`: `initial_accumulator_value` of `adagrad` is one for all groups, and `stem.weight` has another"
    )
    assert one(text, Pictures()) == ("OP501", message, "stem")


RISE = """\
optimizer: {type: rmsprop, momentum: %s}
rules:
  - name: rise
    where: head
    schedule: {momentum: %s}
"""


@pytest.mark.parametrize(
    ("momentum", "policy", "fine"),
    [
        ("0", '"linear(10, from=0, to=0.9)"', False),
        ("0.9", '"warmup(5)"', False),
        ("0.9", '"warmup(5, from=0.1x)"', True),
        ("0", '"linear(10, from=0.5, to=0)"', True),
        ("0.9", '"hold(at=0x)"', True),
    ],
)
def test_momentum_that_rises_from_nothing(momentum: str, policy: str, *, fine: bool) -> None:
    """RMSprop makes its momentum's buffer at the first update, and only if there is any momentum then."""
    model = seeded(Pictures)
    text = RISE % (momentum, policy)
    if fine:
        compiled = optplan.loads("optplan: 1\n" + text)
        train(model, optplan.compile(compiled, model, steps=20), range(12))
        return
    message = "rule `rise`: `momentum` of `rmsprop` rises from 0 for `head.weight`"
    assert one(text, model, steps=20) == ("OP501", message, "head")


def test_torch_fails_where_momentum_rises_from_nothing() -> None:
    """Why it is refused."""
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimizer = torch.optim.RMSprop([parameter], momentum=0.0)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    with pytest.raises(KeyError, match="momentum_buffer"):
        optimizer.step()


def test_what_is_thawed_can_have_gradients() -> None:
    model = seeded(Matrices)
    model.register_parameter("table", nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False))
    text = "optimizer: {type: adamw}\nrules:\n  - {name: thaw, where: table, freeze: false}\n"
    assert one(text, model) == ("OP501", "rule `thaw`: `table` cannot be trained: it is of type int8", "table")


@pytest.mark.parametrize(
    ("optimizer", "rule", "message", "cited"),
    [
        ("adamw", "lr: -1", "`lr` must be a number of at least 0", "-1"),
        ("adamw", "lr: base - 1", "`lr` must be at least 0", "base - 1"),
        ("adamw", "weight_decay: -0.1", "`weight_decay` must be a number of at least 0", "-0.1"),
        ("adamw", "betas: [1.0, 0.9]", "item 0 of `betas` must be a number of at least 0 and below 1", "1.0"),
        ("adamw", '"betas[1]": "base + 1"', "`betas[1]` must be below 1", "base + 1"),
        ("sgd", "nesterov: true", "`nesterov` needs `momentum` above 0", "nesterov"),
        ("sgd", "{nesterov: true, momentum: 0.9, dampening: 0.1}", "`nesterov` needs `dampening` to be 0", "nesterov"),
        ("rprop", "etas: [1.5, 1.2]", "item 0 of `etas` must be a number above 0 and below 1", "1.5"),
        ("adafactor", "d: 0.5", "`d` must be a number of at least 1", "0.5"),
        ("muon", "ns_steps: 200", "`ns_steps` must be", "200"),
    ],
)
def test_values_that_torch_would_take_in_silence_in_a_group(
    optimizer: str, rule: str, message: str, cited: str
) -> None:
    settings = rule.strip("{}")
    text = f"optimizer: {{type: {optimizer}}}\nrules:\n  - {{where: head, {settings}}}\n"
    found = refused("optplan: 1\n" + text, Matrices())
    assert len(found) == 1
    code, said, place = found[0]
    assert code in {"OP104", "OP305"}
    assert message in said
    assert place == cited


def test_torch_takes_them_in_silence() -> None:
    """Why they are checked."""
    groups: list[dict[str, Any]] = [
        {"params": [nn.Parameter(torch.ones(2))], "lr": -1.0},
        {"params": [nn.Parameter(torch.ones(2))], "betas": (1.0, 0.9)},
    ]
    torch.optim.AdamW(groups, lr=1e-3)


def test_every_refusal_of_a_file_comes_in_one_run() -> None:
    text = """\
optplan: 1
optimizer: {type: adamw}
optimizers:
  hidden: {type: muon}
  table: {type: sparse_adam}
rules:
  - {where: bias, use: hidden}
  - {where: norm and not bias, use: table}
  - {where: head.weight, torch: {fused: true, foreach: true}}
"""
    found = [(code, cited) for code, _, cited in refused(text, Pictures())]
    assert found == [("OP501", "bias"), ("OP501", "norm and not bias"), ("OP504", "head.weight")]


def test_a_refusal_as_it_is_printed() -> None:
    text = "optplan: 1\n" + HIDDEN % "conv"
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text, name="x.optim.yaml"), Pictures())
    assert (
        str(caught.value)
        == """\
error[OP501]: rule `conv`: `muon` takes only parameters with ndim == 2, and `stem.weight` has shape [4, 1, 3, 3]
  --> x.optim.yaml:5:12
  |
5 |   - where: conv
  |            ^^^^
  = help: add `and ndim == 2` to the rule's filter; 2 of 2 parameters, 100% of the elements, go by other rules then"""
    )


BUILD: dict[str, Callable[[], nn.Module]] = {"pictures": Pictures, "matrices": Matrices}


@pytest.mark.parametrize("build", BUILD.values(), ids=list(BUILD))
def test_the_same_refusal_comes_without_the_modules_where_shapes_suffice(build: Callable[[], nn.Module]) -> None:
    """A view of names and shapes alone knows nothing of sparse gradients, and refuses nothing for them."""
    from optplan.resolve.network import from_names  # noqa: PLC0415 - nowhere else

    model = build()
    view = from_names([(name, tuple(p.shape), "float32") for name, p in model.named_parameters()], target="torch")
    optplan.plan(document({"type": "sparse_adam"}), view)
    if build is Matrices:
        optplan.plan(document({"type": "muon"}), view)
    else:
        with pytest.raises(ConfigError, match=r"`stem\.weight` has shape"):
            optplan.plan(document({"type": "muon"}), view)
