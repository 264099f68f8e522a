"""`/v1/voices`: made, listed, exported, deleted. A voice belongs to the key that it was made with; no other sees it.

What was made while nobody had a key belongs to all who have none, and all may speak with it.
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
from sayline_tts.server.voices.store import Card, VoiceStore
from sayline_tts.server.voices.upload import read_upload
from sayline_tts.server.voices.url import VoiceUrls
from sayline_tts.server.voices.voices import Voices

PATH = "/v1/voices"
MAX_UPLOADS = 4  # at a time: each may hold its largest size in memory
MAX_UPLOADS_OF_ONE = 2  # so that one who sends slowly leaves room for others
RECEIVE_S = 120.0
FETCH_S = 20.0
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


def routes(voices: Voices, settings: Settings, urls: VoiceUrls | None = None) -> list[web.RouteDef]:
    """For a server whose `voices` have a store. `urls`: who fetches, where the settings let anybody fetch."""
    doors = VoiceDoors(voices, settings, urls or VoiceUrls(settings.max_upload_bytes, FETCH_S))
    return [
        web.post(PATH, doors.add),
        web.get(PATH, doors.list_all),
        web.get(PATH + "/{id}", doors.show),
        web.get(PATH + "/{id}/export", doors.export),
        web.delete(PATH + "/{id}", doors.delete),
    ]


class VoiceDoors:
    def __init__(self, voices: Voices, settings: Settings, urls: VoiceUrls) -> None:
        assert voices.store is not None
        self._voices, self._settings, self._urls = voices, settings, urls
        self._store: VoiceStore = voices.store
        self._uploads: Counter[str] = Counter()  # under way, by owner

    async def add(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        with self._place(caller):
            upload = await read_upload(request, self._settings.max_upload_bytes, RECEIVE_S)
            data = upload.file if upload.file is not None else await self._fetch(upload.url)
            source = "the file" if upload.file is not None else "what lies there"
            card = await self._voices.add(data, upload.name, caller.name, source)
        return _json(_shown(card), HTTPStatus.CREATED, {"Location": f"{PATH}/{card.id}"})

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        built_in = [_built_in(name) for name in caller.limits.allowed_voices(self._voices.built_in())]
        return _json({"voices": [*built_in, *map(_shown, self._store.visible(caller.name))]})

    async def show(self, request: web.Request) -> web.StreamResponse:
        name, caller = request.match_info["id"], request[CALLER]
        if name in caller.limits.allowed_voices(self._voices.built_in()):
            return _json(_built_in(name))
        return _json(_shown(self._find(name, caller)))

    async def export(self, request: web.Request) -> web.StreamResponse:
        card = self._find(request.match_info["id"], request[CALLER])
        headers = {"Content-Disposition": f'attachment; filename="{card.id}.safetensors"', "Content-Type": FILE_TYPE}
        return web.FileResponse(self._store.path(card), headers=headers)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        card = self._find(request.match_info["id"], caller)
        if card.owner != caller.name:
            raise NotYours("that voice was made without a key, and only who has none may delete it")
        await self._voices.delete(card)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _fetch(self, url: str) -> bytes:
        if not self._settings.fetches_voice_urls:
            raise VoiceUrlsOff("this server fetches no voices (--voice-urls); send the file itself")
        return await self._urls.fetch(url)

    def _find(self, name: str, caller: Caller) -> Card:
        if card := self._voices.find(name, caller.name):
            return card
        raise NoSuchVoice(f"there is no voice {name[:100]!r} that somebody made and you may use; GET {PATH} lists all")

    @contextmanager
    def _place(self, caller: Caller) -> Iterator[None]:
        """A voice on its way counts as a voice. Raises `VoiceQuota`, `Full`."""
        most = caller.limits.stored_voices
        most = self._settings.max_stored_voices if most is None else most
        if self._store.count(caller.name) + self._uploads[caller.name] >= most:
            raise VoiceQuota(f"{most} voices are what may be kept here for one key; delete one first")
        if self._uploads.total() >= MAX_UPLOADS or self._uploads[caller.name] >= MAX_UPLOADS_OF_ONE:
            raise too_many_at_once()
        self._uploads[caller.name] += 1
        try:
            yield
        finally:
            self._uploads[caller.name] -= 1
            self._uploads += Counter()  # keeps only those who are left


def too_many_at_once() -> Full:
    return Full("as many voices are being made as this machine can; try again", RETRY_AFTER_MS)


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), content_type="application/json", status=status, headers=headers
    )


def _built_in(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "kind": "built_in"}


def _shown(card: Card) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(card)
    del content["owner"]  # whoever sees it knows, and the names of keys are nobody's business
    return {**content, "kind": "cloned"}
