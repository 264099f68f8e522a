"""Segments whose text grows while they are spoken, with a real model: extension is a prefill like any other."""

from collections.abc import Sequence

import pytest
import torch

from sayline_tts.engine.engine import Engine, FrameSpoken, SegmentSpoken
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime

WORDS = ["We", "walk", "along", "the", "old", "river", "until", "the", "sun", "is", "low."]
LOOKAHEAD = 2


def text_of(model: Model, count: int) -> Segment:
    """The first words of the sentence; open unless they are all of them."""
    words, start = [], 0
    for each in WORDS[:count]:
        words.append(Word(each, start, start + len(each), each))
        start += len(each) + 1
    return model.segment(" ".join(WORDS[:count]), words=words, lookahead_words=LOOKAHEAD * (count < len(WORDS)))


def speak(
    model: Model, engine: Engine, growth: Sequence[int], others: Sequence[Utterance] = ()
) -> tuple[list[WordTime], torch.Tensor]:
    """Speak the sentence, with `growth[i]` more words whenever the voice waits for text. Returns its words and PCM."""
    voice = model.load_voice("clara")
    spoken = Utterance(voice, model.sampling(temperature=0.5, seed=3))
    count = growth[0]
    spoken.add(text_of(model, count))
    engine.add(spoken)
    for each in others:
        engine.add(each)
    left, times, frames = list(growth[1:]), list[WordTime](), list[torch.Tensor]()
    while not spoken.over:
        if left and spoken.awaits_text:
            count += left.pop(0)
            spoken.grow(text_of(model, count))
            if count == len(WORDS):
                spoken.end()
        batch = engine.schedule()
        for event in engine.commit(batch, engine.run(batch) if batch else None):
            if event.utterance is spoken:
                match event:
                    case FrameSpoken(words=words):
                        frames.append(torch.from_numpy(event.pcm))
                        times += words(event.pcm)
                    case SegmentSpoken(words=words):
                        times += words(None)
    return times, torch.cat(frames)


GROWTH = (4, 2, 1, 3, 1)


def test_every_word_is_told_once_while_the_text_grows(model: Model) -> None:
    times, _ = speak(model, Engine(model, 1), GROWTH)
    assert [time.word.text for time in times if not time.final] == WORDS
    assert [time.word.text for time in times if time.final] == WORDS


def test_without_alignment_heads_the_voice_keeps_its_distance_by_an_estimate(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "heads", None)
    times, _ = speak(model, Engine(model, 1), GROWTH)
    assert [time.word.text for time in times] == WORDS
    assert all(time.estimated for time in times)


@pytest.mark.parametrize(
    "precision", ["float32", *(pytest.param(other, marks=pytest.mark.slow) for other in ("bfloat16", "int8"))]
)
def test_growing_in_a_batch_equals_growing_alone(model: Model, precision: str) -> None:
    model = Model.load(model.checkpoint, precision=precision)
    alone, together = Engine(model, 1), Engine(model, 4)
    _, expected = speak(model, alone, GROWTH)
    others = []
    for seed in range(3):
        other = Utterance(model.load_voice("adam"), model.sampling(0.5, seed=seed))
        other.add(model.segment("This is another sentence, and it is spoken at the same time."))
        other.end()
        others.append(other)
    _, audio = speak(model, together, GROWTH, others)
    assert torch.equal(audio, expected)


def test_extension_equals_a_prefill_of_the_longer_text_with_the_same_frames(model: Model) -> None:
    """What FlowLM sees after an extension is what it would see had it been given the longer text at once."""
    short, long = text_of(model, 5), text_of(model, len(WORDS))
    voice, flow_lm = model.load_voice("clara"), model.flow_lm
    sampling = SamplingInputs(torch.zeros(1, len(flow_lm.bos_emb)), [9e9], [1])
    with torch.inference_mode():
        grown = FlowLMState(flow_lm, 1)
        latents = [grown.step([0], [Prompt(voice, short.tokens, open=True)], sampling).latents[0]]
        latents += [grown.step([0], [None], sampling).latents[0] for _ in range(5)]
        output = grown.step([0], [Prompt(voice, long.tokens, extends=True)], sampling)

        whole = FlowLMState(flow_lm, 1)
        whole.step([0], [Prompt(voice, long.tokens)], sampling)
        for latent in latents:  # teacher-forced, one by one
            whole.latents[0] = latent
            expected = whole.step([0], [None], sampling)
    torch.testing.assert_close(output.latents, expected.latents, atol=1e-4, rtol=0)
    assert not grown._kept_latents, "a closed text is not extended again"


def test_dropped_frame_is_made_again_after_the_extension(model: Model) -> None:
    short, long = text_of(model, 5), text_of(model, len(WORDS))
    voice, flow_lm = model.load_voice("clara"), model.flow_lm
    sampling = SamplingInputs(torch.zeros(1, len(flow_lm.bos_emb)), [9e9], [1])

    def extended(dropped: int) -> torch.Tensor:
        state = FlowLMState(flow_lm, 1)
        state.step([0], [Prompt(voice, short.tokens, open=True)], sampling)
        for _ in range(3):
            state.step([0], [None], sampling)
        for _ in range(dropped):
            state.step([0], [None], sampling)
            state.drop_last(0)
        return state.step([0], [Prompt(voice, long.tokens, extends=True)], sampling).latents

    with torch.inference_mode():
        assert torch.equal(extended(0), extended(1))
