"""The embedded model, loaded once for all tests; and no test that goes by the clock."""

import os
import signal
from collections.abc import Generator
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
        "server/fleet",
        "server/http",
        "server/lexicons",
        "server/voices",
        "server/websocket",
    )
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Trace a test with its fixtures, or none of it: pytest's own work for a small test is most of it."""
    plugin = item.config.pluginmanager.getplugin("_cov")
    if plugin is not None and (controller := plugin.cov_controller) is not None:
        traced = any(folder in item.path.parents for folder in COVERED)
        if traced and not controller.started:
            controller.resume()
        elif controller.started and not traced:
            controller.pause()
    return (yield)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model.load(find_checkpoint("embedded"), precision="float32")
