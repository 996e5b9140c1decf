# Two commands: `make reproduce` runs the pipeline to its report, `make test` passes the tests.
# Both create the environment in .venv first. `make help` lists the rest.

SUITE ?= quick
CORES ?= all
PORT ?= 5000
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
SNAKEMAKE := snakemake --cores $(CORES) --config suite=$(SUITE) --workflow-profile workflow/profiles/default

export PATH := $(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1

.PHONY: help environment reproduce report track ui audit version test test-slow test-cluster test-gpu test-oracles test-browser check lock clean \
	bench bench-environment performance

help:
	@echo "make reproduce [SUITE=quick|controls|standard|samrec|full] [CORES=n]  run the pipeline to results/SUITE/report/index.html"
	@echo "make report SUITE=standard    rebuild tables and report from the committed runs, without data or training"
	@echo "make test                     pass the tests      (test-slow, test-cluster: the long ones; test-gpu; test-oracles: peers; test-browser)"
	@echo "make bench                    measure everything, for many hours (make performance: docs/performance.md alone)"
	@echo "make audit | track | ui | version | check | lock | clean"

environment: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python 3.11 or newer is needed, found {v.major}.{v.minor}; set PYTHON=...") if v < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

reproduce: environment
	$(SNAKEMAKE)
	@echo "Report: results/$(SUITE)/report/index.html"

report: environment
	seqrepro plan --suite $(SUITE) --csv > /dev/null
	for step in refit survey compare judge report; do \
		request=results/plan/$$step/$(SUITE).json; \
		test ! -f $$request || seqrepro $$step $$request || exit 1; \
	done
	@echo "Report: results/$(SUITE)/report/index.html"

track: environment
	seqrepro track

ui: track
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --host 127.0.0.1 --port $(PORT) \
		--workers 1 --no-serve-artifacts

audit: environment
	seqrepro audit

version: environment
	$(SNAKEMAKE) -- results/versions/$(SUITE)/CONTENTS.json
	dvc commit --force reproduce

test: environment
	pytest -n 2 -m "not slow and not cluster and not gpu and not browser"

test-slow: environment
	pytest -n 2 -m slow

test-cluster: environment
	pytest -m cluster

test-gpu: environment
	pytest -m gpu -rP

ORACLES := $(VENV)-oracles

test-oracles: $(ORACLES)/.ready
	PYTHONPATH=src TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 $(ORACLES)/bin/python -m pytest -q -p no:cacheprovider \
		tests/oracles/test_entropy.py tests/oracles/test_sharpness.py tests/oracles/test_pyhessian.py \
		$(wildcard tests/oracles/test_transformers*.py tests/oracles/test_recbole*.py)

$(ORACLES)/.ready: tests/oracles/requirements.txt
	$(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	$(ORACLES)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/oracles/requirements.txt
	touch $@

BROWSER := $(VENV)-browser

test-browser: environment $(BROWSER)/.ready
	SEQREPRO_AXE=$$(echo $(CURDIR)/$(BROWSER)/lib/python*/site-packages/axe_core_python/axe.min.js) pytest -m browser

$(BROWSER)/.ready: tests/unit/browser/requirements.txt
	$(PYTHON) -m venv $(BROWSER)
	$(BROWSER)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/unit/browser/requirements.txt
	touch $@

BENCH := $(VENV)-bench
WITH_PEERS := bench-prepare bench-training bench-evaluation bench-quality
ALONE := bench-prepare_large bench-attention bench-hydra bench-flops bench-threads bench-growth bench-intervals bench-optimizers

bench:
	$(foreach name,$(ALONE) $(WITH_PEERS),$(MAKE) $(name) &&) $(MAKE) performance

bench-environment: $(BENCH)/.ready

$(WITH_PEERS): bench-environment
	TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 $(BENCH)/bin/python -W ignore benchmarks/$(@:bench-%=%).py \
		--out benchmarks/results/$(@:bench-%=%).json

$(ALONE): environment
	python benchmarks/$(@:bench-%=%).py --out benchmarks/results/$(@:bench-%=%).json

performance: environment
	python benchmarks/page.py

$(BENCH)/.ready: benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt
	touch $@

check: environment
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow Snakefile
	snakemake --lint 2>&1 | python tools/lint_findings.py

lock: environment
	uv pip compile requirements.in --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock
	python tools/lock.py

clean:
	rm -rf results/quick results/plan results/checkpoints .snakemake logs
