"""The session that an agent's contexts share: opened on demand, and reopened when it was lost."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from sayline.client import Session, connect
from sayline.context import Context
from sayline.errors import ConnectionLost


class ReconnectingSession:
    """Hides from an idle agent that the server has closed its session."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url, self._api_key = url, api_key
        self._session: Session | None = None
        self._closing = AsyncExitStack()
        self._connecting = asyncio.Lock()

    async def connect(self) -> Session:
        """Return the current session, or open a new one. Raises `Refused`."""
        async with self._connecting:
            if self._session is None:
                self._session = await self._closing.enter_async_context(connect(self._url, self._api_key))
            return self._session

    async def open(self, **options: Any) -> Context:
        """Return an open context with the `options` of `Session.context`. Raises `Refused`, `ConnectionLost`."""
        session = await self.connect()
        try:
            return await session.context(format="pcm", **options).__aenter__()
        except ConnectionLost:
            await self._close(session)
            session = await self.connect()
            return await session.context(format="pcm", **options).__aenter__()

    async def close(self) -> None:
        """Close the session until the next context."""
        await self._close(self._session)

    async def _close(self, session: Session | None) -> None:
        async with self._connecting:
            if session is self._session:  # not a session opened meanwhile
                self._session = None
                await self._closing.aclose()
