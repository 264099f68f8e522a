"""Whatever is written, in whatever pieces and at whatever pace: every word is spoken and told once, in order."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sayline_tts.bench.writer.pieces import Piece
from sayline_tts.bench.writer.slow_writer import Heard, listen
from sayline_tts.bench.writer.virtual_time import run
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.segment_progress import EXTENSION_FRAMES
from sayline_tts.engine.segment import Sampling
from sayline_tts.engine.text.chunk import TextChunk, Word
from sayline_tts.engine.text.reader import Reader
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.bench.writer.scripted import ScriptedEngine

VOICE, SAMPLING = Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)), Sampling(0, None, 0, 1, 0)
SENTENCE = "We walk along the old river until the sun is low and then we go back home to eat. "
TEXTS = (
    SENTENCE,
    "It cost $5 million, I think, or £3.50 on Jan 5 at 10:30. Dr. Smith paid it. ",
    "No. Yes! Is it true that he came? I do not know. ",
    "- one thing\n- another **bold** thing - with a dash\n\nThen [pause:0.3] a pause comes, and <b>tags</b> too. ",
    "word " * 70 + "end. ",
    "word " * 30 + "word, " + "word " * 40 + "end. ",  # its first part could end at the comma
    "a, b, c, d, e, f, g, h and then the U.S. team of St. Mary came, e.g. at No. 5 of IV rows. ",
)
pieces_of = st.lists(st.tuples(st.integers(1, 25), st.sampled_from([0.0, 30.0, 125.0, 400.0, 900.0, 4000.0])))


def cut(text: str, cuts: list[tuple[int, float]]) -> list[Piece]:
    """Cut a text into pieces of some characters each; the last piece is all that is left."""
    pieces = []
    for length, after_ms in cuts:
        pieces.append(Piece(text[:length], after_ms))
        text = text[length:]
    return [*pieces, Piece(text, 0.0)]


def speak(engine: ScriptedEngine, pieces: list[Piece], lookahead_words: int, guarded: bool = False) -> Heard:
    options = TextOptions(lookahead_words=lookahead_words)
    return run(listen(engine, VOICE, SAMPLING, pieces, options, Settings(), guarded=guarded))


def whole_words(text: str) -> list[Word]:
    reader = Reader(lambda part: len(part.split()))
    chunks = [chunk for chunk in [*reader.push(text), *reader.flush()] if isinstance(chunk, TextChunk)]
    return [word for chunk in chunks for word in chunk.words]


@given(
    st.sampled_from(TEXTS), pieces_of, st.integers(1, 4), st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.booleans(),
)  # fmt: skip
@example(SENTENCE, [(3, 125.0)] * 30, 2, [2], True)
@example(SENTENCE, [(3, 400.0)] * 30, 1, [1], False)
@example("word " * 30 + "word, " + "word " * 40 + "end. ", [(5, 125.0)] * 70, 2, [1], True)
@settings(max_examples=30, deadline=None)
def test_every_word_is_told_once_in_order_and_spoken_only_once_it_is_there(
    text: str, cuts: list[tuple[int, float]], lookahead_words: int, frames: list[int], has_heads: bool
) -> None:
    engine = ScriptedEngine(frames, has_heads)
    heard = speak(engine, cut(text, cuts), lookahead_words)
    told = [time.word for time in heard.words if not has_heads or not time.final]
    assert [(word.text, word.start, word.end) for word in told] == [
        (word.text, word.start, word.end) for word in whole_words(text)
    ]
    starts = [time.start_ms for time in heard.words if not has_heads or not time.final]
    assert starts == sorted(starts)
    runner = engine.runner
    for segment in runner.said:
        tokens = [token for token in segment if token >= 0]
        assert tokens == sorted(tokens), "no token is said again"
    if has_heads and all(frames):
        assert not runner.missing_text, "the voice never catches up with the text"
        for segment in runner.said:
            tokens = list(dict.fromkeys(token for token in segment if token >= 0))
            assert tokens == list(range(len(tokens))), "no token is left out"


@given(pieces_of, st.integers(1, 3), st.lists(st.integers(1, 6), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_segment_is_extended_every_few_frames_at_most_unless_it_needs_the_words_and_never_once_closed(
    cuts: list[tuple[int, float]], lookahead_words: int, frames: list[int]
) -> None:
    engine = ScriptedEngine(frames)
    heard = speak(engine, cut(SENTENCE * 2, cuts), lookahead_words)
    prefills = engine.runner.prefills
    assert heard.extensions == len(prefills) - len(engine.runner.said)
    for before, prefill in pairwise(prefills):
        if prefill.frames:  # an extension
            words_ahead = before.tokens - 1 - (prefill.token + 1)  # once the voice goes on to the next word
            assert prefill.frames - before.frames >= EXTENSION_FRAMES or words_ahead < lookahead_words


@given(pieces_of, st.sampled_from(TEXTS))
@settings(max_examples=15, deadline=None)
def test_without_lookahead_nothing_is_extended(cuts: list[tuple[int, float]], text: str) -> None:
    assert not speak(ScriptedEngine([2]), cut(text, cuts), 0).extensions


@given(pieces_of, st.integers(0, 3), st.lists(st.integers(1, 6), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_guard_changes_nothing_about_speech_without_a_fault(
    cuts: list[tuple[int, float]], lookahead_words: int, frames: list[int]
) -> None:
    plain, guarded = (
        speak(ScriptedEngine(frames), cut(SENTENCE, cuts), lookahead_words, guarded) for guarded in (False, True)
    )
    assert np.array_equal(plain.audio, guarded.audio)
    assert [(time.word, time.missed) for time in guarded.words] == [(time.word, False) for time in plain.words]
    assert guarded.retries == 0
    assert guarded.stalled_ms <= plain.stalled_ms + 1e-6


def test_speech_begins_after_the_words_ahead_instead_of_the_sentence() -> None:
    words = [Piece(f"{word} ", 125.0) for word in SENTENCE.split()]
    late, early = (speak(ScriptedEngine([4]), words, lookahead_words) for lookahead_words in (0, 2))
    assert late.first_audio_ms > 2000
    assert early.first_audio_ms < 450
    assert early.segments == late.segments == [SENTENCE.strip()]
    assert not early.stalled_ms


def test_slow_writer_is_followed_word_by_word_and_the_voice_stops_before_a_word() -> None:
    words = [Piece(f"{word} ", 700.0) for word in SENTENCE.split()]
    engine = ScriptedEngine([3])
    heard = speak(engine, words, 2)
    assert heard.segments == [SENTENCE.strip()]
    assert heard.stalled_ms > 1000
    for prefill in engine.runner.prefills[1:-1]:
        assert prefill.frames == 3 * (prefill.token + 1), "the last word is whole, and the next has not begun"


def test_long_pause_of_the_writer_ends_the_segment() -> None:
    head, tail = "We walk along the old river until ", "the sun is low. "
    heard = speak(ScriptedEngine([3]), [Piece(head, 0.0), Piece(tail, 5000.0)], 2)
    assert heard.segments == [head.strip(), tail.strip()]


@given(pieces_of, st.floats(0, 8000), st.sampled_from(TEXTS))
@settings(max_examples=30, deadline=None)
def test_listener_who_leaves_at_any_moment_frees_the_slot_and_was_told_a_part_of_the_words(
    cuts: list[tuple[int, float]], leaves_ms: float, text: str
) -> None:
    engine = ScriptedEngine([3])
    options = TextOptions(lookahead_words=2)
    heard = run(listen(engine, VOICE, SAMPLING, cut(text, cuts), options, Settings(), leaves_ms))
    assert not engine.slots_used
    told = [time.word.start for time in heard.words if not time.final]
    assert told == [word.start for word in whole_words(text)][: len(told)]
