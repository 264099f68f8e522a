"""Connections are bounded in all and by address, idle ones make room, and errors of accepting are survived."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from sayline_tts.server import lifecycle
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.http.monitoring import HEALTH
from sayline_tts.server.network import acceptor as acceptor_module
from sayline_tts.server.network import descriptors, http_connection
from sayline_tts.server.network.acceptor import ConnectionLimits
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.raw_http import RawClient, complaints, raw_client, until
from tests.server.stream_client import Server, accepting, connected_client


async def get(address: str, path: str) -> tuple[int, str]:
    async with raw_client(address) as one:
        await one.request(f"GET {path}", Connection="close")
        return await one.status(), (await one.rest()).decode()


async def wait_for_connections(server: Server, count: int) -> None:
    await until(lambda: len(server.acceptor) == count)


async def test_connections_of_one_address_are_bounded(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with accepting(app, ConnectionLimits(total=9, per_address=2)) as server:
        async with connected_client(server.address), connected_client(server.address) as second:
            status, text = await get(server.address, "/health")
            assert (status, "too many connections from this address" in text) == (429, True)
            await second.speak("Hello there.")  # the others are not disturbed
            await second.receive_until_final()
        await wait_for_connections(server, 0)
        assert (await get(server.address, "/health"))[0] == 200


async def test_refusal_says_when_to_retry(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with (
        accepting(app, ConnectionLimits(9, 1)) as server,
        connected_client(server.address),
        raw_client(server.address) as one,
    ):
        assert await one.status() == 429
        assert "Retry-After: 5" in one.head


async def test_idle_connections_of_an_address_do_not_keep_out_its_others(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with (
        accepting(app, ConnectionLimits(9, 2)) as server,
        raw_client(server.address) as first,
        raw_client(server.address),
    ):
        await wait_for_connections(server, 2)
        assert (await get(server.address, "/health"))[0] == 200
        assert await first.rest() == b""  # the one that was idle for longest made room


async def test_trusted_proxies_have_no_limit_of_their_own(engine: FakeEngine) -> None:
    settings = Settings.load(trusted_proxies="127.0.0.1", insecure=2)
    app = await make_app(settings, engine.model, engine)
    async with (
        accepting(app, ConnectionLimits(9, 1, settings.trusted_proxies)) as server,
        connected_client(server.address),
        connected_client(server.address),
    ):
        assert (await get(server.address, "/health"))[0] == 200


async def test_idle_connections_make_room_when_all_are_taken(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with (
        accepting(app, ConnectionLimits(3, 9)) as server,
        connected_client(server.address) as stream,
        raw_client(server.address) as first,
        raw_client(server.address),
    ):
        await wait_for_connections(server, 3)
        assert (await get(server.address, "/readyz"))[0] == 200
        assert await first.rest() == b""
        await stream.speak("Hello there.")
        await stream.receive_until_final()


async def test_accepting_pauses_while_every_connection_is_in_use(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with accepting(app, ConnectionLimits(2, 9)) as server:
        app[HEALTH].obstacles.append(lambda: server.acceptor.obstacle)
        async with raw_client(server.address) as probe:  # a load balancer keeps its connection
            engine.runner.may_step.clear()
            await probe.request("GET /readyz")
            assert await probe.status() == 200
            await probe.reader.readexactly(len('{"status": "ready"}'))
            async with connected_client(server.address):
                await probe.request("GET /readyz")
                assert await probe.status() == 503
                assert b'"full", "reason": "all 2 connections are in use"' in await probe.reader.read(500)
                waiting = asyncio.create_task(get(server.address, "/health"))
                await asyncio.sleep(0)
            engine.runner.may_step.set()
            assert (await waiting)[0] == 200


async def test_exhausted_descriptors_are_logged_once_a_second_and_survived(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.05)
    loop = asyncio.get_running_loop()
    original, failures = loop.sock_accept, [errno.EMFILE] * 3 + [errno.ECONNABORTED] * 3
    told: list[str | None] = []

    async def fail(listener: socket.socket) -> object:
        if not failures:
            return await original(listener)
        number = failures.pop()
        told.append(server.acceptor.obstacle)
        raise OSError(number, os.strerror(number))

    async with accepting(await make_app(Settings(), engine.model, engine)) as server:
        monkeypatch.setattr(loop, "sock_accept", fail)
        async with raw_client(server.address):  # taken by the accept that waits already
            await until(lambda: not failures)
        assert (await get(server.address, "/health"))[0] == 200
        assert server.acceptor.obstacle is None
    assert told[-1] == "cannot accept connections (Too many open files)"
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert 1 <= len(errors) <= 3
    assert "cannot accept connections (Too many open files)" in errors[0]


async def test_errors_of_accepting_are_not_logged_more_often(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with accepting(await make_app(Settings(), engine.model, engine)) as server:
        monkeypatch.setattr(acceptor_module, "RETRY_S", 3600.0)
        for _ in range(1_000):
            server.acceptor._on_exhausted("Too many open files")
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


async def test_tls_handshakes_are_limited_in_time_and_survived(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "HEAD_S", 0.1)
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with (
        accepting(await make_app(Settings(), engine.model, engine), ssl_context=context) as server,
        raw_client(server.address) as silent,
        raw_client(server.address) as plain,
    ):
        await plain.send(b"GET / HTTP/1.1\r\n\r\n")
        await plain.rest()
        assert await silent.rest() == b""
        await wait_for_connections(server, 0)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        host, port = server.address.split(":")
        streams = await asyncio.open_connection(host, int(port), ssl=trusting, server_hostname="localhost")
        one = RawClient(server.address, *streams)
        await one.request("POST /generate", Content_Length="9", Content_Encoding="gzip")
        assert await one.status() == 415
        one.abort()
    assert complaints(caplog) == []


async def test_server_that_has_stopped_listening_is_not_ready(engine: FakeEngine) -> None:
    async with accepting(await make_app(Settings(), engine.model, engine)) as server:
        assert server.acceptor.obstacle is None
        await server.close()
    assert server.acceptor.obstacle == "the server does not listen"


async def test_connection_limits_follow_the_descriptors(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = await make_app(Settings.load(max_sessions=100), engine.model, engine)
    monkeypatch.setattr(descriptors, "free_for_connections", lambda limit: 10_000)
    assert lifecycle.limit_connections(app) == ConnectionLimits(456, 228)
    assert app[SESSIONS].limit == 100
    monkeypatch.setattr(descriptors, "free_for_connections", lambda limit: 50)
    assert lifecycle.limit_connections(app) == ConnectionLimits(50, 25)
    assert app[SESSIONS].limit == 34
    assert "file descriptors allow 34 sessions, fewer than --max-sessions 100" in caplog.text
    app = await make_app(Settings.load(max_connections_per_address=7), engine.model, engine)
    assert lifecycle.limit_connections(app).per_address == 7


async def test_readiness_fails_without_descriptors_or_sessions(
    address: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app(Settings.load(max_sessions=1), engine.model, engine)
    async with accepting(app) as server:
        assert await get(server.address, "/readyz") == (200, '{"status": "ready"}')
        async with connected_client(server.address):
            status, text = await get(server.address, "/readyz")
            assert (status, "1 sessions are open, which is the maximum" in text) == (503, True)
        await until(lambda: not len(app[SESSIONS]))
        assert (await get(server.address, "/readyz"))[0] == 200
        monkeypatch.setattr(descriptors, "any_left", lambda: False)
        status, text = await get(server.address, "/readyz")
        assert (status, "no file descriptor is left" in text) == (503, True)


def test_time_limits_have_an_order() -> None:
    """An idle connection outlives those of common reverse proxies, which would otherwise meet closed ones."""
    assert http_connection.HEAD_S < 60 < http_connection.KEEP_ALIVE_S
