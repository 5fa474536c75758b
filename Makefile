# Everything a developer or a node operator does, each on a fresh machine with only
# Python 3.11 or newer and make. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# One stamp for the whole environment: newer than the lock and the project file, or made again.
READY := $(VENV)/.ready

DEVNET_HOME ?= .devnet
VALIDATORS ?= 4
TEST_WORKERS ?= 2
TESTS ?= tests
BENCH_ACCOUNTS ?= 20000
BENCH_TRANSACTIONS ?= 5000

.PHONY: help setup devnet test test-long lint format bench bench-peers docs lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## create .venv with everything a developer and a node need

# PYTHON chooses the interpreter; without it, the first that is new enough and can make environments.
PYTHON ?=
CANDIDATES = $(or $(PYTHON),python3.11 python3.12 python3 python3.13)

$(READY): requirements.lock pyproject.toml
	@for python in $(CANDIDATES) none; do \
	    if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	done; \
	if [ "$$python" = none ]; then \
	    echo "QENEX needs Python 3.11 or newer with its venv module; tried: $(CANDIDATES)." >&2; \
	    echo "On Debian and Ubuntu: apt install python3 python3-venv. Another one: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	echo "setup: $$("$$python" --version) in $(VENV)" >&2; \
	"$$python" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --disable-pip-version-check >/dev/null
	@touch $@

devnet: $(READY) ## a running chain of four validators with ten funded accounts, in the foreground (DEVNET_HOME=.devnet)
	@exec $(BIN)/qenex devnet up --home $(DEVNET_HOME) --validators $(VALIDATORS) --foreground

test: $(READY) ## the tests that run on every change (TESTS=tests/vm for one room)
	@$(BIN)/python -m pytest $(TESTS) -n $(TEST_WORKERS) --dist worksteal --benchmark-disable

test-long: $(READY) ## all tests, deep searches and many repetitions included
	@QENEX_LONG=1 HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest $(TESTS) -n $(TEST_WORKERS) --dist worksteal \
	    --benchmark-disable --timeout 3600

lint: $(READY) ## style, types, house rules, documentation links: all of them, then a verdict
	@failed=""; \
	$(BIN)/ruff check . || failed="$$failed ruff-check"; \
	$(BIN)/ruff format --check --quiet . || failed="$$failed ruff-format(make format)"; \
	$(BIN)/mypy || failed="$$failed mypy"; \
	$(BIN)/lint-imports || failed="$$failed import-linter"; \
	$(BIN)/sphinx-build -q -W --keep-going -b dummy docs docs/_build/check || failed="$$failed documentation"; \
	if [ -n "$$failed" ]; then echo "lint failed:$$failed" >&2; exit 1; fi

format: $(READY) ## rewrite the sources in the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## benchmarks of the hot functions, then the pipeline in small
	@$(BIN)/python -m pytest benchmarks --benchmark-only --timeout 900
	@$(BIN)/python -m benchmarks.pipeline --accounts $(BENCH_ACCOUNTS) --transactions $(BENCH_TRANSACTIONS)

# Packages that one peer needs stand together; one that cannot be installed is left out and told.
PEERS := 'pyrevm>=0.3,<0.4' 'solders>=0.27,<0.30' 'py-evm>=0.12.1b1,<0.13 coincurve>=20,<22'
bench-peers: $(READY) ## transfers by other programs beside ours, in one run; they go into .venv-peers
	@test -x $(VENV)-peers/bin/python || $(BIN)/python -m venv $(VENV)-peers
	@for peer in $(PEERS); do \
	    $(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary $$peer || \
	        echo "bench-peers: $$peer cannot be installed here and is left out" >&2; \
	done
	@$(BIN)/python -m benchmarks.peers

docs: $(READY) ## the documentation as HTML in docs/_build/html
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# The lock holds versions and hashes for every platform and Python from 3.11 on, and no address of a registry.
# `make lock UPGRADE=` keeps the versions that are in it and adds or drops only what pyproject.toml asks.
UPGRADE ?= --upgrade
lock: ## choose the newest versions that pyproject.toml allows, for requirements.lock
	@$(or $(PYTHON),python3) -m venv --clear $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(VENV)-lock/bin/uv pip compile pyproject.toml --extra node --group dev --universal --python-version 3.11 \
	    --generate-hashes $(UPGRADE) --quiet --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" --output-file requirements.lock
	@rm -rf $(VENV)-lock

clean: ## remove what the other targets made, except .venv and chains
	@rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
