from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PORT", "SAYLINE_PORT", "SAYLINE_API_KEY", "SAYLINE_HOST", "SAYLINE_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path / "data"))  # not the keys and voices of the user


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def address(engine: FakeEngine) -> AsyncIterator[str]:
    """A server with a fake model and real sockets."""
    async with serving(await make_app(Settings(), engine.model, engine)) as where:
        yield where
