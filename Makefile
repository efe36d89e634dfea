# `make run` does the whole investigation, `make test` checks everything. Each works as the first command in a fresh clone.
SHELL   := /bin/bash
PYTHON  ?= python3
WORLD   ?= latest
UV_PIN  := 0.13.8
AS_ROOT  = $(if $(filter 0,$(shell id -u)),,sudo)

VENV    := $(if $(filter latest,$(WORLD)),.venv,.venv-$(WORLD))
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
export UV := $(CURDIR)/.venv/bin/uv
LOCK    := requirements/$(WORLD).txt
COMPILE := pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
           --no-header --all-extras --no-emit-package stream-deadline pyproject.toml

# Kept compiled whatever the environment says: compiling took half the time of the tests.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run regress check test test-real servers lint parts lab real-vllm notebooks lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo
	@echo 'make run BASE_URL=http://host:port/v1 MODEL=name   the same against your server (key from OPENAI_API_KEY)'
	@echo 'make run WORLD=seed                                the same with the versions of the post-mortem (Python 3.11)'

setup: $(READY) ## make the environment, nothing else

$(LOCK):
	@echo "No such WORLD: '$(WORLD)'. There are: $(sort $(patsubst requirements/%.txt,%,$(wildcard requirements/*.txt)))." >&2; exit 2

# The seed world is Python 3.11, as in the post-mortem; uv finds it, or fetches it where it may.
$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "This needs Python 3.11 or newer as '$(PYTHON)'; name another with make PYTHON=/path/to/python3." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments; on Debian: apt-get install python3-venv." >&2; exit 2; }
	@echo "Setting up $(VENV) (the '$(WORLD)' world) …"
	@test -x .venv/bin/uv || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_PIN); }
	@test $(WORLD) = latest || test -x $(BIN)/python || .venv/bin/uv venv --quiet --python 3.11 $(VENV) || { echo "The '$(WORLD)' world needs Python 3.11 on this machine." >&2; exit 2; }
	@.venv/bin/uv pip install --quiet --python $(BIN)/python -r $(LOCK)
	@.venv/bin/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

run: $(READY) ## the whole investigation: notebooks, verdicts, one HTML report
	@$(BIN)/stream-lab run $(if $(BASE_URL),--base-url '$(BASE_URL)') $(if $(MODEL),--model '$(MODEL)') $(if $(TIMEOUT),--timeout '$(TIMEOUT)') $(if $(RUNS),--runs '$(RUNS)')

regress: $(READY) ## notebooks × versions × endpoints against the last good run; CONFIG=regress.yaml ARGS='--resume'
	@$(BIN)/stream-lab regress $(if $(CONFIG),--config '$(CONFIG)') $(ARGS)

check: lint ## the inner loop: lint, types, and the tests that need no real time (under a minute)
	@$(BIN)/pytest --quick -n 2 --timeout 30 tests

test: lint ## lint, types, unit tests, and nbval on every notebook
	@$(BIN)/pytest

test-real: $(READY) ## matrix, wire and notebooks 01-08 against a real vLLM: one started here, or BASE_URL=…
	@TEST_REAL=1 REAL_VLLM_URL='$(BASE_URL)' REAL_VLLM_MODEL='$(MODEL)' $(BIN)/pytest -n 0 tests/real

servers: $(READY) ## does cutting the client free the server? vLLM, transformers, llama.cpp, proxies (6 GB, half an hour the first time); ONLY=vllm
	@$(BIN)/stream-lab servers $(if $(ONLY),--only '$(ONLY)')

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo
# Types are those of the newest libraries; older ones say, for instance, httpx where these say httpx2.
	@test $(WORLD) != latest || $(BIN)/mypy

# Ubuntu has Chromium as a snap only, which apt-get does not give; a browser that is there will do.
parts: ## nginx, HAProxy and Chromium, from Debian, for what runs only with the real ones
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light haproxy $$(command -v chromium chromium-browser google-chrome >/dev/null || echo chromium) >/dev/null

lab: $(READY) ## JupyterLab, open at notebook 00
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb

real-vllm: $(READY) ## a real vLLM on this CPU with a tiny random-weight model (3 GB, minutes the first time)
	@$(BIN)/stream-lab real-vllm

notebooks: $(READY) ## rebuild notebooks/*.ipynb, executed, from notebooks/source/*.py
	@$(BIN)/python tools/build_notebooks.py $(NB)

lock: $(READY) ## resolve requirements/*.txt anew
	@.venv/bin/uv $(COMPILE) -o requirements/latest.txt
	@.venv/bin/uv $(COMPILE) --constraint requirements/seed.in -o requirements/seed.txt

clean: ## remove what setup and runs made
	rm -rf .venv .venv-* runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
