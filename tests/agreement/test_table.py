"""The table in the README of the MindSpore target says what the catalog says, and nothing in it is over the limits."""

from __future__ import annotations

import re

import pytest

import optplan
from optplan import ConfigError
from optplan.catalog import catalog
from tests.agreement.settings import CASES, DELICATE, SETTINGS
from tests.agreement.table import (
    DELICATE_LIMITS,
    FACTOR,
    LIMIT,
    README,
    UNKNOWN,
    Measurement,
    Row,
    delicate_label,
    expected_rows,
    read,
    written,
)

TABLE = read(README.read_text(encoding="utf-8"))


def test_every_canonical_optimizer_is_compared_or_refused() -> None:
    canonical = {name: kind for name, kind in catalog().optimizers.items() if "." not in name}
    refused = {name for name, kind in canonical.items() if "mindspore" in kind.refusals}
    assert SETTINGS.keys() == canonical.keys() - refused
    assert all(len(each) >= 5 for each in SETTINGS.values())


def test_the_table_has_the_classes_the_reasons_and_the_settings() -> None:
    found = [
        (kind, by, cells["because"], tuple(filter(None, cells["settings"].split("; "))))
        for (kind, by), cells in TABLE.rows.items()
    ]
    assert found == [(f"`{row.optimizer}`", row.carried_out_by, row.because, row.settings) for row in expected_rows()]


@pytest.mark.parametrize("row", [row for row in expected_rows() if row.settings], ids=lambda row: row[1])
def test_no_figure_is_over_its_limit(row: Row) -> None:
    cells = TABLE.rows[f"`{row.optimizer}`", row.carried_out_by]
    figures = {column: cells[column] for column in cells if column.startswith(("plain", "mixed"))}
    assert UNKNOWN not in figures.values(), "one mode was measured, the other was not"
    assert max(map(float, figures.values())) <= (DELICATE_LIMITS["muon"] if row.optimizer == "muon" else LIMIT)


def test_what_is_delicate_is_within_the_limit_of_all_at_first() -> None:
    assert list(TABLE.delicate) == [(delicate_label(kind), half) for kind in DELICATE for half in ("plain", "mixed")]
    for cells in TABLE.delicate.values():
        assert float(cells["first, PyNative"]) <= LIMIT
        assert float(cells["first, Graph"]) <= LIMIT


def test_what_is_delicate_is_no_worse_than_what_pytorch_does_by_itself() -> None:
    """PyTorch with gradients one ulp off, or with twice the digits: one of them moves its weights as far."""
    for cells in TABLE.delicate.values():
        yardstick = max(float(cells["torch, one ulp, last"]), float(cells["torch, float32"]))
        for mode in ("PyNative", "Graph"):
            assert float(cells[f"last, {mode}"]) <= FACTOR * yardstick


@pytest.mark.mindspore
@pytest.mark.parametrize("row", [row for row in expected_rows() if not row.settings], ids=lambda row: row[0])
def test_what_is_refused_says_the_reason_of_the_table(row: Row) -> None:
    from tests.agreement.cells import Twice  # noqa: PLC0415 - imports MindSpore

    with pytest.raises(ConfigError) as fault:
        optplan.compile({"optplan": 1, "optimizer": {"type": row.optimizer}}, Twice("layers"), steps=10)
    (diagnostic,) = fault.value.diagnostics
    assert diagnostic.code == "OP501"
    assert TABLE.rows[f"`{row.optimizer}`", "refused"]["because"] in diagnostic.message


def test_a_new_measurement_changes_the_columns_of_its_mode_and_no_text() -> None:
    names = ("first", "last", "torch", "ulp_first", "ulp_last")
    figures = {f"{name}_{half}": 3e-7 for name in names for half in ("plain", "mixed")}
    measured = [Measurement(case.optimizer, case.name, figures) for case in CASES]
    twice_as_much = [each._replace(figures={key: 2 * value for key, value in figures.items()}) for each in measured]
    adam = next(case for case in CASES if case.optimizer == "adam")
    muon = next(case for case in CASES if case.optimizer == "muon")

    once = written("# Above\n", measured, "graph")
    assert once.startswith("# Above\n")
    with pytest.raises(ValueError, match=re.escape(UNKNOWN)):
        read(once).stated(adam, "plain", "pynative")
    assert [read(once).stated(case, "mixed", "graph") for case in (adam, muon)] == [3e-7, 3e-7]

    both = written(once + "\nBelow\n", twice_as_much, "pynative")
    assert both.endswith("\nBelow\n")
    assert [read(both).stated(case, "mixed", "pynative") for case in (adam, muon)] == [6e-7, 6e-7]
    assert [read(both).stated(case, "mixed", "graph") for case in (adam, muon)] == [3e-7, 3e-7]
    assert written(both, twice_as_much, "pynative") == both
