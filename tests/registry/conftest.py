"""Each test begins with what is shipped, and what it registers is gone after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optplan.catalog import catalog, change_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = catalog()
    yield
    change_catalog(lambda _: before)
