"""The table has every stock scheduler that is installed, and nothing else; so have `help` and the documentation."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from torch.optim import lr_scheduler, swa_utils
from transformers import SchedulerType, get_scheduler, optimization

from optplan.catalog import catalog
from optplan.counterparts import COMPUTES, Counterpart, Form, counterparts
from optplan.report.topics import topic_text
from tests.schedulers.page import PAGE, page
from tests.schedulers.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TABLE = counterparts()
FORMS = [(each, form) for each in TABLE.values() for form in each.forms]
EACH_FORM = pytest.mark.parametrize(
    ("scheduler", "form"), FORMS, ids=[f"{each.name}-{each.forms.index(form)}" for each, form in FORMS]
)


def rows(*libraries: str) -> set[str]:
    """What the table has of these, by the names there."""
    return {each.short for each in TABLE.values() if each.library in libraries}


def schedulers_of(module: Any) -> set[str]:
    """The names of the schedulers that a module of torch defines."""
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, lr_scheduler.LRScheduler)
        and value.__module__ == module.__name__
        and value is not lr_scheduler.LRScheduler
        and not name.startswith("_")
    }


def bound(call: str, names: Mapping[str, Any]) -> None:
    """Hold the arguments of a call, and of the calls in it, against the signature of what is called."""
    for node in ast.walk(ast.parse(call)):
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            called: Callable[..., Any] = names[node.func.id]
            inspect.signature(called).bind(*node.args, **{str(each.arg): each.value for each in node.keywords})


def test_every_scheduler_of_torch_has_a_row() -> None:
    # an old name of `LRScheduler` is there still
    assert schedulers_of(lr_scheduler) - {"LRScheduler"} == rows("torch.optim.lr_scheduler")
    assert set(lr_scheduler.__all__) - {"LRScheduler"} == rows("torch.optim.lr_scheduler")
    assert schedulers_of(swa_utils) == rows("torch.optim.swa_utils")


def test_every_scheduler_of_transformers_has_a_row() -> None:
    functions = {
        f'transformers.get_scheduler("{name.value}")': (f"transformers.{function.__name__}",)
        for name, function in optimization.TYPE_TO_SCHEDULER_FUNCTION.items()
    }
    assert len(functions) == len(SchedulerType)
    assert functions == {name: each.also for name, each in TABLE.items() if name.startswith("transformers.")}


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_every_scheduler_of_mindspore_has_a_row() -> None:
    from mindspore.experimental.optim import lr_scheduler as experimental  # noqa: PLC0415 - set up by then
    from mindspore.nn import dynamic_lr, learning_rate_schedule  # noqa: PLC0415 - as above

    assert {*dynamic_lr.__all__, *learning_rate_schedule.__all__} == rows("mindspore.nn")
    assert {*experimental.__all__} - {"LRScheduler"} == rows("mindspore.experimental.optim.lr_scheduler")


@EACH_FORM
def test_a_form_has_a_policy_or_a_reason(scheduler: Counterpart, form: Form) -> None:
    assert (form.policy is None) == bool(form.reason)
    assert form.computes in COMPUTES
    assert form.policy is None or form.computes == "reports" or len(SETTINGS[scheduler.name]) > 1


@EACH_FORM
def test_a_call_has_the_arguments_of_what_it_calls(scheduler: Counterpart, form: Form) -> None:
    if not scheduler.library.startswith("mindspore"):
        bound(form.call, {**vars(lr_scheduler), **vars(swa_utils), "get_scheduler": get_scheduler})


@pytest.mark.mindspore
@pytest.mark.one_mode
def test_a_call_has_the_arguments_of_what_it_calls_in_mindspore() -> None:
    from mindspore import nn  # noqa: PLC0415 - set up by then
    from mindspore.experimental.optim import lr_scheduler as experimental  # noqa: PLC0415 - as above

    for scheduler, form in FORMS:
        if scheduler.library.startswith("mindspore"):
            bound(form.call, vars(nn if scheduler.library == "mindspore.nn" else experimental))


def test_the_documentation_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.schedulers.page writes it"


# help


@EACH_FORM
def test_help_has_a_page_for_each(scheduler: Counterpart, form: Form) -> None:
    for name in (scheduler.name, *scheduler.also):
        text = " ".join((topic_text(name, catalog()) or "").split())
        assert text.startswith(f"scheduler `{name}` ")
        assert form.call in text
        assert (form.policy or form.reason) in text


@pytest.mark.parametrize(
    ("topic", "first"),
    [
        ("StepLR", "scheduler `torch.optim.lr_scheduler.StepLR`"),
        ("cosine_with_min_lr", 'scheduler `transformers.get_scheduler("cosine_with_min_lr")`'),
        ("get_wsd_schedule", 'scheduler `transformers.get_scheduler("warmup_stable_decay")`'),
        ("mindspore.nn.dynamic_lr.warmup_lr", "scheduler `mindspore.nn.dynamic_lr.warmup_lr`"),
        # a phase of the language first, and alone
        ("linear", "policy `linear(for, from, to)`"),
    ],
)
def test_a_scheduler_is_found_by_part_of_its_name(topic: str, first: str) -> None:
    assert (topic_text(topic, catalog()) or "").split("\n")[0] == first


def test_a_word_of_the_language_stays_one() -> None:
    assert "scheduler" not in (topic_text("linear", catalog()) or "")


def test_the_list_of_policies_has_every_scheduler() -> None:
    text = topic_text("policies", catalog()) or ""
    for each in TABLE.values():
        assert f"\n{each.library}\n" in text
        assert f"\n  {each.short} " in text
