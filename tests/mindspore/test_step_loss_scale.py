"""A fixed loss scale that the optimizer takes out: with it every optimizer does what it does without one.

And where no class takes it out, a file that asks for it is refused, whatever the optimizer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, amp, nn

import optplan
from optplan import ConfigError
from optplan.catalog import catalog
from tests.mindspore.test_sparse import INPUTS, LABELS, Words, filled, named
from tests.schema.test_mindspore_agreement import arguments_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.mindspore

S = 1024.0
UPDATES = 5
SHAPES = {"weight": (4, 3), "bias": (3,)}

# By the classes of ours and of MindSpore that carry canonical optimizers out, with every kind of decay
SETTINGS = {
    "sgd": "type: sgd, momentum: 0.9, weight_decay: 0.1",
    "sgd, nesterov": "type: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.1",
    "sgd, maximize": "type: sgd, momentum: 0.9, dampening: 0.5, weight_decay: 0.1, maximize: true",
    "adam": "type: adam, weight_decay: 0.1",
    "adam, amsgrad": "type: adam, weight_decay: 0.1, amsgrad: true, maximize: true",
    "adam, decoupled": "type: adam, weight_decay: 0.1, decoupled_weight_decay: true",
    "adamw": "type: adamw, weight_decay: 0.1",
    "adamw, amsgrad": "type: adamw, weight_decay: 0.1, amsgrad: true",
    "adamw, step by step": "type: adamw, weight_decay: 0.1, betas: [0, 0.9]",
    "adamax": "type: adamax, weight_decay: 0.1",
    "nadam": "type: nadam, weight_decay: 0.1",
    "nadam, decoupled": "type: nadam, weight_decay: 0.1, decoupled_weight_decay: true",
    "radam": "type: radam, weight_decay: 0.1",
    "radam, decoupled": "type: radam, weight_decay: 0.1, decoupled_weight_decay: true",
    "adagrad": "type: adagrad, weight_decay: 0.1, lr_decay: 0.1",
    "adadelta": "type: adadelta, lr: 1, weight_decay: 0.1",
    "adadelta, maximize": "type: adadelta, lr: 1, weight_decay: 0.1, maximize: true",
    "rmsprop": "type: rmsprop, weight_decay: 0.1, momentum: 0.9, centered: true",
    "rprop": "type: rprop",
    "asgd": "type: asgd, weight_decay: 0.1",
    "adafactor": "type: adafactor, weight_decay: 0.1",
    "muon": "type: muon, weight_decay: 0.1",
}

# What the classes of MindSpore do not have by themselves
NEEDS = {
    "mindspore.Momentum": "lr: 0.1, momentum: 0.9",
    "mindspore.LARS": "lr: 0.1, momentum: 0.9",
    "mindspore.Lamb": "lr: 0.1",
    "mindspore.AdaFactor": "lr: 0.1, relative_step: false",
}


class Loose(nn.Cell):
    """Parameters alone."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        generator = np.random.default_rng(5)
        for name in names:
            value = generator.standard_normal(SHAPES[name])
            setattr(self, name, Parameter(Tensor(value, ms.float32), name=name))


def gradients(update: int, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(100 + update)
    return [generator.standard_normal(SHAPES[name]).astype(np.float32) for name in names]


def trained(settings: str, scale: float, *, decays: bool) -> dict[str, NDArray[np.float32]]:
    """The weights after `UPDATES` with gradients times `scale`."""
    names = ("weight",) if "muon" in settings else ("weight", "bias")
    cell = Loose(names)
    schedule = "lr: linear(to=0.1x)" + (", weight_decay: linear(to=0.1x)" if decays else "")
    text = f"optplan: 1\noptimizer: {{{settings}}}\nhorizon: {{steps: 8}}\n"
    if "FTRL" not in settings:
        text += f"schedule: {{{schedule}}}\n"
    if scale != 1:
        text += f'loss_scale: "fixed({scale}, drop_overflow=false)"\n'
    compiled = optplan.compile(optplan.loads(text), cell)
    for update in range(UPDATES):
        compiled.optimizer(tuple(Tensor(scale * each) for each in gradients(update, names)))
    return {name: getattr(cell, name).asnumpy() for name in names}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_a_scale_that_the_optimizer_takes_out_changes_nothing(settings: str) -> None:
    """A power of two moves exponents only: what is left is the order in which scale and decay meet a gradient."""
    decays = "weight_decay" in settings and "type: sgd, momentum: 0.9, weight_decay" not in settings
    plain = trained(settings, 1.0, decays=decays)
    scaled = trained(settings, S, decays=decays)
    begun = Loose(tuple(plain))
    for name, value in plain.items():
        assert np.abs(value - getattr(begun, name).asnumpy()).min() > 1e-6
        np.testing.assert_allclose(scaled[name], value, rtol=1e-6, atol=1e-7)


OWN = [
    kind.name
    for kind in catalog().optimizers.values()
    if "mindspore." in kind.name
    and kind.lowerings["mindspore"][0].loss_scale
    and not kind.lowerings["mindspore"][0].devices
]


@pytest.mark.parametrize("name", OWN)
def test_nor_does_it_with_the_classes_of_mindspore_that_say_they_take_it(name: str) -> None:
    kind = catalog().optimizers[name]
    settings = NEEDS.get(name, "lr: 0.01") + (", weight_decay: 0.1" if "weight_decay" in kind.settings else "")
    plain = trained(f"type: {name}, {settings}", 1.0, decays=False)
    scaled = trained(f"type: {name}, {settings}", S, decays=False)
    begun = Loose(tuple(plain))
    for key, value in plain.items():
        assert np.abs(value - getattr(begun, key).asnumpy()).max() > 1e-6
        np.testing.assert_allclose(scaled[key], value, rtol=1e-6, atol=1e-7)


def test_every_canonical_optimizer_is_tried() -> None:
    names = {name for name, kind in catalog().optimizers.items() if "mindspore" in kind.lowerings and "." not in name}
    assert {each.split(",")[0].removeprefix("type: ") for each in SETTINGS.values()} | {"sparse_adam"} == names


def test_sparse_adam_takes_the_scale_out() -> None:
    """Its gradients live in a compiled step, so the loss is scaled."""
    found = []
    for scale in (1.0, S):
        text = f"optplan: 1\noptimizer: {{type: adamw, lr: 0.01}}\nloss_scale: 'fixed({scale}, drop_overflow=false)'\n"
        text += "optimizers: {rows: {type: sparse_adam, lr: 0.01}}\nrules: [{where: embedding, use: rows}]\n"
        cell = filled(Words())
        compiled = optplan.compile(optplan.loads(text), cell)
        step = compiled.train_step(cell, nn.CrossEntropyLoss(), jit=True)
        for _ in range(UPDATES):
            step(Tensor(INPUTS, ms.int32), Tensor(LABELS, ms.int32))
        found.append({name: parameter.asnumpy() for name, parameter in named(cell).items()})
    for name, value in found[0].items():
        assert np.any(value != named(filled(Words()))[name].asnumpy())
        np.testing.assert_allclose(found[1][name], value, rtol=1e-6, atol=1e-7)


# The rule cannot be broken from a file

VARIANTS = {
    name: kind for name, kind in catalog().optimizers.items() if "mindspore" in kind.lowerings and name != "sparse_adam"
}
UNABLE = {"mindspore.ASGD", "mindspore.Rprop", "mindspore.AdamWeightDecay", "mindspore.AdaFactor", "mindspore.Lamb"}


def config(name: str, loss_scale: str) -> Any:
    settings = NEEDS.get(name, "lr: 0.01")
    return optplan.loads(f'optplan: 1\noptimizer: {{type: {name}, {settings}}}\nloss_scale: "{loss_scale}"\n')


@pytest.mark.parametrize("name", VARIANTS)
def test_with_a_fixed_scale_that_drops_nothing_the_optimizer_has_it_or_the_file_is_refused(name: str) -> None:
    elsewhere = VARIANTS[name].lowerings["mindspore"][0].devices
    for loss_scale, carried in {
        "fixed(1024, drop_overflow=false)": S,
        "fixed(1024)": 1.0,
        "1024": 1.0,
        "dynamic()": 1.0,
        "none": 1.0,
    }.items():
        cell = Loose(("weight",))
        asked = config(name, loss_scale)
        if carried != 1 and name in UNABLE:
            with pytest.raises(ConfigError, match="takes no loss scale out of its gradients") as caught:
                optplan.plan(asked, cell)
            (found,) = caught.value.diagnostics
            assert (found.code, found.line) == ("OP501", 3)
        elif elsewhere:
            with pytest.raises(ConfigError, match="does not run on CPU"):
                optplan.compile(asked, cell)
        else:
            assert optplan.compile(asked, cell).optimizer.loss_scale == carried


def test_nor_from_a_plan_that_was_made_without_a_network() -> None:
    """One for torch, bound here, is held against the classes of MindSpore then."""
    cell = Loose(("weight",))
    view = optplan.network(cell)
    plan = optplan.Plan.from_json(optplan.plan(config("mindspore.ASGD", "fixed(64)"), view).to_json())
    changed = plan.to_json().replace('"drop_overflow": true', '"drop_overflow": false')
    assert changed != plan.to_json()
    with pytest.raises(ConfigError, match="takes no loss scale out of its gradients"):
        optplan.Plan.from_json(changed).bind(cell)


def test_it_is_told_of_each_optimizer_at_the_loss_scale() -> None:
    text = """\
optplan: 1
optimizer: {type: mindspore.AdamWeightDecay}
optimizers: {second: {type: mindspore.Rprop}}
rules: [{where: bias, use: second}]
loss_scale: fixed(1024, drop_overflow=false)
"""
    with pytest.raises(ConfigError) as caught:
        optplan.plan(optplan.loads(text), Loose(("weight", "bias")))
    assert [(each.line, each.column) for each in caught.value.diagnostics] == [(5, 13), (5, 13)]
    assert str(caught.value.diagnostics[0]) == (
        "error[OP501]: `mindspore.nn.AdamWeightDecay` takes no loss scale out of its gradients, and "
        "`fixed(1024, drop_overflow=false)` leaves that to it, for `weight`\n"
        "  --> <string>:5:13\n"
        "  |\n"
        "5 | loss_scale: fixed(1024, drop_overflow=false)\n"
        "  |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  = help: write `fixed(1024)`, with which `compiled.train_step` does, or use another optimizer"
    )


class Plain(nn.Optimizer):
    """An optimizer of a user's own that knows no loss scale."""

    def __init__(self, params: Any, learning_rate: float) -> None:
        super().__init__(learning_rate, params)


class Deaf(nn.Optimizer):
    """One that takes it, and does not mind it."""

    def __init__(self, params: Any, learning_rate: float, **others: Any) -> None:  # noqa: ARG002 - that is the point
        super().__init__(learning_rate, params)


@pytest.mark.parametrize("cls", [Plain, Deaf])
def test_a_class_that_was_registered_is_asked_when_it_is_made(cls: type) -> None:
    name = f"test_{cls.__name__.lower()}"
    optplan.register(optplan.OwnOptimizer(name, mindspore=cls, settings={"lr": 0.1}))
    with pytest.raises(ConfigError, match="takes no loss scale out of its gradients"):
        optplan.compile(config(name, "fixed(1024, drop_overflow=false)"), Loose(("weight",)))
    assert optplan.compile(config(name, "fixed(1024)"), Loose(("weight",))).optimizer.loss_scale == 1


def test_the_catalog_says_what_the_classes_say() -> None:
    """Whether they take it is read off their constructors; that one takes it and does nothing with it, is tried."""
    for kind in catalog().optimizers.values():
        for by in kind.lowerings.get("mindspore", ()):
            module, _, name = by.class_name.rpartition(".")
            if module.startswith(("mindspore.", "optplan.")) and name != "AdaFactor":
                takes = "loss_scale" in arguments_of(getattr(import_module(module), name))
                assert takes == by.loss_scale, by.class_name
    moved = []
    for scale in (1.0, S):
        parameter = Parameter(Tensor(np.ones((4, 3)), ms.float32), name="weight")
        optimizer = nn.AdaFactor([parameter], 0.1, eps=(1e-3, 1e-3), relative_step=False, loss_scale=scale)
        optimizer((Tensor(scale * 1e-3 * np.ones((4, 3)), ms.float32),))
        moved.append(1 - parameter.asnumpy())
    assert not np.allclose(moved[0], moved[1], rtol=0.1)


# Which scaler a plan has


@pytest.mark.parametrize(
    ("loss_scale", "cls"),
    [
        ("none", "NoneType"),
        ("fixed(1024)", "StaticLossScaler"),
        ("fixed(0.5)", "FixedScaler"),
        ("fixed(1024, drop_overflow=false)", "CarriedScaler"),
        ("dynamic()", "DynamicLossScaler"),
        ("dynamic(growth=4, backoff=0.25)", "DynamicLossScaler"),
        ("dynamic(growth=4)", "DynamicScaler"),
        ("dynamic(growth=1.5, backoff=0.75)", "DynamicScaler"),
        ("dynamic(init=0.5)", "DynamicScaler"),
    ],
)
def test_the_stock_scaler_where_it_computes_the_same(loss_scale: str, cls: str) -> None:
    scaler = optplan.compile(config("sgd", loss_scale), Loose(("weight",))).scaler
    assert type(scaler).__name__ == cls
    assert scaler is None or isinstance(scaler, amp.LossScaler)


@pytest.mark.parametrize(
    "loss_scale", ["fixed(0.5)", "fixed(8, drop_overflow=false)", "dynamic(init=0.5)", "dynamic(init=8)"]
)
def test_scale_and_unscale(loss_scale: str) -> None:
    """What the optimizer takes out, `unscale` does not."""
    scaler = optplan.compile(config("sgd", loss_scale), Loose(("weight",))).scaler
    init = 0.5 if "0.5" in loss_scale else 8.0
    assert float(scaler.scale(Tensor(3.0, ms.float32))) == 3 * init
    (gradient,) = scaler.unscale((Tensor([3.0], ms.float32),))
    assert gradient.asnumpy().tolist() == [3.0 if "false" in loss_scale else 3 / init]
