# One virtual environment, made at first use and brought up to date when the project's needs change.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),python3)
BIN := .venv/bin

NUMERICAL := -q -m "not double_precision" tests/hypercorrelation tests/models tests/predict \
	tests/evaluate/test_segmenter.py tests/test_memory.py tests/test_ops.py tests/test_prototypes.py \
	tests/test_resized_features.py

.PHONY: demo test test-portable test-avx2 test-baseline check format lint types bench clean

demo: .venv/installed
	$(BIN)/likewise demo -o demo

test: .venv/installed-dev
	$(BIN)/python -m pytest

# The numerical tests again, as if the processor had no more than AVX2, and no vector instructions in torch's own code.
test-portable: test-avx2 test-baseline

test-avx2: .venv/installed-dev
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERICAL)

test-baseline: .venv/installed-dev
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERICAL)

check: format lint types test test-portable

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
