import asyncio
import os
import pty
from contextlib import suppress
from pathlib import Path

import pytest
from sayline.text_input import PIECE_BYTES, TextInput


async def read_all(text: TextInput) -> str:
    return "".join([piece async for piece in text])


async def test_regular_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "text"
    written = "Grüße, 世界! " * PIECE_BYTES
    path.write_text(written, "utf-8")
    with path.open("rb") as file:
        assert await read_all(TextInput(file.fileno())) == written


async def test_pipe_yields_pieces_as_they_arrive() -> None:
    reading, writing = os.pipe()
    pieces = aiter(TextInput(reading))
    for written in ("one", " tw", "o"):
        os.write(writing, written.encode())
        assert await anext(pieces) == written
    os.close(writing)
    assert [piece async for piece in pieces] == []
    os.close(reading)


async def test_terminal_yields_lines_until_ctrl_d() -> None:
    keyboard, terminal = pty.openpty()
    pieces = aiter(TextInput(terminal))
    os.write(keyboard, b"hello there\n")
    assert await anext(pieces) == "hello there\n"
    os.write(keyboard, b"\x04")
    assert [piece async for piece in pieces] == []
    assert os.get_blocking(terminal)
    os.close(keyboard)
    os.close(terminal)


async def test_character_may_be_split_between_reads() -> None:
    reading, writing = os.pipe()
    text = TextInput(reading)
    pieces = aiter(text)
    os.write(writing, b"gr\xc3")
    assert await anext(pieces) == "gr"
    os.write(writing, b"\xbc\xc3\x9fe")
    assert await anext(pieces) == "üße"
    os.close(writing)
    assert [piece async for piece in pieces] == []
    assert text.damaged_places == 0
    os.close(reading)


@pytest.mark.parametrize(
    ("written", "text", "damaged"),
    [
        (b"caf\xe9 noir", "caf noir", 1),
        (b"cut off \xe4\xb8", "cut off ", 1),
        (b"\xef\xbb\xbfwith a mark", "with a mark", 0),
        (b"\xff\xfe\xfd", "", 3),
        (b"", "", 0),
    ],
)
async def test_invalid_utf8_is_skipped_and_counted(tmp_path: Path, written: bytes, text: str, damaged: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(written)
    with path.open("rb") as file:
        source = TextInput(file.fileno())
        assert await read_all(source) == text
        assert source.damaged_places == damaged


async def test_unreadable_descriptor_raises() -> None:
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await read_all(TextInput(writing))
    os.close(reading)
    os.close(writing)


async def test_read_ahead_is_bounded() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pieces = aiter(TextInput(reading))
    os.write(writing, b"a")
    await anext(pieces)
    written = 0
    with suppress(BlockingIOError):  # the pipe is full: nobody reads it any more
        while True:
            written += os.write(writing, b"a" * PIECE_BYTES)
            await asyncio.sleep(0.001)
    os.close(writing)
    assert sum([len(piece) async for piece in pieces]) == written
    os.close(reading)
