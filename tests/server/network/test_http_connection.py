"""Time limits of requests, and unwanted bodies, at every HTTP endpoint of the whole server."""

import asyncio
import contextlib
import json
import logging
import time
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from sayline_tts.server.app import make_app
from sayline_tts.server.http.operations import OPERATIONS
from sayline_tts.server.network import http_connection
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.raw_http import complaints, raw_client, until
from tests.server.stream_client import accepting, connected_client, serving

JSON = {"Content_Type": "application/json"}
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
UPLOAD = {"Content_Type": "multipart/form-data; boundary=b"}
BOMB = zlib.compress(bytes(50_000_000), 9, 31)  # gzip: 49 KB that expand to 50 MB
KEY = {"X_API_Key": "secret"}
ENDPOINTS = [f"{each.method.upper()} {each.path}" for each in OPERATIONS]
# Every way to be refused before or while a body is read, with the status.
REFUSALS = {
    "wrong key": ("POST /generate", {**JSON, "X_API_Key": "wrong"}, 401),
    "no key for an upload": ("POST /v1/voices", UPLOAD, 401),
    "no such endpoint": ("POST /nothing", JSON, 404),
    "wrong method": ("PUT /generate", {**JSON, **KEY}, 405),
    "body of a page": ("GET /docs", JSON, 200),
    "not JSON": ("POST /generate", {"Content_Type": "text/plain", **KEY}, 415),
    "not a form": ("POST /tts", {"Content_Type": "text/plain", **KEY}, 415),
    "too large": ("POST /generate", {**JSON, **KEY}, 413),
    "too large an upload": ("POST /v1/voices", {**UPLOAD, **KEY}, 413),
    "another site": ("POST /generate", {**JSON, "Origin": "https://evil.example"}, 401),
}
MUCH = 64 * 1024 * 1024


@pytest.fixture
async def locked(engine: FakeEngine) -> AsyncIterator[str]:
    """A server that requires the key `secret`."""
    async with serving(await make_app(Settings.load(api_key="secret"), engine.model, engine)) as where:
        yield where


@pytest.fixture
def inflated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every decompressor that is made."""
    made: list[object] = []
    original = aiohttp.compression_utils.ZLibDecompressor.__init__

    def count(self: object, *args: object, **named: object) -> None:
        made.append(self)
        original(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("aiohttp.compression_utils.ZLibDecompressor.__init__", count)
    return made


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the pieces of bodies that were parsed."""
    pieces: list[int] = []
    original = aiohttp.StreamReader.feed_data

    def count(self: aiohttp.StreamReader, data: bytes, *more: int) -> object:
        pieces.append(len(data))
        return original(self, data, *more)

    monkeypatch.setattr("aiohttp.streams.StreamReader.feed_data", count)
    return pieces


# Compressed bodies


@pytest.mark.parametrize("key", ["secret", "wrong"])
@pytest.mark.parametrize("endpoint", [*ENDPOINTS, "POST /nothing", "PUT /generate"])
async def test_no_endpoint_takes_a_compressed_body(
    locked: str, endpoint: str, key: str, inflated: list[object]
) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"):
        async with raw_client(locked) as one:
            # The body is announced, and not sent before the answer.
            await one.request(endpoint, Content_Encoding=encoding, Content_Length=str(len(BOMB)), X_API_Key=key, **JSON)
            assert await one.status() == 415
            assert "accept-encoding: identity" in one.head.lower()
            await one.send(BOMB)
            await one.rest()
    assert not inflated


async def test_identity_is_not_compression(locked: str) -> None:
    async with raw_client(locked) as one:
        await one.request("POST /generate", b'{"text": "Hi."}', Content_Encoding="identity", **JSON, **KEY)
        assert await one.status() == 200


async def test_part_of_a_form_is_not_inflated(locked: str, inflated: list[object]) -> None:
    part = (
        b'--b\r\nContent-Disposition: form-data; name="text"\r\nContent-Encoding: gzip\r\n\r\n'
        + BOMB
        + b"\r\n--b--\r\n"
    )
    for endpoint in ("POST /tts", "POST /v1/voices"):
        async with raw_client(locked) as one:
            await one.request(endpoint, part, **UPLOAD, **KEY)
            assert await one.status() in (400, 413)
    assert not inflated


async def test_compressed_bodies_do_not_delay_listeners(locked: str) -> None:
    """The longest time that the event loop is blocked, by the CPU time of this process, while ten bombs arrive."""
    async with connected_client(locked, additional_headers={"X-API-Key": "secret"}) as listener:

        async def bomb(number: int) -> None:
            async with raw_client(locked) as one:
                header = {"X_API_Key": ["secret", "wrong"][number % 2]}
                endpoint = ["POST /generate", "POST /v1/voices", "POST /nothing"][number % 3]
                await one.request(endpoint, BOMB * 20, Content_Encoding="gzip", **JSON, **header)
                await one.rest()

        before_s = time.process_time()
        await asyncio.gather(*map(bomb, range(10)))
        used_s = time.process_time() - before_s
        await listener.speak("Hello there.")
        await listener.receive_until_final()
    # To inflate these 10 GB takes over 10 s.
    assert used_s < 5


# Bodies of refused requests


@pytest.mark.parametrize("name", REFUSALS)
async def test_body_of_a_refused_request_is_not_read(locked: str, name: str, parsed: list[int]) -> None:
    endpoint, headers, expected = REFUSALS[name]
    async with raw_client(locked) as one:
        await one.request(endpoint, Content_Length=str(MUCH), **headers)
        if name == "too large":
            await one.send(bytes(1_200_000))  # the limit is 1 MB, and aiohttp reads until then
        assert await one.status() == expected
        assert "connection: close" in one.head.lower()
        before = sum(parsed)
        sending = asyncio.create_task(one.send(bytes(MUCH)))
        await one.rest()
        sending.cancel()
        await asyncio.wait([sending])
    assert sum(parsed) == before


async def test_client_that_sends_on_can_read_the_refusal(locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing at once would reset the connection, and the client might lose the response."""
    monkeypatch.setattr(http_connection, "LINGER_S", 60.0)
    async with raw_client(locked) as one:
        await one.request("POST /generate", Content_Length="100000", **JSON)
        for _ in range(10):
            await one.send(bytes(10_000))
            await asyncio.sleep(0)
        assert await one.status() == 401
        body = await one.reader.read()  # to the end of the stream: the connection was not reset
        assert json.loads(body)["error"]["code"] == "invalid_api_key"


async def test_refused_request_whose_body_has_arrived_keeps_its_connection(locked: str) -> None:
    async with raw_client(locked) as one:
        for key, expected in (("wrong", 401), ("secret", 200)):
            await one.request("POST /generate", b'{"text": "Hi."}', X_API_Key=key, **JSON)
            assert await one.status() == expected
            length = int(one.head.lower().split("content-length: ")[1].split()[0])
            await one.reader.readexactly(length)


async def test_lingering_is_bounded_in_bytes(locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "LINGER_S", 600.0)
    async with raw_client(locked) as one:
        await one.request("POST /generate", Content_Length=str(MUCH), **JSON)
        assert await one.status() == 401
        sending = asyncio.create_task(one.send(bytes(MUCH)))
        await one.rest()  # ends although the client goes on
        sending.cancel()
        await asyncio.wait([sending])


# Slow requests


@pytest.mark.parametrize("sent", [b"", b"GET /health", b"POST /generate HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n"])
async def test_slow_head_ends_the_connection(address: str, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_S", 0.1)
    async with raw_client(address) as one:
        await one.send(sent)
        answer = await one.rest()
        assert answer.startswith(b"HTTP/1.1 408 ") if sent else answer == b""


async def test_slow_head_of_a_later_request_ends_the_connection(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_client(address) as one:
        await one.request("GET /health")
        assert await one.status() == 200
        monkeypatch.setattr(http_connection, "HEAD_S", 0.1)
        await one.send(b"GET /hea")
        assert b"HTTP/1.1 408 " in await one.rest()


async def test_head_that_trickles_does_not_extend_its_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_S", 0.2)
    async with raw_client(address) as one:
        ended = asyncio.create_task(one.rest())
        await one.send(b"GET / HTTP/1.1\r\nX-A: ")
        while not ended.done():
            await one.send(b"x")
            await asyncio.sleep(0.01)
        assert (await ended).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("headers", [JSON, FORM])
@pytest.mark.parametrize("sent", [b"", b'{"text": "Hello'])
async def test_slow_body_gets_408(
    address: str, headers: dict[str, str], sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sayline_tts.server.http.requests.BODY_S", 0.1)
    async with raw_client(address) as one:
        await one.request("POST /tts" if headers is FORM else "POST /generate", Content_Length="1000", **headers)
        await one.send(sent)
        assert await one.status() == 408
        assert json.loads(await one.rest())["error"]["code"] == "too_slow"


async def test_long_request_is_not_cut_by_the_time_limit_of_heads(
    address: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "HEAD_S", 0.05)
    engine.runner.may_step.clear()
    async with raw_client(address) as one:
        await one.request("POST /generate", b'{"text": "Hi."}', **JSON)
        await engine.wait_scheduled()
        await asyncio.sleep(0.2)
        engine.runner.may_step.set()
        assert await one.status() == 200
    async with connected_client(address) as stream:
        await asyncio.sleep(0.2)
        await stream.speak("Hello there.")
        await stream.receive_until_final()


async def test_client_that_reads_nothing_of_a_complete_response_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_connection, "STALL_S", 1.0)

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(MUCH))

    app = web.Application()
    app.router.add_get("/", large)
    async with accepting(app) as server, raw_client(server.address) as deaf, raw_client(server.address) as reading:
        await reading.request("GET /")
        await deaf.request("GET /")
        assert len(await reading.reader.readexactly(MUCH)) == MUCH  # one that reads is not
        await until(lambda: len(server.acceptor) == 1)


# Clients that hang up


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("endpoint", "headers", "body"),
    [
        ("POST /generate", JSON, b'{"text": "Hello there."}'),
        ("POST /stream", JSON, b'{"text": "Hello there."}'),
        ("POST /v1/audio/speech", JSON, b'{"model": "m", "voice": "ann", "input": "Hello there."}'),
        ("POST /tts", FORM, b"text=Hello+there."),
        ("POST /tts", UPLOAD, b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nHello\r\n--b--\r\n'),
        (
            "POST /v1/voices",
            UPLOAD,
            b'--b\r\nContent-Disposition: form-data; name="url"\r\n\r\nhttps://x/\r\n--b--\r\n',
        ),
    ],
)
async def test_client_that_hangs_up_is_not_an_error(
    endpoint: str,
    headers: dict[str, str],
    body: bytes,
    whole: bool,
    engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    engine.runner.may_step.clear()
    async with accepting(await make_app(Settings(), engine.model, engine)) as server:
        async with raw_client(server.address) as one:
            await one.request(endpoint, body if whole else body[:-7], Content_Length=str(len(body)), **headers)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(one.reader.read(1), 0.1)  # so that the request is being served
        engine.runner.may_step.set()
        await until(lambda: not len(server.acceptor) and (whole or "disconnected" in caplog.text))
    assert complaints(caplog) == []
    assert "Traceback" not in caplog.text
    if not whole:
        assert caplog.text.count("a client has disconnected before the end of its response") == 1


async def test_connection_error_of_the_server_itself_is_logged(
    address: str, engine: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionRefusedError("a process of the server has gone")

    monkeypatch.setattr("sayline_tts.server.http.api.check_text", fail)
    async with raw_client(address) as one:
        await one.request("POST /generate", b'{"text": "Hi."}', **JSON)
        assert await one.status() == 500
    assert "request failed: POST" in caplog.text


async def test_file_is_sent_once_and_the_connection_is_kept(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(await make_app(Settings.load(), engine.model, engine)) as address,
        aiohttp.ClientSession() as client,
    ):
        for _ in range(2):
            async with client.get(f"http://{address}/") as response:
                assert response.status == 200
                assert await response.read()
                assert response.headers.get("Connection", "keep-alive") == "keep-alive"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
