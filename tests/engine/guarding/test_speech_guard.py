"""Faults of speech are recognised by its attention, whatever it looks like otherwise."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.guarding.speech_guard import BACK_FRAMES, REDO_FRAMES, Fault, FaultKind, SpeechGuard

LETTERS = (4, 2, 6, 3, 5)
WORDS = len(LETTERS)
IDS = (0, 0, 1, 2, 2, 2, 3, 4)  # words of the tokens


def on(word: int, blur: float = 0.0) -> np.ndarray:
    """Attention on a word; `blur` of it on all."""
    at = np.asarray(IDS) == word
    return np.asarray((1 - blur) * at / at.sum() + blur / len(IDS), np.float32)


def faults(guard: SpeechGuard, said: Sequence[int], blur: float = 0.0, ends: bool = True) -> list[Fault | None]:
    last = len(said) - 1
    return [guard.step(on(word, blur), ends and index == last) for index, word in enumerate(said)]


def guard() -> SpeechGuard:
    return SpeechGuard(LETTERS, IDS)


@given(st.lists(st.integers(1, 9), min_size=WORDS, max_size=WORDS), st.floats(0, 0.3))
def test_speech_of_every_word_in_order_at_a_usual_pace_shows_no_fault(frames: list[int], blur: float) -> None:
    said = [word for word, count in enumerate(frames) for _ in range(count)]
    assert not any(faults(guard(), said, blur))


@given(st.integers(0, WORDS - 1), st.integers(1, WORDS), st.integers(1, 6))
def test_words_passed_over_are_found_in_the_frame_behind_them(first: int, count: int, frames: int) -> None:
    lost = tuple(range(first, min(first + count, WORDS)))
    said = [word for word in range(WORDS) if word not in lost for _ in range(frames)]
    if not said:
        return
    found = [(index, fault) for index, fault in enumerate(faults(guard(), said)) if fault is not None]
    ((at, fault),) = found
    assert fault.words == lost
    if lost[-1] == WORDS - 1:
        assert (fault.kind, at) == (FaultKind.ENDED_EARLY, len(said) - 1)
    else:
        assert (fault.kind, at) == (FaultKind.SKIPPED, said.index(lost[-1] + 1))
    assert fault.redo_from == max(0, at - REDO_FRAMES)


@given(st.integers(1, WORDS - 1), st.integers(BACK_FRAMES, 6))
def test_word_that_is_said_again_is_found(back_to: int, frames: int) -> None:
    said = [*range(WORDS), *[back_to - 1] * frames]
    found = faults(guard(), said, ends=False)
    at = WORDS + BACK_FRAMES - 1
    assert [(index, fault) for index, fault in enumerate(found) if fault] == [(at, Fault(FaultKind.WENT_BACK, WORDS))]


def test_glance_at_an_earlier_word_is_no_fault() -> None:
    said = [0, 1, 2, *[0] * (BACK_FRAMES - 1), 2, 3, 4]
    assert not any(faults(guard(), said))


@pytest.mark.parametrize("word", range(WORDS))
def test_word_that_does_not_end_is_found_once(word: int) -> None:
    found = faults(guard(), [*range(word), *[word] * 40], ends=False)
    assert [fault.kind for fault in found if fault] == [FaultKind.LINGERS]


@given(st.lists(st.integers(0, WORDS - 1), max_size=30), st.data())
def test_going_back_forgets_the_frames_and_nothing_else(said: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(said)))
    other = data.draw(st.lists(st.integers(0, WORDS - 1), max_size=10))
    watched, fresh = guard(), guard()
    faults(watched, said, ends=False)
    watched.rewind(cut)
    faults(fresh, said[:cut], ends=False)
    assert watched.frames == fresh.frames == cut
    assert faults(watched, other) == faults(fresh, other)


def test_segment_that_was_open_is_watched_from_where_it_is() -> None:
    watched = SpeechGuard(LETTERS, IDS, first_frame=17, word=2)
    assert watched.frames == 17
    assert not any(faults(watched, [2, 3, 4]))
    watched = SpeechGuard(LETTERS, IDS, first_frame=17, word=2)
    fault = faults(watched, [2, 4])[1]
    assert fault == Fault(FaultKind.SKIPPED, 17, (3,))


def test_word_without_tokens_is_never_missed() -> None:
    watched = SpeechGuard((1, 1, 1), (0, 2))
    assert not any(watched.step(np.eye(2, dtype=np.float32)[token], token == 1) for token in (0, 1))


def test_tail_behind_the_end_is_not_watched() -> None:
    watched = guard()
    assert not watched.ended
    faults(watched, range(WORDS))
    assert watched.ended
