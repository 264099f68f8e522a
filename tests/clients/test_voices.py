"""Voices through the Python client, on the real endpoints with a fake cloning model."""

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sayline
import sayline.sync
from aiohttp import web
from sayline import Refused, VoiceFailed, Voices
from sayline.sync import LOOP

from sayline_tts.server.access.limits import Limits
from tests.clients.scripted import TONE, ScriptedServer
from tests.engine.sounds import speech, wav
from tests.server.stream_client import serving
from tests.server.voice_server import VoiceServer, voice_server

RECORDING = wav(speech(6))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[VoiceServer]:
    async with voice_server(tmp_path, keys={"ann": Limits()}) as running:
        yield running


def voices_of(address: str, key: str | None = None) -> Voices:
    async def current_key() -> str | None:
        return key

    return Voices(f"ws://{address}", current_key)


async def test_voice_is_cloned_listed_downloaded_and_deleted(server: VoiceServer, tmp_path: Path) -> None:
    voices = voices_of(server.address, server.keys["ann"])
    (tmp_path / "me.wav").write_bytes(RECORDING)
    made = await voices.clone(tmp_path / "me.wav", "Ann O'Hara é", consent=True)
    assert (made.name, made.kind) == ("Ann O'Hara é", "cloned")
    assert made.duration_s == pytest.approx(6, abs=0.5)
    listed = await voices.list()
    assert [voice.kind for voice in listed if voice.id != made.id] == ["built_in"] * (len(listed) - 1)
    assert made.id in [voice.id for voice in listed]
    again = await voices.clone(await voices.download(made.name), consent=True)
    assert again.name == again.id
    await voices.delete(made.name)
    await voices.delete(again.id)
    assert not [voice for voice in await voices.list() if voice.kind == "cloned"]


async def test_advice_is_told(server: VoiceServer) -> None:
    made = await voices_of(server.address, server.keys["ann"]).clone(wav(speech(3)), consent=True)
    assert any("5 to 30 s" in advice for advice in made.advice), made.advice


async def test_nothing_is_sent_without_consent() -> None:
    with pytest.raises(VoiceFailed, match="consent=True") as caught:
        await voices_of("127.0.0.1:9").clone(RECORDING, consent=False)
    assert caught.value.code == "consent"


async def test_refusals_have_the_servers_code_and_message(server: VoiceServer) -> None:
    voices = voices_of(server.address, server.keys["ann"])
    with pytest.raises(VoiceFailed, match="no cloned voice") as caught:
        await voices.delete("nobody/../x")
    assert caught.value.code == "no_such_voice"
    with pytest.raises(VoiceFailed) as caught:
        await voices_of(server.address).list()
    assert caught.value.code == "invalid_api_key"


async def test_server_that_is_not_there() -> None:
    with pytest.raises(Refused, match="check the address"):
        await voices_of("127.0.0.1:9").list()


@pytest.mark.parametrize(("body", "message"), [("Bad Gateway", "Bad Gateway"), ("", "the server answered 502")])
async def test_answer_of_another_server_is_passed_on(body: str, message: str) -> None:
    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=502, text=body)

    app = web.Application()
    app.router.add_get("/v1/voices", broken)
    async with serving(app) as address:
        with pytest.raises(VoiceFailed, match=message) as caught:
            await voices_of(address).list()
    assert caught.value.code == "http_502"


async def test_connection_that_breaks_is_an_error() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match="check the address"):
            await voices_of(f"127.0.0.1:{port}").list()


async def test_proxies_are_used_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.json_response({"voices": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy)
    async with serving(app) as address:
        monkeypatch.setenv("http_proxy", f"http://{address}")
        monkeypatch.setenv("no_proxy", "")
        assert await voices_of("speech.example").list() == []
        with pytest.raises(Refused):
            await voices_of("127.0.0.1:9").list()
    assert asked == ["http://speech.example/v1/voices"]


async def test_voices_without_async(server: VoiceServer) -> None:
    def everything() -> None:
        LOOP.acquire()
        try:
            voices = sayline.sync.Voices(voices_of(server.address, server.keys["ann"]))
            made = voices.clone(RECORDING, "Me", consent=True)
            assert made in voices.list()
            assert voices.download(made.id)
            voices.delete(made.id)
        finally:
            LOOP.release()

    await asyncio.to_thread(everything)


def saved(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        samples: bytes = file.readframes(file.getnframes())
        return samples


async def test_text_is_saved_to_a_file(tmp_path: Path) -> None:
    async with (
        ScriptedServer() as server,
        sayline.connect(server.url) as session,
        session.context(format="pcm") as speech,
    ):
        await speech.save(tmp_path / "hello.wav", "Hello there. How are you today?")
    assert saved(tmp_path / "hello.wav") == TONE * 6


async def test_text_is_saved_without_async(tmp_path: Path) -> None:
    def save(url: str) -> None:
        with sayline.sync.connect(url) as session, session.context(format="pcm") as speech:
            assert isinstance(session.voices, sayline.sync.Voices)
            speech.save(tmp_path / "hello.wav", "Hello there.")

    async with ScriptedServer() as server:
        await asyncio.to_thread(save, server.url)
    assert saved(tmp_path / "hello.wav") == TONE * 2
