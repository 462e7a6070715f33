"""Why a filter matches nothing, and what was probably meant.

The smallest part of the filter that holds for no parameter is blamed, with the nearest names of the network as the
cure.  All of this runs only when something is to be said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.diagnostics import nearest, suggestion
from optplan.filter import And, Inside, Path, Predicate, Regex, TypeIs
from optplan.resolve.paths import Automaton, matches
from optplan.resolve.select import PREDICATES
from optplan.resolve.select import atoms as atoms_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from optplan.config import Config, Layer, Rule
    from optplan.diagnostics import Collector
    from optplan.filter import Filter
    from optplan.resolve.network import Network
    from optplan.resolve.paths import State
    from optplan.resolve.select import Atom, Atoms, Selection

# how many names of a network a cure lists
_NAMED = 6


def explain_rule(
    rule: Rule, config: Config, network: Network, atoms: Atoms, selection: Selection, collector: Collector
) -> None:
    """Report a rule that matches no parameter (OP203)."""
    total = len(network)
    message = f"rule `{rule.label}` matches no parameter"
    culprit = _culprit(rule.where, config, atoms, selection)
    if culprit is None:
        parts = rule.where.items if isinstance(rule.where, And) else (rule.where,)
        counts = ", ".join(f"`{part}` matches {_count(part, atoms, selection)}" for part in parts)
        collector.error(
            "OP203",
            message,
            rule.where_span or rule.span,
            label=f"0 of {total} parameters",
            help="`optional: true` allows a rule to match nothing",
            notes=[f"of {total} parameters {counts}, none all of them"] if len(parts) > 1 else (),
        )
        return
    collector.error(
        "OP203",
        message,
        culprit.span or rule.where_span or rule.span,
        label=f"0 of {total} parameters",
        help=_cure(culprit, config, network) or "`optional: true` allows a rule to match nothing",
    )


def explain_atoms(
    rule: Rule, config: Config, network: Network, atoms: Atoms, selection: Selection, collector: Collector
) -> None:
    """Tell of names in a filter that hold for no parameter, though the rule as a whole matches some.

    A warning, since a file may serve networks that lack one of several names; an error where the name is nearly that
    of a predicate or a set, for then `nrom or bias` would quietly mean `bias`.
    """
    seen = 0
    for point in selection.points:
        seen |= point.mask
    for atom in atoms_of(rule.where, config.sets):
        if isinstance(atom, (Path, TypeIs, Inside)) and not seen >> atoms.numbers[atom] & 1:
            collector.error(
                "OP203",
                f"`{atom}` matches no parameter",
                atom.span or rule.where_span,
                label=f"0 of {len(network)} parameters",
                help=_cure(atom, config, network) or "`optional: true` allows a rule's names to match nothing",
                severity="error" if isinstance(atom, Path) and _near_words(atom, config, network) else "warning",
            )


def explain_layer(layer: Layer, network: Network, collector: Collector) -> None:
    """Report an entry of `layers` that covers nothing (OP208)."""
    what = " and ".join(f"`{path}`" for path in layer.patterns)
    if taken := sum(_covered(path, network) for path in layer.patterns):
        first = f"the entries above it take all {taken} parameters that it names; put it before them"
        collector.error("OP208", f"the layer {what} covers no parameter of its own", layer.span, help=first)
        return
    cures = [cure for path in layer.patterns if (cure := path_cure(path, network))]
    collector.error("OP208", f"the layer {what} covers no parameter", layer.span, help=cures[0] if cures else None)


def _count(part: Filter, atoms: Atoms, selection: Selection) -> int:
    test = atoms.test(part)
    holds = [test(point.mask) for point in selection.points]
    return sum(holds[point] for point in selection.point_of)


def _culprit(node: Filter, config: Config, atoms: Atoms, selection: Selection) -> Atom | None:
    """The first atom that holds nowhere and without which the filter cannot hold; None if there is none."""
    if isinstance(node, And):
        for item in node.items:
            if not _count(item, atoms, selection):
                return _culprit(item, config, atoms, selection)
        return None
    inside = list(atoms_of(node, config.sets))
    return inside[0] if len(inside) == 1 and not _count(inside[0], atoms, selection) else None


def _near_words(path: Path, config: Config, network: Network) -> list[str]:
    """The predicates and sets that a bare word was probably meant to be; none where a name of the network is nearer."""
    if path.form != "bare" or not path.anchored or len(path.segments) != 1:
        return []
    words = {*config.sets, *PREDICATES}
    roots = {segment for parent, segment in zip(network.parents, network.segments, strict=True) if not parent}
    roots |= {local for owner, local in zip(network.owners, network.locals, strict=True) if not owner}
    near = nearest(path.text, sorted(words | roots))
    return [word for word in near if word in words] if near and near[0] in words else []


def _cure(atom: Atom, config: Config, network: Network) -> str | None:
    match atom:
        case Path(text):
            if words := _near_words(atom, config, network):
                return f"did you mean {' or '.join(f'`{word}`' for word in words)}?"
            if text.startswith("*") and text.endswith("*") and text.strip(".*").isidentifier():
                return f"a path matches whole segments; for a part of a name write `/{text.strip('.*')}/`"
            return path_cure(atom, network)
        case Regex():
            return "a regular expression is searched in the full name, such as `" + network.names[0] + "`"
        case TypeIs(names) | Inside(names):
            dotted = "." in names[0]
            known = {name if dotted else name.rpartition(".")[2] for kind in network.kinds for name in kind.classes}
            return suggestion(names[0], sorted(known))
        case Predicate(name):
            return f"the network has no parameter that `{name}` holds for; `optional: true` allows that"
    return None


def path_cure(path: Path, network: Network) -> str | None:
    """What a path that covers nothing was probably meant to be."""
    if path.anchored and None not in path.segments:
        deep = Path(path.text, path.segments, anchored=False)
        found = _covered(deep, network)
        if found:
            return f"a path counts from the root; `.{path.text}` covers {found} parameters, at any depth"
    children: dict[int, dict[str, int]] = {}
    for module, (parent, segment) in enumerate(zip(network.parents, network.segments, strict=True)):
        if parent >= 0:
            children.setdefault(parent, {})[segment] = module
    for owner, local in zip(network.owners, network.locals, strict=True):
        children.setdefault(owner, {}).setdefault(local, -1)
    written = path.text.split(".")
    if None in path.segments or len(written) != len(path.segments):
        return None
    if not path.anchored:
        return _respelt(path, written, 0, {segment for each in children.values() for segment in each}, ".")
    reached = {0}
    for place, parts in enumerate(path.segments):
        if parts is None:
            return None
        below = {
            module
            for parent in reached
            for segment, module in children.get(parent, {}).items()
            if matches(parts, segment)
        }
        if not below:
            here = {name: module for each in reached for name, module in children.get(each, {}).items()}
            after = path.segments[place + 1] if place + 1 < len(path.segments) else None
            fits = {
                name
                for name, module in here.items()
                if after is not None and any(matches(after, child) for child in children.get(module, {}))
            }
            return _respelt(path, written, place, here, "", fits)
        reached = below - {-1}
    return None


def _respelt(
    path: Path, written: list[str], place: int, known: Iterable[str], dot: str, fits: Container[str] = ()
) -> str | None:
    """`path` with the segment at `place` put right, where that can be by a name in `fits`, which have what follows."""
    close = nearest(written[place], sorted(known))
    close = [name for name in close if name in fits] or close
    if close:
        spelt = [".".join([*written[:place], name, *written[place + 1 :]]) for name in close]
        return f"did you mean {' or '.join(f'`{dot}{name}`' for name in spelt)}?"
    if path.anchored:
        some = ", ".join(f"`{name}`" for name in sorted(known)[:_NAMED])
        where = f"below `{'.'.join(written[:place])}`" if place else "at the root"
        return f"{where} there are {some}" if some else None
    return None


def _covered(path: Path, network: Network) -> int:
    """How many parameters a path covers."""
    automaton = Automaton([path])
    states: list[State] = []
    for parent, segment in zip(network.parents, network.segments, strict=True):
        above = automaton.start if parent < 0 else states[parent]
        states.append(above.step(segment) if segment else above)
    return sum(
        bool(states[owner].step(local).covering) for owner, local in zip(network.owners, network.locals, strict=True)
    )
