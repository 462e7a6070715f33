"""A live network from the words `package.module:callable`.

The module is imported with the current directory first on the path, the callable is called with the keywords given:
where torch takes part on its meta device, where MindSpore does with parameters that are not initialised, so that
nothing is computed and no memory taken.  Guarantees that whatever goes wrong in the user's code is one `ConfigError`
(OP602) with the last line of its error, and that nothing of what that code prints gets into the data on standard
output.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any

from optplan.diagnostics import ConfigError, Diagnostic, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

_FORM = "write `--network package.module:callable`"


def build(spec: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """What the callable named by `spec` returns; a network that stands there ready is taken as it is."""
    place, colon, name = spec.partition(":")
    if not colon or not place or not name:
        raise _fault(f"`{spec}` names no callable", _FORM)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    with redirect_stdout(sys.stderr):
        found = _look_up(spec, _import(place), name)
        if not isinstance(found, type) and (hasattr(found, "named_parameters") or hasattr(found, "get_parameters")):
            return found
        if not callable(found):
            raise _fault(f"`{spec}` is a `{type(found).__name__}`, which cannot be called", _FORM)
        try:
            made = _call(found, arguments or {})
        except (Exception, SystemExit) as error:
            raise _fault(
                f"`{spec}` could not be called: {_last_line(error)}",
                "it is called on torch's meta device, where tensors have no values"
                if "meta" in str(error)
                else "`--network-args` gives it keyword arguments, as JSON",
            ) from error
    if isinstance(made, (str, PathLike)):
        raise _fault(f"`{spec}` returned a text, not a network", "return the module itself")
    return made


def _import(place: str) -> Any:
    try:
        return import_module(place)
    except (Exception, SystemExit) as error:
        raise _fault(f"`{place}` could not be imported: {_last_line(error)}", _cure(error, place)) from error


def _cure(error: BaseException, place: str) -> str | None:
    """What to do where it is the module itself that is not there."""
    missing = (
        isinstance(error, ModuleNotFoundError) and error.name is not None and f"{place}.".startswith(f"{error.name}.")
    )
    return "modules are looked for in the current directory, and where Python finds installed ones" if missing else None


def _look_up(spec: str, module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except Exception as error:
            known = [each for each in dir(found) if not each.startswith("_")]
            raise _fault(f"there is no `{part}` in `{spec.partition(':')[0]}`", suggestion(part, known)) from error
    return found


def _call(found: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What the callable returns, made without values where that can be."""
    with _meta():
        if "mindspore" not in sys.modules:
            return found(**arguments)
        try:
            with _uninitialised():
                return found(**arguments)
        except Exception:  # noqa: BLE001 - whatever the values that are missing make go wrong in the user's code
            # It computes with them, so it has to have them; what else is wrong with it, it says again.
            return found(**arguments)


def _meta() -> AbstractContextManager[Any]:
    """The meta device of torch where a network of torch is to be expected, else nothing."""
    if "torch" not in sys.modules and ("mindspore" in sys.modules or find_spec("torch") is None):
        return nullcontext()
    device: AbstractContextManager[Any] = import_module("torch").device("meta")
    return device


def _uninitialised() -> AbstractContextManager[Any]:
    """MindSpore's way to make Cells whose parameters take no memory; nothing in a release that has none."""
    # Operations run on their own time, and one that has no values to work on would fail later, in the midst of others:
    # from here on the process waits for each.
    import_module("mindspore.runtime").launch_blocking()
    without: AbstractContextManager[Any] = getattr(
        import_module("mindspore.nn.utils"), "no_init_parameters", nullcontext
    )()
    return without


def _last_line(error: BaseException) -> str:
    """The kind of the error and the last line of what it says."""
    lines = format_exception_only(error)[-1].strip().splitlines()
    return lines[-1] if len(lines) == 1 else f"{type(error).__name__}: {lines[-1].strip()}"


def _fault(message: str, cure: str | None) -> ConfigError:
    return ConfigError([Diagnostic("OP602", "error", message, help=cure)])
