"""What every test runs under."""

from __future__ import annotations

import os

from hypothesis import settings

# Workers share the machine's cores; set before any test imports a framework
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, so that a verdict is about the code; no deadline, since workers wait for each other.
# `pytest --hypothesis-profile search` looks further, at random.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("same")
