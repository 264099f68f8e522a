"""Text from a file descriptor, as it comes: a pipe, a terminal or a plain file. Knows nothing of speech."""

import codecs
import os
from collections.abc import AsyncIterator, Iterator

from sayline.threaded_iterator import Reading

PIECE_BYTES = 4096


class TextInput:
    """`async for piece in TextInput(0)`: UTF-8, each piece as soon as the descriptor gives it.

    Bytes that are not UTF-8 are left out and counted. A thread does the reading: the event loop cannot wait for a
    plain file, and making a terminal non-blocking would make it so for the shell that lent it to us.
    """

    def __init__(self, descriptor: int) -> None:
        self.damaged_places = 0
        self._descriptor = descriptor

    async def __aiter__(self) -> AsyncIterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        async for piece in Reading(self._pieces()):
            if text := self._without_damage(decoder.decode(piece)):
                yield text
        self._without_damage(decoder.decode(b"", final=True))  # half a character, where it ended in one

    def _pieces(self) -> Iterator[bytes]:
        while piece := os.read(self._descriptor, PIECE_BYTES):
            yield piece

    def _without_damage(self, text: str) -> str:
        self.damaged_places += text.count("\N{REPLACEMENT CHARACTER}")
        return text.replace("\N{REPLACEMENT CHARACTER}", "")
