from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.character_times import CharacterTime, spoken_character_times, written_character_times
from sayline_tts.engine.timing.word_time_estimator import WordTime

PRICE = Word("$5", 4, 6, "five dollars")
FULL_STOP = Word(".", 6, 7, "period", after_space=False)
LETTERS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
MS = st.integers(0, 500)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, int, list[WordTime]]:
    """A text with marks between its words, its offset in all that was sent, and successive word times."""
    begin, text = draw(st.integers(0, 1000)), draw(st.sampled_from(["", "* "]))
    words = []
    for letters in draw(st.lists(LETTERS, max_size=6)):
        words.append(Word(letters, begin + len(text), begin + len(text) + len(letters), f"said {letters}"))
        text += letters + draw(st.sampled_from([" ", ", ", " - "]))
    bounds = list(accumulate(draw(st.lists(MS, min_size=2 * len(words), max_size=2 * len(words)))))
    return text, begin, [WordTime(word, bounds[2 * n], bounds[2 * n + 1]) for n, word in enumerate(words)]


@given(texts())
def test_written_characters_agree_with_their_words(case: tuple[str, int, list[WordTime]]) -> None:
    text, begin, times = case
    found = written_character_times(text, begin, times)
    assert "".join(each.char for each in found) == text
    assert all(a.end_ms == b.start_ms and a.start_ms <= a.end_ms for a, b in pairwise(found))
    for time in times:
        own = found[time.word.start - begin : time.word.end - begin]
        assert (own[0].start_ms, own[-1].end_ms) == (time.start_ms, time.end_ms)


@given(texts())
def test_spoken_characters_are_words_with_blanks_between(case: tuple[str, int, list[WordTime]]) -> None:
    _, _, times = case
    found = spoken_character_times(times)
    assert "".join(each.char for each in found) == " ".join(time.word.spoken for time in times)
    assert all(a.end_ms == b.start_ms and a.start_ms <= a.end_ms for a, b in pairwise(found))
    if times:
        assert (found[0].start_ms, found[-1].end_ms) == (times[0].start_ms, times[-1].end_ms)


def test_characters_share_the_time_of_their_word_evenly() -> None:
    found = written_character_times("for $5", 0, [WordTime(Word("for", 0, 3, "for"), 10, 40), WordTime(PRICE, 60, 100)])
    assert found == [
        CharacterTime("f", 10, 20), CharacterTime("o", 20, 30), CharacterTime("r", 30, 40),
        CharacterTime(" ", 40, 60), CharacterTime("$", 60, 80), CharacterTime("5", 80, 100),
    ]  # fmt: skip


def test_no_blank_precedes_a_word_that_follows_no_space() -> None:
    found = spoken_character_times([WordTime(PRICE, 0, 120), WordTime(FULL_STOP, 120, 180)])
    assert "".join(each.char for each in found) == "five dollarsperiod"
    assert {each.end_ms - each.start_ms for each in found} == {10}
