"""An engine goes on with an utterance that another one has left, to the last bit."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from sayline_tts.engine.engine import Engine, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.models.mimi import codec_history_frames
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.resumption import GivenFrame, Resumption
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment, Silence
from tests.engine.test_engine import step

FRAMES_AFTER_EOS = 2  # of each segment


@dataclass
class Record:
    """What a listener has received."""

    utterance: Utterance
    pcm: list[np.ndarray] = field(default_factory=list)
    parts_spoken: int = 0
    made: list[GivenFrame] = field(default_factory=list)  # in all
    given: list[GivenFrame] = field(default_factory=list)  # of the current segment
    silent: int = 0  # of the current pause
    resumption: Resumption | None = None  # at the end of the last part


def parts(model: Model) -> list[Segment | Silence]:
    first, second = (
        replace(model.segment(text), frames_after_eos=FRAMES_AFTER_EOS) for text in ("Hello there.", "Good bye.")
    )
    return [first, Silence(3), second]


def new_utterance(model: Model) -> Utterance:
    return Utterance(model.load_voice(model.checkpoint.default_voice), model.sampling(seed=7))


def run(engine: Engine, record: Record, frames: int | None = None) -> Record:
    """Run until so many frames have been received, or to the end."""
    utterance = record.utterance
    engine.add(utterance)
    before = len(record.pcm)
    while True:
        for event in step(engine):
            match event:
                case FrameSpoken(made=made):
                    record.pcm.append(event.pcm)
                    if made is None:
                        record.silent += 1
                    else:
                        record.made.append(GivenFrame(made.latent.clone(), made.is_eos))
                        record.given.append(record.made[-1])
                case SegmentSpoken() | SilenceSpoken():
                    record.parts_spoken, record.given, record.silent = record.parts_spoken + 1, [], 0
                case UtteranceEnded():
                    return record
            if frames is not None and len(record.pcm) == before + frames:
                return record


def resume(model: Model, record: Record) -> Utterance:
    """The utterance that another engine gets."""
    old, new = record.utterance, new_utterance(model)
    history = record.made[-codec_history_frames(model.config.mimi) :]
    frames = len(record.pcm) - len(record.given)
    noise = old.segment_noise if record.given else old.noise
    latents = torch.stack([each.latent for each in history]) if history else torch.zeros(0, 32)
    new.resume(Resumption(frames, noise, tuple(record.given), len(record.made), latents))
    first, *others = parts(model)[record.parts_spoken :]
    if isinstance(first, Silence) and record.silent:
        first = Silence(first.frames - record.silent)
    for part in (first, *others):
        new.add(part)
    new.end()
    return new


@pytest.fixture(scope="module")
def undisturbed(model: Model) -> Record:
    whole = new_utterance(model)
    for part in parts(model):
        whole.add(part)
    whole.end()
    return run(Engine(model, 1), Record(whole))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.55, 0.8])
def test_speech_goes_on_at_the_next_sample(model: Model, undisturbed: Record, share: float) -> None:
    begun = new_utterance(model)
    for part in parts(model):
        begun.add(part)
    begun.end()
    frames = round(share * len(undisturbed.pcm))
    record = run(Engine(model, 2), Record(begun), frames) if frames else Record(begun)
    record.utterance = resume(model, record)
    run(Engine(model, 2), record)
    assert len(record.pcm) == len(undisturbed.pcm)
    assert all(map(np.array_equal, record.pcm, undisturbed.pcm))
    assert record.utterance.produced_ms == undisturbed.utterance.produced_ms
    assert record.utterance.noise == undisturbed.utterance.noise


def test_in_a_full_queue_an_admitted_utterance_does_not_wait(model: Model) -> None:
    engine = Engine(model, 4, max_waiting=4, capacity=1)
    statuses = []
    make: Callable[[], Utterance] = lambda: new_utterance(model)  # noqa: E731
    for resumed in (False, False, True):
        utterance = make()
        if resumed:
            utterance.resume(Resumption(5, utterance.noise, (), 5, torch.zeros(5, 32)))
        engine.add(utterance)
        statuses.append(utterance.status.value)
    assert statuses == ["running", "waiting", "running"]
