"""The state of frameworks' own optimizers, read from their files: exactly, or refused with one kind of error."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optplan.readers.header import ReadError
from optplan.readers.stock import Values, read_checkpoint, read_torch
from optplan.state.checkpoint import pack
from optplan.state.saved import Array

if TYPE_CHECKING:
    from pathlib import Path


def state_dict() -> dict[str, Any]:
    """Of AMSGrad, after an update of weights that do not lie row by row."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 3)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own overloads lack it
    groups: list[dict[str, Any]] = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.1}]
    optimizer = torch.optim.AdamW(groups, amsgrad=True)
    layer(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


OWN = state_dict()
ARCHIVE = saved(OWN)
TENSORS = {
    "moment1.head.weight": Array("float32", (2, 3), np.arange(6, dtype=np.float32).tobytes()),
    "global_step": Array("int32", (1,), np.array([7], np.int32).tobytes()),
    "mu": Array("float32", (), np.array(0.5, np.float32).tobytes()),
    "empty": Array("float16", (0, 3), b""),
}
CHECKPOINT = b"".join(pack(TENSORS))


def array(values: Values) -> Any:
    return np.frombuffer(values.data, values.dtype).reshape(values.shape)


@pytest.mark.parametrize(
    "whole", [OWN, {"model": {"weight": torch.ones(2)}, "optimizer": OWN, "epoch": 3}, {"optimizers": [OWN], "step": 1}]
)
def test_every_number_is_read_exactly(whole: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(saved(whole))
    found = read_torch(tmp_path / "state.pt")
    assert found["param_groups"] == OWN["param_groups"]
    assert found["state"].keys() == OWN["state"].keys()
    for key, fields in OWN["state"].items():
        assert found["state"][key].keys() == fields.keys()
        for field, value in fields.items():
            np.testing.assert_array_equal(array(found["state"][key][field]), value.numpy())


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "state.ckpt").write_bytes(CHECKPOINT)
    found = read_checkpoint(tmp_path / "state.ckpt")
    assert {name: tuple(each) for name, each in found.items()} == {
        name: (each.dtype, each.shape, each.data) for name, each in TENSORS.items()
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool], ids=str)
def test_types_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    value = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
    torch.save({"state": {0: {"x": value}}, "param_groups": [{"params": [0]}]}, tmp_path / "state.pt")
    found = read_torch(tmp_path / "state.pt")["state"][0]["x"]
    assert (f"torch.{found.dtype}", found.shape) == (str(dtype), (2, 3))
    assert torch.equal(torch.frombuffer(bytearray(found.data), dtype=dtype).reshape(2, 3), value)


def test_what_claims_more_than_is_there_is_refused(tmp_path: Path) -> None:
    """A tensor of a billion elements over a storage of one, by strides of 0."""
    huge = torch.zeros(1).expand(1_000_000_000)
    torch.save({"state": {0: {"x": huge}}, "param_groups": [{"params": [0]}]}, tmp_path / "state.pt")
    with pytest.raises(ReadError, match="claim more bytes"):
        read_torch(tmp_path / "state.pt")


def changed(data: bytes, places: list[tuple[int, int]], end: int) -> bytes:
    """`data` with some bytes set, and cut."""
    found = bytearray(data)
    for place, value in places:
        found[place % len(found)] = value
    return bytes(found[: len(found) - end % len(found)])


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)


@given(places=CHANGES, end=st.one_of(st.just(0), st.integers(0, 10_000)))
def test_a_damaged_archive_is_read_or_refused(places: list[tuple[int, int]], end: int, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(changed(ARCHIVE, places, end))
    try:
        found = read_torch(path)
    except ReadError:
        return
    assert "state" in found


@given(places=CHANGES, end=st.one_of(st.just(0), st.integers(0, 10_000)))
def test_a_damaged_checkpoint_is_read_or_refused(
    places: list[tuple[int, int]], end: int, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.ckpt"
    path.write_bytes(changed(CHECKPOINT, places, end))
    try:
        found = read_checkpoint(path)
    except ReadError:
        return
    assert all(isinstance(each, Values) for each in found.values())
