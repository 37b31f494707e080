# One virtual environment, made at first use and brought up to date when the project's needs change.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),python3)
VENV ?= .venv
BIN := $(VENV)/bin

# What the page docs/try needs from npm; needs Node 20 or later.
NPM_PACKAGES := tools/try_page/node_modules/.package-lock.json

# What the tests of the app need from npm.
APP_PACKAGES := tests/app/node_modules/.package-lock.json

# Tests of computations. Double precision does not depend on the processor, so those tests are left out.
NUMERICAL := -q -m "not double_precision" tests/golden tests/unit/models tests/unit/ops tests/unit/predict \
	tests/unit/evaluate/test_segmenter.py

# Tests of inputs that fail.
RUN_FOLDERS := $(addprefix tests/unit/train/test_loop.py::, \
	test_a_damaged_checkpoint_is_replaced_by_the_one_before_it test_a_damaged_recipe_of_a_run_is_named \
	test_a_run_whose_checkpoints_are_all_damaged_says_so test_an_incomplete_log_line_is_rewritten \
	test_a_killed_and_resumed_run_has_the_bits_of_an_uninterrupted_one)
ROBUSTNESS := tests/robustness tests/unit/predict/test_concept_schema.py tests/unit/weights/test_load.py \
	tests/unit/io/test_paths.py tests/unit/io/test_atomic.py tests/unit/jobs/test_records.py \
	tests/unit/jobs/test_pipeline.py tests/unit/jobs/test_pipeline_stops.py tests/unit/jobs/test_shards.py tests/unit/jobs/test_shard_storage.py \
	$(RUN_FOLDERS) tests/integration/cli/test_segment.py tests/integration/cli/test_app.py

.PHONY: demo test robustness test-fast test-portable test-avx2 test-baseline test-app test-browser test-formats \
	test-integration test-ray check format lint types bench docs docs-serve \
	results clean

demo: $(VENV)/installed
	$(BIN)/likewise demo -o demo

# One process a core, one thread a process. Python writes bytecode even where the environment forbids it: without it, each
# process that a test starts compiles the package again.
test: $(VENV)/installed-dev
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# What a change in most files breaks, in a minute and a half.
test-fast: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" tests/unit

# The numerical tests again: limited to AVX2, and without vector instructions in torch's own code.
test-portable: test-avx2 test-baseline

test-avx2: $(VENV)/installed-dev
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERICAL)

test-baseline: $(VENV)/installed-dev
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERICAL)

# docs/try in Debian's Chromium (/usr/bin/chromium), on the site that `make docs` built.
test-browser: $(VENV)/installed-browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

# The app in Debian's Chromium; screenshots of each step are kept in build/app.
test-app: $(VENV)/installed-browser $(APP_PACKAGES)
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest tests/app

# Every annotation format, opened by the tools that own it; they are heavy, so they have an environment of their own.
test-formats:
	$(PYTHON) -m venv $(VENV)-formats
	$(VENV)-formats/bin/python -m pip install --quiet --editable . --requirement tests/formats/requirements.txt
	$(VENV)-formats/bin/python -m pytest -p no:cacheprovider tests/formats

# The backend in a real Label Studio, on loopback, with its page in Chromium; it has an environment of its own.
test-integration: $(VENV)/installed-browser build/label-studio/installed
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -s tests/label_studio

# Jobs in the actors of a real Ray on this machine, which takes 2 GB of memory.
test-ray: $(VENV)/installed-ray
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/on_ray

FUZZ_HOURS ?= 1
KILLS ?= 20
RUNS ?= 20

# Damaged inputs, kills, limits and equal runs; writes the table in docs/robustness.md. FUZZ_HOURS: processor time of
# random damages of concepts; those of images get a quarter of it.
robustness: $(VENV)/installed-dev
	LIKEWISE_FUZZ_EXAMPLES=300 LIKEWISE_FUZZ_HOURS=$(FUZZ_HOURS) LIKEWISE_KILLS=$(KILLS) LIKEWISE_EQUAL_RUNS=$(RUNS) LIKEWISE_ROBUSTNESS_DOCS=1 \
	$(BIN)/python -m pytest -q -p no:cacheprovider -p support.robustness_table $(ROBUSTNESS)

check: format lint types test

format: $(VENV)/installed-dev
	$(BIN)/ruff format --check .

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/python tools/check_words.py
	$(BIN)/python tools/make_results.py --check

types: $(VENV)/installed-dev
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/run.py

# The site in site/: warnings, such as a broken link, are errors.
docs: $(VENV)/installed-docs $(NPM_PACKAGES)
	$(BIN)/mkdocs build --strict

docs-serve: $(VENV)/installed-docs $(NPM_PACKAGES)
	$(BIN)/mkdocs serve

# docs/results.md from results/*.json.
results: $(VENV)/installed-dev
	$(BIN)/python tools/make_results.py

clean:
	rm -rf $(VENV) demo build site tests/app/node_modules tools/try_page/node_modules

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

$(VENV)/installed-browser: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[browser]"
	touch $@

$(VENV)/installed-ray: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray]"
	touch $@

build/label-studio/installed: tests/label_studio/requirements.txt
	$(PYTHON) -m venv build/label-studio
	build/label-studio/bin/python -m pip install --quiet --requirement tests/label_studio/requirements.txt
	touch $@

$(NPM_PACKAGES): tools/try_page/package-lock.json
	npm ci --prefix tools/try_page
	touch $@

$(APP_PACKAGES): tests/app/package-lock.json
	npm ci --prefix tests/app
	touch $@
