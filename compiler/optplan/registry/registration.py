"""What makes optimizers and policies of one's own part of the language.

`register` takes definitions; what installed packages offer by the entry points `optplan.optimizers` and
`optplan.policies`, each named as what it defines, is taken in by `take_in` when a document or a plan names it.  Either
way a new catalog takes the place of the one before.  A document only names what is registered: nothing in it says what
is imported.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from traceback import format_exception_only
from typing import TYPE_CHECKING

from optplan.catalog import catalog, change_catalog, read_catalog
from optplan.diagnostics import Collector, ConfigError, Diagnostic, nearest, suggestion
from optplan.registry.definition import Definition, OwnOptimizer, OwnPolicy
from optplan.registry.document import with_optimizer, with_policy
from optplan.registry.entries import optimizer_entry, policy_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.metadata import EntryPoint
    from typing import Any

    from optplan.catalog import Catalog
    from optplan.registry.mention import Kind, Mention
    from optplan.source import Span

_GROUPS: dict[Kind, str] = {"optimizer": "optplan.optimizers", "policy": "optplan.policies"}


def register(*definitions: Definition) -> None:
    """Add optimizers and policies of one's own: from now on documents may name them, and plans ask for them.

    A definition that is registered again is the same one; another one of its name, or of a name that the language has,
    is a ValueError.  What a definition gets wrong is a ValueError or TypeError; then none of them is registered.
    """
    change_catalog(lambda known: _with_all(known, definitions))


def _with_all(known: Catalog, definitions: Iterable[Definition]) -> Catalog:
    for each in definitions:
        known = _with(known, each)
    return known


def _with(known: Catalog, given: Definition) -> Catalog:
    """The catalog that has `given` too."""
    document, functions = known.document, _functions(known)
    entry: dict[str, Any]
    if isinstance(given, OwnOptimizer):
        section, what, entry = "optimizers", "an optimizer", optimizer_entry(given, document)
    elif isinstance(given, OwnPolicy):
        section, what, entry = "policies", "a policy", policy_entry(given)
    else:
        raise TypeError(f"an `OwnOptimizer` or an `OwnPolicy` is registered, not {given!r}")
    there = document["$defs"][section].get(given.name)
    if there is not None:
        if not there["x-optplan"].get("own"):
            raise ValueError(f"{given.name!r} is {what} of the language: give yours another name")
        same = isinstance(given, OwnOptimizer) or _same(given.function, functions[given.name])
        if there != entry or not same:
            raise ValueError(f"{given.name!r} is registered already, with another definition")
    if isinstance(given, OwnOptimizer):
        return known if there is not None else read_catalog(with_optimizer(document, given.name, entry), functions)
    return read_catalog(with_policy(document, given.name, entry), {**functions, given.name: given.function})


def _functions(known: Catalog) -> dict[str, Callable[..., float]]:
    return {name: policy.function for name, policy in known.policies.items() if policy.function is not None}


def _same(function: Callable[..., float], other: Callable[..., float]) -> bool:
    """Whether they are one function, perhaps of a module that was read again."""
    places = [(getattr(each, "__module__", None), getattr(each, "__qualname__", "<")) for each in (function, other)]
    return function is other or (places[0] == places[1] and "<" not in places[0][1])


# What packages offer


def take_in(mentions: Iterable[Mention], collector: Collector) -> bool:
    """Register what installed packages offer of the names in `mentions`; False where one of these cannot be used.

    A name that nobody offers is left to who reads the document; what has a similar name is taken in too, so that he can
    propose it.
    """
    wanted = [each for each in mentions if each.name not in _known(each.kind)]
    sound = True
    for kind in dict.fromkeys(each.kind for each in wanted):
        offers = _offers(kind)
        for mention in wanted:
            if mention.kind == kind and mention.name in offers:
                sound &= _taken(kind, offers[mention.name], collector, mention.span)
            elif mention.kind == kind:
                for name in nearest(mention.name, offers):
                    _taken(kind, offers[name], Collector())
    return sound


def require(mentions: Iterable[Mention]) -> None:
    """Have all of `mentions` registered, by packages that offer them; ConfigError (OP505, OP603) where that cannot be.

    This is for plans that were made elsewhere; a document says where it names what is not there.
    """
    wanted = [each for each in mentions if each.name not in _known(each.kind)]
    collector = Collector()
    if take_in(wanted, collector):
        for kind, name, span in wanted:
            if name not in _known(kind):
                message = f"the plan asks for the {kind} `{name}`, which is not registered here"
                cure = "import the module that registers it first, or install the package that does"
                collector.error("OP505", message, span, help=suggestion(name, _known(kind), cure))
    collector.check()


def take_in_all(collector: Collector) -> None:
    """Register all that installed packages offer; what cannot be used is a warning."""
    found = Collector()
    for kind in _GROUPS:
        for points in _offers(kind).values():
            _taken(kind, points, found)
    for each in found.diagnostics:
        collector.warning(each.code, each.message, help=each.help)


def _known(kind: Kind) -> Mapping[str, object]:
    return catalog().optimizers if kind == "optimizer" else catalog().policies


def _offers(kind: Kind) -> dict[str, list[EntryPoint]]:
    """The entry points of one group by name; distributions of one name on the path twice count once."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - few documents name what is not built in

    offers: dict[str, list[EntryPoint]] = {}
    for each in entry_points(group=_GROUPS[kind]):
        beside = offers.setdefault(each.name, [])
        if all(_owner(each) != _owner(other) or each.value != other.value for other in beside):
            beside.append(each)
    return offers


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _taken(kind: Kind, points: list[EntryPoint], collector: Collector, span: Span | None = None) -> bool:
    """Whether the definition behind the entry points of one name, which should be one, could be registered."""
    point = points[0]
    if point.name in _known(kind):
        return True
    if len(points) > 1:
        owners = " and ".join(f"`{_owner(each)}`" for each in points)
        message = f"the {kind} `{point.name}` is registered by several packages: {owners}"
        collector.error("OP603", message, span, help="uninstall all but one of them")
        return False
    try:
        # what a module prints when it is imported is no data
        with redirect_stdout(sys.stderr):
            definition = point.load()
            _check_offer(kind, point, definition)
            register(definition)
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - whatever a package gets wrong is told as its fault
        message = f"the {kind} `{point.name}`, which the package `{_owner(point)}` registers, cannot be used"
        cure = f"its entry point is `{point.group}: {point.name} = {point.value}`; repair `{_owner(point)}`"
        collector.error("OP603", f"{message}: {_last_line(fault)}", span, help=f"{cure}, or uninstall it")
        return False
    return True


def _check_offer(kind: Kind, point: EntryPoint, definition: object) -> None:
    wanted = OwnOptimizer if kind == "optimizer" else OwnPolicy
    if not isinstance(definition, wanted):
        raise TypeError(f"it is a `{type(definition).__name__}`, not an `{wanted.__name__}`")
    if definition.name != point.name:
        raise ValueError(f"it defines {definition.name!r}")


def import_registering(names: Iterable[str]) -> None:
    """Import modules for what they register, from the current directory first; ConfigError (OP603) if one fails."""
    for name in names:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            with redirect_stdout(sys.stderr):
                import_module(name)
        except (Exception, SystemExit) as fault:
            cure = None
            if isinstance(fault, ModuleNotFoundError) and f"{name}.".startswith(f"{fault.name}."):
                cure = "modules are looked for in the current directory, and where Python finds installed ones"
            message = f"`{name}` could not be imported: {_last_line(fault)}"
            raise ConfigError([Diagnostic("OP603", "error", message, help=cure)]) from fault


def _last_line(error: BaseException) -> str:
    """The kind of the error and the last line of what it says."""
    lines = format_exception_only(error)[-1].strip().splitlines()
    return lines[-1] if len(lines) == 1 else f"{type(error).__name__}: {lines[-1].strip()}"
