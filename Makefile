# Each habit is one command, and each does its own set-up: a virtual environment in .venv, and in it the versions of
# tests/pins.txt.  A stamp file remembers what was installed, so that a second call starts at once.

PINS   := tests/pins.txt
PYTHON := $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
# Its own command, by exact version: given a range, pip may prefer a build with gigabytes of CUDA libraries.
TORCH  := $(shell grep '^torch==' $(PINS))

PIP    := .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS)
PYTEST := .venv/bin/python -m pytest --numprocesses auto

# A process that MindSpore runs in stays in one mode, so that each mode is a run of its own.  Two processes: four are no
# faster on four cores, since each takes seconds to start and brings threads that spin while they wait.
PYNATIVE := .venv/bin/python -m pytest --numprocesses 2 --dist worksteal --mindspore-mode pynative
GRAPH    := .venv/bin/python -m pytest --numprocesses 2 --dist worksteal --mindspore-mode graph

.PHONY: help demo demo-mindspore test agreement long check format tables bench clean
# Two commands of pip at a time would spoil the environment, two runs of tests take each other's cores
.NOTPARALLEL:

help:
	@echo 'make demo            train two small networks on handwritten digits, both by the rules of one file'
	@echo 'make demo-mindspore  the same by MindSpore, then by both from the same weights: both losses in build/twins.png'
	@echo 'make test            run the tests, those of MindSpore in both of its modes'
	@echo 'make agreement       measure MindSpore against PyTorch, and write the table of it'
	@echo 'make long            run the tests that take long; some of them build and install the package'
	@echo 'make check           lint, format and types'
	@echo 'make format          rewrite the files as `make check` wants them, as far as a program can'
	@echo 'make tables          prepare the parsers anew, after a change of a grammar'
	@echo 'make bench           measure speed'
	@echo 'make clean           remove what the other targets made'

demo: .venv/torch.stamp
	.venv/bin/python samples/digits/train.py

# One seed: MindSpore's convolutions take a second for each update on CPU
demo-mindspore: .venv/twins.stamp
	.venv/bin/python samples/digits/train.py --framework mindspore --seeds 1
	@mkdir -p build
	.venv/bin/python samples/digits/twins.py --updates 50 --output build/twins.png

test: .venv/test.stamp
	$(PYTEST) -m 'not mindspore and not long'
	$(PYNATIVE) -m 'mindspore and not long'
	$(GRAPH) -m 'mindspore and not one_mode and not long'

agreement: .venv/test.stamp
	$(PYNATIVE) tests/agreement/test_weights.py --write-table
	$(GRAPH) tests/agreement/test_weights.py --write-table

long: .venv/test.stamp
	$(PYTEST) -m 'long and not mindspore'
	$(PYNATIVE) -m 'long and mindspore'
	$(GRAPH) -m 'long and mindspore and not one_mode' || [ $$? -eq 5 ] # pytest's word for: there are none

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
	.venv/bin/python tests/benchmarks/schedules.py
	.venv/bin/python tests/benchmarks/steps.py
	GLOG_v=3 .venv/bin/python tests/benchmarks/mindspore_updates.py pynative
	GLOG_v=3 .venv/bin/python tests/benchmarks/mindspore_updates.py graph

clean:
	rm -rf .venv build dist compiler/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis rank_0

.venv/base.stamp: $(PINS) pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) --editable . numpy scikit-learn
	@touch $@

.venv/torch.stamp: .venv/base.stamp
	$(PIP) $(TORCH)
	@touch $@

.venv/mindspore.stamp: .venv/base.stamp
	$(PIP) mindspore
	@touch $@

.venv/twins.stamp: .venv/torch.stamp .venv/mindspore.stamp
	$(PIP) matplotlib
	@touch $@

# mindcv without what it asks for: numpy, PyYAML and tqdm are there by then
.venv/test.stamp: .venv/twins.stamp
	$(PIP) transformers safetensors accelerate lightning hydra-core tqdm
	$(PIP) hypothesis pytest pytest-xdist ruff mypy types-PyYAML types-jsonschema build
	$(PIP) --no-deps mindcv
	@touch $@
