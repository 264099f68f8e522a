# Targets for users: `make run` sets up and starts the server; `make test` sets up and runs the tests; `make test-slow` runs
# the long ones (parity of every published shape, simulations, trainings, soak). `make bench` measures this machine, `make
# bench-peer` measures the reference implementation in turn with it, `make soak` runs a soak test, `make fuzz` fuzzes for half
# an hour, `make screenshots` photographs the page, `make evaluate` measures the embedded voice, `make dist` builds the
# packages. ARGS="--help" lists options.

PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml clients/python/pyproject.toml constraints.txt
# Pinned versions, for reproducible environments. Editable, so that the checkout is what runs.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Type-checks JavaScript, if npm is installed.
TYPESCRIPT := $(if $(shell command -v npm),clients/js/node_modules/.package-lock.json)
TSC := clients/js/node_modules/.bin/tsc

.PHONY: run test check-types test-agents test-slow dist bench bench-peer evaluate soak fuzz screenshots picture format clean

run: .venv/ready
	$(BIN)/sayline serve $(ARGS)

# Workers steal tests from each other, so that all are busy to the end. One more than two cores need, because tests also wait.
PYTEST := $(BIN)/pytest --numprocesses 3 --dist worksteal
# Tests that run again in asyncio's debug mode, which finds calls from the wrong thread and doubles the processor time.
ASYNCIO := tests/clients tests/server/synthesis tests/server/websocket

test: .venv/ready-for-tests .venv-agents/ready $(TYPESCRIPT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --jobs 2 check-types test-agents
	$(PYTEST) $(if $(ARGS),$(ARGS),-m "not slow" --cov --cov-report term)

# Side by side: type checks take one core, and the tests with other vendors' clients mostly wait for audio.
check-types:
	$(BIN)/mypy
	.venv-agents/bin/mypy --cache-dir .mypy_cache/agents --follow-imports silent clients/python/sayline/agents tests/agents/*.py
	$(if $(TYPESCRIPT),$(TSC) -p clients/js && $(TSC) -p tests/web,@echo "npm is not installed: JavaScript is not type-checked")

test-agents:
	.venv-agents/bin/python -m pytest --confcutdir=tests/agents tests/agents tests/examples/test_llm_speaks.py

test-slow: .venv/ready-for-tests
	$(PYTEST) -m slow $(ARGS)
	$(if $(ARGS),,$(PYTEST) -m "not slow" -o asyncio_debug=true $(ASYNCIO))

# Wheels of the server and the Python client, and the JavaScript package, in dist/.
dist: .venv/ready
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist . clients/python
	$(if $(shell command -v npm),npm pack --silent --pack-destination dist ./clients/js,@echo "npm is not installed: no JavaScript package")

bench: .venv/ready
	$(BIN)/sayline bench $(ARGS)

bench-peer: .venv/ready .venv-peer/ready
	$(BIN)/python -m sayline_tts.bench.reference.reference --reference .venv-peer/bin/pocket-tts $(ARGS)

evaluate: .venv/ready-to-evaluate
	$(BIN)/python -m training.evaluation.evaluate --out docs/embedded-voice --table docs/embedded-voice.md $(ARGS)
	$(BIN)/python -m training.evaluation.timestamp_accuracy --out docs/word-timing --table docs/word-timing.md
	$(BIN)/python -m training.evaluation.new_speaker --work build/new-speaker --out docs/embedded-voice/new-speaker.json \
		--table docs/embedded-voice.md
	$(BIN)/python -m training.evaluation.recording_variants --out docs/embedded-voice/recording-variants.json \
		--table docs/embedded-voice.md

soak: .venv/ready
	$(BIN)/python -m sayline_tts.bench.soak.soak $(ARGS)

fuzz: .venv/ready-for-tests
	FUZZ=$(or $(FUZZ),100) $(BIN)/pytest -m fuzz $(ARGS)

screenshots: .venv/ready-for-tests
	$(BIN)/python -m tests.web.screenshots $(or $(ARGS),build/screenshots)

# The picture of the README.
picture: .venv/ready-for-tests
	$(BIN)/python -m tests.web.screenshots --picture docs/page.webp

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

# The synthesizers that the embedded voice is compared with, and the speaker encoder.
.venv/ready-to-evaluate: .venv/ready-for-tests
	$(INSTALL) -e clients/python -e '.[test,teachers]'
	$(INSTALL) --no-deps Resemblyzer==0.1.4
	@touch $@

# Pipecat, LiveKit and the LLM SDKs, in an environment of their own, because they pin many dependencies.
.venv-agents/ready: tests/agents/constraints.txt clients/python/pyproject.toml
	$(PYTHON) -m venv .venv-agents
	@echo "Installing agent frameworks into .venv-agents, for the tests of the adapters ..."
	.venv-agents/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
		-c tests/agents/constraints.txt -e 'clients/python[livekit,pipecat]' \
		anthropic cartesia deepgram-sdk elevenlabs gradium langchain-core livekit-plugins-cartesia \
		livekit-plugins-deepgram livekit-plugins-elevenlabs livekit-plugins-gradium mypy openai opuslib pytest pytest-asyncio wyoming
	@touch $@

clients/js/node_modules/.package-lock.json: clients/js/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix clients/js
	@touch $@

# The reference implementation, in an environment of its own, at the version that constraints.txt pins.
.venv-peer/ready: constraints.txt
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pocket-tts
	@touch $@

clean:
	rm -rf .venv .venv-agents .venv-peer clients/js/node_modules build .mypy_cache .pytest_cache .ruff_cache .hypothesis
