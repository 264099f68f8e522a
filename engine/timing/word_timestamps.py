"""Which words of which utterance are told with a frame or behind it: as the model looks at them, or by estimate."""

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.aligner import Aligner, Moment
from sayline_tts.engine.timing.word_time_estimator import Pace, WordClock, WordTime

# What is told with a frame, once its sound is there: called once for each, in their order. The last one of a segment
# may have no frame: then there is no sound either.
Telling = Callable[[np.ndarray | None], list[WordTime]]


def nothing(_: np.ndarray | None) -> list[WordTime]:
    return []


class WordTeller:
    """A clock or an aligner for each segment whose words are wanted; a pace for each voice, whatever the speed of its
    listeners. `lead_frames`: so far ahead of what is heard the model looks.
    """

    def __init__(self, lead_frames: float = 0.0) -> None:
        self._lead_frames = lead_frames
        self._clocks: dict[Utterance, WordClock] = {}
        self._tellers: dict[Utterance, _AlignedWords] = {}
        self._paces: WeakKeyDictionary[Voice, Pace] = WeakKeyDictionary()

    def step(
        self, utterance: Utterance, segment: Segment, start_ms: float, attention: np.ndarray | None = None
    ) -> Telling:
        """It has made a step of `segment`, in which it looked at its tokens like this, if that is known."""
        if not segment.words:
            return nothing
        over = utterance.segment is None
        if attention is None:
            times = self._estimate(utterance, segment, start_ms)
            return lambda _: times
        teller = self._tellers.get(utterance)
        if teller is None:
            teller = self._tellers[utterance] = self._aligned(utterance, segment, start_ms)
        if over:
            self.forget(utterance)
        return partial(teller.tell, attention, over)

    def forget(self, utterance: Utterance) -> None:
        self._clocks.pop(utterance, None)
        self._tellers.pop(utterance, None)

    def _aligned(self, utterance: Utterance, segment: Segment, start_ms: float) -> "_AlignedWords":
        frame_ms = utterance.frame_ms
        lead_ms = self._lead_frames * frame_ms
        aligner = Aligner(len(segment.words), segment.owners, start_ms, frame_ms, lead_ms)
        expected_ms = [self._pace(utterance).expected_frames([word]) * frame_ms for word in segment.words]
        return _AlignedWords(segment.words, expected_ms, aligner)

    def _estimate(self, utterance: Utterance, segment: Segment, start_ms: float) -> list[WordTime]:
        """Words that begin in the frame; all that are left, once speech is over."""
        clock = self._clocks.get(utterance)
        if clock is None:
            expected_ms = self._pace(utterance).expected_frames(segment.words) * utterance.frame_ms
            clock = self._clocks[utterance] = WordClock(segment.words, start_ms, expected_ms)
        if utterance.segment is None:
            self.forget(utterance)
        if not utterance.said and utterance.segment is not None:
            return clock.until(utterance.produced_ms, utterance.least_ms)
        if utterance.said and not clock.finished:
            self._pace(utterance).saw(segment.words, (utterance.produced_ms - start_ms) / utterance.frame_ms)
        return clock.finish(utterance.least_ms)

    def _pace(self, utterance: Utterance) -> Pace:
        return self._paces.setdefault(utterance.voice, Pace())


class _AlignedWords:
    """What an aligner finds, in words: each is told when it begins, with an expected end, and when it is over."""

    def __init__(self, words: tuple[Word, ...], expected_ms: list[float], aligner: Aligner) -> None:
        self._words, self._expected_ms, self._aligner = words, expected_ms, aligner
        self._start_ms = 0.0  # of the last that began

    def tell(self, attention: np.ndarray, over: bool, pcm: np.ndarray | None) -> list[WordTime]:
        moments = self._aligner.step(attention, pcm) if pcm is not None else []
        return [self._time(moment) for moment in moments + (self._aligner.finish() if over else [])]

    def _time(self, moment: Moment) -> WordTime:
        if not moment.over:
            self._start_ms = moment.at_ms
        end_ms = moment.at_ms if moment.over else moment.at_ms + self._expected_ms[moment.index]
        return WordTime(self._words[moment.index], self._start_ms, end_ms, estimated=False, over=moment.over)
