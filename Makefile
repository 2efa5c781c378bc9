# Every target does its own set-up and can be run twice. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
TESTS ?= tests
# Most of a cluster's time is waiting: more of them than processors.
WORKERS ?= 4

# Compiled modules are kept, whatever the environment says: the tests start hundreds of Python processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-search demo-speed demo-protocol demo-control test test-unit lint fix bench images cluster lock clean docs screenshots

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Two targets at once, in two terminals, set up one after the other: the second finds all done.
ALONE := $(if $(shell command -v flock),flock requirements/dev.txt)
SET_UP := test $(READY) -nt requirements/dev.txt || { $(PYTHON) -m venv .venv \
	&& $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.txt \
	&& $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable . \
	&& touch $(READY); }

$(READY): requirements/dev.txt
	@echo "  set up  .venv ($$($(PYTHON) --version)), torch, controller: a few minutes the first time"
	@$(ALONE) sh -c '$(SET_UP)'

demo: $(READY) ## run a real campaign on this machine and claim what it found: no key, no cluster, about ten minutes
	@$(BIN)/autoresearch run demo --set agent.kind=replay --set agent.patches=examples/demo --set agent.then=perturb \
		--set agent.seed=4 --set budget.experiments=7
	@$(BIN)/autoresearch claim demo --seeds 4

demo-search: $(READY) ## the example task examples/search: nine ideas for a search engine, under five minutes
	@$(BIN)/autoresearch run demo-search --settings examples/search/settings.yaml

demo-speed: $(READY) ## the example task examples/speed: nine ideas for a faster function, and a claim, four minutes
	@$(BIN)/autoresearch run demo-speed --settings examples/speed/settings.yaml
	@$(BIN)/autoresearch claim demo-speed --seeds 3

demo-protocol: $(READY) ## the example task examples/protocol: eleven ideas for a WebSocket server, and a claim, four minutes
	@$(BIN)/autoresearch run demo-protocol --settings examples/protocol/settings.yaml
	@$(BIN)/autoresearch claim demo-protocol --seeds 7 # fewer equal runs of a side could be equal by luck

# The task has an environment of its own: nobody else needs MuJoCo. Left out is what only draws.
CONTROL := examples/control/.venv
$(CONTROL)/.ready: examples/control/requirements.txt
	@echo "  set up  $(CONTROL), MuJoCo: half a minute the first time"
	@$(if $(shell command -v flock),flock $<) sh -c 'test $@ -nt $< || { $(PYTHON) -m venv $(CONTROL) \
		&& $(CONTROL)/bin/pip install --quiet --no-deps --require-hashes -r $< && touch $@; }'

demo-control: $(READY) $(CONTROL)/.ready ## the example task examples/control: ten ideas for an arm in MuJoCo, and a claim, five minutes
	@$(BIN)/autoresearch run demo-control --settings examples/control/settings.yaml
	@$(BIN)/autoresearch claim demo-control --seeds 7 --set executor.slots=2 # fewer equal runs of a side could be equal by luck

test: $(READY) ## all tests; what cannot run here says so loudly
	$(BIN)/pytest --numprocesses $(WORKERS) $(TESTS)

test-unit: $(READY) ## the quick tests: one process, no sandbox, no training
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

docs: $(READY) ## write everything anew that is generated from the code: pages, schema, dashboards
	$(BIN)/python -m controller.settings.reference > docs/settings.md
	$(BIN)/python -m controller.settings.helm_schema --reference > docs/values.md
	$(BIN)/python -m controller.settings.helm_schema > helm/values.schema.json
	$(BIN)/python -m controller.settings.helm_schema --defaults > helm/defaults.json
	$(BIN)/python -m controller.cli.reference > docs/cli.md
	$(BIN)/python -m controller.monitoring.dashboards helm/dashboards

screenshots: $(READY) ## take the pictures in docs/images anew, from CAMPAIGN (default: demo); needs Chromium
	$(BIN)/python -m tests.browser.screenshots $(CAMPAIGN)

images: ## build the controller's and the trainer's image, by Docker or buildah
	$(BUILD) --tag autoresearch-controller .
	$(BUILD) --tag autoresearch-trainer trainer-image
BUILD = $(if $(shell command -v docker),docker build,buildah build --isolation chroot)

cluster: $(READY) ## start a real Kubernetes here that stays (python -m tests.cluster.harness down ends it)
	$(BIN)/python -m tests.cluster.harness up

lock: $(READY) ## pin every dependency again, with hashes and without addresses
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra trainer --extra dev --extra sandbox --extra mcp --upgrade $(LOCK) -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra mcp -c requirements/dev.txt $(LOCK) -o requirements/controller.txt
	$(BIN)/uv pip compile trainer-image/requirements.in -c requirements/dev.txt $(LOCK) -o trainer-image/requirements.txt
	$(BIN)/uv pip compile examples/control/requirements.in -c requirements/dev.txt $(LOCK) $(UNDRAWN) -o examples/control/requirements.txt
LOCK := --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
UNDRAWN := $(addprefix --no-emit-package ,glfw mujoco-studio pyopengl websockets)

clean: ## remove what the targets made, campaigns excepted
	rm -rf .venv $(CONTROL) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
