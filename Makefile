# Each target installs what it needs into .venv, then does its work. Only Python 3.11+ and make are presumed.
PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test test-all lint format bench docs clean
.DELETE_ON_ERROR:

help:
	@echo "make demo      methods side by side on a real data set; writes demo-out/report.html"
	@echo "make test      the tests, without the slow ones"
	@echo "make test-all  all tests"
	@echo "make lint      ruff and pyright"
	@echo "make format    let ruff mend what it can"
	@echo "make bench     ours and its peers, in one run"
	@echo "make docs      the documentation, in docs/_build/html"
	@echo "make clean     remove .venv and what was built"

demo: $(VENV)/.demo
	$(BIN)/thalweg compare digits --report demo-out/report.html

# Most of the time goes into compiling, a good part of that into optimising what runs for milliseconds: without these
# passes, with XLA's older emitter and no threads of its own it takes half. All tests together (test-all) run what users
# run. The flags are those of the versions in constraints.txt.
QUICKLY := --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
test: $(VENV)/.test
	XLA_FLAGS="$(QUICKLY) $$XLA_FLAGS" JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(PYTEST) -m "not slow" --durations=40

test-all: $(VENV)/.test
	$(PYTEST)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -E -W --keep-going -b html docs docs/_build/html
	@echo "built docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build demo-out .pytest_cache .ruff_cache

QUIET := -qq

# One stamp a target. A newer pyproject.toml or constraints.txt installs again.
$(VENV)/.demo: EXTRAS := plot,data
$(VENV)/.test: EXTRAS := test
$(VENV)/.lint: EXTRAS := dev,plot,data,ot,sample,torch,web,xarray
$(VENV)/.bench: EXTRAS := bench
$(VENV)/.docs: EXTRAS := docs,plot,data,ot,sample,torch,web,xarray
$(VENV)/.docs: QUIET :=

$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.bench $(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing thalweg[$(EXTRAS)] into $(VENV) (minutes the first time)"
	@$(BIN)/python -m pip install $(QUIET) --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "thalweg needs Python 3.11 or newer; name one with make PYTHON=python3.11" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
