"""Config and network to plan: points, cases, groups, and what is to be said of them.

The cost is linear in the parameters: `select` looks each up once, the cascade settles each distinct kind once, and
here each parameter is put into its group.  Parameters that share optimizer, values, curves and options share a group,
so a plan has the fewest that its values allow; groups stand in the order of their first parameters.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, TypeVar

from optplan.filter import Inside, Predicate, TypeIs
from optplan.resolve.cascade import Cascade
from optplan.resolve.forms import resolve_training
from optplan.resolve.plan import Case, Group, Origin, Plan
from optplan.resolve.schedule import Resolver
from optplan.resolve.select import INHERITED, Atoms, select
from optplan.resolve.unmatched import explain_atoms, explain_layer, explain_rule
from optplan.resolve.value import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optplan.catalog import Catalog
    from optplan.config import Config
    from optplan.diagnostics import Collector
    from optplan.resolve.forms import Training
    from optplan.resolve.horizon import Horizon
    from optplan.resolve.network import Network
    from optplan.resolve.select import Selection
    from optplan.resolve.sheet import Outcome, Treated

P = TypeVar("P", bound=Plan)

TARGETS = ("torch", "mindspore")
# Predicates that a view without modules cannot answer.
_ASKS_MODULES = frozenset({"norm", "conv", "linear", "embedding", "depthwise", "scale"}) | INHERITED


def make_plan(
    config: Config,
    network: Network,
    catalog: Catalog,
    horizon: Horizon,
    let: Mapping[str, int | float],
    collector: Collector,
    kind: type[P],
) -> P:
    """The plan of `config` for `network`; faults go to `collector`, which raises at the end if there are errors.

    `let` has the numbers of the file's `let`, evaluated.
    """
    atoms = Atoms([rule.where for rule in config.rules], config.sets)
    _check_knowledge(network, atoms, collector)
    collector.check()
    selection = select(network, atoms.numbers, config.layers)
    targets = TARGETS if network.target is None else (network.target,)
    scope = Scope(let, None, selection.layers if config.layers else None)
    resolver = Resolver(horizon, scope, collector, strict=True)
    cascade = Cascade(config, catalog, atoms, scope, resolver, targets, collector)
    first: dict[int, int] = {}
    for index, point in enumerate(selection.point_of):
        first.setdefault(point, index)
    outcomes = [cascade.settle(point, network.names[first[k]]) for k, point in enumerate(selection.points)]
    _report(config, network, atoms, selection, cascade, outcomes, collector)
    training = resolve_training(config, catalog, let, collector)
    collector.check()
    return _assemble(config, network, selection, outcomes, horizon, training, collector, kind)


def _assemble(
    config: Config,
    network: Network,
    selection: Selection,
    outcomes: list[Outcome],
    horizon: Horizon,
    training: Training,
    collector: Collector,
    kind: type[P],
) -> P:
    numbers: dict[Treated, int] = {}
    members: list[list[str]] = []
    sizes: list[int] = []
    cases: dict[int, int] = {}
    made: list[tuple[Outcome, int]] = []
    # By point: its case, its group's list of names (None where it stays out), its size.
    case_at: list[int] = []
    group_at: list[int] = []
    size_at: list[int] = []
    for point, outcome in zip(selection.points, outcomes, strict=True):
        group = -1
        if outcome.treatment is not None:
            group = numbers.setdefault(outcome.treatment, len(numbers))
            if group == len(members):
                members.append([])
                sizes.append(0)
        case = cases.setdefault(id(outcome), len(made))
        if case == len(made):
            made.append((outcome, group))
        case_at.append(case)
        group_at.append(group)
        size_at.append(prod(point.attributes.shape))
    appends = [each.append for each in members]
    for name, at in zip(network.names, selection.point_of, strict=True):
        group = group_at[at]
        if group >= 0:
            appends[group](name)
    for at, count in Counter(selection.point_of).items():
        if group_at[at] >= 0:
            sizes[group_at[at]] += count * size_at[at]
    names = _names(config, selection, outcomes, group_at, len(members))
    choosers: dict[int, int | None] = {}
    for outcome, group in made:
        choosers.setdefault(group, outcome.chooser)
    groups = tuple(
        Group(
            names[number],
            treated.optimizer,
            treated.values,
            treated.curves,
            treated.options,
            tuple(members[number]),
            sizes[number],
            _place_of_choice(choosers[number], config),
        )
        for treated, number in numbers.items()
    )
    stays = [group < 0 for group in group_at]
    was = [point.trainable for point in selection.points]
    out = frozenset(at for at, each in enumerate(stays) if each and was[at])
    taken_in = frozenset(at for at, each in enumerate(stays) if not each and not was[at])
    return kind(
        network.target,
        groups,
        tuple(Case(group, outcome.history, outcome.rules) for outcome, group in made),
        network.names,
        network.shapes,
        tuple([case_at[point] for point in selection.point_of]),
        {alias.name: network.names[index] for index, each in network.aliases.items() for alias in each},
        _named(network, selection, out),
        _named(network, selection, taken_in),
        _origins(config),
        horizon,
        collector.diagnostics,
        training.clip,
        training.loss_scale,
        config.accumulate,
        natives={
            network.names[index].removesuffix(network.locals[index]) + native: network.names[index]
            for index, native in network.natives.items()
        },
    )


def _named(network: Network, selection: Selection, points: frozenset[int]) -> tuple[str, ...]:
    """The parameters at `points`."""
    if not points:
        return ()
    return tuple(name for name, at in zip(network.names, selection.point_of, strict=True) if at in points)


def _names(config: Config, selection: Selection, outcomes: list[Outcome], group_at: list[int], count: int) -> list[str]:
    """The name of each group: the rules that gave one of its values, else `default`; numbered where not unique."""
    givers: list[set[int]] = [set() for _ in range(count)]
    layers: list[set[int | None]] = [set() for _ in range(count)]
    plain = [False] * count
    for point, outcome, group in zip(selection.points, outcomes, group_at, strict=True):
        if group >= 0:
            givers[group].update(outcome.givers)
            plain[group] |= not outcome.givers
            layers[group].add(point.attributes.layer)
    names = [
        "default" if plain[group] else "+".join(config.rules[number].label for number in sorted(givers[group]))
        for group in range(count)
    ]
    alike: dict[str, list[int]] = {}
    for group, name in enumerate(names):
        alike.setdefault(name, []).append(group)
    for name, group_numbers in alike.items():
        if len(group_numbers) == 1:
            continue
        own = [next(iter(layers[group])) if len(layers[group]) == 1 else None for group in group_numbers]
        by_layer = None not in own and len(set(own)) == len(own)
        for place, group in enumerate(group_numbers):
            names[group] = f"{name}/layer={own[place]}" if by_layer else f"{name}/{place}"
    return names


def _place_of_choice(chooser: int | None, config: Config) -> int:
    """The place in the plan's origins of the rule that chose an optimizer, or of the main one."""
    return len(config.rules) if chooser is None else chooser


def _origins(config: Config) -> tuple[Origin, ...]:
    """Where the rules stand, in file order, and last the main optimizer."""
    places = [(rule.label, rule.where_span or rule.span, str(rule.where)) for rule in config.rules]
    places.append(("optimizer", config.optimizer.span, config.optimizer.type))
    return tuple(Origin.at(*place) for place in places)


# What is to be said


def _check_knowledge(network: Network, atoms: Atoms, collector: Collector) -> None:
    """Report filters that ask for modules of a network whose modules are not known."""
    if network.modules_known:
        return
    for atom in atoms.numbers:
        if isinstance(atom, (TypeIs, Inside)) or (isinstance(atom, Predicate) and atom.name in _ASKS_MODULES):
            collector.error(
                "OP209",
                f"`{atom}` asks for module classes, which a checkpoint's header does not know",
                atom.span,
                help="use a manifest, which `optplan params --network` writes, or name the parameters by paths",
            )


def _report(
    config: Config,
    network: Network,
    atoms: Atoms,
    selection: Selection,
    cascade: Cascade,
    outcomes: list[Outcome],
    collector: Collector,
) -> None:
    """Report rules that match nothing, only frozen parameters, or to no effect; settings that nobody takes."""
    counts = Counter(selection.point_of)
    matched = [0] * len(config.rules)
    trained = [0] * len(config.rules)
    applied = {number for (number, _), taken in cascade.took.items() if taken}
    applied.update(
        number for number, rule in enumerate(config.rules) if rule.use is not None or rule.freeze is not None
    )
    for number, outcome in enumerate(outcomes):
        for matching in outcome.rules:
            matched[matching] += counts[number]
            trained[matching] += counts[number] * (outcome.treatment is not None)
    for number, rule in enumerate(config.rules):
        if not matched[number]:
            if not rule.optional:
                explain_rule(rule, config, network, atoms, selection, collector)
            continue
        if not rule.optional:
            explain_atoms(rule, config, network, atoms, selection, collector)
        if not trained[number] and rule.freeze is None:
            collector.warning(
                "OP205",
                f"rule `{rule.label}` matches only frozen parameters",
                rule.where_span or rule.span,
                help="a rule with `freeze: false` takes them in",
            )
        elif number not in cascade.effective and number in applied:
            collector.warning(
                "OP206",
                f"later rules override everything that rule `{rule.label}` sets",
                rule.where_span or rule.span,
                help="put it below them, or remove it",
            )
    _report_untaken(config, cascade, outcomes, collector)
    for number, layer in enumerate(config.layers):
        if number not in selection.covered:
            explain_layer(layer, network, collector)


def _report_untaken(config: Config, cascade: Cascade, outcomes: list[Outcome], collector: Collector) -> None:
    """Report settings, policies and options of a rule that none of its parameters' optimizers has."""
    for (number, written), taken in cascade.took.items():
        if taken:
            continue
        rule = config.rules[number]
        spans = {each.name: each.key_span or each.span for each in rule.settings}
        spans |= {f"schedule.{each.name}": each.key_span or each.span for each in rule.schedule}
        spans |= {f"{each.target}.{each.name}": each.span for each in rule.options}
        treated = [outcome.treatment for outcome in outcomes if number in outcome.rules]
        used = sorted({each.optimizer for each in treated if each is not None})
        collector.error(
            "OP113",
            f"no parameter that rule `{rule.label}` matches can take `{written}`: "
            f"{' and '.join(f'`{name}`' for name in used)} {'has' if len(used) == 1 else 'have'} "
            f"no `{written.removeprefix('schedule.')}`",
            spans.get(written) or rule.span,
            help="remove it, or let the rule `use` an optimizer that has it",
        )
