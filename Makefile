# Everything a person wants from this repository is a target here; `make` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
PACKAGES := service policy-tests pipeline gate play e2e
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: $(READY) ## Render and lint every overlay, then play a good and a bad release
	@$(BIN)/python tools/install.py kustomize schemas prometheus
	@$(BIN)/release-play

.PHONY: up
up: $(READY) ## Start the whole platform on this machine: control plane, Argo CD, gateway, Prometheus
	@$(BIN)/local-cluster up

.PHONY: status
status: $(READY) ## Show what of the platform runs, its memory, and what crashed
	@$(BIN)/local-cluster status

.PHONY: down
down: $(READY) ## Stop the platform and remove its state
	@$(BIN)/local-cluster down

.PHONY: e2e
e2e: $(READY) ## Watch every promise on the real controllers; starts the platform where none runs
	@$(BIN)/python -m e2e.scenarios $(E2E_ARGS)

.PHONY: e2e-ladders
e2e-ladders: $(READY) ## Climb the ladders that no overlay takes, on the real controllers
	@$(BIN)/python -m e2e.scenarios e2e/scenarios/test_ladders.py $(E2E_ARGS)

# Three workers on two cores, the plays first: they mostly wait. Only CI pays the minute of coverage.
.PHONY: test
test: $(READY) ## Run every test that needs no cluster; with CI=true, hold coverage to its limit
	@$(BIN)/python tools/install.py kustomize schemas prometheus pod-security report-schemas http-load
	@rm -f .coverage .coverage.*
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(if $(CI),--cov --cov-report=) $(PYTEST_ARGS)
	@$(if $(CI),rm -f .coverage.* && $(BIN)/coverage report)

.PHONY: mutants
mutants: $(READY) ## Break every promise of the overlays and of the analyses once, and list what no test misses
	@$(BIN)/python tools/install.py kustomize schemas prometheus
	@cd policy-tests && ../$(BIN)/python -m mutants
	@$(BIN)/python -m rollouts.mutants

.PHONY: gate-report
gate-report: $(READY) ## Simulate releases by the ten thousand, and write how the gate judged them
	@$(BIN)/python tools/install.py prometheus
	@$(BIN)/canary-gate report

.PHONY: fuzz
fuzz: $(READY) ## Spoil manifests and requests for minutes: policy suite and service must not crash, hang or err
	@$(BIN)/python tools/install.py kustomize schemas pod-security
	@FUZZ_TIMES=$${FUZZ_TIMES:-50} $(BIN)/pytest -n 2 policy-tests/tests/test_fuzz.py policy-tests/tests/test_pod_security_standards.py service/tests/test_fuzz*.py $(PYTEST_ARGS)

.PHONY: lint
lint: $(READY) ## Check format, types, YAML and workflows
	@$(BIN)/python tools/install.py actionlint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	actionlint
	$(BIN)/zizmor --offline --quiet .github

.PHONY: format
format: $(READY) ## Format the Python code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) .venvs/checkov/.ready ## Measure the policy suite beside other linters
	@$(BIN)/python tools/install.py kustomize schemas kube-score
	@$(BIN)/python -m compileall -q policy-tests/src
	@$(BIN)/python policy-tests/bench $(BENCH_ARGS)

PEERS := triton mlserver kserve litserve bentoml ray mlflow fastapi
.PHONY: bench-service
bench-service: $(READY) ## Measure the service beside its peers (25 minutes; BENCH_ARGS=--quick)
	@$(BIN)/python tools/install.py http-load
	@mkdir -p build/bench
	@for peer in $(PEERS); do \
	  $(MAKE) -s --no-print-directory .venvs/$$peer/.ready 2> >(tee build/bench/install-$$peer.log >&2) \
	    || echo "bench: $$peer is not installed, and will be said to be missing" >&2; \
	done
	@$(BIN)/python -m service.bench $(BENCH_ARGS)

.PHONY: soak
soak: $(READY) ## Send the service a million requests with reloads in between
	@$(BIN)/python tools/install.py http-load
	@$(BIN)/python -m service.bench --soak $(BENCH_ARGS)

.PHONY: image-test
image-test: ## Build the service's image without a registry and try it (root, buildah, debootstrap)
	@service/image-test.sh

.PHONY: gpu-test
gpu-test: $(READY) ## Try the service on an NVIDIA GPU; without one, say why not
	@if $(BIN)/python service/tests/gpu/hardware.py; then \
	  $(MAKE) -s --no-print-directory .venvs/gpu/.ready && $(BIN)/pytest -v -rs service/tests/gpu $(PYTEST_ARGS); \
	fi

.PHONY: tools
tools: $(READY) ## Build every pinned command-line tool into .tools/bin
	@$(BIN)/python tools/install.py kustomize schemas prometheus pod-security report-schemas actionlint

.PHONY: docs
docs: $(READY) ## Generate docs/rules.md and the JSON Schema of the policies' configuration
	@$(BIN)/gitops-policy rules --format markdown > docs/rules.md
	@$(BIN)/gitops-policy schema > policy-tests/gitops-policy.schema.json

.PHONY: lock
lock: $(READY) ## Lock the Python dependencies again, with hashes
	@requirements/lock.sh

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .venvs .tools build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): requirements/all.txt $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.x")'
	@echo "venv: installing $$(grep -c '==' $<) locked packages ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=--editable ./%)
	@$(BIN)/python -m compileall -q $(PACKAGES:%=%/src)
	@touch $@

# The packages of a peer that a benchmark runs beside ours, apart from the product's own.
.venvs/%/.ready: requirements/%.txt
	@echo "venv: installing $$(grep -c '==' $<) locked packages of $* ..." >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venvs/%/.ready: requirements/peers/%.txt
	@echo "venv: installing $$(grep -c '==' $<) locked packages of $* ..." >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# ONNX Runtime for GPUs must not stand beside the one for CPUs; 2.5 GB with CUDA and cuDNN.
.venvs/gpu/.ready: service/requirements-gpu.txt
	@echo "venv: installing $$(grep -c '==' $<) locked packages, CUDA and cuDNN among them ..." >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@
