"""What cannot be planned from shards, or bound to them, is refused with the cure, and the cure works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import optplan
from tests.devices.cases import ADAMW
from tests.devices.processes import run
from tests.targets.networks import Pictures, document

if TYPE_CHECKING:
    from pathlib import Path

WORLD = 4
WHOLE = "make the plan before wrapping, and bind it after; or shard with `fully_shard`, which keeps names and shapes"
FULLY_SHARD = "shard with `fully_shard`, which keeps the parameters whole"
FLAT = (
    "OP507",
    "parameter `_flat_param` is a flat shard of several",
    "shard with `fully_shard`, or wrap with `use_orig_params=True`; make the plan before, bind it after",
)
CUT = (
    "OP507",
    "the model is sharded: `FullyShardedDataParallel` shows pieces of its parameters, in one dimension",
    WHOLE,
)
SETTLED = "and `DistributedDataParallel` has settled when it was made which gradients there are"
FIRST = "bind the plan to the bare model, wrap that, and bind again where the parameters are others then"
UNLIKE = "takes tensors that are sharded alike, and `stem.weight` and `norm.weight` are not"

# What each attempt comes to, in every process alike
EXPECTED: dict[str, Any] = {
    "plan from FSDP1, flat": [FLAT],
    "plan from FSDP1": [CUT],
    "compile with FSDP1": [CUT],
    "plan from FSDP1 that cuts nothing": True,
    "plan from fully_shard": True,
    "bind to FSDP1, flat": [FLAT],
    "bind Muon to FSDP1": [
        (
            "OP507",
            "rule `body.weight`: `muon` looks at whole parameters, and of `body.weight` there is a piece",
            FULLY_SHARD,
        )
    ],
    "bind a clip to FSDP1": [
        (
            "OP507",
            "`norm(1.0)` needs the norm of all gradients, and under `FullyShardedDataParallel` each process has pieces",
            f"{FULLY_SHARD}, or leave `clip` out and call `model.clip_grad_norm_(...)` before the update",
        )
    ],
    "bind a clip to FSDP1 that cuts nothing": True,
    "bind a loss scale to FSDP1": [
        (
            "OP507",
            (
                "an overflow in one process must be known in all, and under `FullyShardedDataParallel` each looks at "
                "its pieces"
            ),
            f"{FULLY_SHARD}, or leave `loss_scale` out and use `ShardedGradScaler`",
        )
    ],
    "bind to local shards": [
        (
            "OP507",
            (
                "the model has a shard of 10 parameters where the plan has the whole: `stem.weight` [1, 1, 3, 3] of "
                "[4, 1, 3, 3], `stem.bias` [1] of [4], `norm.weight` [1] of [4], `norm.bias` [1] of [4], `body.weight` "
                "[3, 64] of [12, 64], ..."
            ),
            "make the plan before wrapping or sharding, and bind it after, to what `fully_shard(model)` has made",
        )
    ],
    "bind freeze to DDP": [("OP508", f"`freeze: true` switches the gradient of `stem.weight`, {SETTLED}", FIRST)],
    "bind freeze before DDP": 8,
    "bind thaw to DDP": [("OP508", f"`freeze: false` switches the gradient of `stem.weight`, {SETTLED}", FIRST)],
    "bind thaw before DDP": 10,
    **{
        f"bind {kind} to fully_shard": [
            (
                "OP507",
                f"PyTorch's `{kind}` does not update shards, and `stem.weight` is sharded",
                "use `adamw` or another, or keep its parameters whole: `fully_shard(model, ignored_params=...)`",
            )
        ]
        for kind in ("rprop", "adafactor", "lbfgs")
    },
    "bind fused sgd to fully_shard": [
        (
            "OP504",
            "`fused` of PyTorch's `sgd` does not update shards, and `stem.weight` is sharded",
            "leave `fused` out",
        )
    ],
    "bind fused adamw to fully_shard": 1,
    "bind rprop to what stays whole": 2,
    "mixed": {"foreach": False, "fused": None},
    "mixed, foreach": [
        (
            "OP504",
            f"`foreach` {UNLIKE}",
            "leave `foreach` out, or set `torch: {foreach: false}` in a rule for one of the two",
        )
    ],
    "mixed, fused": [
        (
            "OP504",
            f"`fused` {UNLIKE}",
            "leave `fused` out, or set `torch: {fused: false}` in a rule for one of the two",
        )
    ],
    "mixed, foreach, apart": [False, True],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the attempts came to in each process."""
    folder: Path = tmp_path_factory.mktemp("refusing")
    return run("tests.devices.refusing", WORLD, folder)


def test_each_attempt_comes_to_the_same_in_every_process(found: list[dict[str, Any]]) -> None:
    for attempt, expected in EXPECTED.items():
        assert [each[attempt] for each in found] == [expected] * WORLD, attempt
    assert set(found[0]) == {*EXPECTED, "plan from local shards"}


def test_a_process_without_elements_knows_that_it_has_a_shard(found: list[dict[str, Any]]) -> None:
    """Three rows in four processes.  Nothing tells a shard with elements from a network of that size."""
    *plans, refused = (each["plan from local shards"] for each in found)
    message = "parameter `head.weight` has no elements: its shape is [0, 12]"
    assert refused == [("OP507", message, f"where this is a shard: {WHOLE}")]
    # Yet the plan is another one, which is what to compare where in doubt
    assert optplan.plan(document(ADAMW), Pictures()).fingerprint not in plans
