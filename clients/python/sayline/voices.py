"""The voices of a server: list, clone, download and delete them over HTTP."""

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

from sayline.errors import Refused, VoiceFailed
from sayline.handshake import is_loopback, stream_url

SCHEMES = {"ws": "http", "wss": "https"}
PATH = "/v1/voices"
CLONE_S = 150.0  # the server gives an upload two minutes


@dataclass(frozen=True, slots=True)
class Voice:
    """`id` or `name` is what `context(voice=...)` takes. `kind`: "built_in" or "cloned".

    `advice`: how a better recording would improve a voice that was cloned now.
    """

    id: str
    name: str
    kind: str
    created: str | None = None
    duration_s: float | None = None  # of the recording
    advice: tuple[str, ...] = ()
    description: str | None = None  # of a voice of the model


class Voices:
    """`Session.voices`. Every method raises `Refused` if there is no answer, `VoiceFailed` if it is an error."""

    def __init__(self, url: str, key: Callable[[], Awaitable[str | None]]) -> None:
        parts = urlsplit(stream_url(url))
        self._root = urlunsplit((SCHEMES[parts.scheme], parts.netloc, PATH, "", ""))
        self._key = key
        self._opener = build_opener(*([ProxyHandler({})] if is_loopback(self._root) else []))

    async def list(self) -> list[Voice]:
        """The model's own voices, then those that this key has cloned."""
        answer = json.loads(await self._ask("GET", ""))
        return [_voice(fields) for fields in answer["voices"]]

    async def clone(
        self, recording: str | os.PathLike[str] | bytes, name: str | None = None, *, consent: bool
    ) -> Voice:
        """Clone a voice from a file, or from the bytes of one: 5 to 30 s of clear speech in any common format.

        `consent`: the speaker agrees to this clone; without it nothing is sent. `name`: by default the id.
        """
        if not consent:
            raise VoiceFailed("consent", "a voice is cloned only with its speaker's consent: pass consent=True")
        data = recording if isinstance(recording, bytes) else await asyncio.to_thread(Path(recording).read_bytes)
        fields = {"consent": "true"} | ({} if name is None else {"name": name})
        content_type, body = _form(fields, data)
        return _voice(json.loads(await self._ask("POST", "", body, content_type)))

    async def download(self, voice: str) -> bytes:
        """The file of a cloned voice, which `clone` and the reference implementation take."""
        return await self._ask("GET", f"/{quote(voice, safe='')}/export")

    async def delete(self, voice: str) -> None:
        """Delete a cloned voice. Speech in progress is not interrupted."""
        await self._ask("DELETE", f"/{quote(voice, safe='')}")

    async def _ask(self, method: str, path: str, body: bytes | None = None, content_type: str | None = None) -> bytes:
        headers = {"Content-Type": content_type} if content_type else {}
        if key := await self._key():
            headers["Authorization"] = f"Bearer {key}"
        return await asyncio.to_thread(self._send, Request(self._root + path, body, headers, method=method))

    def _send(self, request: Request) -> bytes:
        try:
            with self._opener.open(request, timeout=CLONE_S) as answer:
                data: bytes = answer.read()
                return data
        except HTTPError as error:
            raise _failure(error) from error
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise Refused(f"no answer from {self._root} ({reason}): check the address and the server") from error


def _voice(fields: dict[str, Any]) -> Voice:
    advice = tuple(str(each["message"]) for each in fields.get("advice", ()))
    created, duration_s, description = (fields.get(name) for name in ("created", "duration_s", "description"))
    return Voice(fields["id"], fields["name"], fields["kind"], created, duration_s, advice, description)


def _form(fields: dict[str, str], file: bytes) -> tuple[str, bytes]:
    """The content type and body of a multipart form with a file."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="recording"\r\n\r\n'
    return f"multipart/form-data; boundary={boundary}", b"".join(
        [*parts, head.encode(), file, f"\r\n--{boundary}--\r\n".encode()]
    )


def _failure(error: HTTPError) -> VoiceFailed:
    text = error.read().decode(errors="replace")
    try:
        fields = json.loads(text)["error"]
        return VoiceFailed(str(fields["code"]), str(fields["message"]))
    except (ValueError, KeyError, TypeError):
        return VoiceFailed(f"http_{error.code}", text.strip()[:200] or f"the server answered {error.code}")
