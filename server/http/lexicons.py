"""`/v1/lexicons`: store, show, list and delete lexicons.

A lexicon belongs to the key that stored it, and other keys cannot see it. Those stored without a key are everybody's.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.text import lexicon_files
from sayline_tts.engine.text.lexicon import MAX_ENTRIES, MAX_SAID_CHARS, MAX_WRITTEN_CHARS, Entry
from sayline_tts.engine.text.normalization.normalizer import language_code
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import BODY_S, parse_json
from sayline_tts.server.lexicons.store import LexiconStore, StoredLexicon
from sayline_tts.server.settings import Settings

PATH = "/v1/lexicons"
CSV, PLS = "text/csv", "application/pls+xml"
KINDS = ("application/json", CSV, PLS, "application/xml", "text/xml")


class NoSuchLexicon(InputError):
    code = "no_such_lexicon"


class LexiconIsShared(InputError):
    code = "not_yours"


class LexiconEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a word or phrase is said. The one that says most about its use holds: voice, then language, then case."""

    written: Annotated[str, Meta(max_length=MAX_WRITTEN_CHARS, examples=["Sayline"])]
    said: Annotated[
        str, Meta(max_length=MAX_SAID_CHARS, description="A respelling in ordinary letters.", examples=["SAY-line"])
    ]
    match_case: Annotated[bool, Meta(description="Only with these capitals.")] = False
    language: Annotated[str, Meta(max_length=35, description="Only in text of this language, such as `en`.")] = ""
    voice: Annotated[str, Meta(max_length=200, description="Only in this voice.")] = ""


class LexiconContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All entries of a lexicon, which replace those that it had."""

    entries: Annotated[tuple[LexiconEntry, ...], Meta(max_length=MAX_ENTRIES)]


def routes(store: LexiconStore, settings: Settings) -> list[web.RouteDef]:
    handlers = LexiconHandlers(store, settings)
    return [
        web.get(PATH, handlers.list_all),
        web.get(PATH + "/{name}", handlers.show),
        web.put(PATH + "/{name}", handlers.put),
        web.delete(PATH + "/{name}", handlers.delete),
    ]


class LexiconHandlers:
    def __init__(self, store: LexiconStore, settings: Settings) -> None:
        self._store, self._settings = store, settings

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        stored = await asyncio.to_thread(self._store.visible, request[CALLER].name)
        return _json({"lexicons": [_summary(each) for each in stored]})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """A key's own lexicon, or else everybody's of this name; as CSV if that is what `Accept` asks for."""
        stored = await self._find(request)
        if CSV in request.headers.get("Accept", ""):
            return web.Response(text=lexicon_files.to_csv(stored.entries), content_type=CSV)
        return _json({**_summary(stored), "entries": await asyncio.to_thread(entry_fields, stored.entries)})

    async def put(self, request: web.Request) -> web.StreamResponse:
        data, kind = await _read_body(request), request.content_type
        entries, skipped = await asyncio.to_thread(_parse, data, kind)
        name, owner, limit = request.match_info["name"], request[CALLER].name, self._settings.max_lexicon_entries
        stored = await asyncio.to_thread(self._store.put, name, owner, entries, limit)
        return _json({**_summary(stored), "skipped": skipped})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        stored = await self._find(request)
        if stored.owner != request[CALLER].name:
            raise LexiconIsShared("this lexicon was stored without a key; delete it without one")
        await asyncio.to_thread(self._store.delete, stored.name, stored.owner)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _find(self, request: web.Request) -> StoredLexicon:
        name, owner = request.match_info["name"], request[CALLER].name
        for each in (owner, ANONYMOUS):
            if stored := await asyncio.to_thread(self._store.get, name, each):
                return stored
        raise NoSuchLexicon(f"no lexicon {name[:100]!r}; GET {PATH} lists those of this key")


async def _read_body(request: web.Request) -> bytes:
    if request.content_type not in KINDS:
        message = f"unsupported Content-Type; send JSON, or one of {', '.join(KINDS[1:])}"
        raise RequestError(message, code="unsupported_media_type")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > lexicon_files.MAX_BYTES:
                    message = f"the lexicon is larger than {lexicon_files.MAX_BYTES} bytes; split it"
                    raise RequestError(message, code="too_large")
    except TimeoutError:
        raise RequestError(f"the body took longer than {BODY_S:g} s; send it faster", code="too_slow") from None
    return bytes(data)


def _parse(data: bytes, kind: str) -> tuple[Iterable[Entry], int]:
    """Return the entries, and how many were skipped. Raises `RequestError`, `LexiconError`."""
    if kind == CSV:
        return lexicon_files.parse_csv(data), 0
    if kind != KINDS[0]:
        return lexicon_files.parse_pls(data)
    content = parse_json(data, LexiconContent)
    return [
        Entry(each.written, each.said, each.match_case, language_code(each.language), each.voice)
        for each in content.entries
    ], 0


def entry_fields(entries: Iterable[Entry]) -> list[LexiconEntry]:
    return [LexiconEntry(each.written, each.said, each.match_case, each.language, each.voice) for each in entries]


def _summary(stored: StoredLexicon) -> dict[str, Any]:
    return {"name": stored.name, "size": len(stored.entries), "shared": stored.owner == ANONYMOUS}


def _json(content: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
