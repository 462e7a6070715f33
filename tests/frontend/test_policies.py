"""Policies in three tables: what they mean, what is odd yet legal, what fails at which column with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optplan.catalog import catalog
from optplan.diagnostics import Collector, Diagnostic
from optplan.expression import (
    Argument,
    Before,
    Binary,
    Call,
    Element,
    Into,
    Listing,
    Name,
    Number,
    Over,
    PerEpoch,
    Phase,
    Policy,
    Quantity,
    Ratio,
    Then,
    Times,
    Value,
)
from optplan.frontend.policies import parse_policy
from optplan.source import Source, Text

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import EllipsisType


def phase(name: str, *duration: Value, **arguments: Value) -> Phase:
    """A phase; Python's keywords end in an underscore here."""
    named = (Argument(key.rstrip("_"), value) for key, value in arguments.items())
    return Phase(name, (*(Argument(None, value) for value in duration), *named))


MEANINGS: list[tuple[str, Policy]] = [
    ("cosine()", phase("cosine")),
    ("cosine(to=0.01x)", phase("cosine", to=Ratio(0.01))),
    ("linear(100, to=0)", phase("linear", Number(100), to=Number(0))),
    ("hold(10k)", phase("hold", Number(10_000))),
    ("hold(5 epochs)", phase("hold", Quantity(5, "epochs"))),
    ("hold(1 epoch)", phase("hold", Quantity(1, "epochs"))),
    ("hold(10%)", phase("hold", Quantity(10, "%"))),
    ("hold(for=2.5 %)", phase("hold", for_=Quantity(2.5, "%"))),
    ("hold(for=batch)", phase("hold", for_=Name("batch"))),
    (
        "hold(max(100, 3 epochs) - 1)",
        phase("hold", Binary("-", Call("max", (Number(100), Quantity(3, "epochs"))), Number(1))),
    ),
    (
        "warmup(5%, from=0.1x, shape=cosine, start=1)",
        phase("warmup", Quantity(5, "%"), from_=Ratio(0.1), shape=Name("cosine"), start=Number(1)),
    ),
    ("hold(at=0.5 * 1x)", phase("hold", at=Binary("*", Number(0.5), Ratio(1)))),
    ("exp(to=1e-6)", phase("exp", to=Number(1e-6))),
    ("poly(to=batch, power=1/2)", phase("poly", to=Name("batch"), power=Binary("/", Number(1), Number(2)))),
    (
        "multistep(at=[30 epochs, 60 epochs], gamma=0.1)",
        phase("multistep", at=Listing((Quantity(30, "epochs"), Quantity(60, "epochs"))), gamma=Number(0.1)),
    ),
    ("warmup(5%) -> cosine()", Then((phase("warmup", Quantity(5, "%")), phase("cosine")))),
    (
        "warmup(1) -> hold(2) -> cosine()",
        Then((phase("warmup", Number(1)), phase("hold", Number(2)), phase("cosine"))),
    ),
    (
        "hold(2B tokens + 1M samples)",
        phase("hold", Binary("+", Quantity(2 * 10**9, "tokens"), Quantity(10**6, "samples"))),
    ),
    ("hold(1) over cosine()", Over(phase("hold", Number(1)), phase("cosine"))),
    ("hold(1) into cosine()", Into(phase("hold", Number(1)), phase("cosine"))),
    ("hold() * cosine() * poly()", Times((phase("hold"), phase("cosine"), phase("poly")))),
    # `per epoch` binds closest, then `*`, then `over` and `into` to the right, then `->`
    (
        "hold(1) over hold(2) into hold()",
        Over(phase("hold", Number(1)), Into(phase("hold", Number(2)), phase("hold"))),
    ),
    (
        "hold(1) into hold(2) over hold()",
        Into(phase("hold", Number(1)), Over(phase("hold", Number(2)), phase("hold"))),
    ),
    (
        "(hold(1) over hold(2)) over hold()",
        Over(Over(phase("hold", Number(1)), phase("hold", Number(2))), phase("hold")),
    ),
    (
        "hold(1) * hold(2) over hold() * cosine()",
        Over(Times((phase("hold", Number(1)), phase("hold", Number(2)))), Times((phase("hold"), phase("cosine")))),
    ),
    (
        "hold(1) -> hold(2) over hold(3) -> hold()",
        Then((phase("hold", Number(1)), Over(phase("hold", Number(2)), phase("hold", Number(3))), phase("hold"))),
    ),
    (
        "hold(1) over hold(2) per epoch",
        Over(phase("hold", Number(1)), PerEpoch(phase("hold", Number(2)))),
    ),
    ("hold() * cosine() per epoch", Times((phase("hold"), PerEpoch(phase("cosine"))))),
    ("cosine() per epoch", PerEpoch(phase("cosine"))),
    ("warmup(1) -> cosine() per epoch", Then((phase("warmup", Number(1)), PerEpoch(phase("cosine"))))),
    ("(warmup(1) -> cosine()) per epoch", PerEpoch(Then((phase("warmup", Number(1)), phase("cosine"))))),
]

ODD: list[tuple[str, Policy]] = [
    ("  cosine ( )  ", phase("cosine")),
    ("((cosine()))", phase("cosine")),
    ("warmup(1)->cosine()", Then((phase("warmup", Number(1)), phase("cosine")))),
    ("cosine(to=0x,)", phase("cosine", to=Ratio(0))),
    ("cosine(to = 0x, for = 5)", phase("cosine", to=Ratio(0), for_=Number(5))),
    ("cosine(to=0x, 5)", Phase("cosine", (Argument("to", Ratio(0)), Argument(None, Number(5))))),
    ("hold(5epochs)", phase("hold", Quantity(5, "epochs"))),
    ("hold(1k epochs)", phase("hold", Quantity(1000, "epochs"))),
    ("multistep(at=[1,], gamma=2)", phase("multistep", at=Listing((Number(1),)), gamma=Number(2))),
    ("hold(at=max(0x, 1x - 0.5x))", phase("hold", at=Call("max", (Ratio(0), Binary("-", Ratio(1), Ratio(0.5)))))),
    ("cosine() per epoch per epoch", PerEpoch(PerEpoch(phase("cosine")))),
    (
        "(warmup(1) -> hold(1)) -> cosine()",
        Then((Then((phase("warmup", Number(1)), phase("hold", Number(1)))), phase("cosine"))),
    ),
]

FAULTS = [
    # phases and what joins them
    ("", "^", "OP401", "expected a policy, found nothing", None),
    ("cosine", "^^^^^^", "OP401", "the phase `cosine` without parentheses", "write `cosine()`"),
    ("hold 5", "     ^", "OP401", "expected `(` after `hold`, found `5`", "write `hold(...)`"),
    ("cosin()", "^^^^^", "OP402", "unknown phase `cosin`", "did you mean `cosine`?"),
    ("cosin", "^^^^^", "OP402", "unknown phase `cosin`", "did you mean `cosine`?"),
    ("constant()", "^^^^^^^^", "OP402", "unknown phase `constant`", "write `hold()`"),
    ("null", "^^^^", "OP402", "unknown phase `null`", "write `hold()`"),
    (
        "CosineAnnealingLR(optimizer, T_max=100)",
        "^^^^^^^^^^^^^^^^^",
        "OP402",
        "unknown phase `CosineAnnealingLR`",
        "write `cosine(T_max, to=eta_min)` with its arguments' own numbers; `optplan help CosineAnnealingLR` says more",
    ),
    (
        "steplr(30)",
        "^^^^^^",
        "OP402",
        "unknown phase `steplr`",
        "write `step(every=step_size, gamma=gamma)` with its arguments' own numbers; `optplan help StepLR` says more",
    ),
    (
        "warmup(5) -> cosine_decay_lr",
        "             ^^^^^^^^^^^^^^^",
        "OP402",
        "unknown phase `cosine_decay_lr`",
        ...,
    ),
    (
        "get_constant_schedule_with_warmup(5)",
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "OP402",
        "unknown phase `get_constant_schedule_with_warmup`",
        ...,
    ),
    (
        "torch.optim.lr_scheduler.ExponentialLR(0.9)",
        "     ^",
        "OP401",
        "expected `(` after `torch`, found `.`",
        "write `decay(gamma=gamma)` with its arguments' own numbers; `optplan help ExponentialLR` says more",
    ),
    ("torch.cosine()", "     ^", "OP401", "expected `(` after `torch`, found `.`", "write `torch(...)`"),
    ("0.5x", "^^^^", "OP401", "expected a phase, found `0.5x`", "`hold(at=0.5x)` keeps a value"),
    ("1e-3", "^^^^", "OP401", "expected a phase, found `1e-3`", "`hold(at=1e-3)` keeps a value"),
    ("hold(5) ->", "          ^", "OP401", "expected a phase after `->`", None),
    ("-> hold(5)", "^^", "OP401", "expected a phase, found `->`", None),
    ("hold(5) cosine()", "        ^^^^^^", "OP401", "expected `->` after `)`, found `cosine`", None),
    (
        "hold(5) => cosine()",
        "        ^^",
        "OP401",
        "expected `->` after `)`, found `=>`",
        "write `->` between two phases",
    ),
    ("hold(5), cosine()", "       ^", "OP401", "expected `->` after `)`, found `,`", "write `->` between two phases"),
    ("hold(5) + cosine()", "        ^", "OP401", "expected `->` after `)`, found `+`", "write `->` between two phases"),
    ("cosine() per", "            ^", "OP401", "expected `epoch` after `per`", "write `per epoch`"),
    (
        "cosine() per epochs",
        "             ^^^^^^",
        "OP401",
        "expected `epoch` after `per`, found `epochs`",
        "write `per epoch`",
    ),
    # brackets
    ("cosine(", "       ^", "OP401", "expected an argument after `(`", None),
    ("cosine(5%", "      ^", "OP401", "`(` is never closed", "add a `)`"),
    ("warmup(5% -> cosine()", "      ^", "OP401", "`(` is never closed", "close it before `->`"),
    ("warmup(5% over cosine()", "      ^", "OP401", "`(` is never closed", "close it before `over`"),
    ("hold(5)) -> cosine()", "       ^", "OP401", "`)` closes nothing", ...),
    ("(hold(5) -> cosine()", "^", "OP401", "`(` is never closed", "add a `)`"),
    ("multistep(at=[1, gamma=2)", "                      ^", "OP401", ..., ...),
    ("multistep(at=[1)", "             ^", "OP401", "`[` is never closed", "add a `]`"),
    # how arguments are written
    (
        "cosine(5% to=0x)",
        "          ^^",
        "OP401",
        "expected `,` or `)` after `%`, found `to`",
        "write a comma between two arguments",
    ),
    ("cosine(to:0x)", "         ^", "OP401", "`:` does not name an argument", "write `to=...`"),
    ("cosine(to==0x)", "         ^^", "OP401", "`==` does not name an argument", "write `to=...`"),
    ("cosine(to=)", "          ^", "OP401", "expected a number or a name after `=`, found `)`", None),
    ("cosine(,)", "       ^", "OP401", "expected an argument after `(`, found `,`", None),
    ("cosine(to=0x,,)", "             ^", "OP401", "expected an argument after `,`, found `,`", None),
    ("hold(2 ^ 3)", "       ^", "OP401", "`^` is no operator here", "write `**` for a power"),
    # which arguments there are
    ("cosine(two=0x)", "       ^^^", "OP402", "`cosine` has no argument `two`", "did you mean `to`?"),
    ("cosine(q=0x)", "       ^", "OP402", "`cosine` has no argument `q`", "it takes `for`, `from`, `to`"),
    ("cosine(to=0x, to=1x)", "              ^^", "OP402", "`to` is given twice", "remove one of the two"),
    ("cosine(5, for=5)", "          ^^^", "OP402", "the duration of `cosine` is given twice", "remove one of the two"),
    (
        "cosine(for=5, 5)",
        "              ^",
        "OP402",
        "the duration of `cosine` is given twice",
        "remove one of the two",
    ),
    (
        "cosine(5, 0x)",
        "          ^^",
        "OP402",
        "`cosine` takes one argument without a name, its duration",
        "write `to=0x`",
    ),
    ("linear(5)", "^^^^^^", "OP402", "`linear` needs `to`", "add `to=`: the value at the end"),
    # durations
    ("warmup(0.1x)", "       ^^^^", "OP403", "expected a duration, found the ratio `0.1x`", "write `from=0.1x`"),
    ("cosine(for=0x)", "           ^^", "OP403", "expected a duration, found the ratio `0x`", "write `0`"),
    ("hold(2 ** 3)", "     ^^^^^^", "OP403", "`**` in a duration", ...),
    ("hold(1 + sqrt(2))", "         ^^^^^^^", "OP403", "`sqrt` in a duration", ...),
    ("hold(true)", "     ^^^^", "OP403", "expected a duration, found `true`", None),
    ("hold([5])", "     ^^^", "OP403", "expected a duration, found a list", None),
    ("hold(5 epocs)", "       ^^^^^", "OP401", "unknown unit `epocs`", "did you mean `epochs` or `epoch`?"),
    (
        "hold((batch - 1) epochs)",
        "                 ^^^^^^",
        "OP401",
        "expected an operator after `)`, found `epochs`",
        "a unit follows a number that is written out: write `* 1 epoch`",
    ),
    ("hold(batch%)", "          ^", "OP401", "expected an operator after `batch`, found `%`", ...),
    (
        "hold(5 steps)",
        "       ^^^^^",
        "OP401",
        "unknown unit `steps`",
        "write `5`: the units are `epochs`, `%`, `tokens` and `samples`; a bare number counts updates",
    ),
    (
        "hold(layer)",
        "     ^^^^^",
        "OP302",
        "`layer` is a parameter's own, and has no value here",
        "put the policy in a rule with `where: all`, whose own `schedule` may use it",
    ),
    ("cosine(to=1x / shape[0])", "               ^^^^^^^^", "OP302", ..., ...),
    ("hold(wram)", "     ^^^^", "OP302", "unknown name `wram`", "define it under `let`"),
    ("hold(1e999)", "     ^^^^^", "OP107", "`1e999` is beyond every double", None),
    # values, numbers, words, lists
    ("cosine(to=5 epochs)", "          ^^^^^^^^", "OP405", "expected a value, found the duration `5 epochs`", None),
    ("cosine(to=base)", "          ^^^^", "OP306", "`base` has no meaning here", ...),
    ("cosine(to=1 / 2x)", "              ^^", "OP306", "the ratio `2x` may not stand right of `/`", ...),
    ("cosine(to=1x - 1e-5)", "          ^^^^^^^^^", "OP405", "`-` does not make a ratio or a number of these", ...),
    ("cosine(to=2x * 2x)", "          ^^^^^^^", "OP405", "`*` does not make a ratio or a number of these", ...),
    ("cosine(to=sqrt(2x))", "          ^^^^^^^^", "OP405", "`sqrt` does not make a ratio or a number of these", ...),
    ("poly(power=2x)", "           ^^", "OP402", "expected a number, found the ratio `2x`", "write `2`"),
    ("poly(power=0)", "           ^", "OP104", "`power` must be above 0", None),
    ("warmup(start=-1)", "             ^^", "OP104", "`start` must be at least 0", None),
    ("warmup(shape=cosin)", "             ^^^^^", "OP402", "`shape` cannot be `cosin`", "did you mean `cosine`?"),
    ("warmup(shape=1)", "             ^", "OP402", "`shape` is a word", "write `linear` or `cosine` or `exp`"),
    ("multistep(at=30, gamma=1)", "             ^^", "OP402", "`at` is a list", "write `at=[30]`"),
    ("multistep(at=[], gamma=1)", "             ^^", "OP402", "`at` is an empty list", None),
    (
        "multistep(at=[1, 2x], gamma=1)",
        "                 ^^",
        "OP403",
        "expected a duration, found the ratio `2x`",
        "write `2`",
    ),
    # chains
    ("warmup() -> cosine()", "            ^^^^^^", "OP404", "`cosine` is a second phase without a duration", ...),
    ("(warmup() -> hold(1)) -> cosine()", "                         ^^^^^^", "OP404", ..., ...),
    ("base", "^^^^", "OP306", "`base` has no meaning here", "only a rule's own schedule may use `base`"),
    # what runs at once
    ("hold(5) over", "            ^", "OP401", "expected a phase after `over`", None),
    ("into hold(5)", "^^^^", "OP401", "expected a phase, found `into`", None),
    (
        "hold(5) * 0.5",
        "          ^^^",
        "OP401",
        "expected a phase after `*`, found `0.5`",
        "`hold(at=0.5x)` keeps a value",
    ),
    ("warmup() over cosine()", "^^^^^^", "OP404", "`warmup` has no duration, and `over` needs one", ...),
    ("cosine() into hold(5)", "^^^^^^", "OP404", "`cosine` has no duration, and `into` needs one", ...),
    ("(hold(1) -> hold()) over cosine()", "            ^^^^", "OP404", ..., ...),
    ("hold(1) over hold() over cosine()", "             ^^^^", "OP404", ..., ...),
    ("hold(1) * hold() into cosine()", "          ^^^^", "OP404", ..., ...),
    ("cosine() -> hold(1) over hold()", "                         ^^^^", "OP404", ..., ...),
    ("cosine() -> hold(1) * hold() * hold()", "                      ^^^^", "OP404", ..., ...),
    ("plateau(metric=loss) into hold(5)", "^^^^^^^", "OP404", "`plateau` cannot be joined by `into`", ...),
    ("hold(1) over cosin()", "             ^^^^^", "OP402", "unknown phase `cosin`", "did you mean `cosine`?"),
    # what is known by name only
    ("table(file=lr)", "           ^^", "OP402", "`file` is a text", 'write `file="..."`, in quotes'),
    ("table(file=5)", "           ^", "OP402", "`file` is a text", 'write `file="..."`, in quotes'),
    ("table(file=shape[0])", "           ^^^^^^^^", "OP402", "`file` is a text", ...),
    ("plateau(5, metric=loss)", "        ^", "OP402", "`plateau` takes no duration: it ends with the run", "remove it"),
    ("plateau(for=5, metric=loss)", "        ^^^", "OP402", "`plateau` has no argument `for`", ...),
    ("plateau()", "^^^^^^^", "OP402", "`plateau` needs `metric`", ...),
    ("plateau(metric=loss, mode=low)", "                          ^^^", "OP402", "`mode` cannot be `low`", ...),
    ("plateau(metric=loss, factor=2)", "                            ^", "OP104", "`factor` must be below 1", None),
    ("plateau(metric=loss, patience=2.5)", "                              ^^^", "OP402", ..., None),
    ("plateau(metric=loss) -> hold()", "                        ^^^^^^", "OP404", "nothing can follow `plateau`", ...),
    (
        "(plateau(metric=x) -> hold(5)) -> hold()",
        "                      ^^^^^^^",
        "OP404",
        "nothing can follow `plateau`",
        ...,
    ),
    (
        "(hold(5) -> plateau(metric=x)) -> hold(5)",
        "                                  ^^^^^^^",
        "OP404",
        "nothing can follow `plateau`",
        ...,
    ),
    (
        "cosine() -> plateau(metric=x)",
        "^^^^^^",
        "OP404",
        "`cosine` has no duration, and `plateau` behind it takes what is left",
        "give it one, such as `10%`",
    ),
    ("hold(5) -> plateau(metric=x) -> hold()", " " * 32 + "^^^^^^", "OP404", "nothing can follow `plateau`", ...),
    ("plateau(metric=x) per epoch", "^^^^^^^", "OP404", "`plateau` cannot be joined by `per epoch`", ...),
    ("hold(5) over plateau(metric=x)", "             ^^^^^^^", "OP404", "`plateau` cannot be joined by `over`", ...),
    ("hold(5) into plateau(metric=x)", "             ^^^^^^^", "OP404", "`plateau` cannot be joined by `into`", ...),
    ("plateau(metric=x) * hold(5)", "^^^^^^^", "OP404", "`plateau` cannot be joined by `*`", ...),
]


def parse(
    value: str, *, base: bool = False, attributes: Collection[str] = ()
) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    collector = Collector()
    text = Text(value, Source("x.optim.yaml", value), 0)
    policy = parse_policy(
        text, collector, names=("batch",), base=base, attributes=attributes, phases=catalog().policies
    )
    return policy, collector.diagnostics


@pytest.mark.parametrize(("text", "node"), MEANINGS + ODD)
def test_meanings(text: str, node: Policy) -> None:
    assert parse(text) == (node, ())


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("cosine_decay_lr", "cosine(decay_epoch, to=min_lr) per epoch"),
        ("get_constant_schedule_with_warmup", "warmup(num_warmup_steps) -> hold()"),
        ("constant_with_warmup", "warmup(num_warmup_steps) -> hold()"),
    ],
)
def test_a_scheduler_of_a_framework_is_told_as_a_policy(name: str, policy: str) -> None:
    _, (fault,) = parse(f"{name}(5)")
    assert fault.help is not None
    assert fault.help.startswith(f"write `{policy}` with")


def test_what_has_no_policy_says_why() -> None:
    _, (fault,) = parse("LambdaLR(optimizer)")
    assert fault.message == "unknown phase `LambdaLR`"
    assert fault.help is not None
    assert fault.help.startswith("no policy has its values: its factor is a function of the program")


@pytest.mark.parametrize(("text", "marks", "code", "message", "cure"), FAULTS)
def test_faults(text: str, marks: str, code: str, message: str | EllipsisType, cure: str | EllipsisType | None) -> None:
    node, faults = parse(text)
    assert node is None
    (fault,) = faults
    assert fault.code == code
    assert " " * (fault.column - 1) + "^" * max(1, fault.end_column - fault.column) == marks
    if message is not ...:
        assert fault.message == message
    if cure is not ...:
        assert fault.help == cure


OWN = ("ndim", "layer", "shape", "dtype")
ASKING: list[tuple[str, Policy]] = [
    ("hold(layer)", phase("hold", Name("layer"))),
    (
        "hold((layers - layer) * 1 epoch)",
        phase("hold", Binary("*", Binary("-", Name("layers"), Name("layer")), Quantity(1, "epochs"))),
    ),
    (
        "linear(to=1x * batch ** ndim)",
        phase("linear", to=Binary("*", Ratio(1), Binary("**", Name("batch"), Name("ndim")))),
    ),
    ("poly(power=shape[-1])", phase("poly", power=Element("shape", -1))),
    (
        "multistep(at=[layer, 2], gamma=layer)",
        phase("multistep", at=Listing((Name("layer"), Number(2))), gamma=Name("layer")),
    ),
]


@pytest.mark.parametrize(("text", "node"), ASKING)
def test_attributes_where_there_are_any(text: str, node: Policy) -> None:
    assert parse(text, attributes=OWN) == (node, ())
    policy, faults = parse(text)
    assert policy is None
    assert {fault.code for fault in faults} == {"OP302"}


UNASKED = [
    ("hold(shape)", "OP403", "`shape` has several sizes"),
    ("hold(at=1x / dtype)", "OP405", "`dtype` is a word, and no number"),
    ("hold(layr)", "OP302", "unknown name `layr`"),
    ("warmup(shape=layer)", "OP402", "`shape` cannot be `layer`"),
    ("hold(sqrt(layer))", "OP403", "`sqrt` in a duration"),
]


@pytest.mark.parametrize(("text", "code", "message"), UNASKED)
def test_what_is_no_number_of_a_parameter(text: str, code: str, message: str) -> None:
    policy, (fault,) = parse(text, attributes=OWN)
    assert (policy, fault.code, fault.message) == (None, code, message)


def test_a_rule_may_take_up_what_stood_before() -> None:
    assert parse("base", base=True) == (Before(), ())
    assert parse("base -> hold(5)", base=True) == (Then((Before(), phase("hold", Number(5)))), ())


def test_what_stood_before_takes_what_is_left() -> None:
    policy, (fault,) = parse("cosine() -> base", base=True)
    assert (policy, fault.code, fault.column) == (None, "OP404", 13)
    assert fault.message == "`base` is a second phase without a duration"


def test_what_stood_before_has_no_duration() -> None:
    assert parse("hold(1) over base", base=True) == (Over(phase("hold", Number(1)), Before()), ())
    assert parse("base * hold(1)", base=True) == (Times((Before(), phase("hold", Number(1)))), ())
    policy, (fault,) = parse("base over hold(5)", base=True)
    assert (policy, fault.code, fault.column) == (None, "OP404", 1)
    assert fault.message == "`base` has no duration, and `over` needs one"
    assert fault.help == "what stands before it is there for a while: put `base` behind it"


def test_every_fault_of_a_policy_is_reported() -> None:
    _, faults = parse("warmup(5x, shape=cosin) -> step(every=2) -> cosin() -> poly(to=5%, power=lr)")
    assert [(fault.code, fault.column) for fault in faults] == [
        ("OP403", 8),
        ("OP402", 18),
        ("OP402", 28),
        ("OP402", 45),
        ("OP404", 56),
        ("OP405", 64),
        ("OP302", 74),
    ]


def test_places() -> None:
    policy, _ = parse("warmup( 5% ) -> (cosine(to = 0x) per epoch)")
    assert isinstance(policy, Then)
    first, second = policy.items
    assert isinstance(first, Phase)
    assert isinstance(second, PerEpoch)
    assert isinstance(second.item, Phase)
    assert first.arguments[0].span is not None
    nodes = (policy, first, second, second.item, second.item.arguments[0], second.item.arguments[0].value)
    assert [each.span.text for each in nodes if each.span is not None] == [
        "warmup( 5% ) -> (cosine(to = 0x) per epoch)",
        "warmup( 5% )",
        "cosine(to = 0x) per epoch",
        "cosine(to = 0x)",
        "to = 0x",
        "0x",
    ]
    assert second.item.name_span is not None
    assert second.item.name_span.text == "cosine"


@pytest.mark.parametrize(
    "text", ["(" * 4000 + "hold()" + ")" * 4000, "hold(1) over " * 700 + "hold(1)", "hold()" + " per epoch" * 900]
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    policy, (fault,) = parse(text)
    assert (policy, fault.code, fault.message) == (None, "OP401", "an expression nested more than 100 deep")


def test_a_long_chain_is_fine() -> None:
    policy, faults = parse(" -> ".join(["hold(1)"] * 500))
    assert (policy, faults) == (Then((phase("hold", Number(1)),) * 500), ())
