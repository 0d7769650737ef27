# make book   the published pages from their evidence, and the whole replication on drawn data, to a book in HTML
# make test   ruff and the tests
# make env    only the environment, .venv, that both use
# make lock   resolve the pins again (needs the network)
# make publish  a run of profile local (RUN=runs/local) becomes the published one
# make clean  remove .venv and every cache; runs stay
# make clean-runs  remove every run of the folder runs
#
# Another interpreter: make env PYTHON=/path/to/python3.12
# Another build of torch: make env TORCH_OPTIONS="...", the options of pip that PyTorch's installation page names

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help book test env lock clean clean-runs publish

# The first interpreter on PATH that is 3.11 or 3.12.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
# What a finished environment was made of: this very folder (a copy of it makes its own) and these requirements.
MADE_OF := pwd; cksum pyproject.toml requirements-torch.txt requirements.lock

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

book: env
	$(BIN)/lsegrepro reproduce --profile quick

test: env
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

# The stamp is written last. Without one of this folder the environment is unfinished or another's: it begins anew.
# Torch comes first, in the build that pip finds with TORCH_OPTIONS; then the rest, by hash.
env:
	@[ "$$($(MADE_OF))" != "$$(cat $(STAMP) 2>/dev/null)" ] || exit 0; set -e; \
	if [ "$$(pwd)" != "$$(head -n 1 $(STAMP) 2>/dev/null)" ]; then \
		[ -n "$(PYTHON)" ] || { echo "make: no Python 3.11 or 3.12 on PATH; install one, or say" \
			"make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
		rm -rf $(VENV); "$(PYTHON)" -m venv $(VENV); \
	fi; \
	$(PIP) install -r requirements-torch.txt $(TORCH_OPTIONS); \
	$(PIP) install --no-deps --require-hashes -r requirements.lock; \
	$(PIP) install --no-deps --no-build-isolation -e .; \
	$(PIP) check; \
	{ $(MADE_OF); } > $(STAMP).new; mv $(STAMP).new $(STAMP)

lock: env
	$(PIP) install uv
	$(BIN)/python tools/lock.py

clean:
	rm -rf $(VENV) build *.egg-info .snakemake .pytest_cache .ruff_cache .hypothesis
	find . -path ./runs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-runs:
	rm -rf runs

# Publish a run of profile local: its results and numbers, and its pages with no photograph in them.
RUN ?= runs/local
publish: env
	$(BIN)/python tools/publish.py $(RUN)
