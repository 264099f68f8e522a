"""The text that `sayline generate` speaks, from the command line or from standard input."""

import sys

from sayline_tts.engine.errors import TextError
from sayline_tts.server.commands.terminal import Terminal

MAX_CHARS = 500_000  # nine hours of speech; a WAV file holds 24
CHARS_PER_SECOND = 16.0  # of English, more or less
MOST_DAMAGED = 0.2  # of the characters: of a text in Latin letters a tenth is not ASCII at most


class Script:
    """Raises `TextError` for a text that is missing, too long, no text, or nothing that can be said."""

    def __init__(self, text: str | None, terminal: Terminal) -> None:
        self.text = _whole(text, terminal)
        if len(self.text) > MAX_CHARS:
            hours = MAX_CHARS / CHARS_PER_SECOND / 3600
            raise TextError(
                f"this text has more than {MAX_CHARS:,} characters, {hours:.0f} hours of speech; "
                "split it, for example by chapters, and speak each part into a file of its own"
            )
        _check_speakable(self.text)

    @property
    def likely_seconds(self) -> float:
        return len(self.text) / CHARS_PER_SECOND


def _whole(text: str | None, terminal: Terminal) -> str:
    if text is None:
        raise TextError('say what to speak: sayline generate "Hello there.", or - to read standard input')
    if text != "-":
        return text
    if sys.stdin.isatty():
        terminal.tell("Type what to speak; Ctrl-D ends it.")
    # Never more than it takes to see that it is too long: four bytes a character, and some. It may be endless.
    data = sys.stdin.buffer.read(4 * MAX_CHARS + 4)
    text = data.decode("utf-8-sig", errors="replace")
    damaged = text.count("\N{REPLACEMENT CHARACTER}")
    if "\0" in text or damaged > MOST_DAMAGED * len(text):
        raise TextError(
            "what comes on standard input is not UTF-8 text; give plain text, converted with iconv if need be"
        )
    if damaged:
        terminal.tell(
            f"Left out {damaged} places that are not UTF-8; convert the text, for example with iconv -t utf-8"
        )
    return text


def _check_speakable(text: str) -> None:
    """What the model would refuse as well, but only once it is loaded, and perhaps downloaded first."""
    from sayline_tts.engine.text.model_text import TextRules, clean, prepare

    prepare(clean(text), TextRules())
