from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.websocket.transcript import KEPT_CHARS, HeardSplit, Transcript


def make_transcript(*words: str) -> Transcript:
    """Each word takes 100 ms."""
    transcript, at = Transcript(), 0
    for number, word in enumerate(words):
        transcript.append(word)
        text = word.strip()
        start = at + word.index(text)
        transcript.add_word(WordTime(Word(text, start, start + len(text), text), 100.0 * number, 100.0 * number + 100))
        at += len(word)
    return transcript


def test_text_is_split_after_the_last_word_that_was_half_played() -> None:
    transcript = make_transcript("**Hello** ", "there. ", "How ", "are you?")
    assert transcript.split(49) == HeardSplit(0, "", "**Hello** there. How are you?")
    assert transcript.split(50) == HeardSplit(9, "**Hello**", " there. How are you?")
    assert transcript.split(249) == HeardSplit(16, "**Hello** there.", " How are you?")
    assert transcript.split(9999) == HeardSplit(29, "**Hello** there. How are you?", "")


def test_text_without_a_word_time_is_unheard() -> None:
    transcript = make_transcript("Hello ")
    transcript.append("there 🙂.")
    assert transcript.split(9999) == HeardSplit(5, "Hello", " there 🙂.")
    assert Transcript().split(0) == HeardSplit(0, "", "")


def test_slice_takes_offsets() -> None:
    assert make_transcript("Hello ", "there. ", "How ").slice(6, 12) == "there."


def test_trimmed_text_is_still_counted() -> None:
    words = ["word "] * 10_000
    transcript = make_transcript(*words)
    transcript.trim(50_000)
    split = transcript.split(1e9)
    assert split.heard_chars == 49_999
    assert KEPT_CHARS - 1 <= len(split.heard) <= 2 * KEPT_CHARS
    assert split.unheard == " "
    assert transcript.slice(49_995, 49_999) == "word"
    assert transcript.split(0).heard == ""


def test_short_text_is_not_trimmed() -> None:
    transcript = make_transcript(*["word "] * 5_000)
    transcript.trim(25_000)
    assert len(transcript.split(1e9).heard) == 24_999
