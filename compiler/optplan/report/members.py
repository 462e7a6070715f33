"""What `help` says of the objects that a program holds: methods of `compiled`, and what a step gives.

Taken from the docstrings, so that there is one text for both.
"""

from __future__ import annotations

from inspect import Parameter, cleandoc, getmembers, isfunction, signature
from typing import TYPE_CHECKING, Any

from optplan.report.prose import prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a step gives, by the words for it.
_RESULT = frozenset({"result", "stepresult", "step_result"})
# What is no method: told by the class itself.
_HELD = frozenset({"scaler", "scheduler"})


def member_pages(topic: str, *, alone: bool) -> Iterator[str]:
    """The pages of the method that `topic` names, `report` or `compiled.report`.

    `alone` says that nothing else has the name; if not, a word without `compiled.` is a method only for `step`.
    """
    from optplan.compiled import Compiled  # noqa: PLC0415 - most topics are none of these
    from optplan.step import StepResult  # noqa: PLC0415 - as above

    first, _, name = topic.rpartition(".")
    if first not in ("", "compiled", "Compiled") or not (alone or first or name == "step"):
        return
    methods = dict(getmembers(Compiled, isfunction))
    if name in methods and not name.startswith("_"):
        yield f"method `compiled.{name}({_called(methods[name])})`\n\n{_told(methods[name])}"
    elif name in _HELD:
        yield f"`compiled.{name}`\n\n{_told(Compiled)}"
    if name == "step" or name.lower() in _RESULT:
        yield f"`StepResult({', '.join(StepResult._fields)})`\n\n{_told(StepResult)}"


def known_members() -> list[str]:
    """The words that `member_pages` knows."""
    from optplan.compiled import Compiled  # noqa: PLC0415 - see above

    methods = [name for name, _ in getmembers(Compiled, isfunction) if not name.startswith("_")]
    return [*(f"compiled.{name}" for name in methods), *methods, *sorted(_HELD), "result"]


def _called(function: Callable[..., Any]) -> str:
    """The arguments, and their defaults, without types."""
    given = [each for each in signature(function).parameters.values() if each.name != "self"]
    plain = [each.replace(annotation=Parameter.empty) for each in given]
    return str(signature(function).replace(parameters=plain, return_annotation=Parameter.empty))[1:-1]


def _told(what: Any) -> str:
    paragraphs = cleandoc(what.__doc__ or "").split("\n\n")
    return "\n\n".join(map(prose, paragraphs))
