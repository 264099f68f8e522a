"""ElevenLabs' sockets and endpoints on a real server with a fake model; `tests/agents` has the vendor's clients."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.compat import connection
from sayline_tts.server.settings import Settings
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine
from tests.server.stream_client import serving

FRAME_BYTES = 3_840
SPEECH = "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM"


@asynccontextmanager
async def socket(address: str, kind: str = "multi-stream-input", **query: str) -> AsyncIterator[ClientConnection]:
    given = "&".join(f"{name}={value}" for name, value in {"output_format": "pcm_24000", **query}.items())
    async with connect(f"ws://{address}{SPEECH}/{kind}?{given}", max_size=None, close_timeout=0.1) as client:
        yield client


async def say(client: ClientConnection, **fields: object) -> None:
    await client.send(json.dumps(fields))


async def receive_turn(client: ClientConnection) -> list[dict[str, Any]]:
    """Everything up to the final message."""
    received: list[dict[str, Any]] = []
    while not (received and received[-1].get("isFinal")):
        received.append(json.loads(await client.recv()))
    return received


def audio(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(each["audio"]) for each in messages if each.get("audio"))


def text(messages: list[dict[str, Any]]) -> str:
    return "".join("".join(each["alignment"]["chars"]) for each in messages if each.get("alignment"))


async def test_one_text_per_socket(address: str) -> None:
    async with socket(address, "stream-input") as client:
        await say(client, text=" ", voice_settings={"stability": 0.5})
        for piece in ("Hello there. ", "How are ", "you?", ""):
            await say(client, text=piece)
        received = await receive_turn(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1000
    assert len(audio(received)) == 5 * FRAMES_PER_WORD * FRAME_BYTES
    assert text(received) == "Hello there. How are you? "


async def test_contexts_speak_at_once_and_end_by_themselves(address: str) -> None:
    async with socket(address, auto_mode="true", sync_alignment="true") as client:
        for name in "ab":
            await say(client, text=" ", context_id=name)
            await say(client, text="It is $5.", context_id=name)
            await say(client, flush=True, context_id=name)
            await say(client, close_context=True, context_id=name)
        received = await receive_turn(client) + await receive_turn(client)
        await say(client, close_socket=True)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1000
    for name in "ab":
        own = [each for each in received if each["contextId"] == name]
        assert text(own) == "It is $5. "
        assert audio(own)
        starts = [ms for each in own if each.get("alignment") for ms in each["alignment"]["charStartTimesMs"]]
        assert starts == sorted(starts)


@pytest.mark.parametrize(("name", "begin"), [("mp3_22050_32", b"\xff"), ("opus_48000_32", b"OggS")])
async def test_audio_is_encoded_to_its_last_byte(address: str, name: str, begin: bytes) -> None:
    async with socket(address, "stream-input", output_format=name) as client:
        await say(client, text="One two three. ")
        await say(client, text="")
        encoded = audio(await receive_turn(client))
    assert encoded.startswith(begin)
    if begin == b"OggS":
        assert encoded[encoded.rindex(b"OggS") + 5] == 4  # the end of the stream


async def test_a_turn_without_words_ends_normally(address: str) -> None:
    async with socket(address) as client:
        await say(client, text="\N{GRINNING FACE}", context_id="a", flush=True)
        await say(client, close_context=True, context_id="a")
        silence, last = await receive_turn(client)
    assert not any(audio([silence]))
    assert len(audio([silence])) == FRAME_BYTES
    assert last == {"audio": None, "isFinal": True, "contextId": "a"}


async def test_interruption_stops_at_once_and_leaves_nothing_behind(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address, socket(address, auto_mode="true") as client:
        for turn in range(20):
            await say(client, text="word " * 200, context_id=f"{turn}")
            await client.recv()
            await say(client, close_context=True, context_id=f"{turn}")
            assert (await receive_turn(client))[-1]["contextId"] == f"{turn}"
        await engine.wait_until(lambda: not engine.running)
        await client.close()
        await app[SESSIONS].wait_until(lambda: not len(app[SESSIONS]))


async def test_closing_the_socket_stops_the_speech(engine: FakeEngine, address: str) -> None:
    async with socket(address, auto_mode="true") as client:
        await say(client, text="word " * 800, context_id="a")
        await client.recv()
    await engine.wait_until(lambda: not engine.running)


async def test_long_text_is_read_as_room_comes(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(max_text_chars=5_000), engine.model, engine)
    async with serving(app) as address, socket(address, "stream-input") as client:
        await say(client, text="word " * 900 + "\n" + "word " * 900)
        await client.recv()
        await engine.wait_until(lambda: engine.running == 1)
    await engine.wait_until(lambda: not engine.running)


async def test_a_message_that_cannot_be_read_closes_the_socket(address: str) -> None:
    async with socket(address) as client:
        await client.send("hello")
        assert json.loads(await client.recv())["error"] == "bad_message"
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1008


async def test_a_voice_that_cannot_be_loaded_closes_the_socket(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(voice_aliases="21m00Tcm4TlvDq8ikWAM=eve"), engine.model, engine)
    async with serving(app) as address, socket(address) as client:
        await say(client, text="Hello.", context_id="a")
        assert json.loads(await client.recv())["error"] == "hub_unreachable"


async def test_a_client_that_waits_too_long_in_the_queue_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.05)
    engine = FakeEngine(capacity=1)
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address, socket(address, auto_mode="true") as client:
        await say(client, text="word " * 800, context_id="a")
        await client.recv()
        await say(client, text="word " * 8, context_id="b")
        while (message := json.loads(await client.recv()))["contextId"] != "b":
            pass
        assert message["error"] == "system_busy"


async def test_pings_are_sent_while_a_context_is_open(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_S", 0.02)
    pings: list[bytes] = []
    monkeypatch.setattr(ClientConnection, "pong", lambda *_: pings.append(b""), raising=True)
    async with socket(address) as client:
        await say(client, text="Hello ", context_id="a")
        pong = await client.ping()  # answered, so pings have been read by now
        await pong


async def test_errors_of_the_handshake(engine: FakeEngine) -> None:
    settings = Settings.load(voice_aliases="Rachel=bob,*=", api_key="k" * 20, max_sessions=1)
    async with serving(await make_app(settings, engine.model, engine)) as address:
        for path, key, status in (
            (f"{SPEECH}/stream-input", "k" * 20, 400),
            ("/v1/text-to-speech/Rachel/stream-input", "wrong", 401),
            ("/v1/text-to-speech/Rachel/stream-input?output_format=pcm_1", "k" * 20, 400),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://{address}{path}", additional_headers={"xi-api-key": key}):
                    pass
            assert refused.value.response.status_code == status
        url = f"ws://{address}/v1/text-to-speech/Rachel/stream-input"
        async with connect(url, additional_headers={"xi-api-key": "k" * 20}):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, additional_headers={"xi-api-key": "k" * 20}):
                    pass
        assert refused.value.response.status_code == 503


async def test_speech_over_http(address: str) -> None:
    body = {"text": "Hello there.", "model_id": "eleven_turbo_v2", "voice_settings": {"speed": 1.0}, "seed": 7}
    async with aiohttp.ClientSession(f"http://{address}") as client:
        for path in (SPEECH, f"{SPEECH}/stream"):
            async with client.post(f"{path}?output_format=pcm_24000", json=body) as response:
                assert response.status == 200
                assert len(await response.read()) == 2 * FRAMES_PER_WORD * FRAME_BYTES
        async with client.post(SPEECH, json=body) as response:
            assert response.content_type == "audio/mpeg"
        async with client.post(f"{SPEECH}/with-timestamps?output_format=pcm_24000", json=body) as response:
            whole = await response.json()
        async with client.post(f"{SPEECH}/stream/with-timestamps?output_format=pcm_24000", json=body) as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert base64.b64decode(whole["audio_base64"]) == b"".join(base64.b64decode(each["audio_base64"]) for each in lines)
    assert "".join(whole["alignment"]["characters"]) == "Hello there. "
    assert whole["alignment"] == whole["normalized_alignment"]
    timed = [each["alignment"] for each in lines if each["alignment"]]
    assert list(chain(*(each["characters"] for each in timed))) == whole["alignment"]["characters"]
    starts = list(chain(*(each["character_start_times_seconds"] for each in timed)))
    assert starts == whole["alignment"]["character_start_times_seconds"] == sorted(starts)


async def test_dialogue_over_a_socket(address: str) -> None:
    url = f"ws://{address}/v1/text-to-dialogue/multi-stream-input?output_format=pcm_24000&sync_alignment=true"
    async with connect(url, max_size=None) as client:
        await say(client, context_id="a", voices=["ann"])
        await say(client, context_id="a", inputs=[{"text": "Hello there. ", "voice_id": "ann"}], flush=True)
        await say(client, context_id="a", flush=True)
        await say(client, context_id="a", close_context=True)
        received: list[dict[str, Any]] = []
        while not (received and received[-1].get("is_final")):
            received.append(json.loads(await client.recv()))
        await say(client, close_socket=True)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1000
    assert text(received) == "Hello there. "
    assert len(audio(received)) == 2 * FRAMES_PER_WORD * FRAME_BYTES


async def test_dialogue_over_http(address: str) -> None:
    one = {"inputs": [{"text": "Hello there.", "voice_id": "ann"}, {"text": "Yes.", "voice_id": "ann"}]}
    several = {"inputs": [{"text": "Hello.", "voice_id": "ann"}, {"text": "Yes.", "voice_id": "bob"}]}
    async with aiohttp.ClientSession(f"http://{address}") as client:
        url = "/v1/text-to-dialogue/with-timestamps?output_format=pcm_24000"
        async with client.post(url, json=one) as response:
            assert "".join((await response.json())["alignment"]["characters"]) == "Hello there. Yes. "
        for body in (several, {}):
            async with client.post("/v1/text-to-dialogue/stream", json=body) as response:
                assert (response.status, "detail" in await response.json()) == (400, True)


async def test_http_text_without_words_is_silence(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        for said in ("", "...", "\N{GRINNING FACE}"):
            async with client.post(f"{SPEECH}/stream?output_format=pcm_8000", json={"text": said}) as response:
                assert (response.status, response.content_type) == (200, "audio/pcm")
                assert 1_200 <= len(await response.read()) <= 1_300
            async with client.post(f"{SPEECH}/with-timestamps", json={"text": said}) as response:
                assert (await response.json())["audio_base64"]


async def test_http_errors_have_the_shape_of_the_vendor(engine: FakeEngine) -> None:
    settings = Settings.load(api_key="k" * 20, voice_aliases="*=", max_request_chars=10)
    key = {"xi-api-key": "k" * 20}
    async with (
        serving(await make_app(settings, engine.model, engine)) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        for path, headers, body, status, code in (
            (SPEECH, {}, {"text": "a"}, 401, "invalid_api_key"),
            (SPEECH, key, {"text": "a"}, 400, "voice_not_found"),
            ("/v1/text-to-speech/ann", key, {"text": "a" * 11}, 413, "text_limit"),
            ("/v1/text-to-speech/ann", key, {}, 400, "bad_request"),
        ):
            async with client.post(path, json=body, headers=headers) as response:
                assert response.status == status
                assert (await response.json())["detail"]["status"] == code


async def test_voices_and_models_by_the_vendor_s_header(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}", headers={"xi-api-key": "any"}) as client:
        for path in ("/v1/voices", "/v2/voices"):
            async with client.get(path) as response:
                voices = (await response.json())["voices"]
            assert [each["voice_id"] for each in voices] == ["ann", "bob", "eve"]
        async with client.get("/v1/voices/bob") as response:
            assert (await response.json())["name"] == "bob"
        async with client.get("/v1/models") as response:
            assert [each["model_id"] for each in await response.json()] == ["fake"]
        async with client.get("/v1/models", headers={"xi-api-key": ""}) as response:
            assert response.status == 200


async def test_without_the_header_paths_answer_as_before(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        async with client.get("/v1/models") as response:
            assert (await response.json())["object"] == "list"
        async with client.get("/v1/nothing", headers={"xi-api-key": "any"}) as response:
            assert response.status == 404


async def test_a_protocol_can_be_left_out(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(protocols=""), engine.model, engine)
    async with (
        serving(app) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
        client.post(SPEECH, json={"text": "a"}) as response,
    ):
        assert response.status == 404
