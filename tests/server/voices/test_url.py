"""Downloads from client-supplied URLs: a real TLS server, and a fake DNS resolver."""

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
from sayline_tts.server.voices.url import MAX_HOPS, VoiceDownloader, VoiceUrlError

CA = trustme.CA()
HOSTS = ("voice.example", "other.example", "third.example", "127.0.0.1")
AUDIO = b"RIFF" + bytes(1000)
MAX_BYTES = 5_000
HOME = "127.0.0.1"


class Resolver(AbstractResolver):
    """Returns the configured answers, one after the other, and counts lookups."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.lookups: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = self.answers.get(host, [[HOME]])
        found = answers[min(self.lookups[host], len(answers) - 1)]
        self.lookups[host] += 1
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
    """A file server. `seen`: host and path of each request."""

    def __init__(self) -> None:
        self.port, self.resolver = 0, Resolver()
        self.seen: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.resume = asyncio.Event()

    def url(self, path: str = "/voice.wav", host: str = "voice.example") -> str:
        return f"https://{host}:{self.port}{path}"

    def downloader(
        self, may_connect: Callable[[str], bool] = lambda address: address == HOME, **more: Any
    ) -> VoiceDownloader:
        ssl_context = ssl.create_default_context()
        CA.configure_trust(ssl_context)
        options = {"ports": (self.port,), "resolver": self.resolver, "ssl_context": ssl_context, **more}
        return VoiceDownloader(MAX_BYTES, options.pop("limit_s", 30), may_connect, **options)

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
            await self.resume.wait()
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
    site.resume.set()
    await server.close()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets connected to."""
    found: list[str] = []
    loop_type = asyncio.SelectorEventLoop
    connect = loop_type.sock_connect

    async def spy(loop: Any, sock: socket.socket, address: Any) -> None:
        found.append(address[0])
        await connect(loop, sock, address)

    monkeypatch.setattr(loop_type, "sock_connect", spy)
    return found


async def refused(downloader: VoiceDownloader, url: str) -> str:
    with pytest.raises(VoiceUrlError) as message:
        await downloader.download(url)
    return str(message.value)


async def test_recording_is_downloaded_over_https(site: Site, connected: list[str]) -> None:
    assert await site.downloader().download(site.url()) == AUDIO
    assert site.seen == [("voice.example", "/voice.wav")]
    assert site.resolver.lookups == {"voice.example": 1}
    assert connected == [HOME]


async def test_request_headers_reveal_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    await site.downloader().download(site.url())
    assert site.headers == {
        "Host": f"voice.example:{site.port}",
        "User-Agent": "sayline",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


async def test_redirects_to_other_hosts_are_followed(site: Site, connected: list[str]) -> None:
    site.redirects = {"/a": site.url("/b", "other.example"), "/b": "/voice.wav"}
    assert await site.downloader().download(site.url("/a")) == AUDIO
    assert [host for host, _ in site.seen] == ["voice.example", "other.example", "other.example"]
    assert site.resolver.lookups == {"voice.example": 1, "other.example": 2}  # each hop once
    assert connected == [HOME] * 3


async def test_number_of_redirects_is_limited(site: Site) -> None:
    site.redirects = {"/a": "/a"}
    assert "redirects more than" in await refused(site.downloader(), site.url("/a"))
    assert len(site.seen) == MAX_HOPS


# Forbidden destinations


async def test_loopback_is_not_connected_to(site: Site, connected: list[str]) -> None:
    for host in ("voice.example", HOME):
        message = await refused(site.downloader(is_public), site.url(host=host))
        assert message == f"{host} is not on the public Internet; send the file itself"
    assert not site.seen
    assert not connected


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
async def test_names_of_special_addresses_are_not_connected_to(site: Site, connected: list[str], address: str) -> None:
    site.resolver.answers = {"voice.example": [[address]]}
    assert "not on the public Internet" in await refused(site.downloader(is_public), site.url())
    assert connected == []


async def test_name_of_several_special_addresses_is_not_connected_to(site: Site, connected: list[str]) -> None:
    site.resolver.answers = {"voice.example": [["10.0.0.1", "::1", "192.168.0.1", "127.0.0.1"]]}
    assert "not on the public Internet" in await refused(site.downloader(is_public), site.url())
    assert connected == []


async def test_only_allowed_addresses_of_a_name_are_connected_to(site: Site, connected: list[str]) -> None:
    site.resolver.answers = {"voice.example": [["10.0.0.1", "::1", HOME]]}
    assert await site.downloader().download(site.url()) == AUDIO
    assert connected == [HOME]


async def test_dns_rebinding_within_a_request_is_prevented(site: Site, connected: list[str]) -> None:
    """One lookup serves both the check and the connection."""
    site.resolver.answers = {"voice.example": [[HOME], ["10.0.0.1"]]}
    assert await site.downloader().download(site.url()) == AUDIO
    assert site.resolver.lookups == {"voice.example": 1}
    assert connected == [HOME]


async def test_each_hop_is_checked_again(site: Site, connected: list[str]) -> None:
    site.redirects = {"/a": "/voice.wav"}
    site.resolver.answers = {"voice.example": [[HOME], ["10.0.0.1"]]}
    assert "not on the public Internet" in await refused(site.downloader(), site.url("/a"))
    assert connected == [HOME]
    assert site.seen == [("voice.example", "/a")]


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"]
)
async def test_addresses_in_odd_notation_are_not_connected_to(site: Site, connected: list[str], host: str) -> None:
    site.resolver.answers = {host: [[HOME]]}
    await refused(site.downloader(is_public), site.url(host=host))
    assert not site.seen
    assert not connected


@pytest.mark.parametrize("address", ["fe80::1%1", "127.1", "localhost"])
async def test_address_is_checked_at_the_socket(site: Site, connected: list[str], address: str) -> None:
    site.resolver.answers = {"voice.example": [[address]]}
    await refused(site.downloader(is_public), site.url())
    assert connected == []


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("http://voice.example/voice.wav", "only https:// and hf://"),
        ("file:///etc/passwd", "only https:// and hf://"),
        ("gopher://voice.example/", "only https:// and hf://"),
        ("hf://owner/repo/file", "only https:// and hf://"),
        ("https://voice.example:22/", "port 22 is not allowed"),
        ("https://a:b@voice.example/", "user name or password"),
        ("https://[::1/", "not a valid URL"),
        ("https://" + "a" * 3000, "2048 characters"),
        ("//voice.example:99999/", "not a valid URL"),
        ("https://xn--a/", "not a valid URL"),
    ],
)
async def test_redirects_are_checked_like_urls(site: Site, to: str, message: str) -> None:
    site.redirects = {"/a": to}
    assert message in await refused(site.downloader(), site.url("/a"))
    assert site.seen == [("voice.example", "/a")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://voice.example/a.wav", "only https:// and hf://"),
        ("HTTP://voice.example/a.wav", "only https:// and hf://"),
        ("ftp://voice.example/a.wav", "only https:// and hf://"),
        ("file:///etc/passwd", "only https:// and hf://"),
        ("data:audio/wav;base64,AAAA", "only https:// and hf://"),
        ("/etc/passwd", "only https:// and hf://"),
        ("", "only https:// and hf://"),
        ("https://", "only https:// and hf://|not a valid URL"),
        ("https://user:word@voice.example/a", "user name or password"),
        ("https://user@voice.example/a", "user name or password"),
        ("https://voice.example:80/a", "port 80 is not allowed; use port 443"),
        ("https://voice.example:0/a", "port 0 is not allowed"),
        ("https://voice.example:abc/a", "not a valid URL"),
        ("https://" + "a" * 3000, "2048 characters"),
        ("hf://not-whole", "not a valid URL .*hf://owner/repository"),
        ("hf://a/b/../c", "not a valid URL"),
        ("https://xn--a/", "not a valid URL"),
    ],
)
async def test_invalid_urls_are_rejected_without_a_lookup(connected: list[str], source: str, message: str) -> None:
    resolver = Resolver()
    with pytest.raises(VoiceUrlError, match=message):
        await VoiceDownloader(MAX_BYTES, 30, resolver=resolver).download(source)
    assert not resolver.lookups
    assert connected == []


async def test_hub_url_is_resolved_to_https(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sayline_tts.engine.checkpoint.hub.hf_hub_url",
        lambda repo, path, revision: site.url(f"/{repo}/{revision}/{path}"),
    )
    site.redirects = {"/kyutai/voices/main/a/b.wav": "/voice.wav"}
    assert await site.downloader().download("hf://kyutai/voices/a/b.wav@main") == AUDIO


# Bounds


async def test_file_of_the_maximum_size_is_downloaded(site: Site) -> None:
    assert len(await site.downloader().download(site.url("/largest"))) == MAX_BYTES


@pytest.mark.parametrize("path", ["/too-large", "/endless"])
async def test_larger_file_is_not_read_to_the_end(site: Site, path: str) -> None:
    message = await refused(site.downloader(), site.url(path))
    assert message == f"file at voice.example is larger than {MAX_BYTES} bytes; shorten the recording"


async def test_content_is_not_decompressed(site: Site) -> None:
    assert await site.downloader().download(site.url("/packed")) == b"not gzip"


async def test_slow_download_times_out(site: Site) -> None:
    message = await refused(site.downloader(limit_s=0.2), site.url("/slow"))
    assert message == "download from voice.example took longer than 0.2 s; send the file itself"


# Errors


async def test_http_error_names_the_status(site: Site) -> None:
    assert await refused(site.downloader(), site.url("/none")) == "voice.example answered 404; check the URL"


async def test_truncated_response_is_an_error(site: Site) -> None:
    assert "closed the connection" in await refused(site.downloader(), site.url("/broken"))


async def test_untrusted_certificate_is_rejected(site: Site) -> None:
    downloader = site.downloader(ssl_context=None)
    assert "is not trusted" in await refused(downloader, site.url())
    assert site.seen == []


async def test_certificate_of_another_host_is_rejected(site: Site) -> None:
    message = await refused(site.downloader(), site.url(host="fourth.example"))
    assert "is not trusted" in message


async def test_unknown_host_is_an_error(site: Site) -> None:
    site.resolver.answers = {"voice.example": [[]]}
    message = await refused(site.downloader(), site.url())
    assert message == "cannot connect to voice.example; check the URL, or send the file itself"


async def test_closed_port_is_an_error(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind((HOME, 0))
        port = taken.getsockname()[1]
        downloader = site.downloader(ports=(port,))
        assert "cannot connect to" in await refused(downloader, f"https://voice.example:{port}/")


async def test_non_http_server_is_an_error(site: Site) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(*HOSTS).configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 smtp.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOME, 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        downloader = site.downloader(ports=(port,))
        assert "closed the connection or sent invalid HTTP" in await refused(
            downloader, f"https://voice.example:{port}/"
        )


async def test_system_resolver_is_the_default(site: Site) -> None:
    site.resolver.answers = {}
    message = await refused(site.downloader(is_public, resolver=None), site.url(host="localhost"))
    assert message.startswith("localhost is not on the public Internet")
