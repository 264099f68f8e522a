"""Preparation of whole texts for the model: cleaning, formatting, and splitting of long ones.

The published models were tuned with the reference implementation (pocket-tts 4.0.1, models/text_chunking.py), so
`prepare`, `frames_after_eos` and `split` return exactly what it returns, quirks included.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.errors import ConfigError, TextError
from sayline_tts.engine.text.tokenizer import Tokenizer

_SENTENCE_PUNCTUATION = ".!...?"
_CLAUSE_PUNCTUATION = ",;:"
_TERMINAL = ".!?…"
_NON_TERMINAL = ",;:-–—"
_CLOSING = "\"'”’)]»"
_SHORT_TEXT_WORDS = 4

_STRAY_CLAUSE_PUNCTUATION = re.compile(r"([.!?…])\s*[,;:]")

_LINE_ENDS = re.compile("[\v\f\x85\u2028\u2029]")
_OTHER_WHITESPACE = re.compile("[\t\r\x1c-\x1f]")
# Control characters, surrogates, private use, and zero-width characters: joiners, direction marks, tags, variants.
_CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u20e3\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f\ufeff\ufff0-\uffff\U000e0000-\U0010ffff]"
)
# The gaps between the ranges are circled digits and the like, which are read as digits.
_PICTOGRAPHS = re.compile(
    r"[\u231a\u231b\u23e9-\u23fa\u2600-\u2775\u2794-\u27bf\u2b00-\u2bff\U0001f000-\U0001f0ff\U0001f10d-\U0001faff]+"
)
# NFC sorts a run of combining marks in quadratic time. Ordinary text has runs of three or four.
_MAX_COMBINING_MARKS = 30
_LONG_MARK_RUNS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MAX_COMBINING_MARKS + 1},}}")


@dataclass(frozen=True)
class TextRules:
    """Text format that a model expects, with the names of the published YAML."""

    pad_short: bool = False
    remove_semicolons: bool = False
    append_terminal_punctuation: bool = True
    capitalize_first_letter: bool = True
    replace_characters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        if long := [key for key in config.replace_characters if len(key) != 1]:
            raise ConfigError(f"replace_characters: {long[0]!r} must be a single character")
        return cls(
            pad_short=config.pad_with_spaces_for_short_inputs,
            remove_semicolons=config.remove_semicolons,
            append_terminal_punctuation=config.append_terminal_punctuation,
            capitalize_first_letter=config.capitalize_first_letter,
            replace_characters=config.replace_characters,
        )


def clean(text: str) -> str:
    """Remove what cannot be spoken (control characters, lone surrogates, emoji) and compose accents (NFC).

    Line ends are kept; other whitespace control characters become a space, and so does an emoji between two words.
    Runs in linear time. The result may be empty.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _PICTOGRAPHS.sub(_space_between_words, remove_control_characters(text))
    text = _LONG_MARK_RUNS.sub(_truncate_mark_run, text)
    return unicodedata.normalize("NFC", text)


def remove_control_characters(text: str) -> str:
    """Do the part of `clean` that treats each character by itself, so it can be applied to a stream in pieces."""
    return _CONTROL_CHARACTERS.sub("", _OTHER_WHITESPACE.sub(" ", _LINE_ENDS.sub("\n", text)))


def prepare(text: str, rules: TextRules) -> str:
    """Return the model's input for `text`. Raises `TextError` if nothing is left to speak."""
    text = _normalize(text, rules)
    if rules.capitalize_first_letter and not text[0].isupper():
        text = text[0].upper() + text[1:]
    if rules.append_terminal_punctuation:
        text = _with_terminal_punctuation(text)
    if rules.pad_short and len(text.split()) <= _SHORT_TEXT_WORDS:
        # The first models speak very short texts badly; leading spaces help.
        text = " " * 8 + text
    return text


def frames_after_eos(text: str, rules: TextRules | None = None) -> int:
    """Return how many frames to generate after the end of speech is predicted. Short texts need more."""
    words = len(_normalize(text, rules or TextRules()).split())
    return (3 if words <= _SHORT_TEXT_WORDS else 1) + 2


def split(text: str, tokenizer: Tokenizer, rules: TextRules, max_tokens: int = 50) -> list[str]:
    """Split a text into chunks of whole sentences with at most `max_tokens` tokens each.

    A longer sentence is split at commas, semicolons and colons; one without any exceeds the limit.
    Raises `TextError` for a blank text.
    """
    chunks: list[str] = []
    tokens_left = 0
    for tokens, part in _sentences_and_clauses(prepare(text, rules).strip(), tokenizer, max_tokens):
        if chunks and chunks[-1] and tokens <= tokens_left:
            chunks[-1] += " " + part
            tokens_left -= tokens
        else:
            chunks.append(part)
            tokens_left = max_tokens - tokens
    return [chunk.strip() for chunk in chunks if chunk]


def _sentences_and_clauses(text: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[tuple[int, str]]:
    """Yield sentences with their lengths in tokens; sentences that are too long as clauses."""
    # The first token of an encoded text includes the word boundary, so it is not the bare punctuation mark.
    sentence_ids = set(tokenizer.encode(_SENTENCE_PUNCTUATION)[1:])
    clause_ids = set(tokenizer.encode(_CLAUSE_PUNCTUATION)[1:])
    ids = tokenizer.encode(text)
    for sentence in _split_after(ids, sentence_ids, lambda i: _is_inside_number(ids, i, tokenizer)):
        decoded = tokenizer.decode(sentence)
        clauses = [sentence]
        if len(sentence) > max_tokens:
            clauses = _split_after(tokenizer.encode(decoded.strip()), clause_ids)
        if len(clauses) == 1:
            yield len(sentence), decoded
        else:
            yield from ((len(clause), tokenizer.decode(clause)) for clause in clauses)


def _split_after(
    ids: list[int], punctuation: set[int], is_unsplittable: Callable[[int], bool] = lambda i: False
) -> list[list[int]]:
    """Split after every run of punctuation, except before an index that `is_unsplittable` accepts."""
    splits = [
        i
        for i in range(1, len(ids))
        if ids[i - 1] in punctuation and ids[i] not in punctuation and not is_unsplittable(i)
    ]
    return [ids[start:end] for start, end in zip([0, *splits], [*splits, len(ids)], strict=True)]


def _is_inside_number(ids: Sequence[int], i: int, tokenizer: Tokenizer) -> bool:
    """Return whether index `i` is between "3." and "14". True for "3. 14" too: decoding drops the leading space."""
    before = _decode_near(ids, i, -1, tokenizer)
    if len(before) < 2 or before[-1] != "." or not before[-2].isdigit():
        return False
    return _decode_near(ids, i, +1, tokenizer)[:1].isdigit()


def _decode_near(ids: Sequence[int], i: int, direction: int, tokenizer: Tokenizer) -> str:
    """Decode the text just before or after a token. Decoding a few tokens only keeps `split` linear in time.

    A character can be four byte tokens, so up to three at the far end may be incomplete: five characters are enough.
    """
    tokens = 8
    while True:
        near = ids[i : i + tokens] if direction > 0 else ids[max(0, i - tokens) : i]
        text = tokenizer.decode(list(near))
        if len(text) >= 5 or len(near) < tokens:
            return text
        tokens *= 2


def _normalize(text: str, rules: TextRules) -> str:
    text = text.strip()
    if rules.replace_characters:
        table = {ord(char): replacement for char, replacement in rules.replace_characters.items()}
        text = " ".join(text.translate(table).split())
        # Removing the quotes of `"Hi?", she said` leaves two punctuation marks in a row; keep the first.
        text = _STRAY_CLAUSE_PUNCTUATION.sub(r"\1", text)
    if not text:
        raise TextError("there is nothing to say in this text; send some words")
    text = text.replace("\n", " ").replace("\r", " ").replace("  ", " ")
    return text.replace(";", ",") if rules.remove_semicolons else text


def _with_terminal_punctuation(text: str) -> str:
    """End the text like a sentence. Without that, the models drop or repeat its last word."""
    body = text.rstrip(_CLOSING + " ")
    if not body or body[-1] in _TERMINAL:
        return text
    if body[-1] in _NON_TERMINAL:
        return body.rstrip(_NON_TERMINAL + " ") + "." + text[len(body) :].strip()
    return text + "."


def _space_between_words(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    return " " if text[max(0, start - 1) : start].isalnum() and text[end : end + 1].isalnum() else ""


def _truncate_mark_run(match: re.Match[str]) -> str:
    run = match.group()
    rest = (char for char in run[_MAX_COMBINING_MARKS:] if not unicodedata.combining(char))
    return run[:_MAX_COMBINING_MARKS] + "".join(rest)
