"""How much of the text that was sent is still to be spoken. Pure: told what was sent and what was spoken."""

MIN_UNIQUE_CHARACTERS = 8  # anything shorter may well occur again further on


class Unspoken:
    """Compares letters and digits alone: spaces, dots and marks are the server's to add and to leave out.

    A segment is looked up in what was sent, so text that the server never speaks is not counted for ever.
    """

    def __init__(self) -> None:
        self._letters = ""

    @property
    def characters(self) -> int:
        return len(self._letters)

    def add(self, text: str) -> None:
        self._letters += letters(text)

    def spoken(self, segment: str) -> None:
        said = letters(segment)
        at = self._letters.find(said) if len(said) >= MIN_UNIQUE_CHARACTERS else 0
        self._letters = self._letters[max(at, 0) + len(said) :]


def letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
