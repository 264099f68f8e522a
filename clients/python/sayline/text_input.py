"""Text from a file descriptor, as it comes: a pipe, a terminal or a plain file. Knows nothing of speech."""

import asyncio
import codecs
import os
import threading
from collections.abc import AsyncIterator

PIECE_BYTES = 4096
MAX_WAITING_PIECES = 8


class TextInput:
    """`async for piece in TextInput(0)`: UTF-8, each piece as soon as the descriptor gives it.

    Bytes that are not UTF-8 are left out and counted. A thread does the reading: the event loop cannot wait for a
    plain file, and making a terminal non-blocking would make it so for the shell that lent it to us.
    """

    def __init__(self, descriptor: int) -> None:
        self.damaged_places = 0
        self._descriptor = descriptor
        self._pieces: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        self._room = threading.Semaphore(MAX_WAITING_PIECES)

    async def __aiter__(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        # A daemon, so that a program that is told to stop need not wait for someone to type.
        threading.Thread(target=self._read, args=(loop,), name="text input", daemon=True).start()
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        while True:
            piece = await self._pieces.get()
            self._room.release()
            if isinstance(piece, OSError):
                raise piece
            if text := self._without_damage(decoder.decode(piece, final=not piece)):
                yield text
            if not piece:
                return

    def _without_damage(self, text: str) -> str:
        self.damaged_places += text.count("\N{REPLACEMENT CHARACTER}")
        return text.replace("\N{REPLACEMENT CHARACTER}", "")

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        piece: bytes | OSError = b" "
        while isinstance(piece, bytes) and piece:
            self._room.acquire()
            try:
                piece = os.read(self._descriptor, PIECE_BYTES)
            except OSError as error:
                piece = error
            try:
                loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
            except RuntimeError:  # the loop is closed: nobody reads any more
                return
