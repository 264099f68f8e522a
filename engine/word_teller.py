"""Which words of which utterance are told with the frame that was just made. Bookkeeping: asks no network yet."""

from weakref import WeakKeyDictionary

from engine.utterance import Segment, Utterance
from engine.voice import Voice
from engine.word_clock import Pace, WordClock, WordTime


class WordTeller:
    """A clock for each segment whose words are wanted; a pace for each voice, whatever the speed of its listeners."""

    def __init__(self) -> None:
        self._clocks: dict[Utterance, WordClock] = {}
        self._paces: WeakKeyDictionary[Voice, Pace] = WeakKeyDictionary()

    def step(self, utterance: Utterance, segment: Segment, start_ms: float) -> list[WordTime]:
        """It has made a step of `segment`. Words that begin in its frame; all that are left, once speech is over."""
        if not segment.words:
            return []
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

    def forget(self, utterance: Utterance) -> None:
        self._clocks.pop(utterance, None)

    def _pace(self, utterance: Utterance) -> Pace:
        return self._paces.setdefault(utterance.voice, Pace())
