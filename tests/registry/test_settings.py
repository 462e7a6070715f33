"""What a definition may say of its settings, and what it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import optplan
from optplan.catalog import catalog
from tests.registry import classes

if TYPE_CHECKING:
    from optplan.setting import Setting

PATH = "package.module.Mine"


def setting(name: str, said: Any) -> Setting:
    """The setting of an optimizer that is registered with nothing but it."""
    optplan.register(optplan.OwnOptimizer("mine", torch=PATH, settings={name: said}))
    found = catalog().optimizers["mine"].setting(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "said", "kind", "default", "allowed", "refused"),
    [
        ("power", 2, "float", 2.0, [0, -3.5, 1e30], [True, "2", None]),
        ("power", {"type": "number", "default": 1, "minimum": 0, "exclusiveMaximum": 2}, "float", 1.0, [0], [-1, 2]),
        ("power", {"default": 1, "exclusiveMinimum": 0, "maximum": 2}, "float", 1.0, [2], [0, 2.5]),
        ("power", {"type": ["number", "null"], "default": None}, "float", None, [None, 1], ["a"]),
        ("power", {"type": "integer", "default": 3, "minimum": 1}, "int", 3, [1, 7], [0, 1.5]),
        ("lazy", False, "bool", False, [True], [0, 1, None]),
        ("mode", {"enum": ["fast", "exact"], "default": "fast"}, "word", "fast", ["exact"], ["slow", None]),
        ("mode", {"enum": ["fast", None], "default": None}, "word", None, ["fast", None], ["slow"]),
        ("pair", (0.5, 2), "list", (0.5, 2.0), [[1, -1]], [[1], [1, 2, 3], 1]),
        ("pair", {"default": [0, 0], "prefixItems": [{"maximum": 1}, {}]}, "list", (0.0, 0.0), [[1, 9]], [[2, 0]]),
        # of these names the language knows more than the definition says
        ("weight_decay", 0, "float", 0.0, [1], [-1]),
        ("betas", (0.9, 0.99), "list", (0.9, 0.99), [[0, 0]], [[1, 0], [-1, 0]]),
        ("eps", 1e-8, "float", 1e-8, [0], [-1]),
        ("lr", 0.5, "float", 0.5, [0, 3], [-1]),
        ("lr", {"description": "The length of a step."}, "float", 1e-3, [0], [-1]),
        # unless it says something else
        ("betas", (0.9, 0.99, 0.999), "list", (0.9, 0.99, 0.999), [[0, 1, 2]], [[0, 0]]),
        ("weight_decay", {"type": "number", "default": -1}, "float", -1.0, [-7], ["x"]),
    ],
)  # fmt: skip
def test_a_setting(name: str, said: Any, kind: str, default: Any, allowed: list[Any], refused: list[Any]) -> None:
    found = setting(name, said)
    assert (found.kind, found.default) == (kind, default)
    assert [found.check(value) for value in (default, *allowed)] == [None] * (1 + len(allowed))
    assert all(found.check(value) is not None for value in refused)
    assert found.description.endswith(".")


def test_lr_is_always_there_and_has_the_default_of_pytorch() -> None:
    optplan.register(optplan.OwnOptimizer("mine", torch=PATH, settings={"power": 2}))
    kind = catalog().optimizers["mine"]
    assert kind.defaults == {"lr": 0.001, "power": 2.0}
    assert kind.scheduled == ("lr",)


def test_settings_left_out_are_read_off_the_signature() -> None:
    optplan.register(optplan.OwnOptimizer("heavy", torch=classes.Heavy, scheduled=("lr", "betas[2]")))
    kind = catalog().optimizers["heavy"]
    assert [(each.name, each.kind, each.default) for each in kind.settings.values()] == [
        ("lr", "float", 0.1),
        ("betas", "list", (0.9, 0.99, 0.999)),
        ("weight_decay", "float", 0.0),
        ("depth", "int", 2),
        ("lazy", "bool", False),
    ]
    (by,) = kind.lowerings["torch"]
    assert (by.class_name, by.options) == ("tests.registry.classes.Heavy", ("foreach",))
    assert kind.refusals == {"mindspore": "it was registered with a class for torch only"}


def make_local() -> type:
    """A class that nobody can import."""

    class Local(classes.Heavy):
        pass

    return Local


FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": "adamw"}, ValueError, "'adamw' is an optimizer of the language: give yours another name"),
    ({"name": "mindspore.Momentum"}, ValueError, "names that begin with `torch.` or `mindspore.` are the frameworks'"),
    ({"name": "torch.Mine"}, ValueError, "names that begin with `torch.` or `mindspore.` are the frameworks' own"),
    ({"name": "Mine"}, ValueError, "'Mine' is no name of an optimizer: write it in lower case, or as `package.Name`"),
    ({"name": "my-own"}, ValueError, "'my-own' is no name of an optimizer"),
    ({"name": 3}, ValueError, "3 is no name of an optimizer"),
    ({"torch": None}, ValueError, "'mine' has no class: give `torch`, `mindspore` or both"),
    ({"torch": "Mine"}, ValueError, "'Mine' is no name of a class: write `package.module.Class`"),
    ({"torch": 7}, TypeError, "`torch` is a class or the name of one, not 7"),
    ({"torch": dict}, TypeError, "`torch` is a subclass of torch.optim.Optimizer, and dict is none"),
    ({"mindspore": classes.Heavy}, TypeError, "`mindspore` is a subclass of mindspore.nn.Optimizer, and Heavy is none"),
    ({"torch": make_local()}, ValueError, "Local cannot be found by its name: define it at the top of a module"),
    ({"torch": optplan.Native(PATH, constants={"a": 1})}, ValueError, "`arguments` and `constants` are for MindSpore"),
    ({"settings": None}, ValueError, "`settings` is left out, and no class is given to read them off"),
    ({"settings": None, "torch": classes.Vague}, TypeError, "the signature of Vague does not name its settings"),
    ({"settings": None, "torch": classes.Strict}, TypeError, "the signature of Strict has no default for 'power'"),
    ({"settings": None, "torch": classes.Wordy}, TypeError, "the signature of Wordy does not say what 'mode' may be"),
    ({"settings": ["lr"]}, TypeError, "`settings` is a mapping of names to defaults or schemas"),
    ({"settings": {"a b": 1}}, ValueError, "'a b' is no name of a setting"),
    ({"settings": {"type": 1}}, ValueError, "a setting cannot be called 'type': that has a meaning of its own"),
    ({"settings": {"params": 1}}, ValueError, "a setting cannot be called 'params'"),
    ({"settings": {"foreach": True}}, ValueError, "a setting cannot be called 'foreach'"),
    ({"settings": {"a": {"minimum": 0}}}, ValueError, "setting 'a' has no default"),
    ({"settings": {"a": {"default": 1, "min": 0}}}, ValueError, "setting 'a': 'min' is none of default, description"),
    ({"settings": {"a": {"default": 1, "type": "text"}}}, ValueError, "setting 'a': `type` is `number`, `integer`"),
    ({"settings": {"a": None}}, TypeError, "setting 'a': its default None does not say its `type`"),
    ({"settings": {"a": "fast"}}, TypeError, "setting 'a': its default 'fast' does not say its `type`, or the words"),
    ({"settings": {"a": {"default": -1, "minimum": 0}}}, ValueError, "setting 'a': its default -1 must be at least 0"),
    ({"settings": {"a": {"default": float("inf")}}}, ValueError, "setting 'a': its default inf must be finite"),
    ({"settings": {"momentum": -1}}, ValueError, "setting 'momentum': its default -1 must be at least 0"),
    ({"settings": {"a": {"default": "x", "enum": ["y"]}}}, ValueError, "setting 'a': its default 'x' must be `y`"),
    ({"settings": {"a": ()}}, ValueError, "setting 'a': a list says by `prefixItems`, or by its default, what stands"),
    ({"scheduled": "lr"}, TypeError, "`scheduled` is a list of names, not the text 'lr'"),
    ({"scheduled": ["lr", "momentum"]}, ValueError, "`scheduled` names 'momentum', and there is lr"),
    ({"settings": {"a": True}, "scheduled": ["a"]}, ValueError, "`scheduled` names 'a', and there is lr"),
    ({"torch": optplan.Native(PATH, scheduled=["eps"])}, ValueError, "`scheduled` names 'eps', and there is lr"),
    ({"torch": optplan.Native(PATH, options=["fast"])}, ValueError, "`options` names 'fast', and there is "),
    ({"mindspore": optplan.Native(PATH, arguments={"b": "c"})}, ValueError, "`arguments` names 'b', and there is lr"),
    ({"gradients": "some"}, ValueError, "`gradients` is 'dense', 'sparse' or 'both', not 'some'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "says"), FAULTS, ids=[says[:40] for _, _, says in FAULTS])
def test_a_fault_is_told_when_it_is_registered(given: dict[str, Any], kind: type[Exception], says: str) -> None:
    before = catalog()
    definition = optplan.OwnOptimizer(**{"name": "mine", "torch": PATH, "settings": {}, **given})
    with pytest.raises(kind) as caught:
        optplan.register(definition)
    assert says in str(caught.value)
    assert catalog() is before
