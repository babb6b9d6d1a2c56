# The two commands: `make demo` and `make test`. Each makes .venv with everything it needs first.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# rclpy comes from the distribution where one is sourced, otherwise from PyPI's wheels
comma := ,
EXTRAS := dev,video,train,hardware$(if $(ROS_DISTRO),,$(comma)ros)
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# one thread per process: the graph and the test runner share the cores
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test lint mutants setup clean

demo: $(READY)
	$(BIN)/dexhot demo $(ARGS)

test: $(READY) lint
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check src tests tools launch setup.py
	$(BIN)/ruff format --check src tests tools launch setup.py
	$(BIN)/mypy

mutants: $(READY)
	$(BIN)/python -m tools.mutants $(ARGS)

setup: $(READY)

$(READY): pyproject.toml setup.py config/constraints.txt docker/system-packages.txt
	@$(if $(PYTHON),$(PYTHON) -c '$(FITS)',false) || { echo "dexhot needs Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@sh docker/install-system-packages
	$(PYTHON) -m venv $(if $(ROS_DISTRO),--system-site-packages) $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip 2>&1 | grep -v WARNING || true
	$(BIN)/python -m pip install -q $(if $(ROS_DISTRO),-c config/constraints-jazzy.txt,-c config/constraints.txt) -e '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) build install log .pytest_cache .ruff_cache .mypy_cache .mutants
