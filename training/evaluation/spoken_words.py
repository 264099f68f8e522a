"""Sentences through a checkpoint, with the times that it tells of their words, and what these are made from.

Spoken by the model: through the engine, told as a listener is told. A teacher's audio instead: as latents of the
model's own encoder, which FlowLM takes for its own (teacher-forced); its heads look, the aligner hears the teacher.
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
from sayline_tts.engine.models.flow_lm_state import Draws, FlowLMState, Opening
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Passage, Pause, Word
from sayline_tts.engine.timing.aligner import Aligner
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.engine.timing.word_timestamps import WordTeller
from training.evaluation.measures import Sound
from training.evaluation.spoken import SEED
from training.evaluation.word_times import Time


@dataclass(frozen=True, eq=False)
class Part:
    """A segment: what an aligner is given of it, frame by frame."""

    segment: Segment
    start_ms: float
    frame_ms: float
    attention: list[NDArray[np.float32]]  # [tokens] each
    sound: list[Sound]  # [samples] each

    def times(self, lead_ms: float) -> list[Time]:
        """Of its words, with this lead."""
        words = len(self.segment.words)
        aligner = Aligner(words, self.segment.owners, self.start_ms, self.frame_ms, lead_ms)
        steps = zip(self.attention, self.sound, strict=True)
        moments = [moment for step in steps for moment in aligner.step(*step)] + aligner.finish()
        starts, ends = ([moment.at_ms for moment in moments if moment.over is over] for over in (False, True))
        return list(zip(starts, ends, strict=True))

    def by_word(self) -> NDArray[np.float64]:
        """Attention `[frames, words]`."""
        words = len(self.segment.words)
        return np.array([np.bincount(self.segment.owners, each, words) for each in self.attention])


@dataclass(frozen=True, eq=False)
class SpokenWords:
    """One sentence. `estimated`: by its length, as for a model of which no heads are known; None: nobody estimated."""

    text: str
    words: tuple[Word, ...]
    parts: tuple[Part, ...]
    told: list[Time]
    estimated: list[Time] | None = None

    @property
    def spoken(self) -> list[str]:
        """Each word as it is said."""
        return [word.spoken for word in self.words]

    @property
    def sound(self) -> Sound:
        return np.concatenate([frame for part in self.parts for frame in part.sound])

    def times(self, lead_ms: float) -> list[Time]:
        """As they would be told with this lead."""
        return [time for part in self.parts for time in part.times(lead_ms)]


class WordSpeaker:
    """One sentence after the other. The estimate learns the pace of each voice on the way, as in a server.

    Raises `CheckpointError` where no heads are known to follow the text.
    """

    def __init__(self, config: Path) -> None:
        self.model = Model.load(find_checkpoint(config=config), precision="float32")
        if self.model.heads is None:
            raise CheckpointError(f"no heads of {config} are known to follow the text; run `sayline calibrate`")
        self.lead_ms = self.model.heads.lead_ms
        self._engine, self._estimator = Engine(self.model, 1), WordTeller()
        self._voices: dict[str, Voice] = {}

    @property
    def rate_hz(self) -> int:
        return self.model.sample_rate_hz

    def say(self, voice: str, text: str) -> SpokenWords:
        """As the server reads and speaks it."""
        reader, utterance = self.model.reader(), self._utterance(voice)
        segments = [self._segment(passage) for passage in _passages(reader.push(text) + reader.flush())]
        for segment in segments:
            utterance.add(segment)
        utterance.end()
        parts, told, estimated = self._speak(utterance)
        words = tuple(word for segment in segments for word in segment.words)
        return SpokenWords(text, words, tuple(parts), _intervals(words, told), _intervals(words, estimated))

    @torch.inference_mode()
    def repeat(self, voice: str, text: str, audio: Sound) -> SpokenWords:
        """A teacher's audio at `rate_hz`, a whole number of frames; the text as one segment."""
        model, flow_lm = self.model, self.model.flow_lm
        (passage,) = _passages(self.model.reader().whole(text))
        segment = self._segment(passage)
        latents = (model.mimi.encode(torch.from_numpy(audio)) - flow_lm.emb_mean) / flow_lm.emb_std  # [frames, dim]
        state, attention = FlowLMState(flow_lm, 1, model.heads), []
        draws = Draws(torch.zeros(1, latents.shape[1]), [model.config.default_eos_threshold], [1])
        for frame, latent in enumerate(latents):
            openings = [None if frame else Opening(self._voice(voice), segment.tokens)]
            attention += state.step([0], openings, draws, [len(segment.owners)]).attention
            state.latents[0] = latent
        looks = [each for each in attention if each is not None]
        part = Part(segment, 0.0, model.frame_ms, looks, list(audio.reshape(len(latents), -1)))
        return SpokenWords(text, segment.words, (part,), part.times(self.lead_ms))

    def _speak(self, utterance: Utterance) -> tuple[list[Part], list[WordTime], list[WordTime]]:
        """All parts; what is told of their words, and what would be estimated."""
        parts: list[Part] = []
        told: list[WordTime] = []
        estimated: list[WordTime] = []
        attention: list[NDArray[np.float32]] = []
        sound: list[Sound] = []
        self._engine.add(utterance)
        while not utterance.over:
            batch = self._engine.schedule()
            segment, start_ms = utterance.segment, utterance.segment_start_ms
            output = self._engine.run(batch) if batch else None
            events = self._engine.commit(batch, output)
            if output and segment:
                estimated += self._estimator.step(utterance, segment, start_ms)(None)
            for event in events:
                match event:
                    case FrameSpoken() if output and output.attention[0] is not None:
                        told += event.words(event.pcm)
                        attention.append(output.attention[0])
                        sound.append(event.pcm)
                    case SegmentSpoken():
                        told += event.words(None)
                        part = Part(event.segment, event.start_ms, utterance.frame_ms, attention, sound)
                        parts, attention, sound = [*parts, part], [], []
        return parts, told, estimated

    def _segment(self, passage: Passage) -> Segment:
        segment = self.model.segment(passage.spoken, words=passage.words)
        assert segment.owners, f"whose tokens are these? {segment.text!r}"
        return segment

    def _utterance(self, voice: str) -> Utterance:
        return Utterance(self._voice(voice), self.model.sampling(seed=SEED), frame_ms=self.model.frame_ms)

    def _voice(self, name: str) -> Voice:
        if name not in self._voices:
            self._voices[name] = self.model.load_voice(name)
        return self._voices[name]


def _passages(read: Sequence[Passage | Pause]) -> list[Passage]:
    return [each for each in read if isinstance(each, Passage)]


def _intervals(words: Sequence[Word], told: Sequence[WordTime]) -> list[Time]:
    """Checked: each word once when it begins (unless that is estimated) and once when it is over, in order."""
    assert [each.word for each in told if each.over] == list(words), "a word was not told, or not in order"
    begun = [each for each in told if not each.over]
    assert not begun or [each.word for each in begun] == list(words), "a word began twice, or not in order"
    times = [(each.start_ms, each.end_ms) for each in told if each.over]
    assert all(start_ms <= end_ms for start_ms, end_ms in times), "a word ends before it begins"
    assert all(end_ms <= start_ms + 1e-6 for (_, end_ms), (start_ms, _) in pairwise(times)), "words overlap"
    return times
