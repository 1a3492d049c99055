# Everything here sets up what it needs; nothing is installed outside .venv and the user's cache.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONCE ?=
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header
DEMO_FLAGS := $(if $(ONCE),--once)

.PHONY: help setup test lint demo format lock crds chart clean
help:
	@echo "make demo          see a push land in a real cluster (ONCE=1: and end)"
	@echo "make test          lint, and every test on real parts"
	@echo "make bench-NAME    one of: diff, drift, fleet, intake, memory, monorepo, poison, push, reconcile, soak, waves"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	@$(BIN)/mooring demo $(DEMO_FLAGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY) lint
	$(BIN)/python -m tests.built
	$(BIN)/coverage erase
	# In the order of their names, not by their number: the long stories would come last, on one core.
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=80

bench-%: $(READY)
	$(BIN)/python -m benchmarks.$*

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)
	$(BIN)/pip install --quiet uv
	$(COMPILE) --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o requirements-mooring.lock
	$(COMPILE) -c requirements.lock --group web -o requirements-web.lock
	$(COMPILE) -c requirements.lock --group build -o requirements-build.lock

crds: $(READY)
	$(BIN)/mooring crds show > charts/mooring/crds/crds.yaml

chart: $(READY)
	$(BIN)/python -m charts.generate

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
