"""What every request passes: Host, Origin, key, limits. With real sockets."""

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
from tests.server.doorway import doorway
from tests.server.peer import running

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
async def test_without_a_key_only_our_own_pages_may_ask(origin: str, path: str) -> None:
    async with doorway() as one:
        status, text, headers = await one.ask(path, Origin=origin.format(address=one.address))
        assert (status, "--origins" in text) == (403, True)
        assert "Access-Control-Allow-Origin" not in headers
        assert one.rejected == [("forbidden_origin", "anonymous")]
        assert await one.who(Origin=f"http://{one.address}") == "anonymous"


async def test_a_form_of_another_site_is_refused() -> None:
    """Browsers send it without asking first."""
    async with doorway() as one:
        status, _, _ = await one.ask("/text", "POST", Origin="https://evil.example", Content_Type="text/plain")
    assert status == 403


async def test_pages_of_listed_sites_may_ask_and_read_the_answer() -> None:
    async with doorway(origins=f"{APP}, http://localhost:3000") as one:
        for origin in (APP, "http://localhost:3000"):
            status, text, headers = await one.ask(Origin=origin)
            assert (status, text) == (200, "anonymous")
            assert headers["Access-Control-Allow-Origin"] == origin
            assert headers["Vary"] == "Origin"
        assert (await one.ask(Origin="https://evil.example"))[0] == 403


async def test_refusals_can_be_read_by_pages_too(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with doorway(origins=APP) as one:
        for path, status in (("/who", 401), ("/nothing", 404)):
            answer = await one.ask(path, Origin=APP)
            assert (answer[0], answer[2]["Access-Control-Allow-Origin"]) == (status, APP)


async def test_what_another_has_said_about_caching_stays() -> None:
    async with (
        doorway(origins=APP) as one,
        aiohttp.ClientSession() as client,
        client.get(f"http://{one.address}/open") as response,
    ):
        assert response.headers.getall("Vary") == ["Accept-Encoding", "Origin"]


async def test_with_a_list_it_holds_for_holders_of_keys_too() -> None:
    async with doorway(api_key="secret", origins=APP) as one:
        assert await one.who(X_API_Key="secret", Origin=APP) == "api_key"
        assert await one.who(X_API_Key="secret", Origin="https://evil.example") == "403"
        assert await one.who(X_API_Key="secret") == "api_key"


async def test_with_a_key_and_no_list_a_page_needs_the_key_alone() -> None:
    async with doorway(api_key="secret") as one:
        status, text, headers = await one.ask(X_API_Key="secret", Origin=APP)
        assert (status, text) == (200, "api_key")
        assert "Access-Control-Allow-Origin" not in headers
        assert await one.who(Origin=APP) == "401"


async def test_a_browser_s_question_is_answered_without_a_key() -> None:
    async with doorway(api_key="secret", origins=APP) as one:
        status, _, headers = await one.ask("/text", "OPTIONS", Origin=APP, **PREFLIGHT)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, APP)
        assert headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        assert "POST" in headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("settings", [{"origins": APP}, {"api_key": "secret"}, {}])
async def test_a_browser_s_question_for_another_site_is_refused(settings: dict[str, str]) -> None:
    async with doorway(**settings) as one:
        status, _, headers = await one.ask("/text", "OPTIONS", Origin="https://evil.example", **PREFLIGHT)
    assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)


async def test_options_without_a_page_behind_it_are_no_question() -> None:
    async with doorway(origins=APP) as one:
        assert (await one.ask("/text", "OPTIONS"))[0] == 405


# Host


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
async def test_a_server_answers_to_this_machine_s_names(host: str) -> None:
    async with doorway() as one:
        assert await one.who(Host=host) == "anonymous"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::1"]
)
async def test_a_server_for_this_machine_does_not_answer_to_a_foreign_name(host: str) -> None:
    async with doorway() as one:
        status, text, _ = await one.ask("/open", Host=host)
        assert (status, "localhost" in text) == (403, True)
        assert one.rejected == [("forbidden_host", "anonymous")]


async def test_no_host_at_all_is_a_foreign_name() -> None:
    async with doorway() as one:
        reader, writer = await asyncio.open_connection(*one.address.split(":"))
        writer.write(b"GET /open HTTP/1.0\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


async def test_names_can_be_added() -> None:
    async with doorway(host_names="tts.example,MYBOX") as one:
        assert await one.who(Host="TTS.example:8000") == "anonymous"
        assert await one.who(Host="mybox") == "anonymous"
        assert await one.who(Host="evil.example") == "403"


async def test_an_open_server_answers_to_its_addresses_but_to_no_foreign_name() -> None:
    async with doorway(host="0.0.0.0", insecure=2) as one:
        for host in ("192.168.1.5:8000", "[fd00::1]:8000", "localhost"):
            assert await one.who(Host=host) == "anonymous"
        assert await one.who(Host="evil.example") == "403"


async def test_with_a_key_any_name_will_do_unless_names_are_given() -> None:
    async with doorway(api_key="secret") as one:
        assert await one.who(Host="anything.example", X_API_Key="secret") == "api_key"
    async with doorway(api_key="secret", host_names="tts.example") as one:
        assert await one.who(Host="tts.example", X_API_Key="secret") == "api_key"
        assert await one.who(Host="anything.example", X_API_Key="secret") == "403"


async def test_behind_a_proxy_the_name_and_scheme_that_were_asked_for_count() -> None:
    settings = {"trusted_proxies": "127.0.0.1", "insecure": 2, "host_names": "tts.example"}
    async with doorway(**settings) as one:
        forwarded = {"X_Forwarded_Host": "tts.example", "X_Forwarded_Proto": "https"}
        assert await one.who(**forwarded, Origin="https://tts.example") == "anonymous"
        assert await one.who(**forwarded, Origin="http://tts.example") == "403"
        assert await one.who(X_Forwarded_Host="evil.example") == "403"


# Keys


@pytest.mark.parametrize("path", ["/open", "/static/page"])
async def test_what_is_public_needs_no_key(path: str, tmp_path: Path) -> None:
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
        running(app) as address,
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}{path}") as response,
    ):
        assert (response.status, await response.text()) == (200, "open")


async def test_everything_else_needs_one(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with doorway() as one:
        for path, method in (("/who", "GET"), ("/who", "HEAD"), ("/text", "POST"), ("/bug", "GET")):
            assert (await one.ask(path, method))[0] == 401


async def test_that_there_is_nothing_everybody_may_know(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with doorway() as one:
        assert (await one.ask("/nothing"))[0] == 404
        assert (await one.ask("/who", "DELETE"))[0] == 405


# Limits


async def test_too_many_characters_are_told_when_to_come_back(file: KeyFile) -> None:
    key = file.add("ann", Limits(chars_per_minute=60))
    async with doorway() as one, aiohttp.ClientSession(headers={"X-API-Key": key}) as client:
        url = f"http://{one.address}/text"
        async with client.post(url, data="x" * 60) as response:
            assert response.status == 200
        async with client.post(url, data="x" * 30) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) in (29, 30)
            assert "60 characters a minute" in await response.text()
        async with client.post(url, data="x" * 61) as response:
            assert (response.status, "Retry-After" in response.headers) == (413, False)
        assert one.rejected == [("rate_limited", "ann"), ("text_limit", "ann")]


async def test_a_context_s_place_is_free_again_when_its_reader_goes(file: KeyFile) -> None:
    key = file.add("ann", Limits(contexts=1))
    async with doorway() as one, aiohttp.ClientSession(headers={"X-API-Key": key}) as client:
        url = f"http://{one.address}/context"
        async with client.get(url) as first:
            assert first.status == 200
            async with client.get(url) as second:
                assert (second.status, second.headers["Retry-After"]) == (429, "1")
        while True:  # until the server has noticed
            async with client.get(url) as third:
                if third.status == 200:
                    break


async def test_limits_hold_for_each_address_without_a_key() -> None:
    settings = {"trusted_proxies": "127.0.0.1", "insecure": 2, "anonymous_chars_per_minute": 10}
    async with doorway(**settings) as one, aiohttp.ClientSession() as client:

        async def send(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            async with client.post(f"http://{one.address}/text", data="x" * 10, headers=headers) as response:
                return response.status

        assert [await send("203.0.113.9"), await send("203.0.113.9"), await send("203.0.113.10")] == [200, 429, 200]
        assert [await send("2001:db8::1"), await send("2001:db8::2"), await send("2001:db9::1")] == [200, 429, 200]


async def test_voices_that_a_key_may_not_use_are_forbidden(file: KeyFile) -> None:
    key = file.add("ann", Limits(voices=("alba",)))
    async with doorway() as one:
        assert (await one.ask("/voice/alba", X_API_Key=key))[0] == 200
        status, text, _ = await one.ask("/voice/bob", X_API_Key=key)
        assert (status, "it may with alba" in text) == (403, True)
        assert one.rejected == [("voice_not_allowed", "ann")]


async def test_a_key_that_is_revoked_while_a_request_comes_in_is_good_for_nothing(file: KeyFile) -> None:
    key = file.add("ann", Limits())
    async with doorway() as one:
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
async def test_a_request_that_is_no_http_does_not_bring_its_key_into_the_log(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with doorway() as one:
        reader, writer = await asyncio.open_connection(*one.address.split(":"))
        writer.write(f"GET /who HTTP/1.1\r\nHost: localhost\r\n{broken.format(key='say_secret')}\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
    assert re.search(r"Error handling request from 127.0.0.1 \(\w+\)", caplog.text)  # it was logged, and what is wrong
    assert "say_secret" not in caplog.text


async def test_no_key_is_logged_whatever_happens(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = file.add("ann", Limits(chars_per_minute=1))
    async with doorway() as one:
        for sent in ({"Authorization": f"Bearer {key}"}, {"X_API_Key": key}):
            for path, method in (("/who", "GET"), ("/bug", "GET"), ("/voice/x", "GET"), ("/nothing", "GET")):
                await one.ask(path, method, **sent)
        await one.ask(Authorization=f"Bearer {key}x")
        file.revoke("ann")
        await one.ask(Sec_WebSocket_Protocol=f"sayline.key.{key}")
        file.path.write_text("{")
        await one.ask(X_API_Key=key)
    assert "a fault of ours" in caplog.text  # it was logged
    assert "no key is good until this is mended" in caplog.text
    assert key not in caplog.text
    assert not any(key in repr(vars(record)) for record in caplog.records)


def test_other_faults_are_logged_as_they_are() -> None:
    try:
        raise ValueError("a fault of ours")
    except ValueError as error:
        fault = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "", 1, "Error handling request", (), fault)
    assert middleware._discreet(record)
    assert record.exc_info == fault
