"""Files that `torch.save` writes; expected names, shapes, dtypes and ties are torch's own."""

from __future__ import annotations

import argparse
import collections
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optplan.readers.dispatch import read_header
from optplan.readers.header import Entry, Header, ReadError
from tests.readers.archives import archive, as_torch_says, fault, save

if TYPE_CHECKING:
    from collections.abc import Callable

    Promises = Callable[[Path], None]

torch = pytest.importorskip("torch")


# What torch writes


def savable_dtypes() -> list[Any]:
    """Every dtype of the installed torch of which it can save a tensor."""
    found = {value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    savable = []
    for dtype in sorted(found, key=str):
        try:
            torch.save(torch.empty(2, 3, dtype=dtype), io.BytesIO())
        except (RuntimeError, NotImplementedError, AttributeError, KeyError, TypeError):
            continue
        savable.append(dtype)
    return savable


@pytest.mark.filterwarnings("ignore:ComplexHalf", "ignore:torch.quantize_per_tensor")
def test_every_dtype_that_torch_saves(tmp_path: Path) -> None:
    state = {str(dtype): torch.empty(2, 3, dtype=dtype) for dtype in savable_dtypes()}
    assert {"torch.float32", "torch.bfloat16", "torch.float8_e4m3fn", "torch.bool", "torch.uint16"} <= set(state)
    assert read_header(save(tmp_path, state)).entries == as_torch_says(state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_module_s_state_dict(tmp_path: Path, protocol: int) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(300, 70_000))
    state = module.state_dict()
    path = save(tmp_path, state, pickle_protocol=protocol)
    assert read_header(path) == Header("torch", as_torch_says(state))


def test_more_tensors_than_the_short_memo_opcodes_can_number(tmp_path: Path) -> None:
    state = {f"layers.{i}.weight": torch.empty(i % 7, 2) for i in range(600)}
    assert read_header(save(tmp_path, state)).entries == as_torch_says(state)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(1.5),
        torch.empty(0),
        torch.empty(3, 0, 2),
        torch.empty(4, 6).t(),
        torch.empty(10)[2:5],
        torch.empty(2, 1).expand(2, 5),
        torch.nn.Parameter(torch.empty(2, 2)),
        torch.nn.Buffer(torch.empty(2, 2)),
        torch.empty(3, device="meta"),
        torch.zeros(2, dtype=torch.complex64).conj(),
        torch.eye(3).to_sparse(),
        torch.empty(1).requires_grad_(),
    ],
    ids=["scalar", "empty", "empty3", "t", "slice", "expand", "parameter", "buffer", "meta", "conj", "coo", "grad"],
)
def test_kinds_of_tensors(tmp_path: Path, tensor: Any) -> None:
    state = {"before": torch.empty(1), "it": tensor, "after": torch.empty(2)}
    assert read_header(save(tmp_path, state)).entries == as_torch_says(state)


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
def test_compressed_and_quantized_tensors(tmp_path: Path) -> None:
    state = {
        "csr": torch.eye(3).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.ones(2, 5), 0.1, 0, torch.qint8),
    }
    assert read_header(save(tmp_path, state)).entries == as_torch_says(state)


def test_a_parameter_with_attributes_and_a_tensor_of_a_subclass(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.empty(2, 3))
    parameter.layer = "fc"
    plain = torch.empty(4, 2)
    plain.note = "tied elsewhere"
    state = {"parameter": parameter, "plain": plain}
    assert read_header(save(tmp_path, state)).entries == as_torch_says(state)


def test_a_dtensor_s_global_shape(tmp_path: Path) -> None:
    # what a DTensor of shape (8, 4) reduces to; making one needs a process group
    body = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_wrapper_subclass\n"
        b"ctorch.distributed.tensor\nDTensor\n(ctorch.distributed.tensor\nDTensor\nctorch\nbfloat16\n"
        b"K\x08K\x04\x86K\x04K\x01\x86K\x00NN\x89t}tRs."
    )
    assert read_header(archive(tmp_path / "d.pt", body)).entries == (Entry("w", (8, 4), "bfloat16"),)


def test_ties_are_one_view_of_one_storage(tmp_path: Path) -> None:
    table = torch.empty(4, 4)
    state = {
        "embed": table,
        "other": torch.empty(4, 4),
        "transposed": table.t(),
        "part": table[:2],
        "head": table,
        "none": table[:0],
        "nothing": table[:0],
        "head2": table.detach(),
    }
    assert read_header(save(tmp_path, state)).tied == (("embed", "head", "head2"),)


def test_ties_through_modules(tmp_path: Path) -> None:
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    module["b"].weight = module["a"].weight
    assert read_header(save(tmp_path, module.state_dict(keep_vars=True))).tied == (("a.weight", "b.weight"),)


TENSOR = torch.zeros(2)
STATE = {"w": TENSOR, "b": torch.zeros(3)}
OTHER = {"v": torch.zeros(4)}
TRAINING = torch.optim.AdamW([torch.nn.Parameter(TENSOR)])
TRAINING.param_groups[0]["params"][0].grad = torch.ones(2)
TRAINING.step()


class Recipe(dict[str, Any]):
    """Somebody's dict with attributes."""


@pytest.mark.parametrize(
    "value",
    [
        STATE,
        {"state_dict": STATE},
        {"model": STATE, "optimizer": TRAINING.state_dict(), "args": argparse.Namespace(lr=1.0), "epoch": 3},
        {"model_state_dict": STATE, "loss": torch.tensor(1.0)},
        {"module": STATE, "ema": OTHER},
        {"net": STATE, "scheduler": {"last": 1}, "best": 0.5, "rng": [TENSOR]},
        {"model": {"state_dict": STATE}},
        {"model": "vit", "state_dict": STATE},
        {"state_dict": collections.defaultdict(int, STATE)},
        {"state_dict": Recipe(STATE), "hyper": {"lr": 1, "when": collections.Counter("ab")}},
        STATE | {"norm._extra_state": {"amax": TENSOR}, "n": 3, "fn": len, "when": {1, 2}, "raw": b"x", "big": 2**99},
        {"state_dict": STATE, "nested": [[({"a": frozenset({(1, 2)})},)]], "path": Path("x"), "c": 1j},
    ],
    ids=str,
)
def test_the_state_dict_is_found(tmp_path: Path, value: Any) -> None:
    assert read_header(save(tmp_path, value)).entries == as_torch_says(STATE)


def recursive() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"gen": STATE, "disc": OTHER}, "several things in the file could be the state dict: `gen`, `disc`"),
        (
            {"model": STATE, "module": OTHER},
            "several things in the file could be the state dict: `model`, `module`",
        ),
        (
            {"model": {"a": STATE, "b": OTHER}},
            "several things in the file could be the state dict: `model.a`, `model.b`",
        ),
        ({"x": STATE, "rng": TENSOR}, "several things in the file could be the state dict: `x`, the tensors beside it"),
        (torch.nn.Linear(1, 1), "the file holds a whole pickled `torch.nn.modules.linear.Linear`, not its state dict"),
        (
            {"epoch": 1, "model": torch.nn.ReLU()},
            "`model` in the file is a whole pickled `torch.nn.modules.activation.ReLU`, not its state dict",
        ),
        (
            {"epoch": 1, "net": torch.nn.ReLU()},
            "`net` in the file is a whole pickled `torch.nn.modules.activation.ReLU`, not its state dict",
        ),
        (TENSOR, "the file holds a single tensor, not a state dict"),
        ([TENSOR], "the file holds a `list`, not a state dict"),
        (argparse.Namespace(w=TENSOR), "the file holds a `argparse.Namespace`, not a state dict"),
        (None, "the file holds a `NoneType`, not a state dict"),
        ({}, "the file holds no state dict: no tensor stands under a name"),
        ({"lr": 0.1, "steps": [1]}, "the file holds no state dict: no tensor stands under a name"),
        (recursive(), "the file holds no state dict: no tensor stands under a name"),
        ({"w": TENSOR, 3: TENSOR}, "a tensor stands under the key `3`, which is no name"),
        ({"w": TENSOR, "": TENSOR}, "a tensor has the name ``, which no parameter can have"),
        (
            {"w": TENSOR, "\x1b[2Jx": TENSOR},
            r"a tensor has the name `\x1b[2Jx`, which no parameter can have",
        ),
        (
            {"w": TENSOR, "lazy": torch.nn.UninitializedParameter()},
            "`lazy` is a `torch.nn.parameter.UninitializedParameter`, whose shape cannot be read",
        ),
    ],
    ids=str,
)
def test_no_state_dict(tmp_path: Path, value: Any, message: str) -> None:
    assert fault(save(tmp_path, value)) == message


def test_the_cure_for_a_pickled_module(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as caught:
        read_header(save(tmp_path, torch.nn.Linear(1, 1)))
    assert caught.value.help == "save its state dict instead: `torch.save(module.state_dict(), path)`"


def test_the_legacy_format(tmp_path: Path) -> None:
    path = save(tmp_path, STATE, _use_new_zipfile_serialization=False)
    assert fault(path) == "the file is in the legacy format of `torch.save`, which cannot be read without running it"


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_program(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    assert fault(path) == "the file holds a TorchScript program, not a state dict"


def test_a_compressed_archive_and_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "small.pt"
    with zipfile.ZipFile(save(tmp_path, STATE)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
        new.comment = b"no PK\x05 here"
    assert read_header(path).entries == as_torch_says(STATE)


def test_a_directory_in_zip64(tmp_path: Path) -> None:
    """Beyond 65 535 members a zip archive's end is written in its wide form, and beyond 4 GB its places are."""
    path = tmp_path / "many.pt"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(65_600):
            file.writestr(f"archive/data/{i}", b"")
        with zipfile.ZipFile(save(tmp_path, STATE)) as old, file.open("archive/data.pkl", "w", force_zip64=True) as out:
            out.write(old.read("file/data.pkl"))
    assert read_header(path).entries == as_torch_says(STATE)


def test_an_archive_beyond_four_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "sparse.pt"
    with zipfile.ZipFile(save(tmp_path, STATE)) as old:
        pickled = old.read("file/data.pkl")
    with path.open("wb") as hole:
        hole.write(b"PK\x03\x04")
        hole.seek(2**32 + 10)
        hole.write(b"x")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data.pkl", pickled)
    assert read_header(path).entries == as_torch_says(STATE)


NAMES = st.text(st.characters(categories=["L", "N"], include_characters="._"), min_size=1, max_size=12)
SHAPES = st.lists(st.integers(0, 5), max_size=4)
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float8_e5m2])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(NAMES, st.tuples(SHAPES, DTYPES), min_size=1), st.integers(2, 5))
def test_any_state_dict_reads_as_torch_loads_it(tmp_path: Path, layout: dict[str, Any], protocol: int) -> None:
    path = save(
        tmp_path,
        {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in layout.items()},
        pickle_protocol=protocol,
    )
    assert read_header(path).entries == as_torch_says(torch.load(path, weights_only=False))
