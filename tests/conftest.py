"""The embedded model, loaded once for all tests; and no test that goes by the clock."""

import os
import signal
from pathlib import Path

# Before torch is imported, and for all processes that tests start: threads of one operation wait for each other, which
# wastes most of a machine that several tests share.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model

settings.register_profile("patient", deadline=None)  # a machine may be busy
settings.load_profile("patient")
# Where a shell runs this in the background Ctrl-C is ignored, and would be by the programs that are tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Only these tests are traced for coverage, which slows Python by half: they cover the files that pyproject.toml lists.
COVERED = tuple(
    Path(__file__).parent / folder
    for folder in (
        "clients",
        "engine/audio",
        "engine/cloning",
        "server/access",
        "server/compat",
        "server/http",
        "server/lexicons",
        "server/voices",
        "server/websocket",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(folder in item.path.parents for folder in COVERED):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model.load(find_checkpoint("embedded"), precision="float32")
