"""The rules, laid over one kind of parameter after the other.

A `Cascade` is made once for a file and a network; `settle` is asked once for each distinct point (see `select`) and
computes once for each distinct *case*: the rules that match and the attributes that their expressions read.  The
result is everything that the plan says of such a parameter: optimizer, values, curves, options, each with the rules
that gave it, and the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optplan.config import written
from optplan.expression import Constant, Listing
from optplan.resolve.curves import Curves, listed, numbers
from optplan.resolve.doubts import doubts
from optplan.resolve.plan import Touch
from optplan.resolve.sheet import Outcome, Sheet, Treated, builds_on, place_of, prepare
from optplan.resolve.structure import asked
from optplan.resolve.ties import contradictions
from optplan.resolve.value import EvaluationError, Scope, evaluate, misfit, reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optplan.catalog import Catalog, OptimizerType
    from optplan.config import Config, Optimizer, Option, Rule, Scheduled
    from optplan.diagnostics import Collector
    from optplan.expression import Value
    from optplan.resolve.curve import Curve
    from optplan.resolve.plan import Setting
    from optplan.resolve.schedule import Resolver
    from optplan.resolve.select import Atoms, Point
    from optplan.resolve.sheet import Step
    from optplan.resolve.value import Attributes
    from optplan.source import Span


class Cascade:
    """The rules of one file for one network."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        atoms: Atoms,
        scope: Scope,
        resolver: Resolver,
        targets: Sequence[str],
        collector: Collector,
    ) -> None:
        self._config, self._catalog, self._scope = config, catalog, scope
        self._targets, self._collector = targets, collector
        self._tests = [(1 << number, atoms.test(rule.where)) for number, rule in enumerate(config.rules)]
        self._matched: dict[int, int] = {}
        self._reads: dict[int, tuple[str, ...]] = {}
        self._cases: dict[object, Outcome] = {}
        self._curves, self._horizon = Curves(resolver, collector), resolver.horizon
        self._told: set[tuple[object, ...]] = set()
        # By rule and what it names, whether any parameter takes that; the rules that finally gave anything.
        self.took: dict[tuple[int, str], bool] = {}
        self.effective: set[int] = set()
        self._optimizers = {"optimizer": config.optimizer, **config.optimizers}
        self._labels = [rule.label for rule in config.rules]
        self._steps = [[prepare(assignment) for assignment in rule.settings] for rule in config.rules]
        self._starts = {
            name: [prepare(assignment) for assignment in optimizer.settings]
            for name, optimizer in self._optimizers.items()
        }
        self._rule_reads = [
            frozenset[str]().union(
                *(reads(assignment.value) for assignment in rule.settings),
                *(asked(scheduled.policy) for scheduled in rule.schedule),
            )
            for rule in config.rules
        ]
        self._optimizer_reads = {
            name: frozenset[str]().union(*(reads(assignment.value) for assignment in optimizer.settings))
            for name, optimizer in self._optimizers.items()
        }

    def matched(self, mask: int) -> int:
        """The rules, as bits, whose filters hold for a mask of atoms."""
        found = self._matched.get(mask)
        if found is None:
            found = self._matched[mask] = sum(bit for bit, test in self._tests if test(mask))
        return found

    def settle(self, point: Point, name: str) -> Outcome:
        """The outcome for `point`; `name` is a parameter of that kind, to blame in messages."""
        matched = self.matched(point.mask)
        needed = self._reads.get(matched)
        if needed is None:
            needed = self._reads[matched] = self._needed(matched)
        attributes = point.attributes
        key = (
            matched,
            point.trainable,
            numbers(attributes, needed),
            point.under and tuple(map(self.matched, point.under)),
        )
        found = self._cases.get(key)
        if found is None:
            found = self._cases[key] = self._settle(matched, point, name)
        return found

    def _needed(self, matched: int) -> tuple[str, ...]:
        """The attributes that the rules in `matched`, and the optimizer that they choose, read."""
        rules = self._rules(matched)
        chosen = self._optimizer_reads[self._chosen(rules)[0].name]
        return listed(chosen.union(*(self._rule_reads[number] for number, _ in rules)))

    def _rules(self, matched: int) -> list[tuple[int, Rule]]:
        return [(number, rule) for number, rule in enumerate(self._config.rules) if matched >> number & 1]

    def _chosen(self, rules: list[tuple[int, Rule]]) -> tuple[Optimizer, int | None]:
        """The optimizer, and the rule whose `use` decided it."""
        chosen, chooser = self._config.optimizer, None
        for number, rule in rules:
            if rule.use is not None:
                chosen, chooser = self._optimizers[rule.use], number
        return chosen, chooser

    def _settle(self, matched: int, point: Point, name: str) -> Outcome:
        rules = self._rules(matched)
        numbers = tuple(number for number, _ in rules)
        optimizer, chooser = self._chosen(rules)
        sheet = Sheet(self._catalog.optimizers[optimizer.type], point.attributes)
        trained = self._frozen(rules, point, sheet)
        if not trained:
            self._contradictions(sheet, point, name)
            self.effective.update(sheet.givers.get(("freeze",), ()))
            return Outcome(None, (), None, numbers, tuple(sheet.history))
        self._chooses(rules, chooser, sheet)
        self._start(optimizer, sheet, name)
        standing = self._config.optimizer.name
        for number, rule in rules:
            standing = rule.use or standing
            if chooser is not None and number < chooser and standing != optimizer.name:
                self._left_behind(rule, chooser, optimizer)
            for step in self._steps[number]:
                self._assign(number, step, sheet, name)
            for option in rule.options:
                self._option(number, rule, option, sheet)
        self._schedule(rules, sheet, name)
        self._contradictions(sheet, point, name)
        for key, message in sheet.type.check_together(sheet.values):
            self._blame(key, message, sheet, optimizer, name)
        self.effective.update(number for each in sheet.givers.values() for number in each)
        # A group is named by what gave its values: being trained is none, nor is staying with the main optimizer.
        silent = {("freeze",), ("use",)} if optimizer is self._config.optimizer else {("freeze",)}
        givers = {number for key, each in sheet.givers.items() if key not in silent for number in each}
        options: dict[str, list[tuple[str, Setting]]] = {}
        for (target, option_name), value in sorted(sheet.options.items()):
            options.setdefault(target, []).append((option_name, value))
        treated = Treated(
            sheet.type.name,
            tuple(sheet.values.items()),
            tuple(sorted((written(*key), curve) for key, curve in sheet.curves.items())),
            tuple((target, tuple(each)) for target, each in options.items()),
        )
        return Outcome(treated, tuple(sorted(givers)), chooser, numbers, tuple(sheet.history))

    # Which optimizer, and whether at all

    def _frozen(self, rules: list[tuple[int, Rule]], point: Point, sheet: Sheet) -> bool:
        trained = point.trainable
        for number, rule in rules:
            if rule.freeze is not None:
                sheet.history.append(_touch("freeze", not trained, rule.freeze, rule, rule.freeze_span or rule.span))
                sheet.gave(number, ("freeze",), rule.freeze, onto=False)
                trained = not rule.freeze
        return trained

    def _chooses(self, rules: list[tuple[int, Rule]], chooser: int | None, sheet: Sheet) -> None:
        current = self._config.optimizer.name
        for number, rule in rules:
            if rule.use is not None:
                sheet.history.append(_touch("use", current, rule.use, rule, rule.use_span or rule.span))
                current = rule.use
                sheet.steps.setdefault(("use",), []).append((number, rule.use))
        if chooser is not None:
            sheet.givers["use",] = [chooser]

    def _start(self, optimizer: Optimizer, sheet: Sheet, name: str) -> None:
        """The optimizer's own settings and options, and PyTorch's defaults for the rest."""
        sheet.values.update(sheet.type.defaults)
        for step in self._starts[optimizer.name]:
            before = sheet.current(step)
            value = self._value(step, None, sheet, name)
            sheet.put(step, value)
            sheet.history.append(Touch(step.name, before, value, optimizer.name, *step.place))
        for option in (*self._config.options, *optimizer.options):
            if option.target in self._targets and option.name in self._taken(sheet.type, option.target):
                sheet.options[option.target, option.name] = option.value

    def _left_behind(self, rule: Rule, chooser: int, optimizer: Optimizer) -> None:
        """Warn of a plain value for an optimizer that a later `use` takes the parameter away from."""
        for assignment in rule.settings:
            if "base" not in reads(assignment.value):
                self._tell(
                    "OP210",
                    f"`{assignment.name}` also lands on parameters that the later rule "
                    f"`{self._config.rules[chooser].label}` gives to `{optimizer.name}`",
                    assignment.key_span or assignment.span,
                    f"put this rule below that one if it is meant for `{optimizer.name}` too, narrow its filter, "
                    "or write the value as a ratio such as `0.1x`",
                    severity="warning",
                )

    # Values

    def _assign(self, number: int, step: Step, sheet: Sheet, name: str) -> None:
        label = self._labels[number]
        if sheet.type.setting(step.name) is None:
            self.took.setdefault((number, step.name), False)
            note = f"left out: `{sheet.type.name}` has no `{step.name}`"
            sheet.history.append(Touch(step.name, None, None, label, *step.place, note))
            return
        self.took[number, step.name] = True
        before = sheet.current(step)
        value = self._value(step, before, sheet, name)
        sheet.put(step, value)
        sheet.history.append(Touch(step.name, before, value, label, *step.place))
        if step.index is None:
            for key in [key for key in sheet.givers if key[0] == step.key and key[1:]]:
                del sheet.givers[key]
        sheet.gave(number, step.giver, value, onto=step.onto)

    def _value(self, step: Step, before: Setting, sheet: Sheet, name: str) -> Setting:
        """The value of an assignment in its setting's own type; what it cannot be is reported and replaced."""
        if sheet.type.name in step.known:
            return step.known[sheet.type.name]
        assignment = step.assignment
        setting = sheet.type.setting(step.name)
        if setting is None:
            raise AssertionError(assignment)  # asked before
        try:
            value = self._evaluated(assignment.value, sheet.attributes, before)
        except EvaluationError as fault:
            span = fault.node.span or assignment.span
            self._tell(fault.code, f"{fault.message}, for `{name}`", span, fault.help)
            return setting.default if before is None else before
        wrong = misfit(setting, assignment.value, value)
        if wrong is not None:
            message, node = wrong
            self._tell("OP305", f"{message} for `{name}`", node.span or assignment.value.span)
            return setting.default if before is None else before
        cast = setting.cast(value)
        if step.constant:
            step.known[sheet.type.name] = cast
        return cast

    def _evaluated(self, node: Value, attributes: Attributes, before: Setting) -> Setting:
        match node:
            case Constant(value):
                return value
            case Listing(items):
                befores = before if isinstance(before, tuple) else (None,) * len(items)
                befores += (None,) * (len(items) - len(befores))
                return tuple(
                    self._evaluated(item, attributes, each) for item, each in zip(items, befores, strict=False)
                )
        base = before if isinstance(before, (int, float)) and not isinstance(before, bool) else None
        return evaluate(node, Scope(self._scope.let, attributes, self._scope.layers, base))

    # Options

    def _option(self, number: int, rule: Rule, option: Option, sheet: Sheet) -> None:
        if option.target not in self._targets:
            return
        written = f"{option.target}.{option.name}"
        key = (option.target, option.name)
        if option.name not in self._taken(sheet.type, option.target):
            self.took.setdefault((number, written), False)
            note = f"left out: `{sheet.type.name}` has no `{option.name}`"
            sheet.history.append(Touch(written, None, None, rule.label, *place_of(option.span), note))
            return
        self.took[number, written] = True
        sheet.history.append(Touch(written, sheet.options.get(key), option.value, rule.label, *place_of(option.span)))
        sheet.options[key] = option.value
        sheet.gave(number, (written, "option"), option.value, onto=False)

    def _taken(self, optimizer: OptimizerType, target: str) -> tuple[str, ...]:
        return optimizer.options(target)

    # Schedules

    def _schedule(self, rules: list[tuple[int, Rule]], sheet: Sheet, name: str) -> None:
        for scheduled in self._config.schedule:
            if scheduled.name not in sheet.type.scheduled:
                continue
            # Nothing raises what is 0 but a rule's own policy.
            if sheet.own(scheduled):
                self._put_curve(scheduled, None, "schedule", sheet, name)
        for number, rule in rules:
            for scheduled in rule.schedule:
                written = f"schedule.{scheduled.name}"
                if scheduled.name not in sheet.type.scheduled:
                    self.took.setdefault((number, written), False)
                    note = f"left out: `{sheet.type.name}` has no `{scheduled.name}` that can have a policy"
                    if sheet.type.setting(scheduled.name) is None:
                        note = f"left out: `{sheet.type.name}` has no `{scheduled.name}`"
                    place = place_of(scheduled.key_span or scheduled.span)
                    sheet.history.append(Touch(written, None, None, rule.label, *place, note))
                    continue
                self.took[number, written] = True
                before = sheet.curves.get((scheduled.key, scheduled.index))
                self._put_curve(scheduled, before, rule.label, sheet, name)
                onto = builds_on(scheduled.policy)
                sheet.gave(number, ("schedule", scheduled.name), str(scheduled.policy), onto=onto)

    def _put_curve(self, scheduled: Scheduled, before: Curve | None, rule: str, sheet: Sheet, name: str) -> None:
        key = (scheduled.key, scheduled.index)
        curve = self._curves.curve(scheduled, before, sheet.attributes, name)
        was = None if before is None else str(before)
        place = place_of(scheduled.key_span or scheduled.span)
        sheet.history.append(Touch(f"schedule.{scheduled.name}", was, str(scheduled.policy), rule, *place))
        if curve is None or curve.neutral:
            sheet.curves.pop(key, None)
            return
        sheet.curves[key] = curve
        self._check_curve(scheduled, curve, sheet, name)

    def _check_curve(self, scheduled: Scheduled, curve: Curve, sheet: Sheet, name: str) -> None:
        """Report values out of the setting's range, and what is probably not meant."""
        setting, own = sheet.type.setting(scheduled.name), sheet.own(scheduled)
        if setting is None:
            return
        for value in curve.extremes(own):
            # SparseAdam refuses to be made with a rate of 0, and updates with it: a warm-up may begin there.
            wrong = None if scheduled.name == "lr" and value == 0 else setting.check(value)
            if wrong is not None:
                message = f"`{scheduled.name}` {wrong}, and its policy reaches {value:g} for `{name}`"
                self._tell("OP305", message, scheduled.policy.span or scheduled.span)
                return
        scope = Scope(self._scope.let, sheet.attributes, self._scope.layers)
        for code, message, span, cure in doubts(scheduled, curve, own, scope, self._horizon):
            self._tell(code, f"{message}, for `{name}`", span, cure, severity="warning")

    def _contradictions(self, sheet: Sheet, point: Point, name: str) -> None:
        """Report rules that give a tied parameter different values through different names (OP207)."""
        rules = self._config.rules
        for key, earlier, deciding in contradictions(sheet, point, self.matched):
            # Of two that contradict each other neither is overridden: that would be the same fault told twice.
            self.effective.update((earlier, deciding))
            self._tell(
                "OP207",
                f"the rules `{rules[earlier].label}` and `{rules[deciding].label}` contradict each other about "
                f"`{key}` of the tied parameter `{name}`, which each matches under another name",
                rules[deciding].where_span or rules[deciding].span,
                "settle it by a later rule, such as `where: tied`, or name the parameter in both",
            )

    # Faults

    def _blame(self, key: str, message: str, sheet: Sheet, optimizer: Optimizer, name: str) -> None:
        """Report settings that exclude each other at the rule that set the one to blame, else at the optimizer."""
        givers = sheet.givers.get((key,))
        rule: Rule | Optimizer = self._config.rules[givers[-1]] if givers else optimizer
        spans = [each.key_span or each.span for each in rule.settings if each.key == key]
        self._tell("OP305", f"{message}, for `{name}`", spans[-1] if spans else rule.span)

    def _tell(
        self,
        code: str,
        message: str,
        span: Span | None,
        help: str | None = None,  # noqa: A002 - the field of a diagnostic
        *,
        severity: str = "error",
    ) -> None:
        """Report once for each place, whatever the number of parameters that it goes wrong for."""
        key = (code, span and (span.source.name, span.start), None if span else message)
        if key not in self._told:
            self._told.add(key)
            self._collector.error(
                code, message, span, help=help, severity="warning" if severity == "warning" else "error"
            )


def _touch(key: str, before: Setting, after: Setting, rule: Rule, span: Span | None) -> Touch:
    return Touch(key, before, after, rule.label, *place_of(span))
