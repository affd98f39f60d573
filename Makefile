# Needs python3 (3.11 to 3.13), make and g++. The rest is installed into .venv on first use.

PYTHON ?= python3
VENV   ?= .venv
# Programs that run at the same time.
JOBS   ?= 2
# More for pytest, e.g. make test PYTEST_ARGS="-k cli".
PYTEST_ARGS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long lint wheel clean distclean

help:
	@echo "make demo       a trained LeNet-5 to a placed and routed accelerator, in some minutes"
	@echo "make test       the fast tests; test-long: the rest, which takes much longer"
	@echo "make lint       ruff"
	@echo "make wheel      build dist/*.whl"
	@echo "make clean      remove what was built here; distclean: and .venv"

# Each check says what to do; make stops at the first that fails.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else \
	    "error: python3 must be 3.11 to 3.13, not %d.%d: say make PYTHON=python3.11, for example" \
	    % sys.version_info[:2])'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "error: $(PYTHON) must be able to make environments: apt install python3-venv" >&2; \
	    exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing nmahw and its tools into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: compiler
compiler:
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	    echo "error: g++ must be installed to simulate: apt install g++" >&2; exit 1; }

install: $(STAMP)

demo: compiler $(STAMP)
	$(BIN)/nmahw demo --jobs $(JOBS)

test: compiler $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-long: compiler $(STAMP)
	$(BIN)/python -m pytest -m long $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .
	@ls dist/*.whl

clean:
	rm -rf build dist nmahw-demo .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) *.egg-info
