"""What the schema claims of an optimizer against the class of PyTorch itself."""

from __future__ import annotations

import inspect
import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import torch

from optplan.catalog import Condition, OptimizerType, Setting, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOG = catalog()
# `torch.LBFGS` and its like are held against the canonical ones by `test_own_variants`
OPTIMIZERS = [kind for kind in CATALOG.optimizers.values() if "." not in kind.name]
each_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)

# Bounds that the constructor leaves open, and what torch does past them.
AT_A_STEP = {("muon", "ns_steps", "above"), ("lbfgs", "history_size", "below")}  # it raises when it steps
IN_VAIN = {("muon", "eps", "below"), ("muon", "ns_steps", "below"), ("lbfgs", "max_eval", "below")}  # as at the bound
STILL = {("lbfgs", "max_iter", "below")}  # it moves nothing

SIZES = (0.5, 1.5, -1.0, -2.0, 1.25)
ROWS = torch.tensor([[0, 2]])


@pytest.fixture(autouse=True)
def _sparse_tensors_are_checked() -> Iterator[None]:
    with torch.sparse.check_sparse_tensor_invariants(enable=True):  # type: ignore[no-untyped-call]  # torch leaves it so
        yield


def native(kind: OptimizerType) -> Any:
    """The class itself."""
    module, _, name = kind.lowerings["torch"][0].class_name.rpartition(".")
    assert module == "torch.optim"
    return getattr(torch.optim, name)


def gradient(step: int, *, sparse: bool) -> torch.Tensor:
    """A gradient of a 4 x 3 matrix that changes from step to step, its sign too."""
    if sparse:
        values = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3) * SIZES[step % len(SIZES)]
        return torch.sparse_coo_tensor(ROWS, values, (4, 3))
    return torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3) * SIZES[step % len(SIZES)] + 0.1


def matrix(start: float = 1.0) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.linspace(start, 2 * start, 12, dtype=torch.float64).reshape(4, 3))


def advance(optimizer: Any, *parameters: torch.Tensor, sparse: bool = False, steps: int = 4, start: int = 0) -> None:
    """Steps `start <= t < start + steps`, each with the gradient of its number."""
    for step in range(start, start + steps):

        def closure(number: int = step) -> float:
            for parameter in parameters:
                parameter.grad = gradient(number, sparse=sparse)
                if type(optimizer) is torch.optim.LBFGS and not sparse:  # it looks for curvature: a parabola's
                    parameter.grad *= parameter.detach()
            return 0.0

        closure()
        optimizer.step(closure if type(optimizer) is torch.optim.LBFGS else None)


def build(kind: OptimizerType, parameters: Any = None, **keywords: Any) -> Any:
    """The native optimizer, with `betas[0]=` for one element of a list."""
    for key in [key for key in keywords if "[" in key]:
        name, _, place = key.removesuffix("]").partition("[")
        items = list(kind.defaults[name])  # type: ignore[arg-type]  # the default of a list is a tuple
        items[int(place)] = keywords.pop(key)
        keywords[name] = tuple(items)
    return native(kind)([matrix()] if parameters is None else parameters, **keywords)


def after(kind: OptimizerType, *, sparse: bool | None = None, **keywords: Any) -> torch.Tensor:
    """The matrix after four steps."""
    parameter = matrix()
    lacks_dense = kind.requirements.gradients == "sparse"
    advance(build(kind, [parameter], **keywords), parameter, sparse=lacks_dense if sparse is None else sparse)
    return parameter.detach()


@each_optimizer
def test_settings_and_options_are_the_arguments(kind: OptimizerType) -> None:
    arguments = dict(inspect.signature(native(kind)).parameters)
    del arguments["params"]
    known = CATALOG.options["torch"]
    settings = [(name, argument.default) for name, argument in arguments.items() if name not in known]
    options = [(name, argument.default) for name, argument in arguments.items() if name in known]
    assert [(s.name, s.default) for s in kind.settings.values()] == settings
    ours = [name for name in kind.lowerings["torch"][0].options if name != "tensor_lr"]
    assert [(name, known[name].default) for name in ours] == options


@each_optimizer
def test_defaults_build_the_class_and_are_its_defaults(kind: OptimizerType) -> None:
    explicit, implicit = build(kind, **kind.defaults), build(kind)
    assert explicit.defaults == implicit.defaults


@each_optimizer
def test_tensors_are_taken_where_the_class_says_so(kind: OptimizerType) -> None:
    arguments = inspect.signature(native(kind)).parameters
    lowering = kind.lowerings["torch"][0]
    assert lowering.tensors == tuple(name for name in kind.settings if "Tensor" in str(arguments[name].annotation))
    assert ("tensor_lr" in lowering.options) == ("lr" in lowering.tensors)
    if "tensor_lr" in lowering.options:
        torch.testing.assert_close(after(kind, lr=torch.tensor(0.125)), after(kind, lr=0.125))


def numbers(kind: OptimizerType) -> Iterator[Setting]:
    for setting in kind.settings.values():
        yield from (part for part in (setting, *setting.items) if part.numeric)


def bounds() -> Iterator[Any]:
    """Optimizer, key, side, the nearest value out of the range, the nearest inside."""
    for kind in OPTIMIZERS:
        for part in numbers(kind):
            for side, bound, exclusive, way in (
                ("below", part.minimum, part.exclusive_minimum, -math.inf),
                ("above", part.maximum, part.exclusive_maximum, math.inf),
            ):
                if bound is None:
                    continue
                if part.kind == "int":
                    out, inside = bound + math.copysign(1, way), bound
                elif exclusive:
                    out, inside = bound, math.nextafter(bound, -way)
                else:
                    out, inside = math.nextafter(bound, way), bound
                yield pytest.param(
                    kind, part, side, part.cast(out), part.cast(inside), id=f"{kind.name}-{part.name}-{side}"
                )


@pytest.mark.parametrize(("kind", "part", "side", "out", "inside"), list(bounds()))
def test_a_bound_is_the_constructors(kind: OptimizerType, part: Setting, side: str, out: Any, inside: Any) -> None:
    assert part.check(out) is not None
    assert part.check(inside) is None
    build(kind, **{part.name: inside})
    where = (kind.name, part.name, side)
    if where in AT_A_STEP:
        with pytest.raises((ValueError, IndexError)):
            after(kind, **{part.name: out})
    elif where in IN_VAIN:
        assert torch.equal(after(kind, **{part.name: out}), after(kind, **{part.name: inside}))
    elif where in STILL:
        assert torch.equal(after(kind, **{part.name: out}), matrix().detach())
    else:
        with pytest.raises(ValueError, match=r"(?i)invalid|should be"):
            build(kind, **{part.name: out})


@each_optimizer
def test_where_there_is_no_bound_the_constructor_has_none(kind: OptimizerType) -> None:
    for part in numbers(kind):
        if part.minimum is None:
            assert part.check(part.cast(-1e30)) is None
            build(kind, **{part.name: part.cast(-1e30)})
        if part.maximum is None:
            assert part.check(part.cast(1e30)) is None
            build(kind, **{part.name: part.cast(1e30)})


@each_optimizer
def test_words_and_null(kind: OptimizerType) -> None:
    for setting in kind.settings.values():
        for word in setting.words:
            build(kind, **{setting.name: word})
        if setting.words:
            with pytest.raises((ValueError, RuntimeError)):
                after(kind, sparse=None, **{setting.name: "no_such_word"})
        for part in (setting, *setting.items):
            if part.nullable:
                after(kind, **{part.name: None})


@each_optimizer
def test_gradients(kind: OptimizerType) -> None:
    kinds = {"dense": (False,), "sparse": (True,), "both": (False, True)}[kind.requirements.gradients]
    for sparse in (False, True):
        if sparse in kinds:
            assert not torch.equal(after(kind, sparse=sparse), matrix().detach())
        else:
            with pytest.raises(RuntimeError, match=r"(sparse|dense) gradients"):
                after(kind, sparse=sparse)


def sparse_conditions() -> Iterator[Any]:
    for kind in OPTIMIZERS:
        for condition in kind.requirements.sparse:
            yield pytest.param(kind, condition, id=f"{kind.name}-{condition.key}")


@pytest.mark.parametrize(("kind", "condition"), list(sparse_conditions()))
def test_what_sparse_gradients_ask_of_settings_and_options(kind: OptimizerType, condition: Condition) -> None:
    value = 0.5 if condition.operator == "==" else condition.value
    assert not condition.holds({condition.key: value})
    after(kind, sparse=False, **{condition.key: value})
    with pytest.raises(RuntimeError, match="sparse"):
        after(kind, sparse=True, **{condition.key: value})


@each_optimizer
def test_sparse_gradients_ask_nothing_else_of_settings(kind: OptimizerType) -> None:
    if kind.requirements.gradients == "dense":
        return
    asked = {condition.key for condition in kind.requirements.sparse}
    for setting in kind.settings.values():
        if setting.name not in asked:
            after(kind, sparse=True, **{**base(kind), setting.name: another(setting)})


@each_optimizer
def test_options_that_exclude_each_other(kind: OptimizerType) -> None:
    """Each pair of options: the class refuses, in the constructor or at a step, exactly what the catalog refuses."""
    lowering = kind.lowerings["torch"][0]
    # capturable asks for an accelerator, whatever else is on
    for pair in combinations([name for name in lowering.options if name != "capturable"], 2):
        values = dict.fromkeys(pair, True)
        keywords: dict[str, Any] = {name: True for name in pair if name != "tensor_lr"}
        if "tensor_lr" in pair:
            keywords["lr"] = torch.tensor(0.125)
        # a differentiable update goes to tensors that are no leaves
        parameter = matrix() * 1 if "differentiable" in pair else matrix()
        if lowering.check_together(values):
            with pytest.raises((RuntimeError, ValueError, AssertionError)):
                advance(build(kind, [parameter], **keywords), parameter)
        else:
            advance(build(kind, [parameter], **keywords), parameter)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_tensor_lr_goes_with_foreach_where_the_update_is_capturable(name: str) -> None:
    kind = CATALOG.optimizers[name]
    values = {"tensor_lr": True, "foreach": True}
    assert kind.lowerings["torch"][0].check_together(values) == [
        ("tensor_lr", "`tensor_lr` with `foreach` needs `capturable: true`")
    ]
    with pytest.raises(ValueError, match="lr as a Tensor"):
        build(kind, lr=torch.tensor(0.1), foreach=True)
    assert kind.lowerings["torch"][0].check_together({**values, "capturable": True}) == []
    build(kind, lr=torch.tensor(0.1), foreach=True, capturable=True)


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"nesterov": True, "momentum": 0.9}, True),
        ({"nesterov": True, "momentum": 5e-324}, True),
        ({"nesterov": True}, False),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, False),
        ({"nesterov": False, "dampening": 0.1}, True),
    ],
)
def test_nesterov_needs_momentum_and_no_dampening(settings: dict[str, Any], *, allowed: bool) -> None:
    sgd = CATALOG.optimizers["sgd"]
    assert (sgd.check_together(settings) == []) == allowed
    if allowed:
        build(sgd, **settings)
    else:
        with pytest.raises(ValueError, match="Nesterov"):
            build(sgd, **settings)


@each_optimizer
def test_other_optimizers_ask_nothing_of_two_settings(kind: OptimizerType) -> None:
    if kind.name == "sgd":
        return
    assert kind.requirements.together == ()
    everything = {setting.name: another(setting) for setting in kind.settings.values()}
    after(kind, **everything)


@each_optimizer
def test_what_a_parameter_must_be(kind: OptimizerType) -> None:
    for ndim in (0, 1, 2, 3, 4):
        parameter = torch.nn.Parameter(torch.ones((2,) * ndim))
        if all(condition.holds({"ndim": ndim}) for condition in kind.requirements.parameters):
            build(kind, [parameter])
        else:
            with pytest.raises(ValueError, match="2D"):
                build(kind, [parameter])


@each_optimizer
def test_how_many_groups(kind: OptimizerType) -> None:
    groups = [{"params": [matrix()]}, {"params": [matrix()]}]
    if kind.requirements.one_group:
        with pytest.raises(ValueError, match="parameter groups"):
            build(kind, groups)
    else:
        assert len(build(kind, groups).param_groups) == 2
    assert kind.requirements.alone == (kind.name == "lbfgs")


@each_optimizer
def test_which_evaluates_the_loss_itself(kind: OptimizerType) -> None:
    optimizer = build(kind, [matrix()])
    if kind.requirements.closure:
        with pytest.raises(TypeError, match="closure"):
            optimizer.step()
    else:
        optimizer.step()


def another(setting: Setting) -> Any:
    """An allowed value that is not the default, and far from it."""
    if setting.kind == "list":
        return tuple(another(item) for item in setting.items)
    values: tuple[Any, ...] = (
        (not setting.default,) if setting.kind == "bool" else (*setting.words, 0.25, 2.0, 3, -0.25)
    )
    return next(setting.cast(v) for v in values if v != setting.default and setting.check(v) is None)


def base(kind: OptimizerType) -> dict[str, Any]:
    """What lets every setting take part: momentum, so that dampening and nesterov mean something, and has a state."""
    return {"momentum": 0.5} if kind.name in ("sgd", "rmsprop") else {}


def grouped() -> Iterator[Any]:
    for kind in OPTIMIZERS:
        if not kind.requirements.one_group:
            for setting in kind.settings.values():
                yield pytest.param(kind, setting, id=f"{kind.name}-{setting.name}")


@pytest.mark.parametrize(("kind", "setting"), list(grouped()))
def test_a_group_has_its_own_value_but_of_the_shared_settings(kind: OptimizerType, setting: Setting) -> None:
    sparse = kind.requirements.gradients == "sparse"
    value = {**base(kind), setting.name: another(setting)}
    ours, alone = matrix(), matrix()
    advance(build(kind, [{"params": [matrix()]}, {"params": [ours], **value}], **base(kind)), ours, sparse=sparse)
    advance(build(kind, [alone], **value), alone, sparse=sparse)
    assert torch.equal(ours, alone) == (setting.name not in kind.requirements.shared)


# The class reads these at the first update only, or for its state only: a schedule would not show in the parameters.
UNSEEN = {("rprop", "lr"), ("asgd", "t0")}


def changed(kind: OptimizerType, part: Setting, value: Any) -> torch.Tensor:
    """The matrix after two updates with the default of `part` and six with `value` (radam adapts from the sixth on)."""
    parameter = matrix()
    sparse = kind.requirements.gradients == "sparse"
    optimizer = build(kind, [parameter], **base(kind))
    advance(optimizer, parameter, sparse=sparse, steps=2)
    group = optimizer.param_groups[0]
    name, _, place = part.name.removesuffix("]").partition("[")
    group[name] = tuple(value if str(n) == place else v for n, v in enumerate(group[name])) if place else value
    advance(optimizer, parameter, sparse=sparse, steps=6, start=2)
    return parameter.detach()


@each_optimizer
def test_scheduled_settings_are_read_at_each_update(kind: OptimizerType) -> None:
    for part in numbers(kind):
        if part.kind == "int":
            assert part.name not in kind.scheduled
        elif (kind.name, part.name) not in UNSEEN:
            values = [part.cast(value) for value in (0.25, 2.0, 1e3, -0.25) if part.check(value) is None]
            results = [changed(kind, part, value) for value in (base(kind).get(part.name, part.default), *values)]
            same = all(torch.equal(results[0], result) for result in results)
            assert same == (part.name not in kind.scheduled), part.name


@pytest.mark.parametrize(("name", "key"), sorted(UNSEEN))
def test_what_a_schedule_would_not_show(name: str, key: str) -> None:
    kind = CATALOG.optimizers[name]
    part = kind.settings[key]
    assert torch.equal(changed(kind, part, part.default), changed(kind, part, 0.25))


@each_optimizer
def test_what_must_be_above_0_from_the_first_update(kind: OptimizerType) -> None:
    for part in numbers(kind):
        if part.name in kind.scheduled and part.check(0) is None:
            parameter = matrix()
            sparse = kind.requirements.gradients == "sparse"
            optimizer = build(kind, [parameter], **{part.name: 0.0})
            advance(optimizer, parameter, sparse=sparse, steps=2)
            group = optimizer.param_groups[0]
            if "[" not in part.name:
                group[part.name] = 0.25
            if part.name in kind.requirements.from_start:
                with pytest.raises(KeyError):
                    advance(optimizer, parameter, sparse=sparse, steps=1)
            else:
                advance(optimizer, parameter, sparse=sparse, steps=1)


def test_a_loss_scale_starts_as_a_grad_scaler_does() -> None:
    scaler = torch.amp.GradScaler("cpu")
    defaults = {name: each.default for name, each in CATALOG.forms["loss_scale"].types["dynamic"].arguments.items()}
    assert defaults == {
        "init": scaler.get_scale(),
        "growth": scaler.get_growth_factor(),
        "backoff": scaler.get_backoff_factor(),
        "every": scaler.get_growth_interval(),
    }
    assert CATALOG.forms["loss_scale"].types["dynamic"].arguments["init"].maximum == torch.finfo(torch.float32).max
