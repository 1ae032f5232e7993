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

bench-train: .venv-bench/.installed .venv-recbole/.installed
	@.venv-bench/bin/python tests/benchmarks/bench_train.py --recbole .venv-recbole/bin/python $(BENCH)

# What pwrank is measured against, apart from what it runs and is tested with.
.venv-bench/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,benchmark]' sentence-transformers
	touch $@

# RecBole 1.2 needs numpy 1, and for a NeuMF a part of what it asks for; the same torch as pwrank.
.venv-recbole/.installed: constraints.txt
	$(PYTHON) -m venv .venv-recbole
	.venv-recbole/bin/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	grep '^torch==' constraints.txt | .venv-recbole/bin/python -m pip install --quiet \
	  --disable-pip-version-check --requirement /dev/stdin 'numpy<2' 'pandas<2.3' 'scipy<1.14' \
	  colorama colorlog plotly psutil pyyaml scikit-learn tabulate tensorboard texttable thop tqdm
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-recbole pwrank-demo
