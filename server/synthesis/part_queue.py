"""The parts that the engine has been given and has not finished, with the flushes between them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sayline_tts.engine.errors import TextError
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import Pause, TextChunk, longer
from sayline_tts.server.synthesis.text_options import TextOptions


@dataclass(frozen=True)
class Flush:
    id: str | None


class PartQueue:
    """Makes segments and silences of chunks of text, and follows them until they are spoken.

    The last part may be open: its sentence is still being written, and the segment grows while it is spoken.
    `on_change`: the utterance has a new part. `on_flushed`: everything before this flush has been spoken.
    """

    def __init__(
        self,
        model: ModelDescription,
        options: TextOptions,
        on_change: Callable[[], None],
        on_flushed: Callable[[Flush], None],
    ) -> None:
        self._model, self._options = model, options
        self._on_change, self._on_flushed = on_change, on_flushed
        self._entries: deque[tuple[Segment | Silence, int] | Flush] = deque()  # each part with its last character
        self._open: Segment | None = None
        self.open_words = 0  # final words of the open sentence when it was last shown to the engine
        self.any_added = False  # since the beginning

    @property
    def empty(self) -> bool:
        return not self._entries

    @property
    def parts(self) -> int:
        """Parts in the engine, without flushes."""
        return sum(isinstance(entry, tuple) for entry in self._entries)

    @property
    def open(self) -> bool:
        """The last part is a sentence that is still being written."""
        return self._open is not None

    @property
    def speaks_open(self) -> bool:
        """Nothing is left but a sentence that is still being written."""
        return self.open and len(self._entries) == 1

    def begun_chars(self, utterance: Utterance) -> int | None:
        """Characters up to the end of the last part that the engine has begun; None: it has begun none of these."""
        ends = [entry[1] for entry in self._entries if isinstance(entry, tuple)]
        begun = ends[: len(ends) - utterance.queued_parts]
        return begun[-1] if begun else None

    def add(self, utterance: Utterance, chunk: TextChunk | Pause) -> None:
        """Give a complete chunk to the engine, or with it complete the open segment."""
        if self.open and isinstance(chunk, TextChunk):
            self._grow(utterance, chunk, lookahead_words=0)
        elif (part := self._make_part(chunk)) is not None:
            self._give(utterance, part, chunk.offset if isinstance(chunk, Pause) else chunk.end)

    def add_open(self, utterance: Utterance, chunk: TextChunk, final_words: int) -> None:
        """Give what is known of the sentence that is being written, once it has more than the lookahead's words."""
        lookahead_words = self._options.lookahead_words
        self.open_words = final_words
        if self.open:
            self._grow(utterance, chunk, lookahead_words)
        elif len(chunk.words) > lookahead_words:
            self._open = self._model.segment(chunk.spoken, words=chunk.words, lookahead_words=lookahead_words)
            self._give(utterance, self._open, chunk.end)

    def add_flush(self, flush: Flush) -> None:
        self._entries.append(flush)
        self.answer_flushes()

    def answer_flushes(self) -> None:
        """Report the flushes before which nothing is left to be spoken."""
        while self._entries and isinstance(flush := self._entries[0], Flush):
            self._entries.popleft()
            self._on_flushed(flush)

    def on_spoken(self, part: Segment | Silence) -> int:
        """The engine has finished `part`, the first one. Returns its last character."""
        entry = self._entries.popleft()
        assert isinstance(entry, tuple), "a flush precedes the spoken part"
        assert entry[0] is part, "parts finished out of order"
        return entry[1]

    def clear(self) -> None:
        self._entries.clear()

    def _give(self, utterance: Utterance, part: Segment | Silence, end: int) -> None:
        utterance.add(part)
        self.any_added = True
        self._entries.append((part, end))
        self._on_change()

    def _grow(self, utterance: Utterance, chunk: TextChunk, lookahead_words: int) -> None:
        """Replace the open segment by `chunk`, which begins with the same words. `lookahead_words` 0: close it."""
        assert self._open is not None, "no segment is open"
        # The voice may have reached these: they stay as they were said to be spoken.
        begun = len(self._open.words) - self._options.lookahead_words
        continues = chunk.continues
        chunk = TextChunk.from_words(longer(self._open.words, chunk.words, begun))
        segment = self._model.segment(
            chunk.spoken, words=chunk.words, lookahead_words=lookahead_words, continues=continues
        )
        self._entries[-1] = segment, chunk.end
        self._open = segment if segment.open else None
        self.open_words = self.open_words if segment.open else 0
        utterance.grow(segment)
        self._on_change()

    def _make_part(self, chunk: TextChunk | Pause) -> Segment | Silence | None:
        if isinstance(chunk, Pause):
            frames = round(chunk.duration_ms * self._options.speed / self._model.frame_ms)
            return Silence(frames) if frames else None
        try:
            return self._model.segment(chunk.spoken, words=chunk.words, continues=chunk.continues)
        except TextError:  # this chunk has nothing to speak; the feeder reports a whole text without anything
            return None
