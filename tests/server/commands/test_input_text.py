"""Accepted and rejected input texts."""

import io
import sys

import pytest

from sayline_tts.engine.errors import TextError
from sayline_tts.server.commands.input_text import MAX_CHARS, InputText
from sayline_tts.server.commands.terminal import Terminal


def _piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> InputText:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return InputText("-", Terminal(quiet=False))


def test_missing_text_is_explained() -> None:
    with pytest.raises(TextError, match=r'sayline generate "Hello there\."'):
        InputText(None, Terminal(quiet=False))


@pytest.mark.parametrize("text", ["", "  \n", "\x01\x02\x1b", "\ud800", "😀🎉", "\u200b\ufe0f"])
def test_text_without_words_is_rejected(text: str) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        InputText(text, Terminal(quiet=False))


def test_lone_surrogate_is_accepted() -> None:
    assert InputText("Hello \ud800 there.", Terminal(quiet=False)).estimated_s > 0


def test_standard_input_is_read_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _piped("\ufeffOne.\nZwölf.\n".encode(), monkeypatch).text == "One.\nZwölf.\n"


def test_invalid_utf8_is_skipped_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _piped(b"Hello there \xed\xa0\x80 my friend.", monkeypatch)
    assert "Skipped 3 invalid UTF-8 sequences" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", bytes(range(128, 256)), "Hello.".encode("utf-16")])
def test_binary_input_is_rejected(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match="not UTF-8 text"):
        _piped(data, monkeypatch)


@pytest.mark.parametrize("data", [b"word " * 2**18, "Æther. ".encode() * 2**17])
def test_too_long_text_is_rejected_with_advice(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TextError, match=r"500,000 characters, 9 hours of speech\); split it"):
        _piped(data, monkeypatch)


def test_endless_input_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            buffer[:] = b"a" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    with pytest.raises(TextError, match="split it"):
        InputText("-", Terminal(quiet=False))


def test_text_of_maximum_length_is_accepted() -> None:
    assert InputText("a" * MAX_CHARS, Terminal(quiet=False)).estimated_s == MAX_CHARS / 16
