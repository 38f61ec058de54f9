# Everything a user or developer types. Each target sets up what it needs first (nothing to do the
# second time). Works with GNU make 3.81, which macOS ships.

PYTHON ?= python3
# The virtual environment, or the Conda environment where that is the only one made.
ENV ?= $(if $(wildcard .venv),.venv,$(if $(wildcard .conda),.conda,.venv))
BIN := $(ENV)/bin
# The data of the configuration, or a source of one's own.
DATA_SOURCE = $(or $(DATA),--config config/default.yaml)
SET_UP := $(PYTHON) scripts/setup.py$(if $(filter .conda,$(ENV)), --conda)

.DEFAULT_GOAL := help
.PHONY: help setup setup-conda environment environment-dev environment-bench run-local logs-local \
  db-list data-validate data-analyze data-versions start stop translations screenshots bench chaos test lint format

help:  ## list every target
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-18s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## make .venv for this machine (CUDA, MPS or CPU) and install everything
	@$(PYTHON) scripts/setup.py --report

setup-conda:  ## the same in a Conda environment, .conda
	@$(PYTHON) scripts/setup.py --conda --report

environment:
	@$(SET_UP)

environment-dev:
	@$(SET_UP) --extras dev

environment-bench:
	@$(SET_UP) --extras bench

run-local: environment  ## train with config/default.yaml; ARGS="--epochs 3" passes flags
	@$(BIN)/tunesmith train --config config/default.yaml $(ARGS)

logs-local: environment  ## last lines of the newest experiment's log; FOLLOW=1 follows it
	@$(BIN)/tunesmith experiments logs latest $(if $(filter-out 0,$(FOLLOW)),--follow) $(ARGS)

db-list: environment  ## experiments as a table
	@$(BIN)/tunesmith experiments list $(ARGS)

data-validate: environment  ## what is wrong with the data, as JSON and saved; DATA=file for another set
	@$(BIN)/tunesmith data check $(DATA_SOURCE) --json $(ARGS)

data-analyze: environment  ## labels, lengths, typical words; saved as JSON and a page; DATA=file
	@$(BIN)/tunesmith data analyze $(DATA_SOURCE) $(ARGS)

data-versions: environment  ## the versions of all datasets; DATA=name for one
	@$(BIN)/tunesmith data versions $(DATA) $(ARGS)

start: environment  ## broker, API, worker and web page on this machine, in the background
	@$(BIN)/tunesmith up --detach $(ARGS)

stop: environment  ## stop what `make start` started; what trains saves a checkpoint first
	@$(BIN)/tunesmith down $(ARGS)

translations: environment-dev  ## texts of the web page into its catalogues; lists what is missing
	@$(BIN)/python scripts/translations.py

screenshots: environment-dev  ## pictures of every page of the web page, into docs/screenshots
	@$(BIN)/python -m tests.ui.screenshots

bench: environment-bench  ## time and memory of data, store, API and monitor, beside other tools; long
	@$(BIN)/python benchmarks/data.py $(ARGS)
	@$(BIN)/python benchmarks/store.py
	@$(BIN)/python benchmarks/api.py
	@$(BIN)/python benchmarks/monitor.py

chaos: environment-dev  ## kill, double, fill up every part, ROUNDS=50 times each; an hour or two
	@TUNESMITH_CHAOS_ROUNDS=$(or $(ROUNDS),50) $(BIN)/python -m pytest tests/chaos --timeout 36000 -n 3 $(ARGS)

# Waiting threads sleep: those that spin slow down what runs beside them.
test: environment-dev  ## every test; ARGS="-k config" passes flags to pytest
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: environment-dev  ## ruff, mypy, the import layers and the dependencies' licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_licenses.py

format: environment-dev  ## put the code into ruff's format, and fix what it can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
