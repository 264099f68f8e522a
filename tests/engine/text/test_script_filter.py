"""Text in scripts that the model has no tokens for is skipped; everything else is kept."""

import pytest

from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.text.reader import Reader
from sayline_tts.engine.text.script_filter import ScriptFilter
from sayline_tts.engine.text.tokenizer import load_tokenizer
from tests.engine.vocabularies import EMBEDDED, EMBEDDED_TOKENS

TEXT = "I say Привет and 你好, then Γειά."


@pytest.mark.parametrize(
    ("text", "kept", "scripts"),
    [
        ("Привет", "", {"the Cyrillic script"}),
        ("你好", "", {"Chinese characters"}),
        ("こんにちは", "", {"the Hiragana script"}),
        ("ｶﾀｶﾅ", "", {"the Katakana script"}),
        ("안녕", "", {"the Hangul script"}),
        ("สวัสดี", "", {"the Thai script"}),  # with marks above and below
        ("नमस्ते", "", {"the Devanagari script"}),
        ("مرحبا", "", {"the Arabic script"}),
        ("שלום", "", {"the Hebrew script"}),
        ("Tokyo東京2020", "Tokyo2020", {"Chinese characters"}),
        ("“да”?", "“”?", {"the Cyrillic script"}),
        ("", "", set()),
        ("plain", "plain", set()),
        ("Ærøskøbing, naïve ſ Łódź", "Ærøskøbing, naïve ſ Łódź", set()),
        ("ﬁne e\u0301 ª ʼ ５ ½ €", "ﬁne e\u0301 ª ʼ ５ ½ €", set()),
    ],
)
def test_letters_of_other_scripts_are_removed_and_named(text: str, kept: str, scripts: set[str]) -> None:
    script_filter = ScriptFilter(lambda char: char.isascii())
    assert script_filter.remove_unknown(text) == kept
    assert script_filter.removed == scripts


def test_letters_that_the_tokenizer_knows_are_kept() -> None:
    script_filter = ScriptFilter(lambda char: char in "дa")
    assert script_filter.remove_unknown("да") == "д"


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("clean_up", [True, False])
def test_skipped_text_leaves_the_rest_with_its_offsets(step: int, clean_up: bool) -> None:
    tokenizer = load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS)
    reader = Reader(lambda text: len(tokenizer.encode(text)), clean_up=clean_up, has_token=tokenizer.has_token)
    pieces = [TEXT[at : at + step] for at in range(0, len(TEXT), step)]
    chunks = [chunk for piece in pieces for chunk in reader.push(piece)] + reader.flush()
    words = [word for chunk in chunks if isinstance(chunk, TextChunk) for word in chunk.words]
    assert [word.spoken.strip(",.") for word in words if word.spoken.strip(",.")] == ["I", "say", "and", "then"]
    assert all(TEXT[word.start : word.end] == word.text for word in words)
    assert reader.skipped_scripts == ["Chinese characters", "the Cyrillic script", "the Greek script"]


def test_text_of_nothing_else_gives_no_chunk() -> None:
    reader = Reader(len, has_token=str.isascii)
    assert [*reader.push("Привет, мир! 你好。Как дела? "), *reader.flush()] == []


def test_greek_letters_that_are_read_as_words_are_no_foreign_text() -> None:
    reader = Reader(len, has_token=str.isascii)
    (chunk,) = [*reader.push("The angle α is 5 µm."), *reader.flush()]
    assert isinstance(chunk, TextChunk)
    assert "alpha" in chunk.spoken
    assert reader.skipped_scripts == []
