from sayline import transcript as transcript_module
from sayline.messages import Word
from sayline.transcript import Transcript


def word(text: str, start_char: int, start_ms: float, end_ms: float, estimated: bool = True) -> Word:
    return Word("a", 0, text, start_char, start_char + len(text), text, start_ms, end_ms, estimated)


def told(text: str, estimated: bool = True) -> Transcript:
    """100 ms for each word."""
    transcript = Transcript()
    transcript.add(text)
    at = 0
    for number, one in enumerate(text.split()):
        at = text.index(one, at)
        transcript.add_word(word(one, at, number * 100, number * 100 + 100, estimated))
        at += len(one)
    return transcript


def test_half_played_word_counts_as_heard() -> None:
    transcript = told("Grüße an alle 🙂 Welt.")
    assert transcript.split_heard(149) == (5, "Grüße", " an alle 🙂 Welt.")
    assert transcript.split_heard(150) == (8, "Grüße an", " alle 🙂 Welt.")
    assert transcript.split_heard(0) == (0, "", "Grüße an alle 🙂 Welt.")


def test_exact_word_end_is_used() -> None:
    transcript = told("one two")
    transcript.set_word_end(400)
    assert transcript.split_heard(249) == (3, "one", " two")
    assert transcript.split_heard(250) == (7, "one two", "")


def test_word_end_without_a_word_is_ignored() -> None:
    transcript = Transcript()
    transcript.set_word_end(100)
    assert transcript.split_heard(100) == (0, "", "")


def test_text_without_words_is_unheard() -> None:
    transcript = told("One.")
    transcript.add(" And more")
    assert transcript.split_heard(float("inf")) == (4, "One.", " And more")


def test_only_recent_text_is_kept() -> None:
    text = "word " * 20_000
    chars, heard, unheard = told(text).split_heard(float("inf"))
    assert chars == len(text) - 1
    assert unheard == " "
    assert text[:chars].endswith(heard)
    assert transcript_module.KEPT_CHARS <= len(heard) <= 2 * transcript_module.KEPT_CHARS + 5


def test_word_is_whole_where_the_next_one_begins_or_once_its_end_is_told() -> None:
    transcript = told("one two three", estimated=False)
    assert [transcript.whole_chars(ms) for ms in (99, 100, 199, 200, 300, 900)] == [0, 3, 3, 7, 7, 7]
    transcript.set_word_end(320)
    assert [transcript.whole_chars(ms) for ms in (300, 320)] == [7, 13]
    transcript.add(" four")
    transcript.add_word(word("four", 14, 330, 400, estimated=False))
    assert transcript.whole_chars(320) == 7
    assert Transcript().whole_chars(100) == 0


def test_estimated_times_do_not_tell_which_word_is_whole() -> None:
    assert told("one two three").whole_chars(10_000) == 0


def test_words_that_will_be_told_again_are_forgotten() -> None:
    transcript = told("one two three")
    transcript.forget_words(7)
    assert transcript.split_heard(1_000) == (7, "one two", " three")
    transcript.forget_words(0)
    assert transcript.split_heard(1_000) == (0, "", "one two three")
