"""Host, Origin, key and quota checks of requests, on real sockets."""

import asyncio
import logging
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sayline_tts.server.access import middleware
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.settings import Settings
from tests.server.access_server import access_server
from tests.server.stream_client import serving

APP = "https://app.example"
PREFLIGHT = {
    "Access_Control_Request_Method": "POST",
    "Access_Control_Request_Headers": "authorization,content-type",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setenv("SAYLINE_KEYS_FILE", str(tmp_path / "keys.json"))
    return KeyFile(tmp_path / "keys.json")


# Origin


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://{address}", "x"])
@pytest.mark.parametrize("path", ["/who", "/open", "/nothing"])
async def test_without_key_only_own_pages_are_allowed(origin: str, path: str) -> None:
    async with access_server() as one:
        status, text, headers = await one.request(path, Origin=origin.format(address=one.address))
        assert (status, "--origins" in text) == (403, True)
        assert "Access-Control-Allow-Origin" not in headers
        assert one.rejected == [("forbidden_origin", "anonymous")]
        assert await one.caller_name(Origin=f"http://{one.address}") == "anonymous"


async def test_form_of_another_site_is_rejected() -> None:
    """Browsers send it without a preflight."""
    async with access_server() as one:
        status, _, _ = await one.request("/text", "POST", Origin="https://evil.example", Content_Type="text/plain")
    assert status == 403


async def test_listed_origin_may_send_requests_and_read_responses() -> None:
    async with access_server(origins=f"{APP}, http://localhost:3000") as one:
        for origin in (APP, "http://localhost:3000"):
            status, text, headers = await one.request(Origin=origin)
            assert (status, text) == (200, "anonymous")
            assert headers["Access-Control-Allow-Origin"] == origin
            assert headers["Vary"] == "Origin"
        assert (await one.request(Origin="https://evil.example"))[0] == 403


async def test_error_responses_have_cors_headers(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with access_server(origins=APP) as one:
        for path, status in (("/who", 401), ("/nothing", 404)):
            answer = await one.request(path, Origin=APP)
            assert (answer[0], answer[2]["Access-Control-Allow-Origin"]) == (status, APP)


async def test_existing_vary_header_is_kept() -> None:
    async with (
        access_server(origins=APP) as one,
        aiohttp.ClientSession() as client,
        client.get(f"http://{one.address}/open") as response,
    ):
        assert response.headers.getall("Vary") == ["Accept-Encoding", "Origin"]


async def test_origin_list_also_applies_with_a_key() -> None:
    async with access_server(api_key="secret", origins=APP) as one:
        assert await one.caller_name(X_API_Key="secret", Origin=APP) == "api_key"
        assert await one.caller_name(X_API_Key="secret", Origin="https://evil.example") == "403"
        assert await one.caller_name(X_API_Key="secret") == "api_key"


async def test_with_key_and_no_list_any_origin_is_allowed() -> None:
    async with access_server(api_key="secret") as one:
        status, text, headers = await one.request(X_API_Key="secret", Origin=APP)
        assert (status, text) == (200, "api_key")
        assert "Access-Control-Allow-Origin" not in headers
        assert await one.caller_name(Origin=APP) == "401"


async def test_preflight_needs_no_key() -> None:
    async with access_server(api_key="secret", origins=APP) as one:
        status, _, headers = await one.request("/text", "OPTIONS", Origin=APP, **PREFLIGHT)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, APP)
        assert headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        assert "POST" in headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("settings", [{"origins": APP}, {"api_key": "secret"}, {}])
async def test_preflight_of_unlisted_origin_is_rejected(settings: dict[str, str]) -> None:
    async with access_server(**settings) as one:
        status, _, headers = await one.request("/text", "OPTIONS", Origin="https://evil.example", **PREFLIGHT)
    assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)


async def test_options_without_origin_is_not_a_preflight() -> None:
    async with access_server(origins=APP) as one:
        assert (await one.request("/text", "OPTIONS"))[0] == 405


# Host


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
async def test_loopback_names_are_allowed(host: str) -> None:
    async with access_server() as one:
        assert await one.caller_name(Host=host) == "anonymous"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::1"]
)
async def test_foreign_host_is_rejected_on_loopback(host: str) -> None:
    async with access_server() as one:
        status, text, _ = await one.request("/open", Host=host)
        assert (status, "localhost" in text) == (403, True)
        assert one.rejected == [("forbidden_host", "anonymous")]


async def test_missing_host_is_rejected() -> None:
    async with access_server() as one:
        reader, writer = await asyncio.open_connection(*one.address.split(":"))
        writer.write(b"GET /open HTTP/1.0\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


async def test_host_names_setting_adds_names() -> None:
    async with access_server(host_names="tts.example,MYBOX") as one:
        assert await one.caller_name(Host="TTS.example:8000") == "anonymous"
        assert await one.caller_name(Host="mybox") == "anonymous"
        assert await one.caller_name(Host="evil.example") == "403"


async def test_exposed_server_allows_addresses_but_no_foreign_names() -> None:
    async with access_server(host="0.0.0.0", insecure=2) as one:
        for host in ("192.168.1.5:8000", "[fd00::1]:8000", "localhost"):
            assert await one.caller_name(Host=host) == "anonymous"
        assert await one.caller_name(Host="evil.example") == "403"


async def test_with_key_any_host_is_allowed_unless_names_are_set() -> None:
    async with access_server(api_key="secret") as one:
        assert await one.caller_name(Host="anything.example", X_API_Key="secret") == "api_key"
    async with access_server(api_key="secret", host_names="tts.example") as one:
        assert await one.caller_name(Host="tts.example", X_API_Key="secret") == "api_key"
        assert await one.caller_name(Host="anything.example", X_API_Key="secret") == "403"


async def test_forwarded_host_and_proto_of_trusted_proxy_are_checked() -> None:
    settings = {"trusted_proxies": "127.0.0.1", "insecure": 2, "host_names": "tts.example"}
    async with access_server(**settings) as one:
        forwarded = {"X_Forwarded_Host": "tts.example", "X_Forwarded_Proto": "https"}
        assert await one.caller_name(**forwarded, Origin="https://tts.example") == "anonymous"
        assert await one.caller_name(**forwarded, Origin="http://tts.example") == "403"
        assert await one.caller_name(X_Forwarded_Host="evil.example") == "403"


# Keys


@pytest.mark.parametrize("path", ["/open", "/static/page"])
async def test_public_routes_need_no_key(path: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("open")
    app = web.Application()
    middleware.install(app, Settings.load(api_key="secret"))
    app.router.add_static("/static", tmp_path)

    async def handler(request: web.Request) -> web.Response:
        with pytest.raises(KeyError):
            request[middleware.CALLER]
        return web.Response(text="open")

    app.router.add_get("/open", middleware.public(handler))
    async with (
        serving(app) as address,
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}{path}") as response,
    ):
        assert (response.status, await response.text()) == (200, "open")


async def test_other_routes_need_a_key(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with access_server() as one:
        for path, method in (("/who", "GET"), ("/who", "HEAD"), ("/text", "POST"), ("/bug", "GET")):
            assert (await one.request(path, method))[0] == 401


async def test_unknown_routes_need_no_key(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with access_server() as one:
        assert (await one.request("/nothing"))[0] == 404
        assert (await one.request("/who", "DELETE"))[0] == 405


# Limits


async def test_character_limit_gives_429_with_retry_after(file: KeyFile) -> None:
    key = file.add("ann", Limits(chars_per_minute=60))
    async with access_server() as one, aiohttp.ClientSession(headers={"X-API-Key": key}) as client:
        url = f"http://{one.address}/text"
        async with client.post(url, data="x" * 60) as response:
            assert response.status == 200
        async with client.post(url, data="x" * 30) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) in (29, 30)
            assert "60 characters per minute" in await response.text()
        async with client.post(url, data="x" * 61) as response:
            assert (response.status, "Retry-After" in response.headers) == (413, False)
        assert one.rejected == [("rate_limited", "ann"), ("text_limit", "ann")]


async def test_context_is_released_when_its_reader_disconnects(file: KeyFile) -> None:
    key = file.add("ann", Limits(contexts=1))
    async with access_server() as one, aiohttp.ClientSession(headers={"X-API-Key": key}) as client:
        url = f"http://{one.address}/context"
        async with client.get(url) as first:
            assert first.status == 200
            async with client.get(url) as second:
                assert (second.status, second.headers["Retry-After"]) == (429, "1")
        while True:  # until the server has noticed
            async with client.get(url) as third:
                if third.status == 200:
                    break


async def test_anonymous_limits_are_per_address() -> None:
    settings = {"trusted_proxies": "127.0.0.1", "insecure": 2, "anonymous_chars_per_minute": 10}
    async with access_server(**settings) as one, aiohttp.ClientSession() as client:

        async def send(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            async with client.post(f"http://{one.address}/text", data="x" * 10, headers=headers) as response:
                return response.status

        assert [await send("203.0.113.9"), await send("203.0.113.9"), await send("203.0.113.10")] == [200, 429, 200]
        assert [await send("2001:db8::1"), await send("2001:db8::2"), await send("2001:db9::1")] == [200, 429, 200]


async def test_disallowed_voice_is_forbidden(file: KeyFile) -> None:
    key = file.add("ann", Limits(voices=("alba",)))
    async with access_server() as one:
        assert (await one.request("/voice/alba", X_API_Key=key))[0] == 200
        status, text, _ = await one.request("/voice/bob", X_API_Key=key)
        assert (status, "use one of: alba" in text) == (403, True)
        assert one.rejected == [("voice_not_allowed", "ann")]


async def test_key_revoked_during_a_request_gets_401(file: KeyFile) -> None:
    key = file.add("ann", Limits())
    async with access_server() as one:
        reader, writer = await asyncio.open_connection(*one.address.split(":"))
        head = f"POST /text HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: 5\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # the key was good
        file.revoke("ann")
        writer.write(b"Hello")
        assert b" 401 " in await reader.readline()
        writer.close()
        assert one.rejected == [("key_revoked", "ann")]


# What is logged


@pytest.mark.parametrize(
    "broken",
    [
        "Authorization: Bearer {key}\x01",
        "Authorization : Bearer {key}",
        "X-API-Key: {key}\x7f",
        "Sec-WebSocket-Protocol: sayline.key.{key}\x00",
        "Authorization: Bearer {key}" + "x" * 10_000,
    ],
)
async def test_malformed_request_does_not_log_its_key(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with access_server() as one:
        reader, writer = await asyncio.open_connection(*one.address.split(":"))
        writer.write(f"GET /who HTTP/1.1\r\nHost: localhost\r\n{broken.format(key='say_secret')}\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
    assert re.search(r"malformed request from 127.0.0.1 \(\w+\)", caplog.text)  # it was logged, and what is wrong
    assert max(record.levelno for record in caplog.records) == logging.DEBUG  # it is not the server's error
    assert "say_secret" not in caplog.text


async def test_keys_are_never_logged(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = file.add("ann", Limits(chars_per_minute=1))
    async with access_server() as one:
        for sent in ({"Authorization": f"Bearer {key}"}, {"X_API_Key": key}):
            for path, method in (("/who", "GET"), ("/bug", "GET"), ("/voice/x", "GET"), ("/nothing", "GET")):
                await one.request(path, method, **sent)
        await one.request(Authorization=f"Bearer {key}x")
        file.revoke("ann")
        await one.request(Sec_WebSocket_Protocol=f"sayline.key.{key}")
        file.path.write_text("{")
        await one.request(X_API_Key=key)
    assert "an internal error" in caplog.text  # it was logged
    assert "all keys are rejected until the key file is repaired" in caplog.text
    assert key not in caplog.text
    assert not any(key in repr(vars(record)) for record in caplog.records)


def test_other_errors_are_logged_unchanged() -> None:
    try:
        raise ValueError("an internal error")
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "", 1, "Error handling request", (), exc_info)
    assert middleware._redact_bad_headers(record)
    assert record.exc_info == exc_info
