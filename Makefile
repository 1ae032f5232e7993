# make demo    install, then run the demo           make test    install, then check and test
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check bench faults audit licences clean

demo: .venv/.demo
	.venv/bin/pwrank demo

test: .venv/.test check
	.venv/bin/python -m pytest

check: .venv/.test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Every part, one after the other; `make bench-embed`, `make bench-train BENCH=--json` for one.
BENCHMARKS = $(patsubst tests/benchmarks/bench_%.py,bench-%,$(wildcard tests/benchmarks/bench_*.py))
bench: $(BENCHMARKS)

bench-%: .venv-bench/.installed
	@.venv-bench/bin/python tests/benchmarks/bench_$*.py $(BENCH)

# Two hundred kills and more; some twenty minutes.
faults: .venv/.test
	.venv/bin/python -m tests.faults.campaign --kills 200

audit: .venv/.test
	$(PIP) --editable '.[audit]'
	.venv/bin/python .ci/audit.py

licences: .venv/.test
	.venv/bin/python .ci/licences.py

# The stamps make a second `make` install nothing. constraints.txt pins what was tested: an
# unconstrained torch pulls gigabytes of CUDA libraries on machines that have no GPU.
.venv/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.test: .venv/.demo
	$(PIP) --editable '.[benchmark,demo,test]'
	touch $@

# What pwrank is measured against, apart from what it runs and is tested with.
.venv-bench/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,benchmark]' sentence-transformers
	touch $@

clean:
	rm -rf .venv .venv-bench pwrank-demo
