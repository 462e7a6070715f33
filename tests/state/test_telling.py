"""What is said of a saved state that is none, or does not fit: what it seems to be, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from optplan import ConfigError
from optplan.state import checkpoint, files
from optplan.state.saved import Array, parse
from tests.state.test_files import SAVED
from tests.state.test_loading import ONE, OTHER, SGD, Wider, run
from tests.targets.networks import document

if TYPE_CHECKING:
    from pathlib import Path

# Of what is none

TORCHS, CONVERT = "compiled.load_state_dict(torch.load(path, weights_only=True)", "optplan convert {} -o state.safetens"
# A checkpoint of MindSpore is a message in a message: the name of a tensor, and the tensor
CHECKPOINT = checkpoint.pack({"moment1.weight": Array("float32", (40, 2), bytes(320))})


@pytest.mark.parametrize(
    ("content", "said", "cures"),
    [
        (b"PK\x03\x04\0\0\x08\x08\0\0\0\0", "a file of `torch.save`", [TORCHS, CONVERT]),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of `torch.save`", [TORCHS, CONVERT]),
        (b"".join(CHECKPOINT), "a checkpoint of MindSpore", [CONVERT]),
        (b"optplan: 1\noptimizer: adamw\n", "a text", ["the file that `compiled.save(path)` wrote"]),
        ("\n# ä\noptplan: 1".encode() + "é".encode() * 60, "a text", []),
        (b"a: 1", "a text", []),
        (b"\x89HDF\r\n\x1a\n\0\0\0", "claims", []),
    ],
    ids=["zip", "pickle", "checkpoint", "yaml", "utf-8", "short", "other"],
)
def test_a_file_of_another_program_is_told_with_the_way_to_load_it(
    content: bytes, said: str, cures: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        files.read(path)
    (fault,) = caught.value.diagnostics
    assert fault.code == "OP701"
    assert said in fault.message
    assert all(cure.format(path) in str(fault.help) for cure in cures)


@pytest.mark.parametrize(
    ("data", "cure"),
    [
        (
            {"model": {}, "opt": {"state": {}, "param_groups": []}},
            "under 'opt', which is a state dict of `torch.optim`",
        ),
        ({"epoch": 3, "training": SAVED.to_dict()}, "under 'training', which is a saved state"),
        ({"weight": Array("float32", (1,), bytes(4))}, "`compiled.load_weights`"),
        ({"epoch": 3}, "this release reads `optplan.state/1`"),
        ({}, "this release reads `optplan.state/1`"),
    ],
)
def test_a_dict_with_a_state_in_it_is_told_by_its_key(data: dict[str, Any], cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert cure in str(caught.value.diagnostics[0].help)


# Of what differs


def test_errors_come_first() -> None:
    _, compiled = run(OTHER)
    _, wider = run(ONE, 0, Wider)
    with pytest.raises(ConfigError) as caught:
        wider.load_state_dict(compiled.state_dict(), on_load="checkpoint")
    told = [each.severity for each in caught.value.diagnostics]
    assert told == sorted(told)
    assert {"error", "note"} <= set(told)
    assert caught.value.diagnostics[-1].code == "OP707"


def test_who_has_said_that_it_may_differ_is_not_told_to_say_so() -> None:
    """What was the cure is what happens."""
    changed = document({"type": "adam", "lr": 0.1, "amsgrad": True}, schedule={"lr": "plateau(metric=loss)"})
    _, compiled = run(OTHER)
    _, adam = run(changed, 0)
    _, wider = run(ONE, 0, Wider)
    _, back = run({**ONE, "rules": [{"where": "stem", "freeze": True}]}, 0)
    _, sgd = run(SGD, 0)
    said = [other.load_state_dict(compiled.state_dict(), strict=False) for other in (adam, wider, back, sgd)]
    said += [wider.load_state_dict(compiled.state_dict(), strict=False, on_load="checkpoint")]
    told = "\n".join(map(str, said))
    assert "strict=False" not in told
    for each in (
        "it is kept: the two have the same",
        "it is 0 at first",
        "it waits for the first one",
        "that the plan trains: `more.weight`, `more.bias`; they begin anew",
        "needs [5, 12] here; the parameter begins anew",
        "that the plan does not train: `stem.weight`, `stem.bias`; it is left out",
        "for `weight_decay`; the plan's stands",
    ):
        assert each in told, each
