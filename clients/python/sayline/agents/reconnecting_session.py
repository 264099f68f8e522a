"""The session that all speech of an agent goes over: there when it is needed, and again when it was lost."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from sayline.client import Session, connect
from sayline.context import Context
from sayline.errors import ConnectionLost


class ReconnectingSession:
    """An agent that is silent for long finds its session closed, and must not notice."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url, self._api_key = url, api_key
        self._session: Session | None = None
        self._closing = AsyncExitStack()
        self._connecting = asyncio.Lock()

    async def connect(self) -> Session:
        """The session that there is, or a new one. Raises `Refused`."""
        async with self._connecting:
            if self._session is None:
                self._session = await self._closing.enter_async_context(connect(self._url, self._api_key))
            return self._session

    async def open(self, **options: Any) -> Context:
        """A context that is open; `wish` is what `Session.context` takes. Raises `Refused`, or `ConnectionLost`."""
        session = await self.connect()
        try:
            return await session.context(format="pcm", **options).__aenter__()
        except ConnectionLost:
            await self._close(session)
            session = await self.connect()
            return await session.context(format="pcm", **options).__aenter__()

    async def close(self) -> None:
        """Until somebody speaks again."""
        await self._close(self._session)

    async def _close(self, session: Session | None) -> None:
        async with self._connecting:
            if session is self._session:  # not one that another has opened since
                self._session = None
                await self._closing.aclose()
