"""The map has every name that is installed, and no other."""

from __future__ import annotations

import inspect
import re
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import pytest
import torch
from torch.optim import lr_scheduler, swa_utils

from optplan import loads
from optplan.api_map import arguments, canonical, optimizer_classes, pairs, rows, variant
from optplan.catalog import catalog
from optplan.compiled import Compiled
from optplan.counterparts import counterparts
from tests.api_map.installed import defined, members, own_members, public
from tests.api_map.running import of

if TYPE_CHECKING:
    from collections.abc import Iterable

CLASSES = optimizer_classes()


def known(owner: str) -> set[str]:
    """What the map has of a module or class, by the names there."""
    return {name.rpartition(".")[2] for name in (*CLASSES, *rows()) if name.rpartition(".")[0] == owner}


# torch


def torch_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])


def test_every_name_of_torch_optim() -> None:
    assert defined(torch.optim) == known("torch.optim")
    assert defined(lr_scheduler) & set(lr_scheduler.__all__) == known("torch.optim.lr_scheduler")
    assert set(swa_utils.__all__) == known("torch.optim.swa_utils")
    assert set(of("torch.optim.optimizer").__all__) - {"Optimizer"} == known("torch.optim.optimizer")


def test_every_function_of_torchs_modules() -> None:
    """`torch.optim.sgd` and its like list a class and a function."""
    modules = [f"torch.optim.{each.name}" for each in iter_modules(torch.optim.__path__) if each.name[0] != "_"]
    apart = {"torch.optim.lr_scheduler", "torch.optim.swa_utils", "torch.optim.optimizer"}
    for module in sorted({*modules} - apart):
        assert {name for name in of(module).__all__ if inspect.isfunction(of(f"{module}.{name}"))} == known(module)


def test_every_method_and_attribute_of_torchs_optimizer() -> None:
    assert members(torch_optimizer()) | {"params"} == known("torch.optim.Optimizer")


@pytest.mark.parametrize("name", [name for name in CLASSES if name.startswith("torch.")])
def test_every_method_that_an_optimizer_of_torch_adds(name: str) -> None:
    assert own_members(of(name), [torch.optim.Optimizer]) == known(name)


def test_every_method_and_attribute_of_torchs_schedulers() -> None:
    scheduler = lr_scheduler.StepLR(torch_optimizer(), 3)
    assert members(scheduler) - {"step_size", "gamma"} == known("torch.optim.lr_scheduler.LRScheduler")
    for name in lr_scheduler.__all__:
        cls = getattr(lr_scheduler, name)
        if cls is not lr_scheduler.LRScheduler:
            assert own_members(cls, [lr_scheduler.LRScheduler]) == known(f"torch.optim.lr_scheduler.{name}")


def test_every_method_of_torchs_scaler() -> None:
    assert public(vars(torch.amp.GradScaler)) == known("torch.amp.GradScaler")
    assert {"GradScaler"} == known("torch.amp")


def test_all_that_clips_in_torch() -> None:
    # an old name of `clip_grad_norm_` is there still
    names = {name for name in torch.nn.utils.__all__ if "clip" in name or "total_norm" in name}
    assert names - {"clip_grad_norm"} == known("torch.nn.utils")


# MindSpore


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_name_of_mindspores_optimizers() -> None:
    from mindspore.experimental import optim as experimental  # noqa: PLC0415 - set up by then
    from mindspore.mint import optim as mint  # noqa: PLC0415 - as above
    from mindspore.nn import optim  # noqa: PLC0415 - as above

    from_others = {"TrainOneStepCell", "WithLossCell", "TrainOneStepWithLossScaleCell"}
    from_others |= {"DynamicLossScaleUpdateCell", "FixedLossScaleUpdateCell"}
    schedules = {each.short for each in counterparts().values() if each.library == "mindspore.nn"}
    assert defined(optim) == known("mindspore.nn") - from_others - schedules
    assert defined(mint) == known("mindspore.mint.optim")
    assert defined(experimental) == known("mindspore.experimental.optim") - {"lr_scheduler"}
    assert inspect.ismodule(experimental.lr_scheduler)


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_schedule_of_mindspore() -> None:
    from mindspore.experimental.optim import lr_scheduler as experimental  # noqa: PLC0415 - set up by then
    from mindspore.nn import Cell, dynamic_lr, learning_rate_schedule  # noqa: PLC0415 - as above

    assert {*dynamic_lr.__all__, *learning_rate_schedule.__all__} <= known("mindspore.nn")
    assert {*experimental.__all__} == known("mindspore.experimental.optim.lr_scheduler")
    base = learning_rate_schedule.LearningRateSchedule
    assert {base.__name__} == known("mindspore.nn.learning_rate_schedule")
    assert own_members(base, []) == known(f"mindspore.nn.learning_rate_schedule.{base.__name__}")
    for name in learning_rate_schedule.__all__:
        assert own_members(getattr(learning_rate_schedule, name), [Cell, base]) == set()


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_method_and_attribute_of_mindspores_optimizer() -> None:
    from mindspore import Parameter, Tensor, nn  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    cell = nn.Cell()
    parameter = Parameter(Tensor([1.0]), name="parameter")
    base = nn.Optimizer(0.1, [parameter])
    # what programs call the groups that they make one with, and the last key of these
    groups = {"group_params", "order_params"}
    assert members(base, cell) - {"parameter"} | {"construct", *groups} == known("mindspore.nn.Optimizer")
    experimental = optim.Optimizer([parameter], {"lr": 0.1, "weight_decay": 0.0})
    # each subclass has the second one, the base class the first, which is what it is made with
    names = members(experimental, cell) | {"construct", "params", "implementation"}
    # and the parameters that are trained, and their rates
    assert {name for name in names if name != "parameter" and not name.startswith("learning_rate_group")} == known(
        "mindspore.experimental.optim.Optimizer"
    )


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_what_optimizers_of_mindspore_inherit_from_cell() -> None:
    from mindspore import nn  # noqa: PLC0415 - set up by then

    # an optimizer's own is a row of `mindspore.nn.Optimizer`
    assert members(nn.Cell()) - {"construct"} == known("mindspore.nn.Cell")


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("name", [name for name in CLASSES if name.startswith("mindspore.")])
def test_every_method_that_an_optimizer_of_mindspore_adds(name: str) -> None:
    from mindspore import nn  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    cls = of(name)
    if inspect.isclass(cls):
        bases = [nn.Optimizer] if issubclass(cls, nn.Optimizer) else [optim.Optimizer, nn.Cell]
        overridden = {"implementation", *known(name)} & set(vars(cls))
        assert own_members(cls, bases) - {"implementation"} | overridden - {"implementation"} == known(name)


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_method_and_attribute_of_mindspores_schedulers() -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    library = "mindspore.experimental.optim.lr_scheduler"
    base = optim.lr_scheduler.LRScheduler
    optimizer = optim.SGD([Parameter(Tensor([1.0]), name="parameter")], lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
    assert members(scheduler) - {"step_size", "gamma"} == known(f"{library}.LRScheduler")
    for name in optim.lr_scheduler.__all__:
        if name != "LRScheduler":
            assert own_members(getattr(optim.lr_scheduler, name), [base]) == known(f"{library}.{name}")


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_all_that_scales_and_clips_in_mindspore() -> None:
    from mindspore import amp, ops  # noqa: PLC0415 - set up by then

    assert set(amp.__all__) == known("mindspore.amp")
    scaler = amp.DynamicLossScaler(2.0, 2, 50)
    assert members(scaler) == known("mindspore.amp.LossScaler") | known("mindspore.amp.DynamicLossScaler")
    assert own_members(amp.StaticLossScaler, [amp.LossScaler]) == set()
    managers = (amp.LossScaleManager, amp.FixedLossScaleManager, amp.DynamicLossScaleManager)
    assert {name for each in managers for name in public(vars(each))} == known("mindspore.amp.LossScaleManager")
    assert {name for name in public(vars(ops)) if name.startswith("clip_by")} == known("mindspore.ops")


# either


def exists(name: str) -> bool:
    """Whether there is such a thing: as a row, or in the installed package."""
    if name in rows() or name in CLASSES:
        return True
    try:
        of(name)
    except AttributeError:
        return False
    return True


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_counterpart_is_there_and_of_the_other_framework() -> None:
    for name, each in rows().items():
        for row in each:
            if row.other is not None:
                assert exists(row.other), row
                assert row.other.startswith("torch.") != name.startswith("torch."), row


def test_a_counterpart_in_the_map_leads_back_with_the_same_verdict() -> None:
    one_way = [
        (row.name, row.other)
        for each in rows().values()
        for row in each
        if row.verdict == "same" and not any(back.verdict == "same" for back in rows()[row.other or ""])
    ]
    assert one_way == []


def test_a_row_says_what_differs_or_why_there_is_none() -> None:
    for each in rows().values():
        for row in each:
            assert bool(row.how) == (row.verdict != "same"), row
            assert (row.other is None) == (row.verdict == "none"), row
            # and what is done here instead: of an optimizer its type of a document will do
            assert row.here or variant(row.name, catalog()) or canonical(row.name, catalog()), row
    for pair in pairs():
        assert pair.verdict in {"same", "different", "unmeasured"}
        assert bool(pair.how) == (pair.verdict != "same"), pair
        assert (pair.figures is None) == (pair.verdict == "unmeasured"), pair


def test_what_is_said_in_both_directions_says_of_which() -> None:
    """The same words stand on either page: `different: eps stands inside the root` would be wrong on one."""
    said = [pair.how for pair in pairs() if pair.how]
    said += [each.how for pair in pairs() for each in arguments(pair, catalog()) if each.how and each.mindspore]
    said += [row.how for name in counterparts() for row in rows().get(name, ()) if row.other is not None and row.how]
    lone = [each.how for pair in pairs() for each in arguments(pair, catalog()) if each.torch is None]
    assert [how for how in said if "MindSpore" not in how and how not in lone] == []


def test_what_stands_in_a_document_can_be_read() -> None:
    """A key with its value, such as `clip: norm(1.0)`, is taken as it is."""
    said = {code for each in rows().values() for row in each for code in re.findall(r"`([a-z_]+: [^`]+)`", row.here)}
    assert said
    for code in said:
        key, _, value = code.partition(": ")
        line = f"{key}: {value.replace('S', '1024')}" if key in {"clip", "loss_scale"} else ""
        kind = value if key == "type" else "sgd"
        option = f"mindspore:\n  {code}\n" if key == "grad_centralization" else ""
        assert line or key in {"type", "grad_centralization"}, code
        loads(f"optplan: 1\noptimizer:\n  type: {kind}\n  lr: 0.1\n{extra(kind)}{line}\n{option}")


def extra(kind: str) -> str:
    """What else a type of optimizer must be given."""
    settings = catalog().optimizers[kind].settings.values()
    return "".join(f"  {each.name}: 0.9\n" for each in settings if each.required and each.name != "lr")


def words(texts: Iterable[str]) -> set[str]:
    """What is called on `compiled` in these texts."""
    found = set()
    for text in texts:
        for part in text.split("`compiled.")[1:]:
            found.add(re.split(r"[`(\[.]", part)[0])
    return found


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_what_stands_here_in_its_place_is_there() -> None:
    in_mindspore, in_torch = (of(f"optplan.targets.{target}.compiled.Compiled") for target in ("mindspore", "torch"))
    named = words(row.here for each in rows().values() for row in each)
    has = {*dir(Compiled), *dir(in_mindspore), *dir(in_torch), *Compiled.__annotations__}
    assert {name for name in named if name not in has} == set()


def test_every_optimizer_of_a_document_is_in_the_map() -> None:
    classes = {
        each.class_name
        for kind in catalog().optimizers.values()
        for lowerings in kind.lowerings.values()
        for each in lowerings
        if not each.class_name.startswith("optplan.")
    }
    assert classes <= set(CLASSES)
