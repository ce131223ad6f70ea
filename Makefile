# Postrider's commands; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MOTO   := $(VENV)/moto/.installed
# Tests wait as much as they work: three at once keep two cores busy.
JOBS   ?= 3
FUZZ_SECONDS ?= 600
# Without bytecode each of the many processes that tests start compiles the whole server anew.
export PYTHONDONTWRITEBYTECODE :=
# What tests that pass have written is gigabytes. A machine that is busy with something else takes its time.
export PYTEST_ADDOPTS := -o tmp_path_retention_policy=failed -o timeout=600

.DEFAULT_GOAL := help
.PHONY: help run venv test check format crds test-peers test-crash test-cluster e2e bench fuzz clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(STAMP) ## a mail server from examples/quickstart on loopback, no cluster needed
	@$(BIN)/postrider up examples/quickstart

venv: $(STAMP) ## the virtual environment with everything the other targets need

$(STAMP): pyproject.toml
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Postrider needs Python 3.11 or newer; set PYTHON=python3.12 or the like") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(MOTO): tests/support/moto.txt | $(STAMP)
	@$(PYTHON) -m venv $(VENV)/moto
	@$(VENV)/moto/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/support/moto.txt
	@touch $@

test: $(STAMP) $(MOTO) ## unit, transcript, golden, property and loopback tests (under 2 minutes)
	@$(BIN)/pytest -q -n $(JOBS) --dist worksteal

check: $(STAMP) ## style, types, import contracts, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy mailserver operator tools bench
	@$(BIN)/lint-imports
	@$(BIN)/python tools/house_rules.py

format: $(STAMP) ## put the sources into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

crds: $(STAMP) ## write crds/ and the chart's copy from the typed kinds
	@$(BIN)/python -m postrider_operator.schemas crds helm/postrider/crds

test-peers: $(STAMP) ## against programs of others: curl, swaks, mbsync, Postfix, an S3 server
	@sh tools/install_debian.sh curl isync libio-socket-ssl-perl libnet-ssleay-perl postfix swaks
	@$(BIN)/pytest -q tests/peers

test-crash: $(STAMP) $(MOTO) ## kill -9 and power loss, full counts (strace, root)
	@sh tools/install_debian.sh strace
	@$(BIN)/pytest -q -n 2 --dist worksteal -m crash --timeout 900 tests/postrider tests/whole

test-cluster: $(STAMP) ## the operator against a real Kubernetes API (KUBECONFIG, or built from Go modules)
	@$(BIN)/pytest -q tests/cluster

e2e: $(STAMP) ## real pods on a real kubelet in a network namespace (root)
	@sh tests/e2e/install.sh
	@$(BIN)/pytest -q tests/e2e

bench: $(STAMP) ## speed against peers on this machine, as ratios
	@sh tools/install_debian.sh postfix
	@$(BIN)/python -m bench

fuzz: $(STAMP) ## hostile mail for the MIME scanner, ten minutes (FUZZ_SECONDS=600)
	@PYTHONPATH=tests/support $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

clean: ## remove what the other targets made
	@rm -rf $(VENV) .postrider .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .fuzz dist build
