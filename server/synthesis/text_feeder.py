"""Text of one context on its way into the engine. Knows no wire and no audio, only how far the listener is ahead.

Text waits as text: only as much becomes segments as the engine needs next, a little at a time, so that neither 64 KB
in one message nor a late cancel costs anybody anything.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from sayline_tts.engine.errors import TextError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import Passage, Pause
from sayline_tts.server.settings import Settings

PARTS_AHEAD = 3  # segments and pauses handed to the engine, counting the one that is spoken
PIECE_CHARS = 128  # read in one go: about 1 ms, 4 at worst
CUT_LEAD_MS = 500.0  # a listener who has more than this can wait for the writer a little longer
# By the first word of a variant's name.
LANGUAGES = {
    "dutch": "nl", "english": "en", "french": "fr", "german": "de", "italian": "it", "portuguese": "pt",
    "spanish": "es",
}  # fmt: skip


@dataclass(frozen=True)
class Manner:
    """How text becomes speech. None is the server's or the model's choice."""

    verbatim: bool = False  # each push is one phrase
    clean_up: bool = True
    language: str | None = None
    max_delay_ms: float | None = None
    speed: float = 1.0  # at which all this will be played: a pause shall be as long as it was asked for


@dataclass(frozen=True)
class _Phrase:
    text: str


@dataclass(frozen=True)
class Flush:
    id: str | None


class _Mark(Enum):
    END = auto()


_Item = str | _Phrase | Flush | _Mark


class Backlog:
    """`on_change`: the engine has something new to look at. `on_nothing`: the text has ended without a word.

    `on_flushed`: all that came before this flush has been spoken.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        on_change: Callable[[], None],
        on_nothing: Callable[[], None],
        on_flushed: Callable[[Flush], None] = lambda flush: None,
        manner: Manner = Manner(),
    ) -> None:
        max_delay_ms = settings.max_delay_ms if manner.max_delay_ms is None else manner.max_delay_ms
        self._model, self._manner = model, manner
        self._pause_s, self._max_delay_s = min(settings.pause_ms, max_delay_ms) / 1000, max_delay_ms / 1000
        self._on_change, self._on_nothing, self._on_flushed = on_change, on_nothing, on_flushed
        self._loop = asyncio.get_running_loop()
        self._items: deque[_Item] = deque()
        language = manner.language or LANGUAGES.get(model.checkpoint.name.partition("_")[0], "en")
        self._reader = model.reader(language, manner.clean_up)
        self._utterance: Utterance | None = None
        self._ahead: deque[tuple[Segment | Silence, int] | Flush] = deque()  # with the character that each ends at
        self._spoke = False
        self._pushed_chars = self._read_chars = self._settled_chars = 0
        self._written_at = 0.0  # loop time of the last text
        self._pending_since: float | None = None  # loop time; the reader holds the beginning of a segment
        self._next_fill: asyncio.Handle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self.waiting_flushes = 0
        self.spoke_at: float | None = None  # loop time of the text with which there was something to say at first

    @property
    def waiting_chars(self) -> int:
        """Behind all that has been spoken, or had nothing in it to speak."""
        return self._pushed_chars - self._settled_chars

    @property
    def settled_chars(self) -> int:
        return self._settled_chars

    @property
    def idle(self) -> bool:
        """Nothing lies ahead of what has been spoken."""
        return not self._items and not self._ahead

    def begin(self, utterance: Utterance) -> None:
        """Whom the text is for. It may come before."""
        self._utterance = utterance
        self._fill()

    def push(self, text: str) -> None:
        if not text:
            return
        self._pushed_chars += len(text)
        self._written_at = self._loop.time()
        if self._manner.verbatim:
            self._items.append(_Phrase(text))
            self._fill()
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, str):  # few long pieces instead of many words
            self._items.pop()
            text = last + text
        self._items.extend(text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))
        self._fill()

    def flush(self, flush_id: str | None = None) -> None:
        self._items.append(Flush(flush_id))
        self.waiting_flushes += 1
        self._fill()

    def end(self) -> None:
        self._items.append(_Mark.END)
        self._fill()

    def on_spoken(self, part: Segment | Silence) -> None:
        """In the order in which they were handed to the engine."""
        entry = self._ahead.popleft()
        assert isinstance(entry, tuple), "a flush lies before what was spoken"
        assert entry[0] is part, "spoken out of order"
        self._settled_chars = entry[1]
        self._settle()
        self._answer_flushes()
        self._fill()

    def close(self) -> None:
        """Nothing happens any more."""
        self._utterance = None
        self._items.clear()
        self._ahead.clear()
        self._forget_pause()
        if self._next_fill is not None:
            self._next_fill.cancel()

    @property
    def _hungry(self) -> bool:
        return bool(self._items) and sum(isinstance(entry, tuple) for entry in self._ahead) < PARTS_AHEAD

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

    def _take(self, utterance: Utterance, item: _Item) -> None:
        match item:
            case str():
                self._read_chars += len(item)
                self._add(utterance, self._reader.push(item))
            case _Phrase(text=text):
                self._read_chars += len(text)
                self._add(utterance, self._reader.whole(text))
            case Flush():
                self._add(utterance, self._reader.flush())
                self._ahead.append(item)
                self._answer_flushes()
            case _Mark.END:
                self._add(utterance, self._reader.flush())
                utterance.end()
                self._on_change()
                if not self._spoke:
                    self._on_nothing()

    def _add(self, utterance: Utterance, found: Iterable[Passage | Pause]) -> None:
        any_found = False
        for one in found:
            any_found = True
            part = self._silence(one) if isinstance(one, Pause) else self._segment(one)
            if part is None:
                continue
            utterance.add(part)
            self._spoke = True
            if self.spoke_at is None:
                self.spoke_at = self._written_at
            self._ahead.append((part, one.at if isinstance(one, Pause) else one.end))
            self._on_change()
        if not self._reader.pending:
            self._pending_since = None
        elif any_found or self._pending_since is None:
            self._pending_since = self._loop.time()
        self._settle()

    def _settle(self) -> None:
        """What had nothing in it to speak waits for nobody."""
        if not self._ahead and not self._reader.pending:
            self._settled_chars = self._read_chars

    def _segment(self, passage: Passage) -> Segment | None:
        try:
            return self._model.segment(passage.spoken, words=passage.words)
        except TextError:  # nothing to say in this one; the end shows whether there was anything at all
            return None

    def _silence(self, pause: Pause) -> Silence | None:
        frames = round(pause.duration_ms * self._manner.speed / self._model.frame_ms)
        return Silence(frames) if frames else None

    def _answer_flushes(self) -> None:
        while self._ahead and isinstance(self._ahead[0], Flush):
            flush = self._ahead.popleft()
            assert isinstance(flush, Flush)
            self.waiting_flushes -= 1
            self._on_flushed(flush)

    def _watch_pause(self, utterance: Utterance) -> None:
        """Where the writer pauses in a sentence, or is slow, and the listener runs dry, speak what is there."""
        self._forget_pause()
        if self._pending_since is not None and not self._items and utterance.idle:
            due = min(self._written_at + self._pause_s, self._pending_since + self._max_delay_s)
            dry = self._loop.time() + (utterance.lead_ms - CUT_LEAD_MS) / 1000
            # A clause that is finished is not worth a silence to who has begun to listen.
            when = dry if self._reader.may_breathe and utterance.produced_ms else max(due, dry)
            self._pause = self._loop.call_at(when, self._on_pause, utterance)

    def _on_pause(self, utterance: Utterance) -> None:
        self._pause = None
        self._add(utterance, self._reader.breathe() or self._reader.cut())
        if utterance.idle:  # the beginning of a word: it waits for its end
            self._pending_since = None

    def _forget_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
