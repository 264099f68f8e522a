"""How long the fuzz tests run: `FUZZ` times as long as in `make test`. All of them at once: `make fuzz`."""

import os

import pytest

FUZZ = int(os.environ.get("FUZZ", 1))
fuzz = pytest.mark.fuzz
