"""Word timestamps of utterances, reported frame by frame: aligned by the model's attention, or estimated."""

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.segment_progress import SegmentProgress
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.aligner import Aligner, WordBoundary
from sayline_tts.engine.timing.word_time_estimator import SpeakingRate, WordTime, WordTimeEstimator

# Returns the word times to report with a frame, given its decoded PCM `[samples]`. To be called once for each frame, in
# order. At the end of a segment there may be no frame, and then no PCM.
TimestampFn = Callable[[np.ndarray | None], list[WordTime]]


FASTEST = 1.25  # how much faster than expected a voice may speak, where its words are not known but estimated


def no_words(_: np.ndarray | None) -> list[WordTime]:
    return []


class WordTimestamps:
    """An aligner or an estimator for each segment whose timestamps are wanted, and a speaking rate for each voice.

    `lead_frames`: how far the model's attention runs ahead of its audio.
    """

    def __init__(self, lead_frames: float = 0.0) -> None:
        self._lead_frames = lead_frames
        self._estimators: dict[Utterance, WordTimeEstimator] = {}
        self._aligners: dict[Utterance, _AlignedWords] = {}
        self._rates: WeakKeyDictionary[Voice, SpeakingRate] = WeakKeyDictionary()

    def step(
        self,
        utterance: Utterance,
        progress: SegmentProgress,
        attention: np.ndarray | None = None,
        more_held: bool = False,
    ) -> TimestampFn:
        """Take in a step of a segment of `utterance`, after it was accounted for in `progress`.

        `attention`: `[tokens]` of the step; None: estimate. `more_held`: later steps, which are accounted for, follow.
        """
        if not progress.segment.words:
            return no_words
        if attention is None:
            times = self._estimate(utterance, progress)
            return lambda _: times
        aligned = self._aligners.get(utterance)
        if aligned is None:
            aligned = self._aligners[utterance] = self._align(utterance, progress)
        ended = progress.over and not more_held
        if ended:
            self.discard(utterance)
        return partial(aligned.step, progress.segment, attention, ended)

    def estimated_word(self, utterance: Utterance, progress: SegmentProgress) -> int:
        """Return the index of the word that the voice can have reached, for a model without alignment heads."""
        words, rate = progress.segment.words, self._rate(utterance)
        frames = FASTEST * progress.frames
        return next((i for i in range(len(words)) if rate.expected_frames(words[: i + 1]) > frames), len(words) - 1)

    def discard(self, utterance: Utterance) -> None:
        """Forget the current segment of `utterance`. Idempotent."""
        self._estimators.pop(utterance, None)
        self._aligners.pop(utterance, None)

    def _align(self, utterance: Utterance, progress: SegmentProgress) -> "_AlignedWords":
        frame_ms, rate = utterance.frame_ms, self._rate(utterance)
        aligner = Aligner(0, (), progress.start_ms, frame_ms, self._lead_frames * frame_ms)
        return _AlignedWords(lambda word: rate.expected_frames([word]) * frame_ms, aligner)

    def _estimate(self, utterance: Utterance, progress: SegmentProgress) -> list[WordTime]:
        """Return the words that begin in the frame; once speech has ended, all that are left."""
        words, start_ms = progress.segment.words, progress.start_ms
        expected_ms = self._rate(utterance).expected_frames(words) * utterance.frame_ms
        estimator = self._estimators.get(utterance)
        if estimator is None:
            estimator = self._estimators[utterance] = WordTimeEstimator(words, start_ms, expected_ms)
        elif words is not estimator.words:
            estimator.grow(words, expected_ms)
        if progress.over:
            self.discard(utterance)
        if not progress.speech_ended and not progress.over:
            return estimator.until(utterance.produced_ms, utterance.earliest_end_ms)
        if progress.speech_ended and not estimator.finished:
            frames = (utterance.produced_ms - start_ms) / utterance.frame_ms
            self._rate(utterance).observe(words, frames)
        return estimator.finish(utterance.earliest_end_ms)

    def _rate(self, utterance: Utterance) -> SpeakingRate:
        return self._rates.setdefault(utterance.voice, SpeakingRate())


class _AlignedWords:
    """Word times from an aligner's boundaries: one when a word begins, with an expected end, and one when it ends."""

    def __init__(self, expected_ms: Callable[[Word], float], aligner: Aligner) -> None:
        self._expected_ms, self._aligner = expected_ms, aligner
        self._words: tuple[Word, ...] = ()
        self._start_ms = 0.0  # of the last word that began

    def step(self, segment: Segment, attention: np.ndarray, ended: bool, pcm: np.ndarray | None) -> list[WordTime]:
        """Take in a frame. `segment`: its text, which may be longer than that of the frame before."""
        if segment.words is not self._words:
            self._words = segment.words
            self._aligner.grow(len(segment.words), segment.word_ids)
        boundaries = self._aligner.step(attention, pcm) if pcm is not None else []
        return [self._time(boundary) for boundary in boundaries + (self._aligner.finish() if ended else [])]

    def _time(self, boundary: WordBoundary) -> WordTime:
        if not boundary.is_end:
            self._start_ms = boundary.at_ms
        word = self._words[boundary.index]
        end_ms = boundary.at_ms if boundary.is_end else boundary.at_ms + self._expected_ms(word)
        return WordTime(word, self._start_ms, end_ms, False, boundary.is_end, boundary.missed)
