# `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_OUTPUT ?= demo-output

.PHONY: help install demo picture test test-damages test-engines test-gateway test-kill test-memory test-runtimes test-servers test-variants test-vllm lint types unit docs lock bench clean

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

test-kill: install  ## kill 20 runs on a real catalog, and each command at every call that changes a file (some twenty minutes)
	CATALOG_ENRICH_KILLS=20 $(BIN)/python -m pytest -v -s tests/pipeline/test_kill.py tests/pipeline/test_killed_commands.py \
	    tests/pipeline/test_surroundings.py --durations 0

test-engines: install  ## a runner that does what engines may do, a real Flink, requests to S3, Dataflow's plan (some forty minutes)
	$(BIN)/python -m tests.engines.install .venv-dataflow
	CATALOG_ENRICH_ENGINES=1 $(BIN)/python -m pytest -v -n0 tests/engines --durations 0
	.venv-dataflow/bin/python -m pytest -v -n0 tests/engines/test_dataflow.py

test-servers: install  ## a server that misbehaves in 250 cases: 2,000 items twice, 40 runs that nobody answers, each case alone (20 minutes)
	CATALOG_ENRICH_HOSTILE_ITEMS=2000 $(BIN)/python -m pytest -v -s -n0 tests/pipeline/test_hostile_server.py \
	    tests/pipeline/test_ended_runs.py tests/unit/transforms/models/http/test_behaviours_page.py --durations 0

test-damages: install  ## every command on every damage of an output; writes docs/damages.md (some forty minutes)
	CATALOG_ENRICH_DAMAGES=all $(BIN)/python -m pytest -v -s -n0 tests/pipeline/test_damages.py --durations 0

test-memory: install  ## runs on inputs that unpack to gigabytes, each below 1 GB of memory (some half an hour)
	CATALOG_ENRICH_MEMORY=full $(BIN)/python -m pytest -v -s tests/pipeline/test_memory.py --durations 0

test-variants: install  ## the real catalogs in 150 other forms: the same items (../shared/data, some twenty minutes)
	CATALOG_ENRICH_VARIANTS=300 $(BIN)/python -m pytest -v -s tests/cases/test_variants.py --durations 0

test-vllm: install  ## the whole job against a real vLLM server on the CPU, in .venv-vllm (3.5 GB)
	$(BIN)/python -m tests.vllm.install .venv-vllm
	CATALOG_ENRICH_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -v tests/vllm --durations 0

test-gateway: install  ## whole runs through a real LiteLLM proxy, in .venv-gateway (0.8 GB, some ten minutes)
	$(BIN)/python -m tests.gateway.install .venv-gateway
	CATALOG_ENRICH_GATEWAY_PYTHON=$(CURDIR)/.venv-gateway/bin/python $(BIN)/python -m pytest -v tests/gateway --durations 0

test-runtimes: install  ## ONNX Runtime and OpenVINO as --text-runtime, in .venv-onnx and .venv-openvino (0.5 GB)
	for runtime in onnx openvino; do \
	    $(BIN)/python -m tests.runtimes.install .venv-$$runtime $$runtime && \
	    .venv-$$runtime/bin/python -m pytest -v tests/runtimes -k $$runtime --durations 0 || exit 1; \
	done

docs: install  ## write the pages of docs/ that are made from the code
	$(BIN)/python -m pipelines.docs

lock: install  ## lock the hashes of new prompt versions
	$(BIN)/python -m prompts.library lock

bench: install  ## measure the main job against a plain loop (several minutes)
	$(BIN)/python benchmarks/main_job.py

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist demo-output *.egg-info
