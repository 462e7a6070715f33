"""Manifests: what is written comes back equal, and whatever else stands in a file is one diagnostic."""

from __future__ import annotations

import copy
import json
import os
import struct
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optplan
from optplan import ConfigError, Network
from optplan.readers.files import read_network, read_plan
from optplan.readers.header import ReadError
from optplan.readers.manifest import MOST_DEPTH, from_data, read_manifest
from optplan.resolve.network import Alias, Kind, from_names
from tests.report.networks import network

if TYPE_CHECKING:
    from pathlib import Path


def full() -> Network:
    """Every column in use: a translated name, a tied parameter, a frozen one, wrapped and parametrized modules."""
    return Network(
        "mindspore",
        (
            Kind(),
            Kind(("a.LayerNorm", "a.Base"), frozenset({"norm"})),
            Kind(("a.Conv",), frozenset({"conv"}), True, True, False),
        ),
        (-1, 0, 0, 2),
        ("", "norm", "body", "inner.conv"),
        (0, 1, 0, 2),
        ("norm.weight", "body.inner.conv.weight.original0", "body.inner.conv.weight.original1", "scale"),
        (1, 3, 3, 0),
        ("weight", "weight.original0", "weight.original1", "scale"),
        ((8,), (4, 1, 3, 3), (4, 1, 1, 1), ()),
        ("float32", "bfloat16", "bfloat16", "float32"),
        (True, False, True, True),
        {0: (Alias("body.tied", 2, "tied"), Alias("tied_elsewhere", 1, "odd"))},
        {0: "gamma"},
    )  # fmt: skip


@pytest.mark.parametrize("made", [full(), network(), from_names([])], ids=["full", "flat", "empty"])
def test_what_is_written_comes_back_equal(made: Network, tmp_path: Path) -> None:
    made.write(tmp_path / "net.params.json")
    assert optplan.network(tmp_path / "net.params.json") == made
    assert from_data(json.loads(made.to_json())) == made


def test_real_networks_come_back_equal() -> None:
    torch = pytest.importorskip("torch")
    from tests.networks import architectures  # noqa: PLC0415 - only where torch is

    with torch.device("meta"):
        for make in (architectures.gpt2, architectures.convnext, architectures.vit):
            seen = optplan.network(make())
            assert from_data(json.loads(seen.to_json())) == seen


def test_a_manifest_is_a_line_for_each_part() -> None:
    assert from_names([("a.weight", (2, 3), "float32")], target="torch").to_json() == (
        "{\n"
        ' "format": "optplan.params/1",\n'
        ' "target": "torch",\n'
        ' "modules_known": false,\n'
        ' "kinds": [\n'
        '  {"classes": [], "families": [], "transposed": false, "depthwise": false, "sparse": null}\n'
        " ],\n"
        ' "modules": [\n'
        '  {"in": -1, "name": "", "kind": 0},\n'
        '  {"in": 0, "name": "a", "kind": 0}\n'
        " ],\n"
        ' "parameters": [\n'
        '  {"name": "a.weight", "module": 1, "shape": [2, 3], "dtype": "float32"}\n'
        " ]\n"
        "}\n"
    )


def test_a_plan_for_a_manifest_is_the_plan_for_the_network(tmp_path: Path) -> None:
    network().write(tmp_path / "a.json")
    config = optplan.loads("optplan: 1\noptimizer: {type: adamw}\nrules: [{where: bias, weight_decay: 0}]\n")
    assert optplan.plan(config, optplan.network(tmp_path / "a.json")) == optplan.plan(config, network())


# Writing


def test_writing_leaves_nothing_beside_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "net.params.json"
    path.write_text("old")
    network().write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["net.params.json"]
    assert optplan.network(path) == network()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.params.json"
    path.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        network().write(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("net.params.json", "old")]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.params.json").symlink_to(tmp_path / "real.params.json")
    network().write(tmp_path / "link.params.json")
    assert (tmp_path / "link.params.json").is_symlink()
    assert optplan.network(tmp_path / "real.params.json") == network()


# Faults


def changed(**changes: Any) -> dict[str, Any]:
    return {**full().to_data(), **changes}


def row(table: str, number: int, **changes: Any) -> dict[str, Any]:
    data = copy.deepcopy(full().to_data())
    data[table][number] |= changes
    return data


FAULTS: list[tuple[Any, str]] = [
    ([], "the format of the manifest is `list`, not `optplan.params/1`"),
    ({}, "the format of the manifest is `NoneType`, not `optplan.params/1`"),
    (changed(format="optplan.params/2"), "the format of the manifest is `optplan.params/2`, not `optplan.params/1`"),
    (changed(more=1), "the manifest has the unknown key `more`"),
    (changed(target="jax"), "the manifest is for the unknown target `jax`"),
    (changed(target=["torch"]), "the manifest is for the unknown target `list`"),
    (changed(modules_known=1), "`modules_known` of the manifest is neither true nor false"),
    (changed(kinds={}), "`kinds` is not a list"),
    ({"format": "optplan.params/1"}, "the manifest has no `kinds`"),
    (changed(modules=[]), "the manifest has no `modules`; the first one is the network itself"),
    (changed(modules=[3]), "`modules[0]` is not an object"),
    (row("modules", 0, **{"in": 0}), "`in` of `modules[0]` is `0`, which is no place there"),
    (row("modules", 2, **{"in": 2}), "`in` of `modules[2]` is `2`, which is no place there"),
    (row("modules", 2, **{"in": True}), "`in` of `modules[2]` is `True`, which is no place there"),
    (row("modules", 1, kind=3), "`kind` of `modules[1]` is `3`, which is no place there"),
    (row("modules", 1, kind=-1), "`kind` of `modules[1]` is `-1`, which is no place there"),
    (row("modules", 1, name=None), "`name` of `modules[1]` is not a text"),
    (row("kinds", 1, families=["norm", "norm"]), "`families` of `kinds[1]` names one thing twice"),
    (row("kinds", 1, families=["dense"]), "`kinds[1]` has the unknown family `dense`"),
    (row("kinds", 1, classes="a"), "`classes` of `kinds[1]` is not a list of texts"),
    (row("kinds", 1, sparse="no"), "`sparse` of `kinds[1]` is neither true, false nor null"),
    (row("parameters", 1, name="norm.weight"), "two parameters have the name `norm.weight`"),
    (row("parameters", 1, name="body.tied"), "two parameters have the name `body.tied`"),
    (row("parameters", 1, name=""), "`name` of `parameters[1]` is not a text"),
    (row("parameters", 1, name="\ud800"), "`name` of `parameters[1]` is not a text"),
    (row("parameters", 1, module=9), "`module` of `parameters[1]` is `9`, which is no place there"),
    (
        row("parameters", 1, module=1),
        "`body.inner.conv.weight.original0` does not lie in its module `norm`, and has no `local`",
    ),
    (row("parameters", 0, shape=[-1]), "the shape of `norm.weight` is not a list of whole numbers from 0"),
    (row("parameters", 0, shape=[1.0]), "the shape of `norm.weight` is not a list of whole numbers from 0"),
    (row("parameters", 0, shape=[2**40, 2**40]), "the shape of `norm.weight` is too large to be true"),
    (row("parameters", 0, dtype=32), "`dtype` of `parameters[0]` is not a text"),
    (row("parameters", 0, trainable="yes"), "`trainable` of `parameters[0]` is neither true nor false"),
    (row("parameters", 0, aliases=[]), "`aliases` of `parameters[0]` is empty; leave it out"),
    (row("parameters", 0, aliases=[{"name": "a"}]), "`parameters[0]`, `aliases[0]` has no `module`"),
    (row("parameters", 0, extra=1), "`parameters[0]` has the unknown key `extra`"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), FAULTS)
def test_a_fault_is_told(data: Any, message: str) -> None:
    with pytest.raises(ReadError) as caught:
        from_data(data)
    assert caught.value.message == message


def test_names_that_would_fill_the_memory_are_refused() -> None:
    deep = [{"in": number - 1, "name": "m", "kind": 0} for number in range(MOST_DEPTH + 2)]
    long = [{"in": -1, "name": "m" * 1_000_000, "kind": 0}, *({"in": 0, "name": "m", "kind": 0} for _ in range(200))]
    for modules in (deep, long):
        with pytest.raises(ReadError):
            from_data(changed(modules=modules))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["", "norm", "torch", "a.b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["in", "name", "kind", "module", "shape", "classes", "aliases"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.data())
def test_whatever_replaces_a_part_is_a_network_or_one_fault(data: st.DataObject) -> None:
    """Any value in any place: no other exception, and what comes back is written as it was read."""
    manifest = copy.deepcopy(full().to_data())
    place: Any = manifest
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        made = from_data(manifest)
    except ReadError:
        return
    assert from_data(json.loads(made.to_json())) == made


@given(st.binary(max_size=80), st.integers(0, 400))
def test_whatever_bytes_are_a_network_or_one_fault(noise: bytes, at: int) -> None:
    text = full().to_json().encode()
    with suppress(ReadError):
        read_manifest(BytesIO(text[:at] + noise + text[at + len(noise) :]))


# Files


def fault(path: Path) -> tuple[str, str, str]:
    with pytest.raises(ConfigError) as caught:
        read_network(path)
    (found,) = caught.value.diagnostics
    return found.code, found.source, found.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, broken, empty = (tmp_path / name for name in ("no.params.json", "broken.params.json", "empty.pt"))
    broken.write_text('{"format": "optplan.params/1", "kinds": [')
    empty.write_bytes(b"")
    assert fault(missing) == ("OP601", str(missing), "the file cannot be read: no such file or directory")
    assert fault(broken) == ("OP601", str(broken), "the JSON in the file is corrupted")
    assert fault(empty) == ("OP601", str(empty), "the file is empty")
    assert fault(tmp_path)[0] == "OP601"
    assert fault(tmp_path / "a\0b")[0] == "OP601"


def test_a_manifest_need_not_be_called_one(tmp_path: Path) -> None:
    full().write(tmp_path / "network.json")
    assert read_network(tmp_path / "network.json") == full()


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> Path:
    """A file as the format's description has it: length, JSON, data."""
    entries, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(end))
    return path


def test_of_a_checkpoint_only_what_an_optimizer_could_take_is_a_parameter(tmp_path: Path) -> None:
    path = safetensors(
        tmp_path / "model.safetensors",
        {
            "norm.weight": ("F32", [2], 8),
            "norm.running_mean": ("F32", [2], 8),
            "norm.running_var": ("F32", [2], 8),
            "norm.num_batches_tracked": ("I64", [], 8),
            "head.weight": ("BF16", [3, 2], 12),
        },
    )
    seen = read_network(path)
    assert seen.names == ("norm.weight", "head.weight")
    assert seen.shapes == ((2,), (3, 2))
    assert not seen.modules_known


def test_a_checkpoint_of_torch_has_its_ties(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    shared = torch.zeros(4, 3)
    torch.save({"embed.weight": shared, "bias": torch.zeros(4), "head.weight": shared}, tmp_path / "model.pt")
    seen = read_network(tmp_path / "model.pt")
    assert seen.target == "torch"
    assert seen.names == ("embed.weight", "bias")
    assert seen.parameter(0).aliases == ("head.weight",)


# Plans


def saved(tmp_path: Path, **changes: Any) -> Path:
    plan = optplan.plan(
        optplan.loads("optplan: 1\noptimizer: {type: adamw}\nhorizon: {steps: 9}\nschedule: {lr: cosine()}\n"),
        network(),
    )
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(plan.to_json()), **changes}))
    return path


def test_a_plan_comes_back(tmp_path: Path) -> None:
    plan = read_plan(saved(tmp_path), optplan.Plan)
    assert isinstance(plan, optplan.Plan)
    assert plan.names == network().names


def test_what_is_no_plan_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.optim.yaml").write_text("optplan: 1\n")
    assert read_plan(tmp_path / "a.optim.yaml") is None
    assert read_plan(tmp_path / "missing") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "optplan.plan/2"},
        {"groups": []},
        {"groups": 3},
        {"cases": []},
        {"parameters": {"names": ["a"], "shapes": [], "cases": [], "aliases": {}}},
        {"parameters": {"names": [1], "shapes": [[1]], "cases": [0], "aliases": {}}},
        {"parameters": {"names": ["a"], "shapes": [[1]], "cases": [0], "aliases": {"b": "c"}}},
        {"horizon": {"steps": "x"}},
    ],
)
def test_a_plan_that_is_none_is_one_fault(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_plan(saved(tmp_path, **changes))
    (found,) = caught.value.diagnostics
    assert found.code == "OP001"
