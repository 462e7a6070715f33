"""Why a parameter has its values: texts by hand, and the updates at which a schedule is shown."""

from __future__ import annotations

import pytest

import optplan
from optplan.catalog import catalog
from optplan.report.explain import explain, points, unknown_parameter
from optplan.resolve.curve import Chain, Curve, Epochs, Hold, Poly, Ramp
from optplan.resolve.level import Level
from optplan.resolve.stairs import Stairs, Steps
from tests.report.networks import DOCUMENT, network

ZERO, ONE = Level(), Level(ratio=1.0)


def plan(text: str = DOCUMENT) -> optplan.Plan:
    return optplan.plan(optplan.loads(text, name="net.optim.yaml"), network())


def test_an_explanation() -> None:
    # sgd's own defaults stand first: 0.001, 0; at 100 of 1000 updates the ramp is done, at 999 a cosine of 900 updates
    # is at 1/900 of its way before the end
    assert explain(plan(), "layers.0.attn.weight", catalog()) == (
        "layers.0.attn.weight\n"
        "  shape      8 x 8, 64 elements\n"
        "  group      matrices+slow, 1 parameter\n"
        "  optimizer  sgd, as torch.optim.SGD: the stock class computes this formula\n"
        "\n"
        "cascade\n"
        "  use          optimizer -> hidden  matrices  net.optim.yaml:14\n"
        "  lr           0.001 -> 0.1         hidden    net.optim.yaml:8\n"
        "  momentum     0 -> 0.9             hidden    net.optim.yaml:8\n"
        "  lr           0.1 -> 0.05          slow      net.optim.yaml:17\n"
        "  schedule.lr                       schedule  net.optim.yaml:22\n"
        "      none -> warmup(10%) -> cosine(to=0.01x)\n"
        "\n"
        "values\n"
        "  lr            0.05\n"
        "  momentum      0.9\n"
        "  dampening     0      default\n"
        "  weight_decay  0      default\n"
        "  nesterov      false  default\n"
        "  maximize      false  default\n"
        "\n"
        "schedule\n"
        "  lr: warmup(10%) -> cosine(to=0.01x)\n"
        '    the values of transformers.get_scheduler("cosine_with_min_lr", optimizer, num_warmup_steps=100,\n'
        '      num_training_steps=1000, scheduler_specific_kwargs={"min_lr_rate": 0.01})\n'
        "    update    0  0\n"
        "    update  100  0.05\n"
        "    update  999  0.000500151"
    )


def test_a_plan_explains_itself_when_it_comes_back_from_json() -> None:
    first = plan()
    again = optplan.Plan.from_json(first.to_json())
    for name in first.names:
        assert explain(again, name, catalog()) == explain(first, name, catalog())


def test_a_policy_that_replaces_another_stands_below_it() -> None:
    """Both have arrows of their own, so that no arrow between them would be told from these."""
    rule = "{name: late, where: head, schedule: {lr: 'hold(50, at=0x) -> base'}}"
    begin = "optplan: 1\noptimizer: {type: sgd, lr: 0.1}\nhorizon: {steps: 90}\n"
    text = f"{begin}schedule: {{lr: warmup(10) -> cosine()}}\nrules: [{rule}]\n"
    lines = explain(plan(text), "head.weight", catalog()).split("\n")
    last = lines[: lines.index("values") - 1][-3:]
    assert last[0].split()[:2] == ["schedule.lr", "late"]
    assert last[1].startswith("      ")
    assert "hold(50" not in last[1]
    assert last[2] == "   -> hold(50, at=0x) -> base"


def test_what_a_rule_froze() -> None:
    assert explain(plan(), "embed.weight", catalog()) == (
        "embed.weight\n"
        "  shape      100 x 8, 800 elements\n"
        "  frozen     by rule `embed` at net.optim.yaml:19; nothing is computed for it\n"
        "\n"
        "cascade\n"
        "  freeze  false -> true  embed  net.optim.yaml:19"
    )


def test_a_setting_that_the_optimizer_lacks_is_said_to_be_left_out() -> None:
    text = DOCUMENT.replace("where: layers.0\n    lr: 0.5x", "where: layers.0\n    momentum: 0.5")
    assert "left out: `adamw` has no `momentum`" in explain(plan(text), "layers.0.attn.bias", catalog())


def test_tied_names_lead_to_one_explanation() -> None:
    torch = pytest.importorskip("torch")

    class Tied(torch.nn.Module):  # type: ignore[name-defined]  # torch is there or the test is not
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(5, 3)
            self.head = torch.nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

    tied = optplan.plan(optplan.loads("optplan: 1\noptimizer: {type: adamw}\n"), Tied())
    text = explain(tied, "head.weight", catalog())
    assert text == explain(tied, "embed.weight", catalog())
    assert text.startswith("embed.weight\n")
    assert "\n  tied to    head.weight\n" in text


def test_an_unknown_parameter() -> None:
    assert unknown_parameter(plan(), "head.bias") is None
    assert unknown_parameter(plan(), "head.bais") == (
        "error: the network has no parameter `head.bais`\n   = help: did you mean `head.bias` or `head.weight`?"
    )
    assert unknown_parameter(plan(), "head") == (
        "error: the network has no parameter `head`\n   = help: below it are head.weight, head.bias"
    )
    with pytest.raises(KeyError):
        explain(plan(), "head", catalog())


@pytest.mark.parametrize(
    ("curve", "steps", "expected"),
    [
        (Hold(ONE), None, [0]),
        (Hold(ONE), 100, [0, 99]),
        (Ramp(ZERO, ONE, 10.0), 100, [0, 10, 99]),
        (Ramp(ZERO, ONE, 9.5), None, [0, 10]),
        (Poly(ONE, ZERO, 100.0), 100, [0, 99]),
        (Chain((Ramp(ZERO, ONE, 10.0), Ramp(ONE, ZERO, 90.0)), (0.0, 10.0)), 100, [0, 10, 99]),
        (Chain((Hold(ZERO), Ramp(ZERO, ONE, 500.0)), (0.0, 10.0)), 100, [0, 10, 99]),
        (Steps(ONE, 0.1, (30.0, 60.0)), 90, [0, 30, 60, 89]),
        (Stairs(ONE, 0.5, 30.0, 90.0), 90, [0, 30, 60, 89]),
        (Epochs(Steps(ONE, 0.1, (3.0,)), 10.0), 50, [0, 30, 49]),
    ],
)
def test_the_updates_that_are_shown(curve: Curve, steps: int | None, expected: list[int]) -> None:
    assert points(curve, steps) == expected


def test_of_many_updates_the_first_and_the_last_are_shown() -> None:
    shown = points(Stairs(ONE, 0.9, 1.0), 1000)
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == (0, 999)
