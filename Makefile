# Everything runs from an empty machine with Python 3.11 or later and pip; no system package is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
SPEAK := .venv/speaking.stamp
DEVELOP := .venv/developing.stamp

.PHONY: demo flow test test-slow check format clean

demo: $(SPEAK)
	$(BIN)/python launch/demo.py out $(if $(PORTRAIT),--portrait '$(PORTRAIT)') $(if $(TEXT),--text '$(TEXT)')

# The options of launch/flow.sh, such as --steps, and where it writes.
FLOW ?= out/flow

flow: $(DEVELOP)
	PATH="$(CURDIR)/$(BIN):$$PATH" launch/flow.sh $(FLOW)

test: $(DEVELOP)
	$(BIN)/python -m pytest -q -n 2

test-slow: $(DEVELOP)
	$(BIN)/python -m pytest -q -n 2 -m slow

check: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(DEVELOP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv out build

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed"'
	$(PYTHON) -m venv .venv

$(SPEAK): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(DEVELOP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[train,corpus,beam,eval,dev]'
	touch $@ $(SPEAK)
