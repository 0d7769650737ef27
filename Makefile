# make book   the published pages from their evidence, and the whole replication on drawn data, to a book in HTML
# make test   ruff and the tests
# make env    only the environment, .venv, that both use
# make lock   resolve the pins again (needs the network)
# make components  write again what the project is made of and under which licences (after make lock and make env)
# make publish  a run of profile local (RUN=runs/local) becomes the published one
# make clean  remove .venv, every run and every cache
#
# Another interpreter: make env PYTHON=/path/to/python3.12

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help book test env lock components clean publish

# The first interpreter on PATH that is 3.11 or 3.12.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

book: env
	$(BIN)/lsegrepro reproduce --profile quick

test: env
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

env: $(STAMP)

# torch first, in whatever build pip finds or .venv already holds; then the rest, by hash.
$(STAMP): pyproject.toml requirements-torch.txt requirements.lock
	@[ -x $(BIN)/python ] || [ -n "$(PYTHON)" ] || \
		{ echo "make: no Python 3.11 or 3.12 on PATH; install one, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv $(VENV)
	$(PIP) install -r requirements-torch.txt
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	$(PIP) check
	@touch $@

lock: env
	$(PIP) install uv
	$(BIN)/python tools/lock.py

components: env
	$(BIN)/python tools/components.py

clean:
	rm -rf $(VENV) runs build *.egg-info .snakemake .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Publish a run of profile local: its results and numbers, and its pages with no photograph in them.
RUN ?= runs/local
publish: env
	$(BIN)/lsegrepro publish --profile local --run $(RUN)
