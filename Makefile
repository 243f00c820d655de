# `make demo` and `make test` set everything up in .venv; nothing else is needed but Python >= 3.11,
# git and a C/C++ compiler. PIP_ARGS passes extra arguments to pip, PYTHON chooses the interpreter.
PYTHON ?= python3
PIP_ARGS ?=
VENV ?= .venv
BIN := $(VENV)/bin
MODEL := motives-135m
DECISIONS ?= 150

# llama.cpp is compiled for this processor, without its image support. AMX stays off: virtual
# machines often show it to the compiler and then refuse to run it.
AMX := $(shell grep -qs amx_tile /proc/cpuinfo && $(CC) -mno-amx-tile -E -x c /dev/null >/dev/null 2>&1 && echo yes)
NO_AMX := -mno-amx-tile -mno-amx-int8 -mno-amx-bf16
AMX_ARGS := $(if $(AMX),-DCMAKE_C_FLAGS='$(NO_AMX)' -DCMAKE_CXX_FLAGS='$(NO_AMX)')
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF $(AMX_ARGS)

.PHONY: help setup setup-dev model demo first-steps test lint format clean

help:  ## Show this.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.setup: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade $(PIP_ARGS) 'pip>=25.1'
	@echo "Installing; llama.cpp is compiled once, which takes some minutes."
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[llama]'
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[llama,hub,training,dev]'
	@touch $@

setup: $(VENV)/.setup  ## Install into .venv.

setup-dev: $(VENV)/.setup-dev  ## The same with the tools for development.

model: setup  ## Fetch the default model (98 MB) and keep it in the best format for this machine.
	$(BIN)/daydream models pull $(MODEL)

demo: model  ## A town lives a day on a real model.
	$(BIN)/daydream simulate sim_examples/harbour_town --days 1 --max-decisions $(DECISIONS)

first-steps: model  ## Ten lines of Python ask one character.
	$(BIN)/python sim_examples/first_steps.py

lint: setup-dev  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## Everything: style, types, fast tests, tests on the real model.
	$(BIN)/daydream models pull $(MODEL)
	$(BIN)/pytest
	$(BIN)/pytest -m 'model or gpu'

format: setup-dev  ## Bring the code into shape.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what was built here; models and runs stay.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
