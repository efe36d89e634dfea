# `make run` does the whole investigation, `make test` checks everything. Each works as the first command in a fresh clone.
SHELL   := /bin/bash
PYTHON  ?= python3
WORLD   ?= latest
PARTS   ?= yes
UV_PIN  := 0.13.8

# What a reader sets may hold any character: it reaches the shell as a variable of its own, never as text of a command.
SETTINGS := PYTHON BASE_URL MODEL TIMEOUT RUNS CONFIG ONLY PARTS NB NEW DATABASE MINUTES SECONDS SEED CALLS SAMPLE
GIVEN_PYTHON := $(filter-out file default undefined,$(origin PYTHON))
$(foreach name,$(SETTINGS),$(if $(value $(name)),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))

WORLDS  := $(filter-out packages book fuzz clients%,$(sort $(patsubst requirements/%.txt,%,$(wildcard requirements/*.txt))))
ifneq ($(words $(WORLD))$(filter $(WORLD),$(WORLDS)),1$(WORLD))
$(error No such WORLD: '$(WORLD)'. There are: $(WORLDS))
endif
VENV    := $(if $(filter latest,$(WORLD)),.venv,.venv-$(WORLD))
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
LOCK    := requirements/$(WORLD).txt
OURS    := src/stream_deadline fake_vllm src/stream_lab
export UV := $(CURDIR)/.venv/bin/uv
COMPILE := pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
           --no-header
PROJECT := requirements/project.in --group pyproject.toml:dev --no-emit-package stream-deadline --no-emit-package fake-vllm \
           --no-emit-package stream-lab
BOOK    := requirements/project.in --group pyproject.toml:book --constraint requirements/latest.txt \
           --no-emit-package stream-deadline --no-emit-package fake-vllm --no-emit-package stream-lab
FUZZ    := requirements/project.in --group pyproject.toml:fuzz --constraint requirements/latest.txt \
           --no-emit-package stream-deadline --no-emit-package fake-vllm --no-emit-package stream-lab

# Kept compiled whatever the environment says: compiling took half the time of the tests.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run regress check test planted coverage mutants test-real packages release-check audit version book clients \
        drills fuzz canary servers frameworks soak lint parts lab learn real-vllm notebooks lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo
	@echo 'make run BASE_URL=http://host:port/v1 MODEL=name   the same against your server (key from OPENAI_API_KEY)'
	@echo 'make run WORLD=next                                the same with the newest of everything, pre-releases too'
	@echo 'make run WORLD=seed                                the same with the versions of the post-mortem (Python 3.11)'

setup: $(READY) ## make the environment, nothing else

# The seed world is Python 3.11, as in the post-mortem; uv finds it, or fetches it where it may.
$(READY): $(LOCK) $(OURS:%=%/pyproject.toml) | same-python
	@$(NEW_ENOUGH)
	@"$$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || { echo "'$$PYTHON' cannot make virtual environments; on Debian: apt-get install python3-venv." >&2; exit 2; }
	@echo "Setting up $(VENV) (the '$(WORLD)' world) …"
	@test -x .venv/bin/uv || { "$$PYTHON" -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_PIN) 2>.venv/setup.log; } || $(NO_PACKAGES)
	@test $(WORLD) = latest || test -x $(BIN)/python || .venv/bin/uv venv --quiet --python 3.11 $(VENV) || { echo "The '$(WORLD)' world needs Python 3.11 on this machine." >&2; exit 2; }
	@.venv/bin/uv pip install --quiet --python $(BIN)/python -r $(LOCK) $(OURS:%=--editable %) 2>.venv/setup.log || $(NO_PACKAGES)
	@touch $@

NEW_ENOUGH  = "$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "This needs Python 3.11 or newer as '$$PYTHON'; name another with make PYTHON=/path/to/python3." >&2; exit 2; }
NO_PACKAGES = { echo "The packages could not be installed. Is there a network? The installer's words are in .venv/setup.log." >&2; exit 2; }

# An environment stays with the Python it was made with.
.PHONY: same-python
same-python:
ifneq ($(GIVEN_PYTHON),)
	@$(NEW_ENOUGH)
	@test ! -x .venv/bin/python || "$$PYTHON" -c 'import sys; sys.exit(sys.argv[1] != str(sys.version_info[:2]))' "$$(.venv/bin/python -c 'import sys; print(sys.version_info[:2])')" 2>/dev/null || { echo "PYTHON='$$PYTHON' is another version than the one in .venv; run make clean first, or leave PYTHON out." >&2; exit 2; }
endif

run: $(READY) parts-here ## the whole investigation: notebooks, verdicts, one HTML report
	@$(BIN)/stream-lab run $(if $(BASE_URL),--base-url "$$BASE_URL") $(if $(MODEL),--model "$$MODEL") $(if $(TIMEOUT),--timeout "$$TIMEOUT") $(if $(RUNS),--runs "$$RUNS")

regress: $(READY) ## notebooks × versions × endpoints against the last good run; CONFIG=regress.yaml ARGS='--resume'
	@$(BIN)/stream-lab regress $(if $(CONFIG),--config "$$CONFIG") $(ARGS)

check: lint ## the inner loop: lint, types, and the tests that need no real time (under a minute)
	@$(BIN)/pytest --quick -n 2 --timeout 30 tests

test: lint parts-here ## lint, types, unit tests, and nbval on every notebook
	@$(BIN)/pytest

planted: $(READY) ## plant known defects into a copy of the project; each must turn the test that it names red
	@$(BIN)/python tools/planted.py $(if $(ONLY),--only "$$ONLY")
	@TEST_PLANTED=1 $(BIN)/pytest -n 0 tests/planted/test_sound_soak.py tests/planted/test_soak.py

coverage: $(READY) ## branch coverage of the library and of the fake's engine on their own tests; below 95 % fails
	@rm -rf .measured/coverage* .measured/seconds && mkdir -p .measured
	@$(BIN)/coverage run -m pytest -p tests.contexts -n 2 -q tests/stream_deadline tests/fake_vllm; ended=$$?; \
	  $(BIN)/coverage combine --quiet && \
	  $(BIN)/coverage report --include='src/stream_deadline/*' --fail-under 95 && \
	  $(BIN)/coverage report --include='fake_vllm/engine/*' --fail-under 95 && exit $$ended

mutants: $(READY) ## change the library and the engine in small ways; the tests must notice 90 %; ONLY=_budget,slots SAMPLE=150 SEED=1
	@test -e .measured/coverage || $(MAKE) --no-print-directory coverage
	@$(BIN)/python tools/mutate.py $(if $(ONLY),--only "$$ONLY") $(if $(SAMPLE),--sample "$$SAMPLE") $(if $(SEED),--seed "$$SEED") $(ARGS)

test-real: $(READY) ## matrix, wire and notebooks 01-08 against a real vLLM: one started here, or BASE_URL=…
	@TEST_REAL=1 REAL_VLLM_URL="$$BASE_URL" REAL_VLLM_MODEL="$$MODEL" $(BIN)/pytest -n 0 tests/real

packages: $(READY) ## build the three distributions into dist/, and try each alone in an environment of its own
	@test -x .venv-packages/bin/python || .venv/bin/uv venv --quiet --python .venv/bin/python .venv-packages
	@.venv/bin/uv pip install --quiet --python .venv-packages/bin/python -r requirements/packages.txt || $(NO_PACKAGES)
	@rm -rf dist
	@$(BIN)/python tools/build_packages.py dist
	@.venv-packages/bin/twine check --strict dist/*.whl dist/*.tar.gz
	@for folder in $(OURS); do .venv-packages/bin/check-wheel-contents --config $$folder/pyproject.toml dist/$$(basename $$folder)-*.whl || exit; done
	@TEST_PACKAGES=dist $(BIN)/pytest tests/packages

release-check: packages ## what would be released: the same bytes twice, Pythons × oldest and newest dependencies, bills of materials, advisories; ARGS='--only tests'
	@$(BIN)/python tools/release_check.py $(ARGS)

audit: $(READY) ## the pins in requirements/ against a copy of the PyPA's advisory database; DATABASE=folder
	@$(BIN)/python tools/audit.py $(if $(DATABASE),"$$DATABASE")

version: $(READY) ## set the version of all three distributions, and date the changelog; NEW=0.2.0
	@$(BIN)/python tools/set_version.py "$$NEW"

book: $(READY) ## the course, the how-to pages and the reference as a website in dist/book, and the slides
	@({ test -x .venv-book/bin/python || .venv/bin/uv venv --quiet --python .venv/bin/python .venv-book; } && \
	  .venv/bin/uv pip install --quiet --python .venv-book/bin/python -r requirements/book.txt $(OURS:%=--editable %)) \
	  2>.venv/setup.log || $(NO_PACKAGES)
	@.venv-book/bin/python -m book.build
	@TEST_BOOK=dist/book $(BIN)/pytest -n 0 tests/book

# Two environments, since LlamaIndex needs another release of OpenAI's SDK than the others.
clients: $(READY) ## real clients against the fake: SDKs and frameworks in Python and JavaScript; fills docs/fake_clients.md
	@(for each in clients clients-llama-index; do \
	  { test -x .venv-$$each/bin/python || .venv/bin/uv venv --quiet --python .venv/bin/python .venv-$$each; } && \
	  .venv/bin/uv pip install --quiet --python .venv-$$each/bin/python -r requirements/$$each.txt || exit; \
	done) 2>.venv/setup.log || $(NO_PACKAGES)
	@mkdir -p .node-clients && cp tests/clients/programs/package.json .node-clients
	@PATH="$(CURDIR)/.venv-clients/bin:$$PATH" npm install --prefix .node-clients --loglevel=error --no-package-lock --no-audit --no-fund >/dev/null 2>.venv/setup.log || $(NO_PACKAGES)
	@TEST_CLIENTS=1 $(BIN)/pytest -n 0 tests/clients --json evidence/clients/results.json; ended=$$?; $(BIN)/python -m tests.clients.page && exit $$ended

drills: $(READY) ## faults on purpose: servers killed and stopped, lost packets, forks, ends of interpreters; fills docs/drills.md (five to ten minutes)
	@$(BIN)/python -m tests.drills $(ARGS)

servers: $(READY) ## does cutting the client free the server? vLLM, transformers, llama.cpp, proxies (6 GB, half an hour the first time); ONLY=vllm
	@$(BIN)/stream-lab servers $(if $(ONLY),--only "$$ONLY")

frameworks: $(READY) ## who stops a babbling model: 28 SDKs and frameworks, each in its own environment; ONLY=openai-sdk,langgraph
	@$(BIN)/stream-lab frameworks $(if $(ONLY),--only "$$ONLY",--record .)

# bash has a SECONDS of its own, which counts; so the seconds travel under another name.
soak: export SOAK_SECONDS := $(value SECONDS)
soak: $(READY) ## many calls of every style at once against a failing server, judged one by one; SECONDS=600 CALLS=… SEED=… ARGS=--json
	@$(BIN)/stream-lab soak $(if $(SECONDS),--seconds "$$SOAK_SECONDS") $(if $(CALLS),--calls "$$CALLS") $(if $(SEED),--seed "$$SEED") $(if $(ONLY),--only "$$ONLY") $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo
# Types are those of the newest libraries; older ones say, for instance, httpx where these say httpx2.
	@test $(WORLD) != latest || $(BIN)/mypy

parts: ## nginx, HAProxy and Chromium, from Debian, for what runs only with the real ones
	@$(SHELL) tools/install_parts.sh

# Both commands of a newcomer install them; PARTS=no does not.
.PHONY: parts-here
parts-here:
	@test "$$PARTS" = no || $(SHELL) tools/install_parts.sh --if-possible

lab: $(READY) ## JupyterLab, open at notebook 00
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb

learn: $(READY) ## the course in JupyterLab, a copy in learn/ with exercises to solve; NB=30 opens notebook 30; ARGS=--no-browser
	@$(BIN)/python tools/learn.py $(if $(NB),--open "$$NB") $(if $(ARGS),-- $(ARGS))

real-vllm: $(READY) ## a real vLLM on this CPU with a tiny random-weight model (3 GB, minutes the first time)
	@$(BIN)/stream-lab real-vllm

notebooks: $(READY) ## rebuild notebooks/*.ipynb, executed, from notebooks/source/*.py
	@$(BIN)/python tools/build_notebooks.py $$NB

# Atheris has no wheel for some Pythons, so it is in an environment of its own.
FUZZER := $(if $(GUIDED),.venv-fuzz/bin/python,$(BIN)/python)
fuzz: $(READY) ## broken and hostile input for MINUTES=10, SEED=…; ONLY=doctor; GUIDED=yes goes by coverage, with Atheris
ifneq ($(GUIDED),)
	@({ test -x .venv-fuzz/bin/python || .venv/bin/uv venv --quiet --python .venv/bin/python .venv-fuzz; } && \
	  .venv/bin/uv pip install --quiet --python .venv-fuzz/bin/python -r requirements/fuzz.txt $(OURS:%=--editable %)) \
	  2>.venv/setup.log || $(NO_PACKAGES)
endif
	@$(FUZZER) -m tests.fuzz --minutes "$${MINUTES:-10}" $(if $(SEED),--seed "$$SEED") $(if $(ONLY),--only "$$ONLY") $(if $(GUIDED),--guided)

canary: $(READY) ## a key in no artefact: every command that sends one, with an invented key, searched afterwards
	@$(BIN)/python tools/canary.py

lock: $(READY) ## resolve requirements/*.txt anew
	@.venv/bin/uv $(COMPILE) $(PROJECT) -o requirements/latest.txt
	@.venv/bin/uv $(COMPILE) $(PROJECT) --constraint requirements/seed.in -o requirements/seed.txt
	@.venv/bin/uv $(COMPILE) --upgrade --prerelease allow $(PROJECT) --constraint requirements/next.in -o requirements/next.txt
	@.venv/bin/uv $(COMPILE) --group pyproject.toml:packages -o requirements/packages.txt
	@.venv/bin/uv $(COMPILE) $(BOOK) -o requirements/book.txt
	@.venv/bin/uv $(COMPILE) $(FUZZ) -o requirements/fuzz.txt
	@.venv/bin/uv $(COMPILE) --group pyproject.toml:clients -o requirements/clients.txt
	@.venv/bin/uv $(COMPILE) --group pyproject.toml:clients-llama-index -o requirements/clients-llama-index.txt

clean: ## remove what setup and runs made
	rm -rf .venv .venv-* .node-clients .measured dist runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
