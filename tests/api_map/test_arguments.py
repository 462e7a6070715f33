"""The arguments of the map are those of the installed classes, with their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from torch import zeros
from torch.nn import Parameter as Weight

from optplan.api_map import REQUIRED, Argument, Pair, arguments, native_arguments, optimizer_classes, pairs
from optplan.catalog import catalog
from tests.api_map.installed import signature
from tests.api_map.running import of

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES = optimizer_classes()


def compared(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The arguments of a class as the map has them, and as its signature does."""
    ours, theirs = dict(native_arguments(name, catalog())), dict(signature(of(name)))
    if theirs.pop("**", None) is not None:
        # what it takes without naming it: this package's own tests build each class with these
        unnamed = {"mindspore.nn.Adam": {"use_lazy", "use_offload"}, "mindspore.nn.OptTFTWrapper": set()}[name]
        theirs |= {key: ours[key] for key in unnamed}
    return ours, {key: "a function" if callable(default) else default for key, default in theirs.items()}


def held(name: str) -> None:
    ours, theirs = compared(name)
    assert ours.keys() == theirs.keys()
    for key, default in ours.items():
        assert (default == REQUIRED) == (theirs[key] == REQUIRED), key
        assert default == (list(theirs[key]) if isinstance(default, list) else theirs[key]), key
        assert type(default) is not bool or type(theirs[key]) is bool, key


@pytest.mark.parametrize("name", [name for name in CLASSES if name.startswith("torch.")])
def test_torch(name: str) -> None:
    held(name)


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize("name", [name for name in CLASSES if name.startswith("mindspore.")])
def test_mindspore(name: str) -> None:
    held(name)


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: f"{pair.torch}-{pair.mindspore}")
def test_a_pair_has_each_argument_of_both_once(pair: Any) -> None:
    found = arguments(pair, catalog())
    torch = [each.torch for each in found if each.torch is not None]
    mindspore = [name for each in found for name in each.mindspore]
    assert sorted(torch) == sorted(native_arguments(pair.torch, catalog()))
    assert sorted(mindspore) == sorted(native_arguments(pair.mindspore, catalog()))


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: f"{pair.torch}-{pair.mindspore}")
def test_the_same_means_the_same_default(pair: Any) -> None:
    for each in arguments(pair, catalog()):
        if each.verdict == "same":
            assert each.alike
            assert each.defaults[0] == each.defaults[1]
        if each.alike and each.verdict == "different":
            assert each.defaults[0] != each.defaults[1] or each.bounds
        assert each.key
        assert bool(each.how) != each.alike


# Of each argument that one class takes less of, a number that it refuses and the other one takes.
REFUSED: Mapping[str, float] = {"dampening": -0.5, "lr": 0.0, "betas": 0.0, "eps": 0.0, "d": 0.5, "weight_decay": 1.0}
BOUNDED = [(pair, each) for pair in pairs() for each in arguments(pair, catalog()) if each.bounds]


@pytest.mark.mindspore
@pytest.mark.one_mode
@pytest.mark.parametrize(
    ("pair", "argument"), BOUNDED, ids=lambda each: each.mindspore if isinstance(each, Pair) else each.torch
)
def test_the_class_that_takes_less_refuses_what_the_other_one_takes(pair: Pair, argument: Argument) -> None:
    from mindspore import Parameter, Tensor  # noqa: PLC0415 - set up by then

    value = REFUSED[argument.torch or ""]
    given: Any = (value, 0.9) if argument.torch == "betas" else value

    def torch() -> object:
        return of(pair.torch)([Weight(zeros(1))], **{argument.torch or "": given})

    def mindspore() -> object:
        settings = {"learning_rate": None if pair.mindspore.endswith("AdaFactor") else 0.1}
        return of(pair.mindspore)([Parameter(Tensor([1.0]), name="p")], **settings | {argument.mindspore[0]: value})

    takes, refuses = (torch, mindspore) if argument.bounds.startswith("MindSpore") else (mindspore, torch)
    takes()
    with pytest.raises(ValueError, match=r"must be|should be|Invalid|invalid"):
        refuses()
