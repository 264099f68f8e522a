"""Texts as a language model writes them: piece by piece."""

import re
from dataclasses import dataclass

# Without a comma, nothing of these can be spoken before they are complete unless the text may grow.
LONG_SENTENCES = (
    "The committee decided yesterday that the new library will open its doors to everybody before the end of spring.",
    "My neighbour told me that the last train to the coast leaves a little earlier than it did before.",
    "We would like to know whether the small shop behind the church still sells the bread from the village.",
    "Nobody in the office could remember where the keys of the old wooden cabinet had been put last week.",
    "The first thing that every visitor of the island notices is the smell of the pine trees in summer.",
    "You can change the language of the menu at any time with the round button below the screen here.",
    "The engineers found that most of the heat was lost through the windows on the north side of the house.",
    "After the long meeting they walked back to the station and talked about the plans for the next year.",
)
_TOKEN = re.compile(r"\s*\S{1,6}")  # about as long as a language model's token: 1.3 for a word
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Piece:
    """Text, and how long after the piece before it comes."""

    text: str
    after_ms: float


def tokens_of(text: str, a_second: float) -> list[Piece]:
    """Cut a text into tokens."""
    return _cut(_TOKEN, text, a_second)


def words_of(text: str, a_second: float) -> list[Piece]:
    return _cut(_WORD, text, a_second)


def _cut(pattern: re.Pattern[str], text: str, a_second: float) -> list[Piece]:
    return [Piece(piece, 1000 / a_second if number else 0.0) for number, piece in enumerate(pattern.findall(text))]
