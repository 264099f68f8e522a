"""Synthesize sentences with word timestamps, and record what the timestamps are computed from.

A sentence is either synthesized through the engine, with the timestamps that a client receives; or teacher-forced: the
teacher's audio is encoded and its latents are fed to FlowLM as if it had generated them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine, FrameSpoken, SegmentSpoken
from sayline_tts.engine.errors import CheckpointError
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Pause, TextChunk, Word
from sayline_tts.engine.timing.aligner import Aligner
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.engine.timing.word_timestamps import WordTimestamps
from training.evaluation.forced_alignment import Interval
from training.evaluation.measures import Audio
from training.evaluation.synthesis import SEED


@dataclass(frozen=True, eq=False)
class SpokenSegment:
    """A segment with the input of the aligner, frame by frame."""

    segment: Segment
    start_ms: float
    frame_ms: float
    attention: list[NDArray[np.float32]]  # [tokens] each
    audio: list[Audio]  # [samples] each

    def times(self, lead_ms: float) -> list[Interval]:
        """The timestamps of its words for a value of `lead_ms`."""
        words = len(self.segment.words)
        aligner = Aligner(words, self.segment.word_ids, self.start_ms, self.frame_ms, lead_ms)
        steps = zip(self.attention, self.audio, strict=True)
        boundaries = [boundary for step in steps for boundary in aligner.step(*step)] + aligner.finish()
        starts, ends = (
            [boundary.at_ms for boundary in boundaries if boundary.is_end is over] for over in (False, True)
        )
        return list(zip(starts, ends, strict=True))

    def word_attention(self) -> NDArray[np.float64]:
        """Attention summed over the tokens of each word, `[frames, words]`."""
        words = len(self.segment.words)
        return np.array([np.bincount(self.segment.word_ids, each, words) for each in self.attention])


@dataclass(frozen=True, eq=False)
class TimestampedSpeech:
    """A spoken sentence with word timestamps.

    `estimated`: timestamps estimated from spelling, as for a model without alignment heads; None if not computed.
    """

    text: str
    words: tuple[Word, ...]
    segments: tuple[SpokenSegment, ...]
    reported: list[Interval]
    estimated: list[Interval] | None = None

    @property
    def spoken(self) -> list[str]:
        """The normalized form of each word."""
        return [word.spoken for word in self.words]

    @property
    def audio(self) -> Audio:
        return np.concatenate([frame for segment_record in self.segments for frame in segment_record.audio])

    def times(self, lead_ms: float) -> list[Interval]:
        """The timestamps for a value of `lead_ms`."""
        return [time for segment_record in self.segments for time in segment_record.times(lead_ms)]


class TimestampedSynthesizer:
    """Synthesizes one sentence at a time. The estimator adapts to the speaking rate of each voice, as in a server.

    Raises `CheckpointError` if the model has no known alignment heads.
    """

    def __init__(self, config: Path) -> None:
        self.model = Model.load(find_checkpoint(config=config), precision="float32")
        if self.model.heads is None:
            raise CheckpointError(f"{config} has no known alignment heads; run `sayline calibrate`")
        self.lead_ms = self.model.heads.lead_ms
        self._engine, self._estimator = Engine(self.model, 1), WordTimestamps()
        self._voices: dict[str, Voice] = {}

    @property
    def rate_hz(self) -> int:
        return self.model.sample_rate_hz

    def synthesize(self, voice: str, text: str) -> TimestampedSpeech:
        """Synthesize a text as the server does."""
        reader, utterance = self.model.reader(), self._utterance(voice)
        segments = [self._segment(chunk) for chunk in _chunks(reader.push(text) + reader.flush())]
        for segment in segments:
            utterance.add(segment)
        utterance.end()
        recorded, reported, estimated = self._speak(utterance)
        words = tuple(word for segment in segments for word in segment.words)
        return TimestampedSpeech(
            text, words, tuple(recorded), _intervals(words, reported), _intervals(words, estimated)
        )

    @torch.inference_mode()
    def teacher_force(self, voice: str, text: str, audio: Audio) -> TimestampedSpeech:
        """Teacher-force audio at `rate_hz`, a whole number of frames, with the text as one segment."""
        model, flow_lm = self.model, self.model.flow_lm
        (chunk,) = _chunks(self.model.reader().push_phrase(text))
        segment = self._segment(chunk)
        latents = (model.mimi.encode(torch.from_numpy(audio)) - flow_lm.emb_mean) / flow_lm.emb_std  # [frames, dim]
        state, attention = FlowLMState(flow_lm, 1, model.heads), []
        sampling = SamplingInputs(torch.zeros(1, latents.shape[1]), [model.config.default_eos_threshold], [1])
        for frame, latent in enumerate(latents):
            prompts = [None if frame else Prompt(self._voice(voice), segment.tokens)]
            attention += state.step([0], prompts, sampling, [len(segment.word_ids)]).attention
            state.latents[0] = latent
        attention_rows = [each for each in attention if each is not None]
        segment_record = SpokenSegment(
            segment, 0.0, model.frame_ms, attention_rows, list(audio.reshape(len(latents), -1))
        )
        return TimestampedSpeech(text, segment.words, (segment_record,), segment_record.times(self.lead_ms))

    def _speak(self, utterance: Utterance) -> tuple[list[SpokenSegment], list[WordTime], list[WordTime]]:
        """Run the engine; return the recorded segments, the reported and the estimated timestamps."""
        segments: list[SpokenSegment] = []
        reported: list[WordTime] = []
        estimated: list[WordTime] = []
        attention: list[NDArray[np.float32]] = []
        audio: list[Audio] = []
        self._engine.add(utterance)
        while not utterance.over:
            batch = self._engine.schedule()
            output = self._engine.run(batch) if batch else None
            events = self._engine.commit(batch, output)
            if output and utterance.progress:
                estimated += self._estimator.step(utterance, utterance.progress)(None)
            for event in events:
                match event:
                    case FrameSpoken() if output and output.attention[0] is not None:
                        reported += event.words(event.pcm)
                        attention.append(output.attention[0])
                        audio.append(event.pcm)
                    case SegmentSpoken():
                        reported += event.words(None)
                        segment_record = SpokenSegment(
                            event.segment, event.start_ms, utterance.frame_ms, attention, audio
                        )
                        segments, attention, audio = [*segments, segment_record], [], []
        return segments, reported, estimated

    def _segment(self, chunk: TextChunk) -> Segment:
        segment = self.model.segment(chunk.spoken, words=chunk.words)
        assert segment.word_ids, f"no word ids for the tokens of {segment.text!r}"
        return segment

    def _utterance(self, voice: str) -> Utterance:
        return Utterance(self._voice(voice), self.model.sampling(seed=SEED), frame_ms=self.model.frame_ms)

    def _voice(self, name: str) -> Voice:
        if name not in self._voices:
            self._voices[name] = self.model.load_voice(name)
        return self._voices[name]


def _chunks(read: Sequence[TextChunk | Pause]) -> list[TextChunk]:
    return [each for each in read if isinstance(each, TextChunk)]


def _intervals(words: Sequence[Word], reported: Sequence[WordTime]) -> list[Interval]:
    """The intervals of the words; asserts that each word starts once (unless estimated) and ends once, in order."""
    assert [each.word for each in reported if each.final] == list(words), "a word was not reported, or not in order"
    starts = [each for each in reported if not each.final]
    assert not starts or [each.word for each in starts] == list(words), "a word started twice, or not in order"
    times = [(each.start_ms, each.end_ms) for each in reported if each.final]
    assert all(start_ms <= end_ms for start_ms, end_ms in times), "a word ends before it begins"
    assert all(end_ms <= start_ms + 1e-6 for (_, end_ms), (start_ms, _) in pairwise(times)), "words overlap"
    return times
