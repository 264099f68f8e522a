from pathlib import Path

import aiohttp
import pytest

from sayline_tts.server.app import make_app
from sayline_tts.server.http import page
from sayline_tts.server.http.page import page_root
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text(), response.headers.get("Cache-Control", "")


async def test_page_and_client_are_served(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("web/index.html", "<p>page"), ("web/page.js", "1"), ("clients/js/sayline.js", "2")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(page, "page_root", lambda: tmp_path)
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        assert await get(f"http://{address}/") == (200, "<p>page", "no-cache")
        assert await get(f"http://{address}/web/page.js") == (200, "1", "no-cache")
        assert await get(f"http://{address}/clients/js/sayline.js") == (200, "2", "no-cache")
        assert (await get(f"http://{address}/web/%2e%2e/secret"))[0] in (403, 404)
        assert (await get(f"http://{address}/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("host", "streams"),
    [
        ("localhost:8000", " ws://localhost:8000 wss://localhost:8000"),
        ("[::1]:80", " ws://[::1]:80 wss://[::1]:80"),
        ("a; x", ""),
    ],
)
def test_page_policy_allows_this_server_only(host: str, streams: str) -> None:
    policy = page._policy(host)
    assert policy.startswith(f"default-src 'self'; connect-src 'self'{streams}; object-src")
    assert "unsafe" not in policy


async def test_missing_page_is_explained(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "page_root", lambda: None)
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        status, text, _ = await get(f"http://{address}/")
    assert (status, "/v1/stream" in text) == (404, True)


def test_page_root_is_the_package_with_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "__file__", str(tmp_path / "server" / "http" / "page.py"))
    assert page_root() is None
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").touch()
    assert page_root() == tmp_path


async def test_programs_are_told_the_base_url_of_each_vendor_s_clients(address: str) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}/", headers={"Accept": "application/json"}) as response,
    ):
        told = (await response.json())["base_urls"]
    assert told["OpenAI"] == f"http://{address}/v1"
    assert told["ElevenLabs"] == f"http://{address}"
