"""What the map says of two schedulers, held against them for 500 updates, with the settings of tests/schedulers."""

from __future__ import annotations

import inspect
import random
from typing import Any, NamedTuple

import pytest
import torch
from torch.optim import lr_scheduler, swa_utils

from optplan.api_map import Row, rows
from optplan.counterparts import counterparts
from tests.api_map.running import of
from tests.schedulers.settings import SETTINGS, UPDATES
from tests.schedulers.values import computed, differences

pytestmark = [pytest.mark.mindspore, pytest.mark.one_mode]

EXPERIMENTAL = "mindspore.experimental.optim.lr_scheduler"
FROM_TORCH = [row for name, each in rows().items() if name in counterparts() for row in each if "torch" in name]
SAME = [row for row in FROM_TORCH if row.verdict == "same"]
DIFFERENT = [row for row in FROM_TORCH if row.verdict == "different"]

# Arguments that are functions, which the table of schedulers has no settings for.
FUNCTIONS: dict[str, list[dict[str, Any]]] = {
    "LambdaLR": [{"lr": 0.1, "lr_lambda": lambda t: 0.99**t}, {"lr": 0.3, "lr_lambda": lambda t: 1 / (1 + t)}],
    "MultiplicativeLR": [{"lr": 0.1, "lr_lambda": lambda t: 0.99 if t < 300 else 1.0}],
}


class Metrics(NamedTuple):
    """What is reported to `ReduceLROnPlateau`."""

    values: tuple[float, ...]


def in_torch(call: str, numbers: dict[str, Any], updates: int = UPDATES, metrics: Metrics | None = None) -> list[float]:
    """The rates that a scheduler of torch sets."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=numbers["lr"], momentum=0.9)
    scheduler = computed(call, {**vars(lr_scheduler), **vars(swa_utils), **numbers, "optimizer": optimizer} | KEYWORDS)
    rates = []
    for t in range(updates):
        if t:
            optimizer.step()
            scheduler.step(*([] if metrics is None else [metrics.values[t]]))
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


# What a call of the table is written with beside its numbers.
KEYWORDS = {"False": False, "True": True}


def in_mindspore(call: str, numbers: dict[str, Any], metrics: Metrics | None = None) -> list[float]:
    """The rates that a scheduler of `mindspore.experimental` sets."""
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    optimizer = optim.SGD([Parameter(Tensor([0.0]), name="weight")], lr=numbers["lr"])
    scheduler = computed(call, {**vars(optim.lr_scheduler), **numbers, "optimizer": optimizer} | KEYWORDS)
    rates = []
    for t in range(UPDATES):
        if t:
            scheduler.step(*([] if metrics is None else [metrics.values[t]]))
        rates.append(float(optimizer.param_groups[0]["lr"].asnumpy()))
    return rates


@pytest.mark.parametrize("row", SAME, ids=lambda row: row.short)
def test_the_same_has_the_same_rates(row: Row) -> None:
    assert row.other == f"{EXPERIMENTAL}.{row.short}"
    form = counterparts()[row.other].forms[0]
    if form.computes == "reports":
        rng = random.Random(5)  # noqa: S311 - a loss that goes down and is noisy
        metrics = Metrics(tuple(1 / (1 + t / 50) + 0.05 * rng.random() for t in range(UPDATES)))
        for mode, kind, factor in (("min", "rel", 0.5), ("max", "abs", 0.9)):
            call = f'ReduceLROnPlateau(optimizer, "{mode}", {factor}, 7, 1e-3, "{kind}", 3, 1e-4)'
            ours, theirs = (run(call, {"lr": 0.1}, metrics=metrics) for run in (in_torch, in_mindspore))
            assert len(set(ours)) > 3
            assert differences(ours, theirs, "float32") == {}
        return
    moved = []
    for numbers in FUNCTIONS.get(row.short) or SETTINGS[row.other]:
        ours, theirs = in_torch(form.call, numbers), in_mindspore(form.call, numbers)
        moved.append(len(set(ours)) > 1)
        assert differences(ours, theirs, "float32") == {}
    assert any(moved)


@pytest.mark.parametrize("row", SAME, ids=lambda row: row.short)
def test_the_same_has_the_same_arguments(row: Row) -> None:
    ours, theirs = (inspect.signature(of(name)).parameters for name in (row.name, row.other or ""))
    assert {name: each.default for name, each in ours.items()} == {name: each.default for name, each in theirs.items()}


@pytest.mark.parametrize("row", DIFFERENT, ids=lambda row: f"{row.short}-{(row.other or '').rpartition('.')[2]}")
def test_what_is_different_has_the_values_of_the_call(row: Row) -> None:
    assert row.other is not None
    forms = [form for form in counterparts()[row.other].forms if form.policy is not None]
    stairs = "is_stair=True" in row.how
    form = forms[1] if stairs else forms[0]
    for given in SETTINGS[row.other]:
        numbers: dict[str, Any] = {"lr": given.get(form.lr, given.get("lr", 0.1)), **given}
        # torch ends at 0 where MindSpore does not
        numbers |= {"end_learning_rate": 0.0} if "torch's at 0" in row.how else {}
        theirs, ours = _schedule(row, form.call, numbers), _in_torch(row, numbers)
        length = len(ours)
        computes = "float32" if form.computes == "float32" else "chained"
        # one value after another in torch, and from a rate of 1e-9 where it refuses 0
        allowed = max(map(abs, theirs[:length])) * (1e-5 if computes == "float32" else 1e-8)
        assert all(abs(a - b) <= allowed for a, b in zip(ours, theirs, strict=False))
        assert len(theirs) >= length > 1


def _in_torch(row: Row, numbers: dict[str, Any]) -> list[float]:
    """The rates of the row's call, as long as both have an end in common."""
    by_epoch = row.other is not None and "per epoch" in (counterparts()[row.other].forms[0].policy or "")
    if not by_epoch:
        ends = "climbs again" in row.how
        return in_torch(row.call, numbers, min(int(numbers["decay_steps"]) + 1, UPDATES) if ends else UPDATES)
    length, total = int(numbers["step_per_epoch"]), int(numbers["total_step"])
    epochs = -(-total // length)
    if "climbs again" in row.how:
        epochs = min(epochs, int(numbers["decay_epoch"]) + 1)
    rates = in_torch(row.call, numbers, epochs)
    return [rates[t // length] for t in range(min(total, epochs * length))]


def _schedule(row: Row, call: str, numbers: dict[str, Any]) -> list[float]:
    """The rates of a schedule of `mindspore.nn`, of a scheduler or of a list."""
    if (row.other or "").startswith(EXPERIMENTAL):
        return in_mindspore(call, numbers)
    from mindspore import Tensor, int32, nn  # noqa: PLC0415 - set up by then

    made = computed(call, vars(nn) | numbers | KEYWORDS)
    if isinstance(made, list):
        return made
    found: list[float] = made(Tensor(list(range(UPDATES)), int32)).asnumpy().tolist()
    return found


def test_a_cosine_of_mindspore_stays_low_where_torchs_climbs_again() -> None:
    (row,) = (each for each in DIFFERENT if each.other == "mindspore.nn.CosineDecayLR")
    numbers = {"lr": 0.1, "max_lr": 0.1, "min_lr": 0.01, "decay_steps": 40}
    theirs = _schedule(row, "CosineDecayLR(min_lr, max_lr, decay_steps)", numbers)
    assert theirs[80] == pytest.approx(0.01)
    assert in_torch(row.call, numbers)[80] == pytest.approx(0.1)


# Namesakes with the same arguments that are different all the same, for which there are tests below.
ALIKE = {"SequentialLR", "CosineAnnealingWarmRestarts"}


def stepped(name: str, *arguments: Any) -> tuple[list[float], Any]:
    """The rates that a scheduler of torch sets in six updates, and its namesake, not yet stepped."""
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then
    from mindspore.experimental import optim  # noqa: PLC0415 - as above

    def made(library: Any, optimizer: Any) -> Any:
        return getattr(library, name)(
            optimizer, *(each(library, optimizer) if callable(each) else each for each in arguments)
        )

    ours = made(lr_scheduler, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    found = []
    for _ in range(6):
        ours.optimizer.step()
        ours.step()
        found.append(ours.get_last_lr()[0])
    return found, made(optim.lr_scheduler, optim.SGD([Parameter(Tensor([0.0]), name="weight")], lr=0.1))


def test_a_part_of_a_sequence_that_raises_or_begins_later_in_mindspore() -> None:
    def with_milestones(library: Any, optimizer: Any) -> Any:
        return [library.ConstantLR(optimizer, 0.5, 9), library.MultiStepLR(optimizer, [1], 0.5)]

    rates, theirs = stepped("SequentialLR", with_milestones, [2])
    assert rates[-1] == pytest.approx(0.05)
    theirs.step()
    with pytest.raises(AttributeError):
        theirs.step()

    def with_factors(library: Any, optimizer: Any) -> Any:
        return [library.ConstantLR(optimizer, 0.5, 9), library.MultiplicativeLR(optimizer, lambda _: 0.5)]

    rates, theirs = stepped("SequentialLR", with_factors, [2])
    others = []
    for _ in rates:
        theirs.step()
        others.append(float(theirs.get_last_lr()[0].asnumpy()))
    assert others[0] == pytest.approx(rates[0])
    assert others[1:] == pytest.approx([2 * rate for rate in rates[1:]], rel=1e-6)


def test_a_restart_by_epoch_raises_in_mindspore() -> None:
    _, theirs = stepped("CosineAnnealingWarmRestarts", 2, 2)
    with pytest.raises(TypeError):
        theirs.step(2.5)
    _, theirs = stepped("CosineAnnealingWarmRestarts", 2)
    theirs.step(2.5)


def test_what_is_alike_differs_by_a_test() -> None:
    assert not ALIKE - {row.short for row in DIFFERENT}


@pytest.mark.parametrize("row", DIFFERENT, ids=lambda row: f"{row.short}-{(row.other or '').rpartition('.')[2]}")
def test_what_is_different_is_no_namesake_with_the_same_arguments(row: Row) -> None:
    if row.short in ALIKE:
        return
    ours, theirs = (inspect.signature(of(name)).parameters for name in (row.name, row.other or ""))
    assert {name: each.default for name, each in ours.items()} != {name: each.default for name, each in theirs.items()}
