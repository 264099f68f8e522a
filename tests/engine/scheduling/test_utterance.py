"""Where speech ends, which frames are kept, and which status moves are legal."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.segment_progress import EXTENSION_FRAMES, FIRST_FRAME_OF_EOS
from sayline_tts.engine.scheduling.utterance import LEGAL_MOVES, Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word

VOICE = Voice(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
SAMPLING = Sampling(0.3, None, -4.0, 1, 0)


def speaking(max_frames: int = 20, after_eos: int = 3, continues: bool = False, **more: Any) -> Utterance:
    utterance = Utterance(VOICE, SAMPLING, continues=continues, **more)
    utterance.add(Segment("Hello.", (1, 2), max_frames, after_eos))
    utterance.move(Status.RUNNING)
    utterance.begin_segment()
    return utterance


def speech_ended(utterance: Utterance) -> bool:
    assert utterance.progress is not None
    return utterance.progress.speech_ended


def run(utterance: Utterance, eos_at: set[int]) -> list[bool]:
    """Step until the segment is over. Returns for each step whether its frame is kept."""
    kept = []
    for step in range(1000):
        keep, spoken = utterance.step(step in eos_at)
        kept.append(keep)
        if spoken:
            return kept
    raise AssertionError("the segment never ends")


@given(
    st.sets(st.integers(0, 40)),
    st.integers(1, 40),
    st.integers(0, 9),
    st.booleans(),
)
def test_speech_lasts_until_its_tail_after_the_first_accepted_eos(
    eos_at: set[int], max_frames: int, after_eos: int, continues: bool
) -> None:
    utterance = speaking(max_frames, after_eos, continues)
    kept = run(utterance, eos_at)
    ends = [step for step in eos_at if step >= FIRST_FRAME_OF_EOS]
    expected = min([max_frames, *[end + after_eos for end in ends]])
    assert sum(kept) == utterance.buffer.produced_frames == expected
    assert kept[:expected] == [True] * expected, "dropped frames come last"


def test_discard_is_known_before_the_frame_is_made() -> None:
    utterance = speaking(after_eos=0)
    for step in range(30):
        assert utterance.progress is not None
        announced = utterance.progress.discard or utterance.progress.discard_on_eos
        kept, spoken = utterance.step(is_eos=step == 9)
        assert kept or announced
        if spoken:
            break
    assert utterance.buffer.produced_frames == 9


def test_the_frame_that_ends_speech_is_stepped_only_if_the_state_is_continued() -> None:
    assert len(run(speaking(after_eos=2), {8})) == 10
    assert len(run(speaking(after_eos=2, continues=True), {8})) == 11


def test_ready_requires_text_and_a_lead_below_the_maximum() -> None:
    playback = PlaybackPosition()
    utterance = Utterance(VOICE, SAMPLING, playback=playback, max_lead_ms=160.0)
    assert not utterance.ready, "no text"
    utterance.add(Segment("Hello.", (1,), 20, 3))
    assert utterance.ready
    utterance.move(Status.RUNNING)
    utterance.begin_segment()
    utterance.step(False)
    utterance.step(False)
    assert not utterance.ready, "160 ms ahead"
    playback.played_ms = 1.0
    assert utterance.ready
    utterance.move(Status.CANCELLED)
    assert not utterance.ready


def test_complete_requires_end_of_input_and_nothing_left() -> None:
    utterance = speaking(max_frames=2)
    utterance.end()
    assert not utterance.complete
    run(utterance, set())
    assert utterance.complete


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_illegal_status_moves_are_rejected(before: Status, after: Status) -> None:
    utterance = Utterance(VOICE, SAMPLING)
    utterance._status = before
    if after in LEGAL_MOVES[before]:
        utterance.move(after)
        assert utterance.status is after
    else:
        with pytest.raises(AssertionError):
            utterance.move(after)
    assert utterance.over == (utterance.status not in (Status.WAITING, Status.RUNNING))


def test_awaiting_first_audio_lasts_until_the_startup_lead() -> None:
    playback = PlaybackPosition()
    utterance = Utterance(VOICE, SAMPLING, playback=playback)
    utterance.add(Segment("Hello.", (1,), 20, 3))
    utterance.begin_segment()
    seen = []
    for _ in range(4):
        seen.append(utterance.buffer.awaiting_first_audio)
        utterance.step(False)
    assert seen == [True, True, True, False]
    playback.played_ms = 320.0
    assert not utterance.buffer.awaiting_first_audio, "an underrun with text queued is not a start"


def test_text_after_idle_awaits_first_audio_again_unless_there_is_lead() -> None:
    playback = PlaybackPosition()
    utterance = Utterance(VOICE, SAMPLING, playback=playback)
    for part in range(2):
        utterance.add(Segment("Hello.", (1,), 5, 3))
        assert utterance.buffer.awaiting_first_audio == (part == 0)
        utterance.begin_segment()
        for _ in range(5):
            utterance.step(False)
    playback.played_ms = 700.0
    utterance.add(Segment("Again.", (1,), 5, 3))
    assert utterance.buffer.awaiting_first_audio


def test_playback_lowers_the_lead_only_as_far_as_audio_was_sent() -> None:
    playback = PlaybackPosition(sent_ms=160.0)
    utterance = speaking(playback=playback)
    for _ in range(4):
        utterance.step(False)
    assert utterance.buffer.due_in_ms(200.0) == 120.0
    assert utterance.buffer.due_in_ms(100.0) is None
    playback.sent_ms = 320.0
    assert utterance.buffer.due_in_ms(100.0) == 220.0


def test_max_frames_left_and_length_ratio() -> None:
    utterance = Utterance(VOICE, SAMPLING)
    assert utterance.length_ratio is None
    utterance.add(Segment("Hello.", (1, 2), 20, 0))
    utterance.add(Segment("Again.", (1, 2), 10, 0))
    assert utterance.next_segment is not None
    assert utterance.max_frames_left == 30
    utterance.begin_segment()
    assert utterance.next_segment is None
    for step in range(10):
        utterance.step(step == 9)
    assert utterance.max_frames_left == 10
    assert utterance.length_ratio == 9 / 20


def test_earliest_end_becomes_exact_when_speech_ends() -> None:
    utterance = speaking(max_frames=20, after_eos=3)
    seen, over = [utterance.earliest_end_ms], [speech_ended(utterance)]
    while utterance.segment:
        utterance.step(is_eos=utterance.buffer.produced_frames == 8)
        seen.append(utterance.earliest_end_ms)
        over.append(speech_ended(utterance))
    assert [ms / 80 for ms in seen] == [9, 9, 9, 9, 9, 9, 9, 10, 11, 11, 11, 11]
    assert over == [False] * 9 + [True] * 3
    assert seen[-1] == utterance.produced_ms
    assert speaking(max_frames=4).earliest_end_ms == 4 * 80


def test_segment_cut_off_at_max_frames_has_no_end_of_speech() -> None:
    utterance = speaking(max_frames=7)
    run(utterance, set())
    assert not speech_ended(utterance)
    assert utterance.earliest_end_ms == utterance.produced_ms == 7 * 80


def quiet(*parts: Segment | Silence, **more: Any) -> Utterance:
    utterance = Utterance(VOICE, SAMPLING, **more)
    for part in parts:
        utterance.add(part)
    return utterance


def test_silence_takes_no_step_and_keeps_its_order() -> None:
    segment, pause = Segment("Hello.", (1,), 2, 0), Silence(2)
    utterance = quiet(pause, segment, pause)
    assert (utterance.ready, utterance.silence_due, utterance.next_segment) == (False, True, None)
    assert [utterance.step_silence(), utterance.step_silence()] == [None, pause]
    assert (utterance.ready, utterance.silence_due, utterance.next_segment) == (True, False, segment)
    assert utterance.progress is None, "no segment has set up its slot"
    utterance.begin_segment()
    assert utterance.progress is not None
    assert utterance.progress.start_ms == 160
    assert (utterance.ready, utterance.silence_due) == (True, False)
    run(utterance, set())
    assert utterance.progress.over
    utterance.end()
    assert not utterance.complete
    utterance.step_silence()
    assert utterance.step_silence() is pause
    assert (utterance.complete, utterance.silence_due, utterance.ready) == (True, False, False)
    assert utterance.buffer.produced_frames == 6


def test_silence_stops_at_max_lead_and_when_cancelled() -> None:
    playback = PlaybackPosition()
    utterance = quiet(Silence(9), playback=playback, max_lead_ms=160.0)
    for made in (2, 3):
        while utterance.silence_due:
            utterance.step_silence()
        assert utterance.buffer.produced_frames == made
        playback.played_ms += 80
    assert utterance.silence_due
    utterance.move(Status.CANCELLED)
    assert not utterance.silence_due


def test_silence_counts_as_frames_left_but_not_in_the_length_ratio() -> None:
    utterance = quiet(Silence(5), Segment("Hello.", (1,), 20, 0), Silence(3))
    assert utterance.max_frames_left == 28
    for _ in range(2):
        utterance.step_silence()
    assert utterance.max_frames_left == 26
    assert utterance.length_ratio is None
    for _ in range(3):
        utterance.step_silence()
    utterance.begin_segment()
    run(utterance, {9})
    assert utterance.length_ratio == 9 / 20
    assert utterance.max_frames_left == 3


def test_leading_silence_counts_towards_the_startup_lead() -> None:
    utterance = quiet(Silence(3))
    seen = []
    for _ in range(3):
        seen.append(utterance.buffer.awaiting_first_audio)
        utterance.step_silence()
    assert [*seen, utterance.buffer.awaiting_first_audio] == [True, True, True, False]


def test_silence_without_frames_is_rejected() -> None:
    with pytest.raises(AssertionError):
        quiet(Silence(0))


# Text that grows


def words(count: int) -> tuple[Word, ...]:
    return tuple(Word("word", 5 * i, 5 * i + 4, "word") for i in range(count))


def open_segment(count: int, max_frames: int = 20, lookahead_words: int = 2) -> Segment:
    """A segment of so many words, each of one token; `lookahead_words` 0: closed."""
    return Segment("", (1,) * count, max_frames, 1, words(count), tuple(range(count)), lookahead_words)


def on_word(index: int, count: int) -> np.ndarray:
    attention = np.zeros(count, np.float32)
    attention[index] = 1
    return attention


def growing(count: int, **more: Any) -> Utterance:
    utterance = Utterance(VOICE, SAMPLING)
    utterance.add(open_segment(count, **more))
    utterance.move(Status.RUNNING)
    return utterance


def test_open_segment_does_not_begin_before_enough_words_are_there() -> None:
    utterance = growing(2)
    assert not utterance.ready
    utterance.grow(open_segment(3))
    assert utterance.ready
    utterance.grow(open_segment(1, lookahead_words=0))
    assert utterance.ready, "a closed one begins with any number of words"


def test_frame_of_a_word_that_may_not_begin_yet_is_not_made_and_the_row_waits() -> None:
    utterance = growing(4)
    progress = utterance.begin_segment()
    assert utterance.step(False, on_word(0, 4)) == (True, None)
    assert utterance.step(False, on_word(1, 4)) == (True, None)
    assert utterance.ready
    assert utterance.step(False, on_word(2, 4)) == (False, None)
    assert (progress.stopped, utterance.ready, utterance.produced_ms) == (True, False, 160)
    utterance.grow(open_segment(5))
    assert (utterance.ready, progress.must_extend) == (True, True)
    assert utterance.extend_segment() == 2
    assert utterance.step(False, on_word(2, 5)) == (True, None)
    assert progress.word == 2


def test_end_of_speech_and_the_limit_of_frames_count_only_once_the_text_is_closed() -> None:
    utterance = growing(4, max_frames=8)
    progress = utterance.begin_segment()
    for _ in range(8):
        assert utterance.ready
        assert utterance.step(True, on_word(0, 4)) == (True, None)
    assert not utterance.ready, "the voice does not get on: it waits for more text"
    assert utterance.max_frames_left == 0
    utterance.grow(open_segment(4, max_frames=8, lookahead_words=0))
    assert utterance.ready
    assert utterance.extend_segment() == 8
    assert not progress.over
    kept, spoken = utterance.step(True, on_word(0, 4))
    assert kept
    assert spoken is progress.segment
    assert progress.over


def test_text_is_extended_every_few_frames_or_when_it_is_needed() -> None:
    utterance = growing(6)
    progress = utterance.begin_segment()
    utterance.grow(open_segment(7))
    for _ in range(EXTENSION_FRAMES):
        assert (progress.may_extend, progress.must_extend) == (False, False)
        utterance.step(False, on_word(0, 6))
    assert (progress.may_extend, progress.must_extend) == (True, False)
    assert utterance.extend_segment() == EXTENSION_FRAMES
    assert not progress.may_extend


def test_only_an_open_segment_grows() -> None:
    closed = speaking()
    with pytest.raises(AssertionError, match="closed"):
        closed.grow(open_segment(3))
    closed.add(Silence(1))
    with pytest.raises(AssertionError, match="pause"):
        closed.grow(open_segment(3))
    with pytest.raises(AssertionError, match="nothing was added"):
        Utterance(VOICE, SAMPLING).grow(open_segment(3))


def test_earliest_end_of_an_open_segment_is_now() -> None:
    utterance = growing(6)
    utterance.begin_segment()
    utterance.step(False, on_word(0, 6))
    assert utterance.earliest_end_ms == utterance.produced_ms
