"""Feed the text of one context to the engine, a little ahead of what is spoken.

Text stays text until the engine needs it, and is read in small chunks. So a 64 KB message never blocks the event loop,
and a late cancel wastes no synthesis.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import Pause, TextChunk
from sayline_tts.engine.text.lexicon import Lexicon
from sayline_tts.engine.text.lexicon_matcher import LexiconMatcher
from sayline_tts.engine.text.normalization.normalizer import LANGUAGE_CODES, language_code
from sayline_tts.engine.text.reader import Reader
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.part_queue import Flush, PartQueue
from sayline_tts.server.synthesis.pause_timer import PauseTimer
from sayline_tts.server.synthesis.text_options import TextOptions

PARTS_AHEAD = 3  # segments and pauses handed to the engine, including the one that is being spoken
CHUNK_CHARS = 128  # read at a time: about 1 ms, 4 ms at worst
WORD_MS = 370.0  # typical duration of a word
DEFAULT_TEXT_OPTIONS = TextOptions()


@dataclass(frozen=True)
class _Phrase:
    text: str


class _Marker(Enum):
    END = auto()


_Item = str | _Phrase | Flush | _Marker


class TextFeeder:
    """Turns incoming text into segments and keeps the engine supplied with a few of them.

    `on_change`: the utterance has a new part or has ended. `on_empty`: the text has ended without a word to
    speak; gets what to tell the client.
    `on_flushed`: everything before this flush has been spoken.
    """

    def __init__(
        self,
        model: ModelDescription,
        settings: Settings,
        on_change: Callable[[], None],
        on_empty: Callable[[str], None],
        on_flushed: Callable[[Flush], None] = lambda flush: None,
        text_options: TextOptions = DEFAULT_TEXT_OPTIONS,
    ) -> None:
        max_delay_ms = settings.max_delay_ms if text_options.max_delay_ms is None else text_options.max_delay_ms
        self._model, self._options = model, text_options
        self._pause_timer = PauseTimer(settings.pause_ms, max_delay_ms, self._on_pause)
        self._on_change, self._on_empty, self._on_flushed = on_change, on_empty, on_flushed
        self._in_engine = PartQueue(model, text_options, on_change, self._on_flush)
        self._loop = asyncio.get_running_loop()
        self._items: deque[_Item] = deque()
        self._reader = self._new_reader()
        self._utterance: Utterance | None = None
        self._pushed_chars = self._read_chars = 0
        self.settled_chars = 0  # spoken, or without anything to speak
        self._last_push_s = 0.0  # loop time
        self._pending_since_s: float | None = None  # loop time; the reader holds the beginning of a segment
        self._next_fill: asyncio.Handle | None = None
        self.pending_flushes = 0
        self.first_push_s: float | None = None  # loop time
        self.first_speakable_s: float | None = None  # loop time of the push that completed the first part

    @property
    def taken_chars(self) -> int:
        """All characters that were pushed."""
        return self._pushed_chars

    @property
    def pending_chars(self) -> int:
        """Characters that are neither spoken nor known to contain nothing to speak."""
        return self._pushed_chars - self.settled_chars

    @property
    def begun_chars(self) -> int:
        """Characters up to the end of the last part that the engine has begun."""
        begun = self._in_engine.begun_chars(self._utterance) if self._utterance else None
        return self.settled_chars if begun is None else begun

    @property
    def idle(self) -> bool:
        """Nothing is left to hand over or to be spoken."""
        return not self._items and self._in_engine.empty

    def attach(self, utterance: Utterance) -> None:
        """Start feeding `utterance`. Text may be pushed before."""
        self._utterance = utterance
        self._fill()

    def set_lexicons(self, lexicons: tuple[Lexicon, ...], voice: str) -> None:
        """Choose the lexicons before the utterance is attached, and so before any text is read."""
        assert self._utterance is None, "text may have been read already"
        self._options = replace(self._options, lexicons=lexicons, voice=voice)
        self._reader = self._new_reader()

    def push(self, text: str) -> None:
        if not text:
            return
        self._pushed_chars += len(text)
        self._last_push_s = self._loop.time()
        if self.first_push_s is None:
            self.first_push_s = self._last_push_s
        if self._options.verbatim:
            self._items.append(_Phrase(text))
            self._fill()
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, str):  # merge, so that text that arrives word by word is read in larger chunks
            self._items.pop()
            text = last + text
        self._items.extend(text[at : at + CHUNK_CHARS] for at in range(0, len(text), CHUNK_CHARS))
        self._fill()

    def flush(self, flush_id: str | None = None) -> None:
        self._items.append(Flush(flush_id))
        self.pending_flushes += 1
        self._fill()

    def end(self) -> None:
        self._items.append(_Marker.END)
        self._fill()

    def on_spoken(self, part: Segment | Silence) -> None:
        """The engine has finished `part`. Parts finish in the order in which they were added."""
        self.settled_chars = self._in_engine.on_spoken(part)
        self._settle()
        self._in_engine.answer_flushes()
        self._fill()

    def close(self) -> None:
        """Stop: drop all text and make no further calls."""
        self._utterance = None
        self._items.clear()
        self._in_engine.clear()
        self._pause_timer.cancel()
        if self._next_fill is not None:
            self._next_fill.cancel()

    def _new_reader(self) -> Reader:
        options, (name, _, _) = self._options, self._model.checkpoint.name.partition("_")
        # A published variant's name begins with its language.
        language = options.language or LANGUAGE_CODES.get(name, "en")
        lexicons = LexiconMatcher(options.lexicons, language_code(language), options.voice)
        return self._model.reader(language, options.clean_up, lexicons)

    @property
    def _needs_input(self) -> bool:
        """Is there text left to read, and does the engine hold less than `PARTS_AHEAD` parts?"""
        return bool(self._items) and self._in_engine.parts < PARTS_AHEAD

    def _fill(self) -> None:
        """Read one chunk now and the next one in a later turn of the loop, so that long text never blocks it."""
        if self._next_fill is None:
            self._fill_chunk()

    def _fill_chunk(self) -> None:
        self._next_fill = None
        utterance = self._utterance
        if utterance is None:
            return
        if self._needs_input:
            self._process(utterance, self._items.popleft())
        if self._needs_input:
            self._next_fill = self._loop.call_soon(self._fill_chunk)
        self._update_pause_timer(utterance)

    def _process(self, utterance: Utterance, item: _Item) -> None:
        match item:
            case str():
                self._read_chars += len(item)
                self._add(utterance, self._reader.push(item))
                self._speak_open_sentence(utterance)
            case _Phrase(text=text):
                self._read_chars += len(text)
                self._add(utterance, self._reader.push_phrase(text))
            case Flush():
                self._add(utterance, self._reader.flush())
                self._in_engine.add_flush(item)
            case _Marker.END:
                self._add(utterance, self._reader.flush())
                utterance.end()
                self._on_change()
                if not self._in_engine.any_added:
                    self._on_empty(self._empty_reason)

    def _add(self, utterance: Utterance, chunks: Iterable[TextChunk | Pause]) -> None:
        any_chunk = False
        for chunk in chunks:
            any_chunk = True
            self._in_engine.add(utterance, chunk)
        if not self._reader.pending:
            self._pending_since_s = None
        elif any_chunk or self._pending_since_s is None:
            self._pending_since_s = self._loop.time()
        self._stamp_first_part()
        self._settle()

    def _stamp_first_part(self) -> None:
        if self.first_speakable_s is None and self._in_engine.any_added:
            self.first_speakable_s = self._last_push_s

    def _on_flush(self, flush: Flush) -> None:
        self.pending_flushes -= 1
        self._on_flushed(flush)

    def _speak_open_sentence(self, utterance: Utterance) -> None:
        """Hand over what is known of the sentence that is being written, once there are enough words."""
        lookahead_words, final_words = self._options.lookahead_words, self._reader.final_words
        if not lookahead_words or self._items or final_words <= max(self._in_engine.open_words, lookahead_words):
            return
        chunk = self._reader.open_chunk()
        if chunk is None:
            return
        self._in_engine.add_open(utterance, chunk, final_words)
        self._stamp_first_part()
        self._pending_since_s = self._loop.time()

    @property
    def warnings(self) -> list[str]:
        """What was skipped of the text that has been read so far, because the model cannot speak its script."""
        return [f"text in {script} was skipped" for script in self._reader.skipped_scripts]

    @property
    def _empty_reason(self) -> str:
        if scripts := self._reader.skipped_scripts:
            return f"this model cannot speak text in {' or '.join(scripts)}; choose a model of the text's language"
        return "the text contains no word to speak; send some words"

    def _settle(self) -> None:
        """Count text without anything to speak as done once nothing before it is left."""
        if self._in_engine.empty and not self._reader.pending:
            self.settled_chars = self._read_chars

    def _update_pause_timer(self, utterance: Utterance) -> None:
        """Let the timer run while the reader holds an unfinished sentence and nothing else is left to speak."""
        speaks_open = self._in_engine.speaks_open
        if self._pending_since_s is None or self._items or not (utterance.idle or speaks_open):
            if self._pause_timer.due_s is not None:
                self._pause_timer.cancel()
            return
        clause_ready = self._reader.has_clause and utterance.produced_ms > 0 and not speaks_open
        lead_ms = utterance.lead_ms + WORD_MS * utterance.words_until_wait
        self._pause_timer.restart(self._last_push_s, self._pending_since_s, lead_ms, clause_ready)

    def _on_pause(self) -> None:
        utterance = self._utterance
        assert utterance is not None, "the timer runs although the feeder is closed"
        clause = [] if self._in_engine.open else self._reader.flush_clause()
        self._add(utterance, clause or self._reader.flush_words())
        if utterance.idle:  # only the beginning of a word is left; it waits for the rest
            self._pending_since_s = None
