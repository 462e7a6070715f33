"""What the installed frameworks have: names, members and signatures, read off them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from optplan.api_map import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def public(names: Iterable[str]) -> set[str]:
    """Those that do not begin with an underscore."""
    return {name for name in names if not name.startswith("_")}


def defined(module: Any) -> set[str]:
    """The public names of a module that are no modules that it happens to have, and what its `__all__` lists."""
    listed = set(getattr(module, "__all__", ()))
    named = {name for name, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)}
    return public(named) | listed


def members(instance: Any, beside: Any = None) -> set[str]:
    """The public names of an object less those that `beside` has, of a Cell also its parameters."""
    parameters = getattr(instance, "_params", {})
    return public({*dir(instance), *parameters} - set(dir(beside if beside is not None else object())))


def own_members(cls: type, bases: Iterable[type]) -> set[str]:
    """The public names that a class defines itself, less those that it overrides."""
    return public(vars(cls)) - {name for base in bases for name in dir(base)}


def signature(called: Callable[..., Any]) -> Mapping[str, Any]:
    """Names and defaults of the arguments; `**` alone, for what a class takes by name without saying which."""
    function: Any = called.__init__ if inspect.isclass(called) else called
    found = inspect.signature(_undecorated(function)).parameters.values()
    return {
        "**" if each.kind is each.VAR_KEYWORD else each.name: REQUIRED if each.default is each.empty else each.default
        for each in found
        if each.name != "self" and each.kind is not each.VAR_POSITIONAL
    }


def _undecorated(function: Any) -> Any:
    """The function that decorators of MindSpore hide behind `*args, **kwargs`."""
    while list(inspect.signature(function).parameters) == ["self", "args", "kwargs"]:
        inner = [each.cell_contents for each in function.__closure__ if inspect.isfunction(each.cell_contents)]
        function = next(each for each in inner if "self" in inspect.signature(each).parameters)
    return function
