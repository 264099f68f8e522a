"""Import the agent frameworks, which live in an environment of their own (constraints.txt); elsewhere tests skip."""

import importlib.util
import warnings
from collections.abc import Iterator

import pytest

from tests.agents.embedded_server import EmbeddedServer, embedded_server

with warnings.catch_warnings():  # what they say of themselves when they are loaded is not about us
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("pipecat"):
        import pipecat.processors.aggregators.llm_response_universal
        import pipecat.services.tts_service
        import pipecat.workers.runner  # noqa: F401
    if importlib.util.find_spec("livekit"):
        import livekit.agents  # noqa: F401


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """For the tests of other vendors' clients."""
    with embedded_server(tmp_path_factory.mktemp("server")) as running:
        yield running
