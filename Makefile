# One virtual environment, made at first use and brought up to date when the project's needs change.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),python3)
BIN := .venv/bin

.PHONY: demo test check format lint types bench clean

demo: .venv/installed
	$(BIN)/likewise demo -o demo

test: .venv/installed-dev
	$(BIN)/python -m pytest

check: format lint types test

format: .venv/installed-dev
	$(BIN)/ruff format --check .

lint: .venv/installed-dev
	$(BIN)/ruff check .

types: .venv/installed-dev
	$(BIN)/mypy

bench: .venv/installed-dev
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
