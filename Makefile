# Every target does its own set-up and can be run twice. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
TESTS ?= tests
# Most of a cluster's time is waiting: more of them than processors.
WORKERS ?= 4

.PHONY: help demo test test-unit lint fix bench images cluster lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements/dev.txt
	@echo "  set up  .venv ($$($(PYTHON) --version)), torch, controller: a few minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## run a real campaign on this machine: no key, no cluster, about ten minutes
	@$(BIN)/autoresearch run demo --set agent.seed=4

test: $(READY) ## all tests; what cannot run here says so loudly
	$(BIN)/pytest --numprocesses $(WORKERS) $(TESTS)

test-unit: $(READY) ## the quick tests: no cluster, no training
	$(BIN)/pytest tests/unit

lint: $(READY) ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy controller trainer-image tests
	$(BIN)/lint-imports

fix: $(READY) ## format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure speed and memory as ratios in one run (docs/benchmarks.md)
	$(BIN)/python -m tests.bench

images: ## build the controller's and the trainer's image, by Docker or buildah
	$(BUILD) --tag autoresearch-controller .
	$(BUILD) --tag autoresearch-trainer trainer-image
BUILD = $(if $(shell command -v docker),docker build,buildah build --isolation chroot)

cluster: $(READY) ## start a real Kubernetes here that stays (python -m tests.cluster.harness down ends it)
	$(BIN)/python -m tests.cluster.harness up

lock: $(READY) ## pin every dependency again, with hashes and without addresses
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra trainer --extra dev --extra sandbox --upgrade $(LOCK) -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml -c requirements/dev.txt $(LOCK) -o requirements/controller.txt
	$(BIN)/uv pip compile trainer-image/requirements.in -c requirements/dev.txt $(LOCK) -o trainer-image/requirements.txt
LOCK := --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

clean: ## remove what the targets made, campaigns excepted
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
