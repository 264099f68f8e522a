"""Whole texts: what can be spoken, how the model wants it written, and how a long one is split into pieces.

Every published model was tuned with the reference implementation (pocket-tts 4.0.1, models/text_chunking.py),
so `prepare`, `frames_after_eos` and `split` give what it gives, its oddities included. Knows nothing of text
that arrives in pieces (that is `sayline_tts.engine.text`), and nothing of audio.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.errors import ConfigError, TextError
from sayline_tts.engine.text.tokenizer import Tokenizer

_SENTENCE_MARKS = ".!...?"
_CLAUSE_MARKS = ",;:"
_FINAL = ".!?…"
_WEAK = ",;:-–—"
_CLOSING = "\"'”’)]»"
_FEW_WORDS = 4

_STRAY_CLAUSE_MARK = re.compile(r"([.!?…])\s*[,;:]")

_LINE_ENDS = re.compile("[\v\f\x85\u2028\u2029]")
_BLANKS = re.compile("[\t\r\x1c-\x1f]")
# Control characters, surrogates, private use, and what has no width: joiners, direction marks, tags, variants.
_UNSPEAKABLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u20e3\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f\ufeff\ufff0-\uffff\U000e0000-\U0010ffff]"
)
# Pictures. The gaps between the ranges are digits in circles and the like, which can be read as digits.
_PICTURES = re.compile(
    r"[\u231a\u231b\u23e9-\u23fa\u2600-\u2775\u2794-\u27bf\u2b00-\u2bff\U0001f000-\U0001f0ff\U0001f10d-\U0001faff]+"
)
# Normalizing sorts a run of combining marks in quadratic time. Honest text stacks three or four.
_MOST_MARKS = 30
_MARK_HEAPS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")


@dataclass(frozen=True)
class TextRules:
    """How one model wants its text written; the names are those of the published YAML."""

    pad_short: bool = False
    remove_semicolons: bool = False
    append_terminal_punctuation: bool = True
    capitalize_first_letter: bool = True
    replace_characters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> Self:
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
    """Drop what nobody can say (control characters, lone surrogates, emoji) and compose accents (NFC).

    Ordinary text comes back as it is. Line ends stay, other control characters that are white space become a
    space. A picture between two words leaves a space. Linear in time; the result may be empty.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _PICTURES.sub(_gap_left_by_picture, printable(text))
    text = _MARK_HEAPS.sub(_without_most_marks, text)
    return unicodedata.normalize("NFC", text)


def printable(text: str) -> str:
    """The part of `clean` that looks at each character alone, so that it may be done message by message."""
    return _UNSPEAKABLE.sub("", _BLANKS.sub(" ", _LINE_ENDS.sub("\n", text)))


def prepare(text: str, rules: TextRules) -> str:
    """What the model is fed for `text`. Raises `TextError` when nothing is left to say."""
    text = _normalize(text, rules)
    if rules.capitalize_first_letter and not text[0].isupper():
        text = text[0].upper() + text[1:]
    if rules.append_terminal_punctuation:
        text = _with_final_mark(text)
    if rules.pad_short and len(text.split()) <= _FEW_WORDS:
        # The first models speak very short texts badly; blanks in front help them.
        text = " " * 8 + text
    return text


def frames_after_eos(text: str, rules: TextRules | None = None) -> int:
    """How many frames to speak on after the model says it has ended: short texts need a longer tail."""
    words = len(_normalize(text, rules or TextRules()).split())
    return (3 if words <= _FEW_WORDS else 1) + 2


def split(text: str, tokenizer: Tokenizer, rules: TextRules, max_tokens: int = 50) -> list[str]:
    """Pieces of whole sentences, as many in each as fit `max_tokens`.

    A sentence that alone is longer is cut at commas, semicolons and colons; one without any stays too long.
    Raises `TextError` for a blank text.
    """
    pieces: list[str] = []
    room = 0
    for tokens, part in _parts(prepare(text, rules).strip(), tokenizer, max_tokens):
        if pieces and pieces[-1] and tokens <= room:
            pieces[-1] += " " + part
            room -= tokens
        else:
            pieces.append(part)
            room = max_tokens - tokens
    return [piece.strip() for piece in pieces if piece]


def _parts(text: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[tuple[int, str]]:
    """Sentences with their lengths in tokens, the too long ones as clauses."""
    # The first token of an encoded text carries the word boundary in front of it, so it is not the bare mark.
    sentence_marks = set(tokenizer.encode(_SENTENCE_MARKS)[1:])
    clause_marks = set(tokenizer.encode(_CLAUSE_MARKS)[1:])
    ids = tokenizer.encode(text)
    for sentence in _cut_after(ids, sentence_marks, lambda at: _inside_number(ids, at, tokenizer)):
        spoken = tokenizer.decode(sentence)
        clauses = [sentence]
        if len(sentence) > max_tokens:
            clauses = _cut_after(tokenizer.encode(spoken.strip()), clause_marks)
        if len(clauses) == 1:
            yield len(sentence), spoken
        else:
            yield from ((len(clause), tokenizer.decode(clause)) for clause in clauses)


def _cut_after(
    ids: list[int], marks: set[int], kept_whole: Callable[[int], bool] = lambda at: False
) -> list[list[int]]:
    """Cut behind every run of marks, except where `kept_whole` says that the two sides belong together."""
    cuts = [at for at in range(1, len(ids)) if ids[at - 1] in marks and ids[at] not in marks and not kept_whole(at)]
    return [ids[start:end] for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True)]


def _inside_number(ids: Sequence[int], at: int, tokenizer: Tokenizer) -> bool:
    """Is the cut between "3." and "14"? True for "3. 14" as well: decoding drops the blank in front."""
    before = _decoded_near(ids, at, -1, tokenizer)
    if len(before) < 2 or before[-1] != "." or not before[-2].isdigit():
        return False
    return _decoded_near(ids, at, +1, tokenizer)[:1].isdigit()


def _decoded_near(ids: Sequence[int], at: int, direction: int, tokenizer: Tokenizer) -> str:
    """The text just before or after a token. Decoding only what is near keeps long texts linear in time.

    A character may be four byte tokens, so the three at the far edge can be torn: five characters are safe.
    """
    tokens = 8
    while True:
        near = ids[at : at + tokens] if direction > 0 else ids[max(0, at - tokens) : at]
        text = tokenizer.decode(list(near))
        if len(text) >= 5 or len(near) < tokens:
            return text
        tokens *= 2


def _normalize(text: str, rules: TextRules) -> str:
    text = text.strip()
    if rules.replace_characters:
        table = {ord(char): instead for char, instead in rules.replace_characters.items()}
        text = " ".join(text.translate(table).split())
        # A quote that was dropped can leave `"Hi?", she said` with two marks in a row: the first one counts.
        text = _STRAY_CLAUSE_MARK.sub(r"\1", text)
    if not text:
        raise TextError("there is nothing to say in this text; send some words")
    text = text.replace("\n", " ").replace("\r", " ").replace("  ", " ")
    return text.replace(";", ",") if rules.remove_semicolons else text


def _with_final_mark(text: str) -> str:
    """End like a sentence: the models swallow or repeat the last word of one that does not."""
    body = text.rstrip(_CLOSING + " ")
    if not body or body[-1] in _FINAL:
        return text
    if body[-1] in _WEAK:
        return body.rstrip(_WEAK + " ") + "." + text[len(body) :].strip()
    return text + "."


def _gap_left_by_picture(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    return " " if text[max(0, start - 1) : start].isalnum() and text[end : end + 1].isalnum() else ""


def _without_most_marks(match: re.Match[str]) -> str:
    heap = match.group()
    rest = (char for char in heap[_MOST_MARKS:] if not unicodedata.combining(char))
    return heap[:_MOST_MARKS] + "".join(rest)
