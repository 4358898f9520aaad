.PHONY: help install tutorial test test-thorough test-all tests thorough-tests all-tests faults fuzz check notebook docs coverage bench bench-quick audit lock

PYTHON ?= python3
BIN := .venv/bin

# The programs in .venv/bin name its place: in a clone that was moved they do not start, in a copied one they run the
# original's code. Such a .venv is made again, and so is one without pip or of another Python than the one asked for.
ASKED := $(if $(filter file,$(origin PYTHON)),,$(shell $(PYTHON) -c 'import sys; print("version = %d.%d." % sys.version_info[:2])'))
STANDS := $(shell grep -Fqs " $(CURDIR)/.venv" .venv/pyvenv.cfg && grep -Fqs "$(ASKED)" .venv/pyvenv.cfg && test -e .venv/bin/pip && echo yes)
ifneq ($(STANDS),yes)
.PHONY: .venv/installed
endif

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

tutorial: .venv/installed ## Run the whole tutorial; the report lies in artifacts/report.html
	@$(BIN)/deep-mlp tutorial

install: .venv/installed ## Make .venv with the pinned versions

.venv/installed: requirements/run.txt pyproject.toml
ifneq ($(STANDS),yes)
	@$(PYTHON) requirements/check_machine.py
	$(PYTHON) -m venv --clear .venv
endif
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "$$COMPILE"
	@touch $@

# A seventh of the time went into the search for garbage among what is imported and compiled
define COMPILE
import gc
gc.disable()
from mlp_core.engine.small import compile_ahead
compile_ahead()
gc.freeze()
endef
export COMPILE

.venv/installed-test: .venv/installed requirements/test.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/test.txt
	@touch $@

.venv/installed-bench: .venv/installed requirements/bench.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/bench.txt
	@touch $@

.venv/installed-notebook: .venv/installed requirements/notebook.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/notebook.txt
	@touch $@

.venv/installed-docs: .venv/installed requirements/docs.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/docs.txt
	@touch $@

# Two workers wait for processes now and then: the checks fit in between
test: ## Check style and types, run the tests
	@$(MAKE) --no-print-directory --jobs 2 check tests

test-thorough: ## The same with every case of a kind: what CI runs
	@$(MAKE) --no-print-directory --jobs 2 check thorough-tests

test-all: ## The same with the slow tests
	@$(MAKE) --no-print-directory --jobs 2 check all-tests

# Each worker begins with a half of all tests, in order, so that tests that share something mostly share a worker
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

tests: .venv/installed-test
	$(PYTEST)

thorough-tests: .venv/installed-test
	$(PYTEST) -m "not slow"

all-tests: .venv/installed-test
	$(PYTEST) -m ""

faults: .venv/installed-test ## Run all fault cases, the slow ones too: docs/reliability.md
	$(PYTEST) -m "" tests/faults

fuzz: .venv/installed-test requirements/fuzz.txt ## Fuzz each parser for a minute, guided by coverage (Linux)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/fuzz.txt
	$(BIN)/python -m pytest -m slow -k fuzzer tests/faults/test_parsers_fuzzed.py

check: .venv/installed-test ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

notebook: .venv/installed-notebook ## Open the tutorial as a notebook: notebooks/deep_mlps.ipynb
	$(BIN)/jupyter lab notebooks/deep_mlps.ipynb

# After a change of notebooks/deep_mlps.py, its text
notebooks/deep_mlps.ipynb: notebooks/deep_mlps.py .venv/installed-test
	$(BIN)/jupytext --to ipynb $<

docs: .venv/installed-docs tutorial ## Make the pages in site/, with the API and a gallery of all figures: site/index.html
	$(BIN)/mkdocs build

coverage: .venv/installed-test ## Say which lines no test reaches: site/coverage/index.html
	$(PYTEST) --cov=deep_mlp --cov=flows --cov=mlp_core --cov=tasks --cov-report=term --cov-report=html:site/coverage

bench: .venv/installed-bench .venv/installed-test ## Measure the project next to its peers, 40 to 50 minutes: benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks --out benchmarks

bench-quick: .venv/installed-bench ## The same in half a minute; fails where a ratio is under half of what it has to be
	$(BIN)/python -m benchmarks --quick --repetitions 1

audit: .venv/installed-bench ## Look every pinned package up in the advisory database; needs the network
	$(BIN)/pip-audit --strict --disable-pip --requirement requirements/run.txt --requirement requirements/test.txt --requirement requirements/bench.txt --requirement requirements/notebook.txt --requirement requirements/docs.txt

lock: ## Pin again what pyproject.toml allows (needs uv); pinned versions stay unless ARGS=--upgrade
	$(LOCK) pyproject.toml --group build --output-file requirements/run.txt
	$(LOCK) --group test --constraint requirements/run.txt --output-file requirements/test.txt
	$(LOCK) --group bench --constraint requirements/run.txt --output-file requirements/bench.txt
	$(LOCK) pyproject.toml --extra notebook --constraint requirements/run.txt --output-file requirements/notebook.txt
	$(LOCK) --group docs --constraint requirements/run.txt --output-file requirements/docs.txt
	$(LOCK) --group fuzz --output-file requirements/fuzz.txt

flows/prefect_tables.sql: requirements/run.txt .venv/installed # after another Prefect was pinned
	$(BIN)/python requirements/prefect_tables.py > $@.partial
	mv $@.partial $@

LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)
