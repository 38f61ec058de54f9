# Everything a user or developer types. Each target sets up what it needs first (nothing to do the
# second time). Works with GNU make 3.81, which macOS ships.

PYTHON ?= python3
# The virtual environment, or the Conda environment where that is the only one made.
ENV ?= $(if $(wildcard .venv),.venv,$(if $(wildcard .conda),.conda,.venv))
BIN := $(ENV)/bin
# The data of the configuration, or a source of one's own.
DATA_SOURCE = $(or $(DATA),--config config/default.yaml)
SET_UP := $(PYTHON) scripts/setup.py$(if $(filter .conda,$(ENV)), --conda)

SERVICES := $(PYTHON) scripts/services.py $(foreach name,$(PROFILES),--profile $(name))

.DEFAULT_GOAL := help
.PHONY: help setup setup-conda environment environment-dev environment-bench run-local logs-local \
  db-list analyze-metrics analyze-by-model analyze-by-dataset data-validate data-analyze \
  data-versions example-data start stop start-services stop-services \
  restart-services logs-services images-quick images images-cuda prove-images k8s-quick-deploy \
  k8s-port-forward k8s-dashboard k8s-status k8s-logs k8s-scale k8s-cleanup translations screenshots \
  bench chaos fuzz test test-slow test-architectures lint format

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
	@$(BIN)/tunesmith train $(ARGS)

logs-local: environment  ## last lines of the newest experiment's log; FOLLOW=1 follows it
	@$(BIN)/tunesmith experiments logs latest $(if $(filter-out 0,$(FOLLOW)),--follow) $(ARGS)

db-list: environment  ## experiments as a table
	@$(BIN)/tunesmith experiments list $(ARGS)

analyze-metrics: environment  ## report over all experiments; ARGS="--html report.html" makes a page
	@$(BIN)/tunesmith analyze $(ARGS)

analyze-by-model: environment  ## the same, by base model
	@$(BIN)/tunesmith analyze --group-by model $(ARGS)

analyze-by-dataset: environment  ## the same, by dataset
	@$(BIN)/tunesmith analyze --group-by dataset $(ARGS)

example-data: environment  ## fetch the data of config/regression.yaml and config/entities.yaml
	@$(BIN)/python scripts/example_data.py

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

start-services:  ## the same in containers (Docker Compose); PROFILES="gpu monitoring" for more
	@$(SERVICES) start $(ARGS)

stop-services:  ## stop the containers; what they keep stays
	@$(SERVICES) stop $(ARGS)

restart-services:  ## restart the containers; ARGS=worker for one
	@$(SERVICES) restart $(ARGS)

logs-services:  ## last lines of the containers' logs; FOLLOW=1 follows them
	@$(SERVICES) logs $(if $(filter-out 0,$(FOLLOW)),--follow) $(ARGS)

images-quick:  ## build the images without the starter, for development
	@STARTER=no $(SERVICES) build api worker ui

images:  ## build the images api, worker (CPU) and ui
	@$(SERVICES) build api worker ui

images-cuda:  ## build the image of the worker for GPUs
	@$(SERVICES) --profile gpu build worker-gpu

prove-images: environment-dev  ## run the Dockerfile's steps in a clean root, and ask the services
	@$(BIN)/python scripts/images/prove_images.py $(ARGS)

k8s-quick-deploy:  ## all of it into the cluster of kubectl; OVERLAY=prod or gpu instead of dev
	@k8s/k8s.sh quick-deploy $(ARGS)

k8s-port-forward:  ## API and web page of the cluster on this machine's ports
	@k8s/k8s.sh port-forward $(ARGS)

k8s-dashboard:  ## the cluster's dashboard, where it has one; else Grafana
	@k8s/k8s.sh dashboard $(ARGS)

k8s-status:  ## what runs in the cluster
	@k8s/k8s.sh status $(ARGS)

k8s-logs:  ## last lines of a part's log; service=worker
	@k8s/k8s.sh logs $(or $(service),api) $(ARGS)

k8s-scale:  ## more or fewer of a part; service=worker replicas=3
	@k8s/k8s.sh scale $(or $(service),worker) $(replicas)

k8s-cleanup:  ## take it out of the cluster; DATA=delete deletes what it keeps, too
	@k8s/k8s.sh cleanup $(ARGS)

translations: environment-dev  ## all texts into the catalogues of languages; lists what is missing
	@$(BIN)/python scripts/translations.py

screenshots: environment-dev  ## pictures of every page of the web page, into docs/screenshots
	@$(BIN)/python -m tests.ui.screenshots

bench: environment-bench  ## time and memory of every part, beside other tools; long
	@$(BIN)/python benchmarks/data.py $(ARGS)
	@$(BIN)/python benchmarks/store.py
	@$(BIN)/python benchmarks/api.py
	@$(BIN)/python -m benchmarks.page
	@$(BIN)/python -m benchmarks.predict
	@$(BIN)/python -m benchmarks.busy
	@$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.quality
	@$(BIN)/python benchmarks/monitor.py

fuzz: environment-dev  ## send nonsense to a running API for MINUTES=30: what each answer costs
	@$(BIN)/python scripts/fuzz.py --minutes $(or $(MINUTES),30) $(ARGS)

chaos: environment-dev  ## kill, double, fill up every part, ROUNDS=50 times each; an hour or two
	@TUNESMITH_CHAOS_ROUNDS=$(or $(ROUNDS),50) $(BIN)/python -m pytest tests/chaos --timeout 36000 -n 3 $(ARGS)

# Waiting threads sleep: those that spin slow down what runs beside them.
test: environment-dev  ## every test but the slow ones; ARGS="-k config" passes flags to pytest
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

test-slow: environment-dev  ## the slow ones: the starters to their end, all services started and killed
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(ARGS)

# Each family's outcome goes into the page, of those that ran.
test-architectures: environment-dev  ## train tiny models of every family, write docs/architectures.md; long
	@status=0; OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/architectures -n 2 --dist worksteal $(ARGS) || status=$$?; \
	  $(BIN)/python -m tests.architectures.page && exit $$status

lint: environment-dev  ## ruff, mypy, import contracts, licences of dependencies, translations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_licenses.py
	$(BIN)/python scripts/translations.py --check

format: environment-dev  ## put the code into ruff's format, and fix what it can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
