"""Filters are sets of parameters: `and`, `or` and `not` obey their laws, and each atom means what it says.

What optplan selects is compared with a judge written here, which looks at torch's own modules and at one name at a
time: of a tied parameter an atom holds if it holds under any of its names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

import optplan
from tests.networks.architectures import BUILDERS, build, names_of, owners_of

if TYPE_CHECKING:
    from collections.abc import Callable

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # noqa: SLF001 - the common base
CONVOLUTIONS = (nn.modules.conv._ConvNd,)  # noqa: SLF001 - as above
LINEARS = (nn.Linear, Conv1D)
EMBEDDINGS = (nn.Embedding,)


# One parameter, looked at by hand


@dataclass(frozen=True)
class Seen:
    """One parameter under all of its names, with what holds it under each."""

    parameter: nn.Parameter
    owners: dict[str, nn.Module]
    above: dict[str, tuple[nn.Module, ...]]

    def anywhere(self, holds: Callable[[str, nn.Module], bool]) -> bool:
        return any(holds(name, owner) for name, owner in self.owners.items())


@cache
def seen(architecture: str) -> dict[str, Seen]:
    """First name -> parameter."""
    network = build(architecture)
    modules, owners, parameters = dict(network.named_modules()), owners_of(network), dict(network.named_parameters())
    found = {}
    for first, names in names_of(network).items():
        above = {}
        for name in names:
            parts = name.split(".")[:-1]
            above[name] = tuple(modules[".".join(parts[:end])] for end in range(len(parts) + 1))
        found[first] = Seen(parameters[first], {name: owners[name] for name in names}, above)
    return found


def norm_by_hand(module: nn.Module) -> bool:
    if isinstance(module, NORMS):
        return True
    named = any(re.search(r"Norm(\d+d)?$|RMSNorm\w*$", cls.__name__) for cls in type(module).__mro__)
    return named and not isinstance(module, (*LINEARS, *CONVOLUTIONS, *EMBEDDINGS))


def depthwise_by_hand(module: nn.Module) -> bool:
    return isinstance(module, CONVOLUTIONS) and module.groups == module.in_channels > 1


PREDICATES: dict[str, Callable[[Seen], bool]] = {
    "all": lambda _: True,
    "norm": lambda it: it.anywhere(lambda _, owner: norm_by_hand(owner)),
    "conv": lambda it: it.anywhere(lambda _, owner: isinstance(owner, CONVOLUTIONS)),
    "linear": lambda it: it.anywhere(lambda _, owner: isinstance(owner, LINEARS)),
    "embedding": lambda it: it.anywhere(lambda _, owner: isinstance(owner, EMBEDDINGS)),
    "depthwise": lambda it: it.anywhere(lambda _, owner: depthwise_by_hand(owner)),
    "bias": lambda it: it.anywhere(lambda name, _: name.endswith(".bias")),
    "scale": lambda it: it.anywhere(lambda name, owner: name.endswith(".weight") and norm_by_hand(owner)),
    "frozen": lambda it: not it.parameter.requires_grad,
    "tied": lambda it: len(it.owners) > 1,
    # Nothing in transformers derives from torch's own attention or recurrent modules.
    "attention": lambda _: False,
    "recurrent": lambda _: False,
}

OPERATORS = {"<": lt, "<=": le, "==": eq, "!=": ne, ">=": ge, ">": gt}


def attribute_by_hand(name: str, it: Seen) -> int | None:
    shape = tuple(it.parameter.shape)
    if name in {"fan_in", "fan_out"}:
        if len(shape) < 2:
            return None
        first_owner = next(iter(it.owners.values()))
        if isinstance(first_owner, Conv1D):
            shape = shape[::-1]
        field = 1
        for size in shape[2:]:
            field *= size
        return field * shape[name == "fan_in"]
    if name.startswith("shape"):
        place = int(name[6:-1])
        return shape[place] if -len(shape) <= place < len(shape) else None
    return {"ndim": it.parameter.ndim, "numel": it.parameter.numel()}[name]


# Paths, looked at by hand


def spelt_out(pattern: str) -> list[str]:
    """A pattern without braces, several times: one for each choice."""
    pieces = re.split(r"(\{[^}]*\})", pattern)
    choices: list[list[str]] = []
    for piece in pieces:
        if not piece.startswith("{"):
            choices.append([piece])
        elif numbers := re.fullmatch(r"\{(\d+)\.\.(\d+)\}", piece):
            choices.append([str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)])
        else:
            choices.append(piece[1:-1].split(","))
    return ["".join(each) for each in product(*choices)]


def matches(segments: list[str], names: list[str]) -> bool:
    """Whether the pattern's segments match these names, all of them."""
    if not segments:
        return not names
    if segments[0] == "**":
        return any(matches(segments[1:], names[skip:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], segments[0]) and matches(segments[1:], names[1:])


def covers(pattern: str, name: str) -> bool:
    """Whether the pattern names the parameter or a module above it."""
    names = name.split(".")
    starts = range(len(names)) if pattern.startswith(".") else range(1)
    return any(
        matches(plain.split("."), names[start:end])
        for plain in spelt_out(pattern.removeprefix("."))
        for start in starts
        for end in range(start + 1, len(names) + 1)
    )


# What optplan selects


@cache
def network(architecture: str) -> optplan.Network:
    return optplan.network(build(architecture))


def selected(architecture: str, *filters: str) -> list[frozenset[str]]:
    """The parameters that each filter selects, by one rule for each."""
    # A marker of each rule's own; what is frozen is taken in, so that it can bear one.
    keys = ("weight_decay", "lr", "eps", "betas[0]", "betas[1]")
    rules = [{"where": where, "optional": True, key: 0.5} for where, key in zip(filters, keys, strict=False)]
    optimizer = {"type": "adamw", "weight_decay": 0, "lr": 0, "eps": 0, "betas": [0, 0]}
    document = {"optplan": 1, "optimizer": optimizer, "rules": [{"where": "all", "freeze": False}, *rules]}
    plan = optplan.plan(document, network(architecture))
    found: list[set[str]] = [set() for _ in filters]
    for group in plan.groups:
        for names, key in zip(found, keys, strict=False):
            if group.own(key) == 0.5:
                names.update(group.parameters)
    return list(map(frozenset, found))


# Filters


@dataclass(frozen=True)
class Filter:
    """A text, and what it means for one parameter."""

    text: str
    holds: Callable[[Seen], bool]

    def set(self, architecture: str) -> frozenset[str]:
        return frozenset(name for name, it in seen(architecture).items() if self.holds(it))


def conjunction(a: Filter, b: Filter) -> Filter:
    return Filter(f"({a.text} and {b.text})", lambda it: a.holds(it) and b.holds(it))


def disjunction(a: Filter, b: Filter) -> Filter:
    return Filter(f"({a.text} or {b.text})", lambda it: a.holds(it) or b.holds(it))


def complement(a: Filter) -> Filter:
    return Filter(f"not {a.text}", lambda it: not a.holds(it))


def path(pattern: str, *, called: bool = False) -> Filter:
    text = f"path({pattern})" if called or pattern in PREDICATES else pattern
    return Filter(text, lambda it: it.anywhere(lambda name, _: covers(pattern, name)))


predicates = st.sampled_from([Filter(name, holds) for name, holds in PREDICATES.items()])


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    attribute = draw(st.sampled_from(["ndim", "numel", "fan_in", "fan_out", "shape[0]", "shape[1]", "shape[-1]"]))
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    number = draw(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 24, 32, 100, 256, 512]))

    def holds(it: Seen) -> bool:
        have = attribute_by_hand(attribute, it)
        return have is not None and bool(OPERATORS[operator](have, number))

    return Filter(f"{attribute} {operator} {number}", holds)


def pieces(segment: str) -> st.SearchStrategy[str]:
    """Patterns of one segment that match it, or nearly."""
    letter = st.integers(0, len(segment) - 1)
    ways = [
        st.just(segment),
        st.just("*"),
        st.just("**"),
        st.just("?" * len(segment)),
        letter.map(lambda k: segment[:k] + "*"),
        letter.map(lambda k: "*" + segment[k:]),
        letter.map(lambda k: segment[:k] + "?" + segment[k + 1 :]),
        letter.map(lambda k: segment[:k] + f"[{segment[k]}0z]" + segment[k + 1 :]),
        st.just(f"{{{segment},weight}}"),
        st.just(f"{{other,{segment[:1]}*}}"),
        st.just(segment + "?"),
        st.just(segment[:-1] or "x"),
    ]
    if segment.isdigit():
        number = int(segment)
        ways += [
            st.integers(0, number).map(lambda low: f"{{{low}..{number}}}"),
            st.integers(number, 12).map(lambda high: f"{{{number}..{high}}}"),
            st.just(f"{{{number + 1}..{number + 9}}}"),
            st.just("[0-9]"),
            st.just(f"{segment[0]}*"),
        ]
    return st.one_of(ways)


@st.composite
def paths(draw: st.DrawFn, architecture: str) -> Filter:
    every = [name for names in names_of(build(architecture)).values() for name in names]
    segments = draw(st.sampled_from(every)).split(".")
    deep = draw(st.booleans())
    start = draw(st.integers(0, len(segments) - 1)) if deep else 0
    end = draw(st.integers(start + 1, len(segments)))
    pattern = ".".join(draw(pieces(segment)) for segment in segments[start:end])
    return path(f".{pattern}" if deep else pattern, called=draw(st.booleans()))


def filters(architecture: str) -> st.SearchStrategy[Filter]:
    atoms = st.one_of(predicates, comparisons(), paths(architecture))
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(conjunction, inner, inner), st.builds(disjunction, inner, inner), inner.map(complement)
        ),
        max_leaves=6,
    )


architectures = st.sampled_from(sorted(BUILDERS))


# Laws


LAWS = {
    "idempotence of and": ("({a}) and ({a})", "{a}"),
    "idempotence of or": ("({a}) or ({a})", "{a}"),
    "commutativity of and": ("({a}) and ({b})", "({b}) and ({a})"),
    "commutativity of or": ("({a}) or ({b})", "({b}) or ({a})"),
    "associativity of and": ("(({a}) and ({b})) and ({c})", "({a}) and (({b}) and ({c}))"),
    "associativity of or": ("(({a}) or ({b})) or ({c})", "({a}) or (({b}) or ({c}))"),
    "absorption by and": ("({a}) and (({a}) or ({b}))", "{a}"),
    "absorption by or": ("({a}) or (({a}) and ({b}))", "{a}"),
    "distributivity of and": ("({a}) and (({b}) or ({c}))", "(({a}) and ({b})) or (({a}) and ({c}))"),
    "distributivity of or": ("({a}) or (({b}) and ({c}))", "(({a}) or ({b})) and (({a}) or ({c}))"),
    "De Morgan, and": ("not (({a}) and ({b}))", "not ({a}) or not ({b})"),
    "De Morgan, or": ("not (({a}) or ({b}))", "not ({a}) and not ({b})"),
    "double negation": ("not not ({a})", "{a}"),
    "excluded middle": ("({a}) or not ({a})", "all"),
    "contradiction": ("({a}) and not ({a})", "not all"),
    "identity of and": ("({a}) and all", "{a}"),
    "identity of or": ("({a}) or not all", "{a}"),
    "domination of and": ("({a}) and not all", "not all"),
    "domination of or": ("({a}) or all", "all"),
    "and before or, right": ("({a}) or ({b}) and ({c})", "({a}) or (({b}) and ({c}))"),
    "and before or, left": ("({a}) and ({b}) or ({c})", "(({a}) and ({b})) or ({c})"),
    "not before and": ("not ({a}) and ({b})", "(not ({a})) and ({b})"),
    "not before or": ("not ({a}) or ({b})", "(not ({a})) or ({b})"),
}


@pytest.mark.parametrize(("left", "right"), LAWS.values(), ids=LAWS)
@given(data=st.data(), architecture=architectures)
@settings(max_examples=25, deadline=None)
def test_law(left: str, right: str, data: st.DataObject, architecture: str) -> None:
    a, b, c = (data.draw(filters(architecture)).text for _ in range(3))
    one, other = selected(architecture, left.format(a=a, b=b, c=c), right.format(a=a, b=b, c=c))
    assert one == other


@given(data=st.data(), architecture=architectures)
@settings(max_examples=60, deadline=None)
def test_the_order_of_alternatives_is_irrelevant(data: st.DataObject, architecture: str) -> None:
    parts = [each.text for each in data.draw(st.lists(filters(architecture), min_size=2, max_size=5))]
    shuffled = data.draw(st.permutations(parts))
    for word in (" or ", " and "):
        one, other = selected(architecture, word.join(parts), word.join(shuffled))
        assert one == other


@given(data=st.data(), architecture=architectures)
@settings(max_examples=300, deadline=None)
def test_a_filter_selects_what_its_words_say(data: st.DataObject, architecture: str) -> None:
    where = data.draw(filters(architecture))
    (found,) = selected(architecture, where.text)
    assert found == where.set(architecture)


@given(data=st.data(), architecture=architectures)
@settings(max_examples=100, deadline=None)
def test_a_set_means_its_filter(data: st.DataObject, architecture: str) -> None:
    one, other = data.draw(filters(architecture)), data.draw(filters(architecture))
    document = {
        "optplan": 1,
        "optimizer": {"type": "adamw", "weight_decay": 0},
        "sets": {"second": "first or chosen", "first": one.text, "chosen": other.text},
        "rules": [
            {"where": "all", "freeze": False},
            {"where": "not second", "optional": True, "weight_decay": 0.5},
        ],
    }
    plan = optplan.plan(document, network(architecture))
    marked = {name for name in plan.names if plan.parameter(name).settings["weight_decay"] == 0.5}
    assert marked == set(plan.names) - one.set(architecture) - other.set(architecture)


# Atoms, one by one


@pytest.mark.parametrize("architecture", BUILDERS)
@pytest.mark.parametrize("word", PREDICATES)
def test_a_predicate_selects_what_a_look_at_the_modules_says(architecture: str, word: str) -> None:
    (found,) = selected(architecture, word)
    assert found == Filter(word, PREDICATES[word]).set(architecture)


@pytest.mark.parametrize("architecture", BUILDERS)
@pytest.mark.parametrize("attribute", ["ndim", "numel", "fan_in", "fan_out", "shape[0]", "shape[-1]", "shape[2]"])
def test_an_attribute_is_that_of_the_tensor(architecture: str, attribute: str) -> None:
    values = {name: attribute_by_hand(attribute, it) for name, it in seen(architecture).items()}
    for value in {*values.values()} - {None}:
        for word, operator in OPERATORS.items():
            (found,) = selected(architecture, f"{attribute} {word} {value}")
            assert found == {name for name, have in values.items() if have is not None and operator(have, value)}


@given(data=st.data(), architecture=architectures)
@settings(max_examples=400, deadline=None)
def test_a_path_covers_what_it_names_and_all_below(data: st.DataObject, architecture: str) -> None:
    drawn = data.draw(st.lists(paths(architecture), min_size=1, max_size=5))
    found = selected(architecture, *(each.text for each in drawn))
    assert found == [each.set(architecture) for each in drawn]


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
