"""Every code has an explanation, and every example that is a document is faulty in the way that it is an example of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import optplan
from optplan.diagnostics import CODES, ConfigError, Diagnostic
from optplan.report.topics import EXPLANATIONS
from optplan.resolve.network import Alias, Kind, Network

if TYPE_CHECKING:
    from pathlib import Path

BESIDE = "optplan: 1\noptimizer: {type: adamw}\n"
DOCUMENTS = {code: each.example for code, each in EXPLANATIONS.items() if not each.example.startswith("$")}


def network() -> Network:
    """Embeddings, an encoder of two blocks with a norm each, and a head tied to the embeddings; one norm is frozen."""
    linear, norm, embedding = (
        Kind((f"torch.nn.{name}",), frozenset({name.lower()})) for name in ("Linear", "Norm", "Embedding")
    )
    modules = [
        (-1, "", 0),
        (0, "embeddings", 1),
        (0, "encoder", 0),
        (2, "0", 2),
        (2, "1", 2),
        (0, "norm0", 3),
        (0, "norm1", 3),
        (0, "head", 2),
    ]
    parameters = [
        ("embeddings.weight", 1, (7, 4)),
        ("encoder.0.weight", 3, (4, 4)),
        ("encoder.0.bias", 3, (4,)),
        ("encoder.1.weight", 4, (4, 4)),
        ("encoder.1.bias", 4, (4,)),
        ("norm0.weight", 5, (4,)),
        ("norm1.weight", 6, (4,)),
        ("head.bias", 7, (7,)),
    ]
    parents, segments, kinds = zip(*modules, strict=True)
    names, owners, shapes = zip(*parameters, strict=True)
    return Network(
        "torch",
        (Kind(("torch.nn.Module",)), embedding, linear, norm),
        parents,
        segments,
        kinds,
        names,
        owners,
        tuple(name.rpartition(".")[2] for name in names),
        shapes,
        ("float32",) * len(names),
        tuple(name != "norm1.weight" for name in names),
        {0: (Alias("head.weight", 7, "weight"),)},
    )


def said_of(text: str) -> tuple[Diagnostic, ...]:
    """Everything that is said of a document, alone and for the network."""
    try:
        config = optplan.loads(text)
        return optplan.plan(config, network()).diagnostics
    except ConfigError as fault:
        return fault.diagnostics


def test_each_code_is_explained() -> None:
    assert list(EXPLANATIONS) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_an_explanation_has_a_cause_and_a_cure_and_an_example(code: str) -> None:
    text, example = EXPLANATIONS[code]
    assert len(re.findall(r"[.;:] |[.]$", text)) >= 2
    assert text.endswith(".")
    assert example


@pytest.mark.parametrize("code", [code for code in DOCUMENTS if code not in ("OP116", "OP408")])
def test_an_example_has_its_fault(code: str) -> None:
    example = DOCUMENTS[code]
    codes = [each.code for each in said_of(example if example.startswith("optplan:") else BESIDE + example)]
    assert codes == [code] * len(codes) != []


def test_the_example_of_a_note_has_no_fault() -> None:
    collector = optplan.diagnostics.Collector()
    config = optplan.api.read(
        {"optplan": 1, "optimizer": {"type": "adamw"}, "schedule": {"lr": "warmup(5%) -> cosine()"}}, collector
    )
    assert "warmup(5%) -> cosine()" in DOCUMENTS["OP408"]
    assert config is not None
    assert {(each.code, each.severity) for each in collector.diagnostics} == {("OP408", "note")}


def test_the_example_of_what_is_never_used_is_told_by_a_plan_of_the_document(tmp_path: Path) -> None:
    """A Config no longer knows where its names stand, so it is told when the document is read."""
    path = tmp_path / "unused.optim.yaml"
    path.write_text(BESIDE + DOCUMENTS["OP116"])
    found = optplan.plan(path, network()).diagnostics
    assert [(each.code, each.severity) for each in found] == [("OP116", "warning")] * 2
