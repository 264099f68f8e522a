"""What speech over HTTP tells about itself: headers, trailers, and totals by key."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.api_server import ApiServer, api_server
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving

TEXT = "Hello there."


def parsed(field: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (each.partition("=") for each in field.split(", "))}


async def raw_request(server: ApiServer, path: str, *headers: str, version: str = "1.1", text: str = TEXT) -> bytes:
    """The response's bytes as they are on the wire: our HTTP clients hide trailers."""
    body = json.dumps({"text": text, "format": "pcm"})
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        f"POST {path} HTTP/{version}",
        f"Host: {host}:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", body]).encode())
    data = await reader.read()
    writer.close()
    return data


async def test_complete_audio_has_its_usage_in_headers(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server, server.post("/generate", text=TEXT) as response:
        usage = parsed(response.headers["Sayline-Usage"])
        timing = response.headers["Server-Timing"]
    assert (usage["taken-chars"], usage["billed-chars"], usage["retries"]) == (12, 12, 0)
    assert (usage["generated-ms"], usage["heard-ms"], usage["queued-ms"]) == (320, 320, 0)
    assert usage["first-audio-ms"] >= 0
    assert [part.partition(";")[0] for part in timing.split(", ")] == ["queue", "first-audio", "total"]


async def test_stream_tells_its_first_audio_at_once(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server, server.post("/stream", text=TEXT) as response:
        await response.read()
        assert [part.partition(";")[0] for part in response.headers["Server-Timing"].split(", ")] == [
            "queue",
            "first-audio",
        ]
        assert "Sayline-Usage" not in response.headers


@pytest.mark.parametrize("te", ["trailers", "gzip;q=0.5, Trailers"])
async def test_stream_ends_with_trailers_if_asked(engine: FakeEngine, tmp_path: Path, te: str) -> None:
    async with api_server(engine, tmp_path) as server:
        data = await raw_request(server, "/stream", f"TE: {te}")
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Trailer: Sayline-Usage, Server-Timing, Sayline-Warnings" in head
    *_, end = body.rpartition(b"\r\n0\r\n")
    usage, timing, *rest = end.decode().split("\r\n")
    assert rest == ["", ""]
    assert parsed(usage.removeprefix("Sayline-Usage: "))["generated-ms"] == 320
    assert timing.startswith("Server-Timing: queue;dur=0.0, first-audio;dur=")


async def test_client_with_trailers_gets_all_audio(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, headers={"TE": "trailers"}) as server:
        for _ in range(2):  # on one connection, which must stay usable
            async with server.post("/stream", text=TEXT, format="pcm") as response:
                assert len(await response.read()) == 4 * 1920 * 2


async def test_stream_has_no_trailers_unasked(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        data = await raw_request(server, "/stream")
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert b"Trailer" not in data


async def test_body_without_chunks_has_no_trailers(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        data = await raw_request(server, "/stream", "TE: trailers", version="1.0")
    assert len(data.partition(b"\r\n\r\n")[2]) == 4 * 1920 * 2


async def test_text_that_was_skipped_is_told_in_headers(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        for path in ("/generate", "/stream"):
            async with server.post(path, text="Hello мир and 你好.") as response:
                await response.read()
                warnings = response.headers["Sayline-Warnings"]
            told = '"text in Chinese characters was skipped", "text in the Cyrillic script was skipped"'
            assert warnings == told
            async with server.post(path, text=TEXT) as response:
                assert "Sayline-Warnings" not in response.headers


async def test_text_that_is_skipped_later_is_told_in_a_trailer(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        data = await raw_request(server, "/stream", "TE: trailers", text="Hello there. " * 20 + "мир it is.")
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Sayline-Warnings: " not in head
    assert b'\r\nSayline-Warnings: "text in the Cyrillic script was skipped"\r\n' in body


async def test_server_sent_events_end_with_the_warnings(engine: FakeEngine, tmp_path: Path) -> None:
    request = {"model": "x", "voice": "ann", "response_format": "pcm", "stream_format": "sse"}
    async with api_server(engine, tmp_path) as server:
        for text, warnings in ((TEXT, None), ("Hello мир", ["text in the Cyrillic script was skipped"])):
            async with server.post("/v1/audio/speech", input=text, **request) as response:
                last = json.loads((await response.text()).strip().rpartition("data: ")[2])
            assert (last["type"], last.get("warnings")) == ("speech.audio.done", warnings)


async def test_speech_is_billed_unless_it_fails(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        engine.runner.next_error = RuntimeError("broken")
        async with server.post("/generate", text=TEXT) as response:
            assert response.status == 500
        (row,) = server.shared.ledger.rows()
        assert (row.totals.taken_chars, row.totals.billed_chars) == (12, 0)
        async with server.post("/generate", text=TEXT, speed=2) as response:
            usage = parsed(response.headers["Sayline-Usage"])
        assert (usage["billed-chars"], usage["generated-ms"]) == (12, 160)
        (row,) = server.shared.ledger.rows()
        assert (row.key, row.totals.utterances, row.totals.billed_chars) == ("anonymous", 2, 12)


async def test_openai_events_end_with_the_usage(engine: FakeEngine, tmp_path: Path) -> None:
    async with (
        api_server(engine, tmp_path) as server,
        server.post("/v1/audio/speech", model="tts-1", input=TEXT, voice="alloy", stream_format="sse") as response,
    ):
        last = (await response.text()).strip().rpartition("data: ")[2]
    usage = json.loads(last)["usage"]
    assert (usage["output_tokens"], usage["billed_chars"], usage["heard_ms"]) == (4, 12, 320)


async def rows(address: str, key: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}/v1/usage", headers=headers) as response:
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
        return list((await response.json())["usage"])


async def test_key_sees_its_own_totals_and_an_operator_sees_all(engine: FakeEngine, tmp_path: Path) -> None:
    settings = Settings.load(data=str(tmp_path), api_key="single")
    keys = KeyFile(settings.keys_path)
    ann, bob, ops = keys.add("ann", Limits()), keys.add("bob", Limits()), keys.add("ops", Limits(), operator=True)
    for _ in range(2):  # the second server continues where the first ended
        server_engine = FakeEngine()
        async with serving(await make_app(settings, server_engine.model, server_engine)) as address:
            for key in (ann, bob):
                headers = {"Authorization": f"Bearer {key}"}
                async with connected_client(address, additional_headers=headers) as one:
                    await one.speak(TEXT)
                    await one.receive_until_final()
            seen = {name: await rows(address, key) for name, key in (("ann", ann), ("ops", ops), ("", "single"))}
    assert [(row["key"], row["totals"]["utterances"]) for row in seen["ann"]] == [("ann", 2)]
    assert [row["key"] for row in seen["ops"]] == ["ann", "bob"]
    assert seen["ops"] == seen[""]
    assert seen["ann"][0]["totals"]["billed_chars"] == 24
