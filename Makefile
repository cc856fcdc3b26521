# Everything starts from a bare machine: Python 3.11 or later, make, a package index.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
# what `make test` installs
EXTRAS ?= test,peers
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# real data, where it lies beside the checkout
ifneq ($(wildcard ../shared/data),)
export SKATTREC_DATA ?= $(abspath ../shared/data)
endif
# figures are files here, never windows
export MPLBACKEND ?= Agg
# two threads that share a core with another program take several times as long as one, docs/user_guide/cost.rst
export OMP_NUM_THREADS ?= 1

# how many cases `make fuzz` tries, and which
FUZZ_CASES ?= 10000
FUZZ_SEED ?= 0

.PHONY: quickstart test test-oldest fuzz check-dist lint docs bench clean help

help:
	@echo "make quickstart  install, train ACAM on the built-in data, print recommendations with reasons"
	@echo "make test        install, run all tests"
	@echo "make test-oldest the same on the oldest dependencies that pyproject.toml declares"
	@echo "make fuzz        10,000 hostile cases (FUZZ_CASES=...), with counts; fails if one breaks the contract"
	@echo "make check-dist  build sdist and wheel, try both outside the tree"
	@echo "make lint        ruff, mypy"
	@echo "make docs        build the site into docs/_build/html, warnings are errors"
	@echo "make bench       the measurements of benchmarks/ (needs SKATTREC_DATA; most of a day)"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# One stamp per set of extras; each is remade when the declared dependencies change.
$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) install --quiet --constraint $(CONSTRAINTS) $$(grep '^torch==' $(CONSTRAINTS))
	$(PIP) install --quiet --constraint $(CONSTRAINTS) --editable ".[$*]"
	@touch $@

quickstart: $(VENV)/.installed-plot
	$(BIN)/python examples/plot_quickstart.py

test: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# in an environment of its own; the packages of the extra `peers` need newer versions than we do
test-oldest:
	$(MAKE) --no-print-directory test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt EXTRAS=test

fuzz: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/python tests/fuzz/fuzz_run.py --cases $(FUZZ_CASES) --seed $(FUZZ_SEED)

check-dist: $(VENV)/.installed-dist
	$(BIN)/python .ci/check_dist.py

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) .venv-oldest build dist *.egg-info docs/_build docs/auto_examples docs/api/generated
