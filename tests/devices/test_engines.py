"""Trained by several processes, a network has the weights of the training in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import optplan
from tests.devices.cases import CASES, OVERFLOW, UPDATES, difference, in_one_process, planned
from tests.devices.processes import run
from tests.targets.networks import Pictures

if TYPE_CHECKING:
    from pathlib import Path

# Of the weights, relative to the largest of a tensor: 15 updates in float32, with gradients added up in another order
ROUNDING = 2e-6
# Muon computes in bfloat16: gradients that differ in the last place may be rounded to neighbours, see docs/devices.md
MUON = "muon and adamw"
HALF = {"DDP": 5e-3, "ZeRO": 5e-3, "fully_shard": 1e-1, "partly sharded": 1e-1}

SCALED = [case for case in CASES if "loss_scale" in CASES[case]]
# What FSDP1 can be bound to, see test_refusals.py
BY_ELEMENT = ["sgd", "adamw", "several"]


def of_all(engine: str, world: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What each process found, by case."""
    cases = BY_ELEMENT if engine == "FSDP1" else list(CASES)
    found = run("tests.devices.worker", world, folder, engine, *cases)
    return {case: [each[case] for each in found] for case in cases}


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "engine",
    ["DDP", "fully_shard", *(pytest.param(one, marks=pytest.mark.long) for one in ("ZeRO", "partly sharded", "FSDP1"))],
)
def test_several_processes_train_as_one(engine: str, world: int, tmp_path: Path) -> None:
    for case, processes in of_all(engine, world, tmp_path).items():
        alone = in_one_process(case)
        first = processes[0]
        # The same plan and the same groups in the same order, in every process and as planned for the bare network
        plan = planned(case)
        groups = [[group.name, *group.parameters] for group in plan.groups]
        assert [each["plan"] for each in processes] == [[plan.fingerprint, groups]] * world, case
        # The same weights, everywhere
        assert [difference(each["weights"], first["weights"]) for each in processes] == [0] * world, case
        limit = HALF[engine] if case == MUON else ROUNDING
        assert difference(first["weights"], alone.weights) < limit, case
        # The same decisions, and the norm of the whole gradient
        for each in processes:
            assert (each["scales"], each["updated"]) == (alone.scales, alone.updated), case
            if engine == "FSDP1":
                assert each["norms"] == [], case
            elif case != MUON:
                made = [(mine, own) for mine, own, is_made in zip(each["norms"], alone.norms, alone.updated) if is_made]  # noqa: B905 - lengths are compared below
                assert len(each["norms"]) == UPDATES
                assert [mine for mine, _ in made] == pytest.approx([own for _, own in made], rel=ROUNDING), case


@pytest.mark.parametrize("case", SCALED)
def test_an_overflow_in_one_process_is_in_the_cases(case: str) -> None:
    """What the test above compares with: one update is dropped, and the dynamic scale falls, and grows again."""
    alone = in_one_process(case)
    assert [update for update, made in enumerate(alone.updated) if not made] == [OVERFLOW]
    dynamic = CASES[case]["loss_scale"].startswith("dynamic")
    assert (alone.scales[OVERFLOW + 1] == alone.scales[OVERFLOW] / 2) is dynamic
    assert (len(set(alone.scales)) > 1) is dynamic


def test_a_plan_from_no_device_is_that_of_the_network() -> None:
    for case, document in CASES.items():
        assert planned(case) == optplan.plan(document, Pictures(), steps=UPDATES)
