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
from sayline_tts.server.audio.formats import RECIPES, Format
from sayline_tts.server.http.voice_names import OPENAI_VOICES
from tests.server.audio.test_formats import decoded
from tests.server.doors import Doors, doors
from tests.server.fakes import FRAME_SAMPLES, FRAMES_PER_WORD, FakeEngine, FakeModel, frame

PATHS = ("/generate", "/stream")
FRAME_BYTES = 2 * FRAME_SAMPLES
LONG = "word " * 500


@pytest.fixture
async def there(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(engine, tmp_path) as where:
        yield where


def spoken(seed: int, frames: int) -> bytes:
    return b"".join(to_pcm(frame(seed, number)) for number in range(frames))


# What comes


@pytest.mark.parametrize("path", PATHS)
async def test_what_comes_is_what_the_model_says(there: Doors, path: str) -> None:
    async with there.post(path, text="Hello there.", voice="bob", format="pcm", seed=7) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "audio/pcm;rate=24000"
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.read() == spoken(7, 2 * FRAMES_PER_WORD)


async def test_a_whole_file_has_its_true_sizes_and_a_stream_cannot(there: Doors) -> None:
    for path, chunked in (("/generate", False), ("/stream", True)):
        async with there.post(path, text="Hello there.", seed=7) as response:
            wav = await response.read()
            assert (response.content_type, "Content-Length" not in response.headers) == ("audio/wav", chunked)
        assert wav[44:] == spoken(7, 4)
        size = int.from_bytes(wav[40:44], "little")
        assert size == (2**32 - 1 if chunked else len(wav) - 44)


@pytest.mark.parametrize("format", Format)
async def test_every_format_comes_with_its_type(there: Doors, format: str) -> None:
    async with there.post("/stream", text="One two three four.", format=format, seed=3) as response:
        heard_type, data = response.headers["Content-Type"], await response.read()
    assert heard_type.partition(";")[0] == RECIPES[Format(format)].content_type.partition(";")[0]
    rate_hz = int(heard_type.partition("rate=")[2] or 24_000)
    heard, heard_hz = decoded(format, data, rate_hz)
    assert 0.64 <= len(heard) / heard_hz < 0.74


async def test_speed_makes_it_shorter(there: Doors) -> None:
    async with there.post("/stream", text="One two three four.", format="pcm", speed=2) as response:
        data = await response.read()
    assert abs(len(data) / 48_000 - 0.32) < 0.03


async def test_the_body_begins_with_the_first_frame(there: Doors, engine: FakeEngine) -> None:
    engine.runner.codec.hold()
    asked = asyncio.create_task(there.client.post(there.url + "/stream", json={"text": LONG, "format": "pcm"}))
    await engine.until(lambda: engine.runner.codec.backlog > 0)
    assert not asked.done()  # there is no answer before there is sound
    engine.runner.codec.go_on(1)
    async with await asked as response:
        await response.content.readexactly(FRAME_BYTES)
        await engine.until(lambda: engine.runner.codec.backlog > 0)
        engine.runner.codec.go_on(1)
        await response.content.readexactly(FRAME_BYTES)
        engine.runner.codec.go_on()


async def test_who_does_not_take_it_does_not_get_it_made(
    there: Doors, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So memory has a bound: nothing is made beyond it, while nothing is taken."""
    may_write = asyncio.Event()
    original = aiohttp.web.StreamResponse.write

    async def write(self: aiohttp.web.StreamResponse, data: Any) -> None:
        await may_write.wait()
        await original(self, data)

    monkeypatch.setattr(aiohttp.web.StreamResponse, "write", write)
    asked = asyncio.create_task(there.client.post(there.url + "/stream", json={"text": LONG, "format": "pcm"}))
    await engine.until(lambda: any(each.lead_ms > each.enough_ms for each in engine.utterances))
    assert not engine.schedule()
    assert engine.utterances[0].produced_ms < 7_000
    may_write.set()
    async with await asked as response:
        assert len(await response.read()) == 500 * FRAMES_PER_WORD * FRAME_BYTES


async def test_tts_takes_a_form_and_gives_wav(there: Doors) -> None:
    form = aiohttp.FormData({"text": "Hello there.", "voice_url": "bob"}, default_to_multipart=True)
    for fields in (form, {"text": "Hello there."}):
        async with there.client.post(there.url + "/tts", data=fields) as response:
            assert (response.status, response.content_type) == (200, "audio/wav")
            assert "filename=generated_speech.wav" in response.headers["Content-Disposition"]
            assert len(await response.read()) == 44 + 4 * FRAME_BYTES


# OpenAI


def load_any(model: FakeModel, name: str) -> Voice:
    """Also the one that is beyond reach."""
    model.loaded.append(name)
    return Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "tts-1", "input": "Hello there.", "voice": "alloy", **fields}


@pytest.mark.parametrize(
    ("format", "content_type"),
    [
        (None, "audio/mpeg"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("aac", "audio/aac"),
        ("flac", "audio/flac"), ("wav", "audio/wav"), ("pcm", "audio/pcm"),
    ],
)  # fmt: skip
async def test_openai_gets_its_formats_with_exact_types(there: Doors, format: str | None, content_type: str) -> None:
    async with there.post("/v1/audio/speech", **asked(response_format=format)) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)
        heard, heard_hz = decoded(format or "mp3", await response.read(), 24_000)
    assert 0.32 <= len(heard) / heard_hz < 0.42


async def test_openai_gets_events(there: Doors) -> None:
    body = asked(response_format="pcm", stream_format="sse")
    async with there.post("/v1/audio/speech", **body) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        text = await response.text()
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    *audio, done = events
    assert {event["type"] for event in audio} == {"speech.audio.delta"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in audio)) == 4 * FRAME_BYTES
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6},
    }


@pytest.mark.parametrize("name", [*OPENAI_VOICES, "bob"])
async def test_openai_s_voices_are_somebody_here(
    there: Doors, engine: FakeEngine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.server.fakes.FakeModel.load_voice", load_any)
    for voice in (name, {"id": name}):
        async with there.post("/v1/audio/speech", **asked(voice=voice, speed=1.0)) as response:
            assert response.status == 200
    assert set(engine.fake_model.loaded) <= {"ann", "bob", "eve"}


async def test_openai_s_odd_requests_are_fine(there: Doors) -> None:
    for more in ({"speed": 0.25}, {"speed": 4}, {"speed": None}, {"instructions": "Be glad."}, {"unknown": [1]}):
        async with there.post("/v1/audio/speech", **asked(**more)) as response:
            assert response.status == 200, more


async def test_the_model_is_listed_as_openai_does(there: Doors) -> None:
    async with there.client.get(there.url + "/v1/models") as response:
        told = await response.json()
    assert told["object"] == "list"
    assert [(each["id"], each["object"]) for each in told["data"]] == [("fake", "model")]


@pytest.mark.parametrize("path", ["/voices", "/v1/audio/voices"])
async def test_voices_are_listed(there: Doors, path: str) -> None:
    async with there.client.get(there.url + path) as response:
        told = await response.json()
    assert told["default"] == "ann"
    assert told["voices"] == [{"id": name, "name": name} for name in ("ann", "bob", "eve")]


# Faults


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "bad_request", "text"),
        ({"text": 5}, "bad_request", "text"),
        ({"text": ""}, "bad_text", "text"),
        ({"text": " \n "}, "bad_text", "text"),
        ({"text": "..."}, "bad_text", None),
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
async def test_a_request_that_cannot_be_used_is_told_why(
    there: Doors, engine: FakeEngine, path: str, fields: dict[str, Any], code: str, param: str | None
) -> None:
    status, told = await there.refused(path, **fields)
    assert (status, told["code"], told["param"], told["type"]) == (400, code, param, "invalid_request_error")
    assert engine.running == 0


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "bad_request", "model"),
        ({"input": ""}, "bad_text", "input"),
        ({"voice": "zoe"}, "unknown_voice", "voice"),
        ({"voice": {"name": "bob"}}, "bad_request", "voice"),
        ({"voice": 5}, "bad_request", "voice"),
        ({"response_format": "ogg"}, "bad_format", "format"),
        ({"speed": 4.5}, "bad_request", "speed"),
        ({"stream_format": "carrier pigeon"}, "bad_request", "stream_format"),
    ],
)
async def test_openai_s_clients_are_told_in_their_shape(
    there: Doors, fields: dict[str, Any], code: str, param: str
) -> None:
    status, told = await there.refused("/v1/audio/speech", **asked(**fields))
    assert (status, told["code"], told["param"]) == (400, code, param)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"text": "\\ud800"}', b"null", b'"text"', b'{"text": NaN}']
)
async def test_what_is_not_json_is_told_so(there: Doors, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with there.client.post(there.url + "/stream", data=body, headers=headers) as response:
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
async def test_nothing_that_is_sent_is_our_fault(
    there: Doors, path: str, content_type: str, encoding: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
    async with there.client.post(there.url + path, data=io.BytesIO(body), headers=headers) as response:
        assert 400 <= response.status < 500
        assert (await response.json())["error"]["code"]
    assert "a request failed" not in caplog.text


async def test_other_types_are_refused(there: Doors) -> None:
    """A page of another site may send these without asking."""
    for path, data in (("/stream", b'{"text": "Hi."}'), ("/v1/audio/speech", b"{}"), ("/tts", b"text=Hi.")):
        headers = {"Content-Type": "text/plain"}
        async with there.client.post(there.url + path, data=data, headers=headers) as response:
            assert response.status == 415
            assert (await response.json())["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("chars", [20_001, 2_000_000])
async def test_a_text_that_is_too_long_is_refused(there: Doors, chars: int) -> None:
    headers = {"Content-Type": "application/json"}
    for path, body in (("/stream", {"text": "x" * chars}), ("/v1/audio/speech", asked(input="x" * chars))):
        data = io.BytesIO(json.dumps(body).encode())
        async with there.client.post(there.url + path, data=data, headers=headers) as response:
            assert response.status == 413
            assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_a_voice_that_cannot_be_fetched_is_no_fault_of_who_asks(there: Doors) -> None:
    status, told = await there.refused("/stream", text="Hi.", voice="eve")
    assert (status, told["type"], told["code"]) == (503, "server_error", "hub_unreachable")


async def test_who_comes_when_it_is_full_is_told_when_to_come_back(tmp_path: Path) -> None:
    engine = FakeEngine(slots=1)
    engine.runner.may_step.clear()
    async with doors(engine, tmp_path) as there:
        first = asyncio.create_task(there.client.post(there.url + "/stream", json={"text": "Hi."}))
        await engine.until_scheduled()
        async with there.post("/stream", text="Hi.") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (503, "full")
            assert int(response.headers["Retry-After"]) >= 1
        engine.runner.may_step.set()
        async with await first as response:
            assert response.status == 200
        assert b'sayline_rejects_total{code="full",key="anonymous"} 1.0' in there.shared.metrics.render()


async def test_a_key_over_its_limits_hears_429(engine: FakeEngine, tmp_path: Path) -> None:
    async with doors(engine, tmp_path, anonymous_chars_per_minute=20, anonymous_contexts=1) as there:
        async with there.post("/stream", text="Hello there.") as response:
            assert response.status == 200
            await response.read()
        async with there.post("/v1/audio/speech", **asked()) as response:
            told = (await response.json())["error"]
            assert (response.status, told["type"], told["code"]) == (429, "rate_limit_error", "rate_limited")
            assert int(response.headers["Retry-After"]) > 10
        engine.runner.codec.hold()
        first = asyncio.create_task(there.client.post(there.url + "/stream", json={"text": "Hi."}))
        await engine.until(lambda: engine.runner.codec.backlog > 0)
        assert (await there.refused("/stream", text="Hi."))[0] == 429
        engine.runner.codec.go_on()
        async with await first as response:
            assert response.status == 200


async def test_a_key_for_some_voices_brings_no_other_along(engine: FakeEngine, tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys.json").add("ann", Limits(voices=("bob",)))
    async with doors(engine, tmp_path, headers={"X-API-Key": key}) as there:
        form = aiohttp.FormData({"text": "Hello there."})
        form.add_field("voice_wav", b"RIFF", filename="me.wav")
        async with there.client.post(there.url + "/tts", data=form) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "voice_not_allowed")


async def test_what_was_refused_costs_no_characters(engine: FakeEngine, tmp_path: Path) -> None:
    async with doors(engine, tmp_path, anonymous_chars_per_minute=12) as there:
        assert (await there.refused("/stream", text="Hello there.", voice="zoe"))[0] == 400
        async with there.post("/stream", text="Hello there.") as response:
            assert response.status == 200


async def test_without_the_key_there_is_no_speech(engine: FakeEngine, tmp_path: Path) -> None:
    async with doors(engine, tmp_path, api_key="secret") as there:
        status, told = await there.refused("/v1/audio/speech", **asked())
        assert (status, told["type"], told["code"]) == (401, "authentication_error", "invalid_api_key")
        headers = {"Authorization": "Bearer secret"}
        async with there.client.post(there.url + "/v1/audio/speech", json=asked(), headers=headers) as response:
            assert response.status == 200


async def test_nothing_begins_while_the_server_stops(engine: FakeEngine, tmp_path: Path) -> None:
    async with doors(engine, tmp_path, accepting=lambda: False) as there:
        status, told = await there.refused("/stream", text="Hi.")
    assert (status, told["code"]) == (503, "shutting_down")


async def test_there_is_json_also_where_there_is_nothing(there: Doors) -> None:
    assert (await there.refused("/v1/nothing"))[0] == 404
    async with there.client.get(there.url + "/stream") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"
    async with there.client.get(there.url + "/nothing", headers={"Accept": "text/html"}) as response:
        assert (response.status, response.content_type) == (404, "text/plain")


async def test_our_own_fault_before_the_first_byte_is_500(
    there: Doors, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.runner.fault = RuntimeError("secret")
    for path in PATHS:
        status, told = await there.refused(path, text="Hi.")
        assert (status, told["type"], told["message"]) == (500, "server_error", "internal error")
        engine.runner.codec_fault = RuntimeError("secret")
    assert "secret" in caplog.text


@pytest.mark.parametrize("door", ["/stream", "/v1/audio/speech", "sse", "/tts"])
async def test_our_own_fault_after_the_first_byte_is_no_regular_end(
    there: Doors, engine: FakeEngine, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine.runner.codec.hold()
    if door == "/tts":
        sent: dict[str, Any] = {"data": {"text": LONG}}
    elif door == "/stream":
        sent = {"json": {"text": LONG, "format": "pcm"}}
    else:
        more = {"stream_format": "sse"} if door == "sse" else {}
        sent = {"json": asked(input=LONG, response_format="pcm", **more)}
    path = "/v1/audio/speech" if door == "sse" else door
    waiting = asyncio.create_task(there.client.post(there.url + path, **sent))
    await engine.until(lambda: engine.runner.codec.backlog > 0)
    engine.runner.codec.go_on(1)
    data = bytearray()

    async def read_all(response: aiohttp.ClientResponse) -> None:
        while piece := await response.content.readany():
            data.extend(piece)

    async with await waiting as response:
        data += await response.content.readany()
        engine.runner.fault = RuntimeError("broken")
        engine.runner.codec.go_on()
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_all(response)
    assert engine.running == 0
    assert (b'"type": "error"' in data) == (door == "sse")
    assert b"broken" not in data


# Clients who go


@pytest.mark.parametrize("path", [*PATHS, "/tts"])
async def test_who_goes_away_is_not_spoken_to_any_more(there: Doors, engine: FakeEngine, path: str) -> None:
    """Within a frame of his going being known."""
    engine.runner.codec.hold()
    text = {"data": {"text": LONG}} if path == "/tts" else {"json": {"text": LONG}}
    async with aiohttp.ClientSession() as client:
        waiting = asyncio.create_task(client.post(there.url + path, **text))  # type: ignore[arg-type]
        await engine.until(lambda: engine.runner.codec.backlog > 0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    engine.runner.codec.go_on()
    await engine.until(lambda: engine.running == 0)
    assert engine.runner.steps < 10


async def test_who_goes_away_in_the_middle_is_not_spoken_to_any_more(there: Doors, engine: FakeEngine) -> None:
    async with there.post("/stream", text=LONG, format="pcm") as response:
        await response.content.readexactly(FRAME_BYTES)
        response.close()
    await engine.until(lambda: engine.running == 0)
    assert engine.runner.steps < 500 * FRAMES_PER_WORD


async def test_who_takes_nothing_is_cut_off(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: object, data: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.web.StreamResponse, "write", never)
    async with doors(engine, tmp_path, http_stall_s=0.05) as there:
        response = await there.client.post(there.url + "/stream", json={"text": LONG})
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        await engine.until(lambda: engine.running == 0)


async def test_a_server_that_stops_breaks_off_what_it_speaks(engine: FakeEngine, tmp_path: Path) -> None:
    engine.runner.codec.hold()
    async with doors(engine, tmp_path) as there:
        waiting = asyncio.create_task(there.client.post(there.url + "/stream", json={"text": LONG}))
        await engine.until(lambda: engine.runner.codec.backlog > 0)
        engine.runner.codec.go_on(1)
        async with await waiting as response:
            stopping = asyncio.create_task(there.shared.worker.stop())
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await stopping


# Voices that come with the request


async def test_a_recording_is_used_once(there: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[bytes, str]] = []

    async def clone(self: object, data: bytes, name: str) -> SimpleNamespace:
        heard.append((data, name))
        return SimpleNamespace(voice=Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)))

    monkeypatch.setattr("sayline_tts.server.voices.voices.Voices.clone", clone)
    form = aiohttp.FormData({"text": "Hello there."})
    form.add_field("voice_wav", b"sound" * 30_000, filename="me.wav")
    async with there.client.post(there.url + "/tts", data=form) as response:
        assert response.status == 200
        assert len(await response.read()) == 44 + 4 * FRAME_BYTES
    assert heard == [(b"sound" * 30_000, "voice_wav")]
    store = there.shared.worker.voices.store
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
async def test_a_form_that_cannot_be_used_is_told_why(
    engine: FakeEngine, tmp_path: Path, fields: dict[str, Any], status: int, code: str
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, io.BytesIO(value) if isinstance(value, bytes) else value)
    if not fields:
        form.add_field("other", "x")
    async with doors(engine, tmp_path, max_upload_mb=0.9) as there:
        response = await there.client.post(there.url + "/tts", data=form)
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)


async def test_beyond_this_machine_no_voices_are_fetched(engine: FakeEngine, tmp_path: Path) -> None:
    async with doors(engine, tmp_path, voice_urls=False) as there:
        data = {"text": "Hi.", "voice_url": "https://example.org/me.wav"}
        async with there.client.post(there.url + "/tts", data=data) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "voice_urls_off")


async def test_what_was_spoken_is_counted(there: Doors) -> None:
    async with there.post("/stream", text="Hello there.") as response:
        await response.read()
    numbers = there.shared.metrics.render().decode()
    for line in (
        'sayline_key_contexts_total{key="anonymous"} 1.0',
        'sayline_key_chars_total{key="anonymous"} 12.0',
        'sayline_key_audio_seconds_total{key="anonymous"} 0.32',
        'sayline_contexts_over_total{outcome="done"} 1.0',
        "sayline_first_audio_seconds_count 1.0",
    ):
        assert line in numbers
