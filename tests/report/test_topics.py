"""`help TOPIC`: a page for everything that has a name."""

from __future__ import annotations

import pytest

from optplan.catalog import catalog
from optplan.report.topics import known_topics, topic_text, topics_text


@pytest.mark.parametrize("topic", known_topics(catalog()))
def test_every_name_has_a_page(topic: str) -> None:
    text = topic_text(topic, catalog())
    assert text
    assert all(len(line) <= 100 for line in text.split("\n"))


@pytest.mark.parametrize("topic", ["OP999", "torch.optim.Sdg", "optimizer.adamw.beta", "", "rules."])
def test_what_has_no_name_has_no_page(topic: str) -> None:
    assert topic_text(topic, catalog()) is None


@pytest.mark.parametrize(
    ("topic", "first"),
    [
        ("OP203", "OP203: a rule that matches no parameter"),
        ("op203", "OP203: a rule that matches no parameter"),
        ("betas", "setting `betas`"),
        ("optimizer.adamw.betas", "key `optimizer.adamw.betas`"),
        ("rules.where", "key `rules.where`"),
        ("where", "key `rules.where`"),
        ("horizon.steps", "key `horizon.steps`"),
        ("loss_scale.dynamic", "key `loss_scale.dynamic`"),
        ("dynamic", "key `loss_scale.dynamic`"),
        ("drop_overflow", "key `loss_scale.fixed.drop_overflow`"),
        ("steps", "key `horizon.steps`"),
        ("torch.optim.SGD", "class `torch.optim.SGD`"),
        ("mindspore.Momentum", "optimizer `mindspore.Momentum`"),
        ("mindspore.momentum", "optimizer `mindspore.Momentum`"),
        ("mindspore.nn.Momentum", "class `mindspore.nn.Momentum`"),
        ("mindspore.nn.LARS", "class `mindspore.nn.LARS`"),
        ("mindspore.nn.thor", "class `mindspore.nn.thor`"),
        ("optimizer.mindspore.Adam.beta1", "key `optimizer.mindspore.Adam.beta1`"),
        ("beta1", "setting `beta1`"),
        ("torch.fused", "key `torch.fused`"),
        ("adamw", "optimizer `adamw`"),
        ("norm", "predicate `norm`"),
        ("ndim", "attribute `ndim`"),
    ],
)
def test_a_page_begins_with_its_name(topic: str, first: str) -> None:
    text = topic_text(topic, catalog())
    assert text is not None
    assert text.split("\n")[0] == first


def test_a_class_tells_its_canonical_name() -> None:
    assert "`type: sgd`" in (topic_text("torch.optim.SGD", catalog()) or "")
    assert "`type: sparse_adam`" in (topic_text("SparseAdam", catalog()) or "")


def text_of(topic: str) -> str:
    """The page on one line."""
    return " ".join((topic_text(topic, catalog()) or "").split())


def test_a_class_whose_arguments_have_other_names_tells_them() -> None:
    text = text_of("mindspore.nn.Adadelta")
    assert "It is written `type: adadelta` (where maximize == false" in text
    assert "There learning_rate is `lr`, epsilon is `eps`; its other arguments have the same names: rho" in text
    assert "It is written `type: mindspore.Adadelta`. There learning_rate is `lr`; its other arguments" in text
    assert "Its arguments have the same names there: lr, betas, eps" in text_of("torch.optim.Adam")


def test_what_one_framework_alone_has_tells_the_nearest_that_all_have() -> None:
    assert "Only mindspore has it; `sgd` is the nearest that every framework has." in text_of("mindspore.Momentum")
    assert "lr required;" in text_of("mindspore.Momentum")
    assert "It cannot be written in a document: it takes the network itself" in text_of("thor")


def test_the_list_names_what_one_framework_alone_has() -> None:
    text = " ".join(topics_text(catalog()).split())
    assert "mindspore.NAME what mindspore alone has: Momentum, SGD" in text
    assert "torch.NAME what torch alone has: LBFGS" in text


def test_a_word_with_two_meanings_has_two_pages() -> None:
    text = topic_text("linear", catalog()) or ""
    assert "policy `linear(for, from, to)`" in text
    assert "predicate `linear`" in text


def test_what_is_not_supported_says_so() -> None:
    unsupported = [name for name, policy in catalog().policies.items() if not policy.supported]
    for name in unsupported:
        assert "not support it yet" in (topic_text(name, catalog()) or "")


def test_the_list_names_every_supported_policy() -> None:
    text = topics_text(catalog())
    assert all(name in text for name, policy in catalog().policies.items() if policy.supported)


@pytest.mark.parametrize("key", ["clip", "loss_scale"])
def test_a_key_lists_its_forms_and_each_has_a_page(key: str) -> None:
    for name, form in catalog().forms[key].types.items():
        assert f" {name} " in text_of(key)
        page = topic_text(f"{key}.{name}", catalog()) or ""
        assert page.startswith(f"key `{key}.{name}`")
        assert f"written `{name}(" in page
        assert all(f"  {argument} " in page for argument in form.arguments)


def test_the_page_of_a_form_has_its_defaults_and_ranges() -> None:
    text = text_of("loss_scale.dynamic")
    assert "written `dynamic(init=65536, growth=2, backoff=0.5, every=2000)`" in text
    assert "backoff 0.5 if left out; a number above 0 and below 1 or an expression." in text
    assert "every 2000 if left out; a whole number of at least 1 and at most 2147483647 or an expression." in text
    assert "floor of 1" in text
    assert "required; a number above 0 and at most 3.40282e+38 or an expression." in text_of("clip.norm.limit")


def test_the_page_of_accumulate_says_what_units_count() -> None:
    assert text_of("accumulate").endswith("Durations and the horizon count updates.")


def test_the_page_of_the_type_says_what_it_decides() -> None:
    assert "decides the formula of an update" in (topic_text("optimizer.type", catalog()) or "")


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("step", ("policy `step(", "method `compiled.step(loss", "`skipped` that an update was due")),
        ("result", ("`StepResult(loss, grad_norm, scale, updated, skipped)`",)),
        ("report", ("method `compiled.report(", "each `plateau` of the plan")),
        ("scaler", ("`scaler` is a `torch.amp.GradScaler`",)),
        ("compiled.lr", ("method `compiled.lr()`",)),
        ("wsd", ("warmup(5%) -> hold() -> linear(10%, to=0x)",)),
    ],
)
def test_what_a_program_holds_and_schedules_by_their_names_have_pages(topic: str, words: tuple[str, ...]) -> None:
    text = " ".join((topic_text(topic, catalog()) or "").split())
    assert all(each in text for each in words)
    assert topic in known_topics(catalog())
