"""Which texts are spoken, and what is said about the others."""

import io
import sys

import pytest

from sayline_tts.engine.errors import TextError
from sayline_tts.server.commands.input_text import MAX_CHARS, Script
from sayline_tts.server.commands.terminal import Terminal


def _piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return Script("-", Terminal(quiet=False))


def test_no_text_at_all_says_how_to_give_one() -> None:
    with pytest.raises(TextError, match=r'sayline generate "Hello there\."'):
        Script(None, Terminal(quiet=False))


@pytest.mark.parametrize("text", ["", "  \n", "\x01\x02\x1b", "\ud800", "😀🎉", "\u200b\ufe0f"])
def test_a_text_without_anything_to_say_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        Script(text, Terminal(quiet=False))


def test_a_text_with_a_lone_surrogate_is_spoken_without_it() -> None:
    assert Script("Hello \ud800 there.", Terminal(quiet=False)).likely_seconds > 0


def test_standard_input_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _piped("\ufeffOne.\nZwölf.\n".encode(), monkeypatch).text == "One.\nZwölf.\n"


def test_the_bytes_of_a_surrogate_are_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _piped(b"Hello there \xed\xa0\x80 my friend.", monkeypatch)
    assert "Left out 3 places that are not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", bytes(range(128, 256)), "Hello.".encode("utf-16")])
def test_what_is_no_text_is_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match="not UTF-8 text"):
        _piped(data, monkeypatch)


@pytest.mark.parametrize("data", [b"word " * 2**18, "Æther. ".encode() * 2**17])
def test_a_megabyte_of_text_is_refused_with_advice(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match="500,000 characters, 9 hours of speech; split it"):
        _piped(data, monkeypatch)


def test_an_endless_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            buffer[:] = b"a" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    with pytest.raises(TextError, match="split it"):
        Script("-", Terminal(quiet=False))


def test_the_longest_text_is_accepted() -> None:
    assert Script("a" * MAX_CHARS, Terminal(quiet=False)).likely_seconds == MAX_CHARS / 16
