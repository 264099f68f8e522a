# `make run` sets up and starts the server, `make test` sets up and runs every check. `make bench` measures, and
# `make bench-peer` measures the reference implementation in turn with it. `make soak` lets strangers in for a while.
# `make fuzz` sends rubbish for half an hour. ARGS="--help" tells what each of them takes.

PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml clients/python/pyproject.toml constraints.txt
# Pinned versions, so that a new clone next year is the same as today's. Editable, so that the checkout is what runs.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test bench bench-peer soak fuzz format clean

run: .venv/ready
	$(BIN)/sayline serve $(ARGS)

test: .venv/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/coverage run -m pytest $(ARGS)
	$(if $(ARGS),,$(BIN)/coverage report)

bench: .venv/ready
	$(BIN)/sayline bench $(ARGS)

bench-peer: .venv/ready .venv-peer/ready
	$(BIN)/python -m bench.peer --reference .venv-peer/bin/pocket-tts $(ARGS)

soak: .venv/ready
	$(BIN)/python -m bench.soak $(ARGS)

fuzz: .venv/ready-for-tests
	FUZZ=$(or $(FUZZ),100) $(BIN)/pytest -m fuzz $(ARGS)

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

# In an environment of its own, as its users have it; at the version that constraints.txt pins.
.venv-peer/ready: constraints.txt
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pocket-tts
	@touch $@

clean:
	rm -rf .venv .venv-peer build .mypy_cache .pytest_cache .ruff_cache .hypothesis
