# Each habit is one command, and each does its own set-up: a virtual environment in .venv, and in it the versions of
# tests/pins.txt.  A stamp file remembers what was installed, so that a second call starts at once.

PINS   := tests/pins.txt
PYTHON := $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
# Its own first command, by exact version: given a range, pip may prefer a build with gigabytes of CUDA libraries.
TORCH  := $(shell grep '^torch==' $(PINS))

PIP    := .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS)
PYTEST := .venv/bin/python -m pytest --numprocesses auto

.PHONY: help demo test long check format tables bench clean

help:
	@echo 'make demo     train two small networks on handwritten digits, both by the rules of one file'
	@echo 'make test     run the tests'
	@echo 'make long     run the tests that take long: they build and install the package'
	@echo 'make check    lint, format and types'
	@echo 'make format   rewrite the files as `make check` wants them, as far as a program can'
	@echo 'make tables   prepare the parsers anew, after a change of a grammar'
	@echo 'make bench    measure speed'
	@echo 'make clean    remove what the other targets made'

demo: .venv/demo.stamp
	.venv/bin/python samples/digits/train.py

test: .venv/test.stamp
	$(PYTEST) -m 'not long'

long: .venv/test.stamp
	$(PYTEST) -m long

check: .venv/test.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv/test.stamp
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format

tables: .venv/test.stamp
	.venv/bin/python -m optplan.frontend.tables

bench: .venv/test.stamp
	.venv/bin/python tests/benchmarks/run.py

clean:
	rm -rf .venv build dist compiler/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/torch.stamp: $(PINS)
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	@touch $@

.venv/demo.stamp: .venv/torch.stamp pyproject.toml
	$(PIP) --editable . numpy scikit-learn
	@touch $@

.venv/test.stamp: .venv/demo.stamp
	$(PIP) transformers safetensors hypothesis pytest pytest-xdist ruff mypy types-PyYAML types-jsonschema build
	@touch $@
