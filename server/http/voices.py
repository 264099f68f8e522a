"""`/v1/voices`: create, list, export and delete voices.

A voice belongs to the key that created it, and other keys cannot see it. Voices created without a key are shared: every
client may use them, and clients without a key may delete them.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sayline_tts.engine.errors import Full, InputError
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.settings import Settings
from sayline_tts.server.voices.store import VoiceMetadata, VoiceStore
from sayline_tts.server.voices.upload import read_upload
from sayline_tts.server.voices.url import VoiceDownloader
from sayline_tts.server.voices.voices import Voices

PATH = "/v1/voices"
MAX_UPLOADS = 4  # at the same time: each may take `max_upload_mb` of memory
MAX_UPLOADS_PER_CALLER = 2  # so that a slow client does not block others
RECEIVE_S = 120.0
DOWNLOAD_S = 20.0
RETRY_AFTER_MS = 5_000.0
FILE_TYPE = "application/octet-stream"


class VoiceQuota(InputError):
    code = "voice_quota"


class VoiceUrlsOff(InputError):
    code = "voice_urls_off"


class NotYours(InputError):
    code = "not_yours"


class NoSuchVoice(InputError):
    code = "no_such_voice"


def routes(voices: Voices, settings: Settings, downloader: VoiceDownloader | None = None) -> list[web.RouteDef]:
    """Routes of voices; `voices` must have a store. `downloader` is used if the settings allow downloads."""
    handlers = VoiceHandlers(voices, settings, downloader or VoiceDownloader(settings.max_upload_bytes, DOWNLOAD_S))
    return [
        web.post(PATH, handlers.add),
        web.get(PATH, handlers.list_all),
        web.get(PATH + "/{id}", handlers.show),
        web.get(PATH + "/{id}/export", handlers.export),
        web.delete(PATH + "/{id}", handlers.delete),
    ]


class VoiceHandlers:
    def __init__(self, voices: Voices, settings: Settings, downloader: VoiceDownloader) -> None:
        assert voices.store is not None
        self._voices, self._settings, self._downloader = voices, settings, downloader
        self._store: VoiceStore = voices.store
        self._uploads: Counter[str] = Counter()  # running uploads by owner

    async def add(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        with self._reserve(caller):
            upload = await read_upload(request, self._settings.max_upload_bytes, RECEIVE_S)
            data = upload.file if upload.file is not None else await self._download(upload.url)
            source = "the file" if upload.file is not None else "the file at this URL"
            metadata = await self._voices.add(data, upload.name, caller.name, source)
        return _json(_public_fields(metadata), HTTPStatus.CREATED, {"Location": f"{PATH}/{metadata.id}"})

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        built_in = [self._built_in(name) for name in caller.limits.allowed_voices(self._voices.built_in())]
        return _json({"voices": [*built_in, *map(_public_fields, self._store.visible(caller.name))]})

    async def show(self, request: web.Request) -> web.StreamResponse:
        name, caller = request.match_info["id"], request[CALLER]
        if name in caller.limits.allowed_voices(self._voices.built_in()):
            return _json(self._built_in(name))
        return _json(_public_fields(self._find(name, caller)))

    async def export(self, request: web.Request) -> web.StreamResponse:
        metadata = self._find(request.match_info["id"], request[CALLER])
        headers = {
            "Content-Disposition": f'attachment; filename="{metadata.id}.safetensors"',
            "Content-Type": FILE_TYPE,
        }
        return web.FileResponse(self._store.path(metadata), headers=headers)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        metadata = self._find(request.match_info["id"], caller)
        if metadata.owner != caller.name:
            raise NotYours("this voice was created without a key; delete it without one")
        await self._voices.delete(metadata)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _built_in(self, name: str) -> dict[str, Any]:
        description = self._voices.description(name)
        return {"id": name, "name": name, "kind": "built_in"} | ({"description": description} if description else {})

    async def _download(self, url: str) -> bytes:
        if not self._settings.fetches_voice_urls:
            raise VoiceUrlsOff("downloads of voices are disabled (--voice-urls); send the file itself")
        return await self._downloader.download(url)

    def _find(self, name: str, caller: Caller) -> VoiceMetadata:
        if metadata := self._voices.find(name, caller.name):
            return metadata
        raise NoSuchVoice(f"no cloned voice {name[:100]!r}; GET {PATH} lists the voices of this key")

    @contextmanager
    def _reserve(self, caller: Caller) -> Iterator[None]:
        """Reserve room for an upload, which counts as a voice from its start. Raises `VoiceQuota`, `Full`."""
        limit = caller.limits.stored_voices
        limit = self._settings.max_stored_voices if limit is None else limit
        if self._store.count(caller.name) + self._uploads[caller.name] >= limit:
            raise VoiceQuota(f"voice quota of this key reached ({limit} voices); delete one first")
        if self._uploads.total() >= MAX_UPLOADS or self._uploads[caller.name] >= MAX_UPLOADS_PER_CALLER:
            raise voice_creation_busy()
        self._uploads[caller.name] += 1
        try:
            yield
        finally:
            self._uploads[caller.name] -= 1
            self._uploads += Counter()  # drops zero counts


def voice_creation_busy() -> Full:
    return Full(f"too many voices are being created; retry in {RETRY_AFTER_MS / 1000:g} s", RETRY_AFTER_MS)


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), content_type="application/json", status=status, headers=headers
    )


def _public_fields(metadata: VoiceMetadata) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(metadata)
    del content["owner"]  # key names are not shown to clients
    return {**content, "kind": "cloned"}
