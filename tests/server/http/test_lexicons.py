"""`/v1/lexicons`, and speech with lexicons, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sayline_tts.engine.text import lexicon_files
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.http import lexicons
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving

NAMES = {"entries": [{"written": "Nguyen", "said": "win or so"}, {"written": "Byrne", "said": "burn", "voice": "bob"}]}
WORD_BYTES = 2 * 1920 * 2  # of audio of the fake engine


@dataclass
class LexiconServer:
    url: str
    client: aiohttp.ClientSession
    keys: dict[str, str]

    async def request(
        self, method: str, path: str, key: str = "ann", json: Any = None, data: Any = None, **headers: str
    ) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"Authorization": f"Bearer {self.keys[key]}"} if key else {}
        async with self.client.request(method, self.url + path, json=json, data=data, headers=headers) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.read()

    async def words(self, path: str = "/generate", key: str = "ann", **fields: Any) -> int:
        """The number of words that were spoken."""
        status, data = await self.request("POST", path, key, {"text": "Dr Nguyen.", "format": "pcm", **fields})
        assert status == 200, data
        return round(len(data) / WORD_BYTES)


@asynccontextmanager
async def lexicon_server(folder: Path, *names: str, **settings: Any) -> AsyncIterator[LexiconServer]:
    loaded = Settings.load(data=str(folder), **settings)
    keys, engine = KeyFile(loaded.keys_path), FakeEngine()
    secrets = {name: keys.add(name, Limits()) for name in names}
    app = await make_app(loaded, engine.model, engine)
    async with serving(app) as address, aiohttp.ClientSession() as client:
        yield LexiconServer(f"http://{address}", client, secrets)


async def test_life_of_a_lexicon(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path, "ann", "bob") as server:
        stored = {"name": "names", "size": 2, "shared": False}
        assert await server.request("PUT", "/v1/lexicons/names", json=NAMES) == (200, {**stored, "skipped": 0})
        assert await server.request("GET", "/v1/lexicons") == (200, {"lexicons": [stored]})
        assert await server.request("GET", "/v1/lexicons/names") == (200, {**stored, **NAMES})
        csv = b"written,said,match_case,language,voice\nNguyen,win or so,,,\nByrne,burn,,,bob\n"
        assert await server.request("GET", "/v1/lexicons/names", Accept="text/csv") == (200, csv)
        assert await server.request("GET", "/v1/lexicons", "bob") == (200, {"lexicons": []})
        for method in ("GET", "DELETE"):
            status, told = await server.request(method, "/v1/lexicons/names", "bob")
            assert (status, told["error"]["code"]) == (404, "no_such_lexicon")
        assert await server.request("DELETE", "/v1/lexicons/names") == (204, b"")
        assert (await server.request("GET", "/v1/lexicons/names"))[0] == 404


async def test_other_formats_are_taken(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path, "ann") as server:
        pls = b"<lexicon><lexeme><grapheme>W3C</grapheme><alias>x y</alias></lexeme><lexeme/></lexicon>"
        for data, kind, counted in ((b"Nguyen,win", "text/csv", (1, 0)), (pls, "application/pls+xml", (1, 1))):
            status, told = await server.request("PUT", "/v1/lexicons/x", data=data, Content_Type=kind)
            assert (status, told["size"], told["skipped"]) == (200, *counted)


@pytest.mark.parametrize(
    ("path", "data", "kind", "status", "code"),
    [
        ("x", b'{"entries":[{"written":"","said":"x"}]}', "application/json", 400, "bad_lexicon"),
        ("x", b'{"entries":[{"written":"x","said":"x","case":1}]}', "application/json", 400, "bad_request"),
        ("x", b"<!DOCTYPE x><lexicon/>", "text/xml", 400, "bad_lexicon"),
        ("x", b"one column", "text/csv", 400, "bad_lexicon"),
        ("x", b"a,b", "text/plain", 415, "unsupported_media_type"),
        ("x%20y", b"a,b", "text/csv", 400, "bad_lexicon_name"),
        ("x", b"a,b\nc,d", "text/csv", 409, "lexicon_quota"),
    ],
)
async def test_unusable_lexicons_are_refused(
    tmp_path: Path, path: str, data: bytes, kind: str, status: int, code: str
) -> None:
    async with lexicon_server(tmp_path, "ann", max_lexicon_entries=1) as server:
        refused, told = await server.request("PUT", f"/v1/lexicons/{path}", data=data, Content_Type=kind)
        assert (refused, told["error"]["code"]) == (status, code)


async def test_slow_and_large_bodies_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pause_s: float) -> AsyncIterator[bytes]:
        yield b"a,b\n" * 100
        await asyncio.sleep(pause_s)
        yield b"a,b\n"

    monkeypatch.setattr(lexicon_files, "MAX_BYTES", 402)
    async with lexicon_server(tmp_path, "ann") as server:
        for pause_s, limit_s, refused in ((0.5, 0.05, (408, "too_slow")), (0.0, 20.0, (413, "too_large"))):
            monkeypatch.setattr(lexicons, "BODY_S", limit_s)
            put = server.request("PUT", "/v1/lexicons/x", data=body(pause_s), Content_Type="text/csv")
            status, told = await put
            assert (status, told["error"]["code"]) == refused


async def test_lexicons_without_a_key_are_everybodys(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path) as server:
        assert (await server.request("PUT", "/v1/lexicons/default", "", json=NAMES))[1]["shared"]
    async with lexicon_server(tmp_path, "ann") as server:
        assert (await server.request("GET", "/v1/lexicons/default"))[0] == 200
        status, told = await server.request("DELETE", "/v1/lexicons/default")
        assert (status, told["error"]["code"]) == (403, "not_yours")
        assert await server.words() == 4


async def test_speech_follows_the_lexicons_that_are_named(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path, "ann", "bob") as server:
        await server.request("PUT", "/v1/lexicons/default", json=NAMES)
        await server.request("PUT", "/v1/lexicons/none", json={"entries": []})
        assert await server.words() == await server.words(lexicons=["none", "default"]) == 4
        assert await server.words(lexicons=[]) == await server.words(key="bob") == 2
        text: dict[str, Any] = {"text": "Byrne Nguyen", "seed": 1}
        assert await server.words(**text, voice="bob", lexicons=["default"]) == 4
        changed = {"entries": [{"written": "Nguyen", "said": "one two"}]}
        await server.request("PUT", "/v1/lexicons/default", json=changed)
        assert await server.words(**text, voice="bob", lexicons=["default"]) == 3
        openai: dict[str, Any] = {"model": "x", "input": "Nguyen", "voice": "ann", "response_format": "pcm"}
        assert await server.words("/v1/audio/speech", **openai) == 2
        assert await server.words("/v1/audio/speech", **openai, lexicons=["none"]) == 1


async def test_forms_name_lexicons_too(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path, "ann") as server:
        await server.request("PUT", "/v1/lexicons/names", json=NAMES)
        sizes = []
        for names in ("names", "names, names", ""):
            form = {"text": "Dr Nguyen", "lexicons": names}
            sizes.append(len((await server.request("POST", "/tts", data=form))[1]))
        assert sizes[0] == sizes[1] > sizes[2]


async def test_unknown_lexicon_is_refused(tmp_path: Path) -> None:
    async with lexicon_server(tmp_path, "ann") as server:
        status, told = await server.request("POST", "/generate", json={"text": "x", "lexicons": ["nope"]})
        assert (status, told["error"]["code"], told["error"]["param"]) == (400, "unknown_lexicon", "lexicons")
