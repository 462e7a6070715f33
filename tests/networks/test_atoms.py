"""Each atom of a filter on real networks, against a look at the modules and names themselves."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

import optplan
from tests.networks.architectures import BUILDERS, build, names_of
from tests.networks.by_hand import OPERATORS, PREDICATES, attribute_by_hand, seen, selected


@pytest.mark.parametrize("architecture", BUILDERS)
@pytest.mark.parametrize("word", PREDICATES)
def test_a_predicate_selects_what_a_look_at_the_modules_says(architecture: str, word: str) -> None:
    (found,) = selected(architecture, word)
    assert found == {name for name, it in seen(architecture).items() if PREDICATES[word](it)}


@pytest.mark.parametrize("architecture", BUILDERS)
@pytest.mark.parametrize("attribute", ["ndim", "numel", "fan_in", "fan_out", "shape[0]", "shape[-1]", "shape[2]"])
def test_an_attribute_is_that_of_the_tensor(architecture: str, attribute: str) -> None:
    every = {name: attribute_by_hand(attribute, it) for name, it in seen(architecture).items()}
    values = {name: value for name, value in every.items() if value is not None}
    for value in set(values.values()):
        for word, operator in OPERATORS.items():
            (found,) = selected(architecture, f"{attribute} {word} {value}")
            assert found == {name for name, have in values.items() if operator(have, value)}


@pytest.mark.parametrize("architecture", BUILDERS)
def test_a_name_and_each_module_above_it_is_a_path(architecture: str) -> None:
    every = [name for names in names_of(build(architecture)).values() for name in names]
    tree = sorted({".".join(name.split(".")[:end]) for name in every for end in range(1, name.count(".") + 2)})
    for prefix in tree:
        below = {
            first
            for first, it in seen(architecture).items()
            if any(name == prefix or name.startswith(f"{prefix}.") for name in it.owners)
        }
        assert selected(architecture, f'path("{prefix}")', f"path({prefix})") == [below, below]


# Patterns and what they cover in a small world of names, written out.
COVERAGE: dict[str, list[str]] = {
    "vit.layers.1": ["vit.layers.1."],
    "vit.layers.1*": ["vit.layers.1.", "vit.layers.10.", "vit.layers.11."],
    "vit.layers.1*1": ["vit.layers.11."],
    "vit.layers.1?": ["vit.layers.10.", "vit.layers.11."],
    "vit.layers.{0..2}": ["vit.layers.0.", "vit.layers.1.", "vit.layers.2."],
    "vit.layers.{9..10}": ["vit.layers.9.", "vit.layers.10."],
    "vit.layers.[13]": ["vit.layers.1.", "vit.layers.3."],
    "vit.layer": [],
    "vit.layers.**.3": ["vit.layers.3."],
    "vit.**.3": ["vit.layers.3."],
    "**.3": ["vit.layers.3."],
    ".3": ["vit.layers.3."],
    "layers.3": [],
    ".layers.3": ["vit.layers.3."],
    ".layernorm": ["vit.layernorm."],
    "*.layernorm": ["vit.layernorm."],
    "vit.{layernorm,embeddings.cls_token}": [],
    "vit.{layernorm,embeddings}.{weight,cls_token}": ["vit.layernorm.weight", "vit.embeddings.cls_token"],
    "*": [""],
    "**": [""],
    "*.*.*.*.*.*.*.*": [],
    "classifier.weight.**": ["classifier.weight"],
    "classifier.weight.*": [],
    "path(classifier.?ias)": ["classifier.bias"],
    'path("classifier.?ias")': [],
    'path(".cls_token")': ["vit.embeddings.cls_token"],
}


@pytest.mark.parametrize(("pattern", "prefixes"), COVERAGE.items(), ids=COVERAGE)
def test_coverage(pattern: str, prefixes: list[str]) -> None:
    if pattern == "vit.{layernorm,embeddings.cls_token}":
        with pytest.raises(optplan.ConfigError):
            selected("vit", pattern)
        return
    (found,) = selected("vit", pattern)
    assert found == {name for name in seen("vit") if name.startswith(tuple(prefixes))}


@pytest.mark.parametrize(
    ("architecture", "pattern"),
    [
        ("vit", r"layers\.\d+\.mlp"),
        ("gpt2", r"^lm_head"),
        ("t5", "^encoder.embed"),
        ("swin", "(?i)TABLE$"),
        ("bert", "."),
    ],
)
def test_a_regular_expression_is_searched_in_each_full_name(architecture: str, pattern: str) -> None:
    (found,) = selected(architecture, f"/{pattern}/")
    names = names_of(build(architecture))
    assert found == {first for first, every in names.items() if any(re.search(pattern, name) for name in every)}
    assert found


# Class patterns, and the classes that they mean.
CLASSES: dict[tuple[str, str], tuple[str, ...]] = {
    ("llama", "type(LlamaRMSNorm)"): ("LlamaRMSNorm",),
    ("llama", "type(*RMSNorm)"): ("LlamaRMSNorm",),
    ("llama", "type(LayerNorm, *RMSNorm)"): ("LlamaRMSNorm",),
    ("llama", "type(torch.nn.modules.linear.Linear)"): ("Linear",),
    ("llama", "type(transformers.*.LlamaRMSNorm)"): ("LlamaRMSNorm",),
    ("convnext", "type(LayerNorm)"): ("LayerNorm", "ConvNextLayerNorm"),
    ("convnext", "type(ConvNextLayerNorm)"): ("ConvNextLayerNorm",),
    ("gpt2", "type(Conv?D)"): ("Conv1D",),
    ("gpt2", "type(Conv*)"): ("Conv1D",),
    ("gpt2", "type(Linear)"): ("Linear",),
    ("resnet", "type(_BatchNorm)"): ("BatchNorm2d",),
    ("resnet", "type(Norm)"): (),
}


@pytest.mark.parametrize(("case", "classes"), CLASSES.items(), ids=[" ".join(case) for case in CLASSES])
def test_a_class_is_found_by_its_name(case: tuple[str, str], classes: tuple[str, ...]) -> None:
    architecture, where = case
    (found,) = selected(architecture, where)
    expected = {
        name
        for name, it in seen(architecture).items()
        if any(type(owner).__name__ in classes for owner in it.owners.values())
    }
    assert found == expected


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("bert", "BertAttention"),
        ("bert", "*Attention"),
        ("bert", "BertForSequenceClassification"),
        ("t5", "T5Stack"),
        ("t5", "T5Attention"),
        ("resnet", "ResNetStage"),
        ("gpt2", "Linear"),
        ("gpt2", "Attention"),
    ],
)
def test_inside_is_anywhere_below_a_module_of_that_class(architecture: str, name: str) -> None:
    (found,) = selected(architecture, f"inside({name})")
    expected = {
        first
        for first, it in seen(architecture).items()
        if any(
            fnmatchcase(cls.__name__, name)
            for modules in it.above.values()
            for module in modules
            for cls in type(module).__mro__
        )
    }
    assert found == expected
