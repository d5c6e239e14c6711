# `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_OUTPUT ?= demo-output

.PHONY: help install demo picture test test-kill test-vllm lint types unit docs lock bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## set up .venv with the tested versions

$(STAMP): setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools wheel
	@echo "installing the tested versions into $(VENV), this takes a few minutes ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,openai,transformers,checks,demo,evaluate,dev]'
	@touch $(STAMP)

demo: install  ## run the main job on a small catalog with embedded models
	$(BIN)/catalog-enrich demo --output $(DEMO_OUTPUT)

picture: demo  ## take the picture of the report in the README (needs chromium)
	$(BIN)/python -m tests.screenshot $(DEMO_OUTPUT)/tables/current/report.html docs/report.png

test: lint types unit  ## lint, type-check, run all tests

lint: install  ## ruff and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install  ## mypy, strict
	$(BIN)/mypy

# In the order of the files: the long ones of tests/pipeline first, so that both workers end together.
unit: install  ## all tests, without lint and types
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15

test-kill: install  ## kill 20 runs on a real catalog (../shared/data, some ten minutes)
	CATALOG_ENRICH_KILLS=20 $(BIN)/python -m pytest -v -s tests/pipeline/test_kill.py --durations 0

test-vllm: install  ## the whole job against a real vLLM server on the CPU, in .venv-vllm (3.5 GB)
	$(BIN)/python tests/vllm/install.py .venv-vllm
	CATALOG_ENRICH_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -v tests/vllm --durations 0

docs: install  ## write the pages of docs/ that are made from the code
	$(BIN)/python -m pipelines.docs

lock: install  ## lock the hashes of new prompt versions
	$(BIN)/python -m prompts.library lock

bench: install  ## measure the main job against a plain loop (several minutes)
	$(BIN)/python benchmarks/main_job.py

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist demo-output *.egg-info
