# One virtual environment, made on first use and again when what it is made from changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin

.PHONY: demo test check format lint types bench clean

demo: .venv/installed
	$(BIN)/likewise demo -o demo

test: .venv/installed
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
