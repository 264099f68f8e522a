from sayline import transcript as transcript_module
from sayline.messages import Word
from sayline.transcript import Transcript


def word(text: str, start_char: int, start_ms: float, end_ms: float) -> Word:
    return Word("a", 0, text, start_char, start_char + len(text), text, start_ms, end_ms, True)


def told(text: str) -> Transcript:
    """100 ms for each word."""
    transcript = Transcript()
    transcript.add(text)
    at = 0
    for number, one in enumerate(text.split()):
        at = text.index(one, at)
        transcript.add_word(word(one, at, number * 100, number * 100 + 100))
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
