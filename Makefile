# Two commands: `make run` sets up and starts the server, `make test` sets up and runs every check.

PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml clients/python/pyproject.toml constraints.txt
# Pinned versions, so that a new clone next year is the same as today's. Editable, so that the checkout is what runs.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test format clean

run: .venv/ready
	$(BIN)/sayline serve $(ARGS)

test: .venv/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

format: .venv/ready-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/ready: $(PROJECTS)
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Sayline needs Python 3.11: make run PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	@echo "Installing the pinned dependencies into .venv (some hundreds of MB, once) ..."
	$(INSTALL) -e clients/python -e .
	@touch $@

.venv/ready-for-tests: .venv/ready
	$(INSTALL) -e clients/python -e '.[test]'
	@touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
