"""Hypothesis strategies for texts as language models write them, and helpers that read them."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import Pause, TextChunk
from sayline_tts.engine.text.reader import Reader

_PARTS = (
    *("Hello", "there", "The", "Dr. Smith", "e.g.", "U.S.", "No. 5", "end.", "end!", '"Go!"', "(see", "him.)", "well,"),
    *("**bold**", "*it*", "__x__", "`code`", "~~no~~", "***a", "b***,", "snake_case", "**", "*", "_", "`", "\\*"),
    *("# Title\n", "- item\n", "1. one\n", "> quote\n", "---\n", "| a | b |\n", "|---|---|\n", "- [x] done\n"),
    *("```py\nx = 1\n```\n", "```text\nwords\n```\n", "```", "~~~", "\n```\n"),
    *("[a link](https://x.org/a_(b)?q=1)", "![alt](i.png)", "[^1]", "word[1].", "[", "](", ")", "]", "<https://x.org>"),
    *(
        '<break time="500ms"/>',
        "<break time='0.5s'>",
        "<break/>",
        "[pause:0.5]",
        "[pause:20ms]",
        "<b>",
        "</b>",
        "<br>",
        "<",
    ),
    *("<3", ":-)", "👍", "cafe\u0301", "日本。", "そう、です", "x" * 40, "—", "\u200b", "\x00", "é👍e"),
    *("$1.5M", "$5 million", "1,000", "3.14", "3-4", "2024-05-01", "10:30 pm", "5km/h", "5 km", "x^2", "50%", "1st"),
    *("555-1234", "192.168.1.1", "v2", "1/2", "-5", "a@b.org", "http://x.y/z?q=1.", "#1", "@user", "&amp;", "²", "٣"),
    *(
        "<think>",
        "</think>",
        "<think>Let me see.</think>",
        "On 3/15",
        "Henry VIII",
        "Ⅳ",
        "555 123 4567",
        "code is 4821",
    ),
    *(
        '<sub alias="A 1 b">',
        "<sub alias='x'>W3C</sub>",
        "</sub>",
        "<sub>",
        '<say-as interpret-as="digits">',
        "</say-as>",
    ),
    *('<say-as interpret-as="characters">', '<say-as interpret-as="date">3/4</say-as>', "$\\sin^2 x$"),
    *("it.It", "&#x27;", "&lt;", "&nbsp;", "&amp;#39;", "&am", "he`ll", "itʼs", "Mr", "St", "Dr", "(early).The", "5′"),
)
LLM_TEXT = st.lists(
    st.sampled_from(_PARTS).flatmap(
        lambda part: st.sampled_from([" ", " ", " ", "", "\n", "\n\n"]).map(lambda gap: part + gap)
    ),
    max_size=30,
).map("".join)
ANY_TEXT = LLM_TEXT | st.text(st.characters(), max_size=120) | st.text("<>[]()`~*_|#!-\n a1:/", max_size=120)


def count_words(text: str) -> int:
    return len(text.split())


def read(*messages: str, clean_up: bool = True, language: str = "en", max_tokens: int = 50) -> list[TextChunk | Pause]:
    reader = Reader(count_words, language, clean_up, max_tokens)
    return [each for message in messages for each in reader.push(message)] + reader.flush()


def spoken(*messages: str, language: str = "en", clean_up: bool = True) -> list[str | float]:
    """Return the spoken form, with pauses as milliseconds."""
    return spoken_items(read(*messages, language=language, clean_up=clean_up))


def spoken_items(items: Iterable[TextChunk | Pause]) -> list[str | float]:
    return [each.spoken if isinstance(each, TextChunk) else each.duration_ms for each in items]


def split_at(text: str, indices: Iterable[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *sorted(indices), len(text)])]


def check_offsets(text: str, items: Iterable[TextChunk | Pause]) -> None:
    """Assert that offsets are ascending and that each word is the source text at its offsets."""
    offset = 0
    for item in items:
        if isinstance(item, Pause):
            assert offset <= item.offset < len(text)
            offset = item.offset
            continue
        assert (item.start, item.end) == (item.words[0].start, item.words[-1].end)
        for word in item.words:
            assert offset <= word.start < word.end
            assert text[word.start : word.end] == word.text
            offset = word.end
