"""A guarded segment in the real engine: whatever the model does wrong, it is mended where it can be, and told else."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sayline_tts.bench.writer.pieces import Piece
from sayline_tts.bench.writer.slow_writer import Heard, listen
from sayline_tts.bench.writer.virtual_time import run
from sayline_tts.engine.guarding.guarded_segment import MAX_RETRIES
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.engine.guarding.scripted import Mistake, SlippingEngine, words_in_order

VOICE, SAMPLING = Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)), Sampling(0, None, 0, 1, 0)
TEXT = "We walk along the old river until the sun is low and then we go back home to eat."
WORDS = TEXT.split()
# A listener gets the first frames as soon as they are made, so that the first words cannot be mended.
FIRST_GUARDED = 5
APART_WORDS = 4  # a skip of three words and one more reaches no further
slips_of = st.dictionaries(
    st.integers(1, len(WORDS) - 1), st.lists(st.sampled_from(Mistake), min_size=1, max_size=4), max_size=4
)
Slips = Mapping[int, Sequence[Mistake]]


def speak(engine: SlippingEngine, guarded: bool = True, leaves_ms: float | None = None) -> Heard:
    async def main() -> Heard:
        pieces, options = [Piece(TEXT, 0.0)], TextOptions()
        return await listen(engine, VOICE, SAMPLING, pieces, options, Settings(), leaves_ms, guarded)

    return run(main())


def said_in_place(decoded: Sequence[int]) -> set[int]:
    """Words that were said before any later word was."""
    said: set[int] = set()
    for index in decoded:
        if index >= max(said, default=0):
            said.add(index)
    return said


@given(st.integers(1, 6))
@settings(max_examples=6, deadline=None)
def test_speech_without_a_fault_is_the_same_and_nothing_is_made_again(frames: int) -> None:
    plain, guarded = SlippingEngine(frames), SlippingEngine(frames)
    expected, heard = speak(plain, guarded=False), speak(guarded)
    assert guarded.runner.decoded == plain.runner.decoded
    assert [(time.word, time.start_ms, time.end_ms) for time in heard.words] == [
        (time.word, time.start_ms, time.end_ms) for time in expected.words
    ]
    assert heard.retries == 0
    assert heard.stalled_ms == 0


def shares_no_tries(slips: Slips) -> bool:
    """Whether the mistakes are few enough to be mended together, or too far apart to count as one place."""
    return sum(map(len, slips.values())) <= MAX_RETRIES or max(slips) - min(slips) > APART_WORDS


@given(st.dictionaries(
    st.integers(FIRST_GUARDED, len(WORDS) - 1),
    st.lists(
        st.sampled_from([Mistake.SKIP, Mistake.SKIP_THREE, Mistake.STOP, Mistake.BACK]), min_size=1,
        max_size=MAX_RETRIES,
    ),
    min_size=1, max_size=2,
).filter(shares_no_tries))  # fmt: skip
@settings(max_examples=10, deadline=None)
def test_mistake_that_is_not_made_in_every_try_is_not_heard(slips: Slips) -> None:
    engine = SlippingEngine(3, slips)
    heard = speak(engine)
    assert words_in_order(engine.runner.decoded) == list(range(len(WORDS)))
    assert not any(time.missed for time in heard.words)
    assert heard.retries > 0
    assert heard.stalled_ms == 0


@given(slips_of, st.integers(1, 5))
@example({1: [Mistake.SKIP] * 4, 2: [Mistake.SKIP] * 4}, 1)
@example({len(WORDS) - 1: [Mistake.SKIP] * 4}, 2)
@example({8: [Mistake.LINGER] * 4, 9: [Mistake.STOP] * 4}, 2)
@example({6: [Mistake.SKIP] * 2, 8: [Mistake.BACK]}, 1)  # said later, out of its place
@settings(max_examples=20, deadline=None)
def test_whatever_goes_wrong_each_word_is_told_once_in_order_and_those_that_were_not_said_are_marked(
    slips: Slips, frames: int
) -> None:
    engine = SlippingEngine(frames, slips)
    heard = speak(engine)
    begun = [time for time in heard.words if not time.final]
    assert [time.word.text for time in begun] == WORDS
    assert [time.word.text for time in heard.words if time.final] == WORDS
    missed = {index for index, time in enumerate(begun) if time.missed}
    assert missed == set(range(len(WORDS))) - said_in_place(engine.runner.decoded)
    assert len(heard.frames) == len(engine.runner.decoded), "what the codec was given is heard"
    assert not engine.slots_used


@given(slips_of)
@settings(max_examples=10, deadline=None)
def test_fault_is_tried_again_twice_at_most(slips: Slips) -> None:
    engine = SlippingEngine(3, slips)
    speak(engine)
    faults = sum(map(len, slips.values()))
    assert engine.runner.rewinds <= 2 * faults + 2


@given(slips_of, st.floats(0, 8000))
@settings(max_examples=10, deadline=None)
def test_listener_who_leaves_at_any_moment_frees_the_slot(slips: Slips, leaves_ms: float) -> None:
    engine = SlippingEngine(3, slips)
    speak(engine, leaves_ms=leaves_ms)
    assert not engine.slots_used
    assert not engine._guarded


def test_best_of_three_tries_is_spoken() -> None:
    """The second try leaves out one word only, and is made out of what the model has made already."""
    at = 8
    engine = SlippingEngine(3, {at: [Mistake.SKIP_THREE, Mistake.SKIP, Mistake.SKIP_THREE]})
    heard = speak(engine)
    assert [time.word.text for time in heard.words if time.missed] == [WORDS[at]]
    assert words_in_order(engine.runner.decoded) == [word for word in range(len(WORDS)) if word != at]


def test_best_try_may_be_one_that_ended_speech() -> None:
    at = len(WORDS) - 3
    engine = SlippingEngine(3, {at: [Mistake.STOP, Mistake.STOP, Mistake.STOP]})
    heard = speak(engine)
    assert [time.word.text for time in heard.words if time.missed] == WORDS[at:]


@pytest.mark.parametrize("mistake", Mistake)
def test_speech_ends_even_if_every_try_fails_and_nobody_plays_it(mistake: Mistake) -> None:
    """Without a listener there is always time for another try."""
    engine = SlippingEngine(3, {word: [mistake] * 6 for word in range(len(WORDS))})
    utterance = Utterance(VOICE, SAMPLING, guarded=True)
    words = [Word(word, 0, 1, word) for word in WORDS]
    utterance.add(engine.model.segment(TEXT, words=words))
    utterance.end()
    engine.add(utterance)
    for _ in range(2000):
        if utterance.over:
            break
        batch = engine.schedule()
        engine.commit(batch, engine.run(batch))
    assert utterance.status is Status.FINISHED
    assert utterance.retries > 0


def test_first_frames_are_not_held_back() -> None:
    plain, guarded = SlippingEngine(3), SlippingEngine(3)
    assert speak(guarded).first_audio_ms == speak(plain, guarded=False).first_audio_ms
