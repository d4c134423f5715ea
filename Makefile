# `make demo` and `make test` are all a newcomer needs; both begin with nothing but Python (3.10 or later).
#
#   make demo         installs slrprune into .venv and prunes a small network on real data
#   make test         installs the development tools too, then runs every check that CI runs
#   make lint         formats and checks the code, without running it
#   make docs         builds the documentation into site/, with warnings as errors
#   make nightly      the slow tests and the benchmarks, whose records are committed
#   make bench        the benchmarks alone; use an idle machine
#   make tables       writes every generated table of README.md and docs/ from the committed records
#   make constraints  writes constraints.txt anew from a fresh environment
#   make clean        removes caches and build outputs; the environment stays
#
# Settings, with their defaults:
#   PYTHON=python3                the interpreter that creates the environment
#   VENV=.venv                    the environment; name another one to install there instead
#   CONSTRAINTS=constraints.txt   the tested versions; none by default on Python 3.10, for which some do not exist
#   JOBS=2                        test processes
#   PYTEST_ARGS=                  more arguments for pytest, for example PYTEST_ARGS="-k nm"

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= $(shell $(PYTHON) -c 'import sys; print("constraints.txt" if sys.version_info >= (3, 11) else "")')
JOBS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
# Each recipe line that runs Python for the developer finds the torchvision shim (dev/sitecustomize says why), and one
# thread per process: the tests run in JOBS processes.
DEV_ENV := PYTHONPATH="$(CURDIR)/dev/sitecustomize$${PYTHONPATH:+:$$PYTHONPATH}" OMP_NUM_THREADS=1

.PHONY: demo test lint docs nightly bench tables constraints clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	$(BIN)/slrprune demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(DEV_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

nightly: $(VENV)/.installed-dev
	$(DEV_ENV) $(BIN)/python -m pytest -m slow $(PYTEST_ARGS)
	$(MAKE) bench

bench: $(VENV)/.installed-dev
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/projection.py --out benchmarks/results/projection.json
	$(DEV_ENV) $(BIN)/python benchmarks/overhead.py --threads 1 --out benchmarks/results/overhead.json
	$(BIN)/python benchmarks/scale.py --out benchmarks/results/scale.json
	$(DEV_ENV) $(BIN)/python benchmarks/processes.py --out benchmarks/results/processes.json
	$(BIN)/python benchmarks/startup.py --out benchmarks/results/startup.json
	$(BIN)/python benchmarks/report.py --out benchmarks/results/report.json
	$(DEV_ENV) $(BIN)/python benchmarks/sparse_file.py --out benchmarks/results/sparse_file.json
	$(DEV_ENV) $(BIN)/python benchmarks/kernels.py --threads 1 --out benchmarks/results/kernels.json
	$(DEV_ENV) $(BIN)/python benchmarks/deploy.py --threads 1 --out benchmarks/results/deploy.json

tables: $(VENV)/.installed-dev
	$(DEV_ENV) $(BIN)/python benchmarks/tables.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "slrprune needs Python 3.10 or later; name one with make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call quick; a change of the packages or of their versions installs again.
$(VENV)/.installed-demo: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

# torch is named, since everything else follows from its version; the label of the build ("+cpu") is dropped, so that
# the same file serves every build.
TORCH ?= 2.13.0
constraints: FRESH := build/constraints-venv
constraints:
	rm -rf $(FRESH)
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH) -e '.[dev]'
	{ echo "# The versions that slrprune is tested with, on Python" \
	    "$$($(FRESH)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'). Written by: make constraints"; \
	  $(FRESH)/bin/python -m pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//'; } > constraints.txt
	rm -rf $(FRESH)

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples recipes dev -name __pycache__ -type d -prune -exec rm -rf {} +
