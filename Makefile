# The whole workflow. Plain `make` lists it.
SHELL = /bin/sh
PYTHON = .venv/bin/python
# How many workers that makes says tests/conftest.py.
PARALLEL = -q -n auto --dist loadfile --no-loadscope-reorder
export DEVICE LICENCE PYTHON_VERSION ADVISORIES

# Tests start hundreds of processes, each of which would compile the sources anew without this.
test test-fast fuzz: export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup run demo test test-fast fuzz lint format bench lock audit clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1:/p' Makefile | awk -F: '{printf "  %-14s %s\n", $$1, $$2}'

setup:  ## make .venv and fetch the models (DEVICE=gpu for an NVIDIA GPU, PYTHON_VERSION=3.12, LICENCE=commercial)
	@scripts/setup

run:  ## set up what is missing, then start the service (ARGS="--config other.yml")
	@scripts/setup && exec $(PYTHON) web_service.py $(ARGS)

demo:  ## enrol a folder of people, find them in a picture (ARGS="people/ group.jpg")
	@scripts/setup && exec $(PYTHON) -m client.demo $(ARGS)

test:  ## run the tests (ARGS="tests/project/test_setup.py -k name")
	@scripts/setup --dev && exec $(PYTHON) -m pytest $(PARALLEL) $(ARGS)

test-fast:  ## those that start no service, database server or browser, in a minute or so
	@scripts/setup --dev && exec $(PYTHON) -m pytest $(PARALLEL) --fast $(ARGS)

fuzz:  ## look for inputs that break what `make test` tries a few of (ARGS="tests/bench/test_settings_file.py")
	@scripts/setup --dev && exec $(PYTHON) -m pytest -q -m hypothesis --hypothesis-profile=fuzz $(ARGS)

lint:  ## check style, types and who imports whom
	@scripts/setup --dev --no-models
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

format:  ## bring the sources into the project's format
	@scripts/setup --dev --no-models
	$(PYTHON) scripts/sync_client.py
	$(PYTHON) -m ruff check --fix-only --quiet
	$(PYTHON) -m ruff format

bench:  ## speed of the models against onnxruntime, memory of the running service
	@scripts/setup --dev
	$(PYTHON) -m bench models
	$(PYTHON) -m bench memory

lock:  ## make the lock files again from pyproject.toml (ARGS=--upgrade for the newest versions)
	@scripts/lock $(ARGS)

audit:  ## look the locked versions up in public lists of known holes (ADVISORIES=DIR: in a copy of PyPA's)
	@scripts/setup --dev --no-models && exec $(PYTHON) scripts/audit.py

clean:  ## remove .venv, caches and logs; models/ stays
	@[ ! -e .venv ] || mv .venv .venv-old
	rm -rf .venv-* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis PipelineServingLogs logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
