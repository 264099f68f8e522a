from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.websocket.transcript import KEPT_CHARS, Parted, Transcript


def told(*words: str) -> Transcript:
    """Each word takes 100 ms."""
    transcript, at = Transcript(), 0
    for number, word in enumerate(words):
        transcript.add(word)
        text = word.strip()
        start = at + word.index(text)
        transcript.tell(WordTime(Word(text, start, start + len(text), text), 100.0 * number, 100.0 * number + 100))
        at += len(word)
    return transcript


def test_a_text_is_parted_behind_the_last_word_of_which_half_was_heard() -> None:
    transcript = told("**Hello** ", "there. ", "How ", "are you?")
    assert transcript.parted(49) == Parted(0, "", "**Hello** there. How are you?")
    assert transcript.parted(50) == Parted(9, "**Hello**", " there. How are you?")
    assert transcript.parted(249) == Parted(16, "**Hello** there.", " How are you?")
    assert transcript.parted(9999) == Parted(29, "**Hello** there. How are you?", "")


def test_text_of_which_no_word_was_told_is_unheard() -> None:
    transcript = told("Hello ")
    transcript.add("there 🙂.")
    assert transcript.parted(9999) == Parted(5, "Hello", " there 🙂.")
    assert Transcript().parted(0) == Parted(0, "", "")


def test_a_part_of_the_text_is_found_by_its_place() -> None:
    assert told("Hello ", "there. ", "How ").between(6, 12) == "there."


def test_what_was_spoken_long_ago_is_forgotten_and_still_counted() -> None:
    words = ["word "] * 10_000
    transcript = told(*words)
    transcript.settle(50_000)
    parted = transcript.parted(1e9)
    assert parted.heard_chars == 49_999
    assert KEPT_CHARS - 1 <= len(parted.heard) <= 2 * KEPT_CHARS
    assert parted.unheard == " "
    assert transcript.between(49_995, 49_999) == "word"
    assert transcript.parted(0).heard == ""


def test_little_is_not_forgotten() -> None:
    transcript = told(*["word "] * 5_000)
    transcript.settle(25_000)
    assert len(transcript.parted(1e9).heard) == 24_999
