"""A voice recording fetched from where a stranger says. https only, bounded in size and time, from public addresses.

Each hop resolves its host once. The check is where a socket is made for one of the answers, so what is dialled is what
was checked: a name cannot be shown one address and lead to another, whatever way the library takes to the socket.
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
PIECE_BYTES = 64 * 1024
HEADERS = {"User-Agent": "sayline", "Accept": "*/*", "Accept-Encoding": "identity"}  # unpacked, 1 MB could be 1 GB


class VoiceUrlError(InputError):
    code = "bad_voice_url"


class VoiceUrls:
    """Fetches. `may_dial`, `ports`, `resolver` and `trust` are what tests replace to have servers of their own."""

    def __init__(
        self,
        max_bytes: int,
        limit_s: float,
        may_dial: Callable[[str], bool] = is_public,
        ports: Collection[int] = (443,),
        resolver: AbstractResolver | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes, self._limit_s = max_bytes, limit_s
        self._may_dial, self._ports, self._resolver, self._trust = may_dial, ports, resolver, trust

    async def fetch(self, source: str) -> bytes:
        """What lies at an `https://` or `hf://` address. Raises `VoiceUrlError`."""
        url = self._checked(source)
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._follow(url)
        except TimeoutError:
            raise VoiceUrlError(f"{url.host} took longer than {self._limit_s:g} s; send the file itself") from None

    async def _follow(self, url: URL) -> bytes:
        refused: list[str] = []
        connector = TCPConnector(
            resolver=self._resolver or ThreadedResolver(),
            use_dns_cache=False,
            force_close=True,
            ssl=self._trust or True,
            socket_factory=lambda dialled: self._open(dialled, refused),
        )
        async with ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
            trust_env=False,  # a proxy would do the dialling
            timeout=ClientTimeout(total=None),  # one clock is enough, and theirs raises what looks like a broken line
        ) as session:
            for _ in range(MAX_HOPS):
                try:
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status not in REDIRECTS:
                            return await self._read(answer)
                        url = self._checked(answer.headers.get("Location", ""), url)
                except (ClientError, OSError, ValueError) as error:  # ValueError: headers that are not HTTP
                    raise VoiceUrlError(_told(error, url, refused)) from error
        raise VoiceUrlError(f"{url.host} leads on and on, more than {MAX_HOPS} times; give the last address")

    def _checked(self, source: str, origin: URL | None = None) -> URL:
        """Raises `VoiceUrlError` unless it is an address that may be asked for."""
        if len(source) > MAX_URL_CHARS:
            raise VoiceUrlError(f"that address has more than {MAX_URL_CHARS} characters; send the file itself")
        try:
            if origin is None and source.startswith("hf://"):
                from sayline_tts.engine.checkpoint.hub import HubFile  # here, for what it takes to load

                source = HubFile.parse(source).url
            url = URL(source) if origin is None else origin.join(URL(source))
            port = url.port
        except (ValueError, InputError) as error:
            raise VoiceUrlError(f"that is not an address ({error}); write it as https://host/path") from None
        if url.scheme != "https" or not url.host:
            raise VoiceUrlError("only https:// and hf:// addresses are fetched; take one of these, or send the file")
        if url.user is not None or url.password is not None:
            raise VoiceUrlError("addresses with a name or password in them are not fetched; send the file itself")
        if port not in self._ports:
            raise VoiceUrlError(f"port {port} is not asked; only {', '.join(map(str, self._ports))}")
        return url

    def _open(self, dialled: Any, refused: list[str]) -> socket.socket:
        family, kind, protocol, _, address = dialled
        if not self._may_dial(address[0]):
            refused.append(address[0])
            raise OSError(errno.EACCES, "not an address of the public Internet")
        return socket.socket(family, kind, protocol)

    async def _read(self, answer: ClientResponse) -> bytes:
        host = answer.url.host
        if answer.status != 200:
            raise VoiceUrlError(f"{host} answered {answer.status}; check the address")
        data = bytearray()
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            data += piece
            if len(data) > self._max_bytes:
                raise VoiceUrlError(f"what {host} sends is larger than {self._max_bytes} bytes; cut the recording")
        return bytes(data)


def _told(error: Exception, url: URL, refused: list[str]) -> str:
    if isinstance(error, ClientConnectorCertificateError):
        return f"{url.host} has no certificate that is trusted here; send the file itself"
    if isinstance(error, ClientConnectorError):
        if refused:
            return f"{url.host} is not on the public Internet, so it is not asked; send the file itself"
        return f"{url.host} cannot be reached; check the address, or send the file itself"
    return f"{url.host} broke off or did not answer as a web server does; send the file itself"
