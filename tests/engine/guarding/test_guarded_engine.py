"""Frames that are made again, with a real model: what goes before is untouched, and nothing depends on the batch."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from sayline_tts.engine.engine import Engine, FrameSpoken
from sayline_tts.engine.guarding.speech_guard import Fault, FaultKind, SpeechGuard
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.text.chunk import TextChunk

FAULTY, REDO_FROM = 14, 12  # frames


def utterance(model: Model, temperature: float, guarded: bool = True, seed: int = 3) -> Utterance:
    spoken = Utterance(model.load_voice("clara"), model.sampling(temperature, seed=seed), guarded=guarded)
    (chunk,) = model.reader().push_phrase("We walk along the old river until the sun is low.")
    assert isinstance(chunk, TextChunk)
    spoken.add(model.segment(chunk.spoken, words=chunk.words))
    spoken.end()
    return spoken


def speak(model: Model, spoken: Utterance, others: Sequence[Utterance] = ()) -> list[np.ndarray]:
    """The frames of an utterance."""
    engine = Engine(model, 1 + len(others))
    for each in [*others[:1], spoken, *others[1:]]:
        engine.add(each)
    frames: list[np.ndarray] = []
    while not spoken.over:
        batch = engine.schedule()
        events = engine.commit(batch, engine.run(batch) if batch else None)
        frames += [event.pcm for event in events if isinstance(event, FrameSpoken) and event.utterance is spoken]
    engine.close()
    return frames


@pytest.fixture
def seen_faults(monkeypatch: pytest.MonkeyPatch) -> Counter[SpeechGuard]:
    """Makes every guard find a fault at `FAULTY`, once."""
    step, found = SpeechGuard.step, Counter[SpeechGuard]()

    def find(self: SpeechGuard, attention: np.ndarray, ended: bool) -> Fault | None:
        frame, fault = self.frames, step(self, attention, ended)
        if frame == FAULTY and not found[self]:
            found[self] += 1
            return Fault(FaultKind.SKIPPED, REDO_FROM, (3,))
        return fault

    monkeypatch.setattr(SpeechGuard, "step", find)
    return found


def equal(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def test_guarded_speech_without_a_fault_is_the_same_to_the_last_bit(model: Model) -> None:
    spoken = utterance(model, 0.5)
    assert equal(speak(model, spoken), speak(model, utterance(model, 0.5, guarded=False)))
    assert spoken.retries == 0


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_frames_are_made_again_with_other_noise_and_those_before_them_stay(
    model: Model, seen_faults: Counter[SpeechGuard], temperature: float
) -> None:
    plain = speak(model, utterance(model, temperature, guarded=False))
    spoken = utterance(model, temperature)
    mended = speak(model, spoken)
    assert seen_faults.total() == 1
    assert spoken.retries == FAULTY - REDO_FROM + 1
    assert equal(mended[:REDO_FROM], plain[:REDO_FROM])
    assert not np.array_equal(mended[REDO_FROM], plain[REDO_FROM])


def test_frames_that_are_made_again_do_not_depend_on_the_batch(model: Model, seen_faults: Counter[SpeechGuard]) -> None:
    alone = speak(model, utterance(model, 0.5))
    others = [utterance(model, 0.5, guarded=seed % 2 == 0, seed=seed) for seed in range(3)]
    assert equal(speak(model, utterance(model, 0.5), others), alone)
    assert seen_faults.total() >= 2
