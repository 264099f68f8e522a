"""The input text of `sayline generate`, from the command line or standard input."""

import sys

from sayline_tts.engine.errors import TextError
from sayline_tts.server.commands.terminal import Terminal

MAX_CHARS = 500_000  # nine hours of speech; a WAV file holds 24
CHARS_PER_SECOND = 16.0  # about right for English
MAX_INVALID_RATIO = 0.2  # in Latin scripts at most a tenth of the characters is non-ASCII, in whatever encoding


class InputText:
    """Validated input. Raises `TextError` if the text is missing, too long, not UTF-8, or has nothing to say."""

    def __init__(self, text: str | None, terminal: Terminal) -> None:
        self.text = _read(text, terminal)
        if len(self.text) > MAX_CHARS:
            hours = MAX_CHARS / CHARS_PER_SECOND / 3600
            raise TextError(
                f"text too long (over {MAX_CHARS:,} characters, {hours:.0f} hours of speech); "
                "split it, for example by chapters, and generate a file for each part"
            )
        _check_speakable(self.text)

    @property
    def estimated_s(self) -> float:
        return len(self.text) / CHARS_PER_SECOND


def _read(text: str | None, terminal: Terminal) -> str:
    if text is None:
        raise TextError('TEXT is missing; give it: sayline generate "Hello there.", or - to read standard input')
    if text != "-":
        return text
    if sys.stdin.isatty():
        terminal.print_status("Type the text to speak and end it with Ctrl-D.")
    # The input may be endless, so read just enough to see that it is too long: four bytes per character, and some.
    data = sys.stdin.buffer.read(4 * MAX_CHARS + 4)
    text = data.decode("utf-8-sig", errors="replace")
    invalid = text.count("\N{REPLACEMENT CHARACTER}")
    if "\0" in text or invalid > MAX_INVALID_RATIO * len(text):
        raise TextError("standard input is not UTF-8 text; give plain text, converted with iconv if needed")
    if invalid:
        terminal.print_status(
            f"Skipped {invalid} invalid UTF-8 sequences; convert the text, for example with iconv -t utf-8"
        )
    return text


def _check_speakable(text: str) -> None:
    """Check early what the model checks too, but only after it was loaded and possibly downloaded."""
    from sayline_tts.engine.text.model_text import TextRules, clean, prepare

    prepare(clean(text), TextRules())
