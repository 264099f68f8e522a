"""Fetching from addresses that strangers give: a real TLS server, and a stand-in for the resolver alone."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from sayline_tts.server.voices.public_address import is_public
from sayline_tts.server.voices.url import MAX_HOPS, VoiceUrlError, VoiceUrls

CA = trustme.CA()
HOSTS = ("voice.example", "other.example", "third.example", "127.0.0.1")
AUDIO = b"RIFF" + bytes(1000)
MAX_BYTES = 5_000
HOME = "127.0.0.1"


class Resolver(AbstractResolver):
    """Answers what it is told to, and counts. Told several answers, it changes its mind each time."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = self.answers.get(host, [[HOME]])
        found = answers[min(self.asked[host], len(answers) - 1)]
        self.asked[host] += 1
        if not found:
            raise OSError(None, "no such host")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        pass


class Site:
    """A server of files. `seen`: who was asked for what."""

    def __init__(self) -> None:
        self.port, self.resolver = 0, Resolver()
        self.seen: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.go_on = asyncio.Event()

    def url(self, path: str = "/voice.wav", host: str = "voice.example") -> str:
        return f"https://{host}:{self.port}{path}"

    def fetcher(self, may_dial: Callable[[str], bool] = lambda address: address == HOME, **more: Any) -> VoiceUrls:
        trust = ssl.create_default_context()
        CA.configure_trust(trust)
        options = {"ports": (self.port,), "resolver": self.resolver, "trust": trust, **more}
        return VoiceUrls(MAX_BYTES, options.pop("limit_s", 30), may_dial, **options)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.url.host or "", request.path))
        self.headers = dict(request.headers)
        match request.path:
            case "/voice.wav":
                return web.Response(body=AUDIO)
            case "/largest":
                return web.Response(body=bytes(MAX_BYTES))
            case "/too-large":
                return web.Response(body=bytes(MAX_BYTES + 1))
            case "/endless" | "/slow" | "/broken":
                return await self._stream(request)
            case "/packed":
                return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})
            case path if path in self.redirects:
                return web.Response(status=302, headers={"Location": self.redirects[path]})
        raise web.HTTPNotFound

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "10"} if request.path == "/broken" else None)
        await answer.prepare(request)
        await answer.write(b"x")
        if request.path == "/slow":
            await self.go_on.wait()
        while request.path == "/endless":
            await answer.write(bytes(1000))
        assert request.transport is not None
        request.transport.close()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    app = web.Application()
    server = TestServer(app, scheme="https")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(*HOSTS).configure_cert(context)
    site = Site()
    app.router.add_get("/{path:.*}", site.serve)
    await server.start_server(ssl=context)
    assert server.port is not None
    site.port = server.port
    yield site
    site.go_on.set()
    await server.close()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets were connected to."""
    found: list[str] = []
    loop_type = asyncio.SelectorEventLoop
    connect = loop_type.sock_connect

    async def spy(loop: Any, sock: socket.socket, address: Any) -> None:
        found.append(address[0])
        await connect(loop, sock, address)

    monkeypatch.setattr(loop_type, "sock_connect", spy)
    return found


async def refused(urls: VoiceUrls, url: str) -> str:
    with pytest.raises(VoiceUrlError) as told:
        await urls.fetch(url)
    return str(told.value)


async def test_a_recording_is_fetched_over_https(site: Site, dialled: list[str]) -> None:
    assert await site.fetcher().fetch(site.url()) == AUDIO
    assert site.seen == [("voice.example", "/voice.wav")]
    assert site.resolver.asked == {"voice.example": 1}
    assert dialled == [HOME]


async def test_nothing_is_told_about_us(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    await site.fetcher().fetch(site.url())
    assert site.headers == {
        "Host": f"voice.example:{site.port}",
        "User-Agent": "sayline",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


async def test_redirects_are_followed_to_other_hosts(site: Site, dialled: list[str]) -> None:
    site.redirects = {"/a": site.url("/b", "other.example"), "/b": "/voice.wav"}
    assert await site.fetcher().fetch(site.url("/a")) == AUDIO
    assert [host for host, _ in site.seen] == ["voice.example", "other.example", "other.example"]
    assert site.resolver.asked == {"voice.example": 1, "other.example": 2}  # each hop once
    assert dialled == [HOME] * 3


async def test_redirects_come_to_an_end(site: Site) -> None:
    site.redirects = {"/a": "/a"}
    assert "leads on and on" in await refused(site.fetcher(), site.url("/a"))
    assert len(site.seen) == MAX_HOPS


# Where it may not lead


async def test_this_machine_is_not_asked(site: Site, dialled: list[str]) -> None:
    for host in ("voice.example", HOME):
        told = await refused(site.fetcher(is_public), site.url(host=host))
        assert told == f"{host} is not on the public Internet, so it is not asked; send the file itself"
    assert not site.seen
    assert not dialled


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00::1",
        "224.0.0.1",
    ],
)
async def test_names_that_lead_to_special_addresses_are_not_asked(site: Site, dialled: list[str], address: str) -> None:
    site.resolver.answers = {"voice.example": [[address]]}
    assert "not on the public Internet" in await refused(site.fetcher(is_public), site.url())
    assert dialled == []


async def test_a_name_that_leads_to_many_special_addresses_is_not_asked(site: Site, dialled: list[str]) -> None:
    site.resolver.answers = {"voice.example": [["10.0.0.1", "::1", "192.168.0.1", "127.0.0.1"]]}
    assert "not on the public Internet" in await refused(site.fetcher(is_public), site.url())
    assert dialled == []


async def test_of_several_addresses_only_those_that_may_be_are_dialled(site: Site, dialled: list[str]) -> None:
    site.resolver.answers = {"voice.example": [["10.0.0.1", "::1", HOME]]}
    assert await site.fetcher().fetch(site.url()) == AUDIO
    assert dialled == [HOME]


async def test_a_name_that_changes_its_mind_is_asked_once(site: Site, dialled: list[str]) -> None:
    """DNS rebinding: good for the check, bad for the connection. There is only one answer for both."""
    site.resolver.answers = {"voice.example": [[HOME], ["10.0.0.1"]]}
    assert await site.fetcher().fetch(site.url()) == AUDIO
    assert site.resolver.asked == {"voice.example": 1}
    assert dialled == [HOME]


async def test_a_name_that_changes_its_mind_between_hops_is_checked_again(site: Site, dialled: list[str]) -> None:
    site.redirects = {"/a": "/voice.wav"}
    site.resolver.answers = {"voice.example": [[HOME], ["10.0.0.1"]]}
    assert "not on the public Internet" in await refused(site.fetcher(), site.url("/a"))
    assert dialled == [HOME]
    assert site.seen == [("voice.example", "/a")]


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"]
)
async def test_addresses_in_odd_notation_are_not_asked(site: Site, dialled: list[str], host: str) -> None:
    site.resolver.answers = {host: [[HOME]]}
    await refused(site.fetcher(is_public), site.url(host=host))
    assert not site.seen
    assert not dialled


@pytest.mark.parametrize("address", ["fe80::1%1", "127.1", "localhost"])
async def test_whatever_reaches_the_socket_is_checked(site: Site, dialled: list[str], address: str) -> None:
    site.resolver.answers = {"voice.example": [[address]]}
    await refused(site.fetcher(is_public), site.url())
    assert dialled == []


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("http://voice.example/voice.wav", "only https:// and hf://"),
        ("file:///etc/passwd", "only https:// and hf://"),
        ("gopher://voice.example/", "only https:// and hf://"),
        ("hf://owner/repo/file", "only https:// and hf://"),
        ("https://voice.example:22/", "port 22 is not asked"),
        ("https://a:b@voice.example/", "name or password"),
        ("https://[::1/", "not an address"),
        ("https://" + "a" * 3000, "2048 characters"),
        ("//voice.example:99999/", "not an address"),
    ],
)
async def test_a_redirect_is_checked_like_an_address(site: Site, to: str, told: str) -> None:
    site.redirects = {"/a": to}
    assert told in await refused(site.fetcher(), site.url("/a"))
    assert site.seen == [("voice.example", "/a")]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("http://voice.example/a.wav", "only https:// and hf://"),
        ("HTTP://voice.example/a.wav", "only https:// and hf://"),
        ("ftp://voice.example/a.wav", "only https:// and hf://"),
        ("file:///etc/passwd", "only https:// and hf://"),
        ("data:audio/wav;base64,AAAA", "only https:// and hf://"),
        ("/etc/passwd", "only https:// and hf://"),
        ("", "only https:// and hf://"),
        ("https://", "only https:// and hf://|not an address"),
        ("https://user:word@voice.example/a", "name or password"),
        ("https://user@voice.example/a", "name or password"),
        ("https://voice.example:80/a", "port 80 is not asked; only 443"),
        ("https://voice.example:0/a", "port 0 is not asked"),
        ("https://voice.example:abc/a", "not an address"),
        ("https://" + "a" * 3000, "2048 characters"),
        ("hf://not-whole", "not an address .*hf://owner/repository"),
        ("hf://a/b/../c", "not an address"),
    ],
)
async def test_other_addresses_are_refused_without_asking_anybody(dialled: list[str], source: str, told: str) -> None:
    resolver = Resolver()
    with pytest.raises(VoiceUrlError, match=told):
        await VoiceUrls(MAX_BYTES, 30, resolver=resolver).fetch(source)
    assert not resolver.asked
    assert dialled == []


async def test_a_file_on_the_hub_is_fetched_by_its_address_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sayline_tts.engine.checkpoint.hub.hf_hub_url",
        lambda repo, path, revision: site.url(f"/{repo}/{revision}/{path}"),
    )
    site.redirects = {"/kyutai/voices/main/a/b.wav": "/voice.wav"}
    assert await site.fetcher().fetch("hf://kyutai/voices/a/b.wav@main") == AUDIO


# Bounds


async def test_what_is_as_large_as_allowed_is_taken(site: Site) -> None:
    assert len(await site.fetcher().fetch(site.url("/largest"))) == MAX_BYTES


@pytest.mark.parametrize("path", ["/too-large", "/endless"])
async def test_what_is_larger_is_not_read_to_its_end(site: Site, path: str) -> None:
    told = await refused(site.fetcher(), site.url(path))
    assert told == f"what voice.example sends is larger than {MAX_BYTES} bytes; cut the recording"


async def test_nothing_is_unpacked(site: Site) -> None:
    assert await site.fetcher().fetch(site.url("/packed")) == b"not gzip"


async def test_what_takes_too_long_is_given_up(site: Site) -> None:
    told = await refused(site.fetcher(limit_s=0.2), site.url("/slow"))
    assert told == "voice.example took longer than 0.2 s; send the file itself"


# What goes wrong


async def test_what_is_not_there_says_so(site: Site) -> None:
    assert await refused(site.fetcher(), site.url("/none")) == "voice.example answered 404; check the address"


async def test_what_breaks_off_says_so(site: Site) -> None:
    assert "broke off" in await refused(site.fetcher(), site.url("/broken"))


async def test_a_certificate_that_nobody_vouches_for_is_refused(site: Site) -> None:
    urls = site.fetcher(trust=None)
    assert "no certificate that is trusted here" in await refused(urls, site.url())
    assert site.seen == []


async def test_a_certificate_of_another_host_is_refused(site: Site) -> None:
    told = await refused(site.fetcher(), site.url(host="fourth.example"))
    assert "no certificate that is trusted here" in told


async def test_a_name_that_does_not_exist_says_so(site: Site) -> None:
    site.resolver.answers = {"voice.example": [[]]}
    told = await refused(site.fetcher(), site.url())
    assert told == "voice.example cannot be reached; check the address, or send the file itself"


async def test_a_port_that_nobody_answers_at_says_so(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind((HOME, 0))
        port = taken.getsockname()[1]
        urls = site.fetcher(ports=(port,))
        assert "cannot be reached" in await refused(urls, f"https://voice.example:{port}/")


async def test_what_is_no_web_server_says_so(site: Site) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(*HOSTS).configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 smtp.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOME, 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        urls = site.fetcher(ports=(port,))
        assert "broke off or did not answer as a web server" in await refused(urls, f"https://voice.example:{port}/")


async def test_the_real_resolver_is_used_where_none_is_given(site: Site) -> None:
    site.resolver.answers = {}
    told = await refused(site.fetcher(is_public, resolver=None), site.url(host="localhost"))
    assert told.startswith("localhost is not on the public Internet")
