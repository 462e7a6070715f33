"""The table of a plan: small ones whole and by hand, and what holds for all of them."""

from __future__ import annotations

import re

import optplan
from optplan.report.plans import plan_html, plan_table
from optplan.resolve.network import from_names
from tests.report.networks import DOCUMENT, network


def plan(text: str = DOCUMENT) -> optplan.Plan:
    return optplan.plan(optplan.loads(text, name="net.optim.yaml"), network())


TABLE = """\
5 groups for torch, 8 parameters, 234 elements; 1,000 updates

#  group          optimizer  parameters  numel  lr      weight_decay
-  -------------  ---------  ----------  -----  ------  ------------
0  matrices+slow  sgd                 1     64  0.05    0
1  bias+slow      adamw               1      8  0.0005  0
2  matrices       sgd                 2    128  0.1     0
3  bias           adamw               3     18  0.001   0
4  default        adamw               1     16  0.001   0.05
-  -------------  ---------  ----------  -----  ------  ------------
   total                              8    234

schedule  lr           warmup(10%) -> cosine(to=0.01x); the values of
                       transformers.get_scheduler("cosine_with_min_lr", optimizer,
                       num_warmup_steps=100, num_training_steps=1000,
                       scheduler_specific_kwargs={"min_lr_rate": 0.01})
settings  sgd          momentum 0.9
settings  adamw        betas [0.9, 0.95]
frozen    1 parameter  embed.weight"""


def test_a_table() -> None:
    assert plan_table(plan()) == TABLE


def test_it_is_what_a_plan_shows_of_itself() -> None:
    assert repr(plan()) == TABLE


def test_colour_changes_nothing_but_colour() -> None:
    coloured = plan_table(plan(), colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == TABLE


def test_one_group_has_no_total() -> None:
    assert plan_table(plan("optplan: 1\noptimizer: {type: adamw, lr: 1e-5}\n")) == (
        "1 group for torch, 9 parameters, 1,034 elements\n"
        "\n"
        "#  group    optimizer  parameters  numel  lr\n"
        "-  -------  ---------  ----------  -----  ----\n"
        "0  default  adamw               9  1,034  1e-5"
    )


def test_policies_that_differ_are_marked_and_explained_below() -> None:
    text = plan_table(
        plan(
            "optplan: 1\noptimizer: {type: adamw}\nhorizon: {steps: 10}\nschedule: {lr: cosine(to=0.5x)}\n"
            "rules:\n  - {name: late, where: head, schedule: {lr: 'hold(5, at=0x) -> base'}}\n"
        )
    )
    assert text.split("\n")[4:] == [
        "0  default  adamw               7  1,016  0.001  lr a",
        "1  late     adamw               2     18  0.001  lr b",
        "-  -------  ---------  ----------  -----  -----  --------",
        "   total                        9  1,034",
        "",
        "schedule  lr a  cosine(to=0.5x); the values of torch.optim.lr_scheduler.CosineAnnealingLR(optimizer,",
        "                T_max=10, eta_min=0.0005)",
        "schedule  lr b  hold(5, at=0x) -> base",
    ]


def test_a_scheduler_is_named_that_has_the_values_for_all_groups() -> None:
    """What depends on the own rate, as `eta_min` does, is another scheduler for each."""
    halved = "optplan: 1\noptimizer: {type: adamw, lr: 0.1}\nhorizon: {steps: 90}\nrules: [{where: head, lr: 0.5x}]\n"
    text = plan_table(plan(halved + "schedule: {lr: 'step(every=30, gamma=0.1)', 'betas[0]': cosine()}\n"))
    assert text.split("\n")[-3:] == [
        "schedule  betas[0]  cosine()",
        "schedule  lr        step(every=30, gamma=0.1); the values of",
        "                    torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)",
    ]
    assert "the values of" not in plan_table(plan(halved + "schedule: {lr: cosine(to=0.1x)}\n"))


def test_an_option_that_some_groups_have_is_a_column() -> None:
    text = plan_table(plan("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: head, torch: {fused: true}}]\n"))
    assert [line.split() for line in text.split("\n")[2:6]] == [
        ["#", "group", "optimizer", "parameters", "numel", "lr", "torch.fused"],
        ["-", "-------", "---------", "----------", "-----", "-----", "-----------"],
        ["0", "default", "adamw", "7", "1,016", "0.001"],
        ["1", "head", "adamw", "2", "18", "0.001", "true"],
    ]


def test_rates_that_differ_look_different() -> None:
    text = plan_table(
        plan(
            "optplan: 1\noptimizer: {type: sgd, lr: 0.1}\n"
            "rules: [{where: head, lr: 0.10000001}, {where: embed, lr: 1e-9}]\n"
        )
    )
    assert re.findall(r"  (0\.1\d*|1e-9)$", text, re.MULTILINE) == ["1e-9", "0.1", "0.10000001"]


def wide_document(groups: int) -> str:
    name = "a_rule_whose_name_is_so_long_that_no_table_of_a_hundred_columns_has_room_for_it_beside_all_the_rest"
    rules = [
        f"  - {{name: {name}_{number}, where: 'p{number}', lr: 0.0001234567891{number:02}}}" for number in range(groups)
    ]
    body = (
        "optimizer: {type: adam, lr: 1, betas: [0.9, 0.95], eps: 1e-6}\n"
        "optimizers: {second: {type: adamw, betas: [0.123456789, 0.987654321], eps: 1e-5, amsgrad: true}}\n"
        "rules:\n" + "\n".join(rules) + "\n  - {where: p0, use: second}\n"
    )
    return f"optplan: 1\n{body}"


def wide_plan(groups: int) -> optplan.Plan:
    return optplan.plan(
        optplan.loads(wide_document(groups)), from_names([(f"p{k}", (1,), "float32") for k in range(groups)])
    )


def test_a_table_stays_within_its_width_and_says_below_what_has_no_room() -> None:
    text = plan_table(wide_plan(3), width=80)
    assert max(map(len, text.split("\n"))) <= 80
    assert "amsgrad true" in text
    assert "betas [0.1235, 0.9877]" in " ".join(text.split())
    assert "..." in text


def test_of_many_groups_the_middle_ones_are_counted() -> None:
    many = wide_plan(60)
    assert "... 20 more groups" in plan_table(many, most=40)
    assert "more groups" not in plan_table(many, most=None)


def test_html_escapes_what_a_file_says() -> None:
    text = plan_html(plan("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: ndim > 1, lr: 0.5x}]\n"))
    assert '<td style="text-align:left">ndim &gt; 1</td>' in text
    assert text == plan("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: ndim > 1, lr: 0.5x}]\n")._repr_html_()
    assert text.count("<tr>") == text.count("</tr>") == 4
