"""Download voice recordings from client-supplied URLs: https only, bounded in size and time, public addresses only.

Each hop resolves its host once. The address is checked where the socket for it is created, so the address that was
checked is the one connected to, whichever way the library gets there. This stops DNS rebinding.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    ThreadedResolver,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from sayline_tts.engine.errors import InputError
from sayline_tts.server.voices.public_address import is_public

MAX_URL_CHARS = 2_048
MAX_HOPS = 5
REDIRECTS = (301, 302, 303, 307, 308)
CHUNK_BYTES = 64 * 1024
HEADERS = {"User-Agent": "sayline", "Accept": "*/*", "Accept-Encoding": "identity"}  # against decompression bombs


class VoiceUrlError(InputError):
    code = "bad_voice_url"


class VoiceDownloader:
    """Downloads recordings. Tests replace `may_connect`, `ports`, `resolver` and `ssl_context`."""

    def __init__(
        self,
        max_bytes: int,
        limit_s: float,
        may_connect: Callable[[str], bool] = is_public,
        ports: Collection[int] = (443,),
        resolver: AbstractResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes, self._limit_s = max_bytes, limit_s
        self._may_connect, self._ports, self._resolver, self._ssl_context = may_connect, ports, resolver, ssl_context

    async def download(self, source: str) -> bytes:
        """Download an `https://` or `hf://` URL. Raises `VoiceUrlError`."""
        url = self._checked(source)
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._follow(url)
        except TimeoutError:
            raise VoiceUrlError(
                f"download from {url.host} took longer than {self._limit_s:g} s; send the file itself"
            ) from None

    async def _follow(self, url: URL) -> bytes:
        refused: list[str] = []
        connector = TCPConnector(
            resolver=self._resolver or ThreadedResolver(),
            use_dns_cache=False,
            force_close=True,
            ssl=self._ssl_context or True,
            socket_factory=lambda address_info: self._open_socket(address_info, refused),
        )
        async with ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
            trust_env=False,  # a proxy would connect on our behalf, unchecked
            timeout=ClientTimeout(total=None),  # the timeout above applies; aiohttp's would look like a lost connection
        ) as session:
            for _ in range(MAX_HOPS):
                try:
                    async with session.get(url, allow_redirects=False) as response:
                        if response.status not in REDIRECTS:
                            return await self._read(response)
                        url = self._checked(response.headers.get("Location", ""), url)
                except (ClientError, OSError, ValueError) as error:  # ValueError: headers that are not HTTP
                    raise VoiceUrlError(_message(error, url, refused)) from error
        raise VoiceUrlError(f"{url.host} redirects more than {MAX_HOPS} times; give the final URL")

    def _checked(self, source: str, base: URL | None = None) -> URL:
        """Parse and check a URL; `base` is the page that redirected to it. Raises `VoiceUrlError`."""
        if len(source) > MAX_URL_CHARS:
            raise VoiceUrlError(f"URL longer than {MAX_URL_CHARS} characters; send the file itself")
        try:
            if base is None and source.startswith("hf://"):
                from sayline_tts.engine.checkpoint.hub import HubFile  # slow to import

                source = HubFile.parse(source).url
            url = URL(source) if base is None else base.join(URL(source))
            host, port = url.host, url.port  # raise `ValueError` when they are decoded
        except (ValueError, InputError) as error:
            raise VoiceUrlError(f"not a valid URL ({error}); write it as https://host/path") from None
        if url.scheme != "https" or not host:
            raise VoiceUrlError(
                "only https:// and hf:// URLs are supported; give one of these, or send the file itself"
            )
        if url.user is not None or url.password is not None:
            raise VoiceUrlError("URLs with a user name or password are not supported; send the file itself")
        if port not in self._ports:
            raise VoiceUrlError(f"port {port} is not allowed; use port {', '.join(map(str, self._ports))}")
        return url

    def _open_socket(self, address_info: Any, refused: list[str]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not self._may_connect(address[0]):
            refused.append(address[0])
            raise OSError(errno.EACCES, "not an address of the public Internet")
        return socket.socket(family, kind, protocol)

    async def _read(self, response: ClientResponse) -> bytes:
        host = response.url.host
        if response.status != 200:
            raise VoiceUrlError(f"{host} answered {response.status}; check the URL")
        data = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            data += chunk
            if len(data) > self._max_bytes:
                raise VoiceUrlError(f"file at {host} is larger than {self._max_bytes} bytes; shorten the recording")
        return bytes(data)


def _message(error: Exception, url: URL, refused: list[str]) -> str:
    if isinstance(error, ClientConnectorCertificateError):
        return f"certificate of {url.host} is not trusted; send the file itself"
    if isinstance(error, ClientConnectorError):
        if refused:
            return f"{url.host} is not on the public Internet; send the file itself"
        return f"cannot connect to {url.host}; check the URL, or send the file itself"
    return f"{url.host} closed the connection or sent invalid HTTP; send the file itself"
