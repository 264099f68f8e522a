from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.peer import running


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PORT", "SAYLINE_PORT", "SAYLINE_API_KEY", "SAYLINE_HOST", "SAYLINE_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path / "data"))  # whoever runs the tests may have keys and voices


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def address(engine: FakeEngine) -> AsyncIterator[str]:
    """A server whose model is fake and whose sockets are real."""
    async with running(await make_app(Settings(), engine.model, engine)) as where:
        yield where
