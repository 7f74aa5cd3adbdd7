# make run      train a classifier of handwritten digits with NewtonCG, L-BFGS and Adam; ends with a table and a figure
# make test     run the tests                 make test-drop-in  those inside DeepXDE, PINA, neurodiffeq, GPyTorch, skorch
# make lint     ruff: rules and format        make format   mend what ruff can mend
# make types    mypy                          make wheel    build the wheel and import it
# make clean    remove .venv, caches and builds
# The first call installs everything into .venv; later calls install nothing until pyproject.toml or constraints.txt change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_VERSION := 2.13.0
# Where pip finds torch; empty: where pip is configured to look. On another machine for example
# make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Further arguments of pytest, for example make test PYTEST_ARGS="-k krylov -m ''"
PYTEST_ARGS ?= -n auto

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
DROP_IN := $(VENV)/drop-in

.DEFAULT_GOAL := help
.PHONY: help install run test test-drop-in lint format types wheel constraints clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

install: $(INSTALLED)

# torch goes first and alone: resolved together with the rest, pip could pick a build with CUDA packages on a CPU machine.
# The second line of venv is for systems that ship Python without ensurepip.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "newtoncg needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH_VERSION)
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

run: $(INSTALLED)
	$(BIN)/python -m experiments compare configs/digits/*.yaml --fresh

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Those packages bring many others: they get an environment of their own, so that none slips into constraints.txt.
test-drop-in: $(DROP_IN)/.installed
	$(DROP_IN)/bin/python -m pytest -m drop_in tests/drop_in

$(DROP_IN)/.installed: $(INSTALLED)
	$(BIN)/python -m venv --without-pip $(DROP_IN)
	$(PIP) --python $(DROP_IN)/bin/python install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH_VERSION)
	$(PIP) --python $(DROP_IN)/bin/python install --constraint constraints.txt --no-build-isolation --editable '.[dev,drop-in]'
	@touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED)
	$(BIN)/mypy

# The wheel is unpacked by itself and imported from there, so that what it lacks is noticed.
wheel: $(INSTALLED)
	rm -rf build dist
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(PIP) install --quiet --no-deps --target build/wheel dist/*.whl
	cd build/wheel && test -f newtoncg/py.typed && PYTHONPATH=. ../../$(BIN)/python -W error -c \
	  'import newtoncg, pathlib; assert pathlib.Path(newtoncg.__file__).is_relative_to(pathlib.Path.cwd()); newtoncg.NewtonCG'

constraints: $(INSTALLED)
	{ sed -n 1p constraints.txt; $(PIP) freeze --all --exclude pip --exclude-editable | sed 's/^\(torch==[0-9.]*\)+.*/\1/'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis lightning_logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
