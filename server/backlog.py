"""Text of one context on its way into the engine. Knows no wire and no audio, only how far the listener is ahead.

Text waits as text: only as much becomes segments as the engine needs next, a little at a time, so that neither 64 KB
in one message nor a late cancel costs anybody anything.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from engine.errors import TextError
from engine.model import Model
from engine.segmenter import Segmenter
from engine.utterance import Segment, Utterance
from server.settings import Settings

SEGMENTS_AHEAD = 3  # handed to the engine, counting the one that is spoken
PIECE_CHARS = 256  # segmented in one go: about 1 ms
CUT_LEAD_MS = 500.0  # a listener who has more than this can wait for the writer a little longer


class _Mark(Enum):
    FLUSH = auto()
    END = auto()


class Backlog:
    """`on_change`: the engine has something new to look at. `on_nothing`: the text has ended without a word."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        on_change: Callable[[], None],
        on_nothing: Callable[[], None],
    ) -> None:
        self._model = model
        self._pause_s, self._max_delay_s = settings.pause_ms / 1000, settings.max_delay_ms / 1000
        self._on_change, self._on_nothing = on_change, on_nothing
        self._loop = asyncio.get_running_loop()
        self._items: deque[str | _Mark] = deque()
        self._segmenter = Segmenter(lambda text: len(model.tokenizer.encode(text)))
        self._utterance: Utterance | None = None
        self._segments_ahead = 0
        self._spoke = False
        self._written_at = 0.0  # loop time of the last text
        self._pending_since: float | None = None  # loop time; the segmenter holds the beginning of a segment
        self._next_fill: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self.waiting_chars = 0  # neither spoken nor held by the segmenter, which has a bound of its own

    def begin(self, utterance: Utterance) -> None:
        """Whom the text is for. It may come before."""
        self._utterance = utterance
        self._fill()

    def push(self, text: str) -> None:
        self.waiting_chars += len(text)
        self._written_at = self._loop.time()
        last = self._items[-1] if self._items else None
        if isinstance(last, str):  # few long pieces instead of many words
            self._items.pop()
            text = last + text
        self._items.extend(text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))
        self._fill()

    def flush(self) -> None:
        if not self._items or self._items[-1] is not _Mark.FLUSH:
            self._items.append(_Mark.FLUSH)
            self._fill()

    def end(self) -> None:
        self._items.append(_Mark.END)
        self._fill()

    def on_spoken(self, segment: Segment) -> None:
        self._segments_ahead -= 1
        self.waiting_chars -= len(segment.text)
        self._fill()

    def close(self) -> None:
        """Nothing happens any more."""
        self._utterance = None
        self._items.clear()
        self._forget_pause()
        if self._next_fill is not None:
            self._next_fill.cancel()

    @property
    def _hungry(self) -> bool:
        return bool(self._items) and self._segments_ahead < SEGMENTS_AHEAD

    def _fill(self) -> None:
        """One piece now; the next when all others on this loop had their turn."""
        if self._next_fill is None:
            self._fill_piece()

    def _fill_piece(self) -> None:
        self._next_fill = None
        utterance = self._utterance
        if utterance is None:
            return
        if self._hungry:
            self._take(utterance, self._items.popleft())
        if self._hungry:
            self._next_fill = self._loop.call_soon(self._fill_piece)
        self._watch_pause(utterance)

    def _take(self, utterance: Utterance, item: str | _Mark) -> None:
        if isinstance(item, str):
            self.waiting_chars -= len(item)
            self._add(utterance, self._segmenter.push(item))
            return
        self._add(utterance, self._segmenter.flush())
        if item is _Mark.END:
            utterance.end()
            self._on_change()
            if not self._spoke:
                self._on_nothing()

    def _add(self, utterance: Utterance, texts: list[str]) -> None:
        for text in texts:
            try:
                segment = self._model.segment(text)
            except TextError:  # nothing to say in this one; the end shows whether there was anything at all
                continue
            utterance.add(segment)
            self._spoke = True
            self._segments_ahead += 1
            self.waiting_chars += len(segment.text)
            self._on_change()
        if not self._segmenter.pending:
            self._pending_since = None
        elif texts or self._pending_since is None:
            self._pending_since = self._loop.time()

    def _watch_pause(self, utterance: Utterance) -> None:
        """Where the writer pauses in a sentence, or is slow, and the listener runs dry, speak what is there."""
        self._forget_pause()
        if self._pending_since is not None and not self._items and utterance.idle:
            due = min(self._written_at + self._pause_s, self._pending_since + self._max_delay_s)
            dry = self._loop.time() + (utterance.lead_ms - CUT_LEAD_MS) / 1000
            # A clause that is finished is not worth a silence to who has begun to listen.
            when = dry if self._segmenter.may_breathe and utterance.produced_ms else max(due, dry)
            self._pause = self._loop.call_at(when, self._on_pause, utterance)

    def _on_pause(self, utterance: Utterance) -> None:
        self._pause = None
        self._add(utterance, self._segmenter.breathe() or self._segmenter.cut())
        if utterance.idle:  # the beginning of a word: it waits for its end
            self._pending_since = None

    def _forget_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
