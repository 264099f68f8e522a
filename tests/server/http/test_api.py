import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import torch

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.engine.models.voice import Voice
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.audio.formats import FORMAT_SPECS, Format
from sayline_tts.server.synthesis.repeat_cache import RepeatCache
from sayline_tts.server.voices.aliases import OPENAI_VOICES
from tests.server.api_server import ApiServer, api_server
from tests.server.audio.test_formats import decoded
from tests.server.fakes import FRAME_SAMPLES, FRAMES_PER_WORD, FakeEngine, FakeModel, frame

PATHS = ("/generate", "/stream")
FRAME_BYTES = 2 * FRAME_SAMPLES
LONG = "word " * 500


@pytest.fixture
async def server(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with api_server(engine, tmp_path) as where:
        yield where


def spoken(seed: int, frames: int) -> bytes:
    return b"".join(to_pcm(frame(seed, number)) for number in range(frames))


# Responses


@pytest.mark.parametrize("path", PATHS)
async def test_audio_is_the_models_output(server: ApiServer, path: str) -> None:
    async with server.post(path, text="Hello there.", voice="bob", format="pcm", seed=7) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "audio/pcm;rate=24000"
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.read() == spoken(7, 2 * FRAMES_PER_WORD)


async def test_generate_has_true_sizes_in_the_header_and_stream_does_not(server: ApiServer) -> None:
    for path, chunked in (("/generate", False), ("/stream", True)):
        async with server.post(path, text="Hello there.", seed=7) as response:
            wav = await response.read()
            assert (response.content_type, "Content-Length" not in response.headers) == ("audio/wav", chunked)
        assert wav[44:] == spoken(7, 4)
        size = int.from_bytes(wav[40:44], "little")
        assert size == (2**32 - 1 if chunked else len(wav) - 44)


async def test_repeated_speech_has_true_sizes_in_the_header_of_a_stream(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        server.shared.engine_loop.streams.repeats = RepeatCache(10**7)
        text: dict[str, Any] = {"text": "Hello. [pause:0.8] Bye.", "voice": "ann", "seed": 7, "cache": True}
        sizes = list[list[int]]()
        for fields in ({}, {}, {"sample_rate_hz": 8000}, {"speed": 1.5}):
            async with server.post("/stream", **text, **fields) as response:
                wav = await response.read()
            sizes.append([int.from_bytes(wav[at : at + 4], "little") for at in (4, 40)])
            if len(sizes) == 2:
                assert sizes[1] == [len(wav) - 8, len(wav) - 44]
    assert sizes[0] == sizes[2] == sizes[3] == [2**32 - 1] * 2


@pytest.mark.parametrize("format", Format)
async def test_every_format_has_its_content_type(server: ApiServer, format: str) -> None:
    async with server.post("/stream", text="One two three four.", format=format, seed=3) as response:
        content_type, data = response.headers["Content-Type"], await response.read()
    assert content_type.partition(";")[0] == FORMAT_SPECS[Format(format)].content_type.partition(";")[0]
    rate_hz = int(content_type.partition("rate=")[2].partition(";")[0] or 24_000)
    output, output_hz = decoded(format, data, rate_hz)
    assert 0.64 <= len(output) / output_hz < 0.74


async def test_speed_shortens_the_audio(server: ApiServer) -> None:
    async with server.post("/stream", text="One two three four.", format="pcm", speed=2) as response:
        data = await response.read()
    assert abs(len(data) / 48_000 - 0.32) < 0.03


async def test_body_starts_with_the_first_frame(server: ApiServer, engine: FakeEngine) -> None:
    engine.runner.decode_queue.hold()
    pending = asyncio.create_task(server.client.post(server.url + "/stream", json={"text": LONG, "format": "pcm"}))
    await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
    assert not pending.done()  # no response before the first frame
    engine.runner.decode_queue.resume(1)
    async with await pending as response:
        await response.content.readexactly(FRAME_BYTES)
        await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
        engine.runner.decode_queue.resume(1)
        await response.content.readexactly(FRAME_BYTES)
        engine.runner.decode_queue.resume()


async def test_generation_pauses_while_the_client_does_not_read(
    server: ApiServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So memory is bounded."""
    may_write = asyncio.Event()
    original = aiohttp.web.StreamResponse.write

    async def write(self: aiohttp.web.StreamResponse, data: Any) -> None:
        await may_write.wait()
        await original(self, data)

    monkeypatch.setattr(aiohttp.web.StreamResponse, "write", write)
    pending = asyncio.create_task(server.client.post(server.url + "/stream", json={"text": LONG, "format": "pcm"}))
    await engine.wait_until(lambda: any(each.lead_ms > each.buffer.low_water_ms for each in engine.utterances))
    assert not engine.schedule()
    assert engine.utterances[0].produced_ms < 7_000
    may_write.set()
    async with await pending as response:
        assert len(await response.read()) == 500 * FRAMES_PER_WORD * FRAME_BYTES


async def test_tts_accepts_a_form_and_returns_wav(server: ApiServer) -> None:
    form = aiohttp.FormData({"text": "Hello there.", "voice_url": "bob"}, default_to_multipart=True)
    for fields in (form, {"text": "Hello there."}):
        async with server.client.post(server.url + "/tts", data=fields) as response:
            assert (response.status, response.content_type) == (200, "audio/wav")
            assert "filename=generated_speech.wav" in response.headers["Content-Disposition"]
            assert len(await response.read()) == 44 + 4 * FRAME_BYTES


# OpenAI


def load_any(model: FakeModel, name: str) -> Voice:
    """Also the voice that FakeModel cannot load."""
    model.loaded.append(name)
    return Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))


def openai_request(**fields: Any) -> dict[str, Any]:
    return {"model": "tts-1", "input": "Hello there.", "voice": "alloy", **fields}


@pytest.mark.parametrize(
    ("format", "content_type"),
    [
        (None, "audio/mpeg"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("aac", "audio/aac"),
        ("flac", "audio/flac"), ("wav", "audio/wav"), ("pcm", "audio/pcm"),
    ],
)  # fmt: skip
async def test_openai_formats_have_plain_content_types(
    server: ApiServer, format: str | None, content_type: str
) -> None:
    async with server.post("/v1/audio/speech", **openai_request(response_format=format)) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)
        output, output_hz = decoded(format or "mp3", await response.read(), 24_000)
    assert 0.32 <= len(output) / output_hz < 0.42


async def test_openai_events(server: ApiServer) -> None:
    body = openai_request(response_format="pcm", stream_format="sse")
    async with server.post("/v1/audio/speech", **body) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        text = await response.text()
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    *audio, done = events
    assert {event["type"] for event in audio} == {"speech.audio.delta"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in audio)) == 4 * FRAME_BYTES
    assert done["type"] == "speech.audio.done"
    assert done["usage"].items() >= {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}.items()


@pytest.mark.parametrize("name", [*OPENAI_VOICES, "bob"])
async def test_openai_voice_names_map_to_own_voices(
    server: ApiServer, engine: FakeEngine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.server.fakes.FakeModel.load_voice", load_any)
    for voice in (name, {"id": name}):
        async with server.post("/v1/audio/speech", **openai_request(voice=voice, speed=1.0)) as response:
            assert response.status == 200
    assert set(engine.fake_model.loaded) <= {"ann", "bob", "eve"}


async def test_unusual_openai_requests_are_accepted(server: ApiServer) -> None:
    for more in ({"speed": 0.25}, {"speed": 4}, {"speed": None}, {"instructions": "Be glad."}, {"unknown": [1]}):
        async with server.post("/v1/audio/speech", **openai_request(**more)) as response:
            assert response.status == 200, more


async def test_model_is_listed_in_openai_format(server: ApiServer) -> None:
    async with server.client.get(server.url + "/v1/models") as response:
        content = await response.json()
    assert content["object"] == "list"
    assert [(each["id"], each["object"]) for each in content["data"]] == [("fake", "model")]


@pytest.mark.parametrize("path", ["/voices", "/v1/audio/voices"])
async def test_voices_are_listed(server: ApiServer, path: str) -> None:
    async with server.client.get(server.url + path) as response:
        content = await response.json()
    assert content["default"] == "ann"
    assert content["voices"] == [{"id": name, "name": name} for name in ("ann", "bob", "eve")]


# Errors


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "bad_request", "text"),
        ({"text": 5}, "bad_request", "text"),
        ({"text": ""}, "bad_text", "text"),
        ({"text": " \n "}, "bad_text", "text"),
        ({"text": "..."}, "bad_text", None),
        ({"text": "Привет, мир!"}, "bad_text", None),
        ({"text": "Hi.", "voice": "zoe"}, "unknown_voice", "voice"),
        ({"text": "Hi.", "voice": "../../etc/passwd"}, "unknown_voice", "voice"),
        ({"text": "Hi.", "format": "ogg"}, "bad_format", "format"),
        ({"text": "Hi.", "format": "opus", "sample_rate_hz": 44_100}, "bad_format", "format"),
        ({"text": "Hi.", "sample_rate_hz": 7_000}, "bad_request", "sample_rate_hz"),
        ({"text": "Hi.", "speed": 2.1}, "bad_request", "speed"),
        ({"text": "Hi.", "seed": -1}, "bad_request", "seed"),
        ({"text": "Hi.", "temperature": "hot"}, "bad_request", "temperature"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_invalid_request_names_code_and_param(
    server: ApiServer, engine: FakeEngine, path: str, fields: dict[str, Any], code: str, param: str | None
) -> None:
    status, content = await server.refused(path, **fields)
    assert (status, content["code"], content["param"], content["type"]) == (400, code, param, "invalid_request_error")
    assert engine.running == 0


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "bad_request", "model"),
        ({"input": ""}, "bad_text", "input"),
        ({"voice": "zoe"}, "unknown_voice", "voice"),
        ({"voice": {"name": "bob"}}, "bad_request", "voice"),
        ({"voice": 5}, "bad_request", "voice"),
        ({"response_format": "ogg"}, "bad_format", "response_format"),
        ({"speed": 4.5}, "bad_request", "speed"),
        ({"stream_format": "carrier pigeon"}, "bad_request", "stream_format"),
    ],
)
async def test_openai_errors_have_openai_format(
    server: ApiServer, fields: dict[str, Any], code: str, param: str
) -> None:
    status, content = await server.refused("/v1/audio/speech", **openai_request(**fields))
    assert (status, content["code"], content["param"]) == (400, code, param)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"text": "\\ud800"}', b"null", b'"text"', b'{"text": NaN}']
)
async def test_invalid_json_is_rejected(server: ApiServer, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with server.client.post(server.url + "/stream", data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] in ("bad_request", "bad_text")


@pytest.mark.parametrize("path", ["/stream", "/tts", "/v1/audio/speech"])
@pytest.mark.parametrize(
    ("content_type", "encoding", "body"),
    [
        ("application/json; charset=none", "", b'{"text": 1}'),
        ("application/json", "gzip", b"no gzip"),
        ("application/x-www-form-urlencoded", "", b"text=%ff%fe&\xff=1"),
        ("application/x-www-form-urlencoded; charset=none", "", b"text=Hi."),
        ("application/x-www-form-urlencoded", "deflate", b"no deflate"),
        ("multipart/form-data", "", b"text=Hi."),
        ("multipart/form-data; boundary=x", "", b""),
        ("multipart/form-data; boundary=x", "", b"--x\r\n\r\nHi.\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", "", b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nHi.'),
        ("multipart/form-data; boundary=x", "gzip", b"no gzip"),
        ("multipart/mixed; boundary=x", "", b"--x--"),
    ],
)
async def test_malformed_requests_are_never_internal_errors(
    server: ApiServer, path: str, content_type: str, encoding: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
    async with server.client.post(server.url + path, data=io.BytesIO(body), headers=headers) as response:
        assert 400 <= response.status < 500
        assert (await response.json())["error"]["code"]
    assert "request failed" not in caplog.text


async def test_other_content_types_are_rejected(server: ApiServer) -> None:
    """Pages of other sites may send these without a preflight."""
    for path, data in (("/stream", b'{"text": "Hi."}'), ("/v1/audio/speech", b"{}"), ("/tts", b"text=Hi.")):
        headers = {"Content-Type": "text/plain"}
        async with server.client.post(server.url + path, data=data, headers=headers) as response:
            assert response.status == 415
            assert (await response.json())["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("chars", [20_001, 2_000_000])
async def test_too_long_text_is_rejected(server: ApiServer, chars: int) -> None:
    headers = {"Content-Type": "application/json"}
    for path, body in (("/stream", {"text": "x" * chars}), ("/v1/audio/speech", openai_request(input="x" * chars))):
        data = io.BytesIO(json.dumps(body).encode())
        async with server.client.post(server.url + path, data=data, headers=headers) as response:
            assert response.status == 413
            assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_unreachable_hub_is_a_server_error(server: ApiServer) -> None:
    status, content = await server.refused("/stream", text="Hi.", voice="eve")
    assert (status, content["type"], content["code"]) == (503, "server_error", "hub_unreachable")


async def test_full_server_returns_503_with_retry_after(tmp_path: Path) -> None:
    engine = FakeEngine(slots=1)
    engine.runner.may_step.clear()
    async with api_server(engine, tmp_path) as server:
        first = asyncio.create_task(server.client.post(server.url + "/stream", json={"text": "Hi."}))
        await engine.wait_scheduled()
        async with server.post("/stream", text="Hi.") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (503, "full")
            assert int(response.headers["Retry-After"]) >= 1
        engine.runner.may_step.set()
        async with await first as response:
            assert response.status == 200
        assert b'sayline_rejects_total{code="full",key="anonymous"} 1.0' in server.shared.metrics.render()[0]


async def test_exceeded_limits_return_429(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, anonymous_chars_per_minute=20, anonymous_contexts=1) as server:
        async with server.post("/stream", text="Hello there.") as response:
            assert response.status == 200
            await response.read()
        async with server.post("/v1/audio/speech", **openai_request()) as response:
            content = (await response.json())["error"]
            assert (response.status, content["type"], content["code"]) == (429, "rate_limit_error", "rate_limited")
            assert int(response.headers["Retry-After"]) > 10
        engine.runner.decode_queue.hold()
        first = asyncio.create_task(server.client.post(server.url + "/stream", json={"text": "Hi."}))
        await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
        assert (await server.refused("/stream", text="Hi."))[0] == 429
        engine.runner.decode_queue.resume()
        async with await first as response:
            assert response.status == 200


async def test_key_with_voice_limit_may_not_clone(engine: FakeEngine, tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys.json").add("ann", Limits(voices=("bob",)))
    async with api_server(engine, tmp_path, headers={"X-API-Key": key}) as server:
        form = aiohttp.FormData({"text": "Hello there."})
        form.add_field("voice_wav", b"RIFF", filename="me.wav")
        async with server.client.post(server.url + "/tts", data=form) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "voice_not_allowed")


async def test_rejected_request_is_not_counted(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, anonymous_chars_per_minute=12) as server:
        assert (await server.refused("/stream", text="Hello there.", voice="zoe"))[0] == 400
        async with server.post("/stream", text="Hello there.") as response:
            assert response.status == 200


async def test_speech_requires_the_key(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, api_key="secret") as server:
        status, content = await server.refused("/v1/audio/speech", **openai_request())
        assert (status, content["type"], content["code"]) == (401, "authentication_error", "invalid_api_key")
        headers = {"Authorization": "Bearer secret"}
        async with server.client.post(
            server.url + "/v1/audio/speech", json=openai_request(), headers=headers
        ) as response:
            assert response.status == 200


async def test_requests_are_rejected_during_shutdown(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, accepting=lambda: False) as server:
        status, content = await server.refused("/stream", text="Hi.")
        async with server.post("/stream", text="Hi.") as response:
            assert int(response.headers["Retry-After"]) >= 1
    assert (status, content["code"]) == (503, "shutting_down")


async def test_unknown_routes_return_json_errors(server: ApiServer) -> None:
    assert (await server.refused("/v1/nothing"))[0] == 404
    async with server.client.get(server.url + "/stream") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"
    async with server.client.get(server.url + "/nothing", headers={"Accept": "text/html"}) as response:
        assert (response.status, response.content_type) == (404, "text/plain")


async def test_failure_before_the_first_byte_is_500(
    server: ApiServer, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.runner.next_error = RuntimeError("secret")
    for path in PATHS:
        status, content = await server.refused(path, text="Hi.")
        assert (status, content["type"], content["message"]) == (500, "server_error", "internal error")
        engine.runner.next_codec_error = RuntimeError("secret")
    assert "secret" in caplog.text


@pytest.mark.parametrize("endpoint", ["/stream", "/v1/audio/speech", "sse", "/tts"])
async def test_failure_after_the_first_byte_aborts_the_connection(
    server: ApiServer, engine: FakeEngine, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine.runner.decode_queue.hold()
    if endpoint == "/tts":
        sent: dict[str, Any] = {"data": {"text": LONG}}
    elif endpoint == "/stream":
        sent = {"json": {"text": LONG, "format": "pcm"}}
    else:
        more = {"stream_format": "sse"} if endpoint == "sse" else {}
        sent = {"json": openai_request(input=LONG, response_format="pcm", **more)}
    path = "/v1/audio/speech" if endpoint == "sse" else endpoint
    waiting = asyncio.create_task(server.client.post(server.url + path, **sent))
    await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
    engine.runner.decode_queue.resume(1)
    data = bytearray()

    async def read_all(response: aiohttp.ClientResponse) -> None:
        while piece := await response.content.readany():
            data.extend(piece)

    async with await waiting as response:
        data += await response.content.readany()
        engine.runner.next_error = RuntimeError("broken")
        engine.runner.decode_queue.resume()
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_all(response)
    assert engine.running == 0
    assert (b'"type": "error"' in data) == (endpoint == "sse")
    assert b"broken" not in data


# Disconnects


@pytest.mark.parametrize("path", [*PATHS, "/tts"])
async def test_disconnect_before_the_response_stops_generation(
    server: ApiServer, engine: FakeEngine, path: str
) -> None:
    """Within a frame after the server notices it."""
    engine.runner.decode_queue.hold()
    text = {"data": {"text": LONG}} if path == "/tts" else {"json": {"text": LONG}}
    async with aiohttp.ClientSession() as client:
        waiting = asyncio.create_task(client.post(server.url + path, **text))  # type: ignore[arg-type]
        await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    engine.runner.decode_queue.resume()
    await engine.wait_until(lambda: engine.running == 0)
    assert engine.runner.steps < 10


async def test_disconnect_during_the_response_stops_generation(server: ApiServer, engine: FakeEngine) -> None:
    async with server.post("/stream", text=LONG, format="pcm") as response:
        await response.content.readexactly(FRAME_BYTES)
        response.close()
    await engine.wait_until(lambda: engine.running == 0)
    assert engine.runner.steps < 500 * FRAMES_PER_WORD


async def test_client_that_reads_nothing_is_disconnected(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: object, data: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.web.StreamResponse, "write", never)
    async with api_server(engine, tmp_path, http_stall_s=0.05) as server:
        response = await server.client.post(server.url + "/stream", json={"text": LONG})
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        await engine.wait_until(lambda: engine.running == 0)


async def test_shutdown_aborts_responses(engine: FakeEngine, tmp_path: Path) -> None:
    engine.runner.decode_queue.hold()
    async with api_server(engine, tmp_path) as server:
        waiting = asyncio.create_task(server.client.post(server.url + "/stream", json={"text": LONG}))
        await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 0)
        engine.runner.decode_queue.resume(1)
        async with await waiting as response:
            stopping = asyncio.create_task(server.shared.engine_loop.stop())
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await stopping


# Voices sent with the request


async def test_recording_is_not_stored(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    output: list[tuple[bytes, str]] = []

    async def clone(self: object, data: bytes, name: str) -> SimpleNamespace:
        output.append((data, name))
        return SimpleNamespace(voice=Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)))

    monkeypatch.setattr("sayline_tts.server.voices.voices.Voices.clone", clone)
    form = aiohttp.FormData({"text": "Hello there."})
    form.add_field("voice_wav", b"sound" * 30_000, filename="me.wav")
    async with server.client.post(server.url + "/tts", data=form) as response:
        assert response.status == 200
        assert len(await response.read()) == 44 + 4 * FRAME_BYTES
    assert output == [(b"sound" * 30_000, "voice_wav")]
    store = server.shared.engine_loop.voices.store
    assert store is not None
    assert store.visible("anonymous") == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "bad_text"),
        ({"text": "Hi.", "voice_url": "zoe"}, 400, "unknown_voice"),
        ({"text": "Hi.", "voice_url": "file:///etc/passwd"}, 400, "bad_voice_url"),
        ({"text": "Hi.", "voice_url": "http://127.0.0.1/x.wav"}, 400, "bad_voice_url"),
        ({"text": "Hi.", "voice_wav": b"no sound"}, 400, "bad_voice"),
        ({"text": "Hi.", "voice_wav": b""}, 400, "bad_voice"),
        ({"text": "Hi.", "voice_url": "bob", "voice_wav": b"x"}, 400, "bad_request"),
        ({"text": "Hi.", "voice_wav": b"x" * 1_040_000}, 413, "too_large"),
        ({"text": "x" * 30_000}, 413, "text_limit"),
    ],
)
async def test_invalid_form_names_the_code(
    engine: FakeEngine, tmp_path: Path, fields: dict[str, Any], status: int, code: str
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, io.BytesIO(value) if isinstance(value, bytes) else value)
    if not fields:
        form.add_field("other", "x")
    async with api_server(engine, tmp_path, max_upload_mb=0.9) as server:
        response = await server.client.post(server.url + "/tts", data=form)
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)


async def test_voice_urls_can_be_disabled(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path, voice_urls=False) as server:
        data = {"text": "Hi.", "voice_url": "https://example.org/me.wav"}
        async with server.client.post(server.url + "/tts", data=data) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "voice_urls_off")


async def test_speech_is_counted_in_metrics(server: ApiServer) -> None:
    async with server.post("/stream", text="Hello there.") as response:
        await response.read()
    numbers = server.shared.metrics.render()[0].decode()
    for line in (
        'sayline_key_contexts_total{key="anonymous"} 1.0',
        'sayline_key_chars_total{key="anonymous"} 12.0',
        'sayline_key_audio_seconds_total{key="anonymous"} 0.32',
        'sayline_contexts_over_total{outcome="done"} 1.0',
        "sayline_first_audio_seconds_count 1.0",
        "sayline_missed_words_total 0.0",
    ):
        assert line in numbers


async def test_one_model_has_every_name(server: ApiServer) -> None:
    async with server.client.get(server.url + "/v1/models/tts-1") as response:
        assert (await response.json())["id"] == "tts-1"
    async with server.client.get(server.url + "/v1/audio/models") as response:
        assert await response.json() == {"models": [{"id": "fake"}]}


async def test_front_ends_list_voices_without_the_key(engine: FakeEngine, tmp_path: Path) -> None:
    """And only those of the model; the key is still needed to speak, and a wrong one is refused."""
    async with api_server(engine, tmp_path, api_key="k" * 20) as server:
        for path, status in (
            ("/v1/models", 200),
            ("/v1/audio/models", 200),
            ("/v1/audio/voices", 200),
            ("/voices", 401),
            ("/v1/models/tts-1", 401),
        ):
            async with server.client.get(server.url + path) as response:
                assert response.status == status
        async with server.client.get(server.url + "/v1/models", headers={"X-API-Key": "wrong"}) as response:
            assert response.status == 401
        async with server.client.get(server.url + "/v1/audio/voices") as response:
            assert [each["id"] for each in (await response.json())["voices"]] == ["ann", "bob", "eve"]
        async with server.post("/v1/audio/speech", **openai_request()) as response:
            assert response.status == 401
