"""Read text from a file descriptor as it arrives: a pipe, a terminal or a regular file."""

import codecs
import os
from collections.abc import AsyncIterator, Iterator

from sayline.threaded_iterator import ThreadedIterator

PIECE_BYTES = 4096


class TextInput:
    """`async for piece in TextInput(0)`: decodes UTF-8 as soon as data is available.

    Invalid bytes are skipped and counted. A thread reads: the event loop cannot wait for a regular file, and making a
    terminal non-blocking would affect the shell too.
    """

    def __init__(self, descriptor: int) -> None:
        self.damaged_places = 0
        self._descriptor = descriptor

    async def __aiter__(self) -> AsyncIterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        async for piece in ThreadedIterator(self._pieces()):
            if text := self._without_damage(decoder.decode(piece)):
                yield text
        self._without_damage(decoder.decode(b"", final=True))  # an incomplete character at the end

    def _pieces(self) -> Iterator[bytes]:
        while piece := os.read(self._descriptor, PIECE_BYTES):
            yield piece

    def _without_damage(self, text: str) -> str:
        self.damaged_places += text.count("\N{REPLACEMENT CHARACTER}")
        return text.replace("\N{REPLACEMENT CHARACTER}", "")
