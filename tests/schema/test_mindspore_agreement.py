"""What the schema claims of MindSpore's own optimizers against the classes of MindSpore themselves.

Constructors only: what an update computes is held by `tests/mindspore/test_own_variants.py`.
"""

from __future__ import annotations

import inspect
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from optplan.catalog import OptimizerType, Setting, catalog, schema
from optplan.targets.mindspore.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optplan.catalog import Plain

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

CATALOG = catalog()
KINDS = {name: kind for name, kind in CATALOG.optimizers.items() if name.startswith("mindspore.")}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)

# What a document says otherwise: the parameters are the rules' business, the loss scale is a key of its own.
ELSEWHERE = {"params", "loss_scale"}
# Of `nn.Adam`, which takes these two by `**kwargs`.
KEYWORDS = {"use_lazy": False, "use_offload": False}
# Asked for where nothing else is given.
LEAST: dict[str, dict[str, Any]] = {
    "mindspore.Momentum": {"lr": 0.1, "momentum": 0.9},
    "mindspore.LARS": {"lr": 0.1, "momentum": 0.9},
    "mindspore.Lamb": {"lr": 0.1},
    "mindspore.AdaFactor": {"lr": 0.1, "relative_step": False},
}


def native(kind: OptimizerType) -> Any:
    """The class of MindSpore."""
    return getattr(nn, kind.name.partition(".")[2])


def arguments_of(cls: Any) -> dict[str, Any]:
    """The arguments of a constructor with their defaults, below whatever it is decorated with."""

    def inner(function: Any) -> Any:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        return next((inner(each) for each in cells if inspect.isfunction(each)), function)

    found = inspect.signature(inner(cls.__init__)).parameters
    return {name: each.default for name, each in found.items() if name != "self" and each.kind is not each.VAR_KEYWORD}


def matrix(name: str = "weight") -> Parameter:
    return Parameter(Tensor(np.ones((4, 3), np.float32)), name=name)


def build(kind: OptimizerType, groups: list[dict[str, Any]] | None = None, **settings: Any) -> nn.Optimizer:
    """The class by which MindSpore carries it out, given every setting as the target gives it."""
    values: dict[str, Plain] = {**kind.defaults, **LEAST.get(kind.name, {})}
    for key, value in settings.items():
        name, _, place = key.removesuffix("]").partition("[")
        if place:
            items: list[Any] = list(values[name])  # type: ignore[arg-type]  # a list's default is a tuple
            items[int(place)] = value
            values[name] = tuple(items)
        else:
            values[name] = value
    by = kind.lowerings["mindspore"][-1]
    module, _, name = by.class_name.rpartition(".")
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        argument = by.argument(key)
        if isinstance(argument, str):
            arguments[argument] = value
    cls: type[nn.Optimizer] = getattr(import_module(module), name)
    return cls(groups or [{"params": [matrix()]}], **arguments)


def only(key: str, value: float) -> dict[str, Any]:
    """The keyword `key`, which need not be a word of Python."""
    return {key: value}


def test_every_class_has_an_entry_or_a_reason_why_not() -> None:
    refused = schema()["$defs"]["optimizer"]["properties"]["type"]["x-optplan"]["refused"]
    ours = {name.partition(".")[2] for name in (*KINDS, *refused)}
    assert ours == set(nn.optim.__all__) - {"Optimizer"}
    assert not KINDS.keys() & refused.keys()


@each_kind
def test_settings_are_the_arguments_with_their_defaults(kind: OptimizerType) -> None:
    arguments = arguments_of(native(kind))
    if kind.name == "mindspore.Adam":
        arguments |= KEYWORDS
    if kind.name == "mindspore.LARS":
        del arguments["optimizer"], arguments["lars_filter"]
        arguments = arguments_of(nn.Momentum) | arguments
    arguments = {"lr" if key == "learning_rate" else key: value for key, value in arguments.items()}
    wanted = [(key, value) for key, value in arguments.items() if key not in ELSEWHERE]
    empty = inspect.Parameter.empty
    assert [(each.name, empty if each.required else each.default) for each in kind.settings.values()] == wanted


@each_kind
def test_each_class_that_carries_it_out_takes_its_arguments(kind: OptimizerType) -> None:
    for by in kind.lowerings["mindspore"]:
        module, _, name = by.class_name.rpartition(".")
        arguments = arguments_of(getattr(import_module(module), name))
        if kind.name == "mindspore.Adam":
            arguments |= KEYWORDS
        names = {by.argument(key) for key in kind.settings} - {None}
        assert names <= set(arguments)
        # what `when` pins and the class is not given is its default
        for key in kind.settings:
            if by.argument(key) is None:
                assert [each.value for each in by.when if each.key == key] == [arguments[key]]
        assert issubclass(getattr(import_module(module), name), native(kind))


@each_kind
def test_defaults_build_the_class(kind: OptimizerType) -> None:
    build(kind)


def numbers(kind: OptimizerType) -> Iterator[Setting]:
    for setting in kind.settings.values():
        yield from (part for part in (setting, *setting.items) if part.numeric)


def bounds() -> Iterator[Any]:
    """Optimizer, key, the nearest value out of the range, the nearest inside."""
    for kind in KINDS.values():
        for part in numbers(kind):
            for bound, exclusive, way in (
                (part.minimum, part.exclusive_minimum, -math.inf),
                (part.maximum, part.exclusive_maximum, math.inf),
            ):
                if bound is not None:
                    out = float(bound) if exclusive else math.nextafter(bound, way)
                    inside = math.nextafter(bound, -way) if exclusive else float(bound)
                    side = "below" if way < 0 else "above"
                    yield pytest.param(kind, part, out, inside, id=f"{kind.name}-{part.name}-{side}")


@pytest.mark.parametrize(("kind", "part", "out", "inside"), list(bounds()))
def test_a_bound_is_the_constructors(kind: OptimizerType, part: Setting, out: float, inside: float) -> None:
    assert part.check(out) is not None
    assert part.check(inside) is None
    build(kind, **only(part.name, inside))
    with pytest.raises((ValueError, TypeError), match=r"must|should be"):
        build(kind, **only(part.name, out))


@each_kind
def test_where_there_is_no_bound_the_constructor_has_none(kind: OptimizerType) -> None:
    for part in numbers(kind):
        # the other of the two step sizes is what bounds one
        if "step_sizes" not in part.name:
            if part.minimum is None:
                build(kind, **only(part.name, -1e30))
            if part.maximum is None:
                build(kind, **only(part.name, 1e30))


TOGETHER: list[tuple[str, dict[str, Any]]] = [
    ("mindspore.SGD", {"nesterov": True}),
    ("mindspore.SGD", {"nesterov": True, "momentum": 0.9}),
    ("mindspore.SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("mindspore.SGD", {"momentum": 0.9, "dampening": 0.1}),
    ("mindspore.Rprop", {"step_sizes": (2.0, 1.0)}),
    ("mindspore.Rprop", {"step_sizes": (1.0, 1.0)}),
    *(
        ("mindspore.Adam", {"use_lazy": lazy, "use_offload": offload, "use_amsgrad": amsgrad})
        for lazy in (False, True)
        for offload in (False, True)
        for amsgrad in (False, True)
    ),
    *(
        ("mindspore.AdaFactor", {"lr": lr, "relative_step": relative, "warmup_init": warmup})
        for lr in (None, 0.1)
        for relative in (False, True)
        for warmup in (False, True)
    ),
]


@pytest.mark.parametrize(("name", "settings"), TOGETHER)
def test_settings_ask_of_each_other_what_the_constructor_asks(name: str, settings: dict[str, Any]) -> None:
    kind = KINDS[name]
    values = {**LEAST.get(name, {}), **settings}
    if kind.check_together(values):
        with pytest.raises(ValueError, match=r"For|Cannot|requires"):
            build(kind, **settings)
    else:
        build(kind, **settings)


def test_the_others_ask_nothing_of_two_settings() -> None:
    assert {name for name, kind in KINDS.items() if kind.requirements.together} == {name for name, _ in TOGETHER}


def with_table(kind: OptimizerType, key: str) -> Callable[[], nn.Optimizer]:
    settings: dict[str, Any] = {key: Table(np.array([0.5, 0.25]))}
    if kind.name == "mindspore.AdaFactor":
        settings["scale_parameter"] = False
    return lambda: build(kind, **settings)


# It takes a schedule of the decay, and then counts every update twice where the rate has none.
COUNTED_TWICE = {"mindspore.LARS"}


@each_kind
@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_a_schedule_is_taken_where_the_class_takes_one(kind: OptimizerType, key: str) -> None:
    make = with_table(kind, key)
    if key in kind.scheduled:
        made = make()
        assert made.dynamic_lr == (key == "lr") or kind.name == "mindspore.LARS"
        assert made.dynamic_weight_decay == (key == "weight_decay")
    elif kind.name in COUNTED_TWICE:
        made = make()
        assert made.global_step is made.opt.global_step
        assert made.dynamic_weight_decay
        assert not made.opt.dynamic_weight_decay
    else:
        with pytest.raises((ValueError, TypeError), match=r"(?i)weight.da?e?cay|dynamic|must be"):
            make()


def test_no_class_has_a_schedule_of_anything_else() -> None:
    assert {key for kind in KINDS.values() for key in kind.scheduled} == {"lr", "weight_decay"}


@each_kind
def test_grad_centralization_is_an_option_where_the_class_computes_it(kind: OptimizerType) -> None:
    cls = nn.Momentum if kind.name == "mindspore.LARS" else native(kind)
    computed = "self.gradients_centralization(" in inspect.getsource(cls.construct)
    assert kind.options("mindspore") == (("grad_centralization",) if computed else ())


def test_offloaded_adam_leaves_grad_centralization_out() -> None:
    source = inspect.getsource(nn.Adam.construct)
    assert "if not self.use_offload:\n            gradients = self.gradients_centralization(gradients)" in source
    by = KINDS["mindspore.Adam"].lowerings["mindspore"][0]
    assert by.check_together({"grad_centralization": True, "use_offload": True})
    assert not by.check_together({"grad_centralization": True, "use_offload": False})


def test_ftrl_has_one_rate_for_all_its_groups() -> None:
    kind = KINDS["mindspore.FTRL"]
    assert not kind.lowerings["mindspore"][0].shares
    with pytest.raises(ValueError, match="group learning rate"):
        build(kind, [{"params": [matrix("a")], "lr": 0.1}, {"params": [matrix("b")]}])


def test_adafactor_has_one_decay_for_all_its_groups() -> None:
    kind = KINDS["mindspore.AdaFactor"]
    assert not any(by.shares for by in kind.lowerings["mindspore"])
    made = build(kind, [{"params": [matrix("a")], "weight_decay": 0.5}, {"params": [matrix("b")]}])
    assert made.weight_decay.shape == ()
    assert not made.weight_decay_flag


def test_lars_is_the_stock_one_around_a_momentum_of_all_its_parameters() -> None:
    parameters = [matrix("dense.weight"), matrix("LayerNorm.bias")]
    settings: dict[str, Any] = {"weight_decay": 0.125, "epsilon": 0.25, "coefficient": 0.5, "use_clip": True}
    made = build(KINDS["mindspore.LARS"], [{"params": parameters}], **settings)
    assert isinstance(made, nn.LARS)
    assert type(made.opt) is nn.Momentum
    assert [id(each) for each in made.parameters] == [id(each) for each in parameters]
    assert made.lars_flag == (True, True)
    assert (made.lars.epsilon, made.lars.hyperpara, made.lars.use_clip) == (0.25, 0.5, True)
    assert float(made.opt.momentum.asnumpy()) == np.float32(0.9)
    assert float(made.get_lr().asnumpy()) == np.float32(0.1)
    assert float(made.get_lr_parameter(parameters[0]).asnumpy()) == np.float32(0.1)
    assert [float(each.asnumpy()) for each in made.weight_decay] == [0.125, 0.125]
