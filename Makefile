PYTHON ?= python
.DEFAULT_GOAL := help

.PHONY: help check lint types imports test bench concurrent reference drill fuzz

SEED ?= 0
N ?= 100
JOBS ?= 1

help:  ## print the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

check: lint types imports test  ## what CI runs: lint, types, import contracts, tests

lint:  ## ruff: rules and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## mypy, strict
	$(PYTHON) -m mypy

imports:  ## the import contracts of pyproject.toml
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()"

test:  ## the tests
	$(PYTHON) -m pytest -n 2 --dist loadfile

bench:  ## the benchmarks: ratios, contenders interleaved (needs: pip install -e ".[bench]"; half an hour)
	$(PYTHON) -m benchmarks.train
	$(PYTHON) -m benchmarks.pipeline
	$(PYTHON) -m benchmarks.overhead

concurrent:  ## 100 jobs of two users, four at a time, and 200 stores at once: no clash (a quarter of an hour and more)
	$(PYTHON) -m tests.drills.concurrent_starts

reference:  ## make results/reference/ anew on this machine
	$(PYTHON) -m benchmarks.reference

drill:  ## random faults at random times: SEED=0 N=100 JOBS=1, goes on where the ledger of the seed ends
	$(PYTHON) -m tests.drills.faults --seed $(SEED) --count $(N) --jobs $(JOBS) --resume

fuzz:  ## 20,000 mutated experiment files and 200,000 mutated event lines: SEED=0 (some ten minutes)
	$(PYTHON) -m tests.drills.fuzz_toml --seed $(SEED)
	$(PYTHON) -m tests.drills.fuzz_events --seed $(SEED)
