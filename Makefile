# `make` alone lists what there is. `make -C <checkout> <target>` works from anywhere.

PYTHON ?= python3
MODEL ?= smollm2-135m
BENCH ?=
LOCK ?=
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-all faults clients fuzz lint fix docs prices bench lock clean

help: ## what there is
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(SETUP) ## .venv with every locked dependency and hoosh itself; again only when the locks change

# The locks carry hashes; hoosh is built by the locked hatchling, so nothing is resolved here.
$(SETUP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hoosh needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

run: setup ## the gateway on 127.0.0.1:8088 with a small local model; no key, no account
	$(BIN)/hoosh models pull $(MODEL)
	$(BIN)/hoosh serve

test: setup ## the fast suite, a few minutes
	$(BIN)/pytest -m "not slow"

test-slow: setup clients ## what takes longer: soak, sweeps, the whole wire corpus
	$(BIN)/pytest -m slow

test-all: test test-slow ## both

# Client libraries in an environment of their own, for tests/compat/test_clients.py; Node comes as a wheel.
CLIENTS := build/clients
clients: $(CLIENTS)/.setup ## the client libraries that test-slow tries

$(CLIENTS)/.setup: requirements/clients.txt $(wildcard tests/compat/clients/*)
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/clients.txt
	rm -rf $(CLIENTS)/programs && cp -r tests/compat/clients $(CLIENTS)/programs
	cd $(CLIENTS)/programs && PATH="$(CURDIR)/$(CLIENTS)/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

# Coverage-guided fuzzing; `make fuzz SECONDS=600 JOBS=2 TARGETS="split:sse parse:openai_chat"`.
SECONDS ?= 600
JOBS ?= 2
FUZZ := build/fuzz
fuzz: $(FUZZ)/.setup ## feed every decoder with mutated bytes, SECONDS each
	mkdir -p $(FUZZ)/found
	export PYTHONPATH=src:tests; \
	for name in $${TARGETS:-$$($(FUZZ)/bin/python -m fuzz.run)}; do echo $$name; done | \
	xargs -P $(JOBS) -I NAME $(FUZZ)/bin/python -m fuzz.run NAME $(SECONDS) $(FUZZ)/found

$(FUZZ)/.setup: requirements/fuzz.txt
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/fuzz.txt
	touch $@

lint: setup ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## write the generated parts of docs/ again
	$(BIN)/python docs/generate.py

# Published prices, with genai-prices in an environment of its own (docs/prices.md).
PRICES := build/prices
DAY ?= $(shell date -u +%F)
prices: $(PRICES)/.setup ## take the prices of DAY from the locked genai-prices again
	$(PRICES)/bin/python docs/prices.py $(DAY) >$(PRICES)/prices.json
	mv $(PRICES)/prices.json src/hoosh/providers/prices.json

$(PRICES)/.setup: requirements/prices.txt
	$(PYTHON) -m venv $(PRICES)
	$(PRICES)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/prices.txt
	touch $@

bench: setup bench/mock bench/sseload ## load test against nginx (docs/performance.md)
	$(BIN)/python bench/run.py $(BENCH)

bench/mock bench/sseload: %: %.c
	$(CC) -std=gnu11 -O2 -Wall -Wextra -o $@ $<

# `make lock LOCK=--upgrade` takes newer versions; without it only what pyproject.toml and dev.in ask for changes.
UV := build/uv
COMPILE = $(UV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(LOCK) pyproject.toml
lock: ## write requirements/*.txt again
	$(PYTHON) -m venv $(UV)
	$(UV)/bin/pip install --quiet --disable-pip-version-check uv
	$(COMPILE) -o requirements/run.txt
	$(COMPILE) --extra llama -c requirements/run.txt -o requirements/llama.txt
	$(COMPILE) --extra llama --extra postgres --extra redis -c requirements/llama.txt requirements/dev.in -o requirements/dev.txt
	$(subst pyproject.toml,requirements/clients.in,$(COMPILE)) -o requirements/clients.txt
	$(COMPILE) -c requirements/run.txt requirements/fuzz.in -o requirements/fuzz.txt
	$(subst pyproject.toml,requirements/prices.in,$(COMPILE)) -o requirements/prices.txt
	rm -rf $(UV)

faults: setup ## measure every fault again, and write the figures into docs/reliability.md; 20 minutes
	HOOSH_WRITE_TABLE=1 $(BIN)/pytest -s tests/fault
	$(BIN)/python docs/generate.py

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist bench/mock bench/sseload bench/logs .coverage .*_cache .hypothesis
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
