# Everything starts from a bare machine: Python 3.11 or later, make, a package index.
PYTHON ?= python3
VENV ?= .venv
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

.PHONY: quickstart test lint docs bench clean help

help:
	@echo "make quickstart  install, train ACAM on the built-in data, print recommendations with reasons"
	@echo "make test        install, run all tests"
	@echo "make lint        ruff, mypy"
	@echo "make docs        build the site into docs/_build/html, warnings are errors"
	@echo "make bench       the measurements of benchmarks/ (needs SKATTREC_DATA; most of a day)"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# One stamp per set of extras; each is remade when the declared dependencies change.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt $$(grep '^torch==' constraints.txt)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[$*]"
	@touch $@

quickstart: $(VENV)/.installed-plot
	$(BIN)/python examples/plot_quickstart.py

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build docs/auto_examples docs/api/generated
