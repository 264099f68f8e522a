"""Speech that is asked for again and again, such as greetings, kept as the model made it.

The same text, voice, settings and seed give the same audio, to the last bit, so it can be kept instead of made again.
Kept are frames and word times before they are encoded, so one entry serves every format. An entry belongs to one key:
the time of an answer must not tell one key what another has spoken. Kept in memory only, for this process's model.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.synthesis.text_options import TextOptions

MAX_CHARS = 2_000  # of a text that is kept: greetings and prompts, not documents
PART_BYTES = 1_024  # estimate for a part without its frames
# Numbers and addresses change with each listener, so such a text is hardly asked for again, and it may be personal.
PERSONAL = re.compile(r"\d|@")


@dataclass(frozen=True)
class RepeatKey:
    """Everything that the audio depends on, besides the model of this process. `seed` None: any, at temperature 0."""

    owner: str
    voice: str
    texts: tuple[str, ...]  # one, or the phrases of verbatim text
    options: TextOptions
    temperature: float
    decode_steps: int
    seed: int | None


def repeat_key(
    caller: Caller,
    voice: str,
    texts: Sequence[str],
    options: TextOptions,
    sampling: Sampling,
    seed: int | None,
    wanted: bool | None,
) -> RepeatKey | None:
    """The key of a complete text; None if it is not kept.

    `seed`: as asked for. `wanted`: as asked for; None keeps what is certain to sound the same and has neither digits
    nor addresses. With True and without a seed, the first speech that was made is repeated.
    """
    fixed = seed is not None or sampling.temperature == 0
    if wanted is False or not caller.limits.cache or sum(map(len, texts)) > MAX_CHARS:
        return None
    if wanted is None and (not fixed or any(map(PERSONAL.search, texts))):
        return None
    texts = tuple(texts) if options.verbatim else ("".join(texts),)
    seed = None if sampling.temperature == 0 else seed
    return RepeatKey(caller.name, voice, texts, options, sampling.temperature, sampling.decode_steps, seed)


class RepeatText:
    """The text of a context as it arrived, as long as it may still be kept."""

    def __init__(self) -> None:
        self._texts: list[str] | None = []
        self._chars = 0
        self.flushed = False  # cut by the client, so that it is read in other pieces

    def add(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > MAX_CHARS:
            self._texts = None
        if self._texts is not None:
            self._texts.append(text)

    @property
    def complete(self) -> list[str] | None:
        """All of it; None if it is too long or was flushed."""
        return None if self.flushed else self._texts


@dataclass
class RecordedPart:
    """A segment or pause: its frames, each with the words to report before it, and the words to report at its end."""

    frames: list[tuple[list[WordTime], np.ndarray]] = field(default_factory=list)
    part: Segment | Silence | None = None  # None until it has ended
    words: list[WordTime] = field(default_factory=list)
    start_ms: float = 0.0
    end_ms: float = 0.0


Recording = tuple[RecordedPart, ...]


class Recorder:
    """Collects the speech of one utterance. Gives up once it is larger than the whole cache."""

    def __init__(self, cache: "RepeatCache", key: RepeatKey) -> None:
        self._cache, self._key = cache, key
        self._parts: list[RecordedPart] = []
        self._current = RecordedPart()
        self._bytes = 0

    def add_frame(self, words: list[WordTime], pcm: np.ndarray) -> None:
        self._bytes += pcm.nbytes
        if self._bytes <= self._cache.max_bytes:
            self._current.frames.append((words, pcm.copy()))

    def end_part(self, part: Segment | Silence, words: list[WordTime], start_ms: float, end_ms: float) -> None:
        current = self._current
        current.part, current.words, current.start_ms, current.end_ms = part, words, start_ms, end_ms
        self._parts.append(current)
        self._bytes += PART_BYTES
        self._current = RecordedPart()

    def finish(self) -> None:
        """All of the text has been spoken."""
        self._cache.put(self._key, tuple(self._parts), self._bytes)


class RepeatCache:
    """The least recently used entries are dropped beyond `max_bytes`. 0: nothing is kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[RepeatKey, tuple[Recording, int]] = OrderedDict()

    def get(self, key: RepeatKey) -> Recording | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: RepeatKey, recording: Recording, size_bytes: int) -> None:
        if size_bytes > self.max_bytes:
            return
        if old := self._entries.pop(key, None):
            self.used_bytes -= old[1]
        self._entries[key] = recording, size_bytes
        self.used_bytes += size_bytes
        while self.used_bytes > self.max_bytes:
            _, (_, dropped_bytes) = self._entries.popitem(last=False)
            self.used_bytes -= dropped_bytes
