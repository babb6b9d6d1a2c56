# The two commands: `make demo` and `make test`. Each makes .venv with everything it needs first.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# Where a distribution is sourced its own interpreter, for which its rclpy is compiled; otherwise the first that fits.
PYTHONS := $(if $(ROS_DISTRO),/usr/bin/python3,python3 python3.12 python3.13 python3.11)
NAMED := $(filter command environment,$(firstword $(origin PYTHON)))
PYTHON ?= $(shell for p in $(PYTHONS); do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
# An interpreter that is named has an environment of its own, as .venv-3.13; .venv stays as it is.
VERSION := $(if $(NAMED),$(shell $(PYTHON) -c 'import sys; print("-%d.%d" % sys.version_info[:2])' 2>/dev/null))
ifneq ($(NAMED),)
ifneq ($(shell $(PYTHON) -c '$(FITS)' 2>/dev/null && echo fits),fits)
$(error $(PYTHON) is no Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.12)
endif
endif
VENV := .venv$(VERSION)
BIN := $(VENV)/bin
# rclpy comes from the distribution where one is sourced, otherwise from PyPI's wheels
comma := ,
EXTRAS := dev,video,train,hardware$(if $(ROS_DISTRO),,$(comma)ros)
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# one thread per process: the graph and the test runner share the cores
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test lint docs dist mutants setup clean

demo: $(READY)
	$(BIN)/dexhot demo $(ARGS)

# Without ARGS: what runs in real time, one by one, and beside it the linters and what only computes.
test: $(READY) $(if $(strip $(ARGS)),lint)
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m tools.run_tests
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(READY)
	$(BIN)/ruff check src tests tools launch examples setup.py
	$(BIN)/ruff format --check src tests tools launch examples setup.py
	$(BIN)/mypy
	$(BIN)/zensical build --strict

# the documentation's site, in site/; a broken link or anchor is an error (also part of lint)
docs: $(READY)
	$(BIN)/zensical build --strict

# sdist and wheel in dist/; the wheel is built from the sdist
dist: $(READY)
	$(BIN)/python -m build --outdir dist .

mutants: $(READY)
	$(BIN)/python -m tools.mutants $(ARGS)

setup: $(READY)

$(READY): pyproject.toml setup.py config/constraints.txt docker/system-packages.txt
	@$(if $(PYTHON),$(PYTHON) -c '$(FITS)',false) || { echo "dexhot needs Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@sh docker/install-system-packages zsh # whose completion is tested
	$(PYTHON) -m venv $(if $(ROS_DISTRO),--system-site-packages) $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip 2>&1 | grep -v WARNING || true
	@# torch's own index has the CPU build, 0.2 GB; PyPI's brings 4 GB of CUDA, unless the machine keeps another
	$(BIN)/python -m pip install -q --timeout 20 --retries 0 --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 2>/dev/null || true
	$(BIN)/python -m pip install -q $(if $(ROS_DISTRO),-c config/constraints-jazzy.txt,-c config/constraints.txt) -e '.[$(EXTRAS)]'
	@# whose own limits (torch before 2.11) would bring an older torch and CUDA; the tests read with what is here
	$(BIN)/python -m pip install -q --no-deps -c config/constraints.txt lerobot torchvision
	@touch $@

clean:
	rm -rf .venv .venv-3.1[123] build dist site .cache install log .pytest_cache .ruff_cache .mypy_cache .mutants
