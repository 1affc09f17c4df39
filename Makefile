# Two commands on a fresh machine: `make bench` runs the main job, `make test` the whole test suite.
# Without a GPU, install the CPU build of torch and torchvision into .venv first (see README); make keeps it.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test lint
bench: .venv/installed
	$(BIN)/python run_bench.py

test: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	touch $@
