"""Assembly of words to chunks within the token limit."""

from sayline_tts.engine.text.chunk_builder import ChunkBuilder
from sayline_tts.engine.text.normalization.pass_through import PassThrough
from sayline_tts.engine.text.normalization.protocol import RawWord
from sayline_tts.engine.text.script_filter import ScriptFilter


def raw_words(text: str) -> list[RawWord]:
    words, start = [], 0
    for word in text.split(" "):
        words.append(RawWord(word, word, start, after_space=True))
        start += len(word) + 1
    return words


def test_chunk_over_the_limit_is_halved() -> None:
    builder = ChunkBuilder(len, PassThrough(), ScriptFilter(lambda char: True), max_tokens=12)
    assert [chunk.spoken for chunk in builder.build(raw_words("one two three four"))] == ["one two", "three four"]


def test_chunk_without_speakable_text_is_dropped() -> None:
    assert (
        list(ChunkBuilder(len, PassThrough(), ScriptFilter(lambda char: True), max_tokens=12).build(raw_words("... -")))
        == []
    )


def test_long_word_is_split_into_adjacent_slices() -> None:
    builder = ChunkBuilder(len, PassThrough(), ScriptFilter(lambda char: True), max_tokens=4)
    slices = builder.split_word(RawWord("abcdefgh", "abcdefgh", 7, after_space=True))
    assert [(each.text, each.start, each.after_space) for each in slices] == [("abcd", 7, True), ("efgh", 11, False)]
    assert [each.is_complete for each in slices] == [False, True]


def test_measure_counts_at_least_one_token() -> None:
    builder = ChunkBuilder(lambda text: 0, PassThrough(), ScriptFilter(lambda char: True), max_tokens=4)
    assert builder.measure(RawWord("-", "-", 0, after_space=True)) == (1, False)
